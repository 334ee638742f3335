/* SPDX-License-Identifier: MIT */
/* Inside src/os only: the system's headers, and the system calls that tests may replace. */
#ifndef MICRO_SYS_H
#define MICRO_SYS_H

/* Before the first system header: accept4, in6_pktinfo, CPU_COUNT; what -std=c11 hides; the IPv6
 * options of RFC 3542. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE 1
#endif
#ifndef __APPLE_USE_RFC_3542
#define __APPLE_USE_RFC_3542 1
#endif
#ifndef _NETBSD_SOURCE
#define _NETBSD_SOURCE 1
#endif

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* MICRO__SYS(recv)(fd, ...) is recv(fd, ...), unless a test has put something else into the table.
 * */
#if MICRO_ENABLE_TEST_HOOKS
#define MICRO__SYS(name) micro__sys.name
#else
#define MICRO__SYS(name) name
#endif

/* How a descriptor becomes close-on-exec and non-blocking: by flags when it is made, or afterwards
 * by micro__fd_born, which returns fd, or -1 for one that is -1 or cannot be set (it is closed). */
#if MICRO__LINUX
#define MICRO__BORN (SOCK_NONBLOCK | SOCK_CLOEXEC)
#define micro__fd_born(fd) (fd)
#else
#define MICRO__BORN 0
MICRO_PRIVATE int micro__fd_born(int fd);
#endif
#if MICRO__LINUX || MICRO_ENABLE_TEST_HOOKS
#define MICRO__ACCEPT(fd, from, len) MICRO__SYS(accept4)(fd, from, len, MICRO__BORN)
#else
#define MICRO__ACCEPT(fd, from, len) accept(fd, from, len)
#endif
/* No SIGPIPE: asked for with every send, or once for the socket. */
#if defined(MSG_NOSIGNAL)
#define MICRO__NOSIGNAL MSG_NOSIGNAL
#else
#define MICRO__NOSIGNAL 0
#endif

static inline struct sockaddr *micro__addr_sys(micro__addr *a)
{
    return (struct sockaddr *)(void *)a->u.bytes;
}
static inline const struct sockaddr *micro__addr_sys_const(const micro__addr *a)
{
    return (const struct sockaddr *)(const void *)a->u.bytes;
}
/* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC for an empty one. */
MICRO_PRIVATE int micro__addr_family(const micro__addr *a);
/* The path of a unix address, terminated; "" for any other. */
MICRO_PRIVATE const char *micro__addr_path(const micro__addr *a);
/* Milliseconds for poll until deadline (0: none, hence -1). */
MICRO_PRIVATE int micro__poll_timeout(uint64_t deadline);
/* A socket option that is a number; false: refused. */
MICRO_PRIVATE bool micro__sock_option(int fd, int level, int name, int value);

#endif
