#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The micro command: every command, every usage error, every exit code, in a network namespace of
its own. What golden/cli holds, and the texts that are written out here, are as recorded from the
original, with metadata sorted. $MICRO_BUILD holds the programs.

    tests/cli.py [WORD...]    only the tests whose name holds one of the words
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cli_describe
import cli_events
import cli_stream
from cli_tools import definition, golden, Odd, odd, on_terminal, STARTED, words_of
from programs import (check, enter_network, environment, equal, expect, GREETER, MICRO, registered,
                      ROOT, run, run_for, run_tests, Running, SECONDS, serving, Skip, until)

HINT = "\n\nRun 'micro --help' for usage.\n"
COMMANDS = ["registry", "query, call", "stream", "publish", "subscribe", "health", "stats", "describe",
            "watch", "list", "register", "deregister", "get", "completion", "version", "help, h"]


# ---- help --------------------------------------------------------------------------------------


def test_help_of_all():
    code, out, err = run()
    equal((code, err), (0, ""))
    for args in (["--help"], ["-h"], ["help"], ["h"], ["--registry=nope", "help"]):
        equal(run(*args), (0, out, ""), " ".join(args))
    version = run("version")[1].split()[2]
    start = ("NAME:\n   micro - A microservices toolkit\n\nUSAGE:\n   micro [global options] "
             "command [command options] [arguments...]\n\nVERSION:\n   %s\n\nCOMMANDS:\n" % version)
    equal(out[:len(start)], start)
    listed, options = out[len(start):].split("\nGLOBAL OPTIONS:\n")
    names = [re.match(r"     ((?:\w+, )?\w+) +\S", line) for line in listed.splitlines()]
    equal([name.group(1) if name else None for name in names], COMMANDS)
    columns = {re.match(r" +(\w+, )?\w+ +", line).end() for line in listed.splitlines()}
    equal(len(columns), 1, "commands are aligned")
    flags = [re.match(r"   --(\w+)(?:, -\w)?(?: value)? +(\S.*)$", line)
             for line in options.splitlines()]
    check(all(flags), options)
    equal(len({flag.start(2) for flag in flags}), 1, "flags are aligned")
    equal([flag.group(1) for flag in flags][-2:], ["help", "version"])
    check(re.search(r'\n   --registry value +\S.* \(default: "mdns"\) \[\$MICRO_REGISTRY\]\n',
                    options), options)


def test_help_of_commands():
    for path in ("registry", "registry list", "registry list services", "registry register service",
                 "registry deregister service", "registry get service", "query", "call",
                 "stream", "publish", "subscribe", "health", "stats", "describe", "watch", "list",
                 "list services", "register", "register service", "deregister",
                 "deregister service", "get", "get service", "completion", "version", "help", "h",
                 "man"):
        words = path.split()
        code, out, err = run(*words, "--help")
        equal((code, err), (0, ""), path)
        check(out.startswith("NAME:\n   micro %s - " % path), out)
        check("\nUSAGE:\n   micro %s " % path in out, out)
        check("\n   --help, -h" in out, out)
        equal(run(*words, "-h")[1], out, path)
        equal(run("help", *words)[1], out, path)


def test_flags_of_the_document():
    with open(os.path.join(ROOT, "docs", "cli.md"), encoding="utf-8") as f:
        named = re.findall(r"^\| `--(\w+)", f.read(), re.MULTILINE)
    commands = ("call", "watch", "publish", "subscribe")
    pages = [run("--help")[1]] + [run(name, "--help")[1] for name in commands]
    shown = [flag for page in pages
             for flag in re.findall(r"^   --(\w+)", page, re.MULTILINE)
             if flag not in ("help", "version")]
    equal(named, shown)


def test_help_of_a_group_as_recorded():
    expect(["list"], 0, golden("list-help.txt"))
    expect(["list", "--help"], 0, golden("list-help.txt"))


def test_version():
    with open(os.path.join(ROOT, "micro.h"), encoding="utf-8") as f:
        header = f.read()
    number = ".".join(re.search(r"MICRO_VERSION_%s (\d+)" % part, header).group(1)
                      for part in ("MAJOR", "MINOR", "PATCH"))
    for args in (["version"], ["--version"], ["-v"], ["-version", "bogus"]):
        expect(args, 0, "micro version %s\n" % number)


# ---- usage errors ------------------------------------------------------------------------------


