/* SPDX-License-Identifier: MIT */
/* The part of kqueue's interface that the library uses, for a system that has no kqueue: see
 * tests/kqueue/kqueue.c. */
#ifndef SHIM_EVENT_H
#define SHIM_EVENT_H

#include <stdint.h>
#include <time.h>

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    intptr_t data;
    void *udata;
};

#define EV_SET(k, id, filter_, flags_, fflags_, data_, udata_) \
    do { \
        struct kevent *set_ = (k); \
        set_->ident = (uintptr_t)(id); \
        set_->filter = (filter_); \
        set_->flags = (flags_); \
        set_->fflags = (fflags_); \
        set_->data = (data_); \
        set_->udata = (udata_); \
    } while (0)

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout);

#endif
