/* SPDX-License-Identifier: MIT */
/* Stream sockets: listening, connecting, moving bytes. */
#include "sys.h"

#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SOCKET_UNSENT (512 * 1024) /* bytes that wait in the system for a peer to read */
#define SOCKET_PROBE_AFTER 30      /* s */
#define SOCKET_PROBE_EVERY 15
#define SOCKET_PROBES 4
#define SOCKET_JOIN 2048u /* two parts of less are copied together: cheaper than a list of them */

MICRO_PRIVATE bool micro__sock_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static void socket_quiet_pipe(int fd)
{
#if !defined(MSG_NOSIGNAL) && defined(SO_NOSIGPIPE)
    if (fd >= 0)
        micro__sock_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#else
    (void)fd;
#endif
}

static int socket_open(int family)
{
    int fd = micro__fd_born(MICRO__SYS(socket)(family, SOCK_STREAM | MICRO__BORN, 0));
    socket_quiet_pipe(fd);
    return fd;
}

static bool socket_is_any6(const micro__addr *a)
{
    struct sockaddr_in6 in;
    if (micro__addr_family(a) != AF_INET6)
        return false;
    memcpy(&in, a->u.bytes, sizeof in);
    return IN6_IS_ADDR_UNSPECIFIED(&in.sin6_addr);
}

static bool socket_is_any4(const micro__addr *a)
{
    struct sockaddr_in in;
    if (micro__addr_family(a) != AF_INET)
        return false;
    memcpy(&in, a->u.bytes, sizeof in);
    return in.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Probes after half a minute of silence; who answers none of four in another minute is gone. */
MICRO_PRIVATE void micro__sock_probe(int fd)
{
    micro__sock_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    micro__sock_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, SOCKET_PROBE_AFTER);
#elif defined(TCP_KEEPALIVE)
    micro__sock_option(fd, IPPROTO_TCP, TCP_KEEPALIVE, SOCKET_PROBE_AFTER);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    micro__sock_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, SOCKET_PROBE_EVERY);
    micro__sock_option(fd, IPPROTO_TCP, TCP_KEEPCNT, SOCKET_PROBES);
#endif
}

MICRO_PRIVATE bool micro__sock_peer(int fd, micro__addr *out)
{
    socklen_t len = sizeof out->u.bytes;

    memset(out, 0, sizeof *out);
    if (getpeername(fd, micro__addr_sys(out), &len) < 0)
        return false;
    out->len = len;
    return true;
}

/* ---- listening ------------------------------------------------------------------------------ */

static micro_err socket_listen_error(int error)
{
    switch (error) {
    case EADDRINUSE:
        return MICRO_EBUSY;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return MICRO_ENOMEM;
    case EIO:
        return MICRO_EIO;
    default: /* EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, ENOENT ...: this address will not do */
        return MICRO_EINVAL;
    }
}

