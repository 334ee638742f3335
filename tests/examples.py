#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every example for real, in a network namespace of its own: services are found by multicast
and called by other processes. $MICRO_BUILD/examples/NAME are the examples, $MICRO_BUILD/micro the
command.

    tests/examples.py [WORD...]    only the tests whose name holds one of the words
"""

import http.client as http_client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from programs import (again_while, BUILD, check, enter_network, equal, MICRO, ROOT, run_tests,
                      SECONDS, subscribed, until)


def example(name):
    return os.path.join(BUILD, "examples", name)


def run(*command, cwd=None, timeout=SECONDS):
    """A program that ends by itself: exit code, stdout, stderr."""
    ran = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                         timeout=timeout, check=False)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def ask(*command):
    """One that calls somebody who is there."""
    return again_while(
        lambda ran: ran[0] != 0 and re.search("none available|: not found$", ran[2], re.M),
        lambda: run(*command))


def call(service, method, request, *flags):
    """The answer to a call by the micro command."""
    code, out, err = ask(MICRO, *flags, "call", service, method, json.dumps(request))
    check(code == 0, "%s %s: exit code %d, %s" % (service, method, code, err))
    return json.loads(out)


class Service:
    """An example that serves, for the length of a `with` block. Unless told otherwise it must say
    nothing and end well on SIGTERM."""

    def __init__(self, name, *args, cwd=None, found=None, end=signal.SIGTERM, quiet=True):
        self.command, self.cwd, self.found = [example(name), *args], cwd, found
        self.end, self.quiet = end, quiet
        self.out = self.err = ""

    def __enter__(self):
        self.process = subprocess.Popen(self.command, cwd=self.cwd, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            if self.found:
                until("%s is found" % self.found, self.is_found)
        except AssertionError:
            self.process.kill()
            raise AssertionError("%s: not found; it said %r" % (
                self.command[0], self.process.communicate()[1].decode()))
        return self

    def is_found(self):
        check(self.process.poll() is None, "%s has ended" % self.command[0])
        return run(MICRO, "get", "service", self.found)[0] == 0

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def stop(self):
        """Exit code after the signal, or after the end of the input."""
        if self.end:
            self.process.send_signal(self.end)
        else:
            self.process.stdin.close()
            self.process.stdin = None
        try:
            out, err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("%s did not end" % self.command[0])
        self.out, self.err = out.decode(), err.decode()
        return self.process.returncode

    def __exit__(self, kind, value, trace):
        if kind:
            self.end = signal.SIGTERM  # whatever it waits for
        code = self.stop()
        if kind:
            if self.err:
                print("      %s said: %s" % (os.path.basename(self.command[0]), self.err[:2000]))
            return
        equal((code, self.err if code or self.quiet else ""), (0, ""))
        if self.quiet:
            equal(self.out, "")


class Folder:
    """A folder for the length of a `with` block."""

    def __enter__(self):
        self.path = tempfile.mkdtemp()
        return self.path

    def __exit__(self, kind, value, trace):
        shutil.rmtree(self.path)


GREETER = "go.micro.srv.greeter"
NAMES = ["Ann", "", "a b", "-- --x", "Gr\u00fc\u00dfe \u4e16\u754c \U0001f600", 'a"b\\c<d>&e\n\tf',
         "x" * 5000]


def greeter():
    return Service("greeter", found=GREETER)


def test_greeter_and_its_client():
    with greeter():
        equal(ask(example("greeter-client")), (0, "Hello John\n", ""))
        for name in NAMES:
            equal(ask(example("greeter-client"), "--", name), (0, "Hello %s\n" % name, ""))


def test_greeter_and_the_command():
    with greeter():
        for name in NAMES:
            equal(call(GREETER, "Say.Hello", {"name": name}), {"msg": "Hello " + name})
        equal(call(GREETER, "Say.Hello", {}), {"msg": "Hello "})
        code, out, _ = run(MICRO, "list", "services")
        check(code == 0 and GREETER in out.split(), "not listed: " + out)
        code, out, _ = run(MICRO, "get", "service", GREETER)
        check(code == 0 and "Say.Hello" in out and "10.77.0.1" in out, "not described: " + out)
        code, out, err = run(MICRO, "health", GREETER)
        check(code == 0 and "ok" in out, "not healthy: %s%s" % (out, err))


def post(body, kind, **headers):
    """Content type and body of what the greeter answers to an HTTP client."""
    found = re.search(r"10\.77\.0\.1\s+(\d+)", run(MICRO, "get", "service", GREETER)[1])
    http = http_client.HTTPConnection("10.77.0.1", int(found.group(1)), timeout=SECONDS)
    http.request("POST", "/", body, {"Content-Type": kind, **headers})
    answer = http.getresponse()
    equal(answer.status, 200)
    return answer.headers["Content-Type"], answer.read()


def test_greeter_and_other_clients():
    """In the protocols of 2018 and of later go-micro."""
    name = {"Micro-Service": GREETER, "Micro-Method": "Say.Hello", "Micro-Endpoint": "Say.Hello"}
    with greeter():
        equal(post(b"\n\x04John", "application/protobuf", **name),
              ("application/protobuf", b"\n\nHello John"))
        equal(post(b'{"name":"John"}', "application/json", **name),
              ("application/json", b'{"msg":"Hello John"}\n'))
        equal(post(b'{"method":"Say.Hello","params":[{"name":"John"}],"id":7}', "application/json"),
              ("application/json", b'{"id":7,"result":{"msg":"Hello John"},"error":null}\n'))
        equal(post(b"\0\0\0\x14\n\x09Say.Hello\x11" + bytes(8) + b"\0\0\0\6\n\4John",
                   "application/protobuf"),
              ("application/protobuf", b"\0\0\0\x16\n\x09Say.Hello\x11" + bytes(8) +
               b"\x1a\0\0\0\0\x0c\n\nHello John"))


def test_greeter_ends_well():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Service("greeter", found=GREETER, end=number):
            pass
        until("the greeter is not listed any more",
              lambda: GREETER not in run(MICRO, "list", "services")[1].split())


def test_client_without_greeter():
    code, out, err = run(example("greeter-client"))
    equal((code, out), (1, ""))
    check(err.startswith("greeter-client: ") and err.count("\n") == 1, "it said %r" % err)


def test_greeter_speaks_when_asked():
    with Service("greeter", "--log_level=info", found=GREETER, quiet=False) as service:
        pass
    check("Listening on" in service.err and "Deregistering node: " + GREETER in service.err,
          "its log: %r" % service.err)


def test_greeter_help():
    code, out, err = run(example("greeter"), "--help")
    check(code == 0 and "--registry" in out and not err, "--help: %d %r %r" % (code, out, err))
    code, out, err = run(example("greeter"), "--nonsense=1")
    check(code == 2 and not out and "nonsense" in err, "bad flag: %d %r %r" % (code, out, err))


def test_two_greeters():
    with Service("greeter", found=GREETER), Service("greeter", "--server_id=second"):
        until("both are listed",
              lambda: run(MICRO, "get", "service", GREETER)[1].count("10.77.0.1") >= 2)
        for _ in range(10):
            equal(ask(example("greeter-client"), "Ann"), (0, "Hello Ann\n", ""))


SHOP = "go.micro.srv.shop"


def test_metadata():
    with Service("metadata", found=SHOP):
        for item, user in (("pen", "John"), ("", "John"), ("two pens", "a b=c;d,\u00e9")):
            equal(ask(example("metadata"), item, user),
                  (0, "ordered: %s for %s\n" % (item, user), ""))


def test_metadata_missing():
    with Service("metadata", found=SHOP):
        code, out, err = ask(example("metadata"), "pen")
        equal((code, out), (1, ""))
        check("who are you?" in err and "401" in err, "it said %r" % err)
        code, out, err = ask(MICRO, "call", SHOP, "Order.Place", '{"item":"pen"}')
        check(code == 1 and "who are you?" in err, "the command said %r %r" % (out, err))


def test_metadata_by_the_command():
    with Service("metadata", found=SHOP):
        code, out, err = ask(MICRO, "call", "--header", "User=Ann", SHOP, "Order.Place",
                             '{"item":"pen"}')
        check(code == 0, "exit code %d: %s" % (code, err))
        equal(json.loads(out), {"text": "ordered: pen for Ann"})


def file_lines(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def registered(path, count):
    """Whether the file holds so many services, and nothing else."""
    def there():
        lines = file_lines(path) if os.path.exists(path) else []
        return len(lines) == count and all(re.match(r"\d+ {", line) for line in lines)
    return there


def test_custom_registry_by_option():
    with Folder() as folder:
        path = os.path.join(folder, "services.txt")
        with Service("custom-registry", cwd=folder):
            until("it is in the file", registered(path, 1))
            expires, service = file_lines(path)[0].split(" ", 1)
            equal(expires, "0")
            equal(json.loads(service)["name"], "go.micro.srv.note")
            for text in ("hello", ""):
                equal(run(example("custom-registry"), text, cwd=folder),
                      (0, text + ", found in a file\n", ""))
            equal(run(MICRO, "get", "service", "go.micro.srv.note")[0], 3)  # in the file only
        equal(file_lines(path), [])
        equal(run(example("custom-registry"), "hello", cwd=folder)[:2], (1, ""))


def test_custom_registry_by_flag():
    with Folder() as folder:
        path = os.path.join(folder, "other")
        flags = ("--registry=file", "--registry_address=" + path)
        before = time.time()
        with Service("custom-registry", *flags, "--register_ttl=60", cwd=folder):
            until("it is in the file", registered(path, 1))
            expires = int(file_lines(path)[0].split(" ", 1)[0])
            check(before + 59 < expires < time.time() + 62, "expires: %d" % expires)
            equal(run(example("custom-registry"), *flags, "hello", cwd=folder),
                  (0, "hello, found in a file\n", ""))
        check(not os.path.exists(os.path.join(folder, "services.txt")), "the option was used")


def test_custom_registry_by_environment():
    with Folder() as folder:
        path = os.path.join(folder, "other")
        env = {"MICRO_REGISTRY": "file", "MICRO_REGISTRY_ADDRESS": path}
        os.environ.update(env)
        try:
            with Service("custom-registry"):
                until("it is in the file", registered(path, 1))
                equal(run(example("custom-registry"), "x"), (0, "x, found in a file\n", ""))
        finally:
            for name in env:
                del os.environ[name]


def test_custom_registry_shared():
    with Folder() as folder:
        path = os.path.join(folder, "services.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write('not a line of ours\n1 {"name":"expired"}\n\n')
        with Service("custom-registry", cwd=folder), \
                Service("custom-registry", "--server_version=2.0.0", cwd=folder), \
                Service("custom-registry", "--server_name=other", cwd=folder):
            until("all three are in the file", registered(path, 3))
            for _ in range(4):
                equal(run(example("custom-registry"), "hello", cwd=folder),
                      (0, "hello, found in a file\n", ""))
        equal(file_lines(path), [])


def test_custom_registry_unknown():
    code, out, err = run(example("custom-registry"), "--registry=nonsense", "hello")
    check(code == 2 and not out and "nonsense" in err, "%d %r %r" % (code, out, err))


def test_custom_registry_is_short():
    """Under 200 lines, and of ours it sees the public header alone."""
    lines = file_lines(os.path.join(ROOT, "examples", "custom-registry", "custom-registry.c"))
    check(len(lines) < 200, "%d lines" % len(lines))
    equal([line for line in lines if re.match(r'\s*#\s*include\s*"', line)], ['#include "micro.h"'])


WORDS = "go.micro.srv.words"


def test_cpp():
    with Service("cpp", found=WORDS):
        equal(ask(example("cpp"), "pear", "apple", "fig"), (0, "apple fig pear\n", ""))
        equal(ask(example("cpp"), "\u00e9", "z", "a", "a"), (0, "a a z \u00e9\n", ""))
        equal(call(WORDS, "Words.Sort", {"words": ["b", "c", "a"], "reverse": True}),
              {"words": ["c", "b", "a"]})
        equal(call(WORDS, "Words.Sort", {}), {})
        many = ["%04d" % (i * 7919 % 5000) for i in range(5000)]
        equal(call(WORDS, "Words.Sort", {"words": many}), {"words": sorted(many)})
    equal(run(example("cpp"), "pear")[:2], (1, ""))


def test_async():
    names = ["n%d" % i for i in range(200)]
    with greeter():
        wanted = "".join("Hello %s\n" % name for name in names)
        equal(ask(example("async"), *names), (0, wanted, ""))
        equal(ask(example("async")), (0, "", ""))


def test_async_without_greeter():
    code, out, err = run(example("async"), "a", "b")
    equal((code, out), (1, ""))
    equal(err.count("none available"), 2)


VAULT = "go.micro.srv.vault"


def test_middleware():
    with Service("middleware", found=VAULT, quiet=False) as service:
        code, out, err = ask(example("middleware"), "Ann", "sesame")
        equal((code, err), (0, ""))
        check(re.fullmatch(r"attempt 1 at [0-9.]+:\d+\n"
                           r"called go\.micro\.srv\.vault Vault\.Open: ok\n"
                           r"Ann's secret, told to admin\n", out), "it said %r" % out)
        for token in ([], ["guess"]):
            code, out, err = ask(example("middleware"), "Ann", *token)
            equal(code, 1)
            check("called go.micro.srv.vault Vault.Open: who are you?\n" in out, "it said %r" % out)
            check("who are you?" in err and "401" in err, "it said %r" % err)
        equal(run(MICRO, "health", VAULT)[0], 0)
    equal(service.out.splitlines(),
          ["served go.micro.srv.vault Vault.Open: ok",
           "served go.micro.srv.vault Vault.Open: who are you?",
           "served go.micro.srv.vault Vault.Open: who are you?",
           "served go.micro.srv.vault Debug.Health: ok"])


def nodes_of(service):
    return run(MICRO, "get", "service", service)[1].count(service + "-")


def test_function():
    for name in NAMES:
        with Service("function", found="greeter", end=None):  # it ends by itself
            for method in ("Debug.Health", "Debug.Stats"):
                equal(ask(MICRO, "call", "greeter", method, "{}")[0], 0)
            equal(call("greeter", "Greeter.Hello", {"name": name})["greeting"], "Hello " + name)
        code, _, err = ask(MICRO, "call", "greeter", "Greeter.Hello", "{}")
        check(code != 0 and err, "it is still there: %r" % err)


def test_function_ends_well():
    with Service("function", found="greeter"):
        pass


def test_functions_side_by_side():
    """As many calls as there are functions: each serves one, whatever they choose at first."""
    with Service("function", end=None), Service("function", end=None), \
            Service("function", end=None):
        until("three are found", lambda: nodes_of("greeter") == 3)
        for i in range(3):
            equal(call("greeter", "Greeter.Hello", {"name": str(i)})["greeting"], "Hello %d" % i)


NOTES = "go.micro.srv.notes"


def strategy(*words):
    return ask(example("strategy"), *words)


def note(*words):
    code, out, err = strategy(*words)
    equal((code, err), (0, ""))
    return out


def test_strategy():
    keys = ["key %d" % i for i in range(40)]
    with Service("strategy"), Service("strategy"):
        with Service("strategy"):
            until("three are found", lambda: nodes_of(NOTES) == 3)
            at = {key: note("put", key, "text of " + key) for key in keys}
            equal(len(set(at.values())), 3)
            for key in keys:
                equal(note("get", key), "text of %s at %s" % (key, at[key]))
            code, _, err = strategy("get", "no such key")
            check(code == 1 and "no note no such key" in err, "it said %r" % err)
            equal(strategy("lose", "key 1")[0], 2)
        until("two are found", lambda: nodes_of(NOTES) == 2)
        found = [key for key in keys if strategy("get", key)[0] == 0]
        for key in found:
            equal(note("get", key), "text of %s at %s" % (key, at[key]))
        lost = {at[key] for key in keys if key not in found}
        equal(len(lost), 1)  # those of the node that has gone


STREAM = "go.micro.srv.stream"


def stream(method, message, lines="", *flags):
    """Exit code, the messages that micro stream prints, and what it says."""
    ran = subprocess.run([MICRO, "stream", "--json", *flags, STREAM, method, json.dumps(message)],
                         input=lines.encode(), capture_output=True, timeout=SECONDS, check=False)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr.decode()


def test_stream():
    with Service("stream", found=STREAM):
        equal(ask(example("stream"), "5"), (0, "0\n1\n2\n3\n4\n", ""))
        equal(ask(example("stream"), "0"), (0, "", ""))
        equal(ask(example("stream"), "3", "1", "2"), (0, "3\n1\n2\n", ""))
        code, out, err = ask(example("stream"), "--", "-1")
        check(code == 1 and not out and "count is negative" in err, "it said %r %r" % (out, err))


def test_stream_by_the_command():
    with Service("stream", found=STREAM):
        numbers = [{}] + [{"count": n} for n in range(1, 100)]
        equal(stream("Streamer.ServerStream", {"count": 100}), (0, numbers, ""))
        lines = "".join(json.dumps({"count": n}) + "\n" for n in range(1, 50)) + '{"count":-1}'
        equal(stream("Streamer.Stream", {"count": 0}, lines), (0, numbers[:50], ""))
        equal(stream("Streamer.Stream", {"count": 7}, "", "--timeout=5s"), (0, [{"count": 7}], ""))


def test_stream_many_at_once():
    """A stream that waits for its caller does not keep others waiting."""
    with Service("stream", found=STREAM):
        held = [subprocess.Popen([MICRO, "stream", "--json", STREAM, "Streamer.Stream", '{"count":1}'],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
        for one in held:
            equal(json.loads(one.stdout.readline()), {"count": 1})
        equal(ask(example("stream"), "2"), (0, "0\n1\n", ""))
        for one in held:
            equal(one.communicate(b'{"count":2}\n', timeout=SECONDS)[0], b'{"count":2}\n')
            equal(one.returncode, 0)


def test_stream_without_a_service():
    code, out, err = run(example("stream"), "5")
    check(code == 1 and not out and "none available" in err, "it said %r %r" % (out, err))


TICKS = "go.micro.topic.ticks"
PUBSUB = "go.micro.srv.pubsub"


def pubsub(*args):
    return Service("pubsub", *args, quiet=False)


def lines_of(service, wanted):
    """What a program prints, up to a line that matches."""
    seen = []
    while not seen or not re.fullmatch(wanted, seen[-1]):
        line = service.process.stdout.readline().decode()
        check(line, "%s: no line like %s among %r" % (service.command[0], wanted, seen))
        seen.append(line.rstrip("\n"))
    return seen


def test_pubsub():
    with pubsub() as one, pubsub() as two:
        subscribed(TICKS, 2)
        for service in (one, two):
            for line in lines_of(service, TICKS + r": tick [2-9]\d* from " + PUBSUB):
                check(re.fullmatch(TICKS + r": tick \d+ from " + PUBSUB, line), line)
        equal(ask(MICRO, "publish", TICKS, '{"id":"mine","number":"7"}'), (0, "", ""))
        for service in (one, two):
            lines_of(service, TICKS + ": mine 7 from micro")


def test_pubsub_in_a_queue():
    with pubsub("--queue=q") as one, pubsub("--queue=q") as two:
        subscribed(TICKS, 2)
        for i in range(1, 11):
            equal(ask(MICRO, "publish", TICKS, json.dumps({"id": "mine", "number": i})),
                  (0, "", ""))
    numbers = re.findall(r": mine (\d+) from micro\n", one.out + two.out)
    equal(sorted(map(int, numbers)), list(range(1, 11)))


BOARD = "go.micro.srv.board"


def board():
    return call(BOARD, "Board.Read", {})


def test_poll_loop():
    with Service("poll-loop", found=BOARD) as service:
        service.type("hello\n")
        until("the line is on the board", lambda: board().get("text") == "hello")
        equal(call(BOARD, "Board.Write", {"text": "from afar"})["text"], "from afar")
        equal(board()["text"], "from afar")
        until("its clock goes on", lambda: board().get("seconds", 0) >= 1)


def test_poll_loop_refuses():
    with Service("poll-loop", found=BOARD):
        code, _, err = ask(MICRO, "call", BOARD, "Board.Write", json.dumps({"text": "x" * 256}))
        check(code == 1 and "text" in err, "too long: %d %r" % (code, err))
        equal(call(BOARD, "Board.Write", {"text": "x" * 255})["text"], "x" * 255)


def test_poll_loop_ends():
    for end in (None, signal.SIGINT):
        with Service("poll-loop", found=BOARD, end=end):
            pass
        until("the board is not listed any more",
              lambda: BOARD not in run(MICRO, "list", "services")[1].split())


def main():
    enter_network()
    return run_tests(globals())


if __name__ == "__main__":
    sys.exit(main())
