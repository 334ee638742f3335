# SPDX-License-Identifier: MIT
"""Captures of the wire: read them, cut HTTP messages out of bytes, read the tables beside them."""
import os
import re
import socket
import struct
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden", "rpc")
DEVIATIONS = os.path.join(HERE, "golden", "deviations.md")

ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|r|n|\\)")
ALIKE = re.compile(rb"(.)\[\.\.\. (\d+) bytes, all alike \.\.\.\]", re.DOTALL)


def unescape(data):
    def one(m):
        c = m.group(1)
        return {b"r": b"\r", b"n": b"\n", b"\\": b"\\"}.get(c) or bytes([int(c[1:], 16)])
    return ESCAPE.sub(one, ALIKE.sub(lambda m: m.group(1) * (int(m.group(2)) + 1), data))


class Capture:
    """connections: for each, (steps, end); a step is ("c"|"s", bytes); end is open, server or client
    (who closed first). wait: seconds of silence that the capture has."""

    def __init__(self, path):
        self.name = os.path.basename(path)[:-len(".http")]
        self.connections = []
        self.title = ""
        self.wait = 0.0
        with open(path, "rb") as f:
            self._parse(f.read())

    def _parse(self, data):
        steps, end = [], "open"
        marks = re.compile(rb"^(?:--- |=== |# )(.*)\n?", re.MULTILINE)
        found = list(marks.finditer(data))
        for i, m in enumerate(found):
            stop = found[i + 1].start() if i + 1 < len(found) else len(data)
            text, label = data[m.end():stop], m.group(1).decode()
            if m.group(0).startswith(b"# "):
                self.title = label
            elif m.group(0).startswith(b"=== "):
                if steps:
                    self.connections.append((steps, end))
                steps, end = [], "open"
            elif label.startswith("client -> server"):
                steps.append(("c", unescape(self._cut(text))))
            elif label.startswith("server -> client"):
                if "(nothing)" not in label:
                    steps.append(("s", unescape(self._cut(text))))
            elif " FIN" in label or " RST" in label:
                if end == "open":
                    end = label.split()[0]
                after = re.search(r"after ([0-9.]+) s", label)
                self.wait = max(self.wait, float(after.group(1)) if after else 0.0)
            elif label.startswith("client waits"):
                self.wait = float(label.split()[2].rstrip("s"))
            elif label.startswith("connection still open"):
                after = float(re.search(r"open ([0-9.]+) ?s", label).group(1))
                self.wait = max(self.wait, after if after > 1 else 0.0)
            else:
                raise ValueError("%s: unknown mark %r" % (self.name, label))
        if steps or end != "open" or not self.connections:
            self.connections.append((steps, end))

    def _cut(self, text):
        if not text.endswith(b"\n"):
            raise ValueError("%s: a part without a line end" % self.name)
        return text[:-1]


