# SPDX-License-Identifier: MIT
"""Network namespaces as hosts, and the mdns driver in them. Whoever imports this runs in a namespace
of its own already (see mdns.py); nothing that multicasts may run outside one."""

import ctypes
import fcntl
import os
import queue
import random
import socket
import struct
import subprocess
import sys
import threading
import time

GROUP4 = "224.0.0.251"


def sh(command):
    subprocess.run(command, shell=True, check=True)


class Host:
    """A namespace beside this one, kept by a process that sleeps."""

    def __init__(self, name):
        self.name = name
        self.keeper = subprocess.Popen(["unshare", "-n", "sleep", "300"])
        ours = os.readlink("/proc/self/ns/net")
        for _ in range(500):
            if os.readlink("/proc/%d/ns/net" % self.keeper.pid) != ours:
                break
            time.sleep(0.01)
        self.run("ip link set lo up")

    def prefix(self):
        return ["nsenter", "-t", str(self.keeper.pid), "-n"]

    def run(self, command):
        subprocess.run(self.prefix() + ["sh", "-c", command], check=True)

    def popen(self, argv, **how):
        return subprocess.Popen(self.prefix() + argv, **how)

    def close(self):
        self.keeper.kill()
        self.keeper.wait()


# Without duplicate detection an IPv6 address is usable at once.
NO_DAD = ("for d in all default; do echo 0 >/proc/sys/net/ipv6/conf/$d/accept_dad "
          "2>/dev/null || true; done; ")


def cable(a, b, net="10.78.0", ipv4=True):
    """Joins two hosts by one cable."""
    for host in (a, b):
        host.run(NO_DAD)
    a.run("ip link add eth0 type veth peer name eth0 netns %d" % b.keeper.pid)
    for number, host in enumerate((a, b), 1):
        if ipv4:
            host.run("ip addr add %s.%d/24 dev eth0" % (net, number))
        host.run("ip link set eth0 up")


def no_checksum_offload(name):
    """Or what a packet socket reads has no checksum yet."""
    value = struct.pack("II", 0x17, 0)  # ETHTOOL_STXCSUM
    buffer = ctypes.create_string_buffer(value, len(value))
    request = struct.pack("16sP", name.encode(), ctypes.addressof(buffer)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8946, request)  # SIOCETHTOOL


class Switch:
    """Joins two hosts by a switch in this namespace, which may lose frames: drop(frame) decides."""

    def __init__(self, a, b, drop, net="10.78.0"):
        self.drop = drop
        self.sockets = []
        for number, host in enumerate((a, b), 1):
            host.run(NO_DAD)
            port = "port%d" % number
            sh("ip link add %s type veth peer name eth0 netns %d; ip link set %s up" % (
                port, host.keeper.pid, port))
            host.run("ip addr add %s.%d/24 dev eth0" % (net, number))
            host.run("ip link set eth0 up")
            code = "import sys; sys.path.insert(0, %r); import hosts; " % os.path.dirname(__file__)
            host.popen([sys.executable, "-c", code + "hosts.no_checksum_offload('eth0')"]).wait()
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind((port, 0))
            self.sockets.append(s)
        for i in range(2):
            threading.Thread(target=self.forward, args=(i,), daemon=True).start()

    def forward(self, i):
        while True:
            frame, source = self.sockets[i].recvfrom(65536)
            if source[2] != socket.PACKET_OUTGOING and not self.drop(frame):
                self.sockets[1 - i].send(frame)


def lossy(rate, seed=1):
    """A drop function that loses a part of the UDP datagrams."""
    dice = random.Random(seed)

    def drop(frame):
        ip = frame[14:]
        udp = (frame[12:14] == b"\x08\x00" and ip[9] == 17) or (
            frame[12:14] == b"\x86\xdd" and ip[6] == 17)
        return udp and dice.random() < rate

    return drop


class Driver:
    """tests/mdns_driver.c on a host (None: here)."""

    def __init__(self, program, host=None):
        argv = (host.prefix() if host else []) + [program]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.answers, self.events = queue.Queue(), queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            words = line.split()
            (self.events if words[0] == "event" else self.answers).put(words)

    def do(self, command):
        """The lines of an answer; the last is ok or error."""
        self.process.stdin.write(command + "\n")
        lines = []
        while not lines or lines[-1][0] not in ("ok", "error"):
            lines.append(self.answers.get(timeout=20))
        return lines

    def ok(self, command):
        """The lines of an answer that has to be good, less the last."""
        lines = self.do(command)
        assert lines[-1][0] == "ok", "%s: %s" % (command, " ".join(lines[-1]))
        return lines[:-1]

    def fails(self, command, code, *texts):
        last = self.do(command)[-1]
        assert last[:2] == ["error", str(code)], "%s: %s" % (command, " ".join(last))
        for text in texts:
            assert text in " ".join(last), "%s: %s" % (command, " ".join(last))

    def nodes(self, command):
        """id -> address of the nodes in an answer."""
        return {line[3]: line[4] for line in self.ok(command) if line[0] == "node"}

    def event(self, expected, seconds=10):
        """The next event, which has to be this one."""
        try:
            got = " ".join(self.events.get(timeout=seconds)[1:])
        except queue.Empty:
            got = "nothing"
        assert got == expected, "event %s, not %s" % (got, expected)

    def event_set(self, expected, seconds=10):
        """The next events, in whatever order."""
        got = set()
        try:
            while len(got) < len(expected):
                got.add(" ".join(self.events.get(timeout=seconds)[1:]))
        except queue.Empty:
            pass
        assert got == set(expected), "events %s" % sorted(got)

    def no_event(self, seconds):
        try:
            got = self.events.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError("event " + " ".join(got[1:]))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def quit(self):
        """Ends it properly: a sanitizer has its say in the exit code."""
        self.process.stdin.write("quit\n")
        code = self.process.wait(timeout=20)
        assert code == 0, "the driver ended with %d" % code


class Sniffer:
    """Reads the group's traffic in this namespace: (data, (address, port)) in the order of arrival."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", 5353))
        member = socket.inet_aton(GROUP4) + socket.inet_aton("127.0.0.1")
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self.packets = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            self.packets.append(self.socket.recvfrom(65536))

    def wait(self, number, seconds=10):
        end = time.time() + seconds
        while len(self.packets) < number and time.time() < end:
            time.sleep(0.01)
        return list(self.packets)


def ask(data, to=(GROUP4, 5353), port=0, seconds=1.0, number=1):
    """Sends a question and returns the answers that come to its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", port))
        s.sendto(data, to)
        answers = []
        end = time.time() + seconds
        while len(answers) < number and time.time() < end:
            s.settimeout(max(0.01, end - time.time()))
            try:
                answers.append(s.recvfrom(65536)[0])
            except socket.timeout:
                break
        return answers
