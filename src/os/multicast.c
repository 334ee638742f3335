/* SPDX-License-Identifier: MIT */
/* Interfaces, and the UDP sockets of multicast DNS. */
#include "sys.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#define MULTICAST_PORT 5353
#define MULTICAST_GROUP4 0xe00000fbu /* 224.0.0.251 */

/* The interface of an IPv4 datagram, told with it. NetBSD has the name, but not the sender's
 * address in it. */
#if defined(IP_PKTINFO) && !defined(__NetBSD__)
#define MULTICAST_PKTINFO 1
#else
#define MULTICAST_PKTINFO 0
#endif

static const struct in6_addr multicast_group6 = { { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                      0, 0xfb } } };

/* ---- interfaces ----------------------------------------------------------------------------- */

static bool multicast_iface(const struct ifaddrs *from, micro__iface *to)
{
    if (!from->ifa_addr || !(from->ifa_flags & IFF_UP))
        return false;
    memset(to, 0, sizeof *to);
    if (from->ifa_addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from->ifa_addr, sizeof in);
        memcpy(to->ip, &in.sin_addr, sizeof in.sin_addr);
    } else if (from->ifa_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from->ifa_addr, sizeof in);
        memcpy(to->ip, &in.sin6_addr, sizeof in.sin6_addr);
        to->v6 = true;
    } else {
        return false;
    }
    to->index = if_nametoindex(from->ifa_name);
    to->loopback = (from->ifa_flags & IFF_LOOPBACK) != 0;
    to->multicast = (from->ifa_flags & IFF_MULTICAST) != 0;
    snprintf(to->name, sizeof to->name, "%s", from->ifa_name);
    return to->index && inet_ntop(to->v6 ? AF_INET6 : AF_INET, to->ip, to->text, sizeof to->text);
}

MICRO_PRIVATE size_t micro__ifaces(micro__iface *out, size_t max)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        return 0;
    size_t n = 0;
    for (const struct ifaddrs *i = all; i && n < max; i = i->ifa_next)
        n += multicast_iface(i, &out[n]);
    freeifaddrs(all);
    return n;
}

/* ---- sockets -------------------------------------------------------------------------------- */

/* Both options: Go programs set SO_REUSEADDR only, and that is enough between two who set it; some
 * responders set SO_REUSEPORT only. A port that the system chooses must not be shared: the other
 * would get our answers. */
static void multicast_share(int fd)
{
    micro__sock_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
#ifdef SO_REUSEPORT
    micro__sock_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
#endif
}

static bool multicast_options(int fd, bool v6, int ttl)
{
    if (v6)
        return micro__sock_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
               micro__sock_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1) &&
               micro__sock_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ttl) &&
               micro__sock_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    const unsigned char loop = 1, hops = (unsigned char)ttl; /* not int: some take bytes only */
    return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop) == 0 &&
#if MULTICAST_PKTINFO
           micro__sock_option(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
#endif
           setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops) == 0;
}

static micro_err multicast_error(int error)
{
    switch (error) {
    case EAGAIN:
        return MICRO_EAGAIN;
    case EMSGSIZE:
        return MICRO_ETOOBIG;
    case EADDRINUSE:
        return MICRO_EBUSY;
    case EAFNOSUPPORT:
        return MICRO_ENOSYS;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return MICRO_ENOMEM;
    default:
        return MICRO_EIO;
    }
}

MICRO_PRIVATE micro_err micro__udp_open(bool v6, uint16_t port, int ttl, int *fd)
{
    micro__addr any;
    if (!micro__addr_literal(&any, micro_s(v6 ? "::" : "0.0.0.0"), port))
        return MICRO_EINVAL;
    *fd = micro__fd_born(MICRO__SYS(socket)(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | MICRO__BORN, 0));
    if (*fd < 0)
        return multicast_error(errno);
    if (port)
        multicast_share(*fd);
    if (multicast_options(*fd, v6, ttl > 0 ? ttl : 255) &&
        bind(*fd, micro__addr_sys_const(&any), any.len) == 0)
        return MICRO_OK;
    micro_err err = multicast_error(errno);
    micro__fd_close(*fd);
    *fd = -1;
    return err;
}

