"""The cells of the package for Debian: a pair of boxes with a real init, SysV's or systemd, whose package is
installed, upgraded, downgraded, removed and purged by dpkg while it serves."""

import shutil

from boxes import sh, wait_until
from pair import Pair, promise, settle, tree_of

UPGRADED = "goes on in the place of"


def varied(package, directory, name, version, change):
    """The package, as another version: `change` is handed its unpacked tree."""
    tree = directory / f"{name}.tree"
    shutil.rmtree(tree, ignore_errors=True)
    sh("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text(
        "".join(f"Version: {version}\n" if line.startswith("Version: ") else line for line in lines)
    )
    change(tree)
    file = directory / f"{name}.deb"
    sh("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, file)
    shutil.rmtree(tree)
    return file


def other_bytes(tree):
    """The same program in another file, and a conffile that has changed."""
    with (tree / "usr/sbin/crosswire").open("ab") as program:
        program.write(b"another build")
    with (tree / "etc/default/crosswire").open("a") as default:
        default.write("# A line of the next version.\n")


def crashing(tree):
    source = tree.parent / "crash.c"
    source.write_text("int main(void) { __builtin_trap(); }\n")
    sh("cc", "-static", "-o", tree / "usr/sbin/crosswire", source)


def slow(tree):
    """A slow disk: between the stop and the end of the files systemd has the time to start what has ended."""
    with (tree / "DEBIAN/prerm").open("a") as prerm:
        prerm.write("sleep 3\n")


class Debian(Pair):
    """The pair `boxes`, by the package `package`; `say` is told what each cell saw."""

    def __init__(self, boxes, lan, package, tarball, directory, say):
        super().__init__(boxes, lan, say)
        version = sh("dpkg-deb", "--field", package, "Version").strip()
        self.tarball = tarball
        files = {
            "this": package,
            "next": varied(package, directory, "next", f"{version}+next", other_bytes),
            "slow": varied(package, directory, "slow", f"{version}+slow", slow),
            "crashes": varied(package, directory, "crashes", f"{version}+crashes", crashing),
        }
        for box in boxes:
            box.boot()
            box.inside("/root/packages").mkdir()
            for name, file in files.items():
                box.bring(file, f"/root/packages/{name}.deb")

    def dpkg(self, box, words, expect=0):
        return box.run(f"cd /root/packages; dpkg --force-confold {words}", expect)

    def everything(self):
        """All cells, in their order."""
        for cell in (
            self.install,
            self.boots,
            self.upgrade,
            self.downgrade,
            self.upgrade_by_hand,
            self.upgrade_backup,
            self.crashes,
            self.refused_file,
            self.remove,
            self.remove_by_policy,
            self.witness,
            self.purge,
            self.beside_a_hand_installed_one,
        ):
            cell()

    def install(self):
        self.before = {box.name: tree_of(box) for box in (self.active, self.backup)}
        for box in (self.active, self.backup):
            said = self.dpkg(box, "-i this.deb")
            promise("not started; make /etc/crosswire/crosswire.toml" in said, said)
            promise(box.guard() is None, "it was started")
            box.run("getent passwd crosswire && getent group crosswire")
            self.starts_at_boot(box, "crosswire", True)
            self.starts_at_boot(box, "crosswire-witness", False)
        promise(
            "Built with the features" in self.active.run("dpkg -s crosswire"),
            "the package does not say its features",
        )
        for words in (
            "drill",
            "why --record",
            "check --peer",
            "upgrade",
            "witness",
            "import",
            "status --prometheus",
            "status --html",
            "why --svg",
            "keygen --witness",
        ):
            command, _, option = words.partition(" ")
            said = self.active.run(f"crosswire {command} --help")
            promise(option in said, f"{words} is not in the package")
        self.say(
            "install",
            "starts nothing, and at the next boot the daemon, not the witness; user and group are there",
        )

    def starts_at_boot(self, box, service, is_wanted):
        if box.is_systemd:
            is_so = box.run(f"systemctl is-enabled {service}.service", None).strip() == "enabled"
        else:
            is_so = any(box.inside("/etc/rc2.d").glob(f"S??{service}"))
        promise(is_so == is_wanted, f"{service} at boot: {is_so}")

    def boots(self):
        for box in (self.active, self.backup):
            box.configure()
            box.power_off()
            box.boot()
            if box is self.active:
                wait_until("it serves alone", self.active.holds)
        settle(self.active, self.backup)
        self.say("boot", "both boxes were switched off and on: one serves, the other stands by")

    def goes_on_as(self, name):
        program = self.active.inside("/usr/sbin/crosswire").read_bytes()
        promise(self.active.program() == program, "what is executed is not what is installed")
        promise((b"another build" in program[-20:]) == (name == "next"), f"what is installed is not {name}")

    def change(self, cell, name, more=""):
        """Another version on the one that serves."""
        self.active.inside("/etc/default/crosswire").open("a").write("# A line of the operator's.\n")
        run = self.active.status()["incarnation"]
        said, gap_ms = self.unmoved(lambda: self.dpkg(self.active, f"{more} -i {name}.deb"))
        promise(UPGRADED in said, said)
        promise(self.active.status()["incarnation"] != run, "the same agent runs")
        self.goes_on_as(name)
        promise(
            "the operator's" in self.active.inside("/etc/default/crosswire").read_text(),
            "the conffile is not as it was",
        )
        self.say(
            cell,
            f"the one that serves goes on in place, process {self.active.guard()} still; gap {gap_ms:.0f} ms",
        )

    def upgrade(self):
        self.change("upgrade", "next")

    def downgrade(self):
        self.change("downgrade", "this")

    def upgrade_by_hand(self):
        """It leaves a file beside its own, which has to go with the package."""

        def act():
            self.active.run(
                "dpkg-deb --fsys-tarfile /root/packages/next.deb | tar -x -O ./usr/sbin/crosswire"
                " >/root/next;"
                " chmod 755 /root/next; crosswire upgrade /root/next"
            )

        _, gap_ms = self.unmoved(act)
        self.goes_on_as("next")
        promise(self.active.has("/usr/sbin/crosswire.old"), "the one before is gone")
        self.dpkg(self.active, "-i this.deb")
        self.goes_on_as("this")
        self.say(
            "upgrade FILE",
            f"on a box with the package, which is installed over it again; gap {gap_ms:.0f} ms",
        )

    def upgrade_backup(self):
        for name in ("next", "this"):
            said, gap_ms = self.unmoved(lambda: self.dpkg(self.backup, f"-i {name}.deb"))
            promise(UPGRADED in said, said)
        self.say("up and down", f"on the one that stands by; gap {gap_ms:.0f} ms")

    def crashes(self):
        old = self.active.program()
        said, gap_ms = self.unmoved(lambda: self.dpkg(self.active, "-i crashes.deb", 1))
        promise("this version does not run on this box" in said and self.active.program() == old, said)
        self.goes_on_as("this")
        state = self.active.run("dpkg-query -W -f '${Status}' crosswire")
        promise(state == "install ok half-configured", state)
        _, back_ms = self.unmoved(lambda: self.dpkg(self.active, "-i this.deb"))
        self.goes_on_as("this")
        self.say(
            "upgrade, crash",
            f"dpkg ends with 1, the old one serves and is in its place; gap {gap_ms:.0f} ms;"
            f" going back goes on in place: {back_ms:.0f} ms",
        )

    def refused_file(self):
        file = self.active.inside("/etc/crosswire/crosswire.toml")
        good = file.read_text()
        file.write_text(good.replace("addresses", "adresses"))
        said, gap_ms = self.unmoved(lambda: self.dpkg(self.active, "-i next.deb", 1))
        promise("this version would not start" in said, said)
        self.goes_on_as("this")
        file.write_text(good)
        _, after_ms = self.unmoved(lambda: self.dpkg(self.active, "--configure -a"))
        self.goes_on_as("next")
        self.say(
            "upgrade, file",
            f"the same where the next start would fail; gap {gap_ms:.0f} ms; mended and configured:"
            f" {after_ms:.0f} ms",
        )

    def gone(self, box):
        promise(box.guard() is None and not box.holds(), "it still runs")
        for path in (
            "/run/crosswire-witness",
            "/usr/sbin/crosswire",
            "/usr/sbin/crosswire.old",
            "/usr/sbin/crosswire.refused",
            "/run/crosswire",
            "/usr/lib/systemd/system/crosswire.service",
        ):
            promise(not box.has(path), f"{path} is still there")
        promise(
            "crosswire"
            not in sh(
                "nsenter", "-t", box.pid, "-p", "-m", "-r", "-w", "/bin/sh", "-c", "cat /proc/[0-9]*/comm"
            ),
            "a process is left",
        )

    def come_back(self, box):
        """Installed again it starts nothing; started it stands by."""
        said = self.dpkg(box, "-i this.deb")
        promise(box.guard() is None, f"it was started:\n{said}")
        self.starts_at_boot(box, "crosswire", True)
        box.run("service crosswire start")
        settle(self.active, self.backup)

    def remove(self):
        box = self.active
        gap_ms = self.moved(lambda: box.run("apt-get -y remove crosswire"))
        self.gone(box)
        for path in (
            "/etc/crosswire/crosswire.toml",
            "/etc/crosswire/key",
            "/etc/default/crosswire",
            "/etc/init.d/crosswire",
        ):
            promise(box.has(path), f"{path} is gone")
        promise(box.run("/etc/init.d/crosswire start") == "", "the script that is left is not silent")
        box.power_off()
        box.boot()
        self.gone(box)
        self.come_back(box)
        self.say(
            "remove",
            f"by apt; the one that serves hands over, gap {gap_ms:.0f} ms; program gone, configuration, key"
            " and conffiles there; installed again it stands by",
        )

    def remove_by_policy(self):
        box = self.active
        self.dpkg(box, "-i slow.deb")
        box.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        gap_ms = self.moved(lambda: self.dpkg(box, "-r crosswire"))
        self.gone(box)
        box.inside("/usr/sbin/policy-rc.d").unlink()
        self.come_back(box)
        self.say(
            "remove, policy",
            f"policy-rc.d forbids to stop anything, the box is slow: it hands over all the same, gap"
            f" {gap_ms:.0f} ms",
        )

    def witness(self):
        """Beside the daemon here, though a third box is its place."""
        box, pid = self.active, "/run/crosswire-witness/crosswire.pid"

        def program():
            return box.inside(f"/proc/{box.inside(pid).read_text().strip()}/exe").read_bytes()

        box.run("cd /etc/crosswire/witness-keys && crosswire keygen --witness packages")
        enable = "systemctl enable" if box.is_systemd else "update-rc.d crosswire-witness enable; echo"
        box.run(f"{enable} crosswire-witness; service crosswire-witness start")
        wait_until("a witness", lambda: box.has(pid))
        old = program()
        said, gap_ms = self.unmoved(lambda: self.dpkg(box, "-i next.deb"))
        promise("a witness that runs keeps the version before" in said and program() == old, said)
        self.starts_at_boot(box, "crosswire-witness", True)
        box.run("service crosswire-witness restart")
        promise(program() != old, "the witness is still the one before")
        self.dpkg(box, "-i this.deb")
        self.say(
            "witness",
            "enabled and started, stays so; an upgrade leaves it as it was until its restart; gap"
            f" {gap_ms:.0f} ms",
        )

    def purge(self):
        # What `standby` has said is kept in a file.
        self.moved(lambda: self.active.run("crosswire standby --reason purge"))
        self.backup.run("crosswire online")
        settle(self.active, self.backup)
        self.moved(lambda: self.active.run("crosswire handover gateway"))
        settle(self.active, self.backup)
        box = self.active
        promise(box.has("/var/lib/crosswire"), "nothing was said")
        gap_ms = self.moved(lambda: self.dpkg(box, "-P crosswire"))
        self.gone(box)
        left = sorted(tree_of(box) - self.before[box.name])
        promise(not left, f"a purge leaves {left}")
        missing = sorted(self.before[box.name] - tree_of(box))
        promise(not missing, f"a purge takes {missing}")
        box.run("getent passwd crosswire")
        self.say(
            "purge", f"the one that serves hands over, gap {gap_ms:.0f} ms; no file is left, the user is"
        )

    def beside_a_hand_installed_one(self):
        """On the box that was purged."""
        box = self.backup
        box.bring(self.tarball, "/root/crosswire.tar.gz")
        box.configure()
        box.run("cd /root && tar -xzf crosswire.tar.gz && crosswire-*/install.sh")
        box.run(
            "systemctl daemon-reload; systemctl start crosswire"
            if box.is_systemd
            else "/etc/init.d/crosswire start"
        )
        settle(self.active, self.backup)
        self.hand_over()
        said, gap_ms = self.unmoved(lambda: self.dpkg(box, "-i this.deb", 1))
        promise("config/install.sh has put a crosswire onto this box" in said, said)
        promise(not box.has("/usr/sbin/crosswire"), "something was installed")
        away_ms = self.moved(lambda: box.run("service crosswire stop"))
        box.run("/root/crosswire-*/install.sh --uninstall")
        if box.is_systemd:
            box.run("systemctl daemon-reload")
        self.come_back(box)
        self.say(
            "beside by hand",
            f"refused, what was installed by hand serves on, gap {gap_ms:.0f} ms; stopped (handed over,"
            f" {away_ms:.0f} ms), taken off, and the package installed",
        )
