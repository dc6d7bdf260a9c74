complete -c heka-tail -l from -d 'Where to begin a file that has no checkpoint' -r -f -a "start\t''
end\t''"
complete -c heka-tail -l checkpoint -d 'Resume from this file and keep it up to date; with `--commit sink` give each sink\'s file' -r -F
complete -c heka-tail -l commit -d 'Who writes the checkpoint: this program, for what it has handed on, or the sink, for what it has delivered' -r -f -a "source\t''
sink\t''"
complete -c heka-tail -l splitter -d 'How a file is cut into records' -r -f -a "token\t'At a text, a line end by default'
regex\t'At what matches a regex'
null\t'Each read is a record'
heka\t'Framed Heka messages, passed on as they are'"
complete -c heka-tail -l delimiter -d 'What ends a record: a text (\\n \\r \\t \\0 \\xHH are understood), or a regex with `--splitter regex`' -r
complete -c heka-tail -l delimiter-count -d 'Join so many delimited parts into one record' -r
complete -c heka-tail -l delimiter-at -d 'Where the text of a regex\'s group stays: at the end of a record or at the start of the next' -r -f -a "start\t''
end\t''"
complete -c heka-tail -l max-record -d 'Drop, and report, records that are longer (K, M and G are powers of 1024)' -r
complete -c heka-tail -l logger -d 'Header Logger [default: the file\'s name]' -r
complete -c heka-tail -l type -d 'Header Type' -r
complete -c heka-tail -l hostname -d 'Header Hostname [default: this machine\'s]' -r
complete -c heka-tail -l severity -d 'Header Severity, 0 to 7 [default: none, which counts as 7]' -r
complete -c heka-tail -l env-version -d 'Header EnvVersion' -r
complete -c heka-tail -s f -l follow -d 'Go on at the end of the files, by name: through rename, truncation and absence'
complete -c heka-tail -l keep-delimiter -d 'Leave the delimiter in the payload, as Heka does'
complete -c heka-tail -l keep-truncated -d 'Cut records that are too long instead of dropping them'
complete -c heka-tail -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-tail -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-tail -s V -l version -d 'Print version'
