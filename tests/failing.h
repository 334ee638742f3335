/* SPDX-License-Identifier: MIT */
/* An allocator for tests: fails on demand, checks old sizes, counts what is not freed. The
 * library's threads may be at it too. */
#ifndef FAILING_H
#define FAILING_H

#include "harness.h"

#include <pthread.h>

typedef struct failing_state {
    size_t calls;      /* requests for memory */
    size_t fail_at;    /* the number of the first request that fails; 0: none */
    bool once;         /* only that one fails */
    size_t live, peak; /* bytes */
    size_t wrong;      /* old sizes that were not what had been asked for */
} failing_state;

static failing_state failing;
static pthread_mutex_t failing_lock = PTHREAD_MUTEX_INITIALIZER;

typedef union failing_head {
    size_t size;
    char align_[16];
} failing_head;

static inline void *failing_locked(void *old, size_t old_size, size_t new_size)
{
    failing_head *h = old ? (failing_head *)old - 1 : NULL;

    if (h && h->size != old_size)
        failing.wrong++;
    if (new_size) {
        failing.calls++;
        if (failing.fail_at && failing.calls >= failing.fail_at &&
            (!failing.once || failing.calls == failing.fail_at))
            return NULL;
    }
    /* Always moved, so that whoever keeps an old pointer is found. */
    failing_head *made = new_size ? (failing_head *)malloc(sizeof *h + new_size) : NULL;
    if (new_size && !made)
        return NULL;
    if (made) {
        made->size = new_size;
        memset(made + 1, 0xa5, new_size);
        failing.live += new_size;
    }
    if (h) {
        if (made)
            memcpy(made + 1, h + 1, h->size < new_size ? h->size : new_size);
        failing.live -= h->size;
        free(h);
    }
    if (failing.live > failing.peak)
        failing.peak = failing.live;
    return made ? made + 1 : NULL;
}

static inline void *failing_realloc(void *arg, void *old, size_t old_size, size_t new_size)
{
    (void)arg;
    pthread_mutex_lock(&failing_lock);
    void *made = failing_locked(old, old_size, new_size);
    pthread_mutex_unlock(&failing_lock);
    return made;
}

/* Requests so far, where other threads may be at it. */
static inline size_t failing_calls(void)
{
    pthread_mutex_lock(&failing_lock);
    size_t n = failing.calls;
    pthread_mutex_unlock(&failing_lock);
    return n;
}

/* From here on the library's memory is taken here; request fail_at fails, and all after it. */
static inline void failing_begin(size_t fail_at)
{
    memset(&failing, 0, sizeof failing);
    failing.fail_at = fail_at;
    micro_allocator_set(failing_realloc, NULL);
}

/* Checks that all was freed, and with the right sizes. True: no request has failed. */
static inline bool failing_end(void)
{
    CHECK_EQ_UINT(failing.live, 0);
    CHECK_EQ_UINT(failing.wrong, 0);
    micro_allocator_set(NULL, NULL);
    return !failing.fail_at || failing.calls < failing.fail_at;
}

#endif
