complete -c heka-http -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-http -l url -d 'Where to [default: the environment variable HEKA_HTTP_URL, which other users don\'t see]' -r
complete -c heka-http -l url-file -d 'File with the address, where it is a secret' -r -F
complete -c heka-http -l encoder -d 'The encoder: a file, or the name of one that ships [default: payload]' -r -F
complete -c heka-http -l config-file -d 'Read an HttpOutput section of a hekad.toml: address, encoder, matcher, headers' -r
complete -c heka-http -l match -d 'Send only messages that this expression selects (see heka-match)' -r
complete -c heka-http -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-http -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-http -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-http -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-http -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-http -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-http -l max-failures -d 'End when a script has failed on so many messages in a row (an error or a limit of its own, not its rejection); 0 is never' -r
complete -c heka-http -l method -d 'The request\'s method' -r
complete -c heka-http -l header -d 'A header of the request; may be repeated' -r
complete -c heka-http -l header-file -d 'File with headers that are secrets, a line each' -r -F
complete -c heka-http -l user -d 'The user for basic authentication' -r
complete -c heka-http -l password-file -d 'File with the password; without it the environment variable HEKA_HTTP_PASSWORD' -r -F
complete -c heka-http -l success -d 'Statuses that mean success, and ranges of them' -r
complete -c heka-http -l success-if -d 'What a successful reply has to say: a text that is in it, or /POINTER=VALUE of its JSON (RFC 6901), such as /errors=false' -r
complete -c heka-http -l batch -d 'Messages in a request: their bodies one after the other' -r
complete -c heka-http -l batch-age -d 'Send a batch that is not full after that time' -r
complete -c heka-http -l in-flight -d 'Requests at a time; messages of one stream keep their order' -r
complete -c heka-http -l max-in-flight-bytes -d 'Stop reading while so many bytes of messages are under way' -r
complete -c heka-http -l max-attempts -d 'Attempts for a batch, refusals and missing acks alike; 0 is any number [default: any number]' -r
complete -c heka-http -l retry-for -d 'How long a batch may fail, such as 30s, 5m or 2h; 0 is for ever [default: for ever where the source or a spool keeps the messages, else 5m]' -r
complete -c heka-http -l drain -d 'After a stop was asked for, go on so long at most with what was read' -r
complete -c heka-http -l backup -d 'Append messages that are refused for what they are, or are too long, to this file, or to a file of the run\'s own in this directory, as a stream that can be sent later; also those that are given up by a limit that was set, or that nothing else keeps' -r -F
complete -c heka-http -l checkpoint -d 'Commit the cursors of what is delivered to this file, for a source that resumes from it' -r -F
complete -c heka-http -l timeout -d 'Time-out of a request [default: 60]' -r
complete -c heka-http -l ca -d 'PEM file of the authorities that may have signed the server\'s certificate, or of that certificate itself' -r -F
complete -c heka-http -l cert -d 'PEM file of a certificate of our own, for servers that ask for one' -r -F
complete -c heka-http -l key -d 'PEM file of its key' -r -F
complete -c heka-http -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-http -l gzip -d 'Compress bodies'
complete -c heka-http -l insecure -d 'Don\'t verify the server\'s certificate'
complete -c heka-http -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-http -s h -l help -d 'Print help'
complete -c heka-http -s V -l version -d 'Print version'
