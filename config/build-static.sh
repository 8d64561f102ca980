#!/bin/sh
# config/build-static.sh [--full] [TARGET]: one static binary without the workbench, and proof that it is one.
#
# Without --full it is the router build, in target/static/TARGET/release/crosswire, which has the features `router` or those that
# CROSSWIRE_FEATURES names. With --full it has all that a box can use (feature `full`), in target/full/TARGET/release/crosswire.
# TARGET is a musl target, by default i586-unknown-linux-musl: any Pentium, no CMOV, no SSE.
# config/build-static.sh --tools only gets what building std along needs.
#
# Where rustup has the target (`rustup target add TARGET`), its ready-made standard library is used. Else std is built
# along: that takes a rustc with its sources (`rustup component add rust-src`, or Debian's rustc-web and rust-web-src)
# and zig as linker and libc. As root on a Debian-like machine the script installs what is missing.
#
# Building std without its backtrace feature saves 215 KB; naming any build-std-features does that. A panic ends the
# process where it happens, so that nothing is ever unwound: without the tables for that it is 50 KB less.
# The binary is loaded where it was linked to; code that could be loaded anywhere is 40 KB more on x86, which has no
# addressing relative to the instruction.
# Where std is built along, `{:?}` prints nothing: only panic messages would use it. What a person reads is written with
# `{}`, and errors of the kernel by their `desc()`: nix's `Display` of them would lose its first half. A panic ends the process there
# without a message, for 35 KB: who watches the process says by which signal it ended (SIGILL, on mips SIGTRAP).
# Sequences of instructions that occur again and again become functions where std is built along: 7 KB less.
# What keeps more than 128 bytes on its stack stays a function of its own: a variable within 128 bytes of the frame's
# base is addressed by one byte, any other by four.
# A match of fewer than eight cases compares instead of jumping by a table of addresses, the ends of branches are shared from two
# instructions on, and no loop gets pointers of its own in the place of an index: 3 KB less together.
# The stack of an i586 is aligned to 4 bytes, not to the 16 that SSE wants, for 18 KB: no call has to pad its arguments.
# Nothing there wants more; C that is called may be aligned less than it expects, since it has no SSE either. LLVM's pass that
# would align 64-bit variables to 8 for speed is left out, since each function with one would have to align its frame.
# Our own code is made for size: 64 KB less for a tenth more instructions, of which there are few beside the kernel's. What
# it calls for each frame, and std, stay as in Cargo.toml: of std, the size would grow.
# Paths of this machine are mapped away, so that a build elsewhere gives the same bytes.
# ziglang stays at 0.15.2: later ones put another allocator in the place of musl's.
set -eu

kind=static
# Which features that are stands in Cargo.toml.
features=${CROSSWIRE_FEATURES-router}
if [ "${1:-}" = --full ]; then
    shift
    kind=full
    features=full
fi
target=${1:-i586-unknown-linux-musl}
# Of the router build.
max_i586_bytes=786432
tools=${ZIGVENV:-${XDG_CACHE_HOME:-$HOME/.cache}/cross-zig}
lean="-C target-feature=+crt-static -C force-unwind-tables=no -C relocation-model=static"
cd "$(dirname "$0")/.."
remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$PWD=crosswire"
binary=target/$kind/$target/release/crosswire
# What `--version` says. The same source gives the same bytes only where it comes from the same commit.
CROSSWIRE_COMMIT=${CROSSWIRE_COMMIT-$(git describe --always --dirty=+ --abbrev=12 --exclude '*' 2>/dev/null || printf unknown)}
CROSSWIRE_TARGET=$target
export CROSSWIRE_COMMIT CROSSWIRE_TARGET
small='profile.release.package.crosswire.opt-level="z"'

say() { printf '%s\n' "build-static: $*"; }
fail() {
    printf '%s\n' "build-static: $*" >&2
    exit 1
}

# install PACKAGE...: as root with apt-get, else says what to do.
install() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    else
        fail "this machine lacks $*: install them (Debian: apt-get install $*), or run this as root there"
    fi
}

