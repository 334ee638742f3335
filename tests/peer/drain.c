/* SPDX-License-Identifier: MIT */
/* For tests/drain.py. `drain` serves Work.Do, which takes 300 ms and does not say so; at its end it
 * prints how often it was done. `drain load THREADS` calls it by name, as fast as it is answered,
 * until its input ends; prints "ok N failed N", and why. */
#define _DEFAULT_SOURCE /* usleep */
#include "../../micro.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORK "go.micro.srv.work"

MICRO_METHOD(work_do, "Work.Do", micro_empty, micro_empty);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int done, failed;
static bool over;

static micro_err work(micro_ctx *ctx, const micro_empty *req, micro_empty *rsp)
{
    (void)ctx;
    (void)req;
    (void)rsp;
    usleep(300000);
    pthread_mutex_lock(&lock);
    done++;
    pthread_mutex_unlock(&lock);
    return MICRO_OK;
}

static void *load(void *arg)
{
    micro_ctx *ctx = micro_ctx_new(arg);
    const micro_empty req = { 0 };
    micro_empty rsp;
    bool ended = false;

    while (!ended) {
        micro_err err = work_do(ctx, WORK, &req, &rsp); /* not idempotent */
        pthread_mutex_lock(&lock);
        ended = over;
        *(err == MICRO_OK ? &done : &failed) += 1;
        if (err != MICRO_OK)
            fprintf(stderr, "%d: %s\n", err, micro_ctx_strerror(ctx));
        pthread_mutex_unlock(&lock);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

static micro_err callers(micro_service *svc, int n)
{
    pthread_t threads[64];

    for (int i = 0; i < n && i < 64; i++)
        pthread_create(&threads[i], NULL, load, svc);
    while (getchar() != EOF)
        ;
    pthread_mutex_lock(&lock);
    over = true;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < n && i < 64; i++)
        pthread_join(threads[i], NULL);
    printf("ok %d failed %d\n", done, failed);
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = WORK, .argc = argc, .argv = argv);
    const char *const *args;
    size_t nargs = micro_service_args(svc, &args);
    micro_err err;

    if (nargs == 2) {
        err = callers(svc, atoi(args[1]));
    } else {
        work_do_handle(svc, work, NULL);
        err = micro_service_run(svc);
        printf("done %d\n", done);
    }
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
