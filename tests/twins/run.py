#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the Go twins and runs them against our programs, in both roles: calls and streams on
127.0.0.1, events (events.py) in a network of their own.

    run.py --server build/asan/peer/testserver --client build/asan/peer/testclient
           --function build/asan/examples/function --events build/asan [--filter REGEX] [--out DIR]

The twins stand on net/http, encoding/json, golang/protobuf and hashicorp/mdns, as go-micro does;
nothing of go-micro is in them. Built programs go to --out (a temporary folder if not given)."""
import argparse
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FAULT = {"id": "go.micro.srv.greeter", "code": 400, "detail": "bad name John", "status": "Bad Request"}
EIO, ETIMEDOUT, EOS, EREMOTE = -8, -5, -14, -22  # of micro.h
SAMPLE = {"name": "a<b", "big_number": 9007199254740993, "small_number": 7, "ratio": 1.5,
          "is_on": True, "raw_data": "AAH/", "kind": 1, "id_list": [1, -2],
          "one_part": {"part_name": "p", "big_delta": -3},
          "part_list": [{"part_name": "q"}, {}], "count_map": {"k": 5}}
ODD = "<a&b> \u2028 \u00e9 \u0001 \"q\" \U0001f600"
WAYS = [("direct", t) for t in ("application/json", "application/json-rpc", "application/protobuf",
                                "application/proto-rpc", "application/octet-stream")] + \
       [("old", "application/json"), ("mucp", "application/json"), ("mucp", "application/protobuf")]
FORMS = (["-form", "2018"], ["-form", "later"], ["-form", "canonical"],
         ["-form", "2018", "-chunked"], ["-form", "later", "-chunked"])


def good(result):
    return {"err": 0, "result": result, "id": "", "code": 0, "detail": ""}


def failed(err, ident="", code=0, detail="", status=""):
    return {"err": err, "result": {}, "id": ident, "code": code, "detail": detail, "status": status}


# name, method, words for our client, what each of its lines must say (a detail may be a pattern)
CALLS = [
    ("hello", "Say.Hello", ["name=John"], [good({"msg": "Hello John"})]),
    ("odd characters", "Say.Hello", ["name=" + ODD], [good({"msg": "Hello " + ODD})]),
    ("empty message", "Say.Hello", ["name="], [good({"msg": "Hello "})]),
    ("empty reply", "Test.Empty", ["name=John"], [good({})]),
    ("ten calls", "Say.Hello", ["name=John", "count=10"], [good({"msg": "Hello John"})] * 10),
    ("a megabyte", "Test.Big", ["name=x", "repeat=1048576"],
     [good({"msg": "got 1048576 " + "y" * 1048576})]),
    ("rich", "Test.Rich", ["type=rich", "json=" + json.dumps(SAMPLE)], [good(SAMPLE)]),
    ("error object", "Test.Fail", ["name=John", "count=2"],
     [failed(400, FAULT["id"], 400, FAULT["detail"], FAULT["status"])] * 2),
    ("plain error", "Test.Plain", ["name=John"], [failed(EREMOTE, "", 0, "plain failure")]),
    ("no method", "Say.Nope", ["name=John"],
     [failed(EREMOTE, "", 0, "rpc: can't find method Say.Nope")]),
    ("metadata", "Test.Meta", ["name=Foo", "meta=Foo:bar"], [good({"msg": "bar"})]),
    ("deadline", "Test.Slow", ["name=1", "timeout=3000"], [good({"msg": re.compile(
        r"timeout (3000000000|2\d{9})")})]),
    ("too slow", "Test.Slow", ["name=900", "timeout=150"],
     [failed(ETIMEDOUT, "go.micro.client", 408, re.compile(".*timeout: context deadline exceeded"),
             "Request Timeout")]),
    ("crash", "Test.Panic", ["name=John"],
     [failed(EIO, "go.micro.client.transport", 500, re.compile(".+"), "Internal Server Error")]),
]


def heard(*names):
    return [good({"msg": name} if name else {}) for name in names]


# the same for streams; the last line is how each ended
STREAMS = [
    ("stream both ways", "Test.Bidi", ["send=a", "recv=1", "send=" + ODD, "recv=1", "send=end", "recv=0"],
     heard("echo a", "echo " + ODD) + [failed(EOS)]),
    ("stream of the server", "Test.Count", ["send=30", "recv=0"],
     heard(*[str(n) for n in range(30)]) + [failed(EOS)]),
    ("stream with all under way", "Test.Bidi", ["send=x"] * 12 + ["send=end", "recv=0"],
     heard(*["echo x"] * 12) + [failed(EOS)]),
    ("stream with an error", "Test.Bidi", ["send=a", "recv=1", "send=fail", "recv=0"],
     heard("echo a") + [failed(403, FAULT["id"], 403, "no more", "Forbidden")]),
    ("stream that the caller ends", "Test.Bidi", ["send=a", "recv=1"], heard("echo a")),
]


def same(want, got):
    if isinstance(want, dict):
        return isinstance(got, dict) and set(want) == set(got) and \
            all(same(want[k], got[k]) for k in want)
    if hasattr(want, "fullmatch"):
        return isinstance(got, str) and want.fullmatch(got) is not None
    return want == got


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, problems):
        self.passed += 0 if problems else 1
        self.failed += 1 if problems else 0
        if problems:
            print("FAIL %s" % name)
            for p in problems[:8]:
                print("     %s" % p[:700])


class Program:
    """A server in either language: starts, says "ready ADDRESS", is stopped by SIGTERM."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        ready = select.select([self.process.stdout], [], [], 20)[0]
        line = self.process.stdout.readline().decode().split() if ready else []
        if len(line) != 2 or line[0] != "ready":
            self.process.kill()
            raise SystemExit("twins: %s is not ready: %r" % (command[0], line))
        self.address = line[1]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "not within 20 s"


