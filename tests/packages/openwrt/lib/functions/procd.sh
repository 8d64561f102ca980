# Stands for procd: it keeps a command running, and does not wait for the end of what it is told to stop.
procd_open_service() { procd_service=$1; }
procd_close_service() { :; }
procd_open_instance() { procd_command= procd_stop_seconds=5; }
procd_set_param() {
    what=$1
    shift
    case $what in
    command) procd_command=$* ;;
    term_timeout) procd_stop_seconds=$1 ;;
    *) ;;
    esac
}
procd_close_instance() {
    # Several words are meant to be several. shellcheck disable=SC2086
    setsid /sbin/supervise "$procd_service" $procd_command </dev/null >/dev/null 2>&1 &
}
procd_kill() {
    file=/run/supervise.$1
    if [ -e "$file" ]; then kill -USR1 "$(cat "$file")"; fi
}
