# SPDX-License-Identifier: MIT
"""Tests of micro publish and micro subscribe; tests/cli.py runs them."""

import signal

from programs import equal, expect, MICRO, registered, rest, Running, subscribed


def test_publish_and_subscribe():
    nobody = "error publishing to a.topic: not found\n"
    expect(["publish", "a.topic", "{}"], 3, "", nobody)
    with Running(MICRO, "subscribe", "a.topic") as first, \
         Running(MICRO, "subscribe", "a.topic", end=signal.SIGINT) as second:
        subscribed("a.topic", 2)
        for given, line in ((['{"n": 1e400, "a" : "\u00fc" }'], '{"n": 1e400, "a" : "\u00fc" }'),
                            (["[1,", "2]"], "[1, 2]"), (['{\n"a":\r\n1}'], '{"a":1}'), (["7"], "7"),
                            (["--content_type", "application/protobuf", "a"],
                             '{"content_type":"application/protobuf","base64":"YQ=="}')):
            expect(["publish", "--header", "Foo=bar", "a.topic", *given], 0, "", "")
            equal((first.line(), second.line()), (line + "\n", line + "\n"))
    expect(["publish", "a.topic", "{}"], 3, "", nobody)


def test_subscribe_in_a_queue():
    with Running(MICRO, "subscribe", "b.topic", "--queue", "q") as first, \
         Running(MICRO, "subscribe", "--queue=q", "b.topic") as second:
        subscribed("b.topic", 2)
        for i in range(20):
            expect(["publish", "b.topic", str(i)], 0, "", "")
        lines = rest(first, second)
        equal(sorted(map(int, lines[0] + lines[1])), list(range(20)))


def test_subscriber_that_is_gone():
    """Refused, or not even that: the command says so, or ends well; never late."""
    gone = ('{"name":"topic:c.topic","version":"ff.http.broadcast",'
            '"nodes":[{"id":"broker-1.2","address":"127.0.0.1","port":1}]}')
    with registered(gone):
        expect(["publish", "c.topic", "{}"], 0, "", "")
    secure = gone.replace('"port":1', '"port":1,"metadata":{"secure":"true"}')
    with registered(secure):
        expect(["publish", "c.topic", "{}"], 1, "", "error publishing to c.topic: subscribers "
               "want TLS, which is not offered\n")


def test_subscribe_where_it_cannot():
    expect(["--broker_address=256.1.1.1:1", "subscribe", "a.topic"], 2, "",
           "error subscribing to a.topic: broker: listen on 256.1.1.1:1: no such address\n")
