/* SPDX-License-Identifier: MIT */
/* Many calls at once, from one thread: async NAME... greets all of them at the same time and prints
 * the answers in the order of the names. */
#include "micro.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct { micro_str name; } hello_req;
typedef struct { micro_str msg; } hello_rsp;

MICRO_TYPE(hello_req, "Request", MICRO_FIELD(string, hello_req, name, 1));
MICRO_TYPE(hello_rsp, "Response", MICRO_FIELD(string, hello_rsp, msg, 1));
MICRO_METHOD(say_hello, "Say.Hello", hello_req, hello_rsp);

typedef struct {
    char text[256]; /* the reply ends with its completion, so it is copied out */
    micro_err err;
} answer;

/* Completions run one at a time: no lock is needed for what they share. */
static void greeted(micro_ctx *ctx, micro_err err, const hello_rsp *rsp, void *arg)
{
    answer *a = arg;

    a->err = err;
    snprintf(a->text, sizeof a->text, "%s",
             err == MICRO_OK ? rsp->msg.ptr : micro_ctx_strerror(ctx));
}

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = "async", .argc = argc, .argv = argv);
    micro_ctx *ctx = micro_ctx_new(svc);
    const char *const *names;
    size_t n = micro_service_args(svc, &names);
    answer *answers = calloc(n + 1, sizeof *answers);
    micro_err err = micro_service_error(svc);

    for (size_t i = 0; answers && err == MICRO_OK && i < n; i++) {
        hello_req req = { .name = micro_s(names[i]) };
        say_hello_start(ctx, "go.micro.srv.greeter", &req, greeted, &answers[i]);
    }
    if (err == MICRO_OK)
        err = micro_ctx_wait(ctx);
    for (size_t i = 0; answers && i < n; i++) {
        if (answers[i].err != MICRO_OK)
            err = answers[i].err;
        fprintf(answers[i].err == MICRO_OK ? stdout : stderr, "%s\n", answers[i].text);
    }
    int status = micro_service_exit_code(svc, err);
    micro_ctx_free(ctx);
    free(answers);
    micro_service_free(svc);
    return status;
}
