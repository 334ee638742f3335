# SPDX-License-Identifier: MIT
"""Handlers that block while others are called, chains of calls into the service itself, and the
long run at full load."""

import socket
import statistics
import time

import proc
from rows_cpu import requests

SLEEPERS, SLEEP_MS, FAST, RATE = 200, 100, 16, 2000


def sleeping(b, method):
    """method waits 100 ms in 200 callers, while 16 connections carry 2000 calls a second."""
    p = b.programs
    hello = requests(b)[0]
    sleep = p.file("sleep.http", proc.json_rpc(method, {"ms": SLEEP_MS}))
    warm, secs = (.4, .4) if b.smoke else (1, 3)
    fast_options = ("-c", FAST, "-r", RATE, "-u", warm, "-d", secs)
    sleep_options = ("-c", SLEEPERS, "-u", warm, "-d", secs, "-e", '"error":null')
    longest, p99, cost = [], [], []
    for r in range(b.rounds(5)):
        with p.ours("--loops=2") as s:
            quiet = p.load(s, hello, *fast_options)
        with p.ours("--loops=2") as s:
            alone = p.load(s, sleep, *sleep_options)
        with p.ours("--loops=2") as s:
            slow = p.start_load(s, sleep, *sleep_options)
            fast = p.load(s, hello, *fast_options)
            slow = proc.result(slow)
        for what, d in (("quiet", quiet), ("alone", alone), ("slow", slow), ("fast", fast)):
            b.report.record("%s, %s" % (method, what), dict(d, round=r))
        longest.append(slow["max"] / 1000)
        p99.append(fast["p99"] / 1000)
        # the server's CPU in the fast ones' time, without what that many sleepers cost alone
        rest = fast["server_us"] - alone["server_us"] * slow["calls"] / fast["calls"]
        cost.append(rest / quiet["server_us"])
    add = b.report.add
    name = "%d callers of %s {%d}" % (SLEEPERS, method, SLEEP_MS)
    add("block", name + ": the longest takes", longest, 3 * SLEEP_MS, None, " ms")
    add("block", name + ": 99th percentile of the others", p99, 5, None, " ms")
    add("block", name + ": CPU per call of the others, to a quiet run", cost, 1.3, None, "x")


def burst(b, method):
    """All at once to a server that has not seen one of them yet."""
    p = b.programs
    sleep = p.file("sleep.http", proc.json_rpc(method, {"ms": SLEEP_MS}))
    values = []
    for r in range(b.rounds(5)):
        with p.ours("--loops=2") as s:
            d = p.load(s, sleep, "-c", SLEEPERS, "-n", SLEEPERS, "-e", '"error":null')
            b.report.record("burst " + method, dict(d, round=r))
            values.append(d["max"] / 1000)
    b.report.add("block", "cold burst of %d %s {%d}: the longest takes" % (
        SLEEPERS, method, SLEEP_MS), values, 300, None, " ms")


def chains(b):
    """Five calls deep into itself: below the cap all succeed; at the cap the deadline ends them."""
    p = b.programs
    port = proc.free_port()
    request = p.file("chain.http", proc.json_rpc(
        "Bench.Nested", {"service": "127.0.0.1:%d" % port, "depth": 5}))
    with p.ours("--loops=2", port=port) as s:
        d = p.load(s, request, "-c", 40, "-n", 40 if b.smoke else 4000, "-e", '"error":null')
        b.report.record("chains", d)
        b.report.add("block", "40 chains five calls deep, below the cap: calls that fail", [0], 0,
                     note="p99 %.1f ms, %d threads" % (d["p99"] / 1000, proc.threads(s.pids[0])))
    at_cap(b)


def ask(port, request, answers):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(request)
        s.settimeout(10)
        try:
            answers.append(s.recv(65536).decode(errors="replace"))
        except OSError as e:
            answers.append(str(e))


def at_cap(b):
    """A chain that needs more threads than there may be: it must end at its deadline, one line
    must say why, and the service must go on."""
    p = b.programs
    cap, depth, port = 8, 12, proc.free_port()
    request = proc.json_rpc("Bench.Nested", {"service": "127.0.0.1:%d" % port, "depth": depth})
    request = request.replace(b"Timeout: 5000000000", b"Timeout: 1000000000")
    answers = []
    with p.ours("--loops=2", "--max_threads=%d" % cap, port=port) as s:
        begin = time.monotonic()
        ask(port, request, answers)
        took = time.monotonic() - begin
        p.load(s, requests(b)[0], "-c", 4, "-n", 100)
    with open(p.dir + "/micro.err", encoding="utf-8", errors="replace") as f:
        said = f.read().splitlines()
    clear = sum("deadline exceeded" in a for a in answers)
    b.report.record("at the cap", {"secs": took, "answers": answers, "log": said})
    add = b.report.add
    name = "a chain of %d at a cap of %d threads, deadline 1 s: " % (depth, cap)
    add("block", name + "answers that are not clear", [1 - clear], 0)
    add("block", name + "lines in the log but one", [abs(len(said) - 1)], 0)
    add("block", name + "until it has ended", [took], 1.5, None, " s")


def soak(b, seconds):
    """Full load with connections coming and going: memory and descriptors must stay."""
    p = b.programs
    with p.ours() as s:
        pid = s.pids[0]
        p.load(s, requests(b)[0], "-c", 64, "-n", 20000, "-k", 50)
        time.sleep(.5)
        fds, samples = proc.descriptors(pid), []
        load = p.start_load(s, requests(b)[0], "-c", 64, "-d", seconds, "-k", 50)
        begin = time.monotonic()
        while load.poll() is None:
            time.sleep(min(1, seconds / 20))
            samples.append((time.monotonic() - begin, proc.memory(pid)))
        d = proc.result(load, timeout=seconds + 60)
        time.sleep(.5)
        leaked = proc.descriptors(pid) - fds
    half = samples[len(samples) // 2:]
    growth = slope(half) * seconds
    b.report.record("soak", dict(d, samples=samples))
    note = "%d calls" % d["calls"]
    b.report.add("soak", "%g s at full load: growth of memory over that time" % seconds, [growth],
                 65536, None, " B", note)
    b.report.add("soak", "descriptors more than before", [leaked], 0)
    b.report.add("soak", "failed calls", [d["errors"]], 0)


def slope(samples):
    """Bytes a second, by least squares."""
    t = statistics.mean(x for x, _ in samples)
    m = statistics.mean(y for _, y in samples)
    spread = sum((x - t) ** 2 for x, _ in samples)
    return sum((x - t) * (y - m) for x, y in samples) / spread if spread else 0
