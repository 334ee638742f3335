#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a Prometheus server gets from GET /metrics: read by Prometheus' own client, held against the
rules of the text format, and against the calls that were made. $MICRO_BUILD holds the programs."""

import functools
import http.client
import re
import sys

from prometheus_client.parser import text_string_to_metric_families

from programs import check, equal, run, run_tests, serving, TESTSERVER

ADDRESS = "127.0.0.1:9720"
CALLS = (("Say.Hello", "ok", 40), ("Test.Fail", "client_error", 7), ("Test.Plain", "other_error", 3))
LINE = re.compile(r'([a-z_]+)(\{([a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (\d+(\.\d+)?)')


def scrape():
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    connection.request("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4;q=0.5"})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    equal((reply.status, reply.getheader("Content-Type")),
          (200, "text/plain; version=0.0.4; charset=utf-8"))
    return text


def call(method):
    return run("call", "--address", ADDRESS, "x", method, "{}")


def test_format(text):
    """Each family is one block behind its HELP and TYPE; no series twice; a line end at the end."""
    check(text.endswith("\n") and "\n\n" not in text, "line ends")
    family, families, series = None, [], []
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            family = words[2]
            check(family not in families, "two blocks of " + family)
            families.append(family)
        elif words[:2] == ["#", "TYPE"]:
            equal(words[2], family)
            check(words[3] in ("counter", "gauge", "histogram"), line)
        else:
            match = LINE.fullmatch(line)
            check(match, "not a sample: " + line)
            stem = re.sub("_(bucket|sum|count)$", "", match.group(1))
            check(family in (match.group(1), stem), "%s among %s" % (line, family))
            series.append(line.rsplit(" ", 1)[0])
    equal(len(series), len(set(series)))


def test_counts(text):
    """The calls that were made, and no others."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if family.type == "counter" and "endpoint" in sample.labels:
                found[sample.labels["endpoint"], sample.labels["outcome"]] = sample.value
            if sample.name == "micro_requests_rejected_total":
                equal(sample.value, 1)
            if sample.name == "micro_requests_running":
                equal(sample.value, 0)
    equal({k: v for k, v in found.items() if v}, {(m, o): n for m, o, n in CALLS})


def test_histograms(text):
    """Buckets grow, the last holds all, and the times add up."""
    kinds = {f.name: f for f in text_string_to_metric_families(text)}
    histogram = kinds["micro_request_duration_seconds"]
    equal(histogram.type, "histogram")
    for method, _, calls in CALLS:
        mine = [s for s in histogram.samples if s.labels["endpoint"] == method]
        buckets = [(float(s.labels["le"]), s.value) for s in mine if s.name.endswith("_bucket")]
        equal(buckets, sorted(buckets))
        equal(sorted(n for _, n in buckets), [n for _, n in buckets])
        equal(buckets[-1], (float("inf"), calls))
        total = {s.name.rsplit("_", 1)[1]: s.value for s in mine}
        equal(total["count"], calls)
        low = sum((n - before) * (bound if before else 0) for (bound, before), (_, n)
                  in zip(buckets, buckets[1:]) if bound < float("inf"))
        check(low <= total["sum"] < 60, "a sum of %r" % total["sum"])
    info = kinds["micro_service_info"].samples[0]
    equal((info.value, info.labels["version"]), (1, "1.2.3"))


def main():
    with serving(TESTSERVER, ADDRESS, "--metrics", "--server_version=1.2.3"):
        for method, _, count in CALLS:
            for _ in range(count):
                call(method)
        call("Say.Nope")
        text = scrape()
    return run_tests({name: functools.partial(fn, text) for name, fn in globals().items()
                      if name.startswith("test_")})


if __name__ == "__main__":
    sys.exit(main())
