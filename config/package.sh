#!/bin/sh
# config/package.sh [TARGET]...: builds the static binaries and packs them, from one description (config/package/description,
# Cargo.toml), by default for i586-unknown-linux-musl.
#
# For each TARGET these are made in target/package/ (or CROSSWIRE_PACKAGES):
#
#   crosswire_VERSION_ARCH.deb        Debian and its kin, with all features but the workbench: such a box has the room. dpkg-deb
#                                     packs it and has to be there
#   crosswire_VERSION_ARCH.ipk        OpenWrt (opkg), the router build, with the features that CROSSWIRE_FEATURES names
#   crosswire-VERSION-TARGET.tar.gz   everything else, the router build: unpack it on the box and run its install.sh
#   SHA256SUMS                        of all that is in that directory
#
# config/build-static.sh makes both binaries, if they are not there already. CROSSWIRE_BINARY names a file to pack in their place.
#
# Two runs give the same bytes: all times are SOURCE_DATE_EPOCH, by default that of the last commit. Each package holds the
# licences of everything in it and a bill of materials (CycloneDX); what is installed starts nothing by itself.
# CROSSWIRE_MAINTAINER stands in the packages as their maintainer. Wants GNU tar and coreutils, python3 and cargo.
set -eu
umask 022
LC_ALL=C
export LC_ALL

cd "$(dirname "$0")/.."
here=$PWD/config/package
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
maintainer=${CROSSWIRE_MAINTAINER:-crosswire maintainers <maintainers@crosswire.invalid>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || printf 0)}
export SOURCE_DATE_EPOCH
out=${CROSSWIRE_PACKAGES:-$PWD/target/package}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf '%s\n' "package: $*"; }
fail() {
    printf '%s\n' "package: $*" >&2
    exit 1
}

# What the target is called by Debian and by OpenWrt; - where there is nothing of the kind.
set_architectures() {
    case $1 in
    i586-*) deb=i386 ipk=i386_pentium-mmx ;;
    # Debian's i386 is the one above, which runs on these too.
    i686-*) deb=- ipk=i386_pentium4 ;;
    x86_64-*) deb=amd64 ipk=x86_64 ;;
    armv5te-*) deb=armel ipk=arm_arm926ej-s ;;
    armv7-*hf) deb=armhf ipk=arm_cortex-a7 ;;
    aarch64-*) deb=arm64 ipk=aarch64_generic ;;
    mipsel-*) deb=mipsel ipk=mipsel_24kc ;;
    *) fail "$1: no name for its architecture is known here" ;;
    esac
}

# put MODE FROM TO: into the tree that is being made.
put() {
    mkdir -p "$(dirname "$tree/$3")"
    cp "$2" "$tree/$3"
    chmod "$1" "$tree/$3"
}

# The same, but what names the binary names the package's.
put_script() {
    put "$@"
    sed 's,/usr/local/sbin/crosswire,/usr/sbin/crosswire,g' "$2" >"$tree/$3"
}

compress() { gzip -9n "$tree/$1"; }

# pack DIRECTORY FILE [MEMBER...]: a .tar.gz that depends on nothing but its contents.
pack() {
    directory=$1 file=$2
    shift 2
    [ $# -gt 0 ] || set -- .
    tar --directory="$directory" --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$SOURCE_DATE_EPOCH" "$@" | gzip -9n >"$file"
}

# with KIND: the binary and the features of that build, static or full, from here on, and what it is made of.
with() {
    case $1 in
    full) features=full ;;
    *) features=${CROSSWIRE_FEATURES-router} ;;
    esac
    binary=${CROSSWIRE_BINARY:-target/$1/$target/release/crosswire}
    [ -f "$binary" ] || fail "there is no $binary"
    python3 "$here/bill_of_materials.py" "$target" "$features" "$version" "$scratch"
}

put_licences() {
    put 644 "$scratch/third-party-licences.txt" "$1/third-party-licences.txt"
    compress "$1/third-party-licences.txt"
    put 644 "$scratch/crosswire.cdx.json" "$1/crosswire.cdx.json"
    compress "$1/crosswire.cdx.json"
}

put_notes() {
    put 644 README.md "$1/README.md"
    for file in firmware-notes/*; do put 644 "$file" "$1/$file"; done
    put 644 config/crosswire.toml "$1/examples/crosswire.toml"
    put 644 config/schema/crosswire.schema.json "$1/crosswire.schema.json"
    for file in config/examples/* config/monitoring/*; do put 644 "$file" "$1/examples/${file##*/}"; done
    for file in config/notify/*; do put 755 "$file" "$1/examples/${file##*/}"; done
}

# One line is the synopsis; the others are indented by one space in both formats.
description() { sed '1!s/^/ /' "$here/description"; }

# What the files of the tree need on a disk; what its directories need is another thing on each file system.
installed_kib() { find "$tree" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }'; }

deb_control() {
    cat <<END
Package: crosswire
Version: $version
Architecture: $deb
Maintainer: $maintainer
Installed-Size: $(installed_kib)
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: adduser
Section: net
Priority: optional
Multi-Arch: foreign
Description: $(description)
 .
$(printf 'Built with the features %s.' "$(full_features)" | fold -s -w 79 | sed 's/^/ /')
END
}

