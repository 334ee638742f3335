# SPDX-License-Identifier: MIT
"""Rows of look-up (31), nested calls (33), replies in pieces (34) and large bodies (35)."""

import statistics

import proc
from report import ratios
from rows_cpu import ASYNC, requests

PIECES = 23
MIB = 1 << 20


def look_up(b):
    p = b.programs
    if not p.path("unshare") or not p.path("ip"):
        b.report.remark("Row 31: unshare or ip is absent.")
        return
    out = b.in_namespace("find", str(b.rounds(21)), "20" if b.smoke else "500")
    times = {}
    for line in out.splitlines():
        what, us = line.split()
        times.setdefault(what, []).append(float(us))
    for what, values in times.items():
        b.report.record("look-up, " + what, {"us": values})
    trip = statistics.median(times["trip"])
    b.report.add("31", "name not known until callable over mDNS, to a multicast round trip",
                 [v / trip for v in times["first"]], 33, 3, "x",
                 "a process's first look-up, %.0f us to %.0f us" % (
                     statistics.median(times["first"]), trip))
    b.report.add("31", "the next name of the same process", [v / trip for v in times["next"]],
                 unit="x", note="heard of meanwhile, by the same browsing")


def nested(b):
    """The service called is the address of another server of ours; CPU of the calling one."""
    p = b.programs
    got = {}
    for r in range(b.rounds(9)):
        with p.ours("--loops=1") as there, p.ours("--loops=1") as here:
            for c in (1, 64):
                for depth in (0, 1) if r % 2 == 0 else (1, 0):
                    request = p.file("nested.http", proc.json_rpc(
                        "Bench.Nested", {"service": there.address(), "depth": depth}))
                    d = p.load(here, request, "-c", c, "-u", b.short(.1), "-d", b.short(.4),
                               "-e", '"error":null')
                    got.setdefault((c, depth), []).append(d["server_us"])
                    b.report.record("nested %d, depth %d" % (c, depth), dict(d, round=r))
    for c, must in ((1, 2.2), (64, None)):
        b.report.add("33", "handler with a nested call, %d connection%s: CPU, to one without" % (
            c, "s" * (c > 1)), ratios(got[c, 1], got[c, 0]), must, None, "x",
            "%.1f to %.1f us" % (statistics.median(got[c, 1]), statistics.median(got[c, 0])))


# As go-micro of the 1.x era writes it: the headers of the request again, sorted, a segment each.
GO_REPLY = ("HTTP/1.1 200 OK\r\nContent-Length: 52\r\nAccept: application/json\r\n"
            "Content-Type: application/json\r\nMicro-Id: 0\r\nTimeout: 5000000000\r\n"
            "User-Agent: Go-http-client/1.1\r\nX-Micro-From-Service: go.micro.api\r\n"
            "X-Micro-Id: 0\r\n\r\n").encode() + proc.REPLY.encode()


def pieces(b):
    p = b.programs
    reply = p.file("go_reply.http", GO_REPLY)
    got = {}
    request = requests(b)[0]
    times = ("--warm_up=%dms" % (b.short(.1) * 1000), "--time=%dms" % (b.short(.4) * 1000))
    kinds = {"blocking, 1 under way": lambda s: p.client(s, "--parallel=1", *times),
             "asynchronous, 64 under way": lambda s: p.client(s, *ASYNC, *times),
             "load, for comparison": lambda s: p.load(s, request, "-u", b.short(.1), "-d",
                                                      b.short(.4))}
    for r in range(b.rounds(9)):
        with p.floor("-b", "0", "-r", reply) as whole, \
                p.floor("-b", "0", "-r", reply, "-g", str(PIECES), name="floor-pieces") as cut:
            sides = [(1, whole), (PIECES, cut)]
            for n, s in sides if r % 2 == 0 else reversed(sides):
                for kind, measure in kinds.items():
                    d = measure(s)
                    got.setdefault((kind, n), []).append(d["client_us"])
                    b.report.record("pieces %d, %s" % (n, kind), dict(d, round=r))
    for kind in kinds:
        b.report.add("34", "reply in %d segments, client CPU, to one segment: %s" % (PIECES, kind),
                     ratios(got[kind, PIECES], got[kind, 1]), None if "load" in kind else 1.5, None,
                     "x", "%.1f to %.1f us" % (statistics.median(got[kind, PIECES]),
                                               statistics.median(got[kind, 1])))


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def large(b):
    p = b.programs
    body = b"\x0a" + varint(MIB) + bytes(range(256)) * (MIB // 256)
    request = p.file("large.http", proc.http_post(body, "application/protobuf", [
        "Micro-Endpoint: Bench.Echo", "Micro-Id: 1", "Micro-Method: Bench.Echo",
        "Micro-Service: go.micro.srv.bench"]))
    options = ("-c", 4, "-u", b.short(.1), "-d", b.short(.5))
    values, grown = [], []
    for r in range(b.rounds(9)):
        with p.floor("-b", str(len(body)), "-e") as floor, p.ours("--loops=1") as ours:
            before = proc.memory(ours.pids[0])
            f, o = p.load(floor, request, *options), p.load(ours, request, *options)
            grown.append(proc.memory(ours.pids[0]) - before)
            values.append(o["server_us"] / f["server_us"])
            b.report.record("large", dict(o, round=r, floor_us=f["server_us"], grown=grown[-1]))
    b.report.add("35", "1 MiB echoed, 4 connections: server CPU, to the floor with a memcpy",
                 values, 1.2, None, "x")
    b.report.add("35", "memory more after it than before", grown, unit=" B")
