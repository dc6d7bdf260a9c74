complete -c heka-cat -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-cat -l format -d 'What to write for each message' -r -f -a "text\t'Heka\'s own text form, for people'
json\t'One object a line, lossless; --from-json reads it back'
payload\t'The payloads, each ended by a newline'
count\t'How many messages there are'
heka\t'Framed messages, byte for byte'"
complete -c heka-cat -l match -d 'Only messages that this expression selects (see heka-match)' -r
complete -c heka-cat -s n -l last -d 'Only the last N messages' -r
complete -c heka-cat -l offset -d 'Begin at this byte of each FILE' -r
complete -c heka-cat -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c heka-cat -l checkpoint -d 'Commit the cursors of what has been written to this file, for a source that resumes from it' -r -F
complete -c heka-cat -s c -l count -d 'The same as --format count'
complete -c heka-cat -s f -l follow -d 'Go on at the end of the last FILE'
complete -c heka-cat -l from-json -d 'Read lines of JSON, as --format json writes them, and write messages'
complete -c heka-cat -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-cat -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-cat -s V -l version -d 'Print version'
