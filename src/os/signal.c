/* SPDX-License-Identifier: MIT */
/* SIGINT and SIGTERM as a descriptor. */
#include "sys.h"

#include <sched.h>
#include <signal.h>

static const int signal_numbers[] = { SIGINT, SIGTERM };
static struct {
    micro__mutex lock;
    int users;
    atomic_int in;   /* what the handler writes to; -1: nothing */
    atomic_int busy; /* handlers at work: in is closed when there is none */
    micro__waker waker;
    bool ours[2];
    struct sigaction before[2];
} signal_state = { .lock = MICRO__MUTEX_INIT, .in = -1 };

static void signal_handler(int number)
{
    (void)number;
    int saved = errno;
    atomic_fetch_add(&signal_state.busy, 1);
    const micro__waker w = { -1, atomic_load(&signal_state.in) };
    if (w.in >= 0)
        micro__waker_set(&w);
    atomic_fetch_sub(&signal_state.busy, 1);
    errno = saved;
}

static bool signal_is(const struct sigaction *action, void (*handler)(int))
{
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == handler;
}

static void signal_catch(void)
{
    struct sigaction action = { .sa_handler = signal_handler, .sa_flags = SA_RESTART };

    atomic_store(&signal_state.in, signal_state.waker.in);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < MICRO_COUNTOF(signal_numbers); i++) {
        struct sigaction *before = &signal_state.before[i];
        signal_state.ours[i] = sigaction(signal_numbers[i], NULL, before) == 0 &&
                               signal_is(before, SIG_DFL) &&
                               sigaction(signal_numbers[i], &action, NULL) == 0;
    }
}

static void signal_let_go(void)
{
    atomic_store(&signal_state.in, -1);
    for (size_t i = 0; i < MICRO_COUNTOF(signal_numbers); i++) {
        struct sigaction now;
        if (signal_state.ours[i] && sigaction(signal_numbers[i], NULL, &now) == 0 &&
            signal_is(&now, signal_handler))
            sigaction(signal_numbers[i], &signal_state.before[i], NULL);
    }
    while (atomic_load(&signal_state.busy)) /* one that has read in writes to it yet */
        sched_yield();
    micro__waker_close(&signal_state.waker);
}

MICRO_PRIVATE int micro__signals_catch(void)
{
    int fd = -1;

    micro__lock(&signal_state.lock);
    if (signal_state.users || micro__waker_open(&signal_state.waker)) {
        if (!signal_state.users++)
            signal_catch();
        fd = signal_state.waker.fd;
    }
    micro__unlock(&signal_state.lock);
    return fd;
}

MICRO_PRIVATE void micro__signals_release(int fd)
{
    if (fd < 0)
        return;
    micro__lock(&signal_state.lock);
    if (--signal_state.users == 0)
        signal_let_go();
    micro__unlock(&signal_state.lock);
}
