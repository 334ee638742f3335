# SPDX-License-Identifier: MIT
"""What multicasts is measured in a network namespace of its own; run.py starts this in one.
    netns.py BUILD CORE find TIMES TRIPS      lines "first US", "next US", "trip US"
    netns.py BUILD CORE peer SRV SECS ROUNDS  lines with CPU per call to the floor's"""

import os
import subprocess
import sys

import proc

LO = ("ip link set lo up; ip link set lo multicast on; ip addr add 10.77.0.1/24 dev lo; "
      "ip route add 224.0.0.0/4 dev lo")


def find(p, times, trips):
    flags = ["--registry=mdns", "--server_address=127.0.0.1:PORT"]
    with p.serve("one", [p.path("server"), "--server_name=bench.one", *flags]), \
            p.serve("two", [p.path("server"), "--server_name=bench.two", *flags]):
        for _ in range(times):
            for what, names in (("next", ["bench.one", "bench.two"]), ("first", ["bench.one"])):
                print(what, p.run([p.path("find"), *names], pin=False).strip())
        for line in p.run([p.path("pong"), "64", str(trips)], pin=False).split():
            print("trip", line)


def peer(p, srv, secs, rounds):
    request = proc.http_post('{"method":"Say.Hello","params":[{"name":"John"}],"id":1}',
                             "application/json")
    file = p.file("go_micro.http", request)
    options = ("-c", 64, "-u", .2, "-d", secs)
    process = subprocess.Popen(p.pinned([srv, "go.micro.srv.bench"]), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    try:
        address = process.stdout.readline().split()[1]
        server = proc.Server("go-micro", [process], int(address.rsplit(":", 1)[1]))
        for _ in range(rounds):
            with p.floor("-b", str(proc.body_length(request))) as floor:
                d, f = p.load(server, file, *options), p.load(floor, file, *options)
            print(d["server_us"] / f["server_us"])
    finally:
        process.terminate()
        process.wait(30)


def main():
    build, core, what, *args = sys.argv[1:]
    subprocess.run(LO, shell=True, check=True)
    programs = proc.Programs(build, int(core))
    if what == "find":
        find(programs, int(args[0]), int(args[1]))
    else:
        peer(programs, args[0], float(args[1]), int(args[2]))


if __name__ == "__main__":
    os.umask(0o077)
    try:
        main()
    except proc.Broken as e:
        sys.exit("netns: %s" % e)