# The features that `full` stands for.
full_features() { sed -n 's/^full = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '",'; }

deb_changelog() {
    cat <<END
crosswire ($version) unstable; urgency=medium

  * What has changed stands in firmware-notes/changelog.md beside this file.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
}

deb_copyright() {
    cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: crosswire
Comment: The licences of the crates that are in the binary stand in third-party-licences.txt.gz beside this file.

Files: *
Copyright: 2026 the crosswire authors
License: Expat or Apache-2.0

License: Expat
END
    # The text of the MIT licence, as LICENSE has it, in the form of this file.
    sed -n '/^Permission is hereby granted/,/^SOFTWARE\.$/p' LICENSE | sed 's/^$/./; s/^/ /'
    cat <<END

License: Apache-2.0
 On Debian systems the text of the Apache License, Version 2.0, stands in
 /usr/share/common-licenses/Apache-2.0.
END
}

make_deb() {
    command -v dpkg-deb >/dev/null || fail "dpkg-deb is not there: apt-get install dpkg"
    tree=$scratch/deb
    share=usr/share
    put 755 "$binary" usr/sbin/crosswire
    for service in crosswire crosswire-witness; do
        put_script 755 config/init/$service etc/init.d/$service
        sed -i "/^# chkconfig:/r $here/deb/removed" "$tree/etc/init.d/$service"
        put_script 644 config/init/$service.service usr/lib/systemd/system/$service.service
    done
    put 644 "$here/default" etc/default/crosswire
    mkdir -p "$tree/etc/crosswire/witness-keys"
    put 644 "$here/tmpfiles.conf" usr/lib/tmpfiles.d/crosswire.conf
    for page in crosswire.8 crosswire.toml.5; do
        put 644 "config/man/$page" "$share/man/man${page##*.}/$page"
        compress "$share/man/man${page##*.}/$page"
    done
    put 644 config/man/crosswire.bash $share/bash-completion/completions/crosswire
    put 644 config/man/crosswire.zsh $share/zsh/vendor-completions/_crosswire
    put 644 config/man/crosswire.fish $share/fish/vendor_completions.d/crosswire.fish
    put_notes $share/doc/crosswire
    put_licences $share/doc/crosswire
    deb_copyright >"$tree/$share/doc/crosswire/copyright"
    deb_changelog >"$tree/$share/doc/crosswire/changelog"
    compress $share/doc/crosswire/changelog
    put 644 "$here/lintian-overrides" $share/lintian/overrides/crosswire
    control=$(deb_control)
    for script in preinst postinst prerm postrm; do put 755 "$here/deb/$script" DEBIAN/$script; done
    printf '%s\n' "$control" >"$tree/DEBIAN/control"
    (cd "$tree" && find etc -type f | sort | sed 's,^,/,') >"$tree/DEBIAN/conffiles"
    (cd "$tree" && find usr -type f -print | sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
    chmod -R go-w "$tree"
    dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/crosswire_${version}_$deb.deb" >/dev/null
    say "$out/crosswire_${version}_$deb.deb"
}

# opkg wants a .tar.gz of a version, the control files and the data.
make_ipk() {
    tree=$scratch/ipk/data
    put 755 "$binary" usr/sbin/crosswire
    put_script 755 config/init/crosswire.procd etc/init.d/crosswire
    case $features in
    *witness*) put_script 755 config/init/crosswire-witness.procd etc/init.d/crosswire-witness ;;
    esac
    put 644 config/crosswire.toml etc/crosswire/crosswire.toml.example
    put 644 "$here/ipk/keep" lib/upgrade/keep.d/crosswire
    put 644 LICENSE usr/share/licenses/crosswire/LICENSE
    put_licences usr/share/licenses/crosswire
    size=$(installed_kib)
    tree=$scratch/ipk/control
    for script in postinst prerm; do put 755 "$here/ipk/$script" $script; done
    cat >"$tree/control" <<END
Package: crosswire
Version: $version
Architecture: $ipk
Maintainer: $maintainer
License: MIT OR Apache-2.0
Section: net
Priority: optional
Installed-Size: $((size * 1024))
Description: $(description)
END
    mkdir "$scratch/ipk/all"
    printf '2.0\n' >"$scratch/ipk/all/debian-binary"
    pack "$scratch/ipk/data" "$scratch/ipk/all/data.tar.gz"
    pack "$scratch/ipk/control" "$scratch/ipk/all/control.tar.gz"
    pack "$scratch/ipk/all" "$out/crosswire_${version}_$ipk.ipk" ./debian-binary ./data.tar.gz ./control.tar.gz
    say "$out/crosswire_${version}_$ipk.ipk"
}

# The installer with everything that it puts, the binary beside it.
make_tarball() {
    name=crosswire-$version-$1
    tree=$scratch/tarball/$name
    put 755 "$binary" crosswire
    put 755 config/install.sh install.sh
    put 644 config/crosswire.toml crosswire.toml
    for file in config/init/* config/man/* config/examples/*; do
        put "$(stat -c %a "$file")" "$file" "${file#config/}"
    done
    put_notes doc
    put 644 LICENSE LICENSE
    put_licences .
    (cd "$tree" && find . -type f -print | sort | xargs sha256sum) >"$scratch/sums"
    put 644 "$scratch/sums" SHA256SUMS
    pack "$scratch/tarball" "$out/$name.tar.gz" "$name"
    say "$out/$name.tar.gz"
}

[ -n "$version" ] || fail "Cargo.toml names no version"
[ $# -gt 0 ] || set -- i586-unknown-linux-musl
mkdir -p "$out"
for target; do
    set_architectures "$target"
    if [ "$deb" != - ]; then
        [ -n "${CROSSWIRE_BINARY:-}" ] || config/build-static.sh --full "$target"
        with full
        make_deb
    fi
    [ -n "${CROSSWIRE_BINARY:-}" ] || config/build-static.sh "$target"
    with static
    make_ipk
    make_tarball "$target"
    rm -rf "$scratch/deb" "$scratch/ipk" "$scratch/tarball"
done
(cd "$out" && sha256sum crosswire[-_]* >SHA256SUMS)
