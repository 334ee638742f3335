# SPDX-License-Identifier: MIT
"""Events between our programs and the Go twin of the http broker, found by mdns, in a network of
their own; run.py runs it.

    events.py TWIN    the micro command and the examples are in $MICRO_BUILD"""
import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from programs import BUILD, check, enter_network, equal, MICRO, rest, run, Running, subscribed

PUBSUB = os.path.join(BUILD, "examples", "pubsub")
TICKS = "go.micro.topic.ticks"  # of examples/pubsub
TOPIC = "twin.topic"
FORMS = ("2018", "1.18", "2.9", "4.11")
JSON = "application/json"
KINDS = (JSON, "application/octet-stream", "application/protobuf")
TEXT = "text/plain; charset=utf-8"
EACH = 4  # events of a kind
ODD = "a<b>&\u2028\u00e9\"\\"
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECONDS = 240  # for all of it
COUNT = {True: 0, False: 0}


@contextlib.contextmanager
def checking(name):
    """What fails in it fails alone."""
    try:
        yield
        COUNT[True] += 1
    except (AssertionError, LookupError, OSError, subprocess.SubprocessError, ValueError) as error:
        COUNT[False] += 1
        print("FAIL twin events: %s\n     %s: %s" % (name, type(error).__name__, str(error)[:700]))


def twin(*args):
    done = subprocess.run([sys.argv[1], *args], capture_output=True, timeout=60, check=False)
    equal((done.returncode, done.stderr.decode()), (0, ""))
    return done.stdout.decode().splitlines()


# ---- Go publishes --------------------------------------------------------------------------------


def line_of(kind, number):
    """How micro subscribe prints a tick of the twin; numbers are below 128."""
    if kind == JSON:
        return '{"id":"go","number":%d}' % number
    body = b"\x0a\x02go\x10" + bytes([number])
    return '{"content_type":"%s","base64":"%s"}' % (kind, base64.b64encode(body).decode())


def publish(form, kind, topic, first, nodes, receivers):
    """Each post is answered as go-micro's subscribers answer, and goes to as many as it shall."""
    posts = [json.loads(line) for line in twin(
        "publish", form, topic, kind, str(first), str(EACH), str(nodes))]
    equal([(p["status"], p["type"], p.get("text", "")) for p in posts],
          [(200, "", "")] * EACH * receivers)


def our_subscribers():
    """Two that hear all, two that share a queue."""
    kinds = [(form, kind) for form in FORMS for kind in KINDS]
    shared = []
    with contextlib.ExitStack() as stack:
        everything, queue = ([stack.enter_context(Running(MICRO, "subscribe", TOPIC, *more))
                              for _ in range(2)] for more in ([], ["--queue=q"]))
        subscribed(TOPIC, 4)
        for i, (form, kind) in enumerate(kinds):
            numbers = range(1 + i * EACH, 1 + (i + 1) * EACH)
            with checking("%s publishes %s" % (form, kind)):
                publish(form, kind, TOPIC, numbers[0], 4, 3)
                lines = [line_of(kind, n) for n in numbers]
                shared += lines
                for one in everything:
                    equal([one.line().rstrip("\n") for _ in numbers], lines)
        with checking("nothing twice"):
            equal(rest(*everything), [[], []])
        with checking("a queue shares events, each in order"):
            heard = rest(*queue)
            equal(sorted(heard[0] + heard[1]), sorted(shared))
            for own in heard:
                equal(own, [line for line in shared if line in own])
                check(own, "one of a queue heard nothing")


def our_reader():
    """One that reads messages and metadata."""
    with Running(PUBSUB) as reader:
        subscribed(TICKS, 1)
        for form in FORMS:
            for kind in KINDS:
                with checking("%s publishes %s to one who reads it" % (form, kind)):
                    publish(form, kind, TICKS, 1, 1, 1)
                    said = []
                    while len(said) < EACH:  # among its own
                        line = reader.line()
                        check(line, "it ended")
                        said += [line] if " go " in line else []
                    equal(said, ["%s: go %d from twin\n" % (TICKS, n + 1) for n in range(EACH)])


def event(**more):
    return json.dumps({"Header": {"Content-Type": JSON, **more}, "Body": "e30="})


def fault(code, detail, status):
    return r'\{"id":"go.micro.broker","code":%d,"detail":"%s","status":"%s"\}' % (
        code, detail, status)


BROKEN = fault(500, "Error parsing request body: [^\"]+", "Internal Server Error")
NO_TOPIC = fault(500, "Topic not found", "Internal Server Error")
# method, target, body, and the status, type and text (a pattern) of the answer
WRONG = [
    ("another path", "POST", "/other?id={id}", event(**{":topic": TOPIC}), 404,
     TEXT, "404 page not found\n"),
    ("GET", "GET", "/_sub?id={id}", "", 405, TEXT,
     fault(400, "Method not allowed", "Bad Request") + "\n"),
    ("PUT", "PUT", "/_sub?id={id}", event(**{":topic": TOPIC}), 405, TEXT,
     fault(400, "Method not allowed", "Bad Request") + "\n"),
    ("not JSON", "POST", "/_sub?id={id}", "hello", 500, TEXT, BROKEN),
    ("nothing", "POST", "/?id={id}", "", 500, TEXT, BROKEN),
    ("bad base64", "POST", "/?id={id}", '{"Header":{"Micro-Topic":"t"},"Body":"%%"}', 500, TEXT,
     BROKEN),
    ("no topic", "POST", "/_sub?id={id}", event(), 500, TEXT, NO_TOPIC),
    ("another topic", "POST", "/?id={id}", event(**{"Micro-Topic": "x"}), 200, "", ""),
    ("no id", "POST", "/_sub", event(**{":topic": TOPIC}), 200, "", ""),
    ("unknown id", "POST", "/?id=nope", event(**{"Micro-Topic": TOPIC}), 200, "", ""),
]


