/* SPDX-License-Identifier: MIT */
/* As much of kqueue over epoll as poll_kqueue.c asks for, so that it can be run here where neither
 * kqueue nor libkqueue is: reading and writing are watched and told apart, EV_CLEAR tells changes,
 * EV_ONESHOT is over when it was told, and the end of a stream is EV_EOF. */
#include "sys/event.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SHIM_FDS = 4096, SHIM_BATCH = 64 };

typedef struct shim_filter {
    bool on;
    unsigned short flags;
    void *udata;
} shim_filter;

typedef struct shim_watch {
    shim_filter read, write;
} shim_watch;

static pthread_mutex_t shim_lock = PTHREAD_MUTEX_INITIALIZER;
static shim_watch *shim_queues[SHIM_FDS]; /* of each queue: by descriptor */

int kqueue(void)
{
    int kq = epoll_create1(0);

    if (kq < 0 || kq >= SHIM_FDS)
        return -1;
    pthread_mutex_lock(&shim_lock);
    free(shim_queues[kq]); /* of one that was closed */
    shim_queues[kq] = calloc(SHIM_FDS, sizeof(shim_watch));
    pthread_mutex_unlock(&shim_lock);
    return kq;
}

/* Tells epoll what is wanted now; of a descriptor that it does not know, only *mine is. */
static int shim_apply(int kq, int fd, shim_watch *w, const shim_filter *mine)
{
    bool level = w->read.on && !(w->read.flags & EV_CLEAR);
    struct epoll_event e = {
        .events = (w->read.on ? EPOLLIN | EPOLLRDHUP : 0u) | (w->write.on ? EPOLLOUT : 0u) |
                  (level ? 0u : EPOLLET),
        .data = { .fd = fd },
    };

    if (!w->read.on && !w->write.on)
        return epoll_ctl(kq, EPOLL_CTL_DEL, fd, &e);
    if (epoll_ctl(kq, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    if (mine != &w->read)
        w->read.on = false;
    if (mine != &w->write)
        w->write.on = false;
    return epoll_ctl(kq, EPOLL_CTL_ADD, fd, &e);
}

static int shim_change(int kq, const struct kevent *k)
{
    int fd = (int)k->ident;

    if (fd < 0 || fd >= SHIM_FDS) {
        errno = EBADF;
        return -1;
    }
    shim_watch *w = &shim_queues[kq][fd];
    shim_filter *f = k->filter == EVFILT_READ ? &w->read : &w->write;
    if (k->flags & EV_DELETE && !f->on) {
        errno = ENOENT;
        return -1;
    }
    f->on = k->flags & EV_ADD;
    f->flags = k->flags;
    f->udata = k->udata;
    if (shim_apply(kq, fd, w, f) == 0)
        return 0;
    memset(w, 0, sizeof *w);
    return -1;
}

static int shim_tell(shim_filter *f, int fd, short filter, bool ended, struct kevent *out)
{
    if (!f->on)
        return 0;
    unsigned short eof = ended ? EV_EOF : 0;
    EV_SET(out, fd, filter, f->flags | eof, 0, 0, f->udata);
    if (f->flags & EV_ONESHOT)
        f->on = false; /* epoll may go on: it is not passed on */
    return 1;
}

static int shim_wait(int kq, struct kevent *events, int nevents, int ms)
{
    struct epoll_event told[SHIM_BATCH];
    int most = nevents / 2 < SHIM_BATCH ? nevents / 2 : SHIM_BATCH, count = 0;
    int n = epoll_wait(kq, told, most > 0 ? most : 1, ms);

    if (n <= 0)
        return n;
    pthread_mutex_lock(&shim_lock);
    for (int i = n; i-- > 0;) { /* in no particular order */
        unsigned e = told[i].events;
        int fd = told[i].data.fd;
        shim_watch *w = &shim_queues[kq][fd];
        bool lost = e & (EPOLLHUP | EPOLLERR);
        if (e & EPOLLOUT || lost)
            count += shim_tell(&w->write, fd, EVFILT_WRITE, lost, &events[count]);
        if (count < nevents && (e & (EPOLLIN | EPOLLRDHUP) || lost))
            count += shim_tell(&w->read, fd, EVFILT_READ, e & EPOLLRDHUP || lost, &events[count]);
    }
    pthread_mutex_unlock(&shim_lock);
    return count;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout)
{
    int status = 0;

    pthread_mutex_lock(&shim_lock);
    for (int i = 0; i < nchanges && status == 0; i++)
        status = shim_change(kq, &changes[i]);
    pthread_mutex_unlock(&shim_lock);
    if (status < 0 || nevents == 0)
        return status;
    long ms = timeout ? timeout->tv_sec * 1000L + (timeout->tv_nsec + 999999L) / 1000000L : -1;
    return shim_wait(kq, events, nevents, (int)ms);
}
