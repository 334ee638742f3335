/* SPDX-License-Identifier: MIT */
/* The table of system calls that tests replace; without test hooks this file is empty. */
#include "sys.h"

#if MICRO_ENABLE_TEST_HOOKS

/* glibc declares these three with a union of address types, so that they are of another type. */
static int sys_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
#if MICRO__LINUX
    return accept4(fd, from, len, flags);
#else
    (void)flags;
    return accept(fd, from, len);
#endif
}

static int sys_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    return connect(fd, to, len);
}

static ssize_t sys_sendto(int fd, const void *data, size_t size, int flags,
                          const struct sockaddr *to, socklen_t len)
{
    return sendto(fd, data, size, flags, to, len);
}

MICRO_PRIVATE_DEF micro__sys_table micro__sys = {
    .recv = recv,
    .send = send,
    .sendmsg = sendmsg,
    .recvmsg = recvmsg,
    .sendto = sys_sendto,
    .accept4 = sys_accept4,
    .connect = sys_connect,
    .socket = socket,
    .poll = poll,
#if MICRO__LINUX
    .epoll_wait = epoll_wait,
    .epoll_ctl = epoll_ctl,
#endif
    .clock_gettime = clock_gettime,
};

#endif
