"""The cells of what has no dpkg: the package for OpenWrt on a root of BusyBox alone, by opkg's steps and with
procd's manners, and the tarball's install.sh on Debian with SysV's init."""

import os
import pathlib
import shutil
import tarfile

from boxes import Failed, sh
from pair import Pair, promise, settle, tree_of

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = pathlib.Path("/bin/busybox")


def openwrt_base(directory):
    """A root with nothing but BusyBox and what stands for OpenWrt's own. CROSSWIRE_OPENWRT names a directory
    that is laid over it: real ones, an opkg among them."""
    root = directory / "bases/openwrt"
    shutil.rmtree(root, ignore_errors=True)
    for part in (
        "bin",
        "sbin",
        "usr/bin",
        "usr/sbin",
        "usr/lib/opkg",
        "etc/init.d",
        "etc/rc.d",
        "etc/opkg",
        "lib64",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "mnt",
        "root",
        "var",
    ):
        (root / part).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    (root / "var/lock").symlink_to("/run/lock")
    try:
        needs = [word for word in sh("ldd", BUSYBOX).split() if word.startswith("/")]
    except Failed:
        needs = []  # A static one.
    for file in [str(BUSYBOX), *needs]:
        (root / file[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / file[1:])
    for applet in sh(BUSYBOX, "--list-full").split():
        if not (root / applet).exists():
            (root / applet).parent.mkdir(parents=True, exist_ok=True)
            (root / applet).symlink_to("/bin/busybox")
    (root / "sbin/init").unlink(missing_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root::0:0:99999:7:::\n")
    (root / "etc/openwrt_release").write_text("DISTRIB_ID='OpenWrt'\n")
    (root / "etc/opkg.conf").write_text(
        "dest root /\ndest ram /tmp\nlists_dir ext /tmp/lists\narch all 1\narch x86_64 10\n"
    )
    over = [HERE / "openwrt"] + [pathlib.Path(name) for name in [os.environ.get("CROSSWIRE_OPENWRT")] if name]
    for files in over:
        shutil.copytree(files, root, dirs_exist_ok=True)
    return root


# What opkg does, in its order, where there is no opkg. $1 is install, upgrade or remove, $2 the package.
OPKG = """set -e
info=/usr/lib/opkg/info PKG_UPGRADE=0 PKG_ROOT=/
[ "$1" != upgrade ] || PKG_UPGRADE=1
export PKG_UPGRADE PKG_ROOT
take() {
    sort -r $info/crosswire.list | while read -r file; do
        if [ -d "/$file" ] && ! [ -L "/$file" ]; then rmdir "/$file" 2>/dev/null || :; else rm -f "/$file"; fi
    done
}
if [ "$1" = remove ]; then
    $info/crosswire.prerm remove
    take
    rm -f $info/crosswire.*
    exit
fi
rm -rf /tmp/unpacked
mkdir -p /tmp/unpacked/control $info
tar -xzf "$2" -C /tmp/unpacked
tar -xzf /tmp/unpacked/control.tar.gz -C /tmp/unpacked/control
if [ "$1" = upgrade ]; then
    $info/crosswire.prerm upgrade next
    take
fi
tar -xzf /tmp/unpacked/data.tar.gz -C /
tar -tzf /tmp/unpacked/data.tar.gz >$info/crosswire.list
for file in control postinst prerm; do cp /tmp/unpacked/control/$file $info/crosswire.$file; done
$info/crosswire.postinst configure
"""


def varied_ipk(package, directory, version):
    """The package with the same program in another file, as another version."""
    place = directory / "ipk"
    for part in ("data", "control"):
        (place / part).mkdir(parents=True)
    sh("tar", "-xzf", package, "-C", place)
    for part in ("data", "control"):
        sh("tar", "-xzf", place / f"{part}.tar.gz", "-C", place / part)
    with (place / "data/usr/sbin/crosswire").open("ab") as program:
        program.write(b"another build")
    control = place / "control/control"
    text = control.read_text()
    control.write_text(
        "".join(
            f"Version: {version}\n" if line.startswith("Version:") else line for line in text.splitlines(True)
        )
    )
    for part in ("data", "control"):
        sh("tar", "-czf", place / f"{part}.tar.gz", "-C", place / part, ".")
    file = directory / "next.ipk"
    sh("tar", "-czf", file, "-C", place, "./debian-binary", "./data.tar.gz", "./control.tar.gz")
    return file


class Others(Pair):
    """What both have in common: a restart hands over, and what runs is no concern of the files."""

    def live(self, place, upgrade, downgrade):
        """The cells between the installation and the removal."""
        self.begin()
        box = self.backup
        box.power_off()
        box.boot()
        settle(self.active, self.backup)
        self.say("boot", "enabled and started: one serves; the other was switched off and on, and stands by")
        self.change("upgrade", place, upgrade)
        self.hand_over()
        self.change("downgrade", place, downgrade)

    def change(self, cell, place, words):
        """Another version on the one that serves: what runs goes on until its restart, which hands over."""
        box, old = self.active, self.active.program()
        _, gap_ms = self.unmoved(lambda: box.run(words))
        promise(
            box.program() == old and box.inside(place).read_bytes() != old,
            "the new file is not in its place, or already runs",
        )
        moved_ms = self.moved(lambda: box.run("/etc/init.d/crosswire restart"))
        settle(self.active, self.backup)
        promise(box.program() == box.inside(place).read_bytes(), "what is executed is not what is installed")
        self.say(
            cell,
            f"what runs goes on, gap {gap_ms:.0f} ms; its restart hands over, gap {moved_ms:.0f} ms",
        )


class OpenWrt(Others):
    """The package for OpenWrt."""

    def __init__(self, boxes, lan, package, directory, say):
        super().__init__(boxes, lan, say)
        files = {"this": package, "next": varied_ipk(package, directory, "99")}
        for box in boxes:
            box.boot()
            for name, file in files.items():
                box.bring(file, f"/root/{name}.ipk")
            box.write("/root/opkg", OPKG)
        self.has_opkg = boxes[0].has("/bin/opkg")

    def opkg(self, action, file=""):
        if not self.has_opkg:
            return f"sh /root/opkg {action} {file}"
        words = {"install": "install", "upgrade": "install --force-downgrade", "remove": "remove"}
        return f"opkg {words[action]} {file or 'crosswire'}"

    def everything(self):
        self.before = tree_of(self.active)
        for box in (self.active, self.backup):
            said = box.run(self.opkg("install", "/root/this.ipk"))
            promise("then /etc/init.d/crosswire enable and start" in said, said)
            promise(
                box.guard() is None and not list(box.inside("/etc/rc.d").iterdir()),
                "it was started, or enabled",
            )
            box.run("grep ^crosswire: /etc/passwd && grep ^crosswire: /etc/group")
            promise(box.run("wc -l </etc/passwd").strip() == "2", "another user was made")
            box.run("! crosswire upgrade --help")
        self.say(
            "install",
            f"{'by opkg' if self.has_opkg else 'by its steps'}; nothing is enabled or runs; the user is there",
        )
        upgrade, downgrade = (self.opkg("upgrade", f"/root/{name}.ipk") for name in ("next", "this"))
        self.live("/usr/sbin/crosswire", upgrade, downgrade)
        self.remove()

    def enable_and_start(self, box):
        box.run("/etc/init.d/crosswire enable; /etc/init.d/crosswire start")

    def remove(self):
        box = self.active
        gap_ms = self.moved(lambda: self.removed(box))
        # opkg leaves directories, which are there on OpenWrt.
        left = {
            path
            for path in tree_of(box) - self.before
            if not path.startswith("/usr/lib/opkg") and not box.inside(path).is_dir()
        }
        promise(left == {"/etc/crosswire/crosswire.toml", "/etc/crosswire/key"}, f"{left} are left")
        box.run(self.opkg("install", "/root/this.ipk"))
        self.enable_and_start(box)
        settle(self.active, self.backup)
        self.say(
            "remove",
            f"the one that serves hands over, gap {gap_ms:.0f} ms; nothing is left but configuration and key;"
            " installed again it stands by",
        )

    def removed(self, box):
        box.run(self.opkg("remove"))
        promise(box.guard() is None, "it runs on without its files")


class Tarball(Others):
    """The tarball, by its installer."""

    PLACE = "/usr/local/sbin/crosswire"

    def __init__(self, boxes, lan, tarball, directory, say):
        super().__init__(boxes, lan, say)
        with tarfile.open(tarball) as packed:
            name = packed.getnames()[0]
        self.here = f"/root/{name}"
        for box in boxes:
            box.boot()
            box.bring(tarball, "/root/crosswire.tar.gz")
            box.run(
                f"cd /root && tar -xzf crosswire.tar.gz && cd {name} && sha256sum --quiet -c SHA256SUMS && "
                "(cat crosswire; echo another build) >/root/next && chmod 755 /root/next"
            )

    def everything(self):
        self.before = tree_of(self.active)
        for box in (self.active, self.backup):
            said = box.run(f"{self.here}/install.sh")
            promise("next:" in said and box.guard() is None, said)
            box.run("getent passwd crosswire && getent group crosswire")
            promise(not list(box.inside("/etc/rc2.d").glob("S??crosswire")), "it was enabled")
        self.say("install", "enables and starts nothing, says how; user and group are there")
        upgrade = f"{self.here}/install.sh --binary /root/next"
        self.live(self.PLACE, upgrade, f"mv {self.PLACE}.old {self.PLACE}")
        self.remove()

    def enable_and_start(self, box):
        box.run("update-rc.d crosswire defaults && /etc/init.d/crosswire start")

    def remove(self):
        box = self.backup
        self.hand_over()
        said, gap_ms = self.unmoved(lambda: self.active.run(f"{self.here}/install.sh --uninstall", 1))
        promise("it runs: stop it first" in said and box.has(self.PLACE), said)
        box = self.active
        moved_ms = self.moved(lambda: box.run("/etc/init.d/crosswire stop"))
        box.run(f"{self.here}/install.sh --uninstall; update-rc.d crosswire remove")
        left = {path for path in tree_of(box) - self.before if not path.startswith("/usr/local")}
        own = {"/etc/crosswire", "/etc/crosswire/crosswire.toml", "/etc/crosswire/key"}
        promise(left == own, f"{left} are left")
        promise(
            not [path for path in tree_of(box) if path.startswith("/usr/local") and "crosswire" in path],
            "a file is left",
        )
        box.run(f"{self.here}/install.sh")
        self.enable_and_start(box)
        settle(self.active, self.backup)
        self.say(
            "uninstall",
            f"refused while it runs, gap {gap_ms:.0f} ms; stopped it hands over, gap {moved_ms:.0f} ms;"
            " nothing is left but configuration and key; installed again it stands by",
        )
