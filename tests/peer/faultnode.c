/* SPDX-License-Identifier: MIT */
/* A node of the fault tests. Prints "ready ADDRESS" when it serves; SIGUSR1 makes all its calls
 * fail, SIGUSR2 heals it; with --work a call takes so many ms. */
#define _POSIX_C_SOURCE 200809L
#include "messages.h"
#include <signal.h>
#include <stdio.h>
#include <time.h>

MICRO_METHOD(fault_work, "Fault.Work", hello_req, hello_rsp);

static volatile sig_atomic_t failing;
static int work_ms;

static void on_signal(int number)
{
    failing = number == SIGUSR1;
}

static micro_err work(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    struct timespec pause = { .tv_sec = work_ms / 1000, .tv_nsec = work_ms % 1000 * 1000000L };

    if (work_ms) {
        micro_block_begin();
        nanosleep(&pause, NULL);
        micro_block_end();
    }
    if (failing)
        return micro_fail(ctx, 500, "out of order");
    rsp->msg = micro_copy(ctx, req->name);
    return MICRO_OK;
}

static micro_err ready(micro_service *svc, void *arg)
{
    (void)arg;
    printf("ready %s\n", micro_service_address(svc));
    fflush(stdout);
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    const micro_flag flags[] = { { .name = "work", .help = "Time of a call", .ms = &work_ms } };
    micro_service *svc = micro_service_new(.name = "fault", .argc = argc, .argv = argv,
                                           .flags = flags, .nflags = MICRO_COUNTOF(flags));
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    fault_work_handle(svc, work, NULL);
    micro_service_on(svc, MICRO_AFTER_START, ready, NULL);
    int status = micro_service_exit_code(svc, micro_service_run(svc));
    micro_service_free(svc);
    return status;
}
