/* SPDX-License-Identifier: MIT */
/* Threads, mutexes and conditions over pthreads. */
#include "sys.h"

#if MICRO_OMIT_THREADS

MICRO_PRIVATE bool micro__cond_wait(micro__cond *c, micro__mutex *m, uint64_t deadline)
{
    (void)c, (void)m;
    micro__fds_wait(NULL, 0, NULL, deadline);
    return false;
}

#else

#include <signal.h>
#include <time.h>

MICRO_PRIVATE void micro__mutex_init(micro__mutex *m)
{
    pthread_mutex_init(m, NULL);
}

MICRO_PRIVATE void micro__mutex_destroy(micro__mutex *m)
{
    pthread_mutex_destroy(m);
}

MICRO_PRIVATE void micro__cond_init(micro__cond *c)
{
#if defined(__APPLE__) /* no clock can be chosen, but waits by duration are there */
    pthread_cond_init(c, NULL);
#else
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock jumps */
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
#endif
}

MICRO_PRIVATE void micro__cond_destroy(micro__cond *c)
{
    pthread_cond_destroy(c);
}

MICRO_PRIVATE bool micro__cond_wait(micro__cond *c, micro__mutex *m, uint64_t deadline)
{
    if (!deadline) {
        pthread_cond_wait(c, m);
        return true;
    }
#if defined(__APPLE__)
    uint64_t now = micro__now_ms();
    deadline = deadline > now ? deadline - now : 0;
#endif
    uint64_t seconds = deadline / 1000u;
    struct timespec until = {
        .tv_sec = (time_t)(seconds > INT32_MAX ? INT32_MAX : seconds), /* time_t may have 32 bits */
        .tv_nsec = (long)(deadline % 1000u) * 1000000L,
    };
#if defined(__APPLE__)
    return pthread_cond_timedwait_relative_np(c, m, &until) != ETIMEDOUT;
#else
    return pthread_cond_timedwait(c, m, &until) != ETIMEDOUT;
#endif
}

/* Signals are for the program's own threads. Those that a fault raises stay open: blocked, they
 * would kill the process past the handlers of sanitizers and crash reporters. */
static void thread_signals(sigset_t *set)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
    sigfillset(set);
    for (size_t i = 0; i < MICRO_COUNTOF(faults); i++)
        sigdelset(set, faults[i]);
}

MICRO_PRIVATE bool micro__thread_start(micro__thread_id *id, size_t stack, void *(*fn)(void *),
                                       void *arg)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return false;
    if (stack) /* less than this machine needs, or no whole pages of it: then what it gives */
        pthread_attr_setstacksize(&attr, stack);
    sigset_t blocked, before;
    thread_signals(&blocked);
    /* inherited, so that no signal slips in before fn */
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    bool ok = pthread_create(id, &attr, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

#endif