/* True if nothing listens on the socket file at path. */
static bool socket_is_stale(const micro__addr *a)
{
    struct stat st;
    if (lstat(micro__addr_path(a), &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket_open(AF_UNIX);
    if (fd < 0)
        return false;
    bool refused =
        MICRO__SYS(connect)(fd, micro__addr_sys_const(a), a->len) < 0 && errno == ECONNREFUSED;
    micro__fd_close(fd);
    return refused;
}

MICRO_PRIVATE void micro__sock_unlink(const micro__addr *bound)
{
    if (micro__addr_path(bound)[0] && socket_is_stale(bound))
        unlink(micro__addr_path(bound));
}

static int socket_bind(int fd, const micro__addr *want)
{
    if (bind(fd, micro__addr_sys_const(want), want->len) == 0)
        return 0;
    if (errno != EADDRINUSE || micro__addr_family(want) != AF_UNIX)
        return -1;
    micro__sock_unlink(want); /* of a program that was killed */
    return bind(fd, micro__addr_sys_const(want), want->len);
}

static micro_err socket_listen_once(const micro__addr *want, int backlog, int *fd,
                                    micro__addr *bound)
{
    int family = micro__addr_family(want);
    socklen_t len = sizeof bound->u.bytes;
    *fd = socket_open(family);
    if (*fd < 0)
        return socket_listen_error(errno);
    if (family != AF_UNIX) {
        /* connections of the last run linger in TIME_WAIT */
        micro__sock_option(*fd, SOL_SOCKET, SO_REUSEADDR, 1);
        /* Linux hands these on to what is accepted */
        micro__sock_option(*fd, IPPROTO_TCP, TCP_NODELAY, 1);
#if defined(TCP_NOTSENT_LOWAT)
        micro__sock_option(*fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, SOCKET_UNSENT);
#endif
    }
    if (socket_is_any6(want))
        micro__sock_option(*fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    memset(bound, 0, sizeof *bound);
    if (socket_bind(*fd, want) < 0 || listen(*fd, backlog > 0 ? backlog : SOMAXCONN) < 0 ||
        getsockname(*fd, micro__addr_sys(bound), &len) < 0) {
        micro_err err = socket_listen_error(errno);
        micro__fd_close(*fd);
        *fd = -1;
        return err;
    }
    bound->len = (uint32_t)len;
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__sock_listen(const micro__addr *want, int backlog, int *fd,
                                           micro__addr *bound)
{
    micro_err err = socket_listen_once(want, backlog, fd, bound);
    if (err != MICRO_EINVAL || !socket_is_any6(want))
        return err;
    micro__addr any4; /* no IPv6 here */
    if (!micro__addr_literal(&any4, micro_s("0.0.0.0"), micro__addr_port(want)))
        return err;
    return socket_listen_once(&any4, backlog, fd, bound);
}

static micro_err socket_accept_error(int error)
{
    switch (error) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return MICRO_EAGAIN;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return MICRO_ENOMEM;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        return MICRO_ECLOSED;
    default: /* ECONNABORTED, EPROTO ...: that one connection has failed */
        return MICRO_EIO;
    }
}

MICRO_PRIVATE micro_err micro__sock_accept(int listener, int *fd, micro__addr *peer)
{
    socklen_t len = sizeof peer->u.bytes;
    if (peer)
        memset(peer, 0, sizeof *peer);
    do {
        *fd = MICRO__ACCEPT(listener, peer ? micro__addr_sys(peer) : NULL, peer ? &len : NULL);
    } while (*fd < 0 && errno == EINTR);
    *fd = micro__fd_born(*fd);
    if (*fd < 0)
        return socket_accept_error(errno);
#if !MICRO__LINUX
    socket_quiet_pipe(*fd);
    micro__sock_option(*fd, IPPROTO_TCP, TCP_NODELAY, 1);
#endif
    if (peer)
        peer->len = len < sizeof peer->u.bytes ? (uint32_t)len : (uint32_t)sizeof peer->u.bytes;
    return MICRO_OK;
}

/* ---- connecting ----------------------------------------------------------------------------- */

/* errno in words. strerror is not safe in threads, and strerror_r differs between systems. */
static void socket_why(char why[128], int error)
{
    static const struct {
        int error;
        const char *text;
    } known[] = {
        { ECONNREFUSED, "connection refused" },
        { ECONNRESET, "connection reset by peer" },
        { EHOSTUNREACH, "no route to host" },
        { ENETUNREACH, "network is unreachable" },
        { ENETDOWN, "network is down" },
        { ETIMEDOUT, "connection timed out" },
        { EADDRNOTAVAIL, "cannot assign requested address" },
        { EAFNOSUPPORT, "address family not supported" },
        { EACCES, "permission denied" },
        { EPERM, "operation not permitted" },
        { ENOENT, "no such file or directory" },
        { EAGAIN, "resource temporarily unavailable" },
        { EMFILE, "too many open files" },
        { ENFILE, "too many open files in system" },
        { ENOBUFS, "no buffer space available" },
        { ENOMEM, "out of memory" },
        { EINVAL, "invalid argument" },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(known); i++) {
        if (known[i].error == error) {
            snprintf(why, 128, "%s", known[i].text);
            return;
        }
    }
    snprintf(why, 128, "system error %d", error);
}

static bool socket_ends(int fd, micro__addr *own, micro__addr *peer)
{
    socklen_t len = sizeof own->u.bytes;
    if (getsockname(fd, micro__addr_sys(own), &len) < 0)
        return false;
    own->len = len;
    return micro__sock_peer(fd, peer);
}

/* Both ends alike: on a port out of the range for outgoing connections, with nobody listening, the
 * kernel may pick that very port for our own end and connect the socket to itself. */
static bool socket_is_own_peer(int fd)
{
    micro__addr own, peer;
    return socket_ends(fd, &own, &peer) && own.len == peer.len &&
           micro__addr_family(&own) != AF_UNIX && memcmp(own.u.bytes, peer.u.bytes, own.len) == 0;
}

/* Who connects to an address of this machine does so from that very address. */
MICRO_PRIVATE bool micro__sock_is_near(int fd)
{
    micro__addr own, peer;
    return socket_ends(fd, &own, &peer) && micro__addr_same_host(&own, &peer);
}

MICRO_PRIVATE bool micro__sock_are_ends(int a, int b)
{
    micro__addr own[2], peer[2];

    return socket_ends(a, &own[0], &peer[0]) && socket_ends(b, &own[1], &peer[1]) &&
           micro__addr_family(&peer[0]) != AF_UNIX && micro__addr_same_host(&own[0], &peer[1]) &&
           micro__addr_same_host(&own[1], &peer[0]) &&
           micro__addr_port(&own[0]) == micro__addr_port(&peer[1]) &&
           micro__addr_port(&own[1]) == micro__addr_port(&peer[0]);
}

static micro_err socket_connect_failed(int *fd, int error, char why[128])
{
    micro__fd_close(*fd);
    *fd = -1;
    socket_why(why, error);
    return MICRO_ECONNECT;
}

MICRO_PRIVATE micro_err micro__sock_connect_begin(const micro__addr *to, int *fd, char why[128])
{
    micro__addr local;

    why[0] = '\0';
    if ((socket_is_any6(to) || socket_is_any4(to)) &&
        micro__addr_literal(&local, micro_s("127.0.0.1"), micro__addr_port(to)))
        to = &local; /* "any" as a destination is this machine */
    *fd = socket_open(micro__addr_family(to));
    if (*fd < 0) {
        socket_why(why, errno);
        return MICRO_ECONNECT;
    }
    if (micro__addr_family(to) != AF_UNIX)
        micro__sock_option(*fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (MICRO__SYS(connect)(*fd, micro__addr_sys_const(to), to->len) == 0)
        return micro__sock_connect_end(fd, why);
    return errno == EINPROGRESS || errno == EINTR ? MICRO_EAGAIN
                                                  : socket_connect_failed(fd, errno, why);
}

MICRO_PRIVATE micro_err micro__sock_connect_end(int *fd, char why[128])
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (!error && socket_is_own_peer(*fd))
        error = ECONNREFUSED;
    return error ? socket_connect_failed(fd, error, why) : MICRO_OK;
}

/* ---- moving bytes --------------------------------------------------------------------------- */

static long socket_moved(ssize_t n)
{
    if (n >= 0)
        return (long)n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? MICRO_EAGAIN : MICRO_EIO;
}

MICRO_PRIVATE long micro__sock_send(int fd, const void *data, size_t len)
{
    ssize_t n;
    do
        n = MICRO__SYS(send)(fd, data, len, MICRO__NOSIGNAL);
    while (MICRO__RARE(n < 0) && errno == EINTR);
    return socket_moved(n);
}

MICRO_PRIVATE long micro__sock_send2(int fd, const void *a, size_t alen, const void *b, size_t blen)
{
    if (!alen)
        return micro__sock_send(fd, b, blen);
    if (!blen)
        return micro__sock_send(fd, a, alen);
    if (alen < SOCKET_JOIN && blen < SOCKET_JOIN - alen) {
        char joined[SOCKET_JOIN];
        memcpy(joined, a, alen);
        memcpy(joined + alen, b, blen);
        return micro__sock_send(fd, joined, alen + blen);
    }
    struct iovec parts[2] = {
        /* they are not written to; iovec serves reading too */
        { .iov_base = (void *)(uintptr_t)a, .iov_len = alen },
        { .iov_base = (void *)(uintptr_t)b, .iov_len = blen },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    ssize_t n;
    do
        n = MICRO__SYS(sendmsg)(fd, &message, MICRO__NOSIGNAL);
    while (MICRO__RARE(n < 0) && errno == EINTR);
    return socket_moved(n);
}

MICRO_PRIVATE long micro__sock_recv(int fd, void *data, size_t len)
{
    ssize_t n;
    do
        n = MICRO__SYS(recv)(fd, data, len, 0);
    while (MICRO__RARE(n < 0) && errno == EINTR);
    return socket_moved(n);
}

MICRO_PRIVATE long micro__sock_peek(int fd)
{
    char byte;
    ssize_t n;
    do
        n = MICRO__SYS(recv)(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return socket_moved(n);
}

MICRO_PRIVATE bool micro__sock_quiet(int fd)
{
    return micro__sock_peek(fd) == MICRO_EAGAIN;
}

MICRO_PRIVATE void micro__sock_end(int fd)
{
    shutdown(fd, SHUT_WR);
}

MICRO_PRIVATE void micro__sock_shutdown(int fd)
{
    shutdown(fd, SHUT_RDWR);
}
