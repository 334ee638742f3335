# SPDX-License-Identifier: MIT
"""Processes under measurement: started on one core, waited for, ended by pid; requests for them."""

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time

REPLY = '{"id":1,"result":{"msg":"Hello John"},"error":null}\n'


def raise_file_limit():
    """Ten thousand connections need twenty thousand descriptors here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def priority(nice=-15):
    """Neighbours disturb less; who may not raise it measures as it is. All that is started has it,
    yardsticks too. Where sessions share the processors evenly, it is the session that counts."""
    group = "/proc/self/autogroup"

    def share(value):
        with contextlib.suppress(OSError), open(group, "w", encoding="ascii") as f:
            f.write(str(value))

    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        share(nice)
    try:
        yield
    finally:
        share(0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pids):
    """User and system time of processes, with what their ended threads used."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pid):
    """Resident bytes."""
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def threads(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def http_post(body, content_type, extra=(), length=None):
    """A request as a go-micro client writes it."""
    if isinstance(body, str):
        body = body.encode()
    lines = ["POST / HTTP/1.1", "Host: 127.0.0.1:9000", "User-Agent: Go-http-client/1.1",
             "Content-Length: %d" % (len(body) if length is None else length),
             "Accept: " + content_type, "Content-Type: " + content_type, *extra,
             "Timeout: 5000000000", "Accept-Encoding: gzip", "", ""]
    return "\r\n".join(lines).encode() + body


def json_rpc(method, params, extra=()):
    """JSON-RPC in an envelope; 313 bytes of head for Bench.Hello."""
    body = '{"id":1,"method":"%s","params":[%s]}' % (method, json.dumps(params,
                                                                        separators=(",", ":")))
    return http_post(body, "application/json-rpc",
                     ["Micro-Endpoint: " + method, "Micro-Id: 10001", "Micro-Method: " + method,
                      "Micro-Service: go.micro.srv.greeter", *extra])


def proto_rpc(method, message):
    """PROTO-RPC: a frame with the method, a frame with the message."""
    head = b"\x0a" + bytes([len(method)]) + method.encode() + b"\x11" + bytes(8)
    body = b"".join(len(part).to_bytes(4, "big") + part for part in (head, message))
    return http_post(body, "application/protobuf", ["X-Micro-From-Service: go.micro.api"])


def body_length(request):
    return len(request) - request.index(b"\r\n\r\n") - 4


class Broken(Exception):
    """Something does not work: no figure at all, as opposed to a bad one."""


class Server:
    """A running server: its processes and where it listens."""

    def __init__(self, name, processes, port):
        self.name, self.processes, self.port = name, processes, port
        self.pids = [p.pid for p in processes]

    def address(self):
        return "127.0.0.1:%d" % self.port


class Programs:
    """The built programs, and how they are run: all on one core unless pin is False."""

    def __init__(self, build, core):
        self.build = os.path.abspath(build)
        self.core = core
        self.dir = os.path.join(self.build, "run")
        os.makedirs(self.dir, exist_ok=True)

    def path(self, name):
        """Of a program of ours, or of the system; None if it is not there."""
        own = os.path.join(self.build, name)
        return own if os.access(own, os.X_OK) else shutil.which(name)

    def pinned(self, argv, pin=True):
        return (["taskset", "-c", str(self.core)] if pin else []) + argv

    def file(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    @contextlib.contextmanager
    def serve(self, name, *commands, port=None, pin=True, env=None, stderr=None):
        """Starts commands (lists; PORT in a word is filled in), the first of which listens."""
        port = port or free_port()
        processes = []
        log = open(os.path.join(self.dir, name + ".err"), "w+b") if stderr is None else stderr
        try:
            for command in commands:
                argv = [word.replace("PORT", str(port)) for word in command]
                processes.append(subprocess.Popen(
                    self.pinned(argv, pin), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=log, env=dict(os.environ, **(env or {}))))
                if command is commands[0]:
                    self.await_port(name, port, processes[0])
            time.sleep(0.05)
            yield Server(name, processes, port)
            for p in processes:
                if p.poll() is not None:
                    raise Broken("%s ended by itself, status %d" % (name, p.returncode))
        finally:
            for p in processes:
                p.terminate()
            for p in processes:
                try:
                    p.wait(10)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
            if stderr is None:
                log.close()

    def await_port(self, name, port, process):
        for _ in range(3000):
            if process.poll() is not None:
                raise Broken("%s does not start, status %d" % (name, process.returncode))
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.01)
        raise Broken("%s does not listen" % name)

    def ours(self, *flags, name="server", under=(), **how):
        """Our server, which must stop when told to. under: a command that runs it."""
        return self.serve("micro", [*under, self.path(name), "--registry=memory",
                                    "--selector=static", "--server_address=127.0.0.1:PORT",
                                    *flags], **how)

    def floor(self, *options, name="floor", **how):
        return self.serve(name, [self.path("floor"), "-p", "PORT", *options], **how)

    def start(self, argv, pin=True, env=None, stdin=subprocess.DEVNULL):
        """A load program, for result()."""
        return subprocess.Popen(self.pinned(list(map(str, argv)), pin), stdin=stdin,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=dict(os.environ, **(env or {})))

    def start_load(self, server, request, *options, pin=True):
        argv = [self.path("load"), "-p", str(server.port), "-f", request, "-s",
                ",".join(map(str, server.pids)), *options]
        return self.start(argv, pin)

    def load(self, server, request, *options, pin=True):
        return result(self.start_load(server, request, *options, pin=pin))

    def start_client(self, server, *flags, pin=True, name="client", env=None,
                     stdin=subprocess.DEVNULL):
        """Our client on a server."""
        argv = [self.path(name), "--registry=memory", "--loops=1", "--node=" + server.address(),
                "--server_pid=" + ",".join(map(str, server.pids)), *flags]
        return self.start(argv, pin, env, stdin)

    def client(self, server, *flags, **how):
        return result(self.start_client(server, *flags, **how))

    def run(self, argv, pin=True, timeout=120, **how):
        """A program that prints figures; its output."""
        p = subprocess.run(self.pinned(argv, pin), stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=timeout, check=False, **how)
        if p.returncode != 0:
            raise Broken("%s: status %d: %s" % (argv[0], p.returncode, p.stderr[-500:]))
        return p.stdout


def held(process, server, n, settle):
    """Resident bytes of a server to which a program holds n connections, or streams, open: it says
    so when all are there, and ends with its input."""
    try:
        line = process.stdout.readline()
        if '"calls": %d}' % n not in line:
            raise Broken("only these of %d: %s" % (n, line))
        time.sleep(settle)
        return memory(server.pids[0])
    finally:
        process.communicate(timeout=60)


def result(process, timeout=180):
    """What a load program measured. A failed call is a fault of the bench, not a figure."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise Broken("%s hangs: %s" % (process.args, err[-500:])) from None
    lines = out.strip().splitlines()
    if process.returncode != 0 or not lines:
        raise Broken("%s: status %d: %s" % (" ".join(process.args), process.returncode, err[-500:]))
    figures = json.loads(lines[-1])
    if figures["errors"] or not figures["calls"]:
        raise Broken("%s: %d of %d calls failed: %s" % (
            " ".join(process.args), figures["errors"], figures["calls"], err[-500:]))
    return figures
