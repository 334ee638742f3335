/* SPDX-License-Identifier: MIT */
/* The poller over kqueue, for macOS and the BSDs. */
#include "sys.h"

#if MICRO__POLLER == MICRO__POLLER_KQUEUE

#include <sys/event.h>
#include <sys/time.h>

#define KQUEUE_BATCH 128

static const char kqueue_wake_tag[1]; /* its address marks the wake-up among the events */

static micro_err kqueue_change(micro__poller *p, const struct kevent *changes, int n)
{
    int status;

    do
        status = kevent(p->fd, changes, n, NULL, 0, NULL);
    while (status < 0 && errno == EINTR);
    if (status >= 0)
        return MICRO_OK;
    return errno == ENOMEM ? MICRO_ENOMEM : MICRO_EIO;
}

MICRO_PRIVATE micro_err micro__poller_open(micro__poller *p)
{
    p->fd = kqueue();
    micro_err err = micro__waker_open(&p->wake) && p->fd >= 0 ? MICRO_OK : MICRO_ENOMEM;
    if (err == MICRO_OK && fcntl(p->fd, F_SETFD, FD_CLOEXEC) < 0)
        err = MICRO_EIO;
    if (err == MICRO_OK)
        err = micro__poller_add_listener(p, p->wake.fd, (void *)(uintptr_t)kqueue_wake_tag);
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
    struct kevent one;

    EV_SET(&one, fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, data);
    return kqueue_change(p, &one, 1);
}

MICRO_PRIVATE micro_err micro__poller_add_listener(micro__poller *p, int fd, void *data)
{
    struct kevent one;

    EV_SET(&one, fd, EVFILT_READ, EV_ADD, 0, 0, data);
    return kqueue_change(p, &one, 1);
}

MICRO_PRIVATE void micro__poller_del(micro__poller *p, int fd)
{
    struct kevent one;

    /* one by one: the second is seldom there, which is an error */
    EV_SET(&one, fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
    kqueue_change(p, &one, 1);
    EV_SET(&one, fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    kqueue_change(p, &one, 1);
}

/* What comes in is news by itself. What goes out is told once: every reply that the peer has taken
 * would be news. */
MICRO_PRIVATE void micro__poller_rearm(micro__poller *p, int fd, void *data, unsigned what)
{
    struct kevent one;

    EV_SET(&one, fd, EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, data);
    if (what & MICRO__OUT)
        kqueue_change(p, &one, 1);
}

MICRO_PRIVATE void micro__poller_wake(micro__poller *p)
{
    micro__waker_set(&p->wake);
}

/* Reading and writing are told apart, but a descriptor is to be reported once: whoever is told
 * first may close it. */
static int kqueue_report(micro__event *out, int count, void *data, unsigned what)
{
    for (int i = 0; what & MICRO__OUT && i < count; i++)
        if (out[i].data == data) {
            out[i].what |= what;
            return count;
        }
    out[count].data = data;
    out[count].what = what;
    return count + 1;
}

static int kqueue_pass(micro__poller *p, const struct kevent *events, int n, bool writes,
                       micro__event *out, int count)
{
    for (int i = 0; i < n; i++) {
        void *data = (void *)(uintptr_t)events[i].udata;
        bool ended = (events[i].flags & (EV_EOF | EV_ERROR)) != 0;
        if ((events[i].filter == EVFILT_WRITE) != writes)
            continue;
        if (data == kqueue_wake_tag) {
            micro__waker_clear(&p->wake);
            continue;
        }
        count = kqueue_report(out, count, data,
                              (unsigned)(writes ? MICRO__OUT : MICRO__IN) |
                                  (ended ? (unsigned)MICRO__HUP : 0u));
    }
    return count;
}

MICRO_PRIVATE int micro__poller_wait(micro__poller *p, micro__event *out, int max, int timeout_ms)
{
    struct kevent events[KQUEUE_BATCH];
    struct timespec wait = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
    int n = kevent(p->fd, NULL, 0, events, max < KQUEUE_BATCH ? max : KQUEUE_BATCH,
                   timeout_ms < 0 ? NULL : &wait);
    int count = kqueue_pass(p, events, n, false, out, 0);

    return kqueue_pass(p, events, n, true, out, count);
}

#undef KQUEUE_BATCH
#endif