def test_usage_of_global_flags():
    wrong = "Incorrect Usage. "
    for args, text in (
            (["--nope"], wrong + "flag provided but not defined: -nope"),
            (["-nope=1", "list"], wrong + "flag provided but not defined: -nope"),
            (["--json", "list", "services"], wrong + "flag provided but not defined: -json"),
            (["--registry"], wrong + "flag needs an argument: -registry"),
            (["--client_retries=x", "list"], wrong + 'invalid value "x" for flag -client_retries: '
             "not a whole number, or too large"),
            (["--client_request_timeout", "x", "list"],
             "failed to parse client_request_timeout: x"),
            (["--client_pool_ttl", "7", "version"], "failed to parse client_pool_ttl: 7"),
            (["--client", "grpc", "list"], "Client grpc not found; there is rpc, also called mucp"),
            (["--server", "grpc", "list"], "Server grpc not found; there is rpc, also called mucp"),
            (["--broker", "nats", "list", "services"], "Broker nats not found"),
            (["--registry_address=1.2.3.4", "list", "services"],
             "registry_address needs a registry: give --registry too"),
            (["--registry=mdns", "--registry_address=1.2.3.4", "list", "services"],
             "registry mdns has no address: leave out registry_address"),
            (["--registry=memory", "--registry_address=1.2.3.4", "list", "services"],
             "registry memory has no address: leave out registry_address"),
            (["--registry=consul", "list", "services"], "Registry consul not found"),
            (["--selector=best", "call", "a", "B.C"], "Selector best not found"),
            (["--transport=nats", "health", "a"], "Transport nats not found"),
            (["bogus"], 'unknown command "bogus"'), (["--", "bogus"], 'unknown command "bogus"')):
        expect(args, 2, "", text + HINT)


def test_usage_of_environment():
    for name, value, text in (
            ("CLIENT_RETRIES", "x", "could not parse x as int value for flag client_retries: "
             "not a whole number, or too large"),
            ("CLIENT_RETRIES", "", "could not parse  as int value for flag client_retries: "
             "not a whole number, or too large"),
            ("CLIENT_POOL_TTL", "1", "failed to parse client_pool_ttl: 1"),
            ("LOG_LEVEL", "loud", "could not parse loud as level value for flag log_level: none, "
             "error, warn, info, debug, or 0 to 4"),
            ("REGISTRY", "etcd", "Registry etcd not found"),
            ("REGISTRY_ADDRESS", "x", "registry_address needs a registry: give --registry too")):
        expect(["list", "services"], 2, "", text + HINT, env={"MICRO_" + name: value})
    expect(["--registry=memory", "list", "services"], 0, "\n", env={"MICRO_REGISTRY": "etcd"})
    expect(["list", "services"], 0, "\n", env={"MICRO_REGISTRY": "memory"})
    expect(["--help"], 0, run("--help")[1], env={"MICRO_CLIENT_RETRIES": "x"})


