"""A pair of boxes of which one serves, and what may become of that while something is done to one."""

import time

from boxes import Failed, wait_until

# Longer than a busy machine holds up a client, shorter than any move.
HICCUP_MS = 150
# Stopping hands over first: less than a takeover takes.
HANDOVER_MS = 400
# What a package is not asked about: notes, logs and copies of others.
NOT_OURS = (
    "/var/lib/dpkg",
    "/var/log",
    "/var/cache",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/tmp",
    "/var/lib/systemd",
    "/var/lib/apt",
    "/etc/init.d/.depend",
    "/var/lib/insserv",
    "/root",
    "/var/tmp",
    "/etc/mtab",
    "/var/lib/urandom",
    "/etc/subuid",
    "/etc/subgid",
    "/run",
    "/dev",
)


def paths_of(status):
    return [path["state"] for path in status["paths"]]


def is_settled(holder, other):
    roles = {holder.name: "active", other.name: "backup"}
    for box in (holder, other):
        told = box.status()
        if (
            not told
            or "groups" not in told
            or told["groups"][0]["role"] != roles[box.name]
            or told["jeopardy"]
        ):
            return False
        if paths_of(told) != ["on time", "on time"]:
            return False
    return holder.holds() and not other.holds()


def settle(holder, other):
    """Waits until one of them serves, the other stands by, and both paths are on time."""
    try:
        wait_until(f"{holder.name} serves and {other.name} stands by", lambda: is_settled(holder, other))
    except Failed as failed:
        raise Failed(
            f"{failed}\n{holder.status()}\n{other.status()}\n{holder.told()}\n--\n{other.told()}"
        ) from None


def promise(holds, what):
    if not holds:
        raise Failed(what)


def tree_of(box):
    """Every file of a box that is not known to be somebody else's."""
    found = box.run("find / -xdev").splitlines()
    return {path for path in found if not path.startswith(NOT_OURS)}


class Pair:
    """Two boxes of which one serves, and who is told what each cell saw."""

    def __init__(self, boxes, lan, say):
        self.active, self.backup = boxes
        self.lan, self.say = lan, say

    def start_with(self, files, first):
        """Brings each file to both boxes, by its name, and starts both with the package of that name."""
        for box in (self.active, self.backup):
            box.boot()
            for name, file in files.items():
                box.bring(file, f"/root/{name}.deb")
            box.run(f"dpkg -i /root/{first}.deb")
        self.begin()

    def begin(self):
        """Starts what is installed, on the one that is to serve first."""
        for box in (self.active, self.backup):
            box.configure()
            self.enable_and_start(box)
            if box is self.active:
                wait_until("it serves alone", box.holds)
        settle(self.active, self.backup)

    def enable_and_start(self, box):
        """A package for Debian is enabled by its installation."""
        box.run("service crosswire start")

    def unmoved(self, act):
        """Does something during which nothing may move; returns what it gives, and the longest gap."""
        since, guard = time.monotonic_ns(), self.active.guard()
        result = act()
        settle(self.active, self.backup)
        gap_ms = self.lan.longest_gap_ms(since)
        promise(
            gap_ms <= HICCUP_MS, f"nothing was to move, and the client was not served for {gap_ms:.0f} ms"
        )
        promise(self.active.guard() == guard, "another process serves")
        return result, gap_ms

    def moved(self, act):
        """Does something by which the other box serves at last; returns the longest gap of the client."""
        since = time.monotonic_ns()
        act()
        try:
            wait_until("the other box serves", lambda: self.backup.holds() and self.backup.role() == "active")
        except Failed as failed:
            raise Failed(f"{failed}\n{self.active.told()}\n--\n{self.backup.told()}") from None
        time.sleep(2)
        gap_ms = self.lan.longest_gap_ms(since)
        promise(gap_ms <= HANDOVER_MS, f"not handed over: the client was not served for {gap_ms:.0f} ms")
        self.active, self.backup = self.backup, self.active
        return gap_ms

    def hand_over(self):
        """A planned move; returns the longest gap of the client."""
        gap_ms = self.moved(lambda: self.active.ask("handover gateway"))
        settle(self.active, self.backup)
        return gap_ms
