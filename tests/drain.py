#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nodes that end while they are called, found by multicast DNS, in a network namespace of its own: no
call fails, none is executed twice, and nothing is cut off.

    tests/drain.py [WORD...]    only the tests whose name holds one of the words
"""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from programs import BUILD, check, enter_network, equal, run, run_tests, until
from sniff import resets, Sniffer

PEER = os.path.join(BUILD, "peer", "drain")
SERVICE = "go.micro.srv.work"
SECONDS = 60  # for anything that should take a few


def start(*args):
    return subprocess.Popen([PEER, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def found(n):
    until("%d nodes are found" % n,
          lambda: run("get", "service", SERVICE)[1].count(SERVICE + "-") == n)


def end(process, kill=None):
    """Its numbers, from a process that ends well."""
    if kill:
        process.send_signal(kill)
    out, err = process.communicate(timeout=SECONDS)
    check(process.returncode == 0, "exit code %d: %s" % (process.returncode, err.decode()))
    return [int(n) for n in re.findall(rb"\d+", out)], err.decode()


def ends_under_load(signals):
    """Nodes come and go; the sum of what they did is what the callers got."""
    nodes = [start() for _ in range(2)]
    found(2)
    load = start("load", "20")
    done = 0
    for kill in signals:
        time.sleep(1)
        (n,), _ = end(nodes.pop(0), kill)
        check(n > 0, "a node was not called")
        done += n
        nodes.append(start())
        found(2)
    (ok, failed), why = end(load)
    check(failed == 0, "%d calls of %d failed: %s" % (failed, ok + failed, why))
    for node in nodes:
        done += end(node, signal.SIGTERM)[0][0]
    check(done == ok, "%d calls were answered, %d executed" % (ok, done))


def test_sigterm_under_load():
    ends_under_load([signal.SIGTERM] * 3)


def test_sigint_under_load():
    ends_under_load([signal.SIGINT])


# ---- the order of goodbye and close, as the wire has it --------------------------------------------


def is_goodbye(packet):
    """A multicast answer of which a record says that its time is over."""
    if packet.protocol != socket.IPPROTO_UDP or packet.dst[1] != 5353:
        return False
    data, at = packet.payload, 12
    flags, questions, *counts = struct.unpack_from(">5H", data, 2)
    if not flags & 0x8000 or questions:
        return False
    for _ in range(sum(counts)):
        while 0 < data[at] < 0xc0:
            at += data[at] + 1
        at += 2 if data[at] else 1
        ttl, length = struct.unpack_from(">IH", data, at + 4)
        if ttl == 0:
            return True
        at += 10 + length
    return False


def knock(address, refused):
    """Connects again and again, until nobody listens any more."""
    while not refused.is_set():
        try:
            socket.create_connection(address, SECONDS).close()
        except ConnectionRefusedError:
            refused.set()
        time.sleep(0.001)


def test_goodbye_before_the_listener_closes():
    """On both interfaces the goodbye has gone before the first connection is refused, though calls of
    300 ms run on and others come; none that was taken is reset."""
    subprocess.run("ip link add far type veth peer name farther && "
                   "ip addr add 10.88.0.1/24 dev far && ip link set farther up && "
                   "ip link set far up", shell=True, check=True)
    address = ("10.77.0.1", 9700)
    nodes = [start("--server_address=%s:%d" % address), start()]
    found(2)
    load = start("load", "20")
    time.sleep(1)
    refused = threading.Event()
    knocking = threading.Thread(target=knock, args=(address, refused))
    with Sniffer() as wire:
        knocking.start()
        (n,), _ = end(nodes[0], signal.SIGTERM)
        knocking.join(SECONDS)
    check(n > 0 and refused.is_set(), "the node was not called, or listens on")
    (ok, failed), why = end(load)
    check(failed == 0, "%d calls of %d failed: %s" % (failed, ok + failed, why))
    end(nodes[1], signal.SIGTERM)
    first = {}
    for number, packet in enumerate(wire.packets):
        if is_goodbye(packet):
            first.setdefault(packet.interface, number)
    equal(sorted(first), ["far", "lo"], "where the goodbye was heard")
    refusals, cut = resets(wire.packets, address)
    equal(cut, [], "connections that were taken, and reset")
    check(refusals and max(first.values()) < min(refusals),
          "the goodbye was packet %s, the first refusal %s" % (first, refusals[:1]))


def main():
    enter_network()
    return run_tests(globals())


if __name__ == "__main__":
    sys.exit(main())
