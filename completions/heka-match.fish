complete -c heka-match -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-match -s m -l max-count -d 'Stop after N selected messages' -r
complete -c heka-match -l signer -d 'Only messages of this signer, whose signature the keys in --keys verify' -r
complete -c heka-match -l keys -d 'TOML file of the signers\' keys: NAME_VERSION = "key"' -r -F
complete -c heka-match -s v -l invert-match -d 'Select what does not match'
complete -c heka-match -s c -l count -d 'Print how many messages are selected, nothing else'
complete -c heka-match -s q -l quiet -d 'Write nothing; stop at the first selected message'
complete -c heka-match -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-match -s h -l help -d 'Print help'
complete -c heka-match -s V -l version -d 'Print version'
