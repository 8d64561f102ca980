"""Two boxes and a client: roots of their own, each with its own process 1, kernel names, network and
mounts, joined by a bridge and by a pseudo-terminal for a cable. All that runs in them ends with whoever
has made them."""

import atexit
import json
import os
import pathlib
import pty
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
import tty

HERE = pathlib.Path(__file__).resolve().parent
ADDRESS = "10.99.0.100"
NAMES = ("gw1", "gw2")
PATIENCE_S = 20
# Between two requests of the client; and what is too long to say anything of a service.
STEP_NS = 5 * 10**6
UNASKED_NS = 100 * 10**6

CONFIGURATION = f"""pair = "packages"
key = "/etc/crosswire/key"
[node.gw1]
lan = "10.99.0.1"
[node.gw2]
lan = "10.99.0.2"
[serial]
device = "/dev/ttyS9"
baud = 38400
[lan]
interface = "eth0"
[timing]
interval = "100ms"
late_after = "300ms"
dead_after = "500ms"
lease = "1s"
cold_start = "5s"
[group.gateway]
addresses = ["{ADDRESS}/24@eth0"]
"""

# What process 1 of a box does first: a root, and what stands in it of the kernel. $1 is the root, $2 the
# name, $3 the cable's end, the rest what is executed at last. It waits for a line until the network is
# there.
ENTER = """set -e
root=$1 name=$2 cable=$3
shift 3
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs run "$root/run"
mount -t tmpfs dev "$root/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 console:1:3 tty:5:0 kmsg:1:3; do
    IFS=: read -r file major minor <<END
$node
END
    mknod -m 666 "$root/dev/$file" c "$major" "$minor"
done
# What belongs to the whole machine is not for a box.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,rw "$root/proc/sys/net"
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
touch "$root/dev/ttyS9" "$root/run/utmp"
mount --bind "$cable" "$root/dev/ttyS9"
mount -t sysfs -o ro sys "$root/sys"
if [ -n "$CGROUP" ]; then mount -t cgroup2 cgroup "$root/sys/fs/cgroup"; fi
hostname "$name"
ip link set lo up
cd "$root"
pivot_root . mnt
umount -l /mnt
read -r _
exec "$@" </dev/null >/dev/null 2>&1
"""


class Failed(Exception):
    """A cell is not as promised."""


