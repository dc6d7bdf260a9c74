complete -c heka-lua -s e -d 'Run this text instead of a file' -r
complete -c heka-lua -l line -d 'Give the script a message with this Payload, and show what it makes of it; may be repeated' -r
complete -c heka-lua -l message -d 'Give the script a message in JSON, such as {"Type":"x","Logger":"l","Fields":{"n":1}}; may be repeated' -r
complete -c heka-lua -l kind -d 'What the script is' -r -f -a "decoder\t''
filter\t''
encoder\t''"
complete -c heka-lua -l config-file -d 'Read the section of a hekad.toml that configures the script' -r
complete -c heka-lua -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-lua -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-lua -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-lua -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-lua -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-lua -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-lua -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-lua -l help-cases -d 'Explain case files'
complete -c heka-lua -s h -l help -d 'Print help'
complete -c heka-lua -s V -l version -d 'Print version'
