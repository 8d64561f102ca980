#!/bin/sh
# config/install.sh [--init sysv|systemd|openwrt|none] [--binary FILE]: puts crosswire onto this box, or below DESTDIR.
# config/install.sh --uninstall: takes off what it has put there, but neither configuration nor key.
#
#   DESTDIR=/mnt/root config/install.sh     into another root, such as an image
#
# It enables and starts nothing: it says how. A configuration that is there stays as it is, and so does a key. A running
# daemon keeps its old binary until it is restarted. Any POSIX shell; of other programs only what BusyBox has.
set -eu

root=${DESTDIR:-}
root=${root%/}
here=$(cd "$(dirname "$0")" && pwd)
sbin=$root/usr/local/sbin
man=$root/usr/local/share/man
completions=$root/usr/local/share/bash-completion/completions
etc=$root/etc/crosswire
binary=
init=
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
        put 755 "$here/init/crosswire" "$root/etc/init.d/crosswire"
        put 644 "$here/init/inittab" "$etc/inittab.example"
        enable="update-rc.d crosswire defaults (Debian), chkconfig --add crosswire (Red Hat), or the lines of $etc/inittab.example (BusyBox)"
        start="/etc/init.d/crosswire start"
        ;;
    systemd)
        put 644 "$here/init/crosswire.service" "$root/etc/systemd/system/crosswire.service"
        enable="systemctl daemon-reload; systemctl enable crosswire"
        start="systemctl start crosswire"
        ;;
    openwrt)
        put 755 "$here/init/crosswire.procd" "$root/etc/init.d/crosswire"
        enable="/etc/init.d/crosswire enable"
        start="/etc/init.d/crosswire start"
        ;;
    none)
        enable="your own way"
        start="crosswire run"
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
        say "  edit it: it is the same on both boxes"
    fi
}

# A key, unless there is one; the binary may be another machine's, and not run here.
put_key() {
    if [ -e "$etc/key" ]; then
        say "$etc/key is there and stays as it is"
    elif "$sbin/crosswire" keygen "$etc/key" >/dev/null 2>&1; then
        say "$etc/key made: copy it to the other box, which must have the same one (scp -p)"
    else
        say "no key made, since $sbin/crosswire does not run here: crosswire keygen on one box, then copy it to the other"
    fi
}

install_all() {
    [ -n "$init" ] || find_init
    find_binary
    put 755 "$binary" "$sbin/crosswire"
    put 644 "$here/man/crosswire.8" "$man/man8/crosswire.8"
    put 644 "$here/man/crosswire.toml.5" "$man/man5/crosswire.toml.5"
    put 644 "$here/man/crosswire.bash" "$completions/crosswire"
    put_configuration
    put_key
    put_init
    say "no log to rotate: it logs to syslog"
    say "next: edit $etc/crosswire.toml; crosswire check; enable it with $enable; $start"
}

uninstall_all() {
    if [ -z "$root" ] && [ -x /etc/init.d/crosswire ] && /etc/init.d/crosswire status >/dev/null 2>&1; then
        fail "it runs: stop it first, with /etc/init.d/crosswire stop"
    fi
    if [ -z "$root" ] && systemctl is-active --quiet crosswire 2>/dev/null; then
        fail "it runs: stop it first, with systemctl disable --now crosswire"
    fi
    take "$sbin/crosswire" "$man/man8/crosswire.8" "$man/man5/crosswire.toml.5" "$completions/crosswire" \
        "$root/etc/init.d/crosswire" "$root/etc/systemd/system/crosswire.service" "$etc/crosswire.toml.example" "$etc/inittab.example"
    say "what you have enabled is yours to disable: links of update-rc.d or chkconfig, lines in /etc/inittab"
    # Only if there is nothing in it: a configuration and a key are yours.
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
    --uninstall) action=uninstall ;;
    *) fail "usage: config/install.sh [--init sysv|systemd|openwrt|none] [--binary FILE], or config/install.sh --uninstall" ;;
    esac
    shift
done
case $init in
'' | sysv | systemd | openwrt | none) ;;
*) fail "--init $init: sysv, systemd, openwrt or none" ;;
esac
"${action}_all"
