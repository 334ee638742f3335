# SPDX-License-Identifier: MIT
"""Tests of micro describe and micro watch; tests/cli.py runs them."""

import json
import re
import signal
import subprocess

from cli_tools import definition, golden, odd
from programs import (check, environment, equal, expect, GREETER, MICRO, registered, run, Running,
                      SECONDS, TESTSERVER, until)


def test_describe():
    service = "go.micro.srv.greeter"
    with Running(GREETER, "--server_id=ref1", "--server_address=127.0.0.1:9700"):
        until("the greeter is listed", lambda: run("list", "services")[1] == service + "\n")
        expect(["describe", service], 0, re.compile(
            r"service  go\.micro\.srv\.greeter\n\nversion 1\.0\.0\n\n"
            r"node\t\taddress:port\t\tstatus\tuptime\tmemory\tthreads\tmetadata\n"
            r"\S+-ref1\t\t127\.0\.0\.1:9700\t\tok\t\d+s\t\d+\.\d\dmb\t[1-9]\d*\tbroker=http,\S+\n"
            r"\nnode\t\tendpoint\t\trequests\terrors\trunning\tp50\tp90\tp99\n"
            r"\S+-ref1\t\tSay\.Hello\t\t0\t0\t0\t0s\t0s\t0s\n"
            r"\nEndpoint: Say\.Hello\nMetadata: stream=false\n\nRequest: \{\n\tname string\n\}\n\n"
            r"Response: \{\n\tmsg string\n\}\n\n"))


def test_describe_what_go_micro_tells():
    """Of nodes that do not describe themselves: every version, with the types of the registry."""
    one = json.loads(golden("get-service-1.0.0.json"))
    two = json.loads(golden("get-service-2.0.0.json"))
    refused = r"\{\"id\":\"go\.micro\.client\",[^\n]*refused[^\n]*\}"
    with odd(9601), registered(json.dumps(two), json.dumps(one)):
        code, out, err = run("describe", one["name"])
        equal((code, err), (1, ""))
        blocks = out.split("\nversion ")
        equal([block.split("\n", 1)[0] for block in blocks], ["service  " + one["name"], "1.0.0",
                                                              "2.0.0"])
        check("\t\t127.0.0.1:9601\t\tok\t4m4s\t2.83mb\t12\t" in blocks[1], blocks[1])
        check(re.search(r"\t\t127\.0\.0\.1:9602\t\t%s\t\t\t\t" % refused, blocks[2]), blocks[2])
        for block, definition_of in ((blocks[1], one), (blocks[2], two)):
            for endpoint in definition_of["endpoints"] or []:
                check("\nEndpoint: %s\n" % endpoint["name"] in block, endpoint["name"])
        check("\tname string\n" in blocks[1], blocks[1])


def test_describe_has_types_that_the_registry_cuts_off():
    with Running(TESTSERVER, "--server_address=127.0.0.1:9700"):
        until("it is listed", lambda: "greeter" in run("list", "services")[1])
        service = "go.micro.srv.greeter"
        cut, whole = run("get", "service", service)[1], run("describe", service)[1]
    for lost in ("\tcount_map map[string]int64\n",
                 "\tpart_list []Part {\n\t\tpart Part {\n\t\t\tpart_name string\n"):
        check(lost not in cut, cut)
        check(lost in whole, whole)


def test_watch():
    """Comes and goes; tests/netns has what changes and what is killed."""
    foo, bar = definition("foo", 9998), definition("bar", 9999)
    with Running(MICRO, "watch", end=signal.SIGINT) as all_, \
            Running(MICRO, "watch", "--json", "foo") as only:
        with registered(foo):
            equal(all_.line(), "create\tfoo\t1.2.3\tfoo-9998\t127.0.0.1:9998\n")
            equal(json.loads(only.line()), {"action": "create", "service": {
                "name": "foo", "version": "1.2.3", "metadata": None, "endpoints": None, "nodes": [{
                    "id": "foo-9998", "address": "127.0.0.1", "port": 9998, "metadata": None}]}})
            with registered(bar):
                equal(all_.line(), "create\tbar\t1.2.3\tbar-9999\t127.0.0.1:9999\n")
            equal(all_.line(), "delete\tbar\t1.2.3\tbar-9999\t127.0.0.1:9999\n")
            expect(["watch", "--timeout=2s"], 0, "create\tfoo\t1.2.3\tfoo-9998\t127.0.0.1:9998\n")
        equal(all_.line(), "delete\tfoo\t1.2.3\tfoo-9998\t127.0.0.1:9998\n")
        equal(json.loads(only.line())["action"], "delete")
    expect(["--registry=memory", "watch", "--timeout=50ms"], 0)
    with registered(foo), open("/dev/full", "w", encoding="utf-8") as full:
        ran = subprocess.run([MICRO, "watch"], stdout=full, stderr=subprocess.PIPE, check=False,
                             timeout=SECONDS, env=environment(None))
        equal((ran.returncode, ran.stderr), (1, b"cannot write the output\n"))