def test_usage_of_commands():
    undefined = "Incorrect Usage: flag provided but not defined: -"
    for args, text in (
            (["list", "nope"], "No help topic for 'nope'"),
            (["registry", "nope"], "No help topic for 'nope'"),
            (["registry", "get", "nope", "x"], "No help topic for 'nope'"),
            (["help", "nope"], "No help topic for 'nope'"),
            (["help", "list", "nope"], "No help topic for 'nope'"),
            (["help", "version", "x"], "No help topic for 'x'"),
            (["list", "--json"], undefined + "json"),
            (["list", "services", "-x"], undefined + "x"),
            (["call", "a", "B.C", "-1"], undefined + "1"),
            (["version", "-v"], undefined + "v"),
            (["get", "service"], "service requested"),
            (["registry", "get", "service"], "service requested"),
            (["health"], "require service name"), (["stats"], "require service name"),
            (["describe"], "require service name"), (["watch", "a", "b"], "one service at most"),
            (["watch", "--timeout", "1"], "Incorrect Usage: failed to parse timeout: 1"),
            (["query"], "require service and method"),
            (["call", "go.micro.srv.greeter"], "require service and method"),
            (["call", "--timeout", "1", "a", "B.C"], "Incorrect Usage: failed to parse timeout: 1"),
            (["call", "a", "B", "--timeout"], "Incorrect Usage: flag needs an argument: -timeout"),
            (["call", "--header", "=v", "a", "B.C"],
             'Incorrect Usage: invalid value "=v" for flag -header: a key is missing'),
            (["call", "--header", "a b=v", "a", "B.C"], 'invalid value "a b=v" for flag -header'),
            (["call", "--json=x", "a", "B.C"],
             'Incorrect Usage: invalid value "x" for flag -json: neither true nor false'),
            (["call", "--content_type", "text/x", "a", "B.C"], "Unsupported Content-Type: text/x"),
            (["call", "a", "B.C", "[1]"], "the request is not a JSON object"),
            (["call", "a", "B.C", "null"], "the request is not a JSON object"),
            (["publish"], "require topic and message"),
            (["publish", "a.topic"], "require topic and message"),
            (["publish", "a.topic", "{bad"],
             "invalid character 'b' looking for beginning of object key string"),
            (["publish", "--content_type", "text/x", "a.topic", "x"],
             "Unsupported Content-Type: text/x"),
            (["publish", "--header", "a b=v", "a.topic", "{}"],
             'invalid value "a b=v" for flag -header'),
            (["subscribe"], "require topic"), (["subscribe", ""], "require topic"),
            (["subscribe", "--queue"], "Incorrect Usage: flag needs an argument: -queue"),
            (["register", "service"], "require service definition"),
            (["deregister", "service"], "require service definition"),
            (["register", "service", "{bad"],
             "invalid character 'b' looking for beginning of object key string"),
            (["register", "service", '{"name":"x"}'], "Require at least one node"),
            (["deregister", "service", '{"name":"x","nodes":[]}'], "Require at least one node"),
            (["--registry=memory", "register", "service", "{}"],
             "registry memory ends with this command: nothing can be registered there"),
            (["completion"], "require a shell: bash or zsh"),
            (["completion", "fish"], "no completion for 'fish': bash or zsh")):
        expect(args, 2, "", text + "\n")
    for definition in ("7", '{"name":7}', '{"nodes":{}}', '{"nodes":[{"port":"x"}]}',
                       '{"name":"x","nodes":[{"id":"i","address":"nowhere:x"}]}',
                       '{"nodes":[{"id":"i","address":"127.0.0.1","port":1}]}',
                       '{"name":"x","nodes":[{"id":"","address":"127.0.0.1","port":1}]}'):
        expect(["register", "service", definition], 2, "", re.compile(r"\S.*\n"))


