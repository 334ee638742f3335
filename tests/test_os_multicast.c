/* SPDX-License-Identifier: MIT */
/* UDP and multicast, in a network of its own. */
#include "harness.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

/* What a datagram on lo says of its interface. */
static unsigned mcast_lo(void)
{
    return if_nametoindex("lo");
}

TEST(mcast_udp_unicast)
{
    for (int v6 = 0; v6 < 2; v6++) {
        micro__addr to, from;
        int a, b;
        unsigned iface = 77;
        char buf[8], text[128];
        NOTE("IPv%d", v6 ? 6 : 4);
        REQUIRE(micro__udp_open(v6, 0, 0, &a) == MICRO_OK);
        REQUIRE(micro__udp_open(v6, 0, 0, &b) == MICRO_OK);
        CHECK(fcntl(a, F_GETFD) & FD_CLOEXEC);
        CHECK(fcntl(a, F_GETFL) & O_NONBLOCK);
        CHECK_EQ_INT(micro__udp_recv(b, buf, sizeof buf, &from, &iface), MICRO_EAGAIN);
        CHECK_EQ_UINT(iface, 0);
        struct sockaddr_in6 bound = { 0 }; /* the port is in the same place in both families */
        socklen_t len = sizeof bound;
        REQUIRE(getsockname(b, (struct sockaddr *)&bound, &len) == 0);
        REQUIRE(
            micro__addr_literal(&to, micro_s(v6 ? "::1" : "127.0.0.1"), ntohs(bound.sin6_port)));
        static const char *const sent[] = { "12345678", "", "123456789" };
        static const long want[] = { 8, 0, MICRO_ETOOBIG };
        for (int i = 0; i < 3; i++) {
            CHECK_EQ_INT(micro__udp_send(a, &to, sent[i], strlen(sent[i])), MICRO_OK);
            CHECK_EQ_INT(micro__fd_wait(b, MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
            CHECK_EQ_INT(micro__udp_recv(b, buf, sizeof buf, &from, &iface), want[i]);
            CHECK_EQ_UINT(iface, mcast_lo());
            micro__addr_format(&from, text);
            CHECK(strncmp(text, v6 ? "[::1]:" : "127.0.0.1:", v6 ? 6 : 10) == 0);
        }
        static char large[70000];
        CHECK_EQ_INT(micro__udp_send(a, &to, large, sizeof large), MICRO_ETOOBIG);
        micro__fd_close(a);
        micro__fd_close(b);
    }
}

/* Gives this process a network of its own, where lo has multicast and 10.77.0.1/24. */
static bool mcast_own_network(void)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    static const char *const commands =
        "ip link set lo up && ip link set lo multicast on && ip addr add 10.77.0.1/24 dev lo && "
        "ip route add 224.0.0.0/4 dev lo && ip -6 route add local ff00::/8 dev lo table local";
    return system(commands) == 0;
}

TEST(mcast_ifaces)
{
    micro__iface all[32];
    REQUIRE(mcast_own_network());
    size_t n = micro__ifaces(all, MICRO_COUNTOF(all));
    int found = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ_TEXT(all[i].name, "lo");
        CHECK_EQ_UINT(all[i].index, mcast_lo());
        CHECK(all[i].loopback && all[i].multicast);
        found |= strcmp(all[i].text, "127.0.0.1") == 0 ? 1 : 0;
        found |= strcmp(all[i].text, "10.77.0.1") == 0 && memcmp(all[i].ip, "\x0aM\0\x01", 4) == 0
                     ? 2
                     : 0;
        found |= strcmp(all[i].text, "::1") == 0 && all[i].v6 && all[i].ip[15] == 1 ? 4 : 0;
    }
    CHECK_EQ_INT(found, 7);
    CHECK_EQ_UINT(n, 3);
    CHECK_EQ_UINT(micro__ifaces(all, 1), 1);
    CHECK_EQ_UINT(micro__ifaces(all, 0), 0);
    CHECK(system("ip link set lo down") == 0);
    CHECK_EQ_UINT(micro__ifaces(all, 32), 0);
}

