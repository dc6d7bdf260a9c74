complete -c heka-hec -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-hec -l url -d 'The server, such as https://splunk.example.com:8088; given several times, the threads share the servers, and turn to another one when theirs fails' -r
complete -c heka-hec -l token-file -d 'File with the token; without it the environment variable HEKA_HEC_TOKEN' -r -F
complete -c heka-hec -l endpoint -d 'Send JSON events, or the payloads as lines of text' -r -f -a "event\t''
raw\t''"
complete -c heka-hec -l event -d 'What an event is: payload (an object of the fields when it is empty), fields (an object of them), message (an object of headers and fields), or lua=SCRIPT: what an encoder makes, JSON or text' -r
complete -c heka-hec -l fields -d 'Fields that Splunk is to index, with commas between them, or * for all' -r
complete -c heka-hec -l index -d 'Splunk index for the events, such as web or %{Fields[app]} [default: the token\'s]' -r
complete -c heka-hec -l host -d 'host of the events [default: the Hostname]' -r
complete -c heka-hec -l source -d 'source of the events [default: the Logger]' -r
complete -c heka-hec -l sourcetype -d 'sourcetype of the events [default: the Type]' -r
complete -c heka-hec -l ack-interval -d 'Longest time between two questions for acks' -r
complete -c heka-hec -l ack-timeout -d 'Send a batch again that is not acknowledged in that time' -r
complete -c heka-hec -l max-batch-events -d 'Events in a request' -r
complete -c heka-hec -l max-batch-bytes -d 'Bytes in a request, before compression' -r
complete -c heka-hec -l batch-age -d 'Send a batch that is not full after that time' -r
complete -c heka-hec -l in-flight -d 'Requests at a time' -r
complete -c heka-hec -l max-in-flight-bytes -d 'Stop reading while so many bytes of messages are sent or wait for their ack' -r
complete -c heka-hec -l max-attempts -d 'Attempts for a batch, refusals and missing acks alike; 0 is any number [default: any number]' -r
complete -c heka-hec -l retry-for -d 'How long a batch may fail, such as 30s, 5m or 2h; 0 is for ever [default: for ever where the source or a spool keeps the messages, else 5m]' -r
complete -c heka-hec -l drain -d 'After a stop was asked for, go on so long at most with what was read' -r
complete -c heka-hec -l backup -d 'Append messages that are refused for what they are, or are too long, to this file, or to a file of the run\'s own in this directory, as a stream that can be sent later; also those that are given up by a limit that was set, or that nothing else keeps' -r -F
complete -c heka-hec -l checkpoint -d 'Commit the cursors of what is delivered to this file, for a source that resumes from it' -r -F
complete -c heka-hec -l rotate-after -d 'Requests that a thread makes through one channel and its connections, before it takes new ones, to the next server if there are several; 0 is any number' -r
complete -c heka-hec -l spool -d 'Keep batches in this directory until they are delivered: for inputs that can\'t be read again, and servers that are down for hours. What is there is sent first; at the end of the input, what no server takes within --drain seconds is left to the next run' -r -F
complete -c heka-hec -l spool-max -d 'Stop reading while the spool has so many bytes' -r
complete -c heka-hec -l timeout -d 'Time-out of a request; the server may need long to take a batch' -r
complete -c heka-hec -l ca -d 'PEM file of the authorities that may have signed the server\'s certificate, or of that certificate itself' -r -F
complete -c heka-hec -l cert -d 'PEM file of a certificate of our own, for servers that ask for one' -r -F
complete -c heka-hec -l key -d 'PEM file of its key' -r -F
complete -c heka-hec -l label -d 'What tells this run from others in what it says: heka-hec[LABEL]: …' -r
complete -c heka-hec -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-hec -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-hec -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-hec -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-hec -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-hec -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-hec -l max-failures -d 'End when a script has failed on so many messages in a row (an error or a limit of its own, not its rejection); 0 is never' -r
complete -c heka-hec -l health-check -d 'Read nothing before the server says that it is healthy'
complete -c heka-hec -l ack -d 'Wait for indexer acknowledgement; what is not acknowledged is sent again'
complete -c heka-hec -l gzip -d 'Compress requests'
complete -c heka-hec -l insecure -d 'Don\'t verify the server\'s certificate'
complete -c heka-hec -s v -l verbose -d 'Report each request'
complete -c heka-hec -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-hec -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-hec -s h -l help -d 'Print help'
complete -c heka-hec -s V -l version -d 'Print version'
