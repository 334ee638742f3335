#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests the test tools: the harness and tests/run must count what fails, crashes, hangs, leaks,
checks nothing, or has gone missing."""

import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

TESTS = r"""
#include "tests/harness.h"
#include <signal.h>
TEST(meta_good) { CHECK(1 == 1); }
TEST(meta_bad) { NOTE("row %d", 7); CHECK_EQ_INT(1, 2); CHECK_EQ_TEXT("a", "b"); }
TEST(meta_required) { REQUIRE(false); raise(SIGKILL); }
TEST(meta_crash) { CHECK(true); raise(SIGSEGV); }
TEST(meta_hang) { CHECK(true); for (;;) pause(); }
TEST(meta_nothing) { }
TEST(meta_leak) { void *volatile p = malloc(7); CHECK(p); p = NULL; }
TEST(meta_last) { micro_str s = { "a\0b", 3 }; CHECK_EQ_MEM(s.ptr, s.len, "a\0b", 3); }
"""

STAGES = """test-programs:

good:
\t@echo '3 passed, 0 failed'
bad:
\t@echo '2 passed, 1 failed'; false
silent:
\t@true
broken:
\t@echo '2 passed, 0 failed'; false
skipping:
\t@echo '2 passed, 0 failed, 1 skipped'
"""


def run(command, **more):
    return subprocess.run(command, text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, **more)


def check_harness(folder):
    """(what, passed) for the harness."""
    source, program = os.path.join(folder, "test_meta.c"), os.path.join(folder, "unit")
    with open(source, "w", encoding="utf-8") as f:
        f.write(TESTS)
    built = run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-g",
                 "-fsanitize=address", "-I", ROOT, "-I", os.path.join(ROOT, "src"), "-o", program,
                 source, os.path.join(ROOT, "tests", "harness.c")])
    yield "the harness compiles " + built.stderr, built.returncode == 0
    ran = run([program, "--timeout", "1"])
    yield "the count", ran.stdout.endswith("\n2 passed, 6 failed\n")
    yield "the exit code", ran.returncode == 1
    yield "a failed check", "test_meta.c:5: 1 is 1, not 2 (row 7)" in ran.stdout
    yield "texts", '"a" is [a] (1 bytes), not [b] (1 bytes)' in ran.stdout
    yield "a requirement ends the test", "signal 9" not in ran.stdout
    yield "a crash", "FAIL  meta_crash" in ran.stdout
    yield "a hang", "out of time" in ran.stdout
    yield "no check", "no check was made" in ran.stdout
    yield "a leak", "FAIL  meta_leak" in ran.stdout
    one = run([program, "meta_good", "last"])
    yield "filters", one.stdout == "2 passed, 0 failed\n" and one.returncode == 0
    yield "no test found", run([program, "nosuch"]).returncode == 1
    yield "the list", len(run([program, "--list"]).stdout.splitlines()) == 8


def check_run(folder):
    """(what, passed) for tests/run."""
    os.mkdir(os.path.join(folder, "tests"))
    runner = shutil.copy(os.path.join(ROOT, "tests", "run"), os.path.join(folder, "tests"))
    with open(os.path.join(folder, "Makefile"), "w", encoding="utf-8") as f:
        f.write(STAGES)
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "MAKEFLAGS", "MAKEOVERRIDES")}

    def last(*stages, **more):
        ran = run([sys.executable, runner, *stages], env=dict(env, **more))
        return ran.stdout.splitlines()[-1], ran.returncode

    yield "one good stage", last("good") == ("3 passed, 0 failed", 0)
    yield "a bad stage", last("good", "bad") == ("5 passed, 1 failed", 1)
    yield "a stage without tests", last("silent") == ("0 passed, 1 failed", 1)
    yield "an error without a failure", last("broken") == ("2 passed, 1 failed", 1)
    yield "an unknown stage", last("good", "none") == ("3 passed, 1 failed", 1)
    yield "a skipped test", last("skipping") == ("2 passed, 1 failed", 1)
    yield "no committed count in CI", last("good", CI="1") == ("3 passed, 1 failed", 1)
    with open(os.path.join(folder, "tests", "expected-count.txt"), "w", encoding="utf-8") as f:
        f.write("good 4\n")
    yield "fewer tests than committed", last("good") == ("3 passed, 1 failed", 1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        results = list(check_harness(folder)) + list(check_run(folder))
    failed = [what for what, passed in results if not passed]
    for what in failed:
        print("FAIL  " + what)
    print("%d passed, %d failed" % (len(results) - len(failed), len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
