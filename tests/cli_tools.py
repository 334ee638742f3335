# SPDX-License-Identifier: MIT
"""What tests/cli.py stands on: runs the command, services, and nodes whose answers are written by
hand."""

import calendar
import contextlib
import http.server
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
BUILD = os.path.abspath(os.environ.get("MICRO_BUILD", os.path.join(ROOT, "build")))
MICRO = os.path.join(BUILD, "micro")
GREETER = os.path.join(BUILD, "examples", "greeter")
NETWORK = "TESTED_NETWORK"
SETUP = ("link set lo up", "link set lo multicast on", "addr add 10.77.0.1/24 dev lo",
         "route add 224.0.0.0/4 dev lo")
SECONDS = 30  # for anything that should take none
STARTED = (calendar.timegm((2025, 11, 22, 9, 12, 17)), calendar.timegm((2025, 11, 22, 9, 16, 18)))


class Skip(Exception):
    """A test that cannot run here."""


def enter_network():
    """Starts this script again in a network that ends at this machine's own loopback."""
    if NETWORK not in os.environ:
        os.environ[NETWORK] = "1"
        how = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
        os.execvp("unshare", ["unshare", *how, sys.executable, *sys.argv])
    for words in SETUP:
        subprocess.run(["ip", *words.split()], check=True)


def golden(name):
    with open(os.path.join(TESTS, "golden", "cli", name), encoding="utf-8") as f:
        return f.read()


def environment(changes):
    """Without MICRO_ variables of whoever runs this."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MICRO_")}
    return dict(clean, TZ="UTC", **(changes or {}))


def run(*args, env=None, program=MICRO):
    """Exit code, stdout, stderr."""
    ran = subprocess.run([program, *args], stdin=subprocess.DEVNULL, capture_output=True,
                         env=environment(env), timeout=SECONDS, check=False)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def check(ok, what):
    if not ok:
        raise AssertionError(what)


def equal(got, wanted, what=""):
    check(got == wanted, "%s%r\n      instead of %r" % (what and what + ": ", got, wanted))


def expect(args, code, out="", err="", env=None):
    """Everything that a command leaves, byte for byte; out or err may be a pattern."""
    ran = run(*args, env=env)
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


def on_terminal(*args):
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen([MICRO, *args], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                          env=environment(None)) as process:
        os.close(slave)
        out = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            out += part
        process.wait(SECONDS)
    os.close(master)
    return out.decode().replace("\r\n", "\n")


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


def definition(name, *ports, **more):
    nodes = [{"id": "%s-%d" % (name, port), "address": "127.0.0.1", "port": port} for port in ports]
    return json.dumps(dict({"name": name, "version": "1.2.3", "nodes": nodes}, **more))


def registered(entry):
    """micro register for the length of a `with` block, begun when it has said ok."""
    stays = "registered on mdns until this command is interrupted\n"
    return Running(MICRO, "register", "service", entry, end=signal.SIGINT, errors=stays)


@contextlib.contextmanager
def greeter(address):
    """A greeter that answers at address."""
    with Running(GREETER, "--registry=memory", "--server_address", address):
        until("the greeter answers",
              lambda: run("call", "--address", address, "x", "Say.Hello")[0] == 0)
        yield


class Odd(http.server.BaseHTTPRequestHandler):
    """A node whose answers are written by hand, in the envelope of 2018."""

    protocol_version = "HTTP/1.1"
    RESULTS = {
        "Odd.Exact": '{"z": 18446744073709551615, "a":1.10e+5 ,"e":{},"l":[ ], "t":"\\u003cé\\/",'
                     '"n":[1,{"x":null}]}',
        "Odd.Empty": "null", "Odd.Word": '"text"', "Debug.Health": '{"status":"ok"}',
    }
    ERRORS = {
        "Odd.Fail": '{"id":"go.micro.srv.odd","code":400,"detail":"bad 100% name",'
                    '"status":"Bad Request"}',
        "Odd.Plain": "no \033[31mluck", "Odd.Gone": "rpc: can't find service Odd.Gone",
        "Odd.Json": '{"id":"go.micro.server","code":500,'
                    '"detail":"rpc: can\'t find method Json","status":""}',
    }
    STATS = {
        9601: '{"started":%d,"uptime":244,"memory":2967470,"threads":12}' % STARTED[0],
        9602: '{"started":"%d","uptime":"3","memory":1551892,"threads":13,"gc":0}' % STARTED[1],
        9603: '{"started":0,"uptime":3723,"memory":0,"threads":1,"gc":1234567}',
        9604: '{"requests":7,"errors":2,"rejected":1,"endpoints":[{"name":"A.B","requests":7,'
              '"errors":2,"running":1,"server_errors":2,"time":18446744073709551615,"p50":"1",'
              '"p99":3,"p999":4}]}',
    }

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Type"] in ("application/protobuf", "application/octet-stream"):
            header = int.from_bytes(body[:4], "big")
            sent = body[8 + header:]  # two frames, each with its length in front
            self.reply(bytes(4) + len(sent).to_bytes(4, "big") + sent, "application/protobuf")
            return
        request = json.loads(body)
        method = request["method"]
        if method == "Odd.Slow":
            time.sleep(1.5)
        if method in ("Odd.Slow", "Odd.Lost"):
            self.close_connection = True
            return
        result, error = self.RESULTS.get(method, "{}"), None
        if method == "Debug.Stats":
            result = self.STATS[self.server.server_port]
        elif method == "Odd.Echo":
            kept = {k: v for k, v in self.headers.items() if k.lower().startswith("x-test")}
            sent = re.search(rb'"params":\[(.*)\],"id"', body).group(1).decode()
            result = '{"sent":%s,"headers":%s}' % (sent, json.dumps(kept))
        elif method == "Odd.Broken":
            result = "{nothing}"
        elif method in self.ERRORS:
            error = self.ERRORS[method]
        if method == "Debug.Health" and self.server.server_port == 9603:
            error = "rpc: can't find service Debug.Health"
        self.reply(b'{"id":%s,"result":%s,"error":%s}\n' % (
            json.dumps(request["id"]).encode(), result.encode(), json.dumps(error).encode()),
            "application/json")

    def reply(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # the name is http.server's
        pass


@contextlib.contextmanager
def odd(port):
    """An Odd node at a port of this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Odd)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def words_of(text):
    return sorted(set(text.split()))
