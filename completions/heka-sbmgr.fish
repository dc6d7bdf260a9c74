complete -c heka-sbmgr -l config -d 'TOML file: ip_address, use_tls, [signer], [tls]' -r -F
complete -c heka-sbmgr -l script -d 'Script of the filter to load' -r -F
complete -c heka-sbmgr -l scriptconfig -d 'Configuration of the filter to load: one section of TOML' -r -F
complete -c heka-sbmgr -l filtername -d 'Name of the filter to unload: its section\'s' -r
complete -c heka-sbmgr -l action -d 'What is to be done' -r -f -a "load\t''
unload\t''"
complete -c heka-sbmgr -l key-file -d 'File of the signer\'s key, if --config has none; else the environment variable HEKA_SIGNER_KEY' -r -F
complete -c heka-sbmgr -l stdout -d 'Write what is made to standard output instead of sending it'
complete -c heka-sbmgr -s h -l help -d 'Print help'
complete -c heka-sbmgr -s V -l version -d 'Print version'
