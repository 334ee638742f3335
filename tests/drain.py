#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nodes that end while they are called, found by multicast DNS, in a network namespace of its own: no
call fails, none is executed twice, and nothing is cut off.

    tests/drain.py [WORD...]    only the tests whose name holds one of the words
"""

import os
import re
import signal
import subprocess
import sys
import time

from programs import BUILD, check, enter_network, run, run_tests, until

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


def main():
    enter_network()
    return run_tests(globals())


if __name__ == "__main__":
    sys.exit(main())
