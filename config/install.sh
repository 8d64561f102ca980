#!/bin/sh
# config/install.sh [--init sysv|systemd|openwrt|none] [--binary FILE] [--witness]: puts crosswire onto this box, or below
# DESTDIR. With --witness what starts the voting witness of other pairs, in the place of what starts a gateway.
# config/install.sh --uninstall: takes off what it has put there, but neither configuration nor key.
#
#   DESTDIR=/mnt/root config/install.sh     into another root, such as an image
#
# It makes the user and the group crosswire, or says how where it cannot. It enables and starts nothing: it says how. A
# configuration that is there stays as it is, and so does a key; it makes none, since both boxes must have the same one. A
# running daemon keeps its old binary until it is restarted, and the old binary stays beside the new one as crosswire.old.
# Any POSIX shell; of other programs only what BusyBox has.
set -eu
# Who became root by su may not have these.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

root=${DESTDIR:-}
root=${root%/}
here=$(cd "$(dirname "$0")" && pwd)
sbin=$root/usr/local/sbin
share=$root/usr/local/share
man=$share/man
bash=$share/bash-completion/completions/crosswire
zsh=$share/zsh/site-functions/_crosswire
fish=$share/fish/vendor_completions.d/crosswire.fish
etc=$root/etc/crosswire
binary=
init=
service=crosswire
action=install

say() { printf '%s\n' "install: $*"; }
fail() {
    printf '%s\n' "install: $*" >&2
    exit 1
}

# put MODE FROM TO: whole or not at all, and also while the old one is being executed.
put() {
    mkdir -p "$(dirname "$3")"
    rm -f "$3.new"
    cp "$2" "$3.new"
    chmod "$1" "$3.new"
    mv -f "$3.new" "$3"
    say "$3"
}

# take FILE...: away, if it is there.
take() {
    for file; do
        [ -e "$file" ] || continue
        rm -f "$file"
        say "removed $file"
    done
}

# The binary for this box: the one that was named, one beside this script, or the static build's.
find_binary() {
    if [ -n "$binary" ]; then
        [ -f "$binary" ] || fail "there is no $binary"
        return
    fi
    for binary in "$here/crosswire" "$here/../target/static/i586-unknown-linux-musl/release/crosswire"; do
        [ -f "$binary" ] && return
    done
    fail "no binary: make it with config/build-static.sh, or name it with --binary FILE"
}

# is_crosswire FILE: whether it runs here and is a crosswire. It need not run here if it is for another root, perhaps of
# another machine: there it has to look like one.
is_crosswire() {
    if "$1" --help 2>/dev/null </dev/null | grep -q '^Usage: crosswire '; then return 0; fi
    [ -n "$root" ] && [ "$(head -c 4 "$1" | tail -c 3)" = ELF ] && grep -q 'Usage: crosswire' "$1"
}

# The new binary, whole or not at all, once it is known to be one. The one before stays beside it for the way back.
put_binary() {
    mkdir -p "$sbin"
    new=$sbin/crosswire.new
    rm -f "$new"
    cp "$binary" "$new"
    chmod 755 "$new"
    if ! is_crosswire "$new"; then
        rm -f "$new"
        fail "$binary is no crosswire for this machine ($(uname -m)): nothing was changed"
    fi
    if [ -f "$sbin/crosswire" ] && ! cmp -s "$sbin/crosswire" "$new"; then
        cp -p "$sbin/crosswire" "$sbin/crosswire.old.new"
        mv -f "$sbin/crosswire.old.new" "$sbin/crosswire.old"
        say "$sbin/crosswire.old is the one before: mv it back if you do not like this one"
    fi
    mv -f "$new" "$sbin/crosswire"
    say "$sbin/crosswire"
}

has_program() { command -v "$1" >/dev/null 2>&1; }

# has_name FILE: whether crosswire stands in that file of the root.
has_name() { grep -q '^crosswire:' "$root/etc/$1" 2>/dev/null; }

