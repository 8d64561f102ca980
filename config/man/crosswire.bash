# Made by `crosswire man`.
_crosswire() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="run check cable-test status why peer handover takeover drill fence standby online maintenance reload upgrade keygen witness import --help --version"
    else
        case ${COMP_WORDS[1]} in
        run) words="--config --node --run-dir --foreground --check --help" ;;
        check) words="--config --node --offline --peer --json -v --run-dir --help" ;;
        cable-test) words="--max-baud --wait --json --help" ;;
        status) words="--run-dir --json --nagios -q --watch --prometheus --html -v --help" ;;
        why) words="--run-dir --last --at --journal --json --svg --record --help" ;;
        peer) words="--run-dir --cable --help" ;;
        handover) words="--run-dir --reason --help" ;;
        takeover) words="--run-dir --peer-is-off --reason --help" ;;
        drill) words="--run-dir --yes --help" ;;
        fence) words="--config --node --test --help" ;;
        standby) words="--run-dir --force --reason --help" ;;
        online) words="--run-dir --help" ;;
        maintenance) words="--run-dir --for --reason --help" ;;
        reload) words="--run-dir --help" ;;
        upgrade) words="--run-dir --help" ;;
        keygen) words="--rotate --witness --config --help" ;;
        witness) words="--keys --listen --run-dir --foreground --check --help" ;;
        import) words="--to --addresses --peer --help" ;;
        esac
    fi
    case $before in
        --config | --html | --journal | --keys | --peer | --record | --run-dir | --svg | --to | --witness) COMPREPLY=($(compgen -f -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    esac
}
complete -o default -F _crosswire crosswire
