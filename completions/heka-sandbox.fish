complete -c heka-sandbox -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-sandbox -l lua -d 'The filter: a file, or the name of one that ships' -r -F
complete -c heka-sandbox -l config-file -d 'Read a SandboxFilter section of a hekad.toml: script, matcher, ticker, limits, configuration' -r
complete -c heka-sandbox -l name -d 'The filter\'s name, the Logger of its messages [default: the section\'s, or the script\'s]' -r
complete -c heka-sandbox -l match -d 'Give the script only messages that this expression selects (see heka-match)' -r
complete -c heka-sandbox -l ticker -d 'Call timer_event that often' -r
complete -c heka-sandbox -l clock -d 'What timers go by [default: message for files, wall when following]' -r -f -a "wall\t'The machine\'s clock'
message\t'The newest Timestamp so far'"
complete -c heka-sandbox -l preserve -d 'Keep the script\'s global data in this file, together with how far the input is counted in it' -r -F
complete -c heka-sandbox -l preserve-interval -d 'Save the state that often, and at the end' -r
complete -c heka-sandbox -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-sandbox -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-sandbox -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-sandbox -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-sandbox -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K]' -r
complete -c heka-sandbox -l max-process-inject -d 'Messages that process_message may inject in one call; 0 is no limit' -r
complete -c heka-sandbox -l max-timer-inject -d 'Messages that timer_event may inject in one call; 0 is no limit' -r
complete -c heka-sandbox -l no-final-timer -d 'Don\'t call timer_event once more at the end of the input'
complete -c heka-sandbox -l timer-event-on-shutdown -d 'Call timer_event once more when a signal ends the run'
complete -c heka-sandbox -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-sandbox -l can-exit -d 'When the script is terminated, go on without it'
complete -c heka-sandbox -l pass -d 'Pass the input through, with what the script injects in between'
complete -c heka-sandbox -l profile -d 'End with how long calls took, and what they used, on stderr'
complete -c heka-sandbox -s f -l follow -d 'Go on at the end of the last FILE'
complete -c heka-sandbox -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-sandbox -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-sandbox -s V -l version -d 'Print version'
