# SPDX-License-Identifier: MIT
"""Rows that are a server's or client's CPU and latency under load, against the floor's: 1 to 7, 10
to 15. In a round everything is measured once; ratios are within the round."""

import statistics

import proc
from report import ratios

CONNS = (64, 1, 512)
PIPELINED = ("-c", 8, "-w", 16)
ASYNC = ("--async", "--parallel=64")


def requests(b):
    """Files with what is sent: JSON, protobuf."""
    hello = proc.json_rpc("Bench.Hello", {"name": "John"})
    proto = proc.proto_rpc("Bench.Hello", b"\x0a\x04John")
    return (b.programs.file("json.http", hello), b.programs.file("proto.http", proto),
            proc.body_length(hello), proc.body_length(proto))


def headline(b):
    p = b.programs
    json_file, proto_file, json_len, proto_len = requests(b)
    seen = {}

    def measure(what, r, server, request, *options):
        # proto-RPC replies hold no quote: the text is enough of a check for both
        d = p.load(server, request, "-u", b.short(.1), "-d", b.short(.4), "-e", "Hello John",
                   *options)
        seen.setdefault(what, []).append(b.report.record(what, dict(d, round=r)))

    def round_(r):
        with p.floor("-b", str(json_len)) as fj, \
                p.floor("-b", str(proto_len), name="floor-proto") as fp, \
                p.ours("--loops=1") as ours:
            jobs = [(server + " json %d" % c, s, json_file, "-c", c) for c in CONNS
                    for server, s in (("floor", fj), ("ours", ours))]
            jobs += [("floor proto 64", fp, proto_file, "-c", 64),
                     ("ours proto 64", ours, proto_file, "-c", 64),
                     ("floor pipelined", fj, json_file, *PIPELINED),
                     ("ours pipelined", ours, json_file, *PIPELINED)]
            for what, server, request, *options in jobs if r % 2 == 0 else reversed(jobs):
                measure(what, r, server, request, *options)
            clients = [("pair async", *ASYNC), ("pair blocking", "--parallel=1")]
            for what, *flags in clients if r % 2 == 0 else reversed(clients):
                d = p.client(ours, *flags, "--warm_up=%dms" % (b.short(.1) * 1000),
                             "--time=%dms" % (b.short(.4) * 1000))
                seen.setdefault(what, []).append(b.report.record(what, dict(d, round=r)))

    for r in range(b.rounds(21)):
        round_(r)
    judge_headline(b, seen)
    return seen


def judge_headline(b, seen):
    add = b.report.add

    def server(what):
        return [d["server_us"] for d in seen[what]]

    def both(what):
        return [d["server_us"] + d["client_us"] for d in seen[what]]

    def client(what):
        return [d["client_us"] for d in seen[what]]

    floor, ours = server("floor json 64"), server("ours json 64")
    note = "floor %.2f us" % statistics.median(floor)
    add("1", "server CPU per JSON call, 64 connections, to the floor", ratios(ours, floor), 1.25,
        1.10, "x", note)
    add("2", "server CPU per protobuf call, 64 connections, to the floor",
        ratios(server("ours proto 64"), server("floor proto 64")), 1.20, 1.08, "x")
    for c in (1, 512):
        add("6", "server CPU per JSON call, %d connection%s, to the floor" % (c, "s" * (c > 1)),
            ratios(server("ours json %d" % c), server("floor json %d" % c)), 1.20, 1.08, "x")
    extra = [a - f for a, f in zip(ours, floor)]
    low, high = interval(extra)
    add("7", "server CPU per JSON call less the floor's, 64 connections", extra, 1.5, 0.6, " us",
        "median within %.2f-%.2f (95 %%)" % (low, high))
    add("12", "client CPU per call, asynchronous, 64 under way, to load's",
        ratios(client("pair async"), client("ours json 64")), 1.3, 1.12, "x")
    add("12", "client CPU per call, blocking, 1 under way, to load's",
        ratios(client("pair blocking"), client("ours json 1")), 1.3, None, "x")
    add("13", "our client and our server, CPU per call, to load and floor",
        ratios(both("pair async"), both("floor json 64")), 1.30, 1.15, "x")
    pipelined = server("ours pipelined")
    add("14", "pipelined, 16 requests a write: server CPU per call, to the floor",
        ratios(pipelined, server("floor pipelined")), 3, 2, "x",
        "%.2f us" % statistics.median(pipelined))


def interval(values):
    """Where the median lies with 95 %, from the order of the values alone."""
    v, n = sorted(values), len(values)
    k = max(0, int((n - 1.96 * n ** .5) / 2))
    return v[k], v[n - 1 - k]


def latency(b):
    p = b.programs
    json_file, _, json_len, _ = requests(b)
    calls = 2000 if b.smoke else 100000
    seen = {}
    for r in range(b.rounds(7)):
        with p.floor("-b", str(json_len)) as floor, p.ours("--loops=1") as ours:
            jobs = [(s, c) for c in (1, 64) for s in (floor, ours)]
            for s, c in jobs if r % 2 == 0 else reversed(jobs):
                d = p.load(s, json_file, "-c", c, "-n", calls)
                name = "%s latency %d" % (s.name, c)
                seen.setdefault(name, []).append(b.report.record(name, dict(d, round=r)))

    def to_floor(what, c):
        return ratios(*([d[what] for d in seen["%s latency %d" % (s, c)]]
                        for s in ("micro", "floor")))

    add = b.report.add
    add("10", "median latency, 1 connection, to the floor", to_floor("p50", 1), 1.15, 1.05, "x")
    add("10", "99th percentile, 1 connection, to the floor", to_floor("p99", 1), 1.5, 1.2, "x")
    add("11", "99th percentile, 64 connections, to the floor", to_floor("p99", 64), 1.2, 1.1, "x")


def loops(b):
    """Not pinned, for both loops to have a processor; two clients of 32 connections."""
    p = b.programs
    json_file = requests(b)[0]
    got = {1: [], 2: []}
    for r in range(b.rounds(9)):
        for n in (1, 2) if r % 2 == 0 else (2, 1):
            with p.ours("--loops=%d" % n, pin=False) as s:
                options = ("-c", 32, "-u", b.short(.2), "-d", b.short(.8))
                running = [p.start_load(s, json_file, *options, pin=False) for _ in range(2)]
                d = [proc.result(x) for x in running]
                cpu = sum(x["server_us"] * x["calls"] for x in d) / 2
                calls = sum(x["calls"] for x in d)
                got[n].append(cpu / calls)
                b.report.record("loops %d" % n, {"round": r, "server_us": cpu / calls,
                                                 "calls": calls})
    b.report.add("15", "server CPU per call, two loops, to one loop", ratios(got[2], got[1]), 1.08,
                 1.03, "x")
