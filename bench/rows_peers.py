# SPDX-License-Identifier: MIT
"""Servers of others, each paired with the floor and ours: rows 3 to 5 follow from these and row 1.
Under our load, or under their own client where they speak no HTTP."""

import os
import statistics

import proc
from rows_cpu import requests

# Measured when the targets were set, on another day: server CPU per JSON call at 64 connections, to
# the floor. go-micro of the 1.x era, mongoose 7.22.
RECORDED = {"go-micro": 34.0, "mongoose": 1.65}


class Peer:
    """commands: what to start, the first one listens. load: argv of its own client, or None. needs:
    programs that must be there."""

    def __init__(self, name, what, needs, commands, load=None, get=False):
        self.name, self.what, self.needs = name, what, needs
        self.commands, self.load, self.get = commands, load, get


PEERS = [
    Peer("nginx", "constant reply", ["nginx"], [["nginx", "-c", "CONF", "-e", "/dev/null"]]),
    Peer("h2o", "static file by GET", ["h2o"], [["h2o", "-c", "CONF"]], get=True),
    Peer("libmicrohttpd", "with cJSON", ["mhd"], [["mhd", "PORT"]]),
    Peer("civetweb", "with cJSON", ["civet"], [["civet", "PORT", "100"]]),
    Peer("Go net/http", "with encoding/json", ["gohttp"], [["gohttp", "PORT"]]),
    Peer("nng", "req/rep, no encoding", ["nng"], [["nng", "server", "PORT", "200"]],
         ["nng", "client", "PORT", "64", "64"]),
    Peer("NATS", "its server and a responder, no encoding", ["nats-server", "nats"],
         [["nats-server", "-a", "127.0.0.1", "-p", "PORT"], ["nats", "responder", "PORT"]],
         ["nats", "client", "PORT", "64"]),
    Peer("gRPC C++", "one channel", ["grpc_server", "grpc_client"], [["grpc_server", "PORT"]],
         ["grpc_client", "PORT", "1", "64"]),
    Peer("gRPC C++", "a channel a caller", ["grpc_server", "grpc_client"],
         [["grpc_server", "PORT"]], ["grpc_client", "PORT", "64", "64"]),
]


def fill(b, peer, port, argv):
    """A command with its program's path, port and configuration."""
    conf = os.path.join(b.programs.dir, peer.name + ".conf")
    if "CONF" in argv:
        with open(b.source("peers", peer.name + ".conf"), encoding="utf-8") as f:
            text = f.read().replace("@PORT@", str(port)).replace("@DIR@", b.programs.dir)
        b.programs.file(conf, text.encode())
    words = {"PORT": str(port), "CONF": conf}
    return [b.programs.path(argv[0])] + [words.get(word, word) for word in argv[1:]]


def load_peer(b, peer, server):
    p = b.programs
    if not peer.load:
        request = b"GET /r.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        file = p.file("get.http", request) if peer.get else requests(b)[0]
        return load_http(b, server, file)
    argv = fill(b, peer, server.port, peer.load)
    argv += [str(b.short(.5)), ",".join(map(str, server.pids))]
    return proc.result(p.start(argv))


def load_http(b, server, file):
    return b.programs.load(server, file, "-c", 64, "-u", b.short(.1), "-d", b.short(.5))


def measure(b, peer):
    p = b.programs
    json_file, _, json_len, _ = requests(b)
    to_floor, to_ours = [], []
    for r in range(b.rounds(5)):
        port = proc.free_port()
        commands = [fill(b, peer, port, c) for c in peer.commands]
        with p.floor("-b", str(json_len)) as floor, p.ours("--loops=1") as ours, \
                p.serve(peer.name.split()[0], *commands, port=port) as server:
            d = load_peer(b, peer, server)
            f, o = load_http(b, floor, json_file), load_http(b, ours, json_file)
            b.report.record("%s, %s" % (peer.name, peer.what), dict(d, round=r))
            to_floor.append(d["server_us"] / f["server_us"])
            to_ours.append(o["server_us"] / d["server_us"])
    b.report.add("peer", "%s, %s: server CPU per call, 64 callers, to the floor" % (
        peer.name, peer.what), to_floor, unit="x",
        note="ours to it %.2fx" % statistics.median(to_ours))


def run(b):
    p = b.programs
    os.makedirs(os.path.join(p.dir, "www"), exist_ok=True)
    p.file("www/r.json", proc.REPLY.encode())
    for peer in PEERS:
        if all(p.path(program) for program in peer.needs):
            measure(b, peer)
        else:
            b.report.remark("%s (%s) is absent." % (peer.name, peer.what))
    real = go_micro(b)
    ours = [f.value for f in b.report.figures if f.row == "1"]
    for name, ratio in RECORDED.items():
        if ours and not (real and name == "go-micro"):
            b.report.add("peer", "%s: server CPU per call, 64 callers, to the floor" % name,
                         [ratio], unit="x",
                         note="recorded, not measured in this run; ours to it %.3fx" %
                         (ours[0] / ratio))


def go_micro(b):
    """Real go-micro servers, PEERS=DIR as in docs/interop.md; in a namespace: they multicast."""
    folders = sorted(f for f in os.listdir(b.peers) if os.access(
        os.path.join(b.peers, f, "srv"), os.X_OK)) if b.peers else []
    for version in folders:
        values = [float(line) for line in b.in_namespace(
            "peer", os.path.join(b.peers, version, "srv"), str(b.short(1)),
            str(b.rounds(5))).split()]
        b.report.add("peer", "go-micro %s: server CPU per call, 64 callers, to the floor" % version,
                     values, unit="x")
    return bool(folders)