MICRO_PRIVATE micro_err micro__udp_join(int fd, bool v6, const micro__iface *on)
{
    int status;
    if (v6) {
        struct ipv6_mreq group = { .ipv6mr_multiaddr = multicast_group6,
                                   .ipv6mr_interface = on->index };
        status = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group);
    } else {
#if MULTICAST_PKTINFO
        struct ip_mreqn group = { .imr_multiaddr = { htonl(MULTICAST_GROUP4) },
                                  .imr_ifindex = (int)on->index };
#else
        struct ip_mreq group = { .imr_multiaddr = { htonl(MULTICAST_GROUP4) } };
        memcpy(&group.imr_interface, on->ip, sizeof group.imr_interface);
#endif
        status = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
    }
    if (status == 0)
        return MICRO_OK;
    return errno == EADDRINUSE ? MICRO_EEXIST : multicast_error(errno);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Room for what travels beside a datagram, as aligned as it has to be. */
typedef union multicast_control {
    struct cmsghdr align_;
    unsigned char bytes[256];
} multicast_control;

static void multicast_attach(struct msghdr *message, multicast_control *control, int level,
                             int type, const void *info, size_t size)
{
    memset(control, 0, sizeof *control);
    message->msg_control = control->bytes;
    message->msg_controllen = (socklen_t)CMSG_SPACE(size); /* its type differs between systems */
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = (socklen_t)CMSG_LEN(size);
    memcpy(CMSG_DATA(c), info, size);
}

/* Puts the interface into a message: nothing is left set in the socket, so that threads may share
 * it. Where that cannot be done for IPv4 they must not. */
static void multicast_over(int fd, struct msghdr *message, multicast_control *control, bool v6,
                           const micro__iface *over)
{
    if (v6) {
        const struct in6_pktinfo info = { .ipi6_ifindex = over->index };
        multicast_attach(message, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
        return;
    }
#if MULTICAST_PKTINFO
    struct in_pktinfo info = { .ipi_ifindex = (int)over->index };
    if (!over->v6) /* of several addresses of the interface, this one is the sender's */
        memcpy(&info.ipi_spec_dst, over->ip, sizeof info.ipi_spec_dst);
    multicast_attach(message, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    (void)fd;
#else
    struct in_addr address;
    memcpy(&address, over->ip, sizeof address);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof address);
#endif
}

MICRO_PRIVATE micro_err micro__udp_multicast(int fd, bool v6, const micro__iface *over,
                                             const void *data, size_t len)
{
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
                                .sin6_port = htons(MULTICAST_PORT),
                                .sin6_addr = multicast_group6 };
    struct sockaddr_in to4 = {
        .sin_family = AF_INET,
        .sin_port = htons(MULTICAST_PORT),
        .sin_addr = { htonl(MULTICAST_GROUP4) },
    };
    multicast_control control;
    struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
    struct msghdr message = {
        .msg_name = v6 ? (void *)&to6 : (void *)&to4,
        .msg_namelen = v6 ? sizeof to6 : sizeof to4,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };
    if (over)
        multicast_over(fd, &message, &control, v6, over);
    ssize_t n;
    do
        n = MICRO__SYS(sendmsg)(fd, &message, MICRO__NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? multicast_error(errno) : MICRO_OK;
}

MICRO_PRIVATE micro_err micro__udp_send(int fd, const micro__addr *to, const void *data, size_t len)
{
    ssize_t n;
    do
        n = MICRO__SYS(sendto)(fd, data, len, MICRO__NOSIGNAL, micro__addr_sys_const(to), to->len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? multicast_error(errno) : MICRO_OK;
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* The interface that a datagram came in by, which is all that was asked for beside it; 0: not
 * said. */
static unsigned multicast_came_by(struct msghdr *message)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(message);
    if (!c)
        return 0;
#if MULTICAST_PKTINFO
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
        c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        return (unsigned)info.ipi_ifindex;
    }
#endif
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
        c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        return (unsigned)info.ipi6_ifindex;
    }
    return 0;
}

MICRO_PRIVATE long micro__udp_recv(int fd, void *data, size_t size, micro__addr *from,
                                   unsigned *iface)
{
    multicast_control control;
    struct iovec part = { .iov_base = data, .iov_len = size };
    struct msghdr message;
    ssize_t n;
    do {
        memset(&message, 0, sizeof message);
        message.msg_name = from->u.bytes;
        message.msg_namelen = sizeof from->u.bytes;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        memset(from, 0, sizeof *from);
        n = MICRO__SYS(recvmsg)(fd, &message, 0);
    } while (n < 0 && errno == EINTR);
    *iface = 0;
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? MICRO_EAGAIN : MICRO_EIO;
    from->len = (uint32_t)message.msg_namelen;
    *iface = multicast_came_by(&message);
    return message.msg_flags & MSG_TRUNC ? MICRO_ETOOBIG : (long)n;
}

#undef MULTICAST_PORT
#undef MULTICAST_GROUP4
#undef MULTICAST_PKTINFO
