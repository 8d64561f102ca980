"""A client: ping.py ADDRESS FILE asks every 5 ms for an echo, and notes in FILE when it asked and when its
kernel had each answer (8 bytes, ns, the monotonic clock; what was asked is negative)."""

import os
import select
import socket
import struct
import sys
import time

STEP_S = 0.005
# asm-generic/socket.h
SO_TIMESTAMPNS = 35


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def request(number):
    head = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def came_ns(ancillary):
    """When the kernel had what it has stamped, by the clock of the day; whoever reads it may be late."""
    for _, kind, stamp in ancillary:
        if kind == SO_TIMESTAMPNS:
            seconds, ns = struct.unpack("@ll", stamp)
            return time.monotonic_ns() - (time.clock_gettime_ns(time.CLOCK_REALTIME) - seconds * 10**9 - ns)
    return time.monotonic_ns()


def main(address, file):
    # A busy machine holds up whom it can: the client is to measure others, and not itself.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(40))
    echo = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    echo.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    echo.setblocking(False)
    number, due = 0, time.monotonic()
    with open(file, "wb", buffering=0) as notes:
        while True:
            if time.monotonic() >= due:
                number += 1
                due = max(due + STEP_S, time.monotonic())
                notes.write(struct.pack("=q", -time.monotonic_ns()))
                try:
                    echo.sendto(request(number), (address, 0))
                except OSError:
                    pass  # No neighbour is known: that is what a client sees.
            select.select([echo], [], [], max(0, due - time.monotonic()))
            try:
                reply, ancillary, _, sender = echo.recvmsg(512, 64)
            except OSError:
                continue
            if (
                sender[0] == address
                and reply[20] == 0
                and reply[24:26] == struct.pack("!H", os.getpid() & 0xFFFF)
            ):
                notes.write(struct.pack("=q", came_ns(ancillary)))


main(*sys.argv[1:])
