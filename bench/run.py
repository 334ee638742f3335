#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures micro.c beside the floor and beside peers; prints a table and writes it, the raw rounds
beside it, and docs/performance.md. Ends with 1 when a target that must be met is missed, with 2
when something does not work.

  run.py --build DIR [--only GROUP,...] [--rounds FACTOR]
  run.py --build DIR --smoke           every row once and briefly, nothing judged by time
  run.py --build DIR --soak SECONDS    the long run
"""

import argparse
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import proc
import report
import rows_bad
import rows_block
import rows_count
import rows_cpu
import rows_events
import rows_inner
import rows_net
import rows_peers
import rows_size
import rows_streams

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Bench:
    """What rows need: programs, report, and how long to take."""

    def __init__(self, args):
        self.smoke, self.factor = args.smoke, args.rounds
        self.root, self.micro = ROOT, args.micro or ROOT
        self.peers = os.environ.get("PEERS")
        self.core = args.core if args.core >= 0 else min(os.sched_getaffinity(0))
        self.programs = proc.Programs(args.build, self.core)
        self.report = report.Report(args.smoke)

    def rounds(self, n):
        return 1 if self.smoke else max(1, round(n * self.factor))

    def short(self, seconds):
        """A time to measure for; next to nothing when only breakage matters."""
        return min(seconds, .06) if self.smoke else seconds

    @staticmethod
    def source(*names):
        return os.path.join(ROOT, "bench", *names)

    def in_namespace(self, *args):
        """Runs netns.py in a namespace of its own, as root or not."""
        unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        out = subprocess.run(unshare + [sys.executable, "-B", self.source("netns.py"),
                                        self.programs.build, str(self.core), *args],
                             capture_output=True, text=True, timeout=300, check=False)
        if out.returncode != 0:
            raise proc.Broken("in a namespace: " + out.stderr[-800:])
        return out.stdout


GROUPS = [
    ("cpu", rows_cpu.headline), ("latency", rows_cpu.latency), ("loops", rows_cpu.loops),
    ("peers", rows_peers.run), ("instructions", rows_count.instructions),
    ("syscalls", rows_count.system_calls), ("allocations", rows_count.allocations),
    ("memory", rows_size.idle), ("start", rows_size.start), ("code", rows_size.code),
    ("inner", rows_inner.run), ("mdns", rows_net.look_up), ("nested", rows_net.nested),
    ("pieces", rows_net.pieces), ("large", rows_net.large),
    ("events", rows_events.run), ("streams", rows_streams.run),
    ("sleep", lambda b: rows_block.sleeping(b, "Bench.Sleep")),
    ("pause", lambda b: rows_block.sleeping(b, "Bench.Pause")),
    ("burst", lambda b: [rows_block.burst(b, m) for m in ("Bench.Sleep", "Bench.Pause")]),
    ("chains", rows_block.chains), ("bad", rows_bad.run),
]


def run_groups(b, groups):
    """Runs rows; those that do not work are told apart from those that are slow."""
    broken = []
    for name, run in groups:
        print(name, flush=True)
        begin = time.monotonic()
        try:
            run(b)
        except (proc.Broken, OSError, subprocess.SubprocessError, LookupError, ValueError) as e:
            broken.append(name)
            b.report.remark("%s does not work: %s" % (name, str(e)[:400]))
        print("  %.1f s" % (time.monotonic() - begin), flush=True)
    return broken


def about(seconds):
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    return "%s, %d processors, Linux %s, %s; %d s, load average %.1f at the end." % (
        model[0] if model else os.uname().machine, os.cpu_count(),
        os.uname().release.split("-")[0], time.strftime("%Y-%m-%d"), seconds, os.getloadavg()[0])


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True, help="where the programs are")
    parser.add_argument("--smoke", action="store_true", help="briefly, judge nothing by time")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="only the long run")
    parser.add_argument("--only", help="groups, separated by commas: " +
                        " ".join(name for name, _ in GROUPS))
    parser.add_argument("--rounds", type=float, default=1, help="times as many rounds")
    parser.add_argument("--core", type=int, default=-1, help="processor to measure on")
    parser.add_argument("--micro", help="where micro.c is")
    return parser.parse_args()


def main():
    args = options()
    proc.raise_file_limit()
    b = Bench(args)
    groups = GROUPS
    if args.soak:
        groups = [("soak", lambda b: rows_block.soak(b, args.soak))]
    elif args.smoke:
        groups = GROUPS + [("soak", lambda b: rows_block.soak(b, 2))]
    if args.only:
        groups = [(name, run) for name, run in groups if name in args.only.split(",")]
    begin = time.monotonic()
    with proc.priority():
        broken = run_groups(b, groups)
    if args.smoke:
        print("%d passed, %d failed" % (len(groups) - len(broken), len(broken)))
        return 1 if broken else 0
    if args.soak:
        failed = len(b.report.missed()) + len(broken)
        print("%d passed, %d failed" % (len(b.report.figures) - len(b.report.missed()), failed))
    what = about(time.monotonic() - begin)
    b.report.write(os.path.join(b.programs.build, "soak" if args.soak else "results"), what)
    print("\n" + b.report.text(what))
    if not args.only and not args.soak and not broken:
        b.report.document(os.path.join(ROOT, "docs", "performance.md"), what)
    return 2 if broken else 1 if b.report.missed() else 0


if __name__ == "__main__":
    sys.exit(main())
