#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mdns registry between processes and hosts, each case in network namespaces of its own.

  mdns.py            all cases; MDNS_DRIVER names a ready driver, else it is compiled
  mdns.py CASE...    some of them

Needs ip and unshare, python3-zeroconf, avahi-daemon; for the twin, a Go compiler."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cases  # noqa: E402
import command  # noqa: E402, F401  its cases
import hosts  # noqa: E402
from cases import case  # noqa: E402
from hosts import Driver, Host, Sniffer, Switch, ask, cable, lossy  # noqa: E402
from programs import equal, loopback_host, ROOT  # noqa: E402

DRIVER = os.environ.get("MDNS_DRIVER", "")
TWIN = os.environ.get("MDNS_TWIN", "")
SERVICE = "go.micro.srv.greeter"


def put(driver, node, address, ttl=0, version="1.0.0", more=""):
    driver.ok("put %s %s %s %s %d %s" % (SERVICE, version, node, address, ttl, more))


# ---- one host -----------------------------------------------------------------------------------


@case
def own_services():
    """A process finds what it registered itself, and nothing after that."""
    loopback_host()
    a = Driver(DRIVER)
    a.ok("watch *")
    put(a, "a1", "127.0.0.1:8080", more="zone=eu")
    a.event("create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
    equal(a.ok("first " + SERVICE), [["node", SERVICE, "1.0.0", "a1", "127.0.0.1:8080",
                                      "endpoints=0", "zone=eu"]])
    put(a, "a2", "127.0.0.1:8081", version="2.0.0")
    a.event("create %s 2.0.0 a2 127.0.0.1:8081" % SERVICE)
    equal(a.nodes("get " + SERVICE), {"a1": "127.0.0.1:8080", "a2": "127.0.0.1:8081"})
    equal(a.ok("list"), [["service", SERVICE]])
    a.fails("get nobody", -3)
    a.fails("first nobody", -3)
    a.fails("get a..b", -3)
    put(a, "a1", "127.0.0.1:9090")
    a.event("update %s 1.0.0 a1 127.0.0.1:9090" % SERVICE)
    a.ok("del %s a1" % SERVICE)
    a.event("delete %s 1.0.0 a1 127.0.0.1:9090" % SERVICE)
    a.ok("del %s a1" % SERVICE)  # again: no error
    equal(a.nodes("get " + SERVICE), {"a2": "127.0.0.1:8081"})
    a.no_event(0.3)
    a.quit()


@case
def two_registries():
    """All of a process share one instance; what was put through one goes with it."""
    loopback_host()
    a, b = Driver(DRIVER), Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    a.ok("swap")
    put(a, "a2", "127.0.0.1:8081")
    everybody = {"a1": "127.0.0.1:8080", "a2": "127.0.0.1:8081"}
    equal(a.nodes("first " + SERVICE), everybody)
    equal(b.nodes("get " + SERVICE), everybody)
    b.ok("watch " + SERVICE)
    a.ok("swap")
    a.ok("free")
    b.event("delete %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
    a.ok("new")
    equal(a.nodes("get " + SERVICE), {"a2": "127.0.0.1:8081"})
    a.quit()
    b.event("delete %s 1.0.0 a2 127.0.0.1:8081" % SERVICE)
    b.quit()


@case
def two_processes():
    loopback_host()
    a, b = Driver(DRIVER), Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    equal(b.nodes("first " + SERVICE), {"a1": "127.0.0.1:8080"})
    b.ok("watch " + SERVICE)
    b.no_event(0.2)  # known before it was watched
    put(b, "b1", "127.0.0.1:8081")
    b.event("create %s 1.0.0 b1 127.0.0.1:8081" % SERVICE)
    put(a, "a2", "127.0.0.1:8082")
    b.event("create %s 1.0.0 a2 127.0.0.1:8082" % SERVICE)
    everybody = {"a1": "127.0.0.1:8080", "a2": "127.0.0.1:8082", "b1": "127.0.0.1:8081"}
    equal(a.nodes("get " + SERVICE), everybody)
    equal(b.nodes("get " + SERVICE), everybody)
    equal(b.ok("list"), [["service", SERVICE]])
    a.ok("del %s a2" % SERVICE)
    b.event("delete %s 1.0.0 a2 127.0.0.1:8082" % SERVICE)
    put(a, "a1", "127.0.0.1:7070")  # moved: a goodbye, and up again
    b.event("delete %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
    b.event("create %s 1.0.0 a1 127.0.0.1:7070" % SERVICE)
    a.ok("free")  # what it had put goes with it
    b.event("delete %s 1.0.0 a1 127.0.0.1:7070" % SERVICE)
    a.ok("new")
    equal(a.nodes("get " + SERVICE), {"b1": "127.0.0.1:8081"})
    b.ok("unwatch")
    b.ok("watch *")
    a.ok("put other 3 x 127.0.0.1:1 0")
    b.event("create other 3 x 127.0.0.1:1")
    a.quit()
    b.event("delete other 3 x 127.0.0.1:1")
    b.quit()


@case
def watch_everything_finds_what_was_there():
    loopback_host()
    a, b = Driver(DRIVER), Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    a.ok("put other 1 o1 127.0.0.1:8081 0")
    a.ok("sleep 4500")  # its announcements are over
    b.ok("watch *")
    b.event_set(["create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE, "create other 1 o1 127.0.0.1:8081"])
    a.quit()
    b.event_set(["delete %s 1.0.0 a1 127.0.0.1:8080" % SERVICE, "delete other 1 o1 127.0.0.1:8081"])
    b.quit()


@case
def killed():
    """kill -9: nobody says goodbye, and the node goes when its TTL is over. Another one with the
    same TTL, which lives, stays."""
    loopback_host()
    a, b, c = Driver(DRIVER), Driver(DRIVER), Driver(DRIVER)
    b.ok("watch " + SERVICE)
    put(a, "a1", "127.0.0.1:8080", ttl=2000)
    put(c, "c1", "127.0.0.1:8082", ttl=2000)
    b.event_set(["create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE,
                 "create %s 1.0.0 c1 127.0.0.1:8082" % SERVICE])
    time.sleep(4)  # so that c1 has to be asked for again
    b.no_event(0.1)
    a.kill()
    b.event("delete %s 1.0.0 a1 127.0.0.1:8080" % SERVICE, seconds=8)
    equal(b.nodes("first " + SERVICE), {"c1": "127.0.0.1:8082"})
    b.no_event(4)
    c.quit()
    b.event("delete %s 1.0.0 c1 127.0.0.1:8082" % SERVICE)
    b.quit()


@case
def waiting():
    """Time-outs, cancellation, and look-ups from within a callback."""
    loopback_host()
    a, b = Driver(DRIVER), Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    b.ok("cancel 30")
    b.fails("get " + SERVICE, -6)
    b.ok("timeout 20")
    b.fails("get nobody", -5)
    b.fails("first nobody", -5)
    equal(b.nodes("get " + SERVICE), {"a1": "127.0.0.1:8080"})
    b.ok("timeout 0")
    b.ok("nest " + SERVICE)
    put(a, "a2", "127.0.0.1:8081")
    b.event("create %s 1.0.0 a2 127.0.0.1:8081" % SERVICE)
    b.event("nested 0 1")  # the thread that calls back finds, too
    a.ok("put %s 9 a3 127.0.0.1:8082 0" % SERVICE)
    b.event("create %s 9 a3 127.0.0.1:8082" % SERVICE)
    b.event("nested 0 2")
    b.ok("put %s 9 b1 127.0.0.1:8083 0" % SERVICE)
    b.event("create %s 9 b1 127.0.0.1:8083" % SERVICE)
    b.event("nested 0 2")
    a.quit()
    b.quit()


@case
def no_network():
    """Without an interface put and get say so; when one comes, all is well."""
    a = Driver(DRIVER)
    a.fails("put %s 1.0.0 a1 127.0.0.1:8080 0" % SERVICE, -8, "interface", "multicast")
    a.fails("get " + SERVICE, -8, "interface")
    a.fails("first " + SERVICE, -8, "interface")
    a.fails("list", -8, "interface")
    a.ok("watch " + SERVICE)
    hosts.sh("ip link set lo up")  # lo alone will do, without the multicast flag
    put(a, "a1", "127.0.0.1:8080")
    a.event("create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
    b = Driver(DRIVER)
    equal(b.nodes("get " + SERVICE), {"a1": "127.0.0.1:8080"})
    hosts.sh("ip link set lo down")
    time.sleep(11)  # the interfaces are looked at again
    equal(a.nodes("get " + SERVICE), {"a1": "127.0.0.1:8080"})  # our own, all the same
    a.quit()
    b.quit()


@case
def port_taken():
    """5353 held by a program that does not share it is an error that says so."""
    loopback_host()
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("", 5353))
    a = Driver(DRIVER)
    a.fails("get " + SERVICE, -8, "5353")
    holder.close()
    put(a, "a1", "127.0.0.1:8080")
    a.quit()


@case
def out_of_memory():
    """Memory runs out at every place of every operation: an error or success, and nothing breaks."""
    loopback_host()
    a, b = Driver(DRIVER), Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    failures = 0
    for command in ("new", "put %s 2 b1 127.0.0.1:8081 0 k=v" % SERVICE, "first " + SERVICE,
                    "get " + SERVICE, "list", "watch " + SERVICE):
        for n in range(100):
            if command[:3] in ("new", "put", "fir"):  # from the start: nothing open or known
                b.ok("free")
            if command[:3] in ("put", "fir"):
                b.ok("new")
            b.ok("starve %d" % n)
            last = b.do(command)[-1]
            if last[0] == "ok":
                break
            assert last[1] in ("-1", "-3"), last  # a node may be one that there was no memory for
            failures += 1
        assert last[0] == "ok" and n < 99, command
    assert failures > 20, failures
    put(b, "b2", "127.0.0.1:8082")
    equal(sorted(b.nodes("get " + SERVICE)), ["a1", "b2"])
    a.quit()
    b.quit()


# ---- packets, as others read them ---------------------------------------------------------------


def question(name, kind=12, klass=1, number=0x1234):
    import struct
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">HHHHHH", number, 0, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, kind,
                                                                               klass)


def read(data):
    """A packet as python-zeroconf sees it: questions, and (name, type, ttl, what) of the answers."""
    from zeroconf import DNSAddress, DNSIncoming, DNSPointer, DNSService, DNSText
    packet = DNSIncoming(data)
    assert packet.valid, "zeroconf does not read it"
    records = []
    for r in packet.answers:
        if isinstance(r, DNSPointer):
            what = r.alias
        elif isinstance(r, DNSService):
            what = (r.priority, r.weight, r.port, r.server)
        elif isinstance(r, DNSAddress):
            what = socket.inet_ntop(socket.AF_INET if len(r.address) == 4 else socket.AF_INET6,
                                    r.address)
        else:
            assert isinstance(r, DNSText), r
            what = r.text
        records.append((r.name, r.type, r.ttl, what))
    return [(q.name, q.type) for q in packet.questions], records


def described(text):
    """What a TXT record's content says."""
    import json
    import zlib
    digits = b""
    while text:
        digits += text[1:1 + text[0]]
        assert text[0] == 255 or len(text) == 1 + text[0]
        text = text[1 + text[0]:]
    assert digits == digits.lower()
    return json.loads(zlib.decompress(bytes.fromhex(digits.decode())))


@case
def read_by_zeroconf():
    """Answers and announcements, as an independent reader sees them."""
    loopback_host()
    host = socket.gethostname() + "."
    sniffer = Sniffer()
    a = Driver(DRIVER)
    a.ok("big %s 1.0.0 a1 127.0.0.1:8080 12" % SERVICE)
    for domain in ("local.", "micro."):
        node = "a1.%s.%s" % (SERVICE, domain)
        data, = ask(question(SERVICE + "." + domain[:-1]))
        equal(data[:4], b"\x12\x34\x84\x00")
        questions, records = read(data)
        equal(questions, [(SERVICE + "." + domain, 12)])
        equal([r[:3] for r in records],
              [(SERVICE + "." + domain, 12, 120), (node, 33, 120), (host, 1, 120),
               (node, 16, 120)])
        equal([r[3] for r in records[:3]], [node, (10, 1, 8080, host), "127.0.0.1"])
        text = described(records[3][3])
        equal(list(text), ["Service", "Version", "Endpoints", "Metadata"])
        equal((text["Service"], text["Version"], len(text["Endpoints"])), (SERVICE, "1.0.0", 12))
        data, = ask(question("_services." + domain[:-1]))
        entry = "%s._services.%s" % (SERVICE, domain)
        equal(read(data)[1], [("_services." + domain, 12, 120, entry),
                              (entry, 33, 120, (10, 1, 9999, host)), (host, 1, 120, "0.0.0.0"),
                              (entry, 16, 120, b"")])
    equal(ask(question(SERVICE + ".example"), seconds=0.2), [])
    sniffer.wait(12 + 5)  # ours and the questions
    a.ok("del %s a1" % SERVICE)
    packets = [p for p in sniffer.wait(14 + 5) if p[1][1] == 5353]
    probes = [p for p, _ in packets if p[2] & 0x80 == 0]
    shown = [read(p) for p, _ in packets if p[2] & 0x80]
    equal(len(probes), 6)
    for p in probes:
        questions, _ = read(p)
        assert questions[0][0] in ("a1.%s.local." % SERVICE, "a1.%s.micro." % SERVICE), questions
        equal(p[6:10], b"\0\0\0\2")
    equal([[(r[1], r[2]) for r in records] for _, records in shown],
          [[(33, 120), (1, 120), (16, 120)]] * 6 + [[(33, 0), (1, 0), (16, 0)]] * 2)
    equal([questions for questions, _ in shown], [[]] * 8)
    a.quit()


@case
def multicast_questions():
    """Asked from 5353, we answer to all, and without a question."""
    loopback_host()
    sniffer = Sniffer()
    a = Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    sniffer.wait(12)
    time.sleep(1.1)
    before = len(sniffer.packets)
    member = socket.inet_aton(hosts.GROUP4) + socket.inet_aton("127.0.0.1")
    sniffer.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member[4:])
    sniffer.socket.sendto(question(SERVICE + ".local"), (hosts.GROUP4, 5353))
    packets = [p for p, _ in sniffer.wait(before + 2)[before:] if p[2] & 0x80]
    equal(len(packets), 1)
    equal(packets[0][:4], b"\0\0\x84\0")
    questions, records = read(packets[0])
    equal((questions, len(records)), ([], 4))
    a.quit()


@case
def questions_leave_from_our_own_port():
    """In both domains, and never from 5353: answers to that may reach another process."""
    loopback_host()
    sniffer = Sniffer()
    a = Driver(DRIVER)
    a.fails("get " + SERVICE, -3)
    asked = [(read(p)[0], port) for p, (_, port) in sniffer.wait(4)]
    equal({q[0][0] for q, _ in asked}, {SERVICE + ".local.", SERVICE + ".micro."})
    assert all(len(q) == 1 and q[0][1] == 12 and port != 5353 for q, port in asked), asked
    a.quit()


@case
def hostile_packets():
    """Rubbish at both kinds of ports does no harm."""
    import glob
    import random
    loopback_host()
    a = Driver(DRIVER)
    put(a, "a1", "127.0.0.1:8080")
    a.ok("watch *")
    dice = random.Random(7)
    seeds = [bytes.fromhex(open(f).read().strip())
             for f in sorted(glob.glob(os.path.join(ROOT, "tests/golden/mdns/*.hex")))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for _ in range(3000):
            data = bytearray(dice.choice(seeds))
            for _ in range(dice.randrange(1, 8)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            s.sendto(data[:dice.randrange(1, len(data) + 1)], (hosts.GROUP4, 5353))
        for size in (0, 1, 11, 12, 9000, 65000):
            s.sendto(bytes(size), (hosts.GROUP4, 5353))
    equal(a.nodes("get " + SERVICE)["a1"], "127.0.0.1:8080")
    a.quit()


@case
def beside_avahi():
    """avahi-daemon on the same port: both are found, neither disturbs the other."""
    loopback_host()
    folder = tempfile.mkdtemp()
    conf, log = os.path.join(folder, "avahi.conf"), open(os.path.join(folder, "log"), "w+b")
    with open(conf, "w") as f:
        f.write("[server]\nhost-name=neighbour\nuse-ipv4=yes\nuse-ipv6=no\nenable-dbus=no\n"
                "allow-interfaces=lo\ndisallow-other-stacks=no\n[publish]\nadd-service-cookie=no\n"
                "publish-workstation=no\n[rlimits]\n")
    avahi = subprocess.Popen(["avahi-daemon", "-f", conf, "--no-chroot", "--no-drop-root",
                              "--no-rlimits"], stdout=log, stderr=log)
    try:
        a, b = Driver(DRIVER), Driver(DRIVER)
        b.ok("watch *")
        put(a, "a1", "127.0.0.1:8080")
        b.event("create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
        for _ in range(40):  # avahi needs a moment to claim its name
            answers = ask(question("neighbour.local", 1), seconds=0.5)
            if answers:
                break
        equal([r[3] for r in read(answers[0])[1]][:1], ["10.77.0.1"])
        equal(b.nodes("get " + SERVICE), {"a1": "127.0.0.1:8080"})
        equal(b.ok("list"), [["service", SERVICE]])
        a.quit()
        b.event("delete %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
        b.quit()
    finally:
        avahi.terminate()
        avahi.wait()
    log.seek(0)
    text = log.read().decode()
    assert "conflict" not in text.lower() and "Invalid" not in text, text


@case
def hashicorp_twin():
    """A Go program on hashicorp/mdns and miekg/dns is found by us and finds us."""
    loopback_host()
    twin = subprocess.Popen([TWIN, "serve", SERVICE, "2.0.0", "t1", "127.0.0.1", "9090"],
                            stdout=subprocess.PIPE, text=True)
    equal(twin.stdout.readline().strip(), "ready")
    a = Driver(DRIVER)
    a.ok("watch " + SERVICE)
    a.event("create %s 2.0.0 t1 127.0.0.1:9090" % SERVICE)
    put(a, "a1", "127.0.0.1:8080", more="zone=eu")
    a.event("create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
    equal(a.nodes("get " + SERVICE), {"a1": "127.0.0.1:8080", "t1": "127.0.0.1:9090"})
    for domain in ("local", "micro"):
        found = subprocess.run([TWIN, "query", SERVICE, domain], stdout=subprocess.PIPE, text=True,
                               check=True).stdout
        assert "a1 127.0.0.1:8080 1.0.0 zone=eu\n" in found, found
    packets = subprocess.run([TWIN, "listen", "1", SERVICE], stdout=subprocess.PIPE, text=True,
                             check=True, timeout=10)  # reads an announcement with miekg/dns
    assert packets.stdout.startswith("response 3 answers"), packets.stdout
    twin.send_signal(signal.SIGTERM)
    twin.wait()
    a.quit()


# ---- hosts --------------------------------------------------------------------------------------


def pair(**how):
    a, b = Host("a"), Host("b")
    cable(a, b, **how)
    return a, b


@case
def two_hosts():
    """Join, leave, goodbye over a cable; two services a host."""
    ha, hb = pair()
    a, a2, b = Driver(DRIVER, ha), Driver(DRIVER, ha), Driver(DRIVER, hb)
    b.ok("watch *")
    put(a, "a1", "10.78.0.1:8080")
    b.event("create %s 1.0.0 a1 10.78.0.1:8080" % SERVICE)
    put(a2, "a2", "10.78.0.1:8081")
    b.event("create %s 1.0.0 a2 10.78.0.1:8081" % SERVICE)
    a2.ok("put other 1 o1 10.78.0.1:8082 0")
    b.event("create other 1 o1 10.78.0.1:8082")
    equal(b.nodes("get " + SERVICE), {"a1": "10.78.0.1:8080", "a2": "10.78.0.1:8081"})
    equal(b.ok("list"), [["service", SERVICE], ["service", "other"]])
    equal(a.nodes("get other"), {"o1": "10.78.0.1:8082"})
    put(b, "b1", "10.78.0.2:8080")
    b.event("create %s 1.0.0 b1 10.78.0.2:8080" % SERVICE)
    equal(sorted(a.nodes("get " + SERVICE)), ["a1", "a2", "b1"])
    a.quit()
    b.event("delete %s 1.0.0 a1 10.78.0.1:8080" % SERVICE)
    a2.ok("del other o1")
    b.event("delete other 1 o1 10.78.0.1:8082")
    b.no_event(0.3)
    a2.quit()
    b.quit()


@case
def ipv6_only():
    """No IPv4 address on the cable: everything goes by ff02::fb."""
    ha, hb = pair(ipv4=False)
    for number, host in enumerate((ha, hb), 1):
        host.run("ip addr add fd00:78::%d/64 dev eth0 nodad" % number)
    time.sleep(0.2)
    a, b = Driver(DRIVER, ha), Driver(DRIVER, hb)
    put(a, "a1", "[fd00:78::1]:8080")
    equal(b.nodes("first " + SERVICE), {"a1": "[fd00:78::1]:8080"})
    b.ok("watch " + SERVICE)
    a.ok("big %s 2 a2 [fd00:78::1]:8081 12" % SERVICE)
    b.event("create %s 2 a2 [fd00:78::1]:8081" % SERVICE)
    a.quit()
    b.event_set(["delete %s 1.0.0 a1 [fd00:78::1]:8080" % SERVICE,
                 "delete %s 2 a2 [fd00:78::1]:8081" % SERVICE])
    b.quit()


@case
def both_families_one_node():
    """What comes by IPv4 and IPv6 in two domains is one node, told once."""
    ha, hb = pair()
    for number, host in enumerate((ha, hb), 1):
        host.run("ip addr add fd00:78::%d/64 dev eth0 nodad" % number)
    a, b = Driver(DRIVER, ha), Driver(DRIVER, hb)
    b.ok("watch " + SERVICE)
    put(a, "a1", "10.78.0.1:8080")
    b.event("create %s 1.0.0 a1 10.78.0.1:8080" % SERVICE)
    b.no_event(4.5)  # probes and three announcements
    equal(b.nodes("get " + SERVICE), {"a1": "10.78.0.1:8080"})
    a.quit()
    b.event("delete %s 1.0.0 a1 10.78.0.1:8080" % SERVICE)
    b.quit()


@case
def large_nodes():
    """A description is reduced until it fits; what still does not goes in fragments."""
    ha, hb = pair()
    a, b = Driver(DRIVER, ha), Driver(DRIVER, hb)
    for n, endpoints in enumerate((10, 60, 150)):
        a.ok("big %s %d a%d 10.78.0.1:%d %d" % (SERVICE, n, n, 8000 + n, endpoints))
    found = {line[3]: line[5] for line in b.ok("get " + SERVICE)}
    equal(found, {"a0": "endpoints=10", "a1": "endpoints=60", "a2": "endpoints=150"})
    a.fails("big %s 1.0.0 a9 10.78.0.1:9000 2000" % SERVICE, -12, "8192")
    a.quit()
    b.quit()


@case
def packet_loss():
    """A fifth of all datagrams is lost: look-ups find all the same, and watchers see who comes."""
    ha, hb = Host("a"), Host("b")
    Switch(ha, hb, lossy(0.2))
    a, b = Driver(DRIVER, ha), Driver(DRIVER, hb)
    b.ok("watch watched")
    for i in range(10):
        a.ok("put watched 1 w%d 10.78.0.1:%d 0" % (i, 7000 + i))
        a.ok("put looked%d 1 n%d 10.78.0.1:%d 0" % (i, i, 8000 + i))
    for i in range(10):
        equal(b.nodes("first looked%d" % i), {"n%d" % i: "10.78.0.1:%d" % (8000 + i)})
    b.event_set(["create watched 1 w%d 10.78.0.1:%d" % (i, 7000 + i) for i in range(10)])
    a.quit()
    b.quit()


@case
def lost_question():
    """The first question is lost whole: it is asked again within the window."""
    ha, hb = Host("a"), Host("b")
    dropping = [False]
    asked = []

    def drop(frame):
        if not dropping[0] or b"\x05local\0" not in frame and b"\x05micro\0" not in frame:
            return False
        asked.append(frame)
        return len(asked) <= 4  # two domains, two families

    Switch(ha, hb, drop)
    a, b = Driver(DRIVER, ha), Driver(DRIVER, hb)
    put(a, "a1", "10.78.0.1:8080")
    a.ok("sleep 4500")
    dropping[0] = True
    equal(b.nodes("first " + SERVICE), {"a1": "10.78.0.1:8080"})
    assert len(asked) > 4, len(asked)
    a.quit()
    b.quit()


@case
def cable_plugged_later():
    """An interface that comes up later is found, and what is there is announced on it."""
    ha, hb = Host("a"), Host("b")
    a, b = Driver(DRIVER, ha), Driver(DRIVER, hb)
    put(a, "a1", "127.0.0.1:8080")
    b.ok("watch " + SERVICE)
    b.no_event(0.3)
    cable(ha, hb)
    b.event("create %s 1.0.0 a1 127.0.0.1:8080" % SERVICE, seconds=25)
    a.quit()
    b.event("delete %s 1.0.0 a1 127.0.0.1:8080" % SERVICE)
    b.quit()


# ---- running them -------------------------------------------------------------------------------


def compile_driver(folder):
    """The driver with micro.c, or with what the build has made of it (with the same sanitizers)."""
    out = os.path.join(folder, "mdns_driver")
    library = os.path.join(os.environ.get("MICRO_BUILD", ""), "micro.o")
    if not os.path.exists(library):
        library = os.path.join(ROOT, "micro.c")
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-g", "-O1",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I" + ROOT, "-o", out,
         os.path.join(ROOT, "tests", "mdns_driver.c"), library, "-lpthread"],
        check=True)
    return out


def compile_twin(folder):
    out = os.path.join(folder, "mdns_twin")
    subprocess.run(["go", "build", "-o", out, "."], check=True,
                   cwd=os.path.join(ROOT, "tests", "twins", "mdns"))
    return out


def main():
    wanted = sys.argv[1:] or cases.CASES
    with tempfile.TemporaryDirectory() as folder:
        if not DRIVER:
            os.environ["MDNS_DRIVER"] = compile_driver(folder)
        if not TWIN and "hashicorp_twin" in wanted:
            os.environ["MDNS_TWIN"] = compile_twin(folder)
        return cases.main(60)


if __name__ == "__main__":
    sys.exit(main())
