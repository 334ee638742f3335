# SPDX-License-Identifier: MIT
"""Cases that each run in a network namespace and a process of their own."""

import os
import signal
import subprocess
import sys
import tempfile
import time

CASES = {}
HERE = "--here"  # the script runs itself with it, in the namespace


def case(function):
    CASES[function.__name__] = function
    return function


def run(name, seconds):
    argv = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    argv += [sys.executable, os.path.abspath(sys.argv[0]), HERE, name]
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            log.write(b"out of time\n")
        failed = process.poll() != 0
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what the case has left behind
        except ProcessLookupError:
            pass
        process.wait()
        if failed:
            log.seek(0)
            print(log.read().decode(errors="replace"))
    print("%s  %s (%.1f s)" % ("FAIL" if failed else "ok  ", name, time.monotonic() - began),
          flush=True)
    return not failed


def main(seconds):
    """Runs the cases that the command line names, or all, each for so many seconds at the most; the
    script's exit code."""
    if sys.argv[1:2] == [HERE]:
        CASES[sys.argv[2]]()
        return 0
    names = sys.argv[1:] or list(CASES)
    passed = sum(run(name, seconds) for name in names)
    print("%d passed, %d failed" % (passed, len(names) - passed))
    return passed != len(names)
