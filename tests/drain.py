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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "netns"))

import hosts  # noqa: E402

BUILD = os.path.abspath(os.environ.get("MICRO_BUILD", "build"))
PEER = os.path.join(BUILD, "peer", "drain")
MICRO = os.path.join(BUILD, "micro")
SERVICE = "go.micro.srv.work"
NETWORK = "TESTED_NETWORK"
SECONDS = 60  # for anything that should take a few


def check(ok, what):
    if not ok:
        raise AssertionError(what)


def start(*args):
    return subprocess.Popen([PEER, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def found(n):
    """Waits until so many nodes are there."""
    end = time.monotonic() + SECONDS
    have = -1
    while have != n:
        check(time.monotonic() < end, "%d nodes are found, not %d" % (have, n))
        out = subprocess.run([MICRO, "get", "service", SERVICE], capture_output=True, check=False)
        have = out.stdout.decode().count(SERVICE + "-")


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
    if NETWORK not in os.environ:
        os.environ[NETWORK] = "1"
        how = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
        os.execvp("unshare", ["unshare", *how, sys.executable, os.path.abspath(__file__),
                              *sys.argv[1:]])
    hosts.loopback_host()
    passed = failed = 0
    for name, test in sorted(globals().items()):
        words = sys.argv[1:]
        if not name.startswith("test_") or (words and not any(w in name for w in words)):
            continue
        try:
            test()
            passed += 1
        except (AssertionError, subprocess.TimeoutExpired) as error:
            print("FAIL  %s: %s" % (name, error))
            failed += 1
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
