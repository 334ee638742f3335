# SPDX-License-Identifier: MIT
"""Tests of micro stream; tests/cli.py runs them."""

import re
import subprocess

from programs import (check, environment, equal, expect, MICRO, run, SECONDS, serving, TESTSERVER)

ADDRESS = "127.0.0.1:9707"
AT = ["--address=" + ADDRESS, "odd"]
HEAD = "error receiving from odd.%s: "


def streaming():
    """The service of the recorded test servers; on the 2018 protocol, being called by address."""
    return serving(TESTSERVER, ADDRESS)


def stream(*args, lines=""):
    """Exit code, stdout and stderr with lines as standard input."""
    ran = subprocess.run([MICRO, "stream", *args], input=lines.encode(), capture_output=True,
                         env=environment(None), timeout=SECONDS, check=False)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def test_stream_prints_what_comes():
    with streaming():
        equal(stream(*AT, "Test.Count", '{"name":"2"}'),
              (0, '{\n\t"msg": "0"\n}\n{\n\t"msg": "1"\n}\n', ""))
        equal(stream("--json", *AT, "Test.Count", '{"name":', '"12"}'),
              (0, "".join('{"msg":"%d"}\n' % n for n in range(12)), ""))
        equal(stream("--json", *AT, "Test.Count"), (0, "", ""))
        names = ["a", "é", "x" * 100000, "", "end"]
        lines = "".join('{"name":"%s"}\r\n\n' % name for name in names[1:])[:-3]
        echoed = "".join('{"msg":"echo %s"}\n' % name for name in names[:-1])
        equal(stream("--json", *AT, "Test.Bidi", '{"name":"a"}', lines=lines), (0, echoed, ""))


def test_stream_lines_go_and_come_at_once():
    with streaming():
        one = subprocess.Popen([MICRO, "stream", "--json", *AT, "Test.Bidi", '{"name":"0"}'],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in range(20):
            equal(one.stdout.readline(), b'{"msg":"echo %d"}\n' % n)
            one.stdin.write(b'{"name":"%d"}\n' % (n + 1))
            one.stdin.flush()
        equal(one.communicate(b'{"name":"end"}', timeout=SECONDS)[0], b'{"msg":"echo 20"}\n')
        equal(one.returncode, 0)


def test_stream_ends_after_silence():
    with streaming():
        equal(stream("--json", "--timeout=200ms", *AT, "Test.Bidi", '{"name":"a"}'),
              (0, '{"msg":"echo a"}\n', ""))
        code, out, err = stream("--timeout=200ms", *AT, "Test.Bidi", '{"name":"after"}')
        equal((code, out), (4, ""))
        check(re.fullmatch(re.escape(HEAD % "Test.Bidi") + r'\{.*"code":408.*\}\n\n', err), err)


def test_stream_fails():
    with streaming():
        equal(stream("--json", *AT, "Test.Bidi", '{"name":"a"}', lines='{"name":"fail"}\n'),
              (1, '{"msg":"echo a"}\n', '{"id":"go.micro.srv.greeter","code":403,"detail":"no more",'
                                        '"status":"Forbidden"}\n'))
        equal(stream(*AT, "Test.Bidi", '{"name":"plain"}'),
              (1, "", HEAD % "Test.Bidi" + "plain stream failure\n\n"))
        equal(stream(*AT, "Test.Nope"),
              (3, "", HEAD % "Test.Nope" + "rpc: can't find method Test.Nope\n\n"))
        code, out, err = stream("--json", *AT, "Test.Bidi", '{"name":"a"}', lines='\n{"name":1,}\n')
        equal((code, err), (2, "line 2: invalid character '}' looking for beginning of object key "
                               "string\n"))
        equal(stream("--json", *AT, "Test.Bidi", lines="[1]")[::2],
              (2, "line 1: the request is not a JSON object\n"))
    code, out, err = stream(*AT, "Test.Bidi")
    equal((code, out), (4, ""))
    check(err.startswith("error calling odd.Test.Bidi: {"), err)
    expect(["--registry=memory", "stream", "nope", "Test.Bidi"], 3, "",
           re.compile(r'error calling nope\.Test\.Bidi: \{"id":"go\.micro\.client",.*\}\n\n'))
    for args, why in ((["stream"], "require service and method"),
                      (["stream", "x"], "require service and method"),
                      (["stream", "x", "y", "[]"], "the request is not a JSON object")):
        code, out, err = run(*args)
        equal((code, out), (2, ""))
        check(why in err, err)
