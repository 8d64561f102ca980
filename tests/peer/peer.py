#!/usr/bin/env python3
"""A node of a pair that follows firmware-notes/protocol.md alone: it shakes hands, beats, hands over, says goodbye.

It takes nothing from a silent peer: what a node has to be certain of before it does so is no part of the wire. Its only
argument is a file of JSON; `tests/pair/peer.rs` writes one. On standard input it takes `want` (ask for the group), `leave`
(release, say goodbye, end), on standard output it says what happens, a line each. Numbers in brackets are sections of the note.
"""

import json
import os
import secrets
import select
import socket
import subprocess
import sys
import termios
import time
import tty

import wire

NONE = bytes(4)
GOODBYES = 3
# How long a node says that it lets go, or asks, at most [6].
WISH_S = 10


def say(*words):
    print(*words, flush=True)


def digest(facts):
    """[7] A checksum over what both nodes must agree on, high byte first."""
    text = "\n".join(["crosswire 2", *facts]) + "\n"
    return wire.crc(text.encode()).to_bytes(4, "big")


class Session:
    """[5] Who the peer is, and which frames of it count."""

    def __init__(self, config):
        self.me, self.pair = config["side"], config["pair"]
        self.newest_version = config["version"]
        key = bytes.fromhex(config["key"])
        self.key_id = config["key_id"]
        self.keys = {(side, self.key_id): wire.direction_key(self.pair, key, side) for side in (0, 1)}
        self.incarnation, self.number = secrets.token_bytes(8), 0
        self.given = {}
        self.peer = None
        self.hellos = 0
        self.answered_at = {}

    def next_number(self):
        """[2] None ends in 16 bits of zero, which acknowledge nothing."""
        self.number += 1 if (self.number + 1) & 0xFFFF else 2
        return self.number

    def frame(self, version, kind, path, echo, payload=b""):
        return self.seal(version, kind, path, echo, self.next_number(), payload)

    def seal(self, version, kind, path, echo, number, payload):
        pair = wire.pair_id(self.pair)
        frame = wire.Frame(version, kind, pair, self.me, path, self.key_id, self.incarnation, echo, number, payload)
        return frame.seal(self.keys[self.me, self.key_id])

    def hello(self, path):
        """Each version in turn, the newest first: the caller counts `hellos` up once an interval."""
        version = self.newest_version - self.hellos % self.newest_version
        return self.frame(version, wire.HELLO, path, NONE)

    def value_for(self, incarnation):
        return self.given.setdefault(incarnation, secrets.token_bytes(4))

    def answer(self, question, echo):
        """A session for whoever asked, in the version of the question."""
        value = self.value_for(question.incarnation)
        payload = wire.session_payload(question.version, question.incarnation, value, "peer.py")
        return self.frame(question.version, wire.SESSION, question.path, echo, payload)

    def take(self, body, path):
        """What counts: ('beat', dict) or ('adopted', version); and an answer that has to go out, or None."""
        frame = wire.open_frame(body, self.keys)
        if frame is None or frame.version > self.newest_version or frame.pair != wire.pair_id(self.pair):
            return None, None
        if frame.sender == self.me or frame.path != path:
            return None, None
        if self.peer and self.peer["incarnation"] == frame.incarnation:
            self.peer["version"] = max(self.peer["version"], frame.version)
        if frame.kind == wire.HELLO:
            return None, self.answer(frame, NONE)
        if frame.kind == wire.SESSION:
            return self.take_session(frame)
        if frame.kind == wire.BEAT and self.is_fresh(frame):
            self.peer["newest"][path] = frame.number
            self.peer["is_mutual"] = True
            return ("beat", wire.read_beat(frame.version, frame.payload), frame.number), None
        return None, None

    def is_fresh(self, frame):
        peer = self.peer
        is_ours = peer and (peer["incarnation"], peer["expects"]) == (frame.incarnation, frame.echo)
        return bool(is_ours) and frame.number > peer["newest"].get(frame.path, peer["adopted_at"])

    def take_session(self, frame):
        said = wire.read_session(frame.version, frame.payload)
        if said["to"] != self.incarnation or said["value"] == NONE:
            return None, None
        if frame.echo == NONE:
            return None, self.answer(frame, said["value"])
        if frame.echo != self.given.get(frame.incarnation):
            return None, None
        peer = self.peer
        if peer and peer["incarnation"] == frame.incarnation:
            if not self.is_fresh(frame):
                return None, None
            is_news = peer["gives"] != said["value"]
            peer["gives"], peer["newest"][frame.path] = said["value"], frame.number
            # Answered only if it brings something new, or if our last answer may have been lost: else it never ends.
            return None, self.answer(frame, said["value"]) if is_news or self.may_repeat(frame.path) else None
        self.peer = {
            "incarnation": frame.incarnation,
            "version": frame.version,
            "expects": frame.echo,
            "gives": said["value"],
            "newest": {},
            "adopted_at": frame.number,
            "is_mutual": False,
        }
        self.given = {frame.incarnation: frame.echo}
        return ("adopted", said["build"]), self.answer(frame, said["value"])

    def may_repeat(self, path):
        now = time.monotonic()
        if self.peer["is_mutual"] or now - self.answered_at.get(path, 0) < 0.05:
            return False
        self.answered_at[path] = now
        return True

    def newest(self):
        """[4] The newest number heard on any path, of sessions and beats; asks and tells have numbers of their own."""
        return max([0, *self.peer["newest"].values()]) if self.peer else 0

    def beat(self, path, number, said):
        version = self.peer["version"]
        return self.seal(version, wire.BEAT, path, self.peer["gives"], number, wire.beat_payload(version, said))


