# SPDX-License-Identifier: MIT
"""Rows of events (28 to 30): publisher and subscribers on one core, all acknowledgements awaited,
beside the same requests as constant bytes from fanout to the floor. fanout is one thread, and so is
the publisher that is judged: it drives its loop itself."""

import statistics

import proc
from report import ratios
from rows_cpu import requests

SUBSCRIBERS = 10
JOBS = (("one", 1, 1, .4), ("ten", SUBSCRIBERS, 1, .6), ("batch", SUBSCRIBERS, 16, .4))


def run(b):
    p = b.programs
    request, _, body_len, _ = requests(b)
    got = {}
    for r in range(b.rounds(9)):
        with p.floor("-b", str(body_len)) as floor:
            sides = {"floor": [p.path("fanout"), "-p", floor.port, "-f", request, "-s",
                               floor.pids[0]],
                     "ours": [p.path("events"), "-p"],
                     "threads": [p.path("events")]}
            for job, subscribers, events, secs in JOBS if r % 2 == 0 else reversed(JOBS):
                for side in sides if r % 2 == 0 else reversed(sides):
                    d = proc.result(p.start([*sides[side], "-c", subscribers, "-w", events, "-u",
                                             b.short(.1), "-d", b.short(secs)]))
                    d["rate"] = d["calls"] / d["secs"]
                    got.setdefault((job, side), []).append(d)
                    b.report.record("events %s, %s" % (job, side), dict(d, round=r))
    judge(b, got)


def judge(b, got):
    def values(job, side, what):
        return [d[what] for d in got[job, side]]

    def add(row, text, job, what, must, stretch, note, side="ours", swap=False):
        ours, floor = values(job, side, what), values(job, "floor", what)
        b.report.add(row, text, ratios(floor, ours) if swap else ratios(ours, floor), must,
                     stretch, "x", note % (statistics.median(ours), statistics.median(floor)))

    def add_both(row, text, job, what, must, stretch, note, **how):
        add(row, text + ", to the floor", job, what, must, stretch, note, **how)
        add(row, text + ", with a thread for the loop", job, what, None, None, note,
            side="threads", **how)

    ten = "%d subscribers" % SUBSCRIBERS
    add_both("28", "event to %s: publisher's CPU per delivery" % ten, "ten", "client_us",
             1.25, 1.1, "%.2f to %.2f us")
    add_both("28", "event to one subscriber: publisher's CPU", "one", "client_us", None, None,
             "%.2f to %.2f us")
    add("28", "event to %s: subscribers' CPU per delivery, to the floor" % ten, "ten", "server_us",
        None, None, "%.2f to %.2f us")
    add_both("29", "16 events waiting for %s: time per delivery" % ten, "batch", "rate",
             round(1 / .65, 2), round(1 / .95, 2), "%.0f to %.0f deliveries a second", swap=True)
    add_both("30", "event to %s: 99th percentile until the last has acknowledged" % ten, "ten",
             "p99", 1.5, 1.2, "%.0f to %.0f us")
