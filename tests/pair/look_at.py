"""look_at.py PICTURE: of a PNG as Chromium writes it (8 bits, RGB or RGBA, not interlaced), the brightness of its top left
corner (0 to 255), how many colours it has, and how many thousandths of it have another colour than that corner."""
import struct, sys, zlib

BYTES_OF = {2: 3, 6: 4}

def chunks(data):
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind, data[at + 8:at + 8 + length]
        at += 12 + length

def predicted(kind, left, above, corner):
    """PNG specification, section 9.2."""
    if kind == 4:
        distances = [(abs(above - corner), left), (abs(left - corner), above), (abs(left + above - 2 * corner), corner)]
        return min(distances, key=lambda distance: distance[0])[1]
    return (0, left, above, (left + above) // 2)[kind]

def pixels(data):
    packed = b""
    for kind, content in chunks(data):
        if kind == b"IHDR":
            width, height, _, colour_kind = struct.unpack(">IIBB", content[:10])
        elif kind == b"IDAT":
            packed += content
    size = BYTES_OF[colour_kind]
    raw, length = zlib.decompress(packed), width * size
    above = bytearray(length)
    for start in range(0, height * (length + 1), length + 1):
        kind, line = raw[start], bytearray(raw[start + 1:start + 1 + length])
        for at in range(length if kind else 0):
            left, corner = (line[at - size], above[at - size]) if at >= size else (0, 0)
            line[at] = (line[at] + predicted(kind, left, above[at], corner)) & 255
        above = line
        for at in range(0, length, size):
            yield bytes(line[at:at + 3])

count = {}
ground = None
for pixel in pixels(open(sys.argv[1], "rb").read()):
    ground = ground or pixel
    count[pixel] = count.get(pixel, 0) + 1
total = sum(count.values())
print(sum(ground) // 3, len(count), (total - count[ground]) * 1000 // total)
