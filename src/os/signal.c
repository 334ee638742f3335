/* SPDX-License-Identifier: MIT */
/* SIGINT and SIGTERM as a descriptor. */
#include "sys.h"

#include <sched.h>
#include <signal.h>

static const int signal_numbers[] = { SIGINT, SIGTERM };
static struct {
    atomic_flag taken;
    atomic_int fd;   /* what the handler writes to; -1: nothing */
    atomic_int busy; /* handlers at work: fd is closed when there is none */
    bool ours[2];
    struct sigaction before[2];
} signal_state = { .taken = ATOMIC_FLAG_INIT, .fd = -1 };

static void signal_handler(int number)
{
    (void)number;
    int saved = errno;
    atomic_fetch_add(&signal_state.busy, 1);
    int fd = atomic_load(&signal_state.fd);
    if (fd >= 0)
        micro__waker_set(fd);
    atomic_fetch_sub(&signal_state.busy, 1);
    errno = saved;
}

static bool signal_is(const struct sigaction *action, void (*handler)(int))
{
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == handler;
}

MICRO_PRIVATE int micro__signals_catch(void)
{
    if (atomic_flag_test_and_set(&signal_state.taken))
        return -1;
    int fd = micro__waker_open();
    if (fd < 0) {
        atomic_flag_clear(&signal_state.taken);
        return -1;
    }
    atomic_store(&signal_state.fd, fd);
    struct sigaction action = { .sa_handler = signal_handler, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < MICRO_COUNTOF(signal_numbers); i++) {
        struct sigaction *before = &signal_state.before[i];
        signal_state.ours[i] = sigaction(signal_numbers[i], NULL, before) == 0 &&
                               signal_is(before, SIG_DFL) &&
                               sigaction(signal_numbers[i], &action, NULL) == 0;
    }
    return fd;
}

MICRO_PRIVATE void micro__signals_release(void)
{
    int fd = atomic_exchange(&signal_state.fd, -1);
    if (fd < 0)
        return;
    for (size_t i = 0; i < MICRO_COUNTOF(signal_numbers); i++) {
        struct sigaction now;
        if (signal_state.ours[i] && sigaction(signal_numbers[i], NULL, &now) == 0 &&
            signal_is(&now, signal_handler))
            sigaction(signal_numbers[i], &signal_state.before[i], NULL);
    }
    while (atomic_load(&signal_state.busy)) /* one that has read fd writes to it yet */
        sched_yield();
    micro__fd_close(fd);
    atomic_flag_clear(&signal_state.taken);
}
