complete -c heka-listen -l udp -d 'Take datagrams at [PROTOCOL@][ADDRESS:]PORT; PROTOCOL is syslog, gelf or heka; port 0 takes a free one and prints it' -r
complete -c heka-listen -l tcp -d 'Take TCP connections, in the same form' -r
complete -c heka-listen -l tls -d 'Take TLS connections, in the same form' -r
complete -c heka-listen -l unix -d 'Take connections of a Unix socket at [PROTOCOL@]PATH, which everybody may write to' -r
complete -c heka-listen -l unixgram -d 'Take datagrams of a Unix socket, such as /dev/log' -r
complete -c heka-listen -l hec -d 'Be a Splunk HTTP Event Collector at this address; port 0 takes a free one and prints it' -r
complete -c heka-listen -l address -d 'Address of ports that name none' -r
complete -c heka-listen -l udp-port -d 'kinesyslog\'s name of --udp; 0 is off' -r
complete -c heka-listen -l tcp-port -d 'kinesyslog\'s name of --tcp; 0 is off' -r
complete -c heka-listen -l tls-port -d 'kinesyslog\'s name of --tls; 0 is off' -r
complete -c heka-listen -l cert -d 'PEM file of this server\'s certificate and its chain, for --tls; turns on TLS for --hec' -r -F
complete -c heka-listen -l key -d 'PEM file of the certificate\'s key' -r -F
complete -c heka-listen -l client-ca -d 'PEM file of the authorities whose certificates clients must show' -r -F
complete -c heka-listen -l proxy-protocol -d 'Connections to this --tcp or --tls port begin with a header of the PROXY protocol, version 1 or 2' -r
complete -c heka-listen -l proxy-from -d 'Network or address that may send such headers; 0.0.0.0/0 says all' -r
complete -c heka-listen -l tz -d 'Zone of times that don\'t say theirs, such as Europe/Berlin or UTC; without it, this machine\'s' -r
complete -c heka-listen -l gelf-max-sets -d 'Messages in chunks that may be incomplete at a time' -r
complete -c heka-listen -l signers -d 'TOML file of signers\' keys, [NAME_VERSION] with hmac_key: what is signed otherwise is dropped' -r -F
complete -c heka-listen -l require-signer -d 'Drop what this signer has not signed' -r
complete -c heka-listen -l token-file -d 'File of the tokens that are let in, one a line; without it the environment variable HEKA_HEC_TOKEN' -r -F
complete -c heka-listen -l max-content-length -d 'Longest request body, after decompression' -r
complete -c heka-listen -l max-message -d 'Longest message, [default: 64K; HEC events: 4M less 64K]; what is longer is cut, and says so in Fields[truncated]' -r
complete -c heka-listen -l max-memory -d 'Memory for everything together: what waits to be written, connections, messages and requests that aren\'t whole, chunks, ack ids; at least 32M' -r
complete -c heka-listen -l max-connections -d 'Connections at a time; where there is no room, one of the address that has most is closed, the one that has been silent for longest' -r
complete -c heka-listen -l max-connections-per-address -d 'Connections of one address at a time' -r
complete -c heka-listen -l idle -d 'Close connections that send nothing for so long; 0 is never' -r
complete -c heka-listen -l complete-within -d 'Close connections whose message, or HEC request\'s header, is not whole so long after its first byte; the body of a HEC request has to come with 1 KB a second at least after that time' -r
complete -c heka-listen -l receive-buffer -d 'Buffer that the kernel is asked for, for each UDP socket; how large it allows is printed' -r
complete -c heka-listen -l max-queue-bytes -d 'Let senders wait while so many bytes are to be written [default: a tenth of --max-memory]' -r
complete -c heka-listen -l gelf -d 'GELF where no protocol is named, instead of syslog'
complete -c heka-listen -l heka -d 'Framed Heka messages where no protocol is named, instead of syslog'
complete -c heka-listen -l client-cert-optional -d 'Let clients in that show no certificate, too'
complete -c heka-listen -l no-raw -d 'Leave out the original text, of syslog and of GELF, which is in Fields[raw] otherwise'
complete -c heka-listen -l rsyslog-names -d 'Fields[programname] beside Fields[app], as Heka\'s rsyslog decoder calls it'
complete -c heka-listen -l gelf-lf -d 'Over connections, a line\'s end ends a message, too, not only a zero byte'
complete -c heka-listen -l gelf-strict -d 'What breaks the specification becomes a message of its text alone, with Fields[gelf_error]'
complete -c heka-listen -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-listen -s h -l help -d 'Print help'
complete -c heka-listen -s V -l version -d 'Print version'