def test_bad_json_in_go_s_words():
    for text, why in (
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            ("{", "unexpected end of JSON input"), ('{"a"', "unexpected end of JSON input"),
            ('{"a":"', "unexpected end of JSON input"), (" ", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ('{"a":}', "invalid character '}' looking for beginning of value"),
            ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
            ('{"a" 1}', "invalid character '1' after object key"),
            ('{"a":1 2}', "invalid character '2' after object key:value pair"),
            ('{"a":[1 2]}', "invalid character '2' after array element"),
            ('{"a":[1,]}', "invalid character ']' looking for beginning of value"),
            ("{} {}", "invalid character '{' after top-level value"),
            ('{"a":01}', "invalid character '1' after object key:value pair"),
            ('{"a":-}', "invalid character '}' in numeric literal"),
            ('{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
            ('{"a":1e+}', "invalid character '}' in exponent of numeric literal"),
            ('{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
            ('{"a":nul', "unexpected end of JSON input"),
            ('{"a":"\\x"}', "invalid character 'x' in string escape code"),
            ('{"a":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"),
            ('{"a":"\n"}', "invalid character '\\n' in string literal"),
            ('{"a":"\001"}', "invalid character '\\x01' in string literal"),
            ("{'a'}", "invalid character '\\'' looking for beginning of object key string"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
            ('{"a":' + "[" * 200, "exceeded max depth")):
        expect(["call", "a", "B.C", text], 2, "", why + "\n")


# ---- calls -------------------------------------------------------------------------------------


def test_call_a_greeter():
    at = ["--address", "127.0.0.1:9700"]
    nobody = '{\n\t"msg": "Hello "\n}\n'
    john = '{\n\t"msg": "Hello John"\n}\n'
    service = "go.micro.srv.greeter"
    with serving(GREETER, "127.0.0.1:9700"):
        for name in ("query", "call"):
            expect([name, *at, service, "Say.Hello", '{"name": "John"}'], 0, john)
        expect(["call", service, "Say.Hello", *at, '{"name":', '"John"}'], 0, john)
        expect(["call", "-address=127.0.0.1:9700", service, "Say.Hello"], 0, nobody)
        expect(["call", *at, service, "Say.Hello", ""], 0, nobody)
        expect(["call", *at, "--json", service, "Say.Hello", '{"name":"é"}'], 0,
               '{"msg":"Hello é"}\n')
        expect(["call", *at, "--content_type=application/json-rpc", service, "Say.Hello",
                '{"name":"John"}'], 0, john)
        expect(["call", *at, "--content_type=application/protobuf", service, "Say.Hello",
                "\n\x04John"], 0, "\n\nHello John")
        for method, text in (("Test.Fail", "rpc: can't find service Test.Fail"),
                             ("Say.Nope", "rpc: can't find method Say.Nope")):
            expect(["query", *at, service, method, '{"name": "John"}'], 3, "",
                   "error calling %s.%s: %s\n\n" % (service, method, text))
        expect(["call", *at, service, "Debug.Health", "--", "{}"], 0, '{\n\t"status": "ok"\n}\n')


def test_call_passes_on_what_it_gets():
    at = ["--address=127.0.0.1:9603", "odd"]
    exact = ('{\n\t"z": 18446744073709551615,\n\t"a": 1.10e+5,\n\t"e": {},\n\t"l": [],\n\t"t": '
             '"\\u003cé\\/",\n\t"n": [\n\t\t1,\n\t\t{\n\t\t\t"x": null\n\t\t}\n\t]\n}\n')
    with odd(9603):
        expect(["call", *at, "Odd.Exact"], 0, exact)
        expect(["call", "--json", *at, "Odd.Exact"], 0,
               Odd.RESULTS["Odd.Exact"].replace(" ", "") + "\n")
        expect(["call", *at, "Odd.Word"], 0, '"text"\n')
        code, out, _ = run("call", *at, "Odd.Echo", '{"n":12345678901234567890.0, "b":1,', '"a":2}',
                           "--header", "X-Test=a=b,c", "--header=X-Test-Two=2")
        equal(code, 0)
        check('"n": 12345678901234567890.0,\n' in out, out)
        got = json.loads(out)
        equal(list(got["sent"]), ["n", "b", "a"])
        equal(got["headers"], {"X-Test": "a=b,c", "X-Test-Two": "2"})
        expect(["call", "--content_type=application/protobuf", *at, "Odd.Raw", "a\tb", " "], 0,
               "a\tb  ")
        expect(["call", "--content_type=application/octet-stream", *at, "Odd.Raw"], 0, "")


def test_call_fails():
    at = ["--address=127.0.0.1:9603", "odd"]
    head = "error calling odd.%s: "
    lost = r'\{"id":"go\.micro\.client[.\w]*","code":%d,"detail":"[^"]+","status":"[^"]+"\}'
    with odd(9603):
        expect(["call", *at, "Odd.Fail"], 1, "",
               head % "Odd.Fail" + Odd.ERRORS["Odd.Fail"] + "\n\n")
        expect(["call", "--json", *at, "Odd.Fail"], 1, "", Odd.ERRORS["Odd.Fail"] + "\n")
        expect(["call", *at, "Odd.Plain"], 1, "", head % "Odd.Plain" + "no ?[31mluck\n\n")
        expect(["call", "--json", *at, "Odd.Gone"], 3, "",
               '{"id":"","code":0,"detail":"rpc: can\'t find service Odd.Gone","status":""}\n')
        expect(["call", *at, "Odd.Json"], 3, "",
               re.compile(r"error calling odd\.Odd\.Json: \{.*\}\n\n"))
        expect(["call", *at, "Odd.Broken"], 1, "", re.compile(r"\S.*\n\n?"))
        expect(["call", "--timeout=300ms", *at, "Odd.Slow"], 4, "",
               re.compile(re.escape(head % "Odd.Slow") + lost % 408 + "\n\n"))
        expect(["--client_request_timeout", "300ms", "call", *at, "Odd.Slow"], 4, "",
               re.compile(re.escape(head % "Odd.Slow") + lost % 408 + "\n\n"))
        expect(["call", *at, "Odd.Lost"], 4, "",
               re.compile(re.escape(head % "Odd.Lost") + lost % 500 + "\n\n"))
    expect(["call", *at, "Odd.Fail"], 4, "",
           re.compile(re.escape(head % "Odd.Fail") + lost % 500 + "\n\n"))
    expect(["call", "--json", "--address=127.0.0.1:9603", "odd", "Odd.Fail"], 4, "",
           re.compile(lost % 500 + "\n"))
    expect(["--registry=memory", "call", "nope", "Say.Hello"], 3, "",
           re.compile(r'error calling nope\.Say\.Hello: \{"id":"go\.micro\.client",.*\}\n\n'))


def test_call_is_a_client_only():
    if not shutil.which("strace"):
        raise Skip("strace is not there")
    with serving(GREETER, "127.0.0.1:9700"):
        code, out, traced = run("-f", "-e", "trace=connect,listen,bind,clone,clone3", MICRO,
                                "--registry=memory", "call", "--address=127.0.0.1:9700", "x",
                                "Say.Hello", program="strace",
                                env={"ASAN_OPTIONS": "detect_leaks=0"})  # strace is a debugger too
    equal((code, out), (0, '{\n\t"msg": "Hello "\n}\n'))
    equal(re.findall(r"\b(connect|listen|bind|clone3?)\(", traced), ["connect"], traced)


# ---- registry ----------------------------------------------------------------------------------


def test_memory_registry_is_empty():
    expect(["--registry=memory", "list", "services"], 0, "\n")
    expect(["--registry=memory", "list", "services", "--json"], 0, "[]\n")
    expect(["--registry=memory", "get", "service", "nope"], 3, "", "Service not found\n")
    for command in ("health", "stats", "describe"):
        expect(["--registry=memory", command, "nope"], 3, "", "Service not found\n")


def test_unknown_services():
    for args in (["get", "service"], ["registry", "get", "service"], ["health"], ["stats"],
                 ["describe"]):
        expect([*args, "nope"], 3, "", "Service not found\n")
    expect(["call", "nope", "Say.Hello", "{}"], 3, "",
           re.compile(r'error calling nope\.Say\.Hello: \{"id":"go\.micro\.client",.*\}\n\n'))


def test_greeter_on_mdns():
    service = "go.micro.srv.greeter"
    listed = (0, service + "\n", "")
    with Running(GREETER, "--server_id=ref1", "--server_address=127.0.0.1:9700",
                 "--server_metadata=zone=eu"):
        until("the greeter is listed", lambda: run("list", "services") == listed)
        equal(run("registry", "list", "services"), listed)
        equal(run("--registry=mdns", "list", "services"), listed)
        expect(["call", service, "Say.Hello", '{"name":"J"}'], 0, '{\n\t"msg": "Hello J"\n}\n')
        expect(["get", "service", service], 0,
               "service  %s\n\nversion 1.0.0\n\nId\tAddress\tPort\tMetadata\n"
               "%s-ref1\t127.0.0.1\t9700\t"
               "broker=http,protocol=mucp,registry=mdns,server=mucp,transport=http,zone=eu\n\n"
               "Endpoint: Say.Hello\nMetadata: stream=false\n\nRequest: {\n\tname string\n}\n\n"
               "Response: {\n\tmsg string\n}\n\n" % (service, service))
        expect(["health", service], 0,
               "service  %s\n\nversion 1.0.0\n\nnode\t\taddress:port\t\tstatus\n"
               "%s-ref1\t\t127.0.0.1:9700\t\tok\n" % (service, service))
        expect(["stats", service], 0, re.compile(
            r"service  \S+\n\nversion 1\.0\.0\n\n"
            r"node\t\taddress:port\t\tstarted\tuptime\tmemory\tthreads\tgc\n"
            r"\S+-ref1\t\t127\.0\.0\.1:9700\t\t[A-Z][a-z]{2} [123]?\d \d\d:\d\d:\d\d\t\d+s\t"
            r"\d+\.\d\dmb\t[1-9]\d*\t0s\n\n"
            r"node\t\tendpoint\t\trequests\terrors\trunning\tp50\tp90\tp99\n"
            r"\S+-ref1\t\tSay\.Hello\t\t1\t0\t0(\t\d+(\.\d+)?(µs|ms|s)){3}\n"))
    until("the greeter is gone", lambda: run("list", "services") == (0, "\n", ""))


def test_get_as_recorded():
    with registered(golden("get-service-2.0.0.json"), golden("get-service-1.0.0.json")):
        expect(["get", "service", "go.micro.srv.greeter"], 0, golden("get-service.txt"))
        expect(["list", "services"], 0, "go.micro.srv.greeter\n")


def test_health_and_stats_as_recorded():
    """The definitions name the ports 9601 and 9602, where somebody else answers now."""
    rows = (("1.0.0", "ref1", 9601, "Nov 22 09:12:17\t4m4s\t2.83mb\t12\t0s"),
            ("2.0.0", "g2", 9602, "Nov 22 09:16:18\t3s\t1.48mb\t13\t0s"))
    health = stats = "service  go.micro.srv.greeter\n"
    for version, node, port, figures in rows:
        health += ("\nversion %s\n\nnode\t\taddress:port\t\tstatus\ngo.micro.srv.greeter-%s\t\t"
                   "127.0.0.1:%d\t\tok\n" % (version, node, port))
        stats += ("\nversion %s\n\nnode\t\taddress:port\t\tstarted\tuptime\tmemory\tthreads\tgc\n"
                  "go.micro.srv.greeter-%s\t\t127.0.0.1:%d\t\t%s\n"
                  % (version, node, port, figures))
    equal((len(health), len(stats)), (206, 318))
    with odd(9601), odd(9602), registered(golden("get-service-2.0.0.json"),
                                          golden("get-service-1.0.0.json")):
        expect(["health", "go.micro.srv.greeter"], 0, health)
        expect(["stats", "go.micro.srv.greeter"], 0, stats)


def test_nodes_that_are_not_healthy():
    refused = (r'\{"id":"go\.micro\.client","code":500,"detail":"[^"]*refused[^"]*",'
               r'"status":"Internal Server Error"\}')
    with odd(9602), odd(9603), registered(definition("sick", 9602, 9603, 9604)):
        expect(["health", "sick"], 1, re.compile(
            r"service  sick\n\nversion 1\.2\.3\n\nnode\t\taddress:port\t\tstatus\n"
            r"sick-9602\t\t127\.0\.0\.1:9602\t\tok\n"
            r"sick-9603\t\t127\.0\.0\.1:9603\t\trpc: can't find service Debug\.Health\n"
            r"sick-9604\t\t127\.0\.0\.1:9604\t\t%s\n" % refused))
        expect(["stats", "sick"], 1, re.compile(
            r"service  sick\n\nversion 1\.2\.3\n\n"
            r"node\t\taddress:port\t\tstarted\tuptime\tmemory\tthreads\tgc\n"
            r"sick-9602\t\t127\.0\.0\.1:9602\t\tNov 22 09:16:18\t3s\t1\.48mb\t13\t0s\n"
            r"sick-9603\t\t127\.0\.0\.1:9603\t\tJan 1 00:00:00\t1h2m3s\t0\.00mb\t1\t1\.234567ms\n"
            r"sick-9604\t\t127\.0\.0\.1:9604\t\t\t\t\t0\t\n"),
            re.compile("sick-9604: %s\n" % refused))


def test_register_until_interrupted():
    foo = definition("foo", 9999)
    service = Running(MICRO, "registry", "register", "service", *foo.split(), end=signal.SIGTERM,
                      errors="registered on mdns until this command is interrupted\n")
    with service:
        equal(service.line(), "ok\n")
        expect(["get", "service", "foo"], 0, "service  foo\n\nversion 1.2.3\n\n"
               "Id\tAddress\tPort\tMetadata\nfoo-9999\t127.0.0.1\t9999\t\n")
        expect(["deregister", "service", foo], 0, "ok\n",
               "on mdns only the process that registered a node takes it back\n")
        expect(["list", "services"], 0, "foo\n")
    expect(["get", "service", "foo"], 3, "", "Service not found\n")
    with Running(MICRO, "--register_ttl=2", "register", "service", definition("brief", 9999),
                 end=signal.SIGINT, errors=service.errors) as brief:
        equal(brief.line(), "ok\n")
        time.sleep(3)  # it has registered again, or it would be gone
        expect(["list", "services"], 0, "brief\n")


def test_names_that_would_steer_a_terminal():
    nasty = definition("nasty", 9999, endpoints=[{
        "name": "A.B\x9b31m\x1b[0m", "request": {"name": "R", "type": "R", "values": [
            {"name": "userID", "type": "a\x07"}, {"name": "statusCode", "type": "int"},
            {"name": "HTTPServer", "type": "x"}]}, "metadata": {"k": "\x1b[2J\n", "a": "b"}}])
    with registered(nasty):
        out = run("get", "service", "nasty")[1]
        check("\nEndpoint: A.B?31m?[0m\nMetadata: a=b,k=?[2J?\n\nRequest: {\n\tuser_id a?\n"
              "\tstatus_code int\n\thttps_erver x\n}\n\nResponse: {}\n\n" in out, out)


def test_tables_on_a_terminal():
    long = definition("wide", 9999)
    wide = json.loads(long)
    wide["nodes"][0]["metadata"] = {"key%d" % i: "value" * 3 for i in range(6)}
    with registered(definition("narrow", 9998, 9999), json.dumps(wide)):
        equal(on_terminal("get", "service", "narrow"),
              "service  narrow\n\nversion 1.2.3\n\nId           Address    Port  Metadata\n"
              "narrow-9998  127.0.0.1  9998  \nnarrow-9999  127.0.0.1  9999  \n")
        out = on_terminal("get", "service", "wide")
        check(out.startswith("service  wide\n\nversion 1.2.3\n\nId        wide-9999\n"
                             "Address   127.0.0.1\nPort      9999\nMetadata  key0=value"), out)
        check("\n          key" in out, "metadata is wrapped: " + out)
        check(max(map(len, out.splitlines())) <= 80, out)
        check("\033" not in out, "no colour")


def test_output_that_cannot_be_written():
    with open("/dev/full", "w", encoding="utf-8") as full:
        ran = subprocess.run([MICRO, "version"], stdout=full, stderr=subprocess.PIPE, check=False,
                             timeout=SECONDS)
    equal((ran.returncode, ran.stderr), (1, b"cannot write the output\n"))


# ---- --json -------------------------------------------------------------------------------------


def described():
    """The names of members that docs/cli.md has in its tables, by command."""
    with open(os.path.join(ROOT, "docs", "cli.md"), encoding="utf-8") as f:
        text = f.read()
    blocks = re.findall(r"^### `([^`]+) --json`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: set(re.findall(r"^\| `(\w+)` \|", block, re.MULTILINE)) for name, block in blocks}


def members(value):
    """Names of members at any depth, but for those of maps of text and of a caller's reply."""
    found = set()
    if isinstance(value, list):
        for item in value:
            found |= members(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            found |= {name} | (members(item) if name != "metadata" else set())
    return found


def printed(*args, code=0):
    """The JSON on stdout: one line."""
    ran = run_for(code, *args)
    equal(ran[0], code, "exit code of micro " + " ".join(args))
    equal(ran[1].count("\n"), 1, "lines of micro " + " ".join(args))
    return json.loads(ran[1])


def test_json_is_as_described():
    described_as = described()
    one, node = json.loads(golden("get-service-1.0.0.json")), "go.micro.srv.greeter-ref1"
    name = one["name"]
    with odd(9601), odd(9604), registered(json.dumps(one), definition("told", 9604)):
        got = {
            "list services": printed("list", "services", "--json"),
            "get service": printed("get", "service", "--json", name),
            "health": printed("health", name, "--json"),
            "stats": printed("stats", name, "--json"),
        }
        more = printed("stats", "told", "--json")["nodes"]
        got["describe"] = printed("describe", "told", "--json")
        got["watch"] = printed("watch", "told", "--json", "--timeout", "2s")
    equal(got["list services"], [{"name": n, "version": "", "metadata": None, "endpoints": None,
                                  "nodes": None} for n in (name, "told")])
    equal(got["get service"], [one])
    about = {"version": "1.0.0", "id": node, "address": "127.0.0.1:9601"}
    equal(got["health"], {"service": name, "nodes": [dict(about, ok=True, status="ok")]})
    equal(got["stats"], {"service": name, "nodes": [dict(
        about, started=STARTED[0], uptime=244, memory=2967470, threads=12, gc=0, requests=0,
        errors=0, running=0, rejected=0, endpoints=[])]})
    equal((more[0]["requests"], more[0]["rejected"]), (7, 1))
    equal(more[0]["endpoints"], [{
        "name": "A.B", "requests": 7, "errors": 2, "running": 1, "client_errors": 0,
        "server_errors": 2, "time": 18446744073709551615, "p50": 1, "p90": 0, "p99": 3}])
    got["stats"]["nodes"] += more
    equal(got["describe"][0]["nodes"][0]["status"], "ok")
    equal(got["describe"][0]["service"], got["watch"]["service"])
    equal(dict(got["describe"][0]["nodes"][0], version="1.2.3"),
          dict(more[0], ok=True, status="ok"))
    with registered(json.dumps(one)):
        sick = printed("stats", name, "--json", code=1)
        equal(sorted(sick["nodes"][0]), ["address", "error", "id", "version"])
        got["stats"]["nodes"] += sick["nodes"]
        equal(printed("health", name, "--json", code=1)["nodes"][0]["ok"], False)
    for command, value in got.items():
        equal(members(value), described_as[command], "docs/cli.md on %s --json" % command)
    code, _, err = run("call", "--json", "--address=127.0.0.1:9601", "x", "A.B")
    equal(code, 4)
    equal(members(json.loads(err)), described_as["call"], "docs/cli.md on call --json")


# ---- man page, completion ----------------------------------------------------------------------


def test_man_page():
    code, page, err = run("man")
    equal((code, err), (0, ""))
    if not shutil.which("mandoc"):
        raise Skip("mandoc is not there")
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning"], input=page, text=True, check=False,
                          capture_output=True, timeout=SECONDS)
    found = (lint.stdout + lint.stderr).splitlines()
    equal([line for line in found if "missing date" not in line], [])  # same source, same page
    text = subprocess.run(["mandoc", "-Tascii"], input=page, text=True, check=True,
                          capture_output=True, timeout=SECONDS).stdout
    text = re.sub(".\b", "", text)
    helps = run("--help")[1] + run("call", "--help")[1]
    for flag in re.findall(r"^   --(\w+)", helps, re.MULTILINE):
        check(re.search(r"^ +--%s\b" % flag, text, re.MULTILINE), "the page lacks --" + flag)
    for command in ("query, call", "list services", "register service", "completion", "health"):
        check(re.search(r"^   %s$" % command, text, re.MULTILINE), "the page lacks " + command)
    check("man" not in re.findall(r"^   (\w+)$", text, re.MULTILINE), "a hidden command is shown")
    for number in range(5):
        check(re.search(r"^ +%d +\S" % number, text, re.MULTILINE), "exit code %d" % number)


BASH = r"""
source <("$1" completion bash) || exit 1
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
_micro || exit 1
printf '%s\n' "${COMPREPLY[@]}"
"""

# What the completion system would do: print what is handed to it.
ZSH = r"""
compadd() { [[ $1 == -a ]] && print -l -- ${(P)2} }
_describe() { local name=${@[-1]}; print -l -- ${${(P)name}%%:*} }
compset() { :; }
emulate zsh
micro=$1
shift
words=("$@")
CURRENT=$#
source <($micro completion zsh)
"""

COMPLETIONS = (
    ([""], "registry query call stream publish subscribe health stats describe watch list register "
           "deregister get completion version help h"),
    (["list", ""], "services"), (["registry", ""], "list register deregister get"),
    (["registry", "get", ""], "service"), (["completion", ""], "bash zsh"),
    (["--registry", ""], "mdns memory"), (["-log_level", ""], "none error warn info debug"),
    (["--registry", "mdns", "list", ""], "services"), (["register", "service", ""], ""),
    (["call", "--"], "--address --timeout --header --content_type --json --help"),
    (["list", "services", "-"], "--json --help"), (["--address", "x", "get", ""], "service"),
)


def complete(shell, words):
    program = {"bash": ["bash", "--norc", "-c", BASH], "zsh": ["zsh", "-f", "-c", ZSH]}[shell]
    ran = subprocess.run([*program, shell, MICRO, MICRO, *words], capture_output=True, text=True,
                         env=environment(None), timeout=SECONDS, check=False)
    equal((ran.returncode, ran.stderr), (0, ""), "%s: %s" % (shell, words))
    return words_of(ran.stdout)


def completes(shell):
    """All a script offers; that a prefix narrows it is bash's script and zsh's own work."""
    for words, wanted in COMPLETIONS:
        equal(complete(shell, words), words_of(wanted), "%s: micro %s" % (shell, " ".join(words)))
    flags = complete(shell, ["--"])
    equal(flags, sorted("--" + f for f in re.findall(r"^   --(\w+)", run("--help")[1], re.MULTILINE)
                        if f != "version"))
    services = [definition("foo", 9999, endpoints=[{"name": "Foo.A"}, {"name": "Foo.B"}])]
    with registered(services[0]):
        for words in (["call", ""], ["get", "service", ""], ["health", ""], ["describe", ""], ["watch", ""]):
            equal(complete(shell, words), ["foo"], "%s: micro %s" % (shell, " ".join(words)))
        equal(complete(shell, ["call", "--timeout", "1s", "foo", ""]), ["Foo.A", "Foo.B"])


def test_completion_in_bash():
    completes("bash")
    equal(complete("bash", ["re"]), ["register", "registry"])
    equal(complete("bash", ["--registry", "=", "me"]), ["memory"])
    equal(complete("bash", ["--registry", "="]), ["mdns", "memory"])
    equal(complete("bash", ["--registry", "=", "mdns", "list", "s"]), ["services"])
    with registered(definition("$(touch here)", 9999)):
        equal(complete("bash", ["call", ""]), [], "names that a shell would run")


def test_completion_in_zsh():
    if not shutil.which("zsh"):
        raise Skip("zsh is not there")
    completes("zsh")
    equal(complete("zsh", ["--registry=me"]), ["mdns", "memory"])
    equal(complete("zsh", ["--registry=mdns", "list", ""]), ["services"])


# ---- main --------------------------------------------------------------------------------------


def main():
    enter_network()
    return run_tests(globals(), vars(cli_describe), vars(cli_events), vars(cli_stream))


if __name__ == "__main__":
    sys.exit(main())
