/* SPDX-License-Identifier: MIT */
/* The poller over epoll, for Linux. */
#include "sys.h"

#if MICRO__POLLER == MICRO__POLLER_EPOLL

#include <sys/epoll.h>

#define EPOLL_BATCH 128

static const char epoll_wake_tag[1]; /* its address marks the wake-up among the events */

static micro_err epoll_add(micro__poller *p, int fd, uint32_t events, void *data)
{
    struct epoll_event event = { .events = events, .data = { .ptr = data } };
    if (MICRO__SYS(epoll_ctl)(p->fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return MICRO_OK;
    switch (errno) {
    case ENOMEM:
    case ENOSPC:
        return MICRO_ENOMEM;
    case EEXIST:
        return MICRO_EEXIST;
    default:
        return MICRO_EIO;
    }
}

MICRO_PRIVATE micro_err micro__poller_open(micro__poller *p)
{
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    micro_err err = micro__waker_open(&p->wake) && p->fd >= 0 ? MICRO_OK : MICRO_ENOMEM;
    /* edge-triggered: every write is reported once, and nothing has to be read */
    if (err == MICRO_OK)
        err = epoll_add(p, p->wake.fd, EPOLLIN | EPOLLET, (void *)(uintptr_t)epoll_wake_tag);
    if (err != MICRO_OK)
        micro__poller_close(p);
    return err;
}

MICRO_PRIVATE void micro__poller_close(micro__poller *p)
{
    micro__waker_close(&p->wake);
    micro__fd_close(p->fd);
    p->fd = -1;
}

MICRO_PRIVATE micro_err micro__poller_add(micro__poller *p, int fd, void *data)
{
    return epoll_add(p, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, data);
}

MICRO_PRIVATE micro_err micro__poller_add_listener(micro__poller *p, int fd, void *data)
{
    return epoll_add(p, fd, EPOLLIN | EPOLLEXCLUSIVE, data);
}

MICRO_PRIVATE void micro__poller_del(micro__poller *p, int fd)
{
    struct epoll_event unused = { .events = 0 };
    MICRO__SYS(epoll_ctl)(p->fd, EPOLL_CTL_DEL, fd, &unused);
}

MICRO_PRIVATE void micro__poller_wake(micro__poller *p)
{
    micro__waker_set(&p->wake);
}

MICRO_PRIVATE int micro__poller_wait(micro__poller *p, micro__event *out, int max, int timeout_ms)
{
    struct epoll_event events[EPOLL_BATCH];
    int n =
        MICRO__SYS(epoll_wait)(p->fd, events, max < EPOLL_BATCH ? max : EPOLL_BATCH, timeout_ms);
    int count = 0;
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == epoll_wake_tag)
            continue;
        uint32_t e = events[i].events;
        out[count].data = events[i].data.ptr;
        out[count++].what = (e & EPOLLIN ? (unsigned)MICRO__IN : 0u) |
                            (e & EPOLLOUT ? (unsigned)MICRO__OUT : 0u) |
                            (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? (unsigned)MICRO__HUP : 0u);
    }
    return count;
}

#undef EPOLL_BATCH
#endif
