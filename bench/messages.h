/* SPDX-License-Identifier: MIT */
/* What the bench server offers and the bench clients call. */
#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

#include "micro.h"
#include <stdio.h>

typedef struct {
    micro_str name;
} hello_req;
typedef struct {
    micro_str msg;
} hello_rsp;
typedef struct {
    int32_t ms;
} sleep_req;
typedef struct {
    int32_t us;
} spin_req;
typedef struct {
    micro_str service;
    int32_t depth;
} nested_req;
typedef struct {
    micro_bytes bytes;
} echo_msg;

MICRO_TYPE(hello_req, "Request", MICRO_FIELD(string, hello_req, name, 1));
MICRO_TYPE(hello_rsp, "Response", MICRO_FIELD(string, hello_rsp, msg, 1));
MICRO_TYPE(sleep_req, "SleepRequest", MICRO_FIELD(int32, sleep_req, ms, 1));
MICRO_TYPE(spin_req, "SpinRequest", MICRO_FIELD(int32, spin_req, us, 1));
MICRO_TYPE(nested_req, "NestedRequest", MICRO_FIELD(string, nested_req, service, 1),
           MICRO_FIELD(int32, nested_req, depth, 2));
MICRO_TYPE(echo_msg, "EchoMessage", MICRO_FIELD(bytes, echo_msg, bytes, 1));

MICRO_METHOD(bench_hello, "Bench.Hello", hello_req, hello_rsp);
MICRO_METHOD(bench_sleep, "Bench.Sleep", sleep_req, micro_empty);
MICRO_METHOD(bench_pause, "Bench.Pause", sleep_req, micro_empty);
MICRO_METHOD(bench_spin, "Bench.Spin", spin_req, micro_empty);
MICRO_METHOD_EX(bench_nested, "Bench.Nested", nested_req, micro_empty, NULL, MICRO_IDEMPOTENT);
MICRO_METHOD(bench_echo, "Bench.Echo", echo_msg, echo_msg);
MICRO_STREAM(bench_talk, "Bench.Talk", hello_req, hello_rsp);
MICRO_TOPIC(bench_event, "bench.event", hello_req);

/* The service with its one node, in the registry of this process. */
static inline micro_err bench_register(micro_service *svc, const char *service, const char *node)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    micro_node one = { .id = micro_s("bench-1"), .address = micro_s(node) };
    micro_entry entry = { .name = micro_s(service),
                          .version = micro_s("1.0.0"),
                          .nodes = { &one, 1, 0 } };
    micro_err err = micro_registry_put(micro_service_registry(svc), ctx, &entry, 3600000);

    if (err != MICRO_OK)
        fprintf(stderr, "registry: %s\n", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    return err;
}

#endif
