# SPDX-License-Identifier: MIT
"""Rows of memory (16, 17), start (18) and code (19, 21)."""

import os
import statistics
import subprocess

import proc
from report import ratios
from rows_cpu import requests


def held(b, server, n):
    """Resident bytes with n connections, each after one call."""
    p = b.programs
    load = p.start([p.path("load"), "-p", server.port, "-f", requests(b)[0], "-c", n, "-i"],
                   stdin=subprocess.PIPE)
    return proc.held(load, server, n, b.short(.3))


def idle(b):
    p = b.programs
    at_start, full, each = [], [], {1000: [], 10000: []}
    sizes = [100] if b.smoke else [1000, 10000]
    for r in range(b.rounds(3)):
        for n in sizes:
            with p.ours("--loops=1") as s:
                before = proc.memory(s.pids[0])
                after = held(b, s, n)
                at_start.append(before)
                each.setdefault(n, []).append((after - before) / n)
                if n == sizes[-1]:
                    full.append(after)
                b.report.record("memory", {"round": r, "connections": n, "start": before,
                                           "full": after})
    n = sizes[-1]
    add = b.report.add
    if n == 10000:
        add("16", "user memory per idle connection, 1 000 connections", each[1000], unit=" B")
    add("16", "user memory per idle connection, %d connections" % n, each[n], 512, 200, " B")
    add("17", "resident at start", at_start, 2097152, 1677721, " B")
    add("17", "resident with %d idle connections" % n, full, 7340032, 3670016, " B")


def start(b):
    p = b.programs
    request, body = requests(b)[0], str(requests(b)[2])
    took = {"floor": [], "ours": []}
    for r in range(b.rounds(21)):
        for name in ("floor", "ours") if r % 2 == 0 else ("ours", "floor"):
            port = str(proc.free_port())
            command = {"floor": [p.path("floor"), "-p", port, "-b", body],
                       "ours": [p.path("server"), "--registry=memory",
                                "--server_address=127.0.0.1:" + port]}[name]
            out = p.run([p.path("start"), port, request, "1", "--"] + command)
            took[name].append(float(out))
            b.report.record("start " + name, {"round": r, "ms": float(out)})
    b.report.add("18", "start to first reply, to the floor", ratios(took["ours"], took["floor"]),
                 1.2, 1.1, "x", "floor %.2f ms" % statistics.median(took["floor"]))


def text_size(path):
    out = subprocess.run(["size", path], capture_output=True, text=True, check=True).stdout
    return int(out.splitlines()[1].split()[0])


def code(b):
    """Reported, not judged: the targets are for a library that is complete, or without parts."""
    p = b.programs
    micro_c = os.path.join(b.micro, "micro.c")
    out = os.path.join(p.dir, "greeter")
    flags = ["-Os", "-std=c11", "-D_GNU_SOURCE", "-ffunction-sections", "-fdata-sections",
             "-Wl,--gc-sections", "-w", "-I" + b.micro]
    source = os.path.join(b.root, "examples", "greeter", "greeter.c")
    cc = os.environ.get("CC", "cc")
    subprocess.run([cc, *flags, "-s", "-o", out, source, micro_c, "-lpthread"], check=True)
    machine = subprocess.run([cc, "-dumpmachine"], capture_output=True, text=True, check=True)
    b.report.add("21", "the greeter with all of the library, stripped -Os, %s" %
                 machine.stdout.split("-")[0],
                 [os.path.getsize(out)], unit=" B", note=".text %d B" % text_size(out))