def wrong_requests():
    """Each is answered as recorded, and nothing of it is delivered."""
    with Running(MICRO, "subscribe", TOPIC) as ours:
        subscribed(TOPIC, 1)
        for form in FORMS:
            ident, address = twin("find", form, TOPIC, "1")[0].split()
            for name, method, target, body, status, kind, text in WRONG:
                with checking("%s: %s" % (form, name)):
                    sent = (address, method, target.format(id=ident), body)
                    got = json.loads(twin("post", *sent)[0])
                    equal((got["status"], got["type"]), (status, kind))
                    check(re.fullmatch(text, got.get("text", "")), "answer %r" % got.get("text"))
        with checking("nothing wrong is delivered"):
            publish("2018", JSON, TOPIC, 1, 1, 1)
            equal(rest(ours)[0], [line_of(JSON, n + 1) for n in range(EACH)])


# ---- we publish ----------------------------------------------------------------------------------


class Twins(contextlib.ExitStack):
    """Subscribers."""

    def add(self, form, topic, queue="", how="ok"):
        one = self.enter_context(Running(sys.argv[1], "subscribe", form, topic, queue, how))
        equal(one.line().split()[:1], ["ready"])
        return one


def lines_of(program):
    return [json.loads(line) for line in rest(program)[0]]


def ticks(lines):
    return [(line["tick"]["id"], line["tick"]["number"]) for line in lines]


def in_order(lines):
    """Not one is missing, and none comes twice."""
    first = lines[0]["tick"]["number"]
    equal(ticks(lines), [("tick", first + n) for n in range(len(lines))])


def well_formed(form, topic, line, header):
    """A request as that generation's publisher makes it, in what its subscriber looks at; its event
    is what encoding/json writes, byte for byte."""
    header = dict(header)
    if form in ("2018", "1.18"):
        header[":topic"] = topic
    if form != "2018":
        header["Micro-Topic"] = topic
        check(UUID.fullmatch(line["header"].get("Micro-Id", "")), "no id in %r" % line)
        header["Micro-Id"] = line["header"]["Micro-Id"]
    equal(line["header"], header)
    equal((line["method"], line["target"], line["type"], line["status"], line.get("exact")),
          ("POST", "/_sub" if ":topic" in header else "/", JSON, 200, True))


def headers_and_bodies():
    """What is JSON and what is not. Each time a new process looks for the twins, and may miss one
    that is slow to answer it: each hears every kind some time."""
    body = {kind: "\n\x01c\x10\x05" for kind in KINDS}
    body[JSON] = '{"id":"c","number":5}'
    with Twins() as twins:
        everything = {form: twins.add(form, TOPIC) for form in FORMS}
        for kind in KINDS * EACH:
            ran = run("publish", "--header", "Foo=" + ODD, "--content_type", kind, TOPIC,
                      body[kind])
            check(ran[0] in (0, 3), "%r" % (ran,))
        for form, one in everything.items():
            with checking("%s reads what we publish" % form):
                lines = lines_of(one)
                equal({line["header"]["Content-Type"] for line in lines}, set(KINDS))
                for line in lines:
                    kind = line["header"]["Content-Type"]
                    well_formed(form, TOPIC, line, {"Content-Type": kind, "Foo": ODD,
                                                    "X-Micro-From-Service": "micro"})
                    equal(base64.b64decode(line["body"]).decode(), body[kind])


def order_and_faults():
    """From one publisher that goes on: some hear all, some share a queue; one never answers, one
    fails and one closes, and the others do not feel it."""
    with Twins() as twins:
        everything = {form: twins.add(form, TICKS) for form in FORMS}
        queue = [twins.add(form, TICKS, "q") for form in FORMS]
        bad = {how: twins.add("4.11", TICKS, how=how) for how in ("slow", "fail", "close")}
        ours = subprocess.Popen([PUBSUB], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        twins.callback(ours.wait)
        twins.callback(ours.kill)
        check(bad["slow"].line(), "the slow one ended")
        said = {name: [json.loads(one.line()) for _ in range(EACH)]
                for name, one in {**everything, **bad}.items() if name != "slow"}
        ours.terminate()
        with checking("we end well beside faulty subscribers"):
            equal(ours.wait(60), 0)
        for form, one in everything.items():
            said[form] += lines_of(one)
            with checking("%s hears all of ours in order" % form):
                in_order(said[form])
                for line in said[form]:
                    well_formed(form, TICKS, line, {
                        "Content-Type": JSON, "X-Micro-From-Service": "go.micro.srv.pubsub"})
        last = ticks(said[FORMS[0]])[-1]
        with checking("all hear the last"):
            equal([ticks(said[form])[-1] for form in FORMS], [last] * len(FORMS))
        shared = [lines_of(one) for one in queue]
        with checking("a queue of all forms shares ours, each in order"):
            for lines in shared:
                equal(ticks(lines), sorted(ticks(lines)))
            union = sorted(sum(shared, []), key=lambda line: line["tick"]["number"])
            in_order(union)
            equal(ticks(union)[-1], last)
        for how in ("fail", "close"):
            with checking("one that is to %s is sent all the same" % how):
                in_order(said[how])


def main():
    enter_network()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("twin events: out of time"))
    signal.alarm(SECONDS)
    sys.stdout.reconfigure(line_buffering=True)
    for part in (our_subscribers, our_reader, wrong_requests, headers_and_bodies,
                 order_and_faults):
        with checking(part.__name__.replace("_", " ")):
            part()
    print("%d passed, %d failed" % (COUNT[True], COUNT[False]))
    return 1 if COUNT[False] else 0


if __name__ == "__main__":
    sys.exit(main())
