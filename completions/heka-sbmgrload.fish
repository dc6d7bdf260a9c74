complete -c heka-sbmgrload -l config -d 'TOML file: ip_address, use_tls, [signer], [tls]' -r -F
complete -c heka-sbmgrload -l num -d 'How many filters' -r
complete -c heka-sbmgrload -l action -d 'What is to be done' -r -f -a "load\t''
unload\t''"
complete -c heka-sbmgrload -l key-file -d 'File of the signer\'s key, if --config has none; else the environment variable HEKA_SIGNER_KEY' -r -F
complete -c heka-sbmgrload -l stdout -d 'Write what is made to standard output instead of sending it'
complete -c heka-sbmgrload -s h -l help -d 'Print help'
complete -c heka-sbmgrload -s V -l version -d 'Print version'
