#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Feeds our client the bytes that recorded servers sent, and checks what it sent and what it says.

    replay_client.py --client build/asan/peer/testclient [--filter REGEX]

A scripted server answers the k-th request with the k-th recorded reply: whole, a header line at a
time (as Go peers write), and byte by byte; a piece is sent only when the one before has been read.
The outcome must follow from the recorded bytes by the rules of class Outcome. golden/rpc/odd-servers.txt
holds replies that no right server gives, with the outcome that each must have."""
import argparse
import base64
import concurrent.futures
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import replay_wire as wire

ODD = os.path.join(wire.GOLDEN, "odd-servers.txt")
PATIENCE = 20
SERVICE = "go.micro.srv.greeter"
EIO, ETIMEDOUT, EOS, EREMOTE = -8, -5, -14, -22  # of micro.h
JSON, RPC = "application/json", "application/json-rpc"
PROTOS = ("application/protobuf", "application/proto-rpc", "application/octet-stream")
SNAKE = {"bigNumber": "big_number", "smallNumber": "small_number", "isOn": "is_on",
         "rawData": "raw_data", "idList": "id_list", "onePart": "one_part",
         "partList": "part_list", "countMap": "count_map", "partName": "part_name",
         "bigDelta": "big_delta"}
RICH_PROTO = ("later-v4.11-rich-json", "the same message in JSON")


# ---- what must come out ----------------------------------------------------------------------------

def frames(body):
    """The frames of a PROTO-RPC body."""
    out = []
    while body:
        n = int.from_bytes(body[:4], "big")
        out.append(body[4:4 + n])
        body = body[4 + n:]
    return out


def proto_fields(data):
    """Field number -> last value, of a message with varints, fixed64 and bytes only."""
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            b = data[at]
            at, value, shift = at + 1, value | (b & 127) << shift, shift + 7
            if b < 128:
                return value
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            out[key >> 3] = varint()
        elif key & 7 == 1:
            out[key >> 3] = data[at:at + 8]
            at += 8
        else:
            n = varint()
            out[key >> 3] = data[at:at + n]
            at += n
    return out


def go_form(value):
    """A message in canonical proto3 JSON as encoding/json would write it; else unchanged."""
    if isinstance(value, list):
        return [go_form(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, v in value.items():
        name = SNAKE.get(key, key)
        if name in ("big_number", "big_delta", "small_number"):
            v = int(v)
        elif name == "id_list":
            v = [int(i) for i in v]
        elif name == "count_map":
            v = {k: int(i) for k, i in v.items()}
        elif name == "kind" and isinstance(v, str):
            v = {"KIND_NONE": 0, "KIND_BIG": 1}[v]
        elif name == "raw_data":
            v = base64.b64encode(base64.urlsafe_b64decode(
                v.replace("+", "-").replace("/", "_") + "==")).decode()
        out[name] = go_form(v)
    return out


class Outcome:
    """err: the number, "code" (100 to 999, that of the object) or "local" (any negative one but
    EREMOTE). id, code, detail: None is not compared; a detail may be a pattern."""

    def __init__(self, err, result=None, ident=None, code=0, detail=None):
        self.err, self.result, self.id, self.code, self.detail = err, result, ident, code, detail

    @classmethod
    def good(cls, result):
        return cls(0, result, "", 0, "")

    @classmethod
    def local(cls, ident, detail, err="local"):
        return cls(err, {}, ident, 500, detail)

    @classmethod
    def remote(cls, text):
        """An error as a service sent it: the object, or bare text."""
        try:
            o = json.loads(text)
            known = isinstance(o, dict) and isinstance(o.get("code"), int)
        except ValueError:
            known = False
        if not known:
            return cls(EREMOTE, {}, "", 0, wire.literal(text.encode()))
        return cls("code" if 100 <= o["code"] <= 999 else EREMOTE, {}, o.get("id", ""), o["code"],
                   wire.literal(o.get("detail", "").encode()))

    @classmethod
    def of(cls, data, call):
        """Of a reply's bytes; call: the Call that gets it."""
        if not data:
            return cls.local("go.micro.client.transport", "*", EIO)
        parts = [m for m in wire.messages(data, True) if wire.is_final(m)]
        m = parts[0] if parts else wire.Message()
        if m.problem or not parts:
            return cls.local("go.micro.client.transport", "*")
        if not m.status.startswith("200"):
            return cls.local("go.micro.client.transport",
                             wire.literal(("%s: " % m.status).encode() + m.body))
        header = m.get("Micro-Error") or m.get("X-Micro-Error")
        if header:
            return cls.remote(header.encode("latin-1").decode("utf-8"))
        kind = m.get("Content-Type")
        if kind == "text/plain":
            return cls.local("go.micro.client.codec", "*")
        return cls._body(m.body, call)

    @classmethod
    def _body(cls, body, call):
        if call.envelope and call.content_type in PROTOS:
            head, message = (frames(body) + [b"", b""])[:2]
            error = proto_fields(head).get(3, b"")
            return cls.remote(error.decode()) if error else cls.good(cls._proto(message, call))
        if call.content_type in PROTOS:
            return cls.good(cls._proto(body, call))
        try:
            value = json.loads(body)
        except ValueError:
            return cls.local("go.micro.client.codec", "*")
        if not call.envelope:
            return cls.good(go_form(value))
        error = value.get("error")
        if error is None:
            return cls.good(go_form(value.get("result") or {}))
        if not isinstance(error, str):
            return cls.local("go.micro.client.codec", "*")
        return cls.remote(error or "unspecified error")

    @staticmethod
    def _proto(message, call):
        if call.kind == "rich":
            return call.rich_twin
        text = proto_fields(message).get(1)
        return {} if not text else {"msg": text.decode()}

    def compare(self, got):
        """Problems with the line of JSON that the client printed."""
        problems = []

        def expect(name, want, have, same):
            if not same:
                problems.append("%s: expected %s\n%s got %s" % (name, want, " " * 10, have))
        err = got["err"]
        if self.err == "code":
            expect("err", self.code, err, err == self.code)
        elif self.err == "local":
            expect("err", "a local error", err, err < 0 and err != EREMOTE)
        else:
            expect("err", self.err, err, err == self.err)
        if self.result is not None:
            short = [json.dumps(r)[:200] for r in (self.result, got["result"])]
            expect("result", short[0], short[1], got["result"] == self.result)
        if self.id is not None:
            expect("id", repr(self.id), repr(got["id"]), got["id"] == self.id)
        expect("code", self.code, got["code"], got["code"] == self.code)
        if self.detail is not None:
            same = wire.matches(self.detail, got["detail"].encode()) if self.detail \
                else got["detail"] == ""
            expect("detail", repr(self.detail), repr(got["detail"]), same)
        return problems


