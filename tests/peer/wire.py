"""The wire of crosswire as firmware-notes/protocol.md tells it, and nothing else: frames, keys, messages.

Everything is a plain function from values to bytes or back. Numbers in brackets are sections of the note.
"""

import struct
import zlib

HELLO, SESSION, BEAT, ASK, TELL = 1, 2, 3, 4, 5

ROLES = ["backup", "acquiring", "active", "releasing", "faulty", "offered", "wanted", "yielded", "unable", "unready"]
FLAGS = ["cold_start", "leaving", "no_carrier", "lines_dropped", "standby", "maintenance"]
MORE_FLAGS = ["vote_counts", "still_held", "shadow"]
INTERFACES = ["unknown", "proven", "cut off", "dark"]
NEVER_HEARD = 255
MASK = (1 << 64) - 1


# SipHash-2-4 [3]


def _rotate(word, bits):
    return ((word << bits) | (word >> (64 - bits))) & MASK


def _rounds(v, count):
    for _ in range(count):
        v[0] = (v[0] + v[1]) & MASK
        v[1] = _rotate(v[1], 13) ^ v[0]
        v[0] = _rotate(v[0], 32)
        v[2] = (v[2] + v[3]) & MASK
        v[3] = _rotate(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & MASK
        v[3] = _rotate(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & MASK
        v[1] = _rotate(v[1], 17) ^ v[2]
        v[2] = _rotate(v[2], 32)


def siphash(key, message, wide=False):
    """Eight bytes, or sixteen where `wide`."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    if wide:
        v[1] ^= 0xEE
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xEE if wide else 0xFF
    _rounds(v, 4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    if not wide:
        return struct.pack("<Q", first)
    v[1] ^= 0xDD
    _rounds(v, 4)
    return struct.pack("<QQ", first, v[0] ^ v[1] ^ v[2] ^ v[3])


def direction_key(pair, key, sender):
    """The key of one direction: `sender` is 0 for the node whose name sorts first, else 1."""
    head, rest = key[:16], key[16:]
    text = b"crosswire 1 direction" + bytes([sender, len(rest)]) + rest + pair.encode()
    return siphash(head, text, wide=True)


# frames [1] [2]


def crc(data):
    return zlib.crc32(data)


def pair_id(pair):
    return crc(pair.encode()) & 0xFFFF


def group_tag(group):
    return crc(group.encode()) & 0xFF


def stuff(body):
    """The body as it stands on the serial line."""
    out, run = bytearray(), bytearray()
    for byte in body:
        if byte:
            run.append(byte)
        if not byte or len(run) == 254:
            out += bytes([len(run) + 1]) + run
            run.clear()
    return b"\0" + bytes(out) + bytes([len(run) + 1]) + bytes(run) + b"\0"


def unstuff(run):
    """What stood between two zeros; None if it is no body."""
    out, at = bytearray(), 0
    while at < len(run):
        count = run[at]
        piece = run[at + 1 : at + count]
        if len(piece) != count - 1:
            return None
        out += piece
        at += count
        if count < 255 and at < len(run):
            out.append(0)
    return bytes(out)


class Frame:
    """A frame as it is read: fields of the header, and the payload."""

    def __init__(self, version, kind, pair, sender, path, key_id, incarnation, echo, number, payload=b""):
        self.version, self.kind, self.pair, self.sender = version, kind, pair, sender
        self.path, self.key_id, self.incarnation = path, key_id, incarnation
        self.echo, self.number, self.payload = echo, number, payload

    def seal(self, key):
        head = bytes([self.version << 4 | self.kind]) + struct.pack("<H", self.pair)
        head += bytes([self.sender << 7 | self.path << 4 | self.key_id])
        head += self.incarnation + self.echo + struct.pack("<I", self.number)
        authenticated = head + self.payload
        covered = authenticated + siphash(key, authenticated)
        return covered + struct.pack("<I", crc(covered))


def open_frame(body, keys):
    """The frame of a body; `keys` maps (sender, key id) to direction keys. None if it has to be refused."""
    if not 32 <= len(body) <= 160:
        return None
    covered, sum_bytes = body[:-4], body[-4:]
    if struct.pack("<I", crc(covered)) != sum_bytes:
        return None
    version, kind = covered[0] >> 4, covered[0] & 0x0F
    (pair,) = struct.unpack("<H", covered[1:3])
    sender, path, key_id = covered[3] >> 7, covered[3] >> 4 & 7, covered[3] & 0x0F
    key = keys.get((sender, key_id))
    if version not in (1, 2) or key is None or siphash(key, covered[:-8]) != covered[-8:]:
        return None
    (number,) = struct.unpack("<I", covered[16:20])
    return Frame(version, kind, pair, sender, path, key_id, covered[4:12], covered[12:16], number, covered[20:-8])


# payloads [4]


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


class Reader:
    """Reads a payload from its beginning."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        if count > len(self.data):
            raise ValueError("too short")
        piece, self.data = self.data[:count], self.data[count:]
        return piece

    def byte(self):
        return self.take(1)[0]

    def fixed(self, count):
        return int.from_bytes(self.take(count), "little")

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 128:
                return value


def session_payload(version, to, value, build=""):
    payload = to + value
    return payload if version == 1 else payload + bytes([len(build)]) + build.encode()


def read_session(version, payload):
    reader = Reader(payload)
    to, value = reader.take(8), reader.take(4)
    build = "" if version == 1 else reader.take(reader.byte()).decode("ascii", "replace")
    return {"to": to, "value": value, "build": build}


def left_byte(seconds):
    """What is left of a maintenance, in one byte: 0 for none, never too little."""
    if not seconds:
        return 0
    return next((byte for byte in range(1, 255) if left_seconds(byte) >= seconds), 255)


def left_seconds(byte):
    exponent, mantissa = byte >> 4, byte & 0x0F
    return mantissa if exponent == 0 else 16 + mantissa << exponent - 1


def _bits(names, said):
    return sum(1 << index for index, name in enumerate(names) if said.get(name))


def interface_bytes(states):
    codes = [INTERFACES.index(state) for state in states] or [0]
    groups = [codes[at : at + 3] for at in range(0, len(codes), 3)]
    packed = [sum(code << 2 * index for index, code in enumerate(group)) for group in groups]
    return bytes(byte | 0x80 for byte in packed[:-1]) + bytes(packed[-1:])


def beat_payload(version, said):
    """`said` holds what read_beat gives back."""
    trouble = said.get("trouble", 0) | said.get("witnesses", 0) << 4
    flags, digest = _bits(FLAGS, said), said["digest"]
    paths, groups = said["paths"], said["groups"]
    packed = [(group["tag"], group["term"] << 4 | ROLES.index(group["role"])) for group in groups]
    if version == 1:
        out = struct.pack("<I", said["ack"]) + varint(said["interval_ms"])
        out += varint(len(paths)) + b"".join(varint(path["dead_after_ms"]) + bytes([path["age"]]) for path in paths)
        out += varint(len(groups)) + b"".join(bytes([tag]) + varint(value) for tag, value in packed)
        out += bytes([flags, trouble]) + digest
        return out + bytes([said["lease_s"], said["watchdog_s"]]) + varint(said["stop_s"])
    out = struct.pack("<HH", said["ack"] & 0xFFFF, said["interval_ms"])
    out += bytes([flags, _bits(MORE_FLAGS, said), trouble, left_byte(said.get("maintenance_s", 0))])
    out += bytes([said["lease_s"], said["watchdog_s"]]) + struct.pack("<H", said["stop_s"]) + digest
    out += bytes([len(groups) << 4 | len(paths)])
    out += b"".join(struct.pack("<HB", path["dead_after_ms"], path["age"]) for path in paths)
    out += b"".join(struct.pack("<BI", tag, value) for tag, value in packed)
    return out + interface_bytes(said.get("interfaces", []))


def _group(tag, value):
    number = value & 0x0F
    role = ROLES[number] if number < len(ROLES) else "unable"
    return {"tag": tag, "role": role, "term": value >> 4}


def read_beat(version, payload):
    reader, said = Reader(payload), {}
    if version == 1:
        said["ack"], said["interval_ms"] = reader.fixed(4), reader.varint()
        paths = [{"dead_after_ms": reader.varint(), "age": reader.byte()} for _ in range(reader.varint())]
        groups = [_group(reader.byte(), reader.varint()) for _ in range(reader.varint())]
        flags, trouble, more, left = reader.byte(), reader.byte(), 0, 0
        said["digest"] = reader.take(4)
        said["lease_s"], said["watchdog_s"], said["stop_s"] = reader.byte(), reader.byte(), reader.varint()
    else:
        said["ack"], said["interval_ms"] = reader.fixed(2), reader.fixed(2)
        flags, more, trouble, left = reader.take(4)
        said["lease_s"], said["watchdog_s"], said["stop_s"] = reader.byte(), reader.byte(), reader.fixed(2)
        said["digest"], counts = reader.take(4), reader.byte()
        paths = [{"dead_after_ms": reader.fixed(2), "age": reader.byte()} for _ in range(counts & 0x0F)]
        groups = [_group(reader.byte(), reader.fixed(4)) for _ in range(counts >> 4)]
        said["interfaces"] = []
        while True:
            byte = reader.byte()
            said["interfaces"] += [INTERFACES[byte >> shift & 3] for shift in (0, 2, 4)]
            if byte < 128:
                break
    for names, bits in ((FLAGS, flags), (MORE_FLAGS, more)):
        said.update({name: bool(bits >> index & 1) for index, name in enumerate(names)})
    said.update(paths=paths, groups=groups, trouble=trouble & 0x0F, witnesses=trouble >> 4)
    said["maintenance_s"] = left_seconds(left)
    return said


def ask_payload(version, subject, reading, offset):
    if version == 1:
        return varint(subject) + bytes([reading]) + varint(offset)
    return struct.pack("<BBH", subject, reading, offset)


def read_ask(version, payload):
    reader = Reader(payload)
    if version == 1:
        return {"subject": reader.varint(), "reading": reader.byte(), "offset": reader.varint()}
    return {"subject": reader.byte(), "reading": reader.byte(), "offset": reader.fixed(2)}


def tell_payload(version, reading, offset, total, piece):
    if version == 1:
        return bytes([reading]) + varint(offset) + varint(total) + varint(len(piece)) + piece
    return struct.pack("<BHHB", reading, offset, total, len(piece)) + piece


def read_tell(version, payload):
    reader = Reader(payload)
    told = {"reading": reader.byte()}
    if version == 1:
        told["offset"], told["total"], count = reader.varint(), reader.varint(), reader.varint()
    else:
        told["offset"], told["total"], count = reader.fixed(2), reader.fixed(2), reader.byte()
    told["piece"] = reader.take(count)
    return told
