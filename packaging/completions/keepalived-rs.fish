# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_keepalived_rs_global_optspecs
    string join \n f/use-file= P/vrrp C/check B/no_bfd all i/config-id= s/namespace= e/all-config n/dont-fork p/pid= r/vrrp_pid= c/checkers_pid= b/bfd_pid= u/umask= V/dont-release-vrrp I/dont-release-ipvs X/release-vips R/dont-respawn m/core-dump M/core-dump-pattern= ignore-sigint config-fd= L/mem-check-log l/log-console D/log-detail S/log-facility= G/no-syslog g/log-file= flush-log-file log-level= log-format= d/dump-conf a/address-monitoring x/snmp A/snmp-agent-socket= t/config-test= signum= T/genhash v/version h/help
end

function __fish_keepalived_rs_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_keepalived_rs_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_keepalived_rs_using_subcommand
    set -l cmd (__fish_keepalived_rs_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s f -l use-file -d 'Configuration file [/etc/keepalived/keepalived.conf]' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s i -l config-id -d 'Which lines \'@ID ...\' count [host name up to the first dot]' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s s -l namespace -d 'Run in this network namespace' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s p -l pid -d 'Pid file [/run/keepalived.pid]' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s r -l vrrp_pid -d 'Pid file of the VRRP part [/run/vrrp.pid]' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s c -l checkers_pid -d 'Pid file of the health checkers [/run/checkers.pid]' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s b -l bfd_pid -d 'Pid file of the BFD part [/run/bfd.pid]' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s u -l umask -d 'File mode creation mask [0177]' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s M -l core-dump-pattern -d 'The same, with this name [core]' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l config-fd -d 'Nothing: keepalived uses it between its processes' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s S -l log-facility -d '0-7, local0-local7, user, daemon [daemon]' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s g -l log-file -d 'Log to files too [/tmp/keepalived.log]; VRRP to FILE_vrrp' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l log-level -d 'error, warn, info, debug or trace; of everything, or of an area:' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l log-format -d 'On the console and in files: text or json [text]' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s A -l snmp-agent-socket -d 'AgentX master' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s t -l config-test -d 'Check the configuration, complain to FILE [standard error]' -r -F
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l signum -d 'Number of a signal: STOP RELOAD DATA STATS STATS_CLEAR JSON' -r -f
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s P -l vrrp -d 'Only VRRP, no health checking'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s C -l check -d 'Only health checking, no VRRP'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s B -l no_bfd -d 'No BFD'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l all -d 'Everything, whatever -P and -C said before'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s e -l all-config -d 'A missing include file is an error'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s n -l dont-fork -d 'Stay in the foreground'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s V -l dont-release-vrrp -d 'On stop, leave the addresses and send no priority 0'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s I -l dont-release-ipvs -d 'On stop, leave the IPVS table'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s X -l release-vips -d 'Nothing: addresses always go with the state'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s R -l dont-respawn -d 'A task that dies ends the daemon (it always does)'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s m -l core-dump -d 'Core files of any size'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l ignore-sigint -d 'SIGINT does nothing'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s L -l mem-check-log -d 'Nothing: keepalived\'s memory debugging'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s l -l log-console -d 'Log to standard error too, together with -n'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s D -l log-detail -d 'More detail; given twice: every packet'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s G -l no-syslog -d 'Do not log to syslog'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -l flush-log-file -d 'Nothing: each line is written at once'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s d -l dump-conf -d 'Log the configuration as it was understood'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s a -l address-monitoring -d 'Log every address that comes or goes'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s x -l snmp -d 'SNMP'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s T -l genhash -d 'Become genhash'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s v -l version -d 'Print versions'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -s h -l help -d 'Print this'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -f -a "check" -d 'Explain what is wrong with configuration files, without touching the machine.'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -f -a "reload" -d 'Have the running daemon read its configuration again, and wait for the outcome.'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -f -a "status" -d 'Show how the running daemon\'s instances, trackers and virtual servers are.'
complete -c keepalived-rs -n "__fish_keepalived_rs_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -s i -l config-id -d 'Which lines \'@ID ...\' count [host name up to the first dot]' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -s s -l namespace -d 'Look at the interfaces of this network namespace' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l format -d 'Form of the findings' -r -f -a "text\t''
json\t''"
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l color -d 'Colours in the text' -r -f -a "auto\t''
always\t''
never\t''"
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l explain -d 'Explain a code of a finding, such as unknown-keyword' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -s e -l all-config -d 'A missing include file is an error'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l cluster -d 'The files are those of the nodes of one cluster: find what breaks between them'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l diff -d 'Say what a reload from the first FILE to the second one would do'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l migrate -d 'Say what will differ from the keepalived that runs here, and how to switch and to go back'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l effective -d 'Print the configuration in force, each value with its file and line'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand check" -l show-secrets -d 'With --effective: print keys and passwords, too'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand reload" -s p -l pid -d 'Pid file of the daemon [/run/keepalived.pid]' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand reload" -l timeout -d 'How long to wait' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand status" -s p -l pid -d 'Pid file of the daemon [/run/keepalived.pid]' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand status" -l timeout -d 'How long to wait' -r
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand help; and not __fish_seen_subcommand_from check reload status help" -f -a "check" -d 'Explain what is wrong with configuration files, without touching the machine.'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand help; and not __fish_seen_subcommand_from check reload status help" -f -a "reload" -d 'Have the running daemon read its configuration again, and wait for the outcome.'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand help; and not __fish_seen_subcommand_from check reload status help" -f -a "status" -d 'Show how the running daemon\'s instances, trackers and virtual servers are.'
complete -c keepalived-rs -n "__fish_keepalived_rs_using_subcommand help; and not __fish_seen_subcommand_from check reload status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
