# SPDX-License-Identifier: MIT
"""Replays recorded streams: the clients' bytes against our service, the servers' against our client.

    replay_streams.py --server build/asan/peer/testserver --client build/asan/peer/testclient
                      [--filter REGEX]

Messages of a stream are unpaired, so what a turn of one side gets as an answer is a list. Our service
gets every turn whole, byte by byte, and cut in two at every offset; each reply's status, Content-Type,
Micro-Error and body are compared, and whether the connection stays open. Our client gets the server's
turns whole, a header line at a time and byte by byte; its requests are compared with those recorded,
and each message that it reports. What differs on purpose stands in golden/deviations.md (role stream);
what is said of `extra` there is a reply of ours that was not recorded."""
import argparse
import concurrent.futures
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import replay_wire as wire
from replay_client import EOS, EREMOTE, PROTOS, frames, pieces, proto_fields
from replay_server import PROBE, PROBE_BODY, Server, Tally

GOLDEN = os.path.join(wire.HERE, "golden", "streams")
PATIENCE = 8.0
QUIET = 0.03    # seconds in which nothing may come, where nothing was recorded
MAX_CUTS = 400  # of one capture


def index():
    """name -> set of roles."""
    rows = wire.table(os.path.join(GOLDEN, "INDEX.md"), "capture")
    return {name: set(roles.split()) for name, _, roles, _ in rows}


def text_of(message):
    """status; type; error; body: what is compared of a reply, as the tables write it."""
    return "; ".join([message.status, message.get("Content-Type") or "-",
                      wire.literal((message.get("Micro-Error") or "").encode("latin-1")),
                      wire.literal(message.body)])


def whole(data):
    """The messages of data, without one that was cut off when the client had gone."""
    return [m for m in wire.messages(data) if not m.problem]


class Turn:
    """What the client sends in one go, and what then must come: patterns of replies."""

    def __init__(self, data):
        self.data, self.want, self.first = data, [], 0


class Script:
    """One connection of a capture."""

    def __init__(self, capture, devs, steps, end):
        self.name, self.devs, self.turns, self.end = capture.name, devs, [], end
        for side, data in steps:
            if side == "c":
                self.turns.append(Turn(data))
            else:
                self.turns[-1].want += [text_of(m) for m in whole(data)]
        self._deviate()

    def _deviate(self):
        n = 0
        for turn in self.turns:
            turn.first = n
            n += len(turn.want)
        for d in self.devs:
            if d.field == "end":  # open, or: closed after N (turns)
                d.seen = d.ours != self.end
                self.end = "server" if d.ours.startswith("closed") else d.ours
                self.turns = self.turns[:int(d.ours.split()[-1])] if self.end == "server" \
                    else self.turns
        for turn in self.turns:
            for d in self.devs:
                k = int(d.request) - 1 - turn.first if d.request != "-" else -1
                if 0 <= k < len(turn.want) and d.field != "extra":
                    parts = turn.want[k].split("; ", 3)
                    at = {"status": 0, "type": 1, "error": 2, "body": 3}.get(d.field)
                    d.seen = d.ours != (turn.want[k] if at is None else parts[at])
                    if at is None:
                        turn.want[k] = d.ours
                    else:
                        parts[at] = d.ours
                        turn.want[k] = "; ".join(parts)
        for d in self.devs:
            if d.field == "extra":  # request: of which turn
                self.turns[int(d.request) - 1].want.append(d.ours)
                d.seen = True

    @staticmethod
    def fits(pattern, message):
        want, have = pattern.split("; ", 3), text_of(message).split("; ", 3)
        if len(have) != 4 or have[:2] != want[:2]:
            return False
        error = (message.get("Micro-Error") or "").encode("latin-1")
        return wire.matches(want[2], error) and wire.matches(want[3], message.body)


