# SPDX-License-Identifier: MIT
"""What other callers notice while somebody sends bad input, and what it costs in memory."""

import os
import statistics
import subprocess
import sys
import time

import proc
from rows_cpu import requests

FAST, RATE = 16, 2000
FILES = 300  # descriptors of a server that is to run out of them
MEMORY = 268.4  # MB: what .max_memory is, unsaid

KINDS = {
    "half": "500 half requests, 500 new ones a second",
    "drip": "200 connections that drip bytes",
    "reset": "500 resets a second",
    "unread": "20 peers that send and never read",
    "burst": "good ones, 400 requests at once, 50 times a second",
    "idle": "5000 idle connections",
    "files": "no descriptor left",
}


def descriptors(server):
    return len(os.listdir("/proc/%d/fd" % server.pids[0]))


def disturbed(b, kind, server, idle, options, seconds):
    """The others' figures while the peer is at work, which begins when they are connected. idle:
    descriptors of the server without connections."""
    request = requests(b)[0]
    load = b.programs.start_load(server, request, *options)
    bad = None
    if kind:
        while load.poll() is None and descriptors(server) < idle + FAST:
            time.sleep(.001)
        argv = [sys.executable, "-B", b.source("bad.py"), kind, str(server.port), str(seconds),
                request]
        others = os.sched_getaffinity(0) - {b.core}  # it is to disturb by what it sends
        if others:
            argv = ["taskset", "-c", ",".join(map(str, others)), *argv]
        bad = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        return proc.result(load)
    finally:
        if bad:
            bad.kill()
            bad.wait()


def run(b):
    """One server for each kind: quiet, then disturbed."""
    warm, secs = (.3, .3) if b.smoke else (1, 2)
    options = ("-c", FAST, "-r", RATE, "-u", warm, "-d", secs)
    most = []
    for kind, text in KINDS.items():
        ratios, p99, more = [], [], []
        for r in range(b.rounds(3)):
            limit = ["prlimit", "--nofile=%d:%d" % (FILES, FILES)] if kind == "files" else []
            with b.programs.ours("--loops=1", under=limit) as s:
                idle = descriptors(s)
                quiet = disturbed(b, None, s, idle, options, 0)
                before = proc.memory(s.pids[0])
                bad = disturbed(b, kind, s, idle, options, warm + secs + 1)
                more.append((proc.memory(s.pids[0]) - before) / 1e6)
            for what, d in (("quiet", quiet), (kind, bad)):
                b.report.record("bad input, " + what, dict(d, round=r))
            ratios.append(bad["p99"] / quiet["p99"])
            p99.append(bad["p99"])
        b.report.add("bad", "99th percentile of the others, to a quiet run: " + text, ratios,
                     None if kind == "burst" else 2, None, "x", note="p99 %.2f ms, %.1f MB more" % (
                         statistics.median(p99) / 1000, max(more)))
        most.append(max(more))
    b.report.add("bad", "resident memory more than before, the most of these", [max(most)],
                 MEMORY, None, " MB", "the cap of what connections keep")
