# SPDX-License-Identifier: MIT
"""Cases of the micro command; mdns.py runs them."""

import os
import subprocess
import time

from cases import case
from hosts import Driver
from programs import equal, GREETER, loopback_host, MICRO

SERVICE = "go.micro.srv.greeter"


@case
def command_watches():
    """micro watch: what comes, changes and goes, and a service that is killed, when its TTL is over;
    one that lives is heard of again meanwhile."""
    loopback_host()
    watch = subprocess.Popen([MICRO, "watch"], stdout=subprocess.PIPE, text=True)
    a = Driver(os.environ["MDNS_DRIVER"])

    def text(action, name, node, address):
        return "%s\t%s\t1.0.0\t%s\t%s\n" % (action, name, node, address)

    def line(*what):
        equal(watch.stdout.readline(), text(*what))

    a.ok("put %s 1.0.0 a1 %s 0" % (SERVICE, "127.0.0.1:8080"))
    line("create", SERVICE, "a1", "127.0.0.1:8080")
    a.ok("put %s 1.0.0 a1 %s 0" % (SERVICE, "127.0.0.1:7070"))
    moved = watch.stdout.readline()
    if moved != text("update", SERVICE, "a1", "127.0.0.1:7070"):  # it heard both at once
        equal(moved, text("delete", SERVICE, "a1", "127.0.0.1:8080"))
        line("create", SERVICE, "a1", "127.0.0.1:7070")
    a.quit()
    line("delete", SERVICE, "a1", "127.0.0.1:7070")
    short = ["--register_ttl=2", "--register_interval=1"]
    lives = subprocess.Popen([GREETER, "--server_name=lives", "--server_id=1",
                              "--server_address=127.0.0.1:8081", *short])
    line("create", "lives", "lives-1", "127.0.0.1:8081")
    dies = subprocess.Popen([GREETER, "--server_name=dies", "--server_id=1",
                             "--server_address=127.0.0.1:8082", *short])
    line("create", "dies", "dies-1", "127.0.0.1:8082")
    time.sleep(4)
    dies.kill()
    killed_at = time.monotonic()
    line("delete", "dies", "dies-1", "127.0.0.1:8082")
    gone = time.monotonic() - killed_at
    assert gone < 8, "it was there for %.1f s after it was killed" % gone
    time.sleep(4)
    lives.terminate()
    line("delete", "lives", "lives-1", "127.0.0.1:8081")  # not before
    equal(lives.wait(), 0)
    dies.wait()
    watch.terminate()
    equal((watch.wait(), watch.stdout.read()), (0, ""))
