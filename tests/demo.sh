#!/bin/sh
# SPDX-License-Identifier: MIT
# make demo: the greeter is started, found by multicast DNS and called by name. All of it happens in
# a network namespace, whose multicast ends at its own loopback interface. Exit code 0: it worked.
set -eu
cd "$(dirname "$0")/.."
build=${MICRO_BUILD:-build}
service=go.micro.srv.greeter
pid=

# A loopback interface that takes multicast; by ip, or by what every Debian has.
network_up() {
    if command -v ip >/dev/null; then
        ip link set lo up
        ip link set lo multicast on
        ip addr add 10.77.0.1/24 dev lo
        ip route add 224.0.0.0/4 dev lo
    else # SIOCSIFFLAGS: up, loopback, running, multicast
        perl -MSocket -e 'socket(my $s, AF_INET, SOCK_DGRAM, 0) or die; my $r = pack("a16 s x22",
            "lo", 0x1049); ioctl($s, 0x8914, $r) or die "lo: $!\n"'
    fi
}

show() { # the command as one would type it
    printf '\n$ %s\n' "$1"
}

end_greeter() {
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || true
        ended=0
        wait "$pid" || ended=$?
        pid=
        if [ $ended -ne 0 ]; then
            echo "the greeter ended with $ended"
            exit 1
        fi
    fi
}

wait_until() { # a hundred tries
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "this failed: $*"
            exit 1
        fi
        sleep 0.1
    done
}

answered() { # what was said, what was to be said
    echo "$1"
    case $1 in *"$2"*) ;; *) echo "the answer should hold: $2"; exit 1 ;; esac
}

by_multicast() {
    echo 'A service is started in a network of its own. No registry runs, no address is given.'
    show "$build/examples/greeter &"
    "$build/examples/greeter" </dev/null &
    pid=$!
    wait_until "$build/micro" get service $service

    show 'micro list services'
    timeout 20 "$build/micro" list services
    show "micro get service $service"
    timeout 20 "$build/micro" get service $service
    show "micro call $service Say.Hello '{\"name\":\"John\"}'"
    answered "$(timeout 20 "$build/micro" call $service Say.Hello '{"name":"John"}')" 'Hello John'
    show 'greeter-client Ann'
    answered "$(timeout 20 "$build/examples/greeter-client" Ann)" 'Hello Ann'
    end_greeter
    printf '\nIt worked: the greeter was found and called by name, and ended well.\n'
}

by_address() {
    log=$(mktemp)
    echo 'No network namespace can be made here (unshare -n failed), and multicast must not leave'
    echo 'this machine: so discovery is not shown, and the greeter is called by its address.'
    show "$build/examples/greeter --registry=memory --server_address=127.0.0.1:0 &"
    "$build/examples/greeter" --registry=memory --server_address=127.0.0.1:0 --log_level=info \
        </dev/null 2>"$log" &
    pid=$!
    wait_until grep -q 'Listening on' "$log"
    address=$(sed -n 's/.*Listening on //p' "$log")
    rm "$log"
    show "micro call --address $address $service Say.Hello '{\"name\":\"John\"}'"
    answered "$(timeout 20 "$build/micro" --registry=memory call --address "$address" $service \
        Say.Hello '{"name":"John"}')" 'Hello John'
    end_greeter
    printf '\nIt worked: the greeter was called, and ended well.\n'
}

if [ ! -x "$build/micro" ] || [ ! -x "$build/examples/greeter" ]; then
    make
fi
if [ "${1-}" = inside ]; then
    network_up
    trap end_greeter EXIT
    by_multicast
elif unshare -n true 2>/dev/null; then
    exec unshare -n "$0" inside
elif unshare -rn true 2>/dev/null; then
    exec unshare -rn "$0" inside
else
    trap end_greeter EXIT
    by_address
fi
