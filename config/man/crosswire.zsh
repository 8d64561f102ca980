#compdef crosswire
# Made by `crosswire man`.
local -a commands
commands=(
    'run:Run the daemon'
    'check:Check the configuration and this box; -v adds the timing proof'
    'cable-test:Test a null-modem cable, on both ends or facing a daemon in maintenance'
    'status:Show both nodes as the running daemon sees them'
    'why:Tell why this node did what it did, and why it did not'
    'peer:Show what the other node says of itself, over the cable if the LAN is dead'
    'handover:Let the peer serve a group that this node serves'
    'takeover:Serve a group that the peer serves'
    'drill:Rehearse\: hand a group over and back, and say for how long nobody answered'
    'fence:Try the fences without a failure'
    'standby:Hold nothing until told `online`\: the peer serves everything'
    'online:End standby\: this node may serve again'
    'maintenance:Have nothing moved for a while\: `on` or `off`'
    'reload:Read the configuration anew; only what has changed is touched'
    'upgrade:Go on in place with a new binary, or with the configuration read afresh; nothing moves'
    'keygen:Make a key file, or add a new key to it'
    'witness:Run the voting witness of other pairs, on a third box'
    'import:Make a configuration from Heartbeat'\''s or keepalived'\''s'
)
if (( CURRENT == 2 )); then
    _describe -t commands command commands
    compadd -- --help --version
    return
fi
shift words
(( CURRENT-- ))
case ${words[1]} in
run)
    _arguments \
        '--config=[Configuration file]:FILE:_files' \
        '--node=[Which node this box is (default\: uname -n)]:NAME: ' \
        '--run-dir=[Where pid file and control socket go]:DIR:_files' \
        '--foreground[Stay in the foreground and log to stderr too (under systemd to stderr alone)]' \
        '--check[Only say why it would not start, if so]' \
        '--help[Prints help information]'
    ;;
check)
    _arguments \
        '--config=[Configuration file]:FILE:_files' \
        '--node=[Which node this box is, if not the one that `uname -n` says (offline\: both)]:NAME: ' \
        '--offline[Check the file alone\: this is another box]' \
        '--peer[Ask the peer what it goes by, and show the keys in which the file differs]' \
        '--json[Say only what is wrong, as JSON]' \
        '-v[The timing proof too\: what happens when, and what every group waits for]' \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--help[Prints help information]'
    ;;
cable-test)
    _arguments \
        '--max-baud=[Fastest speed to try]:BAUD: ' \
        '--wait=[How long to wait for the other end, in seconds]:SECONDS: ' \
        '--json[As JSON]' \
        ':DEVICE:_files' \
        '--help[Prints help information]'
    ;;
status)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--json[As JSON]' \
        '--nagios[One line for Nagios, with the exit codes of its plugins\: 0, 1, 2, 3]' \
        '-q[One line, and none if all is well]' \
        '--watch[The screen kept up to date in place; on a pipe, a line for each change]' \
        '--prometheus[As metrics for Prometheus (its textfile collector)]' \
        '--html=[As a page for a browser, which greys itself when it is three minutes old]:FILE:_files' \
        '-v[The figures of every path too\: beats, gaps, jitter, the line, the UART]' \
        '--help[Prints help information]'
    ;;
why)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--last=[How many entries at most]:COUNT: ' \
        '--at=[What happened so long ago (90s, 10m, 2h), a minute before and after it]:TIME: ' \
        '--journal=[The journal that is here, and no daemon]:FILE:_files' \
        '--json[As JSON]' \
        '--svg=[Draw it\: paths, lines, the peer and the groups over time]:FILE:_files' \
        '--record=[Write what the decision was told last, for `simulate --replay`]:FILE:_files' \
        '--help[Prints help information]'
    ;;
peer)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--cable[Ask over the cable alone, where nobody else can read along]' \
        ':status|why|log: ' \
        '--help[Prints help information]'
    ;;
handover)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--reason=[Why, for the log]:TEXT: ' \
        ':GROUP: ' \
        '--help[Prints help information]'
    ;;
takeover)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--peer-is-off[You have seen that the peer is off\: replaces missing evidence, never the probe]' \
        '--reason=[Why, for the log]:TEXT: ' \
        ':GROUP: ' \
        '--help[Prints help information]'
    ;;
drill)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--yes[Do not ask first]' \
        ':GROUP: ' \
        '--help[Prints help information]'
    ;;
fence)
    _arguments \
        '--config=[Configuration file]:FILE:_files' \
        '--node=[Which node this box is (default\: uname -n)]:NAME: ' \
        '--test[Ask for the status only; nothing is switched off]' \
        '--help[Prints help information]'
    ;;
standby)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--force[Even if the peer cannot serve instead]' \
        '--reason=[Why, for the log]:TEXT: ' \
        '--help[Prints help information]'
    ;;
online)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--help[Prints help information]'
    ;;
maintenance)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--for=[When it ends by itself, as in 90m]:TIME: ' \
        '--reason=[Why, for the log]:TEXT: ' \
        ':on|off: ' \
        '--help[Prints help information]'
    ;;
reload)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '--help[Prints help information]'
    ;;
upgrade)
    _arguments \
        '--run-dir=[Where the daemon'\''s control socket is]:DIR:_files' \
        '::FILE:_files' \
        '--help[Prints help information]'
    ;;
keygen)
    _arguments \
        '--rotate[Add a new key in front of those that are there; they stay accepted]' \
        '--witness=[Make FILE, the keys of the pair'\''s voting witness, from the pair'\''s keys]:FILE:_files' \
        '--config=[Configuration of the pair whose witness it is]:FILE:_files' \
        '::FILE:_files' \
        '--help[Prints help information]'
    ;;
witness)
    _arguments \
        '--keys=[Directory of the pairs'\'' witness keys, a file each\: see keygen --witness]:DIR:_files' \
        '--listen=[Address to be asked at (default\: all addresses of the box, UDP port 1694)]:ADDR:PORT: ' \
        '--run-dir=[Where the pid file goes]:DIR:_files' \
        '--foreground[Stay in the foreground and log to stderr too (under systemd to stderr alone)]' \
        '--check[Only say how many pairs have keys, or what is wrong with them]' \
        '--help[Prints help information]'
    ;;
import)
    _arguments \
        '--to=[Where crosswire.toml and key are written; what is there already stays]:DIR:_files' \
        '--addresses=[The nodes'\'' own addresses, where the files and /etc/hosts do not say them; one for each LAN]:NODE=IP,...: ' \
        '--peer=[The other node'\''s keepalived.conf]:FILE:_files' \
        ':FILE-OR-DIR:_files' \
        '--help[Prints help information]'
    ;;
esac
