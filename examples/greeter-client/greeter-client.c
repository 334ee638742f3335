/* SPDX-License-Identifier: MIT */
/* Calls the greeter by name: greeter-client [NAME]. */
#include "micro.h"
#include <stdio.h>

typedef struct { micro_str name; } hello_req;
typedef struct { micro_str msg; } hello_rsp;

MICRO_TYPE(hello_req, "Request", MICRO_FIELD(string, hello_req, name, 1));
MICRO_TYPE(hello_rsp, "Response", MICRO_FIELD(string, hello_rsp, msg, 1));
MICRO_METHOD(say_hello, "Say.Hello", hello_req, hello_rsp);

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = "greeter-client", .argc = argc, .argv = argv);
    micro_ctx *ctx = micro_ctx_new(svc);
    const char *const *args;
    size_t nargs = micro_service_args(svc, &args);
    hello_req req = { .name = micro_s(nargs > 0 ? args[0] : "John") };
    hello_rsp rsp;

    micro_err err = say_hello(ctx, "go.micro.srv.greeter", &req, &rsp);
    if (err == MICRO_OK)
        printf("%s\n", rsp.msg.ptr);
    else if (err != MICRO_EHELP)
        fprintf(stderr, "greeter-client: %s\n", micro_ctx_strerror(ctx));

    int status = micro_service_exit_code(svc, err);
    micro_ctx_free(ctx); /* rsp.msg ends here */
    micro_service_free(svc);
    return status;
}
