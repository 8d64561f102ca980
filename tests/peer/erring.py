#!/usr/bin/env python3
"""A node of a pair that has the key and does not keep to firmware-notes/protocol.md: it asks and does not take, serves what it may
not, says that it has let go of what its kernel holds, or counts witnesses that nobody has configured.

It does all else as peer.py does. Further words on standard input: `tease` (ask for the group from now on, and never take it),
`claim TERM` (serve at that term, whoever else does, and keep it), `keep` (say of the next release that it is done, and do
nothing), `drop` (let go of the address, and do as the notes say from now on), `witnesses N` (see so many), `babble WHAT` (say another
digest, role, term or incarnation in every beat, or `all` of them, a thousand beats a second).
"""

import itertools
import secrets
import time

import peer
import wire

KINDS = ["digest", "role", "term", "incarnation"]
BABBLE_S = 0.001
# So many beats to one incarnation: enough for a handshake.
RUN_BEATS = 20


class Erring(peer.Node):
    def __init__(self, config):
        super().__init__(config)
        self.is_teasing = self.is_claiming = self.is_keeping = self.is_told = False
        self.witnesses = 0
        self.babbles, self.roles, self.count = [], itertools.cycle(wire.ROLES), 0

    def said(self):
        said = {**super().said(), "witnesses": self.witnesses}
        if "digest" in self.babbles:
            said["digest"] = secrets.token_bytes(4)
        if "role" in self.babbles:
            said["groups"][0]["role"] = next(self.roles)
        if "term" in self.babbles:
            said["groups"][0]["term"] = self.theirs["term"] + secrets.randbelow(3)
        return said

    def beats(self):
        self.count += 1
        if "incarnation" in self.babbles and self.count % RUN_BEATS == 0:
            self.session, self.heard_at = peer.Session(self.config), [None, None]
        super().beats()
        if self.babbles:
            self.beat_at = time.monotonic() + BABBLE_S

    def acquire(self):
        if not self.is_teasing:
            super().acquire()

    def release(self):
        if self.is_keeping:
            self.become("releasing")
        elif not self.is_claiming:
            super().release()

    def hear_beat(self, beat):
        super().hear_beat(beat)
        if beat.get("still_held") and not self.is_told:
            self.is_told = True
            peer.say("told that the kernel still answers")

    def act(self):
        if self.babbles:
            return
        super().act()
        if self.is_teasing and self.role == "backup":
            self.become("wanted", peer.WISH_S)

    def order(self, line):
        word, *numbers = line.split()
        if word == "babble":
            self.babbles = KINDS if numbers == ["all"] else numbers
            return
        if word == "tease":
            self.is_teasing = True
        elif word == "claim":
            self.is_claiming, self.term = True, int(numbers[0])
            self.hold("add")
            self.become("active")
        elif word == "keep":
            self.is_keeping = True
        elif word == "drop":
            self.is_claiming = self.is_keeping = False
            self.hold("del")
            self.become("backup")
        elif word == "witnesses":
            self.witnesses, self.is_urgent = int(numbers[0]), True
        else:
            super().order(line)


if __name__ == "__main__":
    peer.main(Erring)