class Message:
    """One HTTP message. first: its first line; headers: (name, value) as sent; raw: its bytes."""

    def __init__(self):
        self.first, self.headers, self.body, self.raw = "", [], b"", b""
        self.problem = ""

    def get(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    @property
    def status(self):
        return self.first.split(" ", 1)[1] if " " in self.first else self.first


def chunked_end(data, at):
    """Where a chunked body that begins at `at` ends, and its bytes; (None, b"") if more must come."""
    body = []
    while True:
        eol = data.find(b"\r\n", at)
        if eol < 0:
            return None, b""
        size = int(data[at:eol].split(b";")[0], 16)
        at = eol + 2
        if size == 0:
            end = data.find(b"\r\n", at)
            return (None, b"") if end < 0 else (end + 2, b"".join(body))
        if len(data) < at + size + 2:
            return None, b""
        body.append(data[at:at + size])
        at += size + 2


def cut_message(data, head_only=False, closed=False):
    """The first HTTP message of data, or None if it is not complete. A reply without a length ends
    with the connection. head_only: a reply to HEAD."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    m = Message()
    lines = data[:end].decode("latin-1").split("\r\n")
    m.first = lines[0]
    for line in lines[1:]:
        name, _, value = line.partition(":")
        m.headers.append((name, value.strip()))
    at = end + 4
    reply = m.first.startswith("HTTP/")
    if head_only or reply and m.status.startswith("1"):
        m.raw = data[:at]
        return m
    if "chunked" in (m.get("Transfer-Encoding") or ""):
        stop, m.body = chunked_end(data, at)
        if stop is None:
            return None
        m.raw = data[:stop]
        return m
    length = m.get("Content-Length")
    if length is None and reply:
        if not closed:
            return None
        length = len(data) - at
    length = int(length or 0)
    if len(data) < at + length:
        return None
    m.body, m.raw = data[at:at + length], data[:at + length]
    return m


def receive(sock, data):
    """The next message of a connection, and what has come behind it; data: what was there before.
    None for the message when the connection ends first."""
    while True:
        m = cut_message(data)
        if m is not None:
            return m, data[len(m.raw):]
        more = sock.recv(1 << 16)
        if not more:
            return None, data
        data += more


def messages(data, closed=True, heads=()):
    """All messages in data; what is no message is one with `problem` set. heads: numbers of final
    replies that answer HEAD."""
    out, final = [], 0
    while data:
        try:
            m = cut_message(data, head_only=final in heads, closed=closed)
            if m is not None and not re.match(r"HTTP/1\.|\S+ \S+ HTTP/1\.", m.first):
                m = None
        except ValueError:
            m = None
        if m is None:
            m = Message()
            m.problem, m.raw = "no complete HTTP message", data
        out.append(m)
        final += 0 if m.status.startswith("1") else 1
        data = data[len(m.raw):]
    return out


def is_final(message):
    """False for 100 Continue and the like; 101 ends the exchange in HTTP."""
    return bool(message.problem) or not message.status.startswith("1") or \
        message.status.startswith("101")


def exchanges(steps):
    """Of one connection: its turns, each what the client sent in one go, and for every request
    (request, bytes of its reply, interim ones in front; None if there was none). What comes after a
    turn answers the requests that the turn completed, in order."""
    turns, answers = [], []
    for kind, data in steps:
        if kind == "c":
            turns.append(data)
            answers.append(b"")
        else:
            answers[-1] += data
    stream = b"".join(turns)
    requests = messages(stream) if stream else []
    ends, at = [], 0
    for r in requests:
        at += len(r.raw)
        ends.append(at)
    out, sent, early = [(r, None) for r in requests], 0, b""
    first = 0
    for turn, data in zip(turns, answers):
        sent += len(turn)
        i, start, at = first, 0, 0
        for m in messages(data):
            at += len(m.raw)
            if is_final(m) and i < len(ends) and ends[i] <= sent:
                out[i] = (requests[i], early + data[start:at])
                i, start, early = i + 1, at, b""
        early += data[start:]
        while first < len(ends) and ends[first] <= sent:
            first += 1
    return turns, out


# ---- the tables ----------------------------------------------------------------------------------

def table(path, first):
    """Rows of the Markdown table whose first heading is `first`, as lists of cells; code marks off."""
    rows, on = [], False
    with open(path, encoding="utf-8") as f:
        for line in f:
            if not line.startswith("|"):
                on = False
                continue
            cells = [c.strip() for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            if cells[0] == first:
                on = True
            elif on and not set("".join(cells)) <= set("-: "):
                rows.append([c.replace("\\|", "|").strip("`") for c in cells])
    return rows


def index():
    """name -> (server kind, set of roles, deviation ids)."""
    out = {}
    for name, kind, roles, _, ids in table(os.path.join(GOLDEN, "INDEX.md"), "capture"):
        out[name] = (kind, set(roles.split()), set(ids.replace("-", "").split()))
    return out


def pins():
    """(name, number) -> the reply of ours where a capture binds our server only in that it answers."""
    rows = table(os.path.join(GOLDEN, "INDEX.md"), "pinned")
    return {(name, int(number)): value for name, number, value in rows}


class Deviation:
    def __init__(self, ident, role, name, request, field, ours):
        self.ident, self.role, self.name = ident, role, name
        self.request, self.field, self.ours = request, field, ours
        self.seen = False

    def __str__(self):
        return "%s %s request %s %s" % (self.ident, self.name, self.request, self.field)


def deviations(role):
    """name -> list of Deviation of that role; and the number of reasons in the whole table."""
    out, reasons, last = {}, {}, ""
    for ident, reason, who, names, request, field, ours in table(DEVIATIONS, "id"):
        last = ident or last
        if reason:
            reasons[last] = reason
        if last not in reasons:
            raise ValueError("deviation %s has no reason" % last)
        for name in names.split():
            if who == role:
                out.setdefault(name.strip("`"), []).append(
                    Deviation(last, who, name.strip("`"), request, field, ours))
    return out, len(reasons)


def table_problems():
    """What is wrong with the tables themselves: they must agree with each other and the files."""
    known, out = index(), []
    files = {f[:-len(".http")] for f in os.listdir(GOLDEN) if f.endswith(".http")}
    out += ["the index and the files differ: %s" % n for n in sorted(files ^ set(known))]
    server, reasons = deviations("server")
    client, _ = deviations("client")
    if reasons > 20:
        out.append("%d reasons for deviations are more than 20" % reasons)
    for name in sorted(files):
        ids = {d.ident for d in server.get(name, []) + client.get(name, [])}
        if name in known and ids != known[name][2]:
            out.append("%s: the index names %s, the deviations are %s"
                       % (name, sorted(known[name][2]), sorted(ids)))
    out += ["deviations of a capture that is not there: %s" % n for n in sorted(set(server) - files)]
    return out


def captures(pattern, folder=GOLDEN):
    out = []
    for file in sorted(os.listdir(folder)):
        if file.endswith(".http") and re.search(pattern or "", file[:-len(".http")]):
            out.append(Capture(os.path.join(folder, file)))
    return out


def matches(pattern, text):
    """pattern: text with \\n, \\r, \\\\, \\xNN; an unescaped * stands for one or more bytes. A pattern
    that is only - means empty."""
    if pattern == "-":
        return text == b""
    parts = pattern.encode("utf-8").split(b"*")
    parts = [re.escape(unescape(p)) for p in parts]
    return re.fullmatch(b".+".join(parts), text, re.DOTALL) is not None


def literal(data):
    """The pattern that matches these bytes and no others."""
    if not data or data == b"-":
        return "\\x2d" if data else "-"
    out = []
    for b in data:
        out.append({10: "\\n", 13: "\\r", 92: "\\\\"}.get(b) or
                   (chr(b) if 32 <= b < 127 and b != 42 else "\\x%02x" % b))
    return "".join(out)


def show(data):
    """Bytes as the patterns above write them, shortened."""
    if len(data) <= 700:
        return literal(data)
    return "%s [... %d bytes in all ...] %s" % (literal(data[:300]), len(data), literal(data[-300:]))


# ---- has the other end read what was sent? -------------------------------------------------------

class Unread:
    """Bytes that lie unread in the receive queue of a TCP socket of this machine, by its two
    addresses; so that pieces are surely read one by one. None: the kernel does not tell."""

    def __init__(self):
        try:
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # SOCK_DIAG
            self.sock.settimeout(1)
        except (AttributeError, OSError):
            self.sock = None

    def __call__(self, local, remote):
        if self.sock is None:
            return None
        pad = b"\0" * 12
        body = struct.pack("BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xffffffff)
        body += struct.pack(">HH", local[1], remote[1])
        body += socket.inet_aton(local[0]) + pad + socket.inet_aton(remote[0]) + pad
        body += struct.pack("III", 0, 0xffffffff, 0xffffffff)
        try:
            self.sock.send(struct.pack("IHHII", 16 + len(body), 20, 1, 1, 0) + body)
            reply = self.sock.recv(4096)
        except OSError:
            self.sock = None
            return None
        if struct.unpack_from("H", reply, 4)[0] != 20 or len(reply) < 88:
            return 0  # the socket is gone
        return struct.unpack_from("I", reply, 16 + 4 + 48 + 4)[0]

    def wait(self, pairs, limit=0.2):
        """Until every socket of pairs [(local, remote)] is read empty, at most `limit` seconds."""
        stop = time.monotonic() + limit
        for local, remote in pairs:
            while True:
                n = self(local, remote)
                if n == 0:
                    break
                if n is None:
                    time.sleep(0.001)
                    break
                if time.monotonic() > stop:
                    return False
                os.sched_yield()
        return True