class Serial:
    """Path 0: `00 COBS(body) 00`, 8N1 without any handshake."""

    def __init__(self, device):
        self.fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd)
        termios.tcflush(self.fd, termios.TCIOFLUSH)
        self.run = bytearray()

    def fileno(self):
        return self.fd

    def send(self, body):
        try:
            os.write(self.fd, wire.stuff(body))
        except BlockingIOError:
            pass

    def bodies(self):
        for byte in os.read(self.fd, 4096):
            if byte:
                self.run.append(byte)
            elif self.run:
                body = wire.unstuff(bytes(self.run))
                self.run.clear()
                if body:
                    yield body


class Lan:
    """Path 1: the body alone, from our address and port to the peer's."""

    def __init__(self, local, remote, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((local, port))
        self.socket.connect((remote, port))
        self.socket.setblocking(False)

    def fileno(self):
        return self.socket.fileno()

    def send(self, body):
        try:
            self.socket.send(body)
        except OSError:
            pass

    def bodies(self):
        try:
            yield self.socket.recv(2048)
        except OSError:
            pass


class Node:
    """[6] One group: what we are for it, what the peer says, and what follows."""

    def __init__(self, config):
        self.config, self.session = config, Session(config)
        self.ports = [Serial(config["device"]), Lan(config["local"], config["remote"], config["port"])]
        self.heard_at, self.told = [None, None], set()
        self.role, self.term, self.until = "backup", 0, None
        self.theirs, self.newest_beat, self.is_leaving, self.goodbyes = None, 0, False, 0
        self.digest, self.asking, self.line = digest(config["facts"]), None, ""
        self.beat_at, self.is_urgent = time.monotonic(), False

    def become(self, role, lasts=None):
        self.role, self.is_urgent = role, True
        self.until = None if lasts is None else time.monotonic() + lasts
        say("role", role, self.term)

    def hold(self, verb):
        """The kernel is asked by a program of its own: beats go on meanwhile."""
        command = ["ip", "address", verb, self.config["address"], "dev", self.config["interface"]]
        self.asking = subprocess.Popen(command)

    def is_held(self):
        """Whether what was asked of the kernel has just been done."""
        if self.asking is None or self.asking.poll() is None:
            return False
        done, self.asking = self.asking.returncode, None
        if done:
            raise OSError(f"ip says {done}")
        return True

    def acquire(self):
        """The next term: one more than the highest that either node has named."""
        self.term = max(self.term, self.theirs["term"]) + 1
        self.become("acquiring")
        self.beats()
        self.hold("add")

    def release(self):
        """Only when the kernel has let go is it said."""
        self.become("releasing")
        self.beats()
        self.hold("del")

    def said(self):
        now = time.monotonic()
        dead_after = self.config["dead_after_ms"]

        def age(at):
            return 255 if at is None else min(254, int((now - at) * 1000 * 16 / dead_after))

        return {
            "ack": self.session.newest(),
            "interval_ms": self.config["interval_ms"],
            "paths": [{"dead_after_ms": dead_after, "age": age(at)} for at in self.heard_at],
            "groups": [{"tag": wire.group_tag(self.config["group"]), "role": self.role, "term": self.term}],
            "leaving": self.goodbyes > 0,
            "digest": self.digest,
            "lease_s": 0,
            "watchdog_s": 0,
            "stop_s": 0,
        }

    def is_heard(self):
        limit = self.config["dead_after_ms"] / 1000
        return any(at is not None and time.monotonic() - at < limit for at in self.heard_at)

    def beats(self):
        """One beat, with the same number on both paths; a hello while nobody is heard."""
        self.is_urgent, self.beat_at = False, time.monotonic() + self.config["interval_ms"] / 1000
        if self.session.peer:
            number, said = self.session.next_number(), self.said()
            for path, port in enumerate(self.ports):
                port.send(self.session.beat(path, number, said))
        if not self.is_heard():
            for path, port in enumerate(self.ports):
                port.send(self.session.hello(path))
            self.session.hellos += 1

    def hear(self, path, body):
        event, answer = self.session.take(body, path)
        if answer:
            self.ports[path].send(answer)
        if event is None:
            return
        self.heard_at[path] = time.monotonic()
        if event[0] == "adopted":
            self.is_urgent, self.newest_beat = True, 0
            say("adopted", event[1] or "-")
            return
        said = f"heard {'serial' if path == 0 else 'lan'} in {self.session.peer['version']}"
        if said not in self.told:
            self.told.add(said)
            say(said)
        # What a slower path brings after a faster one has overtaken it says nothing new.
        if event[2] > self.newest_beat:
            self.newest_beat = event[2]
            self.hear_beat(event[1])

    def hear_beat(self, beat):
        tag = wire.group_tag(self.config["group"])
        before, self.theirs = self.theirs, next(group for group in beat["groups"] if group["tag"] == tag)
        self.theirs["digest"], self.theirs["leaving"] = beat["digest"], beat["leaving"]
        if before is None or (before["role"], before["leaving"]) != (self.theirs["role"], self.theirs["leaving"]):
            say("peer", self.theirs["role"], self.theirs["term"], "leaves" if beat["leaving"] else "stays")
        if before is None and beat["digest"] != self.digest:
            say("digest", beat["digest"].hex(), "ours", self.digest.hex())

    def act(self):
        role = self.theirs["role"] if self.theirs else None
        is_free = self.role in ("backup", "wanted", "offered")
        if self.is_held() and self.role == "acquiring":
            self.become("active")
        elif self.role == "releasing" and self.asking is None:
            self.become("offered", self.config["dead_after_ms"] / 1000 + self.config["interval_ms"] / 1000)
        elif self.role == "offered" and role in ("acquiring", "active"):
            self.become("backup")
        elif self.role in ("wanted", "offered") and self.until and time.monotonic() >= self.until:
            self.become("backup")
        elif is_free and not self.is_leaving and self.is_heard() and role == "offered":
            self.acquire()
        elif self.role == "active" and (role == "wanted" or self.is_leaving):
            self.release()
        if self.is_leaving and self.role not in ("active", "acquiring", "releasing") and not self.goodbyes:
            self.goodbyes, self.is_urgent = GOODBYES, True

    def order(self, word):
        say("asked", word)
        if word == "want":
            self.become("wanted", WISH_S)
        elif word == "leave":
            self.is_leaving = True

    def hear_operator(self):
        """Whole lines; when there will be no more, it leaves."""
        piece = os.read(sys.stdin.fileno(), 4096).decode("ascii")
        *words, self.line = (self.line + piece).split("\n")
        for word in words if piece else ["leave"]:
            self.order(word)

    def turn(self):
        wait = max(0, self.beat_at - time.monotonic())
        if self.asking:
            wait = min(wait, 0.005)
        ready, _, _ = select.select([*self.ports, sys.stdin], [], [], wait)
        for source in ready:
            if source is sys.stdin:
                self.hear_operator()
                continue
            path = self.ports.index(source)
            for body in source.bodies():
                self.hear(path, body)
        self.act()
        if self.is_urgent or time.monotonic() >= self.beat_at:
            self.beats()
            if self.goodbyes:
                self.goodbyes -= 1
                return self.goodbyes > 0
        return True


def main(kind=Node):
    with open(sys.argv[1], encoding="ascii") as file:
        config = json.load(file)
    node = kind(config)
    say("digest", node.digest.hex())
    while node.turn():
        pass
    say("left")


if __name__ == "__main__":
    main()
