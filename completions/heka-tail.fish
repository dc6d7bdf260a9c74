complete -c heka-tail -l logstream -d 'Read the log streams below this directory: the files that `--match` selects' -r -F
complete -c heka-tail -l match -d 'A regex for the whole path below the directory; `(?P<Name>…)` names parts of it' -r
complete -c heka-tail -l priority -d 'What orders the files of a stream: names of groups, the most important first; `^Name` is descending' -r
complete -c heka-tail -l differentiator -d 'What names a stream, and so its Logger: names of groups and other text, joined' -r
complete -c heka-tail -l translate -d 'TOML file of numbers for the values of groups: `[NAME] value = 1`; `missing` where a group matched nothing' -r -F
complete -c heka-tail -l oldest -d 'Leave out files that were last changed longer ago, such as 720h [default: none; 720h with --config]' -r
complete -c heka-tail -l rescan -d 'Look for new files at least so often; a changed directory is noticed at once [default: 5s]' -r
complete -c heka-tail -l config -d 'Read the LogstreamerInput sections of a hekad.toml, or the one named (its decoder is not run)' -r
complete -c heka-tail -l heka-journal -d 'Where Heka kept its journals (or one of them): streams without a checkpoint go on there' -r -F
complete -c heka-tail -l from -d 'Where to begin a file, or a log stream, that has no checkpoint [default: start]' -r -f -a "start\t''
end\t''"
complete -c heka-tail -l rotate-wait -d 'After a rotation, go on to the new file when the old one has been quiet for so long' -r
complete -c heka-tail -l checkpoint -d 'Resume from this file and keep it up to date; with `--commit sink` give each sink\'s file' -r -F
complete -c heka-tail -l commit -d 'Who writes the checkpoint: this program, for what it has handed on, or the sink, for what it has delivered' -r -f -a "source\t''
sink\t''"
complete -c heka-tail -l final-line -d 'Without -f, a last line that has no end yet: it waits for the next run, or comes as it is [default: wait with --checkpoint, else emit; with --config as deliver_incomplete_final says; what is compressed or was rotated can\'t grow any more, and comes]' -r -f -a "wait\t''
emit\t''"
complete -c heka-tail -l splitter -d 'How a file is cut into records [default: token]' -r -f -a "token\t'At a text, a line end by default'
regex\t'At what matches a regex'
group\t'Lines, each with those after it that match --grouping'
pattern-group\t'Consecutive lines that match --grouping, together; others alone (Heka\'s PatternGroupingSplitter)'
null\t'Each read is a record'
heka\t'Framed Heka messages, passed on as they are'"
complete -c heka-tail -l delimiter -d 'What ends a record: a text (\\n \\r \\t \\0 \\xHH are understood), or a regex with `--splitter regex` or `group`' -r
complete -c heka-tail -l delimiter-count -d 'Join so many delimited parts into one record' -r
complete -c heka-tail -l delimiter-at -d 'Where the text of a regex\'s group stays: at the end of a record or at the start of the next' -r -f -a "start\t''
end\t''"
complete -c heka-tail -l grouping -d 'With `--splitter group`: a regex for the lines that belong to the line before them; with `pattern-group`: for those that belong together' -r
complete -c heka-tail -l max-lines -d 'With `--splitter group` or `pattern-group`: most lines of a record' -r
complete -c heka-tail -l signers -d 'With `--splitter heka`: TOML file of signers\' keys, [NAME_VERSION] with hmac_key: what is signed otherwise is dropped' -r -F
complete -c heka-tail -l require-signer -d 'Drop messages that this signer has not signed' -r
complete -c heka-tail -l flush-timeout -d 'A record that waits for the next one\'s beginning (regex, group) goes out after so long' -r
complete -c heka-tail -l encoding -d 'What files are written in that don\'t say it: utf-16le, windows-1252 … Payloads are UTF-8 [default: as it is; UTF-16 is known by its byte order mark]' -r
complete -c heka-tail -l max-record -d 'Drop, and report, records that are longer (K, M and G are powers of 1024)' -r
complete -c heka-tail -l logger -d 'Header Logger [default: the file\'s name, or the stream\'s]' -r
complete -c heka-tail -l type -d 'Header Type' -r
complete -c heka-tail -l hostname -d 'Header Hostname [default: this machine\'s]' -r
complete -c heka-tail -l severity -d 'Header Severity, 0 to 7 [default: none, which counts as 7]' -r
complete -c heka-tail -l env-version -d 'Header EnvVersion' -r
complete -c heka-tail -l list -d 'Show the streams, their files in reading order, and where reading would resume; read nothing'
complete -c heka-tail -s f -l follow -d 'Go on at the end of the files, by name: through rename, truncation and absence'
complete -c heka-tail -l keep-delimiter -d 'Leave the delimiter in the payload, as Heka does, and bytes as they are: else a \\r before \\n is part of it, and a byte order mark and NULs at the beginning of a file are left out'
complete -c heka-tail -l keep-truncated -d 'Cut records that are too long instead of dropping them'
complete -c heka-tail -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-tail -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-tail -s V -l version -d 'Print version'