class Play:
    """One connection to our service."""

    def __init__(self, script, address, cut):
        self.script, self.cut, self.data, self.closed = script, cut, b"", False
        self.sock = socket.create_connection(address, timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.pair = [(self.sock.getpeername(), self.sock.getsockname())]
        self.unread = wire.Unread()

    def send(self, n):
        data, before = self.script.turns[n].data, sum(len(t.data) for t in self.script.turns[:n])
        if self.cut == "whole":
            self.sock.sendall(data)
            return
        at = [i + 1 for i in range(len(data) - 1)] if self.cut == "bytes" else \
            [self.cut - before] if 0 < self.cut - before < len(data) else []
        last = 0
        for k in at + [len(data)]:
            self.sock.sendall(data[last:k])
            last = k
            self.unread.wait(self.pair, 0.05)

    def _more(self, seconds):
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(1 << 16)
        except socket.timeout:
            return False
        self.data += data
        self.closed = self.closed or not data
        return True

    def receive(self, n):
        turn, got = self.script.turns[n], []
        while len(got) < len(turn.want) and not self.closed:
            m = wire.cut_message(self.data)
            if m is None:
                if not self._more(PATIENCE):
                    break
                continue
            self.data = self.data[len(m.raw):]
            got.append(m)
        problems = []
        for k, pattern in enumerate(turn.want):
            if k >= len(got):
                problems.append("turn %d: expected %s\n%s got nothing" % (n + 1, pattern, " " * 14))
            elif not Script.fits(pattern, got[k]):
                problems.append("turn %d: expected %s\n%s got %s"
                                % (n + 1, pattern, " " * 14, text_of(got[k])))
        if self.cut == "whole" and not turn.want and not self.closed:
            self._more(QUIET)
        if self.data:
            problems.append("turn %d: nobody asked for %s" % (n + 1, wire.show(self.data)))
        return problems

    def end(self):
        if self.script.end == "server":
            while not self.closed and self._more(PATIENCE):
                pass
            return [] if self.closed else ["expected a close: the connection is still open"]
        if self.closed:
            return ["expected the connection to stay open"]
        if self.script.end == "probe":  # the stream is over, and the connection good for a call
            self.sock.sendall(PROBE)
            while wire.cut_message(self.data) is None and not self.closed:
                if not self._more(PATIENCE):
                    break
            m = wire.cut_message(self.data)
            if m is None or not PROBE_BODY.fullmatch(m.body):
                return ["a call after the stream got %s" % (text_of(m) if m else "nothing")]
        return []


def play(scripts, address, cut):
    """The connections of a capture at once, turn by turn."""
    plays, problems = [Play(script, address, cut) for script in scripts], []
    try:
        for n in range(max(len(script.turns) for script in scripts)):
            live = [p for p in plays if n < len(p.script.turns)]
            for p in live:
                p.send(n)
            for p in live:
                problems += p.receive(n)
            if problems:
                break
        for p in plays if not problems else []:
            problems += p.end()
    except OSError as e:
        problems.append("the connection failed: %s" % e)
    for p in plays:
        p.sock.close()
    return problems


def plays_of(script, limit):
    yield "whole"
    yield "bytes"
    size = sum(len(t.data) for t in script.turns)
    step = max(1, size // limit)
    yield from range(1, size, step)


def play_server(args, tally):
    server = Server(args)
    devs = wire.deviations("stream")[0]
    known = index()
    captures = [[Script(c, devs.get(c.name, []), steps, end) for steps, end in c.connections]
                for c in wire.captures(args.filter, GOLDEN) if "server" in known[c.name]]
    tally.check("every deviation occurs",
                ["%s does not" % d for c in captures for d in c[0].devs if not d.seen])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for scripts in captures:
            s = scripts[0]
            jobs = {cut: pool.submit(play, scripts, server.address, cut)
                    for cut in plays_of(s, args.cuts)}
            bad, failed = [], 0
            for cut, job in jobs.items():
                problems = job.result()
                failed += 1 if problems else 0
                if problems and failed <= 2:
                    bad += ["%s: %s" % (cut if isinstance(cut, str) else "cut at %d" % cut, p)
                            for p in problems]
            if failed > 2:
                bad.append("and %d more ways to cut it" % (failed - 2))
            tally.check("%s to our service" % s.name, bad)
    problem = server.stop()
    tally.check("the service stops well", [problem] if problem else [])
    return len(captures)


# ---- our client ------------------------------------------------------------------------------------

def value_of(message, envelope, proto):
    """What a recorded message says: ("msg", value), ("eos", None) or ("error", text)."""
    error = message.get("Micro-Error") or ""
    body = message.body
    if not error and envelope and proto:
        head, body = (frames(body) + [b"", b""])[:2]
        error = proto_fields(head).get(3, b"").decode()
    elif not error and envelope:
        o = json.loads(body)
        error, body = o["error"] or "", json.dumps(o["result"] or {}).encode()
    if error:
        return ("eos", None) if error == "EOS" else ("error", error)
    if proto:
        value = proto_fields(body).get(1)
        return "msg", value.decode() if isinstance(value, bytes) else value
    o = json.loads(body or b"{}")
    return "msg", o.get("msg", o.get("count"))


class Peer:
    """The recorded server: sends its k-th turn when as many requests have come as were recorded
    before it."""

    def __init__(self, capture, mode):
        steps, _ = capture.connections[0]
        self.turns, asked = [], 0
        for side, data in steps:
            if side == "c":
                asked += len(wire.messages(data))
            else:
                self.turns.append((asked, b"".join(m.raw for m in whole(data))))
        self.mode, self.requests, self.problem = mode, [], ""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            sock, peer = self.listener.accept()
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            unread, data, turns = wire.Unread(), b"", list(self.turns)
            while True:
                while turns and len(self.requests) >= turns[0][0]:
                    for piece in pieces(turns.pop(0)[1], self.mode):
                        sock.sendall(piece)
                        if self.mode != "whole":
                            unread.wait([(peer, sock.getsockname())], 0.05)
                m, data = wire.receive(sock, data)
                if m is None:
                    break
                self.requests.append(m)
            sock.close()
        except OSError as e:
            self.problem = str(e)

    def end(self):
        self.thread.join(PATIENCE)
        self.listener.close()


class Case:
    def __init__(self, capture):
        steps, _ = capture.connections[0]
        self.capture, self.name = capture, capture.name
        requests = wire.messages(b"".join(d for side, d in steps if side == "c"))
        self.requests = [m for m in requests if m.get("Micro-Error") != "EOS"]
        first = self.requests[0]
        self.type = first.get("Content-Type")
        self.proto = self.type in PROTOS
        self.micro = any(k.startswith("Micro-") for k, _ in first.headers)
        self.envelope = not self.micro or self.type.endswith("-rpc")
        self.words, self.want = [], []
        sent = 0
        for side, data in steps:
            for m in whole(data):
                if side == "s":
                    self.want.append(value_of(m, self.envelope, self.proto))
                    self.words.append("recv=1")
                elif m.get("Micro-Error") != "EOS":
                    if sent:
                        self.words.append("send=" + self._argument(m))
                    sent += 1
        self.method = first.get("Micro-Endpoint") or self._method(first.body)

    def _message(self, m):
        if not self.envelope:
            return m.body
        if self.proto:
            return (frames(m.body) + [b"", b""])[1]
        return json.dumps(json.loads(m.body)["params"][0]).encode()

    def _argument(self, m):
        body = self._message(m)
        if self.proto:
            value = proto_fields(body).get(1, 0)
            if isinstance(value, int) and value >> 63:
                value -= 1 << 64
            return value.decode() if isinstance(value, bytes) else str(value)
        o = json.loads(body or b"{}")
        return str(o.get("name", o.get("count", 0)))

    def _method(self, body):
        if self.proto:
            return proto_fields(frames(body)[0])[1].decode()
        return json.loads(body)["method"]

    def run(self, client, mode):
        peer = Peer(self.capture, mode)
        kind = "count" if self.method.startswith("Streamer.") else "hello"
        command = [client, peer.address, self.method, "type=" + kind, "content_type=" + self.type,
                   "peer=" + ("direct" if self.envelope else "mucp")] + self.words
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE * 2)
        except subprocess.TimeoutExpired:
            return ["the client did not end; the peer got %d requests" % len(peer.requests)]
        peer.end()
        problems = ["the peer: " + peer.problem] if peer.problem else []
        if done.returncode:
            problems.append("status %d: %s" % (done.returncode, done.stderr.decode()[-500:]))
        lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
        if len(lines) != len(self.want):
            problems.append("%d messages, not %d" % (len(lines), len(self.want)))
        for k, (want, line) in enumerate(zip(self.want, lines)):
            problems += ["message %d: %s" % (k + 1, p) for p in self._compare(want, line)]
        return problems + self._sent(peer)

    @staticmethod
    def _compare(want, line):
        kind, value = want
        if kind == "eos":
            return [] if line["err"] == EOS else ["expected the end, got %s" % line]
        if kind == "msg":
            have = line["result"].get("msg", line["result"].get("count"))
            return [] if line["err"] == 0 and have == value else ["expected %r, got %s" % (value, line)]
        try:
            o = json.loads(value)
            same = line["err"] == o["code"] and line["id"] == o["id"] and \
                line["detail"] == o["detail"]
        except ValueError:
            same = line["err"] == EREMOTE and line["detail"] == value
        return [] if same else ["expected the error %s, got %s" % (value, line)]

    def _sent(self, peer):
        """Our requests are those recorded, where they are of the dialect that we speak."""
        mine = [m for m in peer.requests if m.get("Micro-Error") != "EOS"]
        problems = []
        if len(mine) != len(self.requests):
            problems.append("%d requests, not %d" % (len(mine), len(self.requests)))
        names = [k.lower() for k, _ in mine[0].headers] if mine else []
        if self.envelope and any(n.startswith("micro-") for n in names):
            problems.append("Micro-* headers beside an envelope")
        for m in mine if not self.envelope else []:
            for name in ("Micro-Endpoint", "Micro-Method", "Micro-Service", "Micro-Stream", "Micro-Id"):
                if not m.get(name):
                    problems.append("a request without %s" % name)
        compared = self.requests[0].get("User-Agent") and self.envelope != self.micro
        for k, (want, have) in enumerate(zip(self.requests, mine)):
            if have.get("Content-Type") != self.type:
                problems.append("request %d: type %s" % (k + 1, have.get("Content-Type")))
            if compared and want.body != have.body:
                problems.append("request %d: expected %s\n%s got %s"
                                % (k + 1, wire.show(want.body), " " * 14, wire.show(have.body)))
        return problems


def play_client(args, tally):
    known = index()
    cases = [Case(c) for c in wire.captures(args.filter, GOLDEN) if "client" in known[c.name]]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [(case, mode, pool.submit(case.run, args.client, mode))
                for case in cases for mode in ("whole", "lines", "bytes")]
        for case, mode, job in jobs:
            tally.check("%s to our client, %s" % (case.name, mode), job.result())
    return len(cases)


def table_problems(args):
    if args.filter:
        return []
    files, known = {c.name for c in wire.captures("", GOLDEN)}, index()
    out = ["the index and the files differ: %s" % n for n in sorted(files ^ set(known))]
    devs, reasons = wire.deviations("stream")
    if reasons > 20:
        out.append("%d reasons for deviations are more than 20" % reasons)
    return out + ["a deviation of %s, which is not there" % n for n in sorted(set(devs) - files)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server")
    parser.add_argument("--connect", help="HOST:PORT of a service that runs already")
    parser.add_argument("--client")
    parser.add_argument("--filter", default="")
    parser.add_argument("--cuts", type=int, default=MAX_CUTS, help="most cuts of one capture")
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    started, tally = time.monotonic(), Tally()
    tally.check("the tables", table_problems(args))
    served = play_server(args, tally) if args.server or args.connect else 0
    called = play_client(args, tally) if args.client else 0
    print("%d captures to our service, %d to our client, %.1f s"
          % (served, called, time.monotonic() - started))
    print("%d passed, %d failed" % (tally.passed, tally.failed))
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
