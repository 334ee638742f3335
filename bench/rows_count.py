# SPDX-License-Identifier: MIT
"""Rows that are counted: instructions (8), system calls (9), allocations (27). Always as the
difference of two runs that differ in the number of calls, so that start and stop cancel out."""

import collections
import glob
import os
import re
import signal
import struct
import subprocess
import time

import proc
from rows_cpu import ASYNC, requests


def callgrind(b, name, command, calls, conns=16):
    """Instructions by thread, and inclusive ones of the handler, after so many calls."""
    p = b.programs
    out = os.path.join(p.dir, "callgrind." + name)
    for old in glob.glob(out + "*"):
        os.unlink(old)
    port = proc.free_port()
    argv = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "-q",
            "--callgrind-out-file=" + out] + [w.replace("PORT", str(port)) for w in command]
    v = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        p.await_port(name, port, v)
        server = proc.Server(name, [v], port)
        p.load(server, requests(b)[0], "-c", conns, "-n", calls)
        v.terminate()  # callgrind writes what it has, however a program ends
        v.wait(60)
    finally:
        v.kill()
        v.wait()
    return read_callgrind(out)


def read_callgrind(out):
    """(instructions of all threads but the monitor, those of the monitor)."""
    threads = collections.Counter()
    monitors = set()
    for path in glob.glob(out + "*"):
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        found = re.search(r"^thread: (\d+)", text, re.MULTILINE)
        totals = re.findall(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        thread = found.group(1) if found else "0"
        threads[thread] += int(totals[-1]) if totals else 0
        if re.search(r"^fn=\(\d+\) monitor_main", text, re.MULTILINE):
            monitors.add(thread)
    monitor = sum(n for t, n in threads.items() if t in monitors)
    return sum(threads.values()) - monitor, monitor


def handler_instructions(out, name):
    """What a function and all below it took, from callgrind_annotate."""
    total = 0
    for path in glob.glob(out + "*"):
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", path],
                              capture_output=True, text=True, timeout=120, check=False).stdout
        found = re.search(r"^\s*([\d,]+) .*:%s(?: |$)" % name, text, re.MULTILINE)
        total += int(found.group(1).replace(",", "")) if found else 0
    return total


def instructions(b):
    p = b.programs
    if not p.path("valgrind"):
        b.report.remark("Row 8: valgrind is absent.")
        return
    few, many = (100, 300) if b.smoke else (1000, 5000)
    body = str(requests(b)[2])
    servers = [("micro", [p.path("server"), "--registry=memory", "--loops=1",
                          "--server_address=127.0.0.1:PORT"], "hello"),
               ("floor", [p.path("floor"), "-p", "PORT", "-b", body], None)]
    if p.path("mhd") and not b.smoke:
        servers.append(("libmicrohttpd", [p.path("mhd"), "PORT"], "peer_hello"))
    for name, command, handler in servers:
        base = callgrind(b, name, command, few)[0]
        total, monitor = callgrind(b, name, command, many)
        each = (total - base) / (many - few)
        note = ""
        if handler:
            own = handler_instructions(os.path.join(p.dir, "callgrind." + name), handler) / many
            note = "of which the handler, `%s`: %d" % (handler, own)
        b.report.record("instructions", {"server": name, "each": each, "monitor": monitor})
        if name == "micro":
            b.report.add("8", "user instructions per JSON call, server", [each], 9000, 5000,
                         note=note)
        else:
            b.report.add("peer", "user instructions per JSON call, %s" % name, [each], note=note)


def strace(b, calls, conns):
    """System calls by thread and name."""
    p = b.programs
    out = os.path.join(p.dir, "strace.out")
    with p.serve("strace", ["strace", "-f", "-qq", "-o", out, p.path("server"),
                            "--registry=memory", "--loops=1", "--server_address=127.0.0.1:PORT"],
                 pin=False) as s:
        p.load(s, requests(b)[0], "-c", conns, "-n", calls)
        tracer = s.pids[0]
        with open("/proc/%d/task/%d/children" % (tracer, tracer), encoding="utf-8") as f:
            os.kill(int(f.read().split()[0]), signal.SIGTERM)
        for _ in range(1000):
            if s.processes[0].poll() is not None:
                break
            time.sleep(.01)
        s.processes.clear()
    threads = collections.defaultdict(collections.Counter)
    with open(out, encoding="utf-8", errors="replace") as f:
        for line in f:
            found = re.match(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed)", line)
            if found and "resumed" not in line.split("(")[0]:
                threads[found.group(1)][found.group(2)] += 1
    return threads


def system_calls(b):
    if not b.programs.path("strace"):
        b.report.remark("Row 9: strace is absent.")
        return
    few, many = (200, 400) if b.smoke else (1000, 5000)
    for conns, must, stretch in ((1, 3.0, 3.0), (64, 2.1, 2.1)):
        loops, others = collections.Counter(), collections.Counter()
        for sign, calls in ((-1, few), (1, many)):
            for names in strace(b, calls, conns).values():
                kind = loops if names["epoll_wait"] + names["recvfrom"] else others
                for name, n in names.items():
                    kind[name] += sign * n
        each = {k: v / (many - few) for k, v in loops.items() if abs(v) >= .01 * (many - few)}
        b.report.record("system calls", {"conns": conns, "each": each})
        note = ", ".join("%s %.2f" % (k, v) for k, v in sorted(each.items()))
        note += "; other threads %.2f" % (sum(others.values()) / (many - few))
        total = round(sum(loops.values()) / (many - few), 2)  # a call at the ends is no call a call
        b.report.add("9", "system calls per call, loop thread, %d connection%s" % (
            conns, "s" * (conns > 1)), [total], must, stretch, note=note)


def allocations(b):
    p = b.programs
    few, many = (200, 1200) if b.smoke else (1000, 41000)
    counts = {side: os.path.join(p.dir, side + ".allocations") for side in ("server", "client")}

    def read(side):
        with open(counts[side], "rb") as f:
            return struct.unpack("=Q", f.read(8))[0]

    for path in counts.values():
        p.file(path, bytes(8))
    with p.ours("--loops=1", name="server-alloc",
                env={"BENCH_ALLOCATIONS": counts["server"]}) as s:
        for what, flags in (("asynchronous client, 64 under way", ASYNC),
                            ("blocking client", ("--parallel=1",))):
            used = {"server": [], "client": []}
            for calls in (few, few, many):  # the first grows what is kept
                before = {side: read(side) for side in counts}
                p.client(s, *flags, "--calls=%d" % calls, name="client-alloc",
                         env={"BENCH_ALLOCATIONS": counts["client"]})
                for side in counts:
                    used[side].append(read(side) - before[side])
            for side in counts:
                each = (used[side][2] - used[side][1]) / (many - few)
                b.report.record("allocations", {"side": side, "client": what, "counts": used[side]})
                b.report.add("27", "allocations per call, %s; %s" % (side, what),
                             [max(0, round(each, 3))], 0, 0)
