"""A rolling upgrade by packages: a pair of the build before, which speaks protocol 1 alone and cannot go on
in place, becomes one of this version and goes back, a box at a time, by dpkg, restarts and handovers."""

import shutil

from debian import varied
from pair import Pair, promise

BEFORE = "0.1.0"


class Rolling(Pair):
    """`before` is the program of the build before."""

    def __init__(self, boxes, lan, package, before, directory, say):
        super().__init__(boxes, lan, say)
        old = varied(
            package,
            directory,
            "before",
            BEFORE,
            lambda tree: shutil.copy(before, tree / "usr/sbin/crosswire"),
        )
        self.gaps_ms = []
        self.start_with({"this": package, "before": old}, "before")

    def everything(self):
        self.speak({None})
        for name in ("this", "before"):
            # The one that stands by first; the other one has handed over before its turn.
            self.exchange(name)
            self.speak({None, 1})
            gap_ms = self.hand_over()
            self.noted(name, "handed over", gap_ms)
            self.exchange(name)
            self.speak({2} if name == "this" else {None})
            gap_ms = self.hand_over()
            self.noted(name, "handed over", gap_ms)
        self.say("in all", f"there and back without a longer gap than {max(self.gaps_ms):.0f} ms")

    def noted(self, name, what, gap_ms):
        self.gaps_ms.append(gap_ms)
        versions = {box.name: box.status().get("version", BEFORE) for box in (self.active, self.backup)}
        versions = ", ".join(f"{node} {versions[node]}" for node in sorted(versions))
        self.say(
            "upgrade" if name == "this" else "downgrade",
            f"{what} ({versions}), {self.active.name} serves; gap {gap_ms:.0f} ms",
        )

    def exchange(self, name):
        """Another package on the one that stands by, and its restart."""
        box = self.backup
        old = box.program()
        said, gap_ms = self.unmoved(lambda: box.run(f"dpkg -i /root/{name}.deb"))
        promise("keeps the version before" in said and box.program() == old, said)
        self.noted(name, f"{box.name} installed", gap_ms)
        _, gap_ms = self.unmoved(lambda: box.run("service crosswire restart"))
        promise(
            box.program() == box.inside("/usr/sbin/crosswire").read_bytes(),
            "what is executed is not what is installed",
        )
        self.noted(name, f"{box.name} restarted", gap_ms)

    def speak(self, expected):
        """In which protocol each speaks to the other; the build before does not say."""
        spoken = {
            box.status()["peer"].get("protocol") if box.status().get("peer") else None
            for box in (self.active, self.backup)
        }
        promise(spoken == expected, f"they speak {spoken}, not {expected}")