# ---- the calls -------------------------------------------------------------------------------------

class Call:
    """How our client is made to ask what the recorded one asked."""

    def __init__(self, request, rich_twin=None):
        self.timeout, self.rich_twin = None, rich_twin
        self.micro = any(k.lower().startswith(("micro-", "x-micro-m", "x-micro-e", "x-micro-s"))
                         for k, _ in request.headers) and not request.get("X-Micro-Target")
        self.content_type = request.get("Content-Type") or "application/protobuf"
        if self.content_type.split(";")[0] not in (JSON, RPC) + PROTOS:
            self.content_type = JSON
        self.content_type = self.content_type.split(";")[0]
        self.envelope = not self.micro or self.content_type in (RPC, "application/proto-rpc")
        self.body = request.body
        self.method = request.get("Micro-Endpoint") or request.get("Micro-Method") or \
            request.get("X-Micro-Endpoint") or request.get("X-Micro-Method")
        argument = self._argument()
        self.method = self.method or "Say.Hello"
        self.kind = "rich" if self.method == "Test.Rich" else "hello"
        if self.method.startswith("Debug.") and self.content_type == JSON:
            self.kind = "value"
        self.argument = argument if isinstance(argument, dict) else {}
        if not isinstance(self.argument.get("name", ""), str) or \
                self.argument.get("small_number", 0) >> 32:
            self.argument = {}  # no program of ours could ask for that
        self.meta = [(k, v) for k, v in request.headers
                     if k in ("Foo", "Trace-Id", "X-Request-Id", "X-Lower-Case", "Lower-Case")]
        if self.kind == "rich" and self.content_type in PROTOS:
            self.argument = rich_twin
        self._prove(request)

    def same_as(self, other):
        return (self.method, self.content_type, self.argument) == \
            (other.method, other.content_type, other.argument)

    def _prove(self, request):
        """form() below is what real clients were recorded to send, where they use our dialect."""
        real = request.get("User-Agent") == "Go-http-client/1.1"
        dialect = self.envelope != any(k.lower().startswith("micro-") for k, _ in request.headers)
        want = self.form()
        if real and dialect and want is not None and want != self.body:
            raise ValueError("the recorded body is %s, not %s"
                             % (wire.show(self.body), wire.show(want)))

    def _argument(self):
        try:
            if self.content_type in PROTOS:
                body = self.body
                if self.envelope:
                    head, body = (frames(body) + [b"", b""])[:2]
                    self.method = self.method or proto_fields(head)[1].decode()
                if self.method == "Test.Rich":
                    return None
                name = proto_fields(body).get(1)
                return {"name": name.decode()} if name else {}
            value = json.loads(self.body or b"{}")
            if "method" in value:
                self.method = value["method"]
                value = (value.get("params") or [{}])
                value = value[0] if isinstance(value, list) else {}
            return value
        except (ValueError, KeyError, IndexError, TypeError):
            return {}

    def command(self, client, address, count):
        words = [client, address, self.method, "content_type=" + self.content_type,
                 "count=%d" % count, "peer=%s" % ("direct" if self.envelope else "mucp"),
                 "type=" + self.kind]
        name = self.argument.get("name", "")
        if self.kind != "hello":
            words.append("json=" + json.dumps(self.argument))
        elif len(name) > 4096:
            words += ["name=" + name[:1], "repeat=%d" % len(name)]
        elif "\0" not in name:
            words.append("name=" + name)
        if self.timeout:
            words.append("timeout=%d" % self.timeout)
        return words + ["meta=%s:%s" % kv for kv in self.meta]

    # -- what it must send ----------------------------------------------------------------------

    def form(self):
        """The body that our client must send, by the recorded forms; None: not prescribed."""
        if self.kind != "hello":
            return None
        name = self.argument.get("name", "")
        if self.content_type in PROTOS:
            text = name.encode()
            message = b"\x0a" + self._varint(len(text)) + text if text else b""
            if not self.envelope:
                return message
            method = self.method.encode()
            head = b"\x0a" + self._varint(len(method)) + method + b"\x11" + bytes(8)
            return len(head).to_bytes(4, "big") + head + len(message).to_bytes(4, "big") + message
        message = json.dumps({"name": name} if name else {}, separators=(",", ":"),
                             ensure_ascii=False)
        for a, b in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
            message = message.replace(a, b)
        if self.envelope:
            message = '{"method":"%s","params":[%s],"id":0}' % (self.method, message)
        return message.encode() + b"\n"

    @staticmethod
    def _varint(n):
        out = bytearray()
        while n > 127:
            out.append(n & 127 | 128)
            n >>= 7
        return bytes(out) + bytes([n])

    def check_request(self, m, nth):
        """Problems with what our client sent as its nth request."""
        problems = []

        def expect(what, want, have, same=None):
            if not (want == have if same is None else same):
                problems.append("request %d: %s: expected %s\n%s got %s"
                                % (nth, what, want, " " * 20, have))
        expect("line", "POST / HTTP/1.1", m.first)
        expect("Content-Type", self.content_type, m.get("Content-Type"))
        limit = (self.timeout or 5000) * 1000000
        t = m.get("Timeout") or ""
        expect("Timeout", "nanoseconds, what is left of %d" % limit, t,
               bool(re.fullmatch(r"[1-9]\d*", t)) and limit // 1000 < int(t) <= limit)
        want = self.form()
        if want is not None:
            expect("body", wire.show(want), wire.show(m.body), want == m.body)
        names = [k.lower() for k, _ in m.headers]
        if self.envelope:
            routing = [n for n in names if re.match(r"(x-)?micro-(service|method|endpoint|id)$", n)]
            expect("routing headers", [], routing)
        else:
            expect("Micro-Service", SERVICE, m.get("Micro-Service"))
            expect("Micro-Method", self.method, m.get("Micro-Method"))
            expect("Micro-Endpoint", self.method, m.get("Micro-Endpoint"))
            expect("Micro-Id", "some id", m.get("Micro-Id"), bool(m.get("Micro-Id")))
        for key, value in self.meta:
            expect(key, value, m.get(key))
        for name in ("host", "content-length", "content-type", "timeout", "connection"):
            expect("%s lines" % name, "at most 1", names.count(name), names.count(name) <= 1)
        return problems


# ---- the scripted server -----------------------------------------------------------------------------

def pieces(data, mode):
    if mode == "whole":
        return [data]
    if mode == "bytes":
        n = len(data) if len(data) < 4096 else 1024
        return [data[i:i + 1] for i in range(n)] + \
            [data[i:i + 4099] for i in range(n, len(data), 4099)]
    out, at = [], 0
    while True:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return out + ([data[at:]] if data[at:] else [])
        for line in data[at:end + 4].splitlines(keepends=True):
            out.append(line)
        at = end + 4


class Scripted:
    """Answers the k-th request that arrives, on whatever connection, with replies[k]; None: never.
    closes: numbers of replies after which it closes."""

    def __init__(self, replies, closes, mode, heads=None):
        self.replies, self.closes, self.mode = replies, closes, mode
        self.requests, self.connections, self.unread = [], 0, 0
        self.lock, self.stop = threading.Lock(), False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.listener.settimeout(0.2)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while not self.stop:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                continue
            self.connections += 1
            t = threading.Thread(target=self._serve, args=(sock, peer), daemon=True)
            self.threads.append(t)
            t.start()

    def _serve(self, sock, peer):
        unread = wire.Unread()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        data = b""
        try:
            while True:
                m, data = wire.receive(sock, data)
                if m is None:
                    break
                with self.lock:
                    k = len(self.requests)
                    self.requests.append(m)
                if k >= len(self.replies) or self.replies[k] is None:
                    continue
                for piece in pieces(self.replies[k], self.mode):
                    sock.sendall(piece)
                    if self.mode != "whole":
                        self.unread += 0 if unread.wait([(peer, sock.getsockname())]) else 1
                if k in self.closes:
                    break
        except OSError:
            pass
        sock.close()

    def end(self):
        self.stop = True
        self.listener.close()


class Case:
    """One run of our client: the replies it gets, and what must come of each."""

    def __init__(self, name, call, replies, closes, outcomes):
        self.name, self.call, self.replies, self.closes = name, call, replies, closes
        self.outcomes = outcomes

    def run(self, client, mode):
        server = Scripted(self.replies, self.closes, mode)
        try:
            command = self.call.command(client, server.address, len(self.outcomes))
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE + 10)
            lines, noise = done.stdout.decode("utf-8", "replace").splitlines(), done.stderr.decode()
        except subprocess.TimeoutExpired:
            return ["the client did not end within %d s" % (PATIENCE + 10)]
        finally:
            server.end()
        problems = []
        if done.returncode != 0:
            problems.append("the client ended with status %d: %s" % (done.returncode, noise[-800:]))
        if len(lines) != len(self.outcomes):
            problems.append("expected %d outcomes, got %d" % (len(self.outcomes), len(lines)))
        for k, (want, line) in enumerate(zip(self.outcomes, lines)):
            if self.call.kind == "value" and want.err != 0:
                want.result = None  # any JSON: no message of a kind of its own
            try:
                problems += ["call %d: %s" % (k + 1, p) for p in want.compare(json.loads(line))]
            except (ValueError, KeyError) as e:
                problems.append("call %d: cannot read %s: %s" % (k + 1, line[:200], e))
        if len(server.requests) != len(self.outcomes):
            problems.append("expected %d requests, got %d (a call is not to be tried again here)"
                            % (len(self.outcomes), len(server.requests)))
        for k, m in enumerate(server.requests):
            problems += self.call.check_request(m, k + 1)
        return problems + self._check_reuse(server)

    def _check_reuse(self, server):
        """After a success a connection is kept, unless the server has closed or says that it will."""
        if any(o.err != 0 for o in self.outcomes) or len(self.outcomes) < 2:
            return []
        said = [k for k, data in enumerate(self.replies)
                if wire.messages(data)[-1].get("Connection") == "close"]
        want = 1 + len({k for k in self.closes | set(said) if k + 1 < len(self.replies)})
        if server.connections == want:
            return []
        return ["expected %d connections, got %d" % (want, server.connections)]


