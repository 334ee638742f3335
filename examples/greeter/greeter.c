/* SPDX-License-Identifier: MIT */
/* A service: found by name, called in JSON or protobuf by C, by Go, or by the micro command. */
#include "micro.h"

typedef struct { micro_str name; } hello_req;
typedef struct { micro_str msg; } hello_rsp;

MICRO_TYPE(hello_req, "Request", MICRO_FIELD(string, hello_req, name, 1));
MICRO_TYPE(hello_rsp, "Response", MICRO_FIELD(string, hello_rsp, msg, 1));
MICRO_METHOD(say_hello, "Say.Hello", hello_req, hello_rsp);

static micro_err hello(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    rsp->msg = micro_concat(ctx, micro_s("Hello "), req->name);
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    micro_service *svc =
        micro_service_new(.name = "go.micro.srv.greeter", .argc = argc, .argv = argv);

    say_hello_handle(svc, hello, NULL);
    int status = micro_service_exit_code(svc, micro_service_run(svc));
    micro_service_free(svc);
    return status;
}
