# SPDX-License-Identifier: MIT
"""What tests of the micro command stand on beside programs.py: what is registered, and nodes whose
answers are written by hand."""

import calendar
import contextlib
import http.server
import json
import os
import pty
import re
import subprocess
import threading
import time

from programs import environment, MICRO, SECONDS, TESTS

STARTED = (calendar.timegm((2025, 11, 22, 9, 12, 17)), calendar.timegm((2025, 11, 22, 9, 16, 18)))


def golden(name):
    with open(os.path.join(TESTS, "golden", "cli", name), encoding="utf-8") as f:
        return f.read()


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


def definition(name, *ports, **more):
    nodes = [{"id": "%s-%d" % (name, port), "address": "127.0.0.1", "port": port} for port in ports]
    return json.dumps(dict({"name": name, "version": "1.2.3", "nodes": nodes}, **more))


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