# ---- cases from captures -----------------------------------------------------------------------------

def cases_of(capture, twin):
    """A capture's cases: one for a row of equal requests, else one for each exchange."""
    exchanged, closes = [], set()
    for steps, end in capture.connections:
        exchanged += wire.exchanges(steps)[1]
        if end == "server":
            closes.add(len(exchanged) - 1)
    for k, (_, reply) in enumerate(exchanged):
        if reply and wire.messages(reply)[-1].problem:
            closes.add(k)  # cut off in the recording: here the server is gone then
    calls = [Call(r, twin) for r, _ in exchanged]
    lost = [reply is None for _, reply in exchanged]
    same = all(c.same_as(calls[0]) for c in calls)
    if same and all(lost):
        exchanged, calls, closes = exchanged[:1], calls[:1], closes & {0}
    elif same and not any(lost):
        outcomes = [Outcome.of(reply, c) for (_, reply), c in zip(exchanged, calls)]
        return [Case(capture.name, calls[0], [r for _, r in exchanged], closes, outcomes)]
    out = []
    for k, ((_, reply), call) in enumerate(zip(exchanged, calls)):
        if reply is not None:
            outcome = Outcome.of(reply, call)
        elif k in closes:
            reply, outcome = b"", Outcome.of(b"", call)
        else:
            call.timeout = 300
            outcome = Outcome(ETIMEDOUT, {}, "go.micro.client", 408,
                              "*timeout: context deadline exceeded")
        name = capture.name if len(exchanged) == 1 else "%s#%d" % (capture.name, k + 1)
        out.append(Case(name, call, [reply], {0} if k in closes else set(), [outcome]))
    return out