enum { MCAST_OURS, MCAST_GO, MCAST_AVAHI, MCAST_BSD };

/* A responder of a kind: they differ in how they share the port. -1: it is not to be had. */
static int mcast_responder(int kind, bool v6, const micro__iface *on)
{
    int fd, one = 1;
    if (kind == MCAST_OURS) {
        if (micro__udp_open(v6, 5353, 0, &fd) != MICRO_OK)
            return -1;
    } else {
        struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(5353) };
        struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(5353) };
        const void *any = v6 ? (const void *)&any6 : (const void *)&any4;
        fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (v6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        if (kind != MCAST_BSD)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (kind != MCAST_GO)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
        if (bind(fd, any, v6 ? sizeof any6 : sizeof any4) != 0) {
            micro__fd_close(fd);
            return -1;
        }
    }
    if (micro__udp_join(fd, v6, on) != MICRO_OK)
        abort();
    return fd;
}

static void mcast_check_heard(int fd, unsigned index, const char *from_text)
{
    char buf[16], text[128];
    micro__addr from;
    unsigned iface;
    CHECK_EQ_INT(micro__fd_wait(fd, MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
    long n = micro__udp_recv(fd, buf, sizeof buf, &from, &iface);
    CHECK_EQ_MEM(buf, n < 0 ? 0 : (size_t)n, "hello", 5);
    micro__addr_format(&from, text);
    CHECK_EQ_TEXT(text, from_text);
    if (iface) /* others did not ask for it */
        CHECK_EQ_UINT(iface, index);
}

/* Ours beside every other, in both orders, ours twice, and beside two: all hear what ours sends. */
TEST(mcast_multicast_shared)
{
    micro__iface lo = { .index = 0 }, all[8];
    REQUIRE(mcast_own_network());
    for (size_t n = micro__ifaces(all, 8); n > 0; n--) {
        if (strcmp(all[n - 1].text, "10.77.0.1") == 0)
            lo = all[n - 1];
    }
    static const int orders[][3] = {
        { MCAST_OURS, MCAST_GO, -1 },          { MCAST_GO, MCAST_OURS, -1 },
        { MCAST_OURS, MCAST_AVAHI, -1 },       { MCAST_AVAHI, MCAST_OURS, -1 },
        { MCAST_OURS, MCAST_BSD, -1 },         { MCAST_BSD, MCAST_OURS, -1 },
        { MCAST_OURS, MCAST_OURS, -1 },        { MCAST_OURS, MCAST_GO, MCAST_AVAHI },
        { MCAST_GO, MCAST_AVAHI, MCAST_OURS }, { MCAST_AVAHI, MCAST_OURS, MCAST_GO },
        { MCAST_GO, MCAST_OURS, MCAST_OURS },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(orders) * 2; i++) {
        const int *order = orders[i / 2];
        bool v6 = i % 2;
        int fds[3] = { -1, -1, -1 }, ours = -1;
        NOTE("order %zu, IPv%d", i / 2, v6 ? 6 : 4);
        for (int k = 0; k < 3 && order[k] >= 0; k++) {
            fds[k] = mcast_responder(order[k], v6, &lo);
            REQUIRE(fds[k] >= 0);
            ours = order[k] == MCAST_OURS ? fds[k] : ours;
        }
        CHECK_EQ_INT(micro__udp_multicast(ours, v6, &lo, "hello", 5), MICRO_OK);
        for (int k = 0; k < 3; k++) {
            if (fds[k] >= 0)
                mcast_check_heard(fds[k], lo.index, v6 ? "[::1]:5353" : "10.77.0.1:5353");
            micro__fd_close(fds[k]);
        }
    }
}

TEST(mcast_multicast_route_and_ttl)
{
    micro__iface lo = { .index = 0 };
    struct {
        int level, loop, ttl;
    } names[] = {
        { IPPROTO_IP, IP_MULTICAST_LOOP, IP_MULTICAST_TTL },
        { IPPROTO_IPV6, IPV6_MULTICAST_LOOP, IPV6_MULTICAST_HOPS },
    };
    REQUIRE(mcast_own_network());
    lo.index = mcast_lo();
    for (int v6 = 0; v6 < 2; v6++) {
        int fd, other, value = 0;
        socklen_t len = sizeof value;
        NOTE("IPv%d", v6 ? 6 : 4);
        REQUIRE(micro__udp_open(v6, 5353, 0, &fd) == MICRO_OK);
        getsockopt(fd, names[v6].level, names[v6].ttl, &value, &len);
        CHECK_EQ_INT(value, 255);
        getsockopt(fd, names[v6].level, names[v6].loop, &value, &len);
        CHECK_EQ_INT(value, 1);
        CHECK_EQ_INT(micro__udp_join(fd, v6, &lo), MICRO_OK);
        CHECK_EQ_INT(micro__udp_join(fd, v6, &lo), MICRO_EEXIST);
        micro__iface none = { .index = 4321 };
        CHECK_EQ_INT(micro__udp_join(fd, v6, &none), MICRO_EIO);
        CHECK_EQ_INT(micro__udp_multicast(fd, v6, &none, "hello", 5), MICRO_EIO);
        CHECK_EQ_INT(micro__udp_multicast(fd, v6, NULL, "hello", 5), MICRO_OK); /* by the route */
        mcast_check_heard(fd, lo.index, v6 ? "[::1]:5353" : "10.77.0.1:5353");
        REQUIRE(micro__udp_open(v6, 5353, 1, &other) == MICRO_OK);
        getsockopt(other, names[v6].level, names[v6].ttl, &value, &len);
        CHECK_EQ_INT(value, 1);
        micro__fd_close(other);
        micro__fd_close(fd);
    }
}

/* Of several addresses of an interface, the one that is named is the sender's. */
TEST(mcast_sender)
{
    micro__iface all[8];
    int fd, sent = 0;
    REQUIRE(mcast_own_network());
    REQUIRE(system("ip addr add 10.77.0.2/24 dev lo && ip addr add 10.78.0.1/24 dev lo") == 0);
    REQUIRE(micro__udp_open(false, 5353, 0, &fd) == MICRO_OK);
    size_t n = micro__ifaces(all, 8);
    CHECK_EQ_INT(micro__udp_join(fd, false, &all[0]), MICRO_OK);
    for (size_t i = 0; i < n; i++) {
        char want[128];
        if (all[i].v6)
            continue;
        snprintf(want, sizeof want, "%s:5353", all[i].text);
        NOTE("%s", want);
        CHECK_EQ_INT(micro__udp_multicast(fd, false, &all[i], "hello", 5), MICRO_OK);
        mcast_check_heard(fd, all[i].index, want);
        sent++;
    }
    CHECK_EQ_INT(sent, 4);
    micro__fd_close(fd);
}

/* A port that the system chose is nobody else's, whatever options the other sets. */
TEST(mcast_udp_own_port)
{
    int fd, other, one = 1;
    struct sockaddr_in bound;
    socklen_t len = sizeof bound;
    REQUIRE(micro__udp_open(false, 0, 0, &fd) == MICRO_OK);
    REQUIRE(getsockname(fd, (struct sockaddr *)&bound, &len) == 0);
    other = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    CHECK(bind(other, (struct sockaddr *)&bound, len) < 0 && errno == EADDRINUSE);
    int busy;
    CHECK_EQ_INT(micro__udp_open(false, ntohs(bound.sin_port), 0, &busy), MICRO_EBUSY);
    CHECK_EQ_INT(busy, -1);
    micro__fd_close(other);
    micro__fd_close(fd);
}
