# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_heka_cef_global_optspecs
    string join \n severity= signature= username= vendor= product= device-version= cef-version= config= environ= ext= date= host= compat max-length= syslog-facility= syslog-ident= syslog-priority= logger= h/help V/version
end

function __fish_heka_cef_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_heka_cef_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_heka_cef_using_subcommand
    set -l cmd (__fish_heka_cef_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c heka-cef -n "__fish_heka_cef_needs_command" -l severity -d 'How bad it is: 0 to 10, or Unknown, Low, Medium, High, Very-High' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l signature -d 'What kind of event it is [default: its name]; AUTH_FAILURE, CAPTCHA_FAILURE, OVERRIDE_FAILURE, ACCOUNT_LOCKED and PASSWD_RESET_CLR stand for the library\'s' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l username -d 'Whom it is about' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l vendor -d 'Who made the device' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l product -d 'What the device is' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l device-version -d 'The device\'s version' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l cef-version -d 'The format\'s version [default: 0]' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l config -d 'INI file with `cef.vendor = …` and the like, and settings of [heka_plugin_cef]' -r -F
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l environ -d 'A request\'s CGI variables, as a JSON object or as lines KEY=VALUE; `-` is standard input' -r -F
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l ext -d 'More of the extension' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l date -d 'What the record begins with [default: now, as Feb 10 08:46:41]' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l host -d 'The host in the record [default: this machine\'s name]' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l max-length -d 'Leave out keys that would make the record longer' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l syslog-facility -d 'Where syslog shall put it: KERN USER MAIL DAEMON AUTH LPR NEWS UUCP CRON LOCAL0 to LOCAL7 [default: LOCAL4]' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l syslog-ident -d 'What syslog shall call the program' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l syslog-priority -d 'How urgent syslog shall take it: EMERG ALERT CRIT ERR WARNING NOTICE INFO DEBUG' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l logger -d 'Header Logger' -r
complete -c heka-cef -n "__fish_heka_cef_needs_command" -l compat -d 'Write the record byte for byte as Mozilla\'s `cef` library for Python: not everything is escaped, keys that pass 1,024 bytes are left out'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -s h -l help -d 'Print help'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -s V -l version -d 'Print version'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -a "log" -d 'Make a message of one record, as without a command'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -a "parse" -d 'Take the records in payloads apart into fields; the payload stays as it is'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -a "format" -d 'Make a record of each message\'s fields, in its payload; what `parse` read comes out as it was'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -a "syslog" -d 'Send payloads to syslog, with the facility, the priority and the ident of their messages'
complete -c heka-cef -n "__fish_heka_cef_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l severity -d 'How bad it is: 0 to 10, or Unknown, Low, Medium, High, Very-High' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l signature -d 'What kind of event it is [default: its name]; AUTH_FAILURE, CAPTCHA_FAILURE, OVERRIDE_FAILURE, ACCOUNT_LOCKED and PASSWD_RESET_CLR stand for the library\'s' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l username -d 'Whom it is about' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l vendor -d 'Who made the device' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l product -d 'What the device is' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l device-version -d 'The device\'s version' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l cef-version -d 'The format\'s version [default: 0]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l config -d 'INI file with `cef.vendor = …` and the like, and settings of [heka_plugin_cef]' -r -F
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l environ -d 'A request\'s CGI variables, as a JSON object or as lines KEY=VALUE; `-` is standard input' -r -F
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l ext -d 'More of the extension' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l date -d 'What the record begins with [default: now, as Feb 10 08:46:41]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l host -d 'The host in the record [default: this machine\'s name]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l max-length -d 'Leave out keys that would make the record longer' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l syslog-facility -d 'Where syslog shall put it: KERN USER MAIL DAEMON AUTH LPR NEWS UUCP CRON LOCAL0 to LOCAL7 [default: LOCAL4]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l syslog-ident -d 'What syslog shall call the program' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l syslog-priority -d 'How urgent syslog shall take it: EMERG ALERT CRIT ERR WARNING NOTICE INFO DEBUG' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l logger -d 'Header Logger' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -l compat -d 'Write the record byte for byte as Mozilla\'s `cef` library for Python: not everything is escaped, keys that pass 1,024 bytes are left out'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand log" -s h -l help -d 'Print help'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -l labels -d 'Name cs1, cn1, flexString1 and their like by their labels'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -l typed -d 'Make numbers of the keys that are numbers or times by CEF\'s dictionary (times in ms)'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -l severity -d 'Header Severity from the record\'s: 9 and 10 are 2, 7 and 8 are 3, 4 to 6 are 4, 0 to 3 are 6'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -l strict -d 'Exit with 1 if a payload was no record'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand parse" -s h -l help -d 'Print help'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l map -d 'The extension: a key and the variable of the message that it has; may be repeated [default: all fields]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l encoder -d 'Make the records with a Lua encoder instead: a file, or the name of one that ships' -r -F
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l max-failures -d 'End when a script has failed on so many messages in a row (an error or a limit of its own, not its rejection); 0 is never' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l vendor -d 'Vendor of messages without Fields[cef.device_vendor]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l product -d 'Product of messages without Fields[cef.device_product]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l device-version -d 'Version of the device in messages without Fields[cef.device_version]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l strict -d 'Only keys of CEF\'s dictionary, with values of their types and lengths; exit with 1 if a message made no record'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand format" -s h -l help -d 'Print help'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l address -d 'unix:PATH, udp://HOST[:514], tcp://HOST[:514] or tls://HOST[:6514] [default: this machine\'s, /dev/log]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l ca -d 'PEM file of the authorities that a server\'s certificate may come from [default: the system\'s]' -r -F
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l facility -d 'Facility, whatever messages say [default: Fields[cef_meta.syslog_facility], or LOCAL4]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l priority -d 'Priority, whatever messages say [default: Fields[cef_meta.syslog_priority], or INFO]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l ident -d 'Ident, whatever messages say [default: Fields[cef_meta.syslog_ident], or heka_no_ident]' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l checkpoint -d 'Keep in this file how far the stream has been sent' -r -F
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l give-up-after -d 'End when nothing could be sent for so long' -r
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l strip -d 'Leave out what a payload has before CEF:, since syslog adds a time and a host of its own'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l rfc5424 -d 'Write the header of RFC 5424'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand syslog" -s h -l help -d 'Print help'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand help; and not __fish_seen_subcommand_from log parse format syslog help" -f -a "log" -d 'Make a message of one record, as without a command'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand help; and not __fish_seen_subcommand_from log parse format syslog help" -f -a "parse" -d 'Take the records in payloads apart into fields; the payload stays as it is'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand help; and not __fish_seen_subcommand_from log parse format syslog help" -f -a "format" -d 'Make a record of each message\'s fields, in its payload; what `parse` read comes out as it was'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand help; and not __fish_seen_subcommand_from log parse format syslog help" -f -a "syslog" -d 'Send payloads to syslog, with the facility, the priority and the ident of their messages'
complete -c heka-cef -n "__fish_heka_cef_using_subcommand help; and not __fish_seen_subcommand_from log parse format syslog help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