def recorded(saw):
    """What the client of 2018 reported: (succeeded, id, code)."""
    text = saw.split(" err=", 1)[1]
    if text == "<nil>":
        return True, "", 0
    try:
        error = json.loads(text)
        return False, error["id"], error["code"]
    except ValueError:
        return False, "", 0


def odd_blocks():
    """odd-servers.txt: blocks of `key: value` lines."""
    block = {}
    with open(ODD, encoding="utf-8") as f:
        lines = f.read().splitlines()
    for line in lines + [""]:
        if line.startswith("#"):
            continue
        key, _, value = line.partition(":")
        if key:
            block[key] = value[1:]
        elif block:
            yield block
            block = {}


def odd_cases(pattern, devs):
    """Their cases; and what is wrong with the list of deviations."""
    out, problems = [], []
    for block in odd_blocks():
        name = "odd-" + block["name"]
        ours = block["err"] == "0", block.get("id", ""), int(block.get("code", "0"))
        listed = [d.ours for d in devs.get(name, [])]
        differs = "saw" in block and recorded(block["saw"]) != ours
        if listed != ([block["err"]] if differs else []):
            problems.append("%s: deviations listed %s; differs from what was recorded: %s"
                            % (name, listed, differs))
        if not re.search(pattern or "", name):
            continue
        request = wire.Message()
        request.headers = [("Content-Type", JSON)]
        request.body = b'{"method":"Say.Hello","params":[{"name":"John"}]}'
        err = block["err"]
        outcome = Outcome(int(err) if err.lstrip("-").isdigit() else err,
                          json.loads(block.get("result", "{}")), ours[1], ours[2],
                          block.get("detail", ""))
        sends = wire.unescape(block["sends"].encode())
        out.append(Case(name, Call(request), [sends], {0}, [outcome]))
    return out, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--client", required=True, help="the test client, built with the library")
    parser.add_argument("--server", help="ignored, so that all replays take the same arguments")
    parser.add_argument("--filter", default="", help="captures whose name has this regular expression")
    parser.add_argument("--jobs", type=int, default=8)
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    started, known = time.monotonic(), wire.index()
    twin = wire.Capture(os.path.join(wire.GOLDEN, RICH_PROTO[0] + ".http"))
    twin = json.loads(wire.messages(twin.connections[0][0][0][1])[0].body)
    cases = []
    for c in wire.captures(args.filter):
        if "client" in known[c.name][1]:
            cases += cases_of(c, twin)
    devs, _ = wire.deviations("client")
    odd, wrong = odd_cases(args.filter, devs)
    cases += odd
    wrong += wire.table_problems()
    passed, failed = 0, len(wrong)
    for p in wrong:
        print("FAIL %s" % p)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(case.run, args.client, mode): (case, mode)
                for case in cases for mode in ("whole", "lines", "bytes")}
        for job in jobs:
            case, mode = jobs[job]
            problems = job.result()
            if problems:
                failed += 1
                print("FAIL %s %s" % (case.name, mode))
                for p in problems[:12]:
                    print("     %s" % p)
            else:
                passed += 1
    print("%d cases, each whole, by header lines and by bytes, %.1f s"
          % (len(cases), time.monotonic() - started))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
