# SPDX-License-Identifier: MIT
"""What tests of programs stand on: a network of their own, programs that run in it, and what is
expected of them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
BUILD = os.path.abspath(os.environ.get("MICRO_BUILD", os.path.join(ROOT, "build")))
MICRO = os.path.join(BUILD, "micro")
GREETER = os.path.join(BUILD, "examples", "greeter")
TESTSERVER = os.path.join(BUILD, "peer", "testserver")
NETWORK = "TESTED_NETWORK"
SETUP = ("link set lo up", "link set lo multicast on", "addr add 10.77.0.1/24 dev lo",
         "route add 224.0.0.0/4 dev lo")
SECONDS = 30  # for anything that should take none
NOBODY = 3    # exit code of micro: no such service, node or endpoint
LOOK_UPS = 5  # before it is believed that nobody is there


class Skip(Exception):
    """A test that cannot run here."""


def loopback_host():
    """Makes the network namespace that this runs in a host that multicasts on lo."""
    for words in SETUP:
        subprocess.run(["ip", *words.split()], check=True)


def enter_network():
    """Starts this script again in a network that ends at this machine's own loopback."""
    if NETWORK not in os.environ:
        os.environ[NETWORK] = "1"
        how = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
        os.execvp("unshare", ["unshare", *how, sys.executable, *sys.argv])
    loopback_host()


def environment(changes):
    """Without MICRO_ variables of whoever runs this."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MICRO_")}
    return dict(clean, TZ="UTC", **(changes or {}))


def run(*args, env=None, program=MICRO):
    """Exit code, stdout, stderr."""
    ran = subprocess.run([program, *args], stdin=subprocess.DEVNULL, capture_output=True,
                         env=environment(env), timeout=SECONDS, check=False)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def again_while(missed, ask):
    """What ask() returns; asked again, some times, while it has missed somebody who is there: on a
    busy machine the answer may come after the 100 ms that a look-up waits."""
    for _ in range(LOOK_UPS):
        got = ask()
        if not missed(got):
            break
    return got


def run_for(code, *args, env=None):
    """The same as run for an exit code, which tells whether somebody is to be found."""
    return again_while(lambda ran: ran[0] == NOBODY != code, lambda: run(*args, env=env))


def check(ok, what):
    if not ok:
        raise AssertionError(what)


def equal(got, wanted, what=""):
    check(got == wanted, "%s%r\n      instead of %r" % (what and what + ": ", got, wanted))


def expect(args, code, out="", err="", env=None):
    """Everything that a command leaves, byte for byte; out or err may be a pattern."""
    ran = run_for(code, *args, env=env)
    name = " ".join(args)
    equal(ran[0], code, "exit code of micro %s (%s)" % (name, ran[2].strip()))
    for got, wanted, stream in ((ran[1], out, "stdout"), (ran[2], err, "stderr")):
        if isinstance(wanted, re.Pattern):
            check(wanted.fullmatch(got), "%s of micro %s: %r" % (stream, name, got))
        else:
            equal(got, wanted, "%s of micro %s" % (stream, name))


def until(what, attempt):
    """Tries until it gives something true."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        result = attempt()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError("this did not happen: " + what)


class Running:
    """A program in the background, for the length of a `with` block; it must end with 0."""

    def __init__(self, *command, end=signal.SIGTERM, errors="", env=None):
        self.command, self.end, self.errors, self.env = command, end, errors, environment(env)

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, env=self.env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self

    def line(self):
        return self.process.stdout.readline().decode()

    def __exit__(self, kind, *_):
        self.process.send_signal(self.end)
        try:
            _, err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("%s did not end" % self.command[0]) from None
        if not kind:
            equal(self.process.returncode, 0, "exit code of %s" % self.command[0])
            equal(err.decode(), self.errors, "stderr of %s" % self.command[0])


def rest(*programs):
    """Ends them; the lines of each that were not read yet."""
    for one in programs:
        one.process.send_signal(one.end)
    said = [one.process.stdout.read().decode().splitlines() for one in programs]
    for one in programs:
        one.process.wait(SECONDS)
    return said


@contextlib.contextmanager
def registered(*entries):
    """A micro register for each entry, one after the other; begun when all have said ok."""
    stays = "registered on mdns until this command is interrupted\n"
    with contextlib.ExitStack() as stack:
        for entry in entries:
            equal(stack.enter_context(Running(MICRO, "register", "service", entry,
                                              end=signal.SIGINT, errors=stays)).line(), "ok\n")
        yield


@contextlib.contextmanager
def serving(program, address, *flags):
    """A service that answers at address, and is in no registry that others see."""
    with Running(program, "--registry=memory", "--server_address", address, *flags):
        until("the service answers",
              lambda: run("call", "--address", address, "x", "Debug.Health")[0] == 0)
        yield


def subscribed(topic, count):
    """Waits until so many subscribe to a topic."""
    until("%d subscribe to %s" % (count, topic),
          lambda: run("get", "service", "topic:" + topic)[1].count("broker-") == count)


def run_tests(*modules):
    """Runs the functions of dicts of names that begin with test_, those that hold a word of the
    command line if there is one, and counts them: the script's exit code."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    tests = [(name[5:], fn) for names in modules for name, fn in list(names.items())
             if name.startswith("test_")]
    for name, fn in tests:
        if sys.argv[1:] and not any(word in "test_" + name for word in sys.argv[1:]):
            continue
        try:
            fn()
            how = "passed"
        except Skip as why:
            how = "skipped"
            print("skipped %s: %s" % (name, why))
        except (AssertionError, subprocess.TimeoutExpired, OSError, LookupError,
                ValueError) as error:
            how = "failed"
            print("FAIL  %s: %s" % (name, error))
        counts[how] += 1
    more = ", %d skipped" % counts["skipped"] if counts["skipped"] else ""
    print("%d passed, %d failed%s" % (counts["passed"], counts["failed"], more))
    return 1 if counts["failed"] or counts["skipped"] or not counts["passed"] else 0