def sh(*words, **more):
    """Runs a command of this machine, which has to succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode:
        raise Failed(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(what, condition, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {patience_s} s: {what}")
        time.sleep(0.05)


class Cable:
    """Carries bytes between two pseudo-terminals."""

    def __init__(self):
        ends = [pty.openpty() for _ in NAMES]
        for _, slave in ends:
            tty.setraw(slave)
        # The slaves stay open, so that an end without a daemon is no hang-up.
        self.masters, self.slaves = zip(*ends)
        self.devices = [os.ttyname(slave) for slave in self.slaves]
        threading.Thread(target=self.carry, daemon=True).start()

    def carry(self):
        for master in self.masters:
            os.set_blocking(master, False)
        while True:
            for master in select.select(self.masters, [], [])[0]:
                try:
                    os.write(self.masters[1 - self.masters.index(master)], os.read(master, 4096))
                except BlockingIOError:
                    pass  # Nobody reads at the other end.


class Lan:
    """A bridge in a network of its own, and the client beside it."""

    def __init__(self, directory):
        self.home = subprocess.Popen(["unshare", "--net", "--kill-child", "--fork", "sleep", "infinity"])
        self.client = subprocess.Popen(["unshare", "--net", "--kill-child", "--fork", "sleep", "infinity"])
        atexit.register(self.home.kill)
        atexit.register(self.client.kill)
        self.file = directory / "notes"
        wait_until(
            "a bridge",
            lambda: os.readlink(f"/proc/{self.home.pid}/ns/net") != os.readlink("/proc/self/ns/net"),
        )
        wait_until(
            "a client",
            lambda: os.readlink(f"/proc/{self.client.pid}/ns/net") != os.readlink("/proc/self/ns/net"),
        )
        self.at(self.home.pid, "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.at(self.home.pid, "ip", "link", "set", "br0", "up")
        self.plug("client", self.client.pid, "10.99.0.10")
        words = [
            "nsenter",
            "-n",
            "-t",
            str(self.client.pid),
            "python3",
            str(HERE / "ping.py"),
            ADDRESS,
            str(self.file),
        ]
        atexit.register(subprocess.Popen(words).kill)

    @staticmethod
    def at(pid, *words):
        sh("nsenter", "-n", "-t", pid, *words)

    def plug(self, name, pid, ip):
        """Gives the network of a process an eth0."""
        self.at(
            self.home.pid, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid
        )
        self.at(self.home.pid, "ip", "link", "set", name, "master", "br0", "up")
        self.at(pid, "ip", "addr", "add", f"{ip}/24", "dev", "eth0")
        self.at(pid, "ip", "link", "set", "eth0", "up")
        self.at(pid, "ip", "link", "set", "lo", "up")

    def longest_gap_ms(self, since, until=None):
        """The longest time without an answer to a request that reaches beyond `since`, too long by at most
        a step. A client that the machine does not run has asked for nothing: no outage, but not for long."""
        until = until or time.monotonic_ns()
        data = self.file.read_bytes()
        notes = sorted(struct.unpack(f"={len(data) // 8}q", data[: len(data) // 8 * 8]), key=abs)
        before, waits_since, asked, longest = since, None, since, 0
        # What is waited for at the end counts as answered then.
        for note in (*(note for note in notes if since < abs(note) <= until), -until, until):
            if note < 0:
                if -note - asked > UNASKED_NS:
                    raise Failed(f"the client asked for nothing for {(-note - asked) / 1e6:.0f} ms")
                asked, waits_since = -note, waits_since or -note
            else:
                if waits_since:
                    longest = max(longest, note - max(before, waits_since - STEP_NS))
                before, waits_since = note, None
        return longest / 1e6


class Box:
    """One machine. Its root is what `base` holds, and what was written since."""

    def __init__(self, name, base, directory, lan, device):
        self.name, self.lan, self.device, self.init = name, lan, device, None
        self.pid = None
        self.ip = f"10.99.0.{1 + NAMES.index(name)}"
        self.is_systemd = (base / "lib/systemd/systemd").exists()
        place = directory / name
        for part in ("upper", "work", "root"):
            (place / part).mkdir(parents=True)
        self.root = place / "root"
        self.cgroup = place / f"cgroup/crosswire-{os.getpid()}-{name}"
        self.log = []
        sh(
            "mount",
            "-t",
            "overlay",
            "overlay",
            "-o",
            f"lowerdir={base},upperdir={place}/upper,workdir={place}/work",
            self.root,
        )
        if self.is_systemd:
            self.cgroup.parent.mkdir()
            sh("mount", "-t", "cgroup2", "cgroup", self.cgroup.parent)
        atexit.register(self.end)
        (self.root / "etc/hostname").write_text(f"{name}\n")
        self.leave_out_terminals()

    def leave_out_terminals(self):
        inittab = self.root / "etc/inittab"
        if inittab.exists():
            lines = inittab.read_text().splitlines(keepends=True)
            inittab.write_text("".join(line for line in lines if "getty" not in line))
        if self.is_systemd:
            (self.root / "etc/systemd/system/console-getty.service").symlink_to("/dev/null")

    def boot(self, *init):
        """Starts the box. Its kernel has forgotten all addresses."""
        ready, go = os.pipe()
        words = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CGROUP": "", "container": "box"}
        if self.is_systemd:
            words.append("--cgroup")
            environment["CGROUP"] = "yes"
        words += ["sh", "-c", ENTER, "enter"]
        words += [str(self.root), self.name, self.device, *(init or ("/sbin/init",))]
        self.init = subprocess.Popen(words, env=environment, stdin=ready, preexec_fn=self.enter_cgroup)
        os.close(ready)
        children = pathlib.Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children")
        wait_until("process 1", lambda: children.read_text().split())
        self.pid = int(children.read_text().split()[0])
        root = pathlib.Path(f"/proc/{self.pid}/root")
        # Before that it is the root of the machine that this runs on, which nothing may be written to.
        wait_until(
            "its root",
            lambda: (root / "etc/hostname").read_text() == f"{self.name}\n"
            and not (root / "mnt/etc").exists(),
        )
        self.lan.plug(self.name, self.pid, self.ip)
        if not self.is_systemd:
            self.listen(root / "dev/log")
        os.write(go, b"\n")
        os.close(go)
        wait_until("the end of its boot", self.has_booted)

    def has_booted(self):
        if self.is_systemd:
            return self.run("systemctl is-system-running", None).strip() in ("running", "degraded")
        if self.has("/etc/openwrt_release"):
            return self.has("/run/booted")
        names = self.run("cat /proc/[0-9]*/comm", None).split()
        return self.run("runlevel", None).split()[-1] == "2" and not {"rc", "rcS", "startpar"} & set(names)

    def enter_cgroup(self):
        """What systemd finds as the root of all groups."""
        if self.is_systemd:
            self.cgroup.mkdir()
            (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def leave_cgroup(self):
        for path, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(path)

    def listen(self, file):
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind(str(file))
        os.chmod(file, 0o666)

        def read():
            while True:
                self.log.append(log.recv(4096).decode(errors="replace"))

        threading.Thread(target=read, daemon=True).start()

    def power_off(self):
        """At once, as by the plug."""
        if self.init:
            self.init.kill()
            self.init.wait()
            wait_until("the end of its processes", lambda: not os.path.exists(f"/proc/{self.pid}"))
            subprocess.run(
                ["nsenter", "-n", "-t", str(self.lan.home.pid), "ip", "link", "del", self.name],
                capture_output=True,
            )
            self.leave_cgroup()
            self.init = self.pid = None

    def end(self):
        self.power_off()
        for mounted in (self.root, *([self.cgroup.parent] if self.is_systemd else [])):
            subprocess.run(["umount", "-l", str(mounted)])
        shutil.rmtree(self.root.parent, ignore_errors=True)

    def run(self, line, expect=0, **more):
        """A line of its own shell; returns what was said. `expect` is the exit code; none: any."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
            "LC_ALL": "C",
        }
        words = [
            "nsenter",
            "-t",
            str(self.pid),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-r",
            "-w",
            "/bin/sh",
            "-c",
            line,
        ]
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment | more,
            timeout=180,
        )
        if expect is not None and done.returncode != expect:
            raise Failed(
                f"{self.name}: `{line}` ended with {done.returncode}, not {expect}:\n"
                f"{done.stdout}\n{self.told()}"
            )
        return done.stdout

    def told(self):
        """The end of its log."""
        if self.is_systemd:
            return self.run("journalctl --no-pager -n 40", None)
        return "\n".join(self.log[-40:])

    def has(self, path):
        return os.path.lexists(self.inside(path))

    def inside(self, path):
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def write(self, path, text, mode=0o644):
        file = self.inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def bring(self, file, to):
        shutil.copy(file, self.inside(to))

    def configure(self):
        self.write("/etc/crosswire/crosswire.toml", CONFIGURATION)
        self.write("/etc/crosswire/key", "1 00112233445566778899aabbccddeeff\n", 0o600)

    def ask(self, words, expect=0):
        """A command to the daemon by its own program, whatever stands in its place by now."""
        return self.run(f"exec /proc/$(cat /run/crosswire/crosswire.pid)/exe {words}", expect)

    def status(self):
        """None while nobody answers."""
        try:
            return json.loads(self.ask("status --json", None))
        except ValueError:
            return None

    def role(self):
        told = self.status()
        return told and "groups" in told and told["groups"][0]["role"]

    def holds(self):
        """Whether its kernel has the address."""
        return ADDRESS in sh("nsenter", "-n", "-t", self.pid, "ip", "-o", "addr", "show", "dev", "eth0")

    def guard(self):
        """The daemon's process number here, or none."""
        file = self.inside("/run/crosswire/crosswire.pid")
        pid = file.read_text().strip() if file.exists() else ""
        return pid if pid and self.inside(f"/proc/{pid}").exists() else None

    def program(self):
        """What the daemon executes."""
        return self.inside(f"/proc/{self.guard()}/exe").read_bytes()
