#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Feeds our server the bytes that recorded clients sent, and compares what it answers.

    replay_server.py --server build/asan/peer/testserver [--filter REGEX]
    replay_server.py --connect HOST:PORT --as-captured --filter 'rpc-'    proves this program itself

Every capture is sent whole, byte by byte, and cut in two at every offset (long ones: at a sample of
offsets); a piece is sent only when the one before has been read. Compared: status, Content-Type,
Micro-Error, the body byte for byte, and whether the connection stays open. What differs on purpose
stands in golden/deviations.md; a deviation that does not occur is a failure too."""
import argparse
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import replay_wire as wire

PATIENCE = 8.0          # seconds without a byte before a replay has failed
BATCH = 200             # connections at once
MAX_CUTS = 1000         # of one capture: none but the long ones has more places
LONG = 4096             # captures longer than this: only the first kilobyte goes byte by byte,
LONG_CUTS = 48          # and they are cut at a sample of places
PROBE = (b'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 59\r\n\r\n'
         b'{"method":"Say.Hello","params":[{"name":"end"}],"id":"end"}')
PROBE_BODY = re.compile(rb'\{"id":"(end|0)?","result":\{"msg":"Hello end"\},"error":null\}\n')
FIELDS = ("status", "type", "error", "body", "interim")


class Reply:
    """What is compared of one reply; interim: the status of 1xx replies before it."""

    def __init__(self, message=None, interim=""):
        self.status = self.type = self.error = self.body = b""
        self.interim = interim.encode()
        if message is None:
            return
        if message.problem:
            self.status, self.body = b"(%s)" % message.problem.encode(), message.raw
            return
        self.status = message.status.encode("latin-1")
        self.type = (message.get("Content-Type") or "").encode("latin-1")
        self.error = (message.get("Micro-Error") or "").encode("latin-1")
        self.body = message.body

    def __str__(self):
        parts = [wire.show(getattr(self, f)) for f in ("status", "type", "error", "body")]
        return "; ".join(parts)


def masked(body):
    """Bodies without what differs in every run: times left, and figures of Debug.Stats."""
    body = re.sub(rb"-?\d+ ms left", b"N ms left", body)
    if b'"started":' in body:
        body = re.sub(rb'("started":)\d+(,"(?:uptime|memory|threads|gc)":\d+)*', rb"\1N", body)
    return body


def finals(data, closed, heads=()):
    """Replies in data, with the interim ones folded in; and how many interim ones wait at the end."""
    out, interim = [], []
    for m in wire.messages(data, closed, heads):
        if wire.is_final(m):
            out.append(Reply(m, ", ".join(interim)))
            interim = []
        else:
            interim.append(m.status)
    return out, interim


def complete(data, heads=()):
    """How many final replies data holds in full, and whether an interim one comes after them."""
    got, early = finals(data, False, heads)
    return sum(1 for r in got if not r.status.startswith(b"(")), bool(early)


class Script:
    """A capture as it shall go with us. turns: (bytes, finals and interims due before the next one);
    want: by request, a dict of field -> bytes or Deviation, or None for no reply."""

    def __init__(self, capture, steps, end, role, devs, pins):
        self.name, self.title, self.wait = capture.name, capture.title, capture.wait
        self.role, self.devs = role, devs
        turns, exchanged = wire.exchanges(steps)
        self.requests = [r for r, _ in exchanged]
        self.captured = [None if data is None else finals(data, True)[0][0] for _, data in exchanged]
        self.end = "closed" if end == "server" else "open"
        self.captured_end, self.last = self.end, len(self.requests)
        self.want = [self._fields(r) for r in self.captured]
        if role == "answers":
            self._pin(pins)
        self._deviate(devs)
        self.heads = [i for i, r in enumerate(self.requests) if r.first.startswith("HEAD ")]
        self.turns = self._due(turns)

    @staticmethod
    def _fields(reply):
        return None if reply is None else {f: getattr(reply, f) for f in FIELDS}

    @staticmethod
    def _pattern_fields(text):
        status, kind, error, body = text.split("; ", 3)
        return {"status": status, "type": kind, "error": error, "body": body, "interim": "-"}

    def _pin(self, pins):
        for i in range(len(self.requests)):
            text = pins.get((self.name, i + 1))
            if text is None:
                raise ValueError("%s: request %d is not pinned" % (self.name, i + 1))
            self.want[i] = None if text == "none" else self._pattern_fields(text)
        end = pins.get((self.name, 0))
        self.end = "open"
        if end:
            self._set_end(end)

    def _set_end(self, text):
        m = re.fullmatch(r"open|closed( after (\d+))?", text)
        self.end = text.split()[0]
        if m.group(2):
            self.last = int(m.group(2))

    def _deviate(self, devs):
        for d in devs:
            if d.field == "end":
                self._set_end(d.ours)
                continue
            i = int(d.request) - 1
            if d.field == "reply":
                self.want[i] = None if d.ours == "none" else self._pattern_fields(d.ours)
            elif self.want[i] is not None:
                self.want[i][d.field] = d.ours
            else:
                raise ValueError("%s: no reply to deviate from" % d)

    def _due(self, turns):
        """Cuts what follows our close, and says what must have come before each next turn."""
        out, sent, ends, at = [], 0, [], 0
        for r in self.requests[:self.last]:
            at += len(r.raw)
            ends.append(at)
        for turn in turns:
            turn = turn[:at - sent]
            if not turn:
                break
            sent += len(turn)
            done = [i for i, e in enumerate(ends) if e <= sent]
            due = sum(1 for i in done if self.want[i] is not None)
            held = len(done)
            begun = sent > (ends[held - 1] if held else 0)
            wants = self.want[held] if begun else None
            interim = wants is not None and self._text(wants["interim"]) != b""
            out.append((turn, due, interim))
        return out

    @staticmethod
    def _text(value):
        return value if isinstance(value, bytes) else b"" if value == "-" else value.encode()

    # -- judging ------------------------------------------------------------------------------

    def judge(self, data, closed, fragmented):
        """Problems, as lines; and notes which deviations were seen."""
        probed = self.end == "open"
        got, interim = finals(data, closed, self.heads)
        due = [i for i in range(self.last) if self.want[i] is not None]
        problems = []
        if probed:
            if len(got) == len(due) + 1 and PROBE_BODY.fullmatch(got[-1].body):
                got.pop()
            else:
                problems.append("expected the connection to stay open: one more call on it got %s"
                                % (got[len(due)] if len(got) > len(due) else "no reply" +
                                   (", and a close" if closed else "")))
                got = got[:len(due)]
        elif not closed:
            problems.append("expected a close: the connection is still open")
        if interim:
            problems.append("a reply that is only interim: %s" % interim)
        for k, i in enumerate(due):
            if k >= len(got):
                problems.append("request %d: expected a reply, got none" % (i + 1))
            else:
                problems += self._compare(i, got[k], fragmented)
        for reply in got[len(due):]:
            problems.append("a reply that nobody asked for: %s" % reply)
        for d in self.devs:
            d.seen = d.seen or self._occurred(d, due, got, closed)
        return problems

    def _compare(self, i, reply, fragmented):
        problems = []
        for f in FIELDS:
            want, have = self.want[i][f], getattr(reply, f)
            if f == "interim" and fragmented and have == b"100 Continue":
                continue  # the pause between two pieces may have been long enough for it
            if f == "body":
                have = masked(have)
            if isinstance(want, bytes):
                same = (masked(want) if f == "body" else want) == have
            else:
                same = wire.matches(want, have)
            if not same:
                problems.append("request %d: %s: expected %s\n%s got %s"
                                % (i + 1, f, wire.show(want) if isinstance(want, bytes) else want,
                                   " " * 24, wire.show(have)))
        return problems

    def _occurred(self, d, due, got, closed):
        if d.field == "end":
            ours = "closed" if closed else "open"
            return ours != self.captured_end or self.last < len(self.requests)
        i = int(d.request) - 1
        was = self.captured[i]
        reply = got[due.index(i)] if i in due and due.index(i) < len(got) else None
        if was is None or reply is None:
            return (was is None) != (reply is None)
        fields = FIELDS if d.field == "reply" else (d.field,)
        return any(masked(getattr(was, f)) != masked(getattr(reply, f)) for f in fields)


# ---- playing -------------------------------------------------------------------------------------

class Play:
    def __init__(self, script, mode, pieces):
        self.script, self.mode, self.pieces = script, mode, pieces  # pieces: a list for each turn
        self.turn = self.piece = 0
        self.data, self.closed, self.done, self.probed = b"", False, False, 0
        self.problem, self.since, self.sock = "", 0.0, None

    def open(self, address):
        self.sock = socket.create_connection(address, timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # leaves no TIME_WAIT behind: there are tens of thousands of these
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.setblocking(False)
        self.pair = (self.sock.getpeername(), self.sock.getsockname())
        self.since = time.monotonic()

    def more_to_send(self):
        return not self.closed and self.turn < len(self.pieces) \
            and self.piece < len(self.pieces[self.turn])

    def send(self):
        data = self.pieces[self.turn][self.piece]
        try:
            n = self.sock.send(data)
        except BlockingIOError:
            return
        except OSError:
            self.turn = len(self.pieces)  # the server has closed; what it said is read below
            return
        self.since = time.monotonic()
        if n < len(data):
            self.pieces[self.turn][self.piece] = data[n:]
        else:
            self.piece += 1

    def receive(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.since = time.monotonic()
        self.data += data
        self.closed = self.closed or not data

    def advance(self):
        """Goes to the next turn, the probe, or the end."""
        if self.closed or self._probe_answered() or time.monotonic() - self.since > PATIENCE:
            self.done = True
        while not self.done and not self.more_to_send() and not self.probed and self._turn_answered():
            self.turn, self.piece = self.turn + 1, 0
            if self.turn >= len(self.script.turns) and self.script.end == "open":
                self.probed = len(self.data) + 1  # where its reply begins, and true
                self.pieces.append([PROBE])

    def _turn_answered(self):
        if self.turn >= len(self.script.turns):
            return False  # all is said, and a close expected
        _, due, interim = self.script.turns[self.turn]
        if not due and not interim:
            return True
        got, early = complete(self.data, self.script.heads)
        return got >= due and (early or not interim)

    def _probe_answered(self):
        if not self.probed or self.more_to_send():
            return False
        return wire.cut_message(self.data[self.probed - 1:]) is not None

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass




def run_batch(address, plays, unread, tally):
    """Sends a piece on every connection, waits until all are read, takes what has come; and again."""
    poller, by_fd = select.poll(), {}
    for p in plays:
        p.open(address)
        by_fd[p.sock.fileno()] = p
        poller.register(p.sock, select.POLLIN)
    active, sending, checked = set(plays), [p for p in plays if p.more_to_send()], time.monotonic()
    while active:
        touched = set()
        for p in sending:
            p.send()
            tally["pieces"] += 1
        for p in sending:
            tally["unread"] += 0 if unread.wait([p.pair], 0.02) else 1
            if not p.more_to_send():
                touched.add(p)
        for fd, _ in poller.poll(0 if sending else 50):
            by_fd[fd].receive()
            touched.add(by_fd[fd])
        if time.monotonic() - checked > 1:
            checked, touched = time.monotonic(), set(active)
        sending = [p for p in sending if p.more_to_send()]
        for p in touched:
            p.advance()
            if p.done:
                active.discard(p)
                poller.unregister(p.sock)
                p.close()
            elif p.more_to_send() and p not in sending:
                sending.append(p)
        sending = [p for p in sending if not p.done]


def whole(script):
    return [[turn] for turn, _, _ in script.turns]


def by_bytes(script):
    out = []
    for turn, _, _ in script.turns:
        n = len(turn) if len(turn) <= LONG else 1024
        pieces = [turn[i:i + 1] for i in range(n)]
        pieces += [turn[i:i + 4099] for i in range(n, len(turn), 4099)]
        out.append(pieces)
    return out


def cuts(script, limit):
    """Pieces for every place where the whole can be cut in two, or a sample of them."""
    total = sum(len(turn) for turn, _, _ in script.turns)
    limit = min(limit, LONG_CUTS) if total > LONG else limit
    offsets = list(range(1, total))
    if len(offsets) > limit:
        step = len(offsets) / limit
        offsets = sorted({offsets[int(i * step)] for i in range(limit)})
    for offset in offsets:
        out, at = [], 0
        for turn, _, _ in script.turns:
            k = offset - at
            out.append([turn[:k], turn[k:]] if 0 < k < len(turn) else [turn])
            at += len(turn)
        yield offset, out


def silence(address, script, result):
    """The captured silence: waits as long as the capture did, at the place where it did."""
    data, closed, due = b"", False, 0
    try:
        sock = socket.create_connection(address, timeout=PATIENCE)
        turns = [turn for turn, _, _ in script.turns] or [b""]
        for i, turn in enumerate(turns + [PROBE]):
            if closed:
                break
            sock.sendall(turn)
            due += 1 if turn else 0
            while not closed and complete(data, script.heads)[0] < due:
                more = sock.recv(65536)
                data, closed = data + more, not more
            if i == 0 and not closed and select.select([sock], [], [], script.wait + 0.5)[0]:
                more = sock.recv(65536)
                data, closed = data + more, not more
        sock.close()
    except OSError as e:
        result.append((b"", "failed: %s" % e))
    else:
        result.append((data, closed))


# ---- the run -------------------------------------------------------------------------------------

class Server:
    def __init__(self, args):
        self.process, self.address = None, None
        if args.connect:
            host, port = args.connect.rsplit(":", 1)
            self.address = (host, int(port))
            return
        command = [args.server, "--server_name=go.micro.srv.greeter", "--server_id=ref1",
                   "--server_address=127.0.0.1:0", "--registry=memory"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if not select.select([self.process.stdout], [], [], 20)[0]:
            self.process.kill()
            raise SystemExit("replay_server: %s does not say that it is ready" % args.server)
        line = self.process.stdout.readline().decode().split()
        if len(line) != 2 or line[0] != "ready":
            self.process.kill()
            raise SystemExit("replay_server: %s said %r" % (args.server, line))
        host, port = line[1].rsplit(":", 1)
        self.address = (host, int(port))

    def stop(self):
        """None, or what is wrong with how it ended."""
        if self.process is None:
            return None
        if self.process.poll() is not None:
            return "the server ended by itself with status %s" % self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "the server did not stop within 20 s of SIGTERM"
        return None if status == 0 else "the server ended with status %d after SIGTERM" % status


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, problems):
        if problems:
            self.failed += 1
            print("FAIL %s" % name)
            for p in problems[:12]:
                print("     %s" % p)
        else:
            self.passed += 1


def scripts(args):
    known, pins = wire.index(), wire.pins()
    devs, _ = wire.deviations("server")
    out = []
    for c in wire.captures(args.filter):
        if c.name not in known:
            raise SystemExit("replay_server: %s is not in the index" % c.name)
        roles = known[c.name][1]
        role = "server" if "server" in roles else "answers" if "answers" in roles else None
        if role is None:
            continue
        for n, (steps, end) in enumerate(c.connections):
            suffix = "" if len(c.connections) == 1 else "#%d" % (n + 1)
            own = [] if args.as_captured else devs.get(c.name, [])
            how = "server" if args.as_captured else role
            script = Script(c, steps, end, how, own, pins)
            script.name += suffix
            if args.as_captured:
                script.heads = []
            out.append(script)
    return out


def play_all(args, address, every, tally):
    unread, counts = wire.Unread(), {"pieces": 0, "unread": 0}
    plays = []
    for s in every:
        if not s.turns:
            continue
        plays.append(Play(s, "whole", whole(s)))
        plays.append(Play(s, "bytes", by_bytes(s)))
    lists = [[p for p in plays if p.mode == "whole"], [p for p in plays if p.mode == "bytes"]]
    if args.cuts:
        lists.append([Play(s, "cut at %d" % k, pieces) for s in every if s.turns
                      for k, pieces in cuts(s, args.cuts)])
    outcome = {}
    for one in lists:
        for i in range(0, len(one), BATCH):
            run_batch(address, one[i:i + BATCH], unread, counts)
            for p in one[i:i + BATCH]:
                problems = p.script.judge(p.data, p.closed, p.mode != "whole")
                group = p.mode.split()[0]
                key = (p.script.name, group)
                n, bad, first = outcome.get(key, (0, 0, []))
                if problems and not first:
                    first = ["%s: %s" % (p.mode, x) for x in problems]
                outcome[key] = (n + 1, bad + (1 if problems else 0), first)
                p.data = b""
            if sum(1 for n, bad, first in outcome.values() if bad) > args.max_failures:
                break
    for (name, group), (n, bad, first) in outcome.items():
        if bad > 1:
            first.append("%d of %d cuts fail" % (bad, n))
        tally.check("%s %s" % (name, group), first)
    return counts, len(plays) // 2, sum(n for n, _, _ in outcome.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", help="the test service, built with the library")
    parser.add_argument("--connect", help="HOST:PORT of one that runs already")
    parser.add_argument("--client", help="ignored, so that all replays take the same arguments")
    parser.add_argument("--filter", default="", help="captures whose name has this regular expression")
    parser.add_argument("--as-captured", action="store_true", help="no deviations: for a real peer")
    parser.add_argument("--cuts", type=int, default=MAX_CUTS, help="most cuts of one capture")
    parser.add_argument("--max-failures", type=int, default=60)
    args = parser.parse_args()
    if not args.server and not args.connect:
        parser.error("--server or --connect")
    sys.stdout.reconfigure(line_buffering=True)
    started = time.monotonic()
    every, tally = scripts(args), Tally()
    tally.check("the tables", wire.table_problems())
    server = Server(args)
    quiet = [(s, [], None) for s in every if s.wait >= 1]
    threads = []
    for s, result, _ in quiet:
        t = threading.Thread(target=silence, args=(server.address, s, result), daemon=True)
        t.start()
        threads.append(t)
    counts, ncaptures, nplays = play_all(args, server.address, every, tally)
    for t in threads:
        t.join(60)
    for s, result, _ in quiet:
        data, closed = result[0] if result else (b"", "no result")
        problems = [closed] if isinstance(closed, str) else s.judge(data, closed, False)
        tally.check("%s silence" % s.name, problems)
    problem = server.stop()
    if server.process:
        tally.check("the server stops well", [problem] if problem else [])
    for s in every:
        for d in s.devs:
            if not d.seen:
                tally.check("deviation %s" % d, ["it is listed, and does not occur"])
                d.seen = True
    print("%d captures, %d connections, %d pieces sent (%d before the last was read), %.1f s"
          % (ncaptures, nplays, counts["pieces"], counts["unread"], time.monotonic() - started))
    print("%d passed, %d failed" % (tally.passed, tally.failed))
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