# A user that is nobody else: the unprivileged half of the daemon runs as it. Its group may ask for the status.
put_user() {
    if ! has_name group; then make_group >/dev/null 2>&1 || :; fi
    if ! has_name passwd; then make_user >/dev/null 2>&1 || :; fi
    if has_name group && has_name passwd; then
        say "user and group crosswire"
    else
        say "user and group crosswire could NOT be made: do it before you start it, or it runs as a number of its own"
        say "  groupadd -r crosswire; useradd -r -g crosswire -d /nonexistent -s /bin/false crosswire"
    fi
}

# Below DESTDIR only its own files count: the tools of this box would change this box.
make_group() {
    if [ -n "$root" ]; then
        append group "crosswire:x:$(free_id group):"
    elif has_program groupadd; then
        groupadd -r crosswire
    elif has_program addgroup; then
        # BusyBox, Debian.
        addgroup -S crosswire || addgroup --system crosswire
    fi
}

make_user() {
    if [ -n "$root" ]; then
        gid=$(sed -n 's/^crosswire:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")
        [ -n "$gid" ] || return 1
        append passwd "crosswire:x:$(free_id passwd):$gid:crosswire:/nonexistent:/bin/false"
        if [ -f "$root/etc/shadow" ]; then append shadow "crosswire:!:1::::::"; fi
    elif has_program useradd; then
        useradd -r -M -g crosswire -d /nonexistent -s /bin/false crosswire ||
            useradd -r -g crosswire -d /nonexistent -s /bin/false crosswire
    elif has_program adduser; then
        adduser -S -D -H -h /nonexistent -s /bin/false -G crosswire crosswire ||
            adduser --system --no-create-home --home /nonexistent --shell /bin/false --ingroup crosswire crosswire
    fi
}

# The highest number below those of people that nobody has in that file of the root.
free_id() {
    id=999
    while grep -q "^[^:]*:[^:]*:$id:" "$root/etc/$1"; do id=$((id - 1)); done
    printf '%s\n' "$id"
}

# append FILE LINE: to a file of the root that is there, with its mode.
append() {
    [ -f "$root/etc/$1" ] || return 1
    # A last line may have no end.
    [ -z "$(tail -c 1 "$root/etc/$1")" ] || printf '\n' >>"$root/etc/$1"
    printf '%s\n' "$2" >>"$root/etc/$1"
}

# What starts things on that root.
find_init() {
    if [ -e "$root/etc/openwrt_release" ]; then
        init=openwrt
    elif [ -d "$root/run/systemd/system" ]; then
        init=systemd
    else
        case $(readlink "$root/sbin/init" 2>/dev/null) in
        */systemd) init=systemd ;;
        *) init=sysv ;;
        esac
    fi
}

# How to enable what was installed for each.
put_init() {
    case $init in
    sysv)
        put 755 "$here/init/$service" "$root/etc/init.d/$service"
        put 644 "$here/init/inittab" "$etc/inittab.example"
        enable="update-rc.d $service defaults (Debian), chkconfig --add $service (Red Hat), or the lines of $etc/inittab.example (BusyBox)"
        start="/etc/init.d/$service start"
        ;;
    systemd)
        put 644 "$here/init/$service.service" "$root/etc/systemd/system/$service.service"
        enable="systemctl daemon-reload; systemctl enable $service"
        start="systemctl start $service"
        ;;
    openwrt)
        put 755 "$here/init/$service.procd" "$root/etc/init.d/$service"
        enable="/etc/init.d/$service enable"
        start="/etc/init.d/$service start"
        ;;
    none)
        enable="your own way"
        start="/usr/local/sbin/crosswire run"
        if [ "$service" != crosswire ]; then start="/usr/local/sbin/crosswire witness"; fi
        ;;
    *) fail "--init $init: sysv, systemd, openwrt or none" ;;
    esac
}

put_configuration() {
    put 644 "$here/crosswire.toml" "$etc/crosswire.toml.example"
    if [ -e "$etc/crosswire.toml" ]; then
        say "$etc/crosswire.toml is there and stays as it is"
    else
        put 644 "$here/crosswire.toml" "$etc/crosswire.toml"
    fi
}

