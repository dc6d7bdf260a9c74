complete -c heka-inject -l type -d 'Header Type' -r
complete -c heka-inject -l logger -d 'Header Logger' -r
complete -c heka-inject -l severity -d 'Header Severity: 0 to 7, or emerg, alert, crit, err, warning, notice, info, debug' -r
complete -c heka-inject -l payload -d 'Header Payload; `-` reads standard input' -r
complete -c heka-inject -l env-version -d 'Header EnvVersion' -r
complete -c heka-inject -l pid -d 'Header Pid [default: this process\'s]' -r
complete -c heka-inject -l hostname -d 'Header Hostname [default: this machine\'s]' -r
complete -c heka-inject -l timestamp -d 'Header Timestamp, as RFC 3339 or as seconds since 1970 with a fraction [default: now]' -r
complete -c heka-inject -l field -d 'A field, NAME[:TYPE[:REPRESENTATION]]=VALUE; TYPE is string, bytes (base64), integer, double or bool; more values where the same is given again' -r
complete -c heka-inject -l config -d 'TOML file with a signer, and a server\'s address and TLS, as for heka-sbmgr' -r -F
complete -c heka-inject -l key-file -d 'File of the signer\'s key, if --config has none; else the environment variable HEKA_SIGNER_KEY' -r -F
complete -c heka-inject -l address -d 'Send it to this server instead of standard output' -r
complete -c heka-inject -l send -d 'Send it to the server of --config instead of standard output'
complete -c heka-inject -s h -l help -d 'Print help'
complete -c heka-inject -s V -l version -d 'Print version'
