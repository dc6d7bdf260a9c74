# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_heka_sandbox_global_optspecs
    string join \n max-message-size= lua= config-file= name= match= ticker= clock= no-final-timer timer-event-on-shutdown preserve= preserve-interval= config= help-script= module-directory= memory-limit= instruction-limit= output-limit= strict-nil max-process-inject= max-timer-inject= can-exit pass profile f/follow stats h/help V/version
end

function __fish_heka_sandbox_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_heka_sandbox_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_heka_sandbox_using_subcommand
    set -l cmd (__fish_heka_sandbox_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l lua -d 'The filter: a file, or the name of one that ships' -r -F
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l config-file -d 'Read a SandboxFilter section of a hekad.toml: script, matcher, ticker, limits, configuration' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l name -d 'The filter\'s name, the Logger of its messages [default: the section\'s, or the script\'s]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l match -d 'Give the script only messages that this expression selects (see heka-match)' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l ticker -d 'Call timer_event that often' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l clock -d 'What timers go by [default: message for files, wall when following]' -r -f -a "wall\t'The machine\'s clock'
message\t'The newest Timestamp so far'"
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l preserve -d 'Keep the script\'s global data in this file, together with how far the input is counted in it' -r -F
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l preserve-interval -d 'Save the state that often, and at the end' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l config -d 'A configuration variable of the script, with a TOML value (other text is taken as it stands)' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l help-script -d 'Show what a script that ships, or a module, is for and can be told by --config, and end' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l max-process-inject -d 'Messages that process_message may inject in one call; 0 is no limit' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l max-timer-inject -d 'Messages that timer_event may inject in one call; 0 is no limit' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l no-final-timer -d 'Don\'t call timer_event once more at the end of the input'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l timer-event-on-shutdown -d 'Call timer_event once more when a signal ends the run'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l can-exit -d 'When the script is terminated, go on without it'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l pass -d 'Pass the input through, with what the script injects in between'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l profile -d 'End with how long calls took, and what they used, on stderr'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -s f -l follow -d 'Go on at the end of the last FILE'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -s V -l version -d 'Print version'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -a "manage" -d 'Load and unload filters as signed messages in the stream ask for (Heka\'s SandboxManagerFilter)'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -a "list" -d 'Show the filters of a manager\'s directory: what they use, of what, and why they ended'
complete -c heka-sandbox -n "__fish_heka_sandbox_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l max-message-size -d 'Skip, and report, messages that are longer (K, M and G are powers of 1024)' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l config-file -d 'Read a SandboxManagerFilter section of a hekad.toml: signer, matcher, directory, limits' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l name -d 'The manager\'s name, the first part of its filters\' names [default: the section\'s]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l dir -d 'Where configurations, scripts and data of the filters are kept; what is there is loaded at the start' -r -F
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l signer -d 'Obey messages that this signer has signed' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l keys -d 'Check signatures with these keys, as heka-listen --signers does; without, the stream is believed' -r -F
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l max-age -d 'Refuse control messages whose Timestamp is that far from now, or farther, and such as were obeyed before; 0: none' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l match -d 'Which messages are control messages' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l max-filters -d 'Filters that may run at a time' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l module-directory -l lua-path -d 'Where scripts and modules are looked for before those that ship; `;` separates several' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l memory-limit -d 'Memory that a script may use; 0 is no limit [default: 8M]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l instruction-limit -d 'Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l output-limit -d 'Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l max-process-inject -d 'Messages that process_message may inject in one call; 0 is no limit' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l max-timer-inject -d 'Messages that timer_event may inject in one call; 0 is no limit' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l max-process-duration -d 'End a filter that takes longer for a message, on average, while messages wait; 0: none' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -s j -l jobs -d 'Threads that share the filters' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l clock -d 'What timers go by' -r -f -a "wall\t'The machine\'s clock'
message\t'The newest Timestamp so far'"
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l preserve-interval -d 'Save the state of filters that keep it that often, and at the end' -r
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l any-signer -d 'Obey anybody who can write to the stream'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l strict-nil -d 'Headers that a message doesn\'t have read as nil instead of as an empty string'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l no-final-timer -d 'Don\'t call timer_event once more at the end of the input'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l pass -d 'Pass the input through, with what the filters inject in between'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -s f -l follow -d 'Go on at the end of the last FILE'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -l stats -d 'End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand manage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand list" -l dir -d 'The directory of `heka-sandbox manage`' -r -F
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand list" -l json -d 'A JSON object for each filter, with all that is known of it'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand list" -s h -l help -d 'Print help'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand help; and not __fish_seen_subcommand_from manage list help" -f -a "manage" -d 'Load and unload filters as signed messages in the stream ask for (Heka\'s SandboxManagerFilter)'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand help; and not __fish_seen_subcommand_from manage list help" -f -a "list" -d 'Show the filters of a manager\'s directory: what they use, of what, and why they ended'
complete -c heka-sandbox -n "__fish_heka_sandbox_using_subcommand help; and not __fish_seen_subcommand_from manage list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
