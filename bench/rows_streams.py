# SPDX-License-Identifier: MIT
"""Streams by callbacks, without targets: messages sent and echoed, beside as many pipelined calls
of load to the floor; memory of open ones."""

import statistics
import subprocess

import proc
from report import ratios
from rows_cpu import PIPELINED, requests


def run(b):
    messages(b)
    idle(b)


def messages(b):
    p = b.programs
    request, _, body_len, _ = requests(b)
    got = {"floor": [], "ours": []}
    warm_up, secs = b.short(.1), b.short(.4)
    for r in range(b.rounds(9)):
        with p.floor("-b", str(body_len)) as floor, p.ours("--loops=1") as ours:
            for side in ("floor", "ours") if r % 2 == 0 else ("ours", "floor"):
                if side == "floor":
                    d = p.load(floor, request, "-u", warm_up, "-d", secs, *PIPELINED)
                else:
                    d = p.client(ours, "--streams=8", "--window=16", name="streams", *(
                        "--%s=%dms" % (k, v * 1000)
                        for k, v in (("warm_up", warm_up), ("time", secs))))
                d["rate"] = d["calls"] / d["secs"]
                got[side].append(b.report.record("streams " + side, dict(d, round=r)))
    for text, what, note, swap in (
            ("server CPU per message", "server_us", "%.2f to %.2f us", False),
            ("time per message, both sides", "rate", "%.0f to %.0f a second", True)):
        ours, floor = ([d[what] for d in got[side]] for side in ("ours", "floor"))
        b.report.add("stream", "8 streams, 16 messages to be echoed on each: %s, to calls of the "
                     "floor" % text, ratios(floor, ours) if swap else ratios(ours, floor), unit="x",
                     note=note % (statistics.median(ours), statistics.median(floor)))


def held(b, server, n):
    """Resident bytes with n open streams, each after one message."""
    client = b.programs.start_client(server, "--streams=%d" % n, "--hold", name="streams",
                                     stdin=subprocess.PIPE)
    return proc.held(client, server, n, b.short(.3))


def idle(b):
    each, n = [], 100 if b.smoke else 2000
    for r in range(b.rounds(3)):
        with b.programs.ours("--loops=1") as s:
            before = proc.memory(s.pids[0])
            each.append((held(b, s, n) - before) / n)
            b.report.record("memory of streams", {"round": r, "streams": n, "each": each[-1]})
    b.report.add("stream", "server's user memory per open stream, %d streams" % n, each, unit=" B")
