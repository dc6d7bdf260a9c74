complete -c heka-cat -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-cat -l format -d 'What to write for each message' -r -f -a "text\t'Heka\'s own text form, for people'
json\t'One object a line, lossless; --from-json reads it back'
payload\t'The payloads, each ended by a newline'
count\t'How many messages there are'
heka\t'Framed messages, byte for byte'"
complete -c heka-cat -l encoder -d 'Write what a Lua encoder makes of each message: a file, or the name of one that ships' -r -F
complete -c heka-cat -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-cat -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-cat -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-cat -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-cat -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-cat -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-cat -l max-failures -d 'End when a script has failed on so many messages in a row (an error or a limit of its own, not its rejection); 0 is never' -r
complete -c heka-cat -l match -d 'Only messages that this expression selects (see heka-match)' -r
complete -c heka-cat -s n -l last -d 'Only the last N messages' -r
complete -c heka-cat -l offset -d 'Begin at this byte of each FILE' -r
complete -c heka-cat -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c heka-cat -l checkpoint -d 'Commit the cursors of what has been written to this file, for a source that resumes from it' -r -F
complete -c heka-cat -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-cat -s c -l count -d 'The same as --format count'
complete -c heka-cat -s f -l follow -d 'Go on at the end of the last FILE, also when it is renamed (heka-tail -f --splitter heka follows names)'
complete -c heka-cat -l from-json -d 'Read lines of JSON, as --format json writes them, and write messages'
complete -c heka-cat -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-cat -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-cat -s V -l version -d 'Print version'