# has_sources RUSTC: whether this rustc brings the sources of std.
has_sources() {
    command -v "$1" >/dev/null && [ -f "$("$1" --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]
}

build_with_ready_std() {
    say "std for $target is there: using it"
    RUSTFLAGS="${RUSTFLAGS:-} $lean $remap -C linker=rust-lld" \
        cargo build --release --locked --no-default-features --features "$features" --config "$small" \
        --target "$target" --target-dir "target/$kind"
}

# Sets RUSTC to one that can build std.
find_rustc() {
    for RUSTC in rustc /usr/bin/rustc; do
        if has_sources "$RUSTC"; then return; fi
    done
    install rustc-web cargo-web rust-web-src
    RUSTC=/usr/bin/rustc
    has_sources "$RUSTC" || fail "$RUSTC has no sources of std: install rust-web-src"
}

find_zig() {
    if [ -x "$tools/bin/cargo-zigbuild" ]; then return; fi
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    say "installing cargo-zigbuild and zig into $tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet cargo-zigbuild==0.24.0 ziglang==0.15.2
}

build_with_own_std() {
    find_rustc
    find_zig
    say "building std and crosswire for $target with $("$RUSTC" --version)"
    # -Z build-std is unstable; RUSTC_BOOTSTRAP lets a stable rustc do it.
    CARGO="$(dirname "$(command -v "$RUSTC")")/cargo"
    RUSTC_BOOTSTRAP=1
    RUSTFLAGS="${RUSTFLAGS:-} $lean $remap --remap-path-prefix=$("$RUSTC" --print sysroot)=rust"
    RUSTFLAGS="$RUSTFLAGS -C link-self-contained=no -Z fmt-debug=none -Z location-detail=none"
    RUSTFLAGS="$RUSTFLAGS -Z unstable-options -C panic=immediate-abort"
    RUSTFLAGS="$RUSTFLAGS -C llvm-args=-enable-machine-outliner=always -C llvm-args=-outliner-leaf-descendants=false -C llvm-args=-inline-threshold=0"
    RUSTFLAGS="$RUSTFLAGS -C llvm-args=-inline-max-stacksize=128 -C llvm-args=-min-jump-table-entries=8"
    RUSTFLAGS="$RUSTFLAGS -C llvm-args=-tail-merge-size=2 -C llvm-args=-disable-lsr"
    RUSTFLAGS="$RUSTFLAGS -C llvm-args=-disable-machine-licm -C llvm-args=-enable-pre=false"
    RUSTFLAGS="$RUSTFLAGS -Z mutable-noalias=no -C llvm-args=-tail-dup-placement=false -C llvm-args=-enable-shrink-wrap=false"
    case $target in
    i586-*)
        RUSTFLAGS="$RUSTFLAGS -Z llvm-module-flag=override-stack-alignment:u32:4:error"
        RUSTFLAGS="$RUSTFLAGS -C llvm-args=-opt-disable=infer-alignment"
        ;;
    esac
    export RUSTC CARGO RUSTC_BOOTSTRAP RUSTFLAGS
    PATH="$tools/bin:$PATH" cargo-zigbuild zigbuild --release --locked --no-default-features --features "$features" \
        --config "$small" --target "$target" --target-dir "target/$kind" \
        -Z build-std=std,panic_abort -Z build-std-features=optimize_for_size
}

# Nothing of the target machine but its kernel is needed.
check_static() {
    if readelf --program-headers "$binary" | grep -q INTERP; then fail "$binary asks for an interpreter"; fi
    if readelf --dynamic "$binary" | grep -q NEEDED; then fail "$binary needs shared libraries"; fi
    say "static: no interpreter, no shared library"
}

# The stack holds no code. A program that is linked to a fixed address has next to nothing to relocate, and what there is, is
# marked to be read-only afterwards.
check_hardened() {
    headers=$(readelf --program-headers --wide "$binary")
    case $headers in
    *GNU_RELRO*) ;;
    *) fail "$binary leaves its relocations writable: no RELRO" ;;
    esac
    printf '%s\n' "$headers" | grep -q 'GNU_STACK .* RW ' || fail "$binary wants an executable stack"
    say "hardened: what is relocated is marked read-only, the stack is not executable"
}

# Instructions that a Pentium does not have. (tzcnt is `rep bsf` there, pause is `rep nop`, cmpxchg8b exists.)
check_instructions() {
    newer='cmov[a-z]+|fu?comip?i|fu?comi|fcmov[a-z]+|nop[lw]|endbr32|[lsm]fence|prefetch[a-z0-9]*'
    newer="$newer|sysenter|syscall|rdrand|popcnt|lzcnt"
    listing=target/$kind/$target/disassembly
    objdump --disassemble --no-show-raw-insn "$binary" >"$listing"
    all=$(grep -cE '^ *[0-9a-f]+:' "$listing") || fail "$binary disassembles to nothing"
    found=$(grep -E "[[:space:]]($newer)([[:space:]]|\$)|%[xyz]?mm[0-7]" "$listing") || found=
    rm -f "$listing"
    if [ -n "$found" ]; then
        printf '%s\n' "$found" | head -n 20 >&2
        fail "$binary holds instructions that a Pentium does not have, see above"
    fi
    say "a Pentium can run it: none of its $all instructions is newer"
}

check_size() {
    bytes=$(wc -c <"$binary" | tr -d ' ')
    say "size: $bytes bytes, sha256 $(sha256sum "$binary" | cut -d ' ' -f 1)"
    case $kind/$target in
    static/i586-*)
        [ "$bytes" -le "$max_i586_bytes" ] && return
        [ -n "$is_std_ready" ] || fail "$binary is larger than $max_i586_bytes bytes"
        say "larger than $max_i586_bytes bytes, since rustup's std brings what the one that is built along leaves out"
        ;;
    esac
}

[ $# -le 1 ] || fail "usage: config/build-static.sh [--full] [TARGET] | --tools"
if [ "$target" = --tools ]; then
    find_rustc
    find_zig
    exit
fi
command -v readelf >/dev/null && command -v objdump >/dev/null || install binutils
is_std_ready=
if [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$target" ]; then
    is_std_ready=yes
    build_with_ready_std
else
    build_with_own_std
fi
check_static
check_hardened
case $target in
i586-*) check_instructions ;;
esac
check_size
say "made $binary"
