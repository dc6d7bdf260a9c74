complete -c heka-listen -l hec -d 'Be a Splunk HTTP Event Collector at this address; port 0 takes a free one and prints it' -r
complete -c heka-listen -l token-file -d 'File of the tokens that are let in, one a line; without it the environment variable HEKA_HEC_TOKEN' -r -F
complete -c heka-listen -l cert -d 'PEM file of this server\'s certificate and its chain: turns on TLS' -r -F
complete -c heka-listen -l key -d 'PEM file of the certificate\'s key' -r -F
complete -c heka-listen -l max-content-length -d 'Longest request body, after decompression' -r
complete -c heka-listen -l max-queue-bytes -d 'Let clients wait while so many bytes are to be written' -r
complete -c heka-listen -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-listen -s h -l help -d 'Print help'
complete -c heka-listen -s V -l version -d 'Print version'
