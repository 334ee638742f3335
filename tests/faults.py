#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nodes that stop, die, hang, fail and move under load, found by multicast DNS in a network
namespace of each case's own.

  faults.py          all cases
  faults.py CASE...  some of them"""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading

from programs import BUILD, loopback_host, TESTS

sys.path.insert(0, os.path.join(TESTS, "netns"))

import cases  # noqa: E402
from cases import case  # noqa: E402
from sniff import connects, resets, Sniffer  # noqa: E402

SECONDS = 60  # for whatever a loaded machine makes of it


def program(name):
    return os.path.join(BUILD, "peer", name)


class Lines:
    """A program and the lines it prints."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.queue = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.queue.put(line)
        self.queue.put("")

    def line(self):
        return self.queue.get(timeout=SECONDS)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=SECONDS)


class Node(Lines):
    def __init__(self, *flags):
        super().__init__([program("faultnode"), *flags])
        words = self.line().split()
        assert words[:1] == ["ready"], words
        self.address = words[1]

    def kill(self):
        self.process.kill()
        self.process.wait()


class Load(Lines):
    """The caller; at(n) is what it says when there have been n calls or more."""

    def __init__(self, *flags):
        super().__init__([program("faultcaller"), *flags])
        self.last = {"calls": 0}

    def at(self, n):
        while self.last["calls"] < n:
            line = self.line()
            assert line, "the caller ended early"
            self.last = json.loads(line)
        return self.last

    def end(self, n):
        got = self.at(n)
        assert self.wait() == 0
        return got


def begin(nodes=3, flags=()):
    loopback_host()
    return [Node(*flags) for _ in range(nodes)]


def attempts(said, address=None):
    return said["attempts"].get(address, 0) if address else sum(said["attempts"].values())


def warm(load, nodes, n=100):
    """Until all nodes have been called."""
    said = load.at(n)
    while not all(attempts(said, node.address) for node in nodes):
        n += 50
        said = load.at(n)
    return n


@case
def graceful_stop():
    """A node that is stopped costs no call, though none may be tried twice."""
    nodes = begin(flags=("--work", "2ms"))
    load = Load("--calls=800", "--once")
    n = warm(load, nodes)
    nodes[1].signal(signal.SIGTERM)
    assert nodes[1].wait() == 0
    stopped = load.at(n + 150)
    said = load.end(800)
    assert said["failed"] == 0, said
    assert attempts(said, nodes[1].address) == attempts(stopped, nodes[1].address), (stopped, said)


@case
def killed():
    """A node that is killed: no error, one refusal, and no dial until it is heard of again: neither
    one that middleware sees nor one on the wire."""
    nodes = begin()
    load = Load("--calls=1200")
    n = warm(load, nodes)
    host, _, port = nodes[1].address.rpartition(":")
    address = (host, int(port))
    with Sniffer() as wire:
        nodes[1].kill()
        before = load.at(n + 50)
        gone = load.at(n + 300)
        assert gone["failed"] == 0, gone
        assert gone["refused"].get(nodes[1].address) == 1, gone
        again = load.at(n + 400)
        assert attempts(again, nodes[1].address) == attempts(gone, nodes[1].address), (before, again)
    refused, _ = resets(wire.packets, address)
    assert len(refused) == 1, refused
    dials = connects(wire.packets, address)
    assert max(dials) < refused[0], (dials, refused)
    back = Node("--server_address=" + nodes[1].address)
    assert back.address == nodes[1].address
    said = load.end(1200)
    assert said["failed"] == 0, said
    assert attempts(said, back.address) > attempts(again, back.address) + 5, said


@case
def failing():
    """One of three fails every call: it is passed over, and the load does not grow."""
    nodes = begin()
    load = Load("--calls=1600")
    n = warm(load, nodes)
    nodes[1].signal(signal.SIGUSR1)
    before = load.at(n + 150)
    said = load.at(n + 1000)
    calls = said["calls"] - before["calls"]
    assert attempts(said) - attempts(before) <= 1.1 * calls, (before, said)
    assert said["failed"] - before["failed"] <= calls / 1000, (before, said)
    assert attempts(said, nodes[1].address) - attempts(before, nodes[1].address) <= 10, said
    nodes[1].signal(signal.SIGUSR2)
    healed = load.end(1600)
    assert healed["failed"] <= 1, healed


@case
def moved():
    """The same id at another port: the old address is left at once."""
    nodes = begin(nodes=2)
    nodes.append(Node("--server_id=moving"))
    load = Load("--calls=900")
    n = warm(load, nodes)
    nodes[2].kill()
    moved_to = Node("--server_id=moving")
    assert moved_to.address != nodes[2].address
    during = load.at(n + 150)
    said = load.end(900)
    assert said["failed"] == 0, said
    assert said["refused"].get(nodes[2].address, 0) <= 1, said
    assert attempts(said, nodes[2].address) == attempts(during, nodes[2].address), (during, said)
    assert attempts(said, moved_to.address) > 50, said


@case
def frozen():
    """A node that hangs refuses nothing: its registration ends by its TTL, and then no call waits
    for it any more."""
    nodes = begin(flags=("--register_ttl=2", "--register_interval=1"))
    load = Load("--calls=1100", "--timeout=100ms", "--keep")
    n = warm(load, nodes)
    nodes[1].signal(signal.SIGSTOP)
    began = load.at(n + 50)
    assert attempts(began, nodes[1].address), began
    gone = load.at(n + 700)
    said = load.end(1100)
    assert attempts(said, nodes[1].address) == attempts(gone, nodes[1].address), (gone, said)
    assert 0 < said["failed"] <= 100, said
    nodes[1].signal(signal.SIGCONT)


@case
def chaos():
    """Random nodes are killed, and replaced, during 1000 calls of four callers: none fails."""
    nodes = begin()
    load = Load("--calls=1000", "--callers=4")
    n = warm(load, nodes)
    dice = random.Random(4)
    addresses = [node.address for node in nodes]
    for step in range(5):
        said = load.at(n + 120 * step)
        victim = dice.randrange(len(nodes))
        nodes[victim].kill()
        nodes[victim] = Node()
        addresses.append(nodes[victim].address)
    said = load.end(1000)
    assert said["failed"] == 0, said
    assert len(addresses) == 8
    assert sum(1 for a in addresses if attempts(said, a)) >= 6, said


if __name__ == "__main__":
    sys.exit(cases.main(90))
