/* SPDX-License-Identifier: MIT */
/* A function: a service that ends after one request, with its reply delivered. Whoever calls while
 * it is at that one is told to go elsewhere; something outside starts it anew if it shall go on:
 *
 *     while ./function; do :; done */
#include "micro.h"

typedef struct { micro_str name; } hello_req;
typedef struct { micro_str greeting; } hello_rsp;

MICRO_TYPE(hello_req, "HelloRequest", MICRO_FIELD(string, hello_req, name, 1));
MICRO_TYPE(hello_rsp, "HelloResponse", MICRO_FIELD(string, hello_rsp, greeting, 1));
MICRO_METHOD(greeter_hello, "Greeter.Hello", hello_req, hello_rsp);

static micro_err hello(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    rsp->greeting = micro_concat(ctx, micro_s("Hello "), req->name);
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    micro_service *svc =
        micro_service_new(.name = "greeter", .argc = argc, .argv = argv, .function = true);

    greeter_hello_handle(svc, hello, NULL);
    int status = micro_service_exit_code(svc, micro_service_run(svc));
    micro_service_free(svc);
    return status;
}
