# SPDX-License-Identifier: MIT
"""Every packet of a network namespace, in the order in which the kernel saw them."""

import collections
import contextlib
import socket
import struct
import threading
import time

ETH_P_ALL = 3
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
OUTGOING = 4  # PACKET_OUTGOING: what loops back would be seen twice
FIN, SYN, RST, ACK = 1, 2, 4, 16

# time: the kernel's, of the day; src and dst: (host, port); flags and seq are those of TCP
Packet = collections.namedtuple("Packet", "time interface protocol src dst flags seq payload")


def parse(when, interface, data):
    """A UDP or TCP packet over IPv4, or None."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    length, protocol = (data[0] & 15) * 4, data[9]
    body = data[length:struct.unpack_from(">H", data, 2)[0] or None]
    if protocol == socket.IPPROTO_UDP:
        flags, seq, at = 0, 0, 8
    elif protocol == socket.IPPROTO_TCP:
        seq, at, flags = struct.unpack_from(">IxxxxBB", body, 4)
        at = (at >> 4) * 4
    else:
        return None
    sport, dport = struct.unpack_from(">HH", body)
    return Packet(when, interface, protocol,
                  (socket.inet_ntoa(data[12:16]), sport), (socket.inet_ntoa(data[16:20]), dport),
                  flags, seq, body[at:])


class Sniffer:
    """Listens for the length of a `with` block; `packets` is complete behind it. Needs to be root in
    its namespace."""

    def __enter__(self):
        self.packets, self.end = [], 0.0
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.settimeout(0.05)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()
        return self

    def _read(self):
        while True:
            try:
                data, extra, _, where = self.sock.recvmsg(1 << 17, 64)
            except socket.timeout:
                if self.end:
                    return
                continue
            when = struct.unpack("qq", extra[0][2])
            when = when[0] + when[1] / 1e9
            if self.end and when > self.end:
                return
            packet = parse(when, where[0], data) if where[2] == OUTGOING else None
            if packet:
                self.packets.append(packet)

    def __exit__(self, *_):
        self.end = time.time()
        self.thread.join()
        self.sock.close()


def connects(packets, address):
    """Numbers of the packets that try to connect to address."""
    return [number for number, packet in enumerate(packets)
            if packet.dst == address and packet.flags & (SYN | ACK) == SYN]


def resets(packets, address):
    """Numbers of the packets by which address refuses a connection, and of those by which it resets
    one that it had taken."""
    asking, refused, cut = set(), [], []
    for number, packet in enumerate(packets):
        if packet.dst == address and packet.flags & SYN:
            asking.add(packet.src)
        elif packet.src == address and packet.flags & SYN:
            asking.discard(packet.dst)
        elif packet.src == address and packet.flags & RST:
            (refused if packet.dst in asking else cut).append(number)
    return refused, cut
