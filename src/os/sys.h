/* SPDX-License-Identifier: MIT */
/* Inside src/os only: the system's headers, and the system calls that tests may replace. */
#ifndef MICRO_SYS_H
#define MICRO_SYS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE \
    1 /* accept4, in6_pktinfo, CPU_COUNT; must stand before the first system header */
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
