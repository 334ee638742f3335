# SPDX-License-Identifier: MIT
"""Rows of parsing, encoding (22 to 26) and picking a node (32): nanoseconds to nanoseconds of a
library in the same process and round."""

import json
import statistics

from report import ratios
from rows_cpu import requests

ROWS = [  # row, quantity, ours, theirs, M, S
    ("22", "HTTP request head, 313 B, parsed and looked at, to memmem for its end", "head",
     "memmem", 2.2, 1.8),
    ("23", "JSON-RPC request read, to cJSON", "rpc read", "cJSON rpc read", .25, .18),
    ("23", "JSON-RPC reply written, to cJSON", "rpc write", "cJSON rpc write", .07, .021),
    ("24", "JSON of 195 B, nested, read, to cJSON", "json person read", "cJSON person read", .23,
     .10),
    ("25", "protobuf, small, encoded, to protobuf-c", "small write", "protobuf-c small write", 1.0,
     .42),
    ("25", "protobuf, small, decoded, to protobuf-c", "small read", "protobuf-c small read", .56,
     .14),
    ("26", "protobuf of 98 B, nested, encoded, to protobuf-c", "person write",
     "protobuf-c person write", 1.0, .6),
    ("26", "protobuf of 98 B, nested, decoded, to protobuf-c", "person read",
     "protobuf-c person read", 1.0, .5),
    ("32", "pick of 3 nodes, to an atomic add and subtract", "pick of 3", "atomics", 5, 1.7),
    ("32", "pick of 100 nodes, to an atomic add and subtract", "pick of 100", "atomics", 5, 1.7),
]


def run(b):
    p = b.programs
    ns = {}
    for line in p.run([p.path("inner"), str(b.rounds(101)), requests(b)[0]]).splitlines():
        d = json.loads(line)
        ns[d["name"]] = d["ns"]
        b.report.record("inner", d)
    for row, text, ours, theirs, must, stretch in ROWS:
        if theirs not in ns:
            b.report.remark("Row %s: %s is absent." % (row, theirs.split()[0]))
            continue
        b.report.add(row, text, ratios(ns[ours], ns[theirs]), must, stretch, "x",
                     "%.1f to %.1f ns" % (statistics.median(ns[ours]),
                                          statistics.median(ns[theirs])))
