complete -c heka-decode -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-decode -l lua -d 'The decoder: a file, or the name of one that ships; repeat it for a chain' -r -F
complete -c heka-decode -l config-file -d 'Read a SandboxDecoder section of a hekad.toml: script, limits, configuration' -r
complete -c heka-decode -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-decode -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-decode -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-decode -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-decode -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-decode -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-decode -l max-failures -d 'End when a script has failed on so many messages in a row (an error or a limit of its own, not its rejection); 0 is never' -r
complete -c heka-decode -l on-failure -d 'What to do with a message that a decoder rejects: drop, keep (with two fields that say why), stop, or file=PATH' -r
complete -c heka-decode -s j -l jobs -d 'Decode on so many threads; the order is kept. Unless given: as many as there are processors, at most 4, for decoders that ship; your own run on one, since they may keep something between messages' -r
complete -c heka-decode -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-decode -l strict -d 'Exit with 1 when any message was rejected, not only when all were'
complete -c heka-decode -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-decode -s h -l help -d 'Print help'
complete -c heka-decode -s V -l version -d 'Print version'
