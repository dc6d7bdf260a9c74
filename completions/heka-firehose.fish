complete -c heka-firehose -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-firehose -l stream -d 'The delivery stream' -r
complete -c heka-firehose -l region -d 'AWS region [default: the environment\'s or the profile\'s]' -r
complete -c heka-firehose -l profile -d 'Profile of the AWS configuration and credentials files' -r
complete -c heka-firehose -l endpoint-url -d 'Where Firehose is, instead of the region\'s own; also AWS_ENDPOINT_URL_FIREHOSE' -r
complete -c heka-firehose -l format -d 'What records hold' -r -f -a "cloudwatch\t'JSON documents as CloudWatch Logs subscriptions send them'
json\t'Messages as JSON, a line each'
payload\t'Payloads, a line each'"
complete -c heka-firehose -l compression -d 'How records are compressed' -r -f -a "gzip\t''
none\t''"
complete -c heka-firehose -l compression-level -d '1 is fast, 9 is small' -r
complete -c heka-firehose -l log-group -d 'logGroup of records, such as web/%{Hostname} or %{Fields[app]} [default: the Type; syslog_message and gelf_message for what heka-listen makes]' -r
complete -c heka-firehose -l owner -d 'The account\'s number in records [default: AWS STS is asked for it]' -r
complete -c heka-firehose -l buffer-bytes -d 'Make records when so much is collected' -r
complete -c heka-firehose -l buffer-age -d '… or when a message has waited so long' -r
complete -c heka-firehose -l flush-interval -d 'Send records after that time, or when a request is full' -r
complete -c heka-firehose -l spool-dir -d 'Directory where records lie until Firehose has taken them [default: heka/firehose/STREAM in STATE_DIRECTORY or ~/.local/state]' -r -F
complete -c heka-firehose -l spool-max -d 'Stop reading while so much lies there' -r
complete -c heka-firehose -l in-flight -d 'Requests at a time' -r
complete -c heka-firehose -l drain -d 'After a stop was asked for, go on so long at most with what was read' -r
complete -c heka-firehose -l backup -d 'Append messages that are refused for what they are, or are too long, to this file, or to a file of the run\'s own in this directory, as a stream that can be sent later; also those that are given up by a limit that was set, or that nothing else keeps' -r -F
complete -c heka-firehose -l checkpoint -d 'Commit the cursors of what is delivered to this file, for a source that resumes from it' -r -F
complete -c heka-firehose -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-firehose -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-firehose -s V -l version -d 'Print version'