# What is left to do, in its order. Both boxes have the same two files, so one of them is where they are made.
say_next() {
    # Where the box is another root, or does not look into /usr/local/sbin, the whole name is needed.
    crosswire=/usr/local/sbin/crosswire
    say "no log to rotate: it logs to syslog"
    say "next:"
    if [ -e "$etc/key" ]; then
        say "  1. $etc/key is there and stays as it is; the other box must have the same one"
    else
        say "  1. on ONE of the two boxes only: edit $etc/crosswire.toml, and make the key: $crosswire keygen"
        say "     then copy both to the other box: scp -p /etc/crosswire/crosswire.toml /etc/crosswire/key OTHER:/etc/crosswire/"
    fi
    say "  2. on each box: $crosswire check"
    say "  3. enable it with $enable; $start"
}

# The same for a witness: its keys are made on the pairs' nodes.
say_next_of_witness() {
    say "no log to rotate: it logs to syslog"
    say "next:"
    say "  1. on a node of each pair: /usr/local/sbin/crosswire keygen --witness NAME"
    say "     then take that file to this box: scp -p NAME THIS_BOX:/etc/crosswire/witness-keys/"
    say "  2. here: /usr/local/sbin/crosswire witness --check"
    say "  3. enable it with $enable; $start"
}

# Whether the binary has it; one that does not run here is believed.
needs_witness() {
    [ "$service" = crosswire-witness ] || return 0
    "$binary" --help >/dev/null 2>&1 </dev/null || return 0
    "$binary" witness --help >/dev/null 2>&1 </dev/null && return 0
    fail "$binary has no witness in it: config/build-static.sh --full makes one. Nothing was changed"
}

# put_directory MODE DIRECTORY: one that is there stays as it is.
put_directory() {
    [ -d "$2" ] && return
    mkdir -p "$2"
    chmod "$1" "$2"
    say "$2"
}

install_all() {
    [ -n "$init" ] || find_init
    find_binary
    needs_witness
    put_binary
    put_user
    put 644 "$here/man/crosswire.8" "$man/man8/crosswire.8"
    put 644 "$here/man/crosswire.toml.5" "$man/man5/crosswire.toml.5"
    put 644 "$here/man/crosswire.bash" "$bash"
    put 644 "$here/man/crosswire.zsh" "$zsh"
    put 644 "$here/man/crosswire.fish" "$fish"
    if [ "$service" = crosswire-witness ]; then
        put_directory 700 "$etc/witness-keys"
        put_init
        say_next_of_witness
    else
        put_configuration
        put_init
        say_next
    fi
}

uninstall_all() {
    for service in crosswire crosswire-witness; do
        [ -z "$root" ] || break
        if [ -x "/etc/init.d/$service" ] && "/etc/init.d/$service" status >/dev/null 2>&1; then
            fail "it runs: stop it first, with /etc/init.d/$service stop"
        fi
        if systemctl is-active --quiet "$service" 2>/dev/null; then
            fail "it runs: stop it first, with systemctl disable --now $service"
        fi
    done
    take "$sbin/crosswire" "$sbin/crosswire.old" "$man/man8/crosswire.8" "$man/man5/crosswire.toml.5" "$bash" "$zsh" "$fish" \
        "$root/etc/init.d/crosswire" "$root/etc/systemd/system/crosswire.service" "$etc/crosswire.toml.example" "$etc/inittab.example" \
        "$root/etc/init.d/crosswire-witness" "$root/etc/systemd/system/crosswire-witness.service"
    say "what you have enabled is yours to disable: links of update-rc.d or chkconfig, lines in /etc/inittab"
    say "the user and the group crosswire stay: deluser crosswire, or userdel crosswire"
    # Only if there is nothing in it: a configuration and a key are yours.
    rmdir "$etc/witness-keys" 2>/dev/null || :
    rmdir "$etc" 2>/dev/null || [ ! -d "$etc" ] || say "$etc stays, with what is yours in it"
}

while [ $# -gt 0 ]; do
    case $1 in
    --init | --binary)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --init) init=$2 ;;
        --binary) binary=$2 ;;
        esac
        shift
        ;;
    --witness) service=crosswire-witness ;;
    --uninstall) action=uninstall ;;
    *) fail "usage: config/install.sh [--init sysv|systemd|openwrt|none] [--binary FILE] [--witness], or config/install.sh --uninstall" ;;
    esac
    shift
done
case $init in
'' | sysv | systemd | openwrt | none) ;;
*) fail "--init $init: sysv, systemd, openwrt or none" ;;
esac
"${action}_all"
