"""Packages of two versions that both know `upgrade`: a pair that serves goes from one to the next and back,
in place, and what cannot go on leaves the old one as it was."""

import shutil

from boxes import sh, wait_until
from debian import UPGRADED, crashing, varied
from pair import Pair, promise

# Does all that the next version does, but to read what a running daemon hands over.
UNREADING = """#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    for (int at = 1; at < count; at++)
        if (!strcmp(words[at], "--state")) {
            fputs("this version cannot read the state of the running daemon\\n", stderr);
            return 1;
        }
    execv("/usr/lib/crosswire/next", words);
    return 127;
}
"""


def version_of(program):
    """What a program says of itself: its version and commit."""
    return [line.split()[-1] for line in sh(program, "--version").splitlines()[:2]]


class Versions(Pair):
    """`next_program` is the program of the next version."""

    def __init__(self, boxes, lan, package, next_program, directory, say):
        super().__init__(boxes, lan, say)
        self.version = sh("dpkg-deb", "--field", package, "Version").strip()
        self.next, commit = version_of(next_program)

        def unreading(tree):
            (tree / "usr/lib/crosswire").mkdir()
            shutil.copy(next_program, tree / "usr/lib/crosswire/next")
            (directory / "unreading.c").write_text(UNREADING)
            sh("cc", "-static", "-o", tree / "usr/sbin/crosswire", directory / "unreading.c")

        def the_next(tree):
            shutil.copy(next_program, tree / "usr/sbin/crosswire")

        files = {
            "this": package,
            "next": varied(package, directory, "next", self.next, the_next),
            "unreading": varied(package, directory, "unreading", f"{self.next}+1", unreading),
            "crashes": varied(package, directory, "crashes", f"{self.next}+2", crashing),
        }
        self.start_with(files, "this")
        here = version_of(boxes[0].inside("/usr/sbin/crosswire"))
        is_other = here[0] != self.next and here[1] != commit
        promise(is_other, f"{here} is no other build than {self.next}, {commit}")

    def everything(self):
        self.differ(False)
        for cell, name in (("upgrade", "next"), ("downgrade", "this")):
            self.in_place(cell, name, self.backup)
            self.differ(True)
            self.in_place(cell, name, self.active)
            self.differ(False)
        self.hand_over()
        self.in_place("upgrade", "next", self.active)
        self.in_place("upgrade", "next", self.backup)
        for box in (self.backup, self.active):
            self.crashes(box)
            self.unreading(box)
        self.differ(False)
        gap_ms = self.hand_over()
        self.say("after all", f"a handover, gap {gap_ms:.0f} ms")

    def role_of(self, box):
        return "the one that serves" if box is self.active else "the one that stands by"

    def in_place(self, cell, name, box):
        """Another version on one of them."""
        old, guard, run = box.program(), box.guard(), box.status()["incarnation"]
        version = {"this": self.version, "next": self.next}[name]
        said, gap_ms = self.unmoved(lambda: box.run(f"dpkg -i /root/{name}.deb"))
        promise(f"version {version} {UPGRADED}" in said, said)
        promise(box.guard() == guard, "another guard")
        promise(box.status()["incarnation"] != run, "the same agent")
        promise(box.program() != old, "what was there is executed still")
        self.executes_its_own(box)
        promise(box.status()["version"] == version, "status says another version")
        what = f"{version} on {self.role_of(box)}, in place, process {guard} still"
        self.say(cell, f"{what}; gap {gap_ms:.0f} ms")

    def differ(self, expected):
        """Whether each says that the other is of another version."""
        boxes = (self.active, self.backup)

        def are_told():
            told = ["runs version" in box.run("crosswire status", None) for box in boxes]
            return told == [expected, expected]

        wait_until(f"status of both: versions differ: {expected}", are_told)

    def executes_its_own(self, box):
        program = box.inside("/usr/sbin/crosswire").read_bytes()
        promise(box.program() == program, "what is executed is not what is installed")

    def goes_on(self, box, before):
        promise((box.guard(), box.program()) == before, "the old one does not go on")

    def crashes(self, box):
        before = (box.guard(), box.program())
        said, gap_ms = self.unmoved(lambda: box.run("dpkg -i /root/crashes.deb", 1))
        promise("this version does not run on this box" in said, said)
        self.goes_on(box, before)
        self.executes_its_own(box)
        self.unmoved(lambda: box.run("dpkg -i /root/next.deb"))
        what = f"on {self.role_of(box)}: dpkg ends with 1, the old one goes on and is back"
        self.say("crashes", f"{what}; gap {gap_ms:.0f} ms")

    def unreading(self, box):
        before = (box.guard(), box.program())
        said, gap_ms = self.unmoved(lambda: box.run("dpkg -i /root/unreading.deb"))
        promise("cannot read the state of the running daemon" in said, said)
        promise("keeps the version before until it is restarted" in said, said)
        self.goes_on(box, before)
        _, back_ms = self.unmoved(lambda: box.run("dpkg -i /root/next.deb"))
        self.executes_its_own(box)
        self.say(
            "reads no state",
            f"on {self.role_of(box)}: the old one goes on until its restart, gap {gap_ms:.0f} ms; one that"
            f" does goes on in place: {back_ms:.0f} ms",
        )
