#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replays the captures of golden/events: our subscriber gets the bytes that recorded publishers
sent, whole and in pieces; our publisher finds a subscriber that was recorded and gets its answers.
Runs in a network of its own. $MICRO_BUILD/micro is the command.

    tests/replay_events.py [WORD...]    only the captures whose name holds one of the words"""
import base64
import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading

import replay_wire as wire
from programs import check, enter_network, equal, expect, MICRO, registered, run, Running, until

EVENTS = os.path.join(wire.HERE, "golden", "events")
LATE, OLD = "micro.http.broker", "go.micro.http.broker"
STEP = 7            # every so many bytes a request is cut in two
PATIENCE = 30       # seconds
EXTRA = {"X-Micro-From-Service", "Micro-From-Service"}  # ours says the first to all


def index():
    """Captures and their roles."""
    return {name: roles.split() for name, _, roles, _ in
            wire.table(os.path.join(EVENTS, "INDEX.md"), "capture")}


def deviations():
    """What our subscriber answers otherwise: capture -> (status, body, delivered)."""
    return {name: (status, body, delivered == "yes") for name, _, status, body, delivered in
            wire.table(os.path.join(EVENTS, "INDEX.md"), "deviation")}


def envelope(request):
    """Header and body of an event, or None where it is none."""
    try:
        sent = {k.lower(): v for k, v in json.loads(request.body).items()}
        return sent["header"], base64.b64decode(sent.get("body") or "", validate=True)
    except (ValueError, KeyError, AttributeError):
        return None


def topic_of(request):
    sent = envelope(request)
    return sent and (sent[0].get(":topic") or sent[0].get("Micro-Topic"))


def reply_of(sock):
    reply, rest = wire.receive(sock, b"")
    check(reply, "closed after %r" % rest)
    return reply


def fields(reply):
    """What is compared: status, Content-Type, body. What is wrong with a body is said in our
    words."""
    body = re.sub(rb'(Error parsing request body: )[^"]*', rb"\1*", reply.body)
    return reply.status, reply.get("Content-Type") or "", body.decode()


# ---- our subscriber ------------------------------------------------------------------------------


class Subscriber:
    """micro subscribe, where it listens, and its ids: as 2018 has them, and as later ones do."""

    def __init__(self, topic):
        self.topic = topic
        self.command = Running(MICRO, "subscribe", topic)

    def __enter__(self):
        self.command.__enter__()
        until("it is found", lambda: run("get", "service", LATE)[0] == 0)
        self.old, self.address = self.node("topic:" + self.topic)
        self.late, _ = self.node(LATE)
        return self

    def node(self, name):
        code, out, err = run("get", "service", name, "--json")
        equal(code, 0, err)
        node = json.loads(out)[0]["nodes"][0]
        return node["id"], (node["address"], node["port"])

    def __exit__(self, *how):
        self.command.__exit__(*how)

    def connect(self):
        sock = socket.create_connection(self.address, PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def line(self):
        return self.command.line().rstrip("\n")

    def ours(self, raw):
        """A recorded request with our id in the place of the recorded one."""
        mine = self.old if b"id=broker-" in raw else self.late
        return re.sub(rb"id=(?!nope)[^ ]+", b"id=" + mine.encode(), raw, count=1)


def expected_line(request):
    header, body = envelope(request)
    kind = {k.lower(): v for k, v in header.items()}.get("content-type", "")
    if kind == "application/json":
        with contextlib.suppress(ValueError):
            json.loads(body)
            return body.decode().rstrip("\n")
    return json.dumps({"content_type": kind, "base64": base64.b64encode(body).decode()},
                      separators=(",", ":"))


def marker(topic):
    """An event that is told from others: what comes before it has come."""
    body = json.dumps({"Header": {":topic": topic, "Content-Type": "application/json"},
                       "Body": base64.b64encode(b'"marker"').decode()})
    return ("POST /?id=broker-x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)).encode()


def pieces(raw):
    """The whole; byte by byte; cut in two at a sample of places."""
    yield [raw]
    yield [raw[i:i + 1] for i in range(len(raw))]
    for i in range(1, len(raw), STEP):
        yield [raw[:i], raw[i:]]


def subscriber_gets(name, request, reply, deviates):
    default = "example.topic.pubsub.1" if name.startswith("broker-") else "later.topic"
    topic = default if "mismatch" in name else topic_of(request) or default
    known = b"id=" in request.raw and b"id=nope" not in request.raw
    delivered = known and "mismatch" not in name and reply and reply.status.startswith("200")
    wanted = reply and fields(reply)
    if name in deviates:
        status, body, delivered = deviates[name]
        wanted = (status, "text/plain; charset=utf-8" if body else "", body)
    with Subscriber(topic) as ours:
        raw = ours.ours(request.raw)
        for cut in pieces(raw):
            sock = ours.connect()
            for piece in cut:
                sock.sendall(piece)
            equal(fields(reply_of(sock)), wanted, "%s in %d pieces" % (name, len(cut)))
            sock.sendall(ours.ours(marker(ours.topic)))  # the connection is still good
            equal(fields(reply_of(sock)), ("200 OK", "", ""), name)
            if delivered:
                equal(ours.line(), expected_line(request), name)
            equal(ours.line(), '"marker"', name)
            sock.close()


# ---- our publisher -------------------------------------------------------------------------------


class Recorded:
    """Listens in the place of a recorded subscriber: takes requests, answers in pieces, one answer
    after the other and the last one again; None: closes instead."""

    def __init__(self, answers, cut):
        self.answers, self.cut, self.requests = answers, cut, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            while True:
                sock, _ = self.listener.accept()
                self.connection(sock)
        except OSError:
            pass

    def connection(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request, data = wire.receive(sock, b"")
        while request:
            self.requests.append(request)
            answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
            if answer is None:
                sock.close()
                return
            for piece in self.cut(answer):
                sock.sendall(piece)
            request, data = wire.receive(sock, data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def answer_pieces():
    yield lambda raw: [raw]
    yield lambda raw: raw.splitlines(keepends=True)
    yield lambda raw: [raw[i:i + 1] for i in range(len(raw))]


def definition(request, port, queue):
    """The registration of a recorded subscriber, at another port."""
    ident = re.search(r"id=([^ ]+)", request.first).group(1)
    topic = topic_of(request)
    node = {"id": ident, "address": "127.0.0.1", "port": port, "metadata": {"secure": "false"}}
    name = "topic:" + topic
    if "/?id=" in request.first or not ident.startswith("broker-"):
        node["metadata"].update(broker="http", topic=topic)
        name = LATE if "/?id=" in request.first else OLD
    return json.dumps({"name": name, "version": queue or "ff.http.broadcast", "nodes": [node]})


def same_request(ours, recorded, name):
    equal(ours.first, recorded.first, name)
    equal(ours.get("Content-Type"), recorded.get("Content-Type"), name)
    header, header_recorded = envelope(ours)[0], envelope(recorded)[0]
    equal(list(json.loads(ours.body)), ["Header", "Body"], name)

    def plain(h):  # the id is random, and spelt in two ways
        return {"Micro-Id" if k == "Micro-ID" else k: "*" if k.lower() == "micro-id" else v
                for k, v in h.items() if k not in EXTRA}
    equal(plain(header), plain(header_recorded), name)
    equal(list(json.loads(ours.body)["Header"]), sorted(header), "keys in byte order")


def failing(name):
    """Whether the subscriber failed the first of three events."""
    return "-failed-" in name


def said_of(answer):
    """What our publisher says on standard error when it gets the answer; None: a close."""
    if answer and answer.startswith(b"HTTP/1.1 200"):
        return ""
    first, counts = ("answers 500", "0 lost, 1 refused") if answer else \
        ("lost: closed by the peer", "1 lost, 0 refused")
    return re.compile(".* %s\n.* 1 deliveries of events, %s\n" % (first, counts))


def publisher_sends(name, connections):
    """connections: (requests, replies) of each recorded subscriber."""
    queue = "q1" if "queue" in name else ""
    requests = [r for pair in connections for r in pair[0]]
    header = envelope(requests[0])[0]
    own = (":topic", "Content-Type", "Micro-Topic", "Micro-Id", "Micro-ID", *EXTRA)
    flags = [f for k, v in header.items() if k not in own for f in ("--header", "%s=%s" % (k, v))]
    kind = header["Content-Type"]
    bodies = [envelope(r)[1].rstrip(b"\n") for r in requests]  # Go ends JSON with a line end
    if failing(name):  # later generations send again what failed, with the next event
        sent_once = list(dict.fromkeys(bodies))
    else:
        sent_once = bodies if queue else bodies[:1]
    answers = [r.raw if r else None for _, replies in connections for r in replies]
    said = [said_of(answer) for answer in answers] if failing(name) else [""] * len(sent_once)
    for cut in answer_pieces():
        seats = {}
        for sent, replies in connections:
            ident = re.search(r"id=([^ ]+)", sent[0].first).group(1)
            given = answers if failing(name) else [r.raw for r in replies]
            seats.setdefault(ident, (sent[0], Recorded(given, cut)))
        entries = [definition(first, seat.port, queue) for first, seat in seats.values()]
        with registered(*entries):
            for body, err in zip(sent_once, said):
                text = body.decode("utf-8", "surrogateescape")
                expect(["--log_level=warn", "publish", *flags, "--content_type", kind,
                        topic_of(requests[0]), text], 0, "", err)
        got = [(first, r) for first, seat in seats.values() for r in seat.requests]
        wanted = sent_once if failing(name) else bodies
        equal(sorted(envelope(r)[1] for _, r in got), sorted(wanted), name)
        for first, request in got:
            same_request(request, first, name)
        for _, seat in seats.values():
            seat.close()


# ---- main ----------------------------------------------------------------------------------------


def replay(name, role, deviates):
    capture = wire.Capture(os.path.join(EVENTS, name + ".http"))
    connections = []
    for steps, _ in capture.connections:
        _, exchanged = wire.exchanges(steps)
        requests = [r for r, _ in exchanged]
        replies = [wire.cut_message(data) if data else None for _, data in exchanged]
        connections.append((requests, replies))
    if role == "publisher":
        publisher_sends(name, connections)
    else:
        subscriber_gets(name, connections[0][0][0], connections[0][1][0], deviates)


def main():
    enter_network()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    passed = failed = 0
    roles = index()
    there = {c.name for c in wire.captures("", EVENTS)}
    if there != set(roles):
        print("FAIL  INDEX.md and the files differ: %s" % sorted(there ^ set(roles)))
        failed += 1
    deviates = deviations()
    for name in sorted(roles):
        for role in roles[name]:
            if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
                continue
            try:
                replay(name, role, deviates)
                passed += 1
            except (AssertionError, OSError, ValueError) as error:
                failed += 1
                print("FAIL  %s as %s: %s" % (name, role, error))
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
