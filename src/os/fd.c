/* SPDX-License-Identifier: MIT */
/* Descriptors of any kind: waiting, waking, closing. */
#include "sys.h"

#include <limits.h>
#include <time.h>
#if MICRO__LINUX
#include <sys/eventfd.h>
#endif

#define FD_FEW 16 /* as many are waited for without taking memory */

MICRO_PRIVATE int micro__poll_timeout(uint64_t deadline)
{
    if (!deadline)
        return -1;
    uint64_t now = micro__now_ms();
    if (now >= deadline)
        return 0;
    return deadline - now > INT_MAX ? INT_MAX : (int)(deadline - now);
}

/* poll until deadline: MICRO_OK once something has happened. */
static micro_err fd_poll(struct pollfd *fds, size_t n, uint64_t deadline)
{
    for (;;) {
        int timeout = micro__poll_timeout(deadline);
        int count = MICRO__SYS(poll)(fds, (nfds_t)n, timeout);
        if (count > 0)
            return MICRO_OK;
        if (count == 0 && timeout == 0)
            return MICRO_ETIMEDOUT;
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            return MICRO_EIO;
    }
}

MICRO_PRIVATE micro_err micro__fd_wait(int fd, int what, uint64_t deadline)
{
    int events = (what & MICRO__READ ? POLLIN : 0) | (what & MICRO__WRITE ? POLLOUT : 0);
    struct pollfd p = { .fd = fd, .events = (short)events };
    micro_err err = fd_poll(&p, 1, deadline);
    return err == MICRO_OK && p.revents & POLLNVAL ? MICRO_EIO : err;
}

#if !MICRO_OMIT_THREADS
/* Microseconds where the system can wait so little; elsewhere it only looks. */
MICRO_PRIVATE bool micro__fd_ready(int fd, int what, int us)
{
    int events = (what & MICRO__READ ? POLLIN : 0) | (what & MICRO__WRITE ? POLLOUT : 0);
    struct pollfd p = { .fd = fd, .events = (short)events };
#if MICRO__LINUX
    struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };
    return ppoll(&p, 1, &t, NULL) > 0;
#else
    (void)us;
    return poll(&p, 1, 0) > 0;
#endif
}
#endif

MICRO_PRIVATE micro_err micro__fds_wait(const int *fds, size_t n, bool *ready, uint64_t deadline)
{
    struct pollfd few[FD_FEW], *p = few;
    if (n > FD_FEW) {
        p = n > SIZE_MAX / sizeof *p ? NULL : micro__alloc(n * sizeof *p);
        if (!p)
            return MICRO_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        p[i].fd = fds[i];
        p[i].events = POLLIN;
        p[i].revents = 0;
    }
    micro_err err = fd_poll(p, n, deadline);
    for (size_t i = 0; i < n; i++)
        ready[i] = err == MICRO_OK && p[i].revents != 0;
    if (p != few)
        micro__free(p, n * sizeof *p);
    return err;
}

MICRO_PRIVATE long micro__fd_read(int fd, void *data, size_t len)
{
    ssize_t n;
    do
        n = read(fd, data, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? MICRO_EIO : (long)n;
}

MICRO_PRIVATE void micro__fd_close(int fd)
{
    if (fd >= 0)
        close(fd); /* not again after EINTR: the descriptor is gone all the same */
}

MICRO_PRIVATE int micro__fd_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Linux doubles its table when it is full, and where a process has threads whoever needs the room
 * waits until no processor looks at the old one: some ten milliseconds, in which a loop serves
 * nobody. Before the first thread it is a matter of microseconds. */
MICRO_PRIVATE void micro__fd_room(int fd, uint64_t n)
{
#if MICRO__LINUX
    if (n && n <= INT_MAX)
        micro__fd_close(fcntl(fd, F_DUPFD_CLOEXEC, (int)n - 1));
#else
    (void)fd;
    (void)n;
#endif
}

#if !MICRO__LINUX
MICRO_PRIVATE int micro__fd_born(int fd)
{
    if (fd < 0 || (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}
#endif

/* ---- wakers -------------------------------------------------------------------------------- */

MICRO_PRIVATE bool micro__waker_open(micro__waker *w)
{
#if MICRO__LINUX
    w->fd = w->in = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
#else
    int ends[2] = { -1, -1 };
    if (pipe(ends) < 0)
        ends[0] = ends[1] = -1;
    w->fd = micro__fd_born(ends[0]);
    w->in = micro__fd_born(ends[1]);
#endif
    if (w->fd < 0 || w->in < 0)
        micro__waker_close(w);
    return w->fd >= 0;
}

MICRO_PRIVATE void micro__waker_close(micro__waker *w)
{
    if (w->in != w->fd)
        micro__fd_close(w->in);
    micro__fd_close(w->fd);
    w->fd = w->in = -1;
}

MICRO_PRIVATE void micro__waker_set(const micro__waker *w)
{
    const uint64_t one = 1;
    /* EAGAIN: it is set, over and over */
    while (write(w->in, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

MICRO_PRIVATE void micro__waker_clear(const micro__waker *w)
{
    uint64_t counts[8];
    ssize_t n;
    do
        n = read(w->fd, counts, sizeof counts);
    while (n == (ssize_t)sizeof counts || (n < 0 && errno == EINTR));
}

#undef FD_FEW
