# SPDX-License-Identifier: MIT
"""A peer that means no good, for so many seconds: bad.py KIND PORT SECONDS REQUEST

  half     500 connections with half a request; 500 a second are given up for others
  drip     200 connections that send a byte now and then
  reset    500 connections a second, reset at any point of a request
  unread   20 connections that send requests for as long as they are taken and never read a reply;
           5 a second are given up for others
  burst    20 connections that send 20 requests at once, 50 times a second, and read the replies:
           good input, for comparison
  idle     5000 connections, opened and left
  files    as many connections as there are descriptors, and more
"""

import collections
import contextlib
import random
import resource
import socket
import struct
import sys
import time

RESET = struct.pack("ii", 1, 0)


class Peer:
    """One that has connections to a port."""

    def __init__(self, port, seconds, request):
        self.port, self.request = port, request
        self.end = time.monotonic() + seconds
        self.open = []

    def going_on(self):
        return time.monotonic() < self.end

    def connect(self):
        s = socket.socket()
        s.settimeout(1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            s.connect(("127.0.0.1", self.port))
            s.setblocking(False)
            self.open.append(s)
            return s
        s.close()
        return None

    def send(self, s, data):
        """What the socket takes, in bytes; one that is closed is opened again."""
        try:
            return s.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.close(s)
            self.connect()
        return 0

    def close(self, s, reset=False):
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        s.close()
        self.open.remove(s)

    def fill(self, n):
        while len(self.open) < n and self.going_on() and self.connect():
            time.sleep(.0005)


def half(p):
    p.fill(500)
    while p.going_on():
        p.close(p.open[0])
        s = p.connect()
        if s:
            p.send(s, p.request[:random.randrange(1, len(p.request))])
        time.sleep(.002)


def drip(p):
    p.fill(200)
    at = 0
    while p.going_on():
        for s in list(p.open):
            p.send(s, p.request[at:at + 1])
        at = (at + 1) % (len(p.request) - 1)
        time.sleep(.1)


def reset(p):
    while p.going_on():
        s = p.connect()
        if s:
            p.send(s, p.request[:random.randrange(len(p.request) + 1)])
            if s in p.open:
                p.close(s, True)
        time.sleep(.002)


def unread(p):
    p.fill(20)
    data, sent = p.request * 20, collections.Counter()
    while p.going_on():
        p.close(p.open[0])
        p.connect()
        for s in list(p.open):
            while p.going_on() and (n := p.send(s, data[sent[s] % len(data):])):
                sent[s] += n
        time.sleep(.2)


def burst(p):
    p.fill(20)
    while p.going_on():
        for s in list(p.open):
            p.send(s, p.request * 20)
            with contextlib.suppress(OSError):
                s.recv(65536)
        time.sleep(.02)


def idle(p):
    p.fill(5000)
    while p.going_on():
        time.sleep(.05)


KINDS = {"half": half, "drip": drip, "reset": reset, "unread": unread, "burst": burst,
         "idle": idle, "files": idle}


def main():
    kind, port, seconds, request = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open(request, "rb") as f:
        KINDS[kind](Peer(int(port), float(seconds), f.read()))


if __name__ == "__main__":
    main()