def build(out):
    env = dict(os.environ, GOFLAGS=os.environ.get("GOFLAGS", "") or "-mod=readonly", CGO_ENABLED="0")
    for name, module in (("server", "rpc/server"), ("client", "rpc/client"), ("events", "events")):
        command = ["go", "build", "-trimpath", "-buildvcs=false",
                   "-o", os.path.join(out, "twin-" + name), "."]
        done = subprocess.run(command, cwd=os.path.join(HERE, module), env=env, timeout=600)
        if done.returncode != 0:
            raise SystemExit("twins: %s failed" % " ".join(command))


def our_client(args, out, tally):
    """Our client calls the Go service, in every form of both."""
    for form in FORMS:
        twin = Program([os.path.join(out, "twin-server")] + form)
        for peer, kind in WAYS:
            for name, method, words, want in CALLS + STREAMS:
                title = "twin server %s: %s %s %s" % (" ".join(form), peer, kind, name)
                if not re.search(args.filter, title):
                    continue
                command = [args.client, twin.address, method, "peer=" + peer,
                           "content_type=" + kind] + words
                tally.check(title, one_call(command, want))
        twin.stop()


def one_call(command, want):
    try:
        done = subprocess.run(command, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return ["the client did not end within 60 s"]
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    problems = []
    if done.returncode != 0:
        problems.append("status %d: %s" % (done.returncode, done.stderr.decode()[-600:]))
    if len(lines) != len(want):
        problems.append("expected %d lines, got %d" % (len(want), len(lines)))
    for w, line in zip(want, lines):
        try:
            got = json.loads(line)
        except ValueError:
            problems.append("not JSON: %s" % line[:300])
            continue
        problems += ["%s: expected %r, got %r" % (k, str(w[k])[:250], str(got.get(k))[:250])
                     for k in w if not same(w[k], got.get(k))]
    return problems


def counted(name, command, tally, env=None):
    """Of a program that counts what it tests by itself."""
    done = subprocess.run(command, stdout=subprocess.PIPE, env=env, timeout=300)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1] if lines else "")
    if counts:
        tally.passed += int(counts.group(1))
        tally.failed += int(counts.group(2))
        print("\n".join(lines[:-1]), end="\n" if lines[1:] else "")
    else:
        tally.check(name, ["it ended with status %d: %s" % (done.returncode, lines[-3:])])


def our_server(args, out, tally):
    """The Go client calls our service."""
    server = Program([args.server, "--server_name=go.micro.srv.greeter",
                      "--server_address=127.0.0.1:0", "--registry=memory"])
    counted("twin client", [os.path.join(out, "twin-client"), server.address, args.filter], tally)
    status = server.stop()
    tally.check("our service stops well", [] if status == 0 else ["status %s" % status])


def our_function(args, out, tally):
    """The Go client calls a function: it is answered, and the function ends well."""
    for protocol in ("early json", "early protobuf", "later json", "later protobuf"):
        name = "twin client: a function, " + protocol
        if not re.search(args.filter, name):
            continue
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = "127.0.0.1:%d" % free.getsockname()[1]
        function = subprocess.Popen([args.function, "--server_name=go.micro.srv.greeter",
                                     "--server_address=" + address, "--registry=memory"])
        called = subprocess.run([os.path.join(out, "twin-client"), address, "function", protocol],
                                stdout=subprocess.PIPE, timeout=60)
        tally.check(name, [] if called.returncode == 0 else [called.stdout.decode()])
        if called.returncode != 0:
            function.terminate()
        status = function.wait(timeout=60)
        tally.check(name + " ends well", [] if status == 0 else ["status %s" % status])


def our_events(args, out, tally):
    """Both ways; all or nothing by --filter."""
    if re.search(args.filter, "twin events"):
        counted("twin events", [sys.executable, os.path.join(HERE, "events.py"),
                                os.path.join(out, "twin-events")], tally,
                dict(os.environ, MICRO_BUILD=args.events))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", help="our test service")
    parser.add_argument("--client", help="our test client")
    parser.add_argument("--function", help="our example of a function")
    parser.add_argument("--events", help="where our command and examples are")
    parser.add_argument("--filter", default="", help="tests whose name has this regular expression")
    parser.add_argument("--out", help="where the Go programs go")
    args = parser.parse_args()
    if not (args.server or args.client or args.function or args.events):
        parser.error("what to run against the twins?")
    sys.stdout.reconfigure(line_buffering=True)
    out = args.out or tempfile.mkdtemp(prefix="twins-")
    os.makedirs(out, exist_ok=True)
    started, tally = time.monotonic(), Tally()
    try:
        build(out)
        built = time.monotonic()
        if args.client:
            our_client(args, out, tally)
        if args.server:
            our_server(args, out, tally)
        if args.function:
            our_function(args, out, tally)
        if args.events:
            our_events(args, out, tally)
    finally:
        if not args.out:
            shutil.rmtree(out, ignore_errors=True)
    print("built in %.1f s, ran %.1f s" % (built - started, time.monotonic() - built))
    print("%d passed, %d failed" % (tally.passed, tally.failed))
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
