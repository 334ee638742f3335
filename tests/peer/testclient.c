/* SPDX-License-Identifier: MIT */
/* Calls a method and tells in JSON what came back, a line a call; on the public header alone.
 *
 *     testclient HOST:PORT METHOD [key=value ...]
 *
 * peer=direct|mucp|old    by address; by name, from a node that says protocol=mucp, or nothing
 * type=hello|rich|value   the messages; name=TEXT (repeat=N times) fills hello, json=TEXT any
 * send=NAME recv=N end=1 (in this order, repeated)    a stream instead: a line for each that it
 *                         receives; N 0: until the end; type=count takes numbers
 * content_type= timeout= attempts= count= idempotent=1 meta=Key:Value (repeated) from=NAME */
#include "messages.h"
#include <stdio.h>
#include <stdlib.h>

#define SERVICE "go.micro.srv.greeter"
#define MAX_META 16
#define MAX_STEPS 32

typedef struct options {
    const char *address, *method, *peer, *type, *name, *json, *from;
    const char *meta[MAX_META];
    size_t nmeta;
    int count, repeat;
    const char *steps[MAX_STEPS];
    int nsteps;
    micro_call_opts call;
} options;

static int option_read(options *o, const char *word)
{
    const char *value = strchr(word, '=');
    size_t n = value ? (size_t)(value - word) : 0;

    if (!value)
        return 0;
    value++;
#define IS(key) (n == sizeof key - 1 && memcmp(word, key, n) == 0)
    if (IS("peer"))
        o->peer = value;
    else if (IS("type"))
        o->type = value;
    else if (IS("name"))
        o->name = value;
    else if ((IS("send") || IS("recv") || IS("end")) && o->nsteps < MAX_STEPS)
        o->steps[o->nsteps++] = word;
    else if (IS("json"))
        o->json = value;
    else if (IS("from"))
        o->from = value;
    else if (IS("count"))
        o->count = atoi(value);
    else if (IS("repeat"))
        o->repeat = atoi(value);
    else if (IS("content_type"))
        o->call.content_type = value;
    else if (IS("timeout"))
        o->call.timeout_ms = atoi(value);
    else if (IS("attempts"))
        o->call.attempts = atoi(value);
    else if (IS("idempotent"))
        o->call.idempotent = atoi(value) != 0;
    else if (IS("meta") && o->nmeta < MAX_META)
        o->meta[o->nmeta++] = value;
    else
        return 0;
#undef IS
    return 1;
}

/* The one node behind the name, in a registry of this process. */
static micro_err node_put(micro_registry *reg, const options *o)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_pair protocol = { micro_s("protocol"), micro_s("mucp") };
    micro_node node = { .id = micro_s(SERVICE "-1"), .address = micro_s(o->address) };
    micro_entry entry = { .name = micro_s(SERVICE), .version = micro_s("1.0.0") };

    if (strcmp(o->peer, "mucp") == 0) {
        node.metadata.ptr = &protocol;
        node.metadata.len = 1;
    }
    entry.nodes.ptr = &node;
    entry.nodes.len = 1;
    micro_err err = micro_registry_put(reg, ctx, &entry, 0);
    micro_ctx_free(ctx);
    return err;
}

static void print_text(micro_str s)
{
    putchar('"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 32 || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_outcome(micro_ctx *ctx, micro_err err, const micro_type *type, const void *rsp)
{
    const micro_error *e = micro_ctx_error(ctx);
    int code = e->code;
    micro_str id = micro_copy(ctx, e->id), detail = micro_copy(ctx, e->detail);
    micro_str status = micro_copy(ctx, e->status), result = micro_s("");
    int attempt = micro_ctx_info(ctx)->attempt;

    if (micro_json_write(ctx, type, rsp, 0, &result) != MICRO_OK)
        result = micro_s("\"unwritable\"");
    printf("{\"err\":%d,\"text\":\"%s\",\"attempt\":%d,\"result\":" MICRO_STR_FMT ",\"id\":", err,
           micro_strerror(err), attempt, MICRO_STR_ARG(result));
    print_text(id);
    printf(",\"code\":%d,\"detail\":", code);
    print_text(detail);
    printf(",\"status\":");
    print_text(status);
    printf("}\n");
    fflush(stdout);
}

static micro_str repeated(micro_ctx *ctx, const char *text, int times)
{
    size_t n = strlen(text), all = n * (size_t)times;
    char *out = micro_alloc(ctx, all + 1);

    for (size_t i = 0; out && i < all; i++)
        out[i] = text[i % n];
    return (micro_str){ out ? out : "", out ? all : 0 };
}

static micro_err call_once(micro_ctx *ctx, const options *o)
{
    union {
        hello_req hello;
        rich rich;
        micro_value value;
    } req;
    union {
        hello_rsp hello;
        rich rich;
        micro_value value;
    } rsp;
    micro_method method = {
        .size_ = sizeof method, .name = o->method, .req = &hello_req_type, .rsp = &hello_rsp_type
    };
    micro_err err = MICRO_OK;

    memset(&req, 0, sizeof req);
    memset(&rsp, 0xff, sizeof rsp); /* rsp must be written in full */
    if (strcmp(o->type, "rich") == 0)
        method.req = method.rsp = &rich_type;
    else if (strcmp(o->type, "value") == 0)
        method.req = method.rsp = &micro_type_value;
    else
        req.hello.name = repeated(ctx, o->name, o->repeat);
    if (o->json)
        err = micro_json_read(ctx, method.req, micro_s(o->json), 0, &req);
    if (err != MICRO_OK) {
        fprintf(stderr, "testclient: json: %s\n", micro_ctx_strerror(ctx));
        return err;
    }
    err = micro_call(ctx, SERVICE, &method, &req, &rsp, &o->call);
    print_outcome(ctx, err, method.rsp, &rsp);
    return MICRO_OK;
}

static micro_err stream_receive(micro_ctx *ctx, micro_stream *st, const micro_type *type, int n)
{
    union {
        hello_rsp hello;
        counted counted;
    } rsp;
    micro_err err = MICRO_OK;

    for (int i = 0; err == MICRO_OK && (!n || i < n); i++) {
        memset(&rsp, 0xff, sizeof rsp);
        err = micro_stream_recv(st, &rsp);
        print_outcome(ctx, err, type, &rsp);
    }
    return err;
}

static micro_err stream_send(micro_stream *st, bool counts, const char *value)
{
    hello_req hello = { micro_s(value) };
    counted number = { strtoll(value, NULL, 10) };

    return micro_stream_send(st, counts ? (const void *)&number : (const void *)&hello);
}

static micro_err stream_steps(micro_ctx *ctx, const options *o)
{
    bool counts = strcmp(o->type, "count") == 0;
    micro_method method = { .size_ = sizeof method,
                            .flags = MICRO_STREAMING,
                            .name = o->method,
                            .req = counts ? &counted_type : &hello_req_type,
                            .rsp = counts ? &counted_type : &hello_rsp_type };
    micro_stream *st;
    micro_err err = micro_stream_open(ctx, SERVICE, &method, &o->call, &st);

    for (int i = 0; i < o->nsteps && err == MICRO_OK; i++) {
        const char *value = strchr(o->steps[i], '=') + 1;
        if (o->steps[i][0] == 's')
            err = stream_send(st, counts, value);
        else if (o->steps[i][0] == 'e')
            err = micro_stream_end(st);
        else if (stream_receive(ctx, st, method.rsp, atoi(value)) != MICRO_OK)
            break;
    }
    return err;
}

static void add_metadata(micro_ctx *ctx, const options *o)
{
    for (size_t i = 0; i < o->nmeta; i++) {
        char key[64];
        const char *colon = strchr(o->meta[i], ':');
        size_t n = colon ? (size_t)(colon - o->meta[i]) : 0;
        if (n == 0 || n >= sizeof key)
            continue;
        memcpy(key, o->meta[i], n);
        key[n] = '\0';
        micro_metadata_set(ctx, key, colon + 1);
    }
}

int main(int argc, char **argv)
{
    options o = { .peer = "direct",
                  .type = "hello",
                  .name = "",
                  .from = "go.micro.cli.ref",
                  .count = 1,
                  .repeat = 1,
                  .call = { .size_ = sizeof o.call } };

    if (argc < 3) {
        fprintf(stderr, "usage: testclient HOST:PORT METHOD [key=value ...]\n");
        return 2;
    }
    o.address = argv[1];
    o.method = argv[2];
    for (int i = 3; i < argc; i++) {
        if (!option_read(&o, argv[i])) {
            fprintf(stderr, "testclient: what is %s?\n", argv[i]);
            return 2;
        }
    }
    if (strcmp(o.peer, "direct") == 0)
        o.call.address = o.address;
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = o.from, .registry = reg);
    micro_err err = o.call.address ? MICRO_OK : node_put(reg, &o);
    micro_ctx *ctx = micro_ctx_new(svc);
    add_metadata(ctx, &o);
    if (o.nsteps && err == MICRO_OK)
        err = stream_steps(ctx, &o);
    for (int i = 0; i < o.count && !o.nsteps && err == MICRO_OK; i++) {
        err = call_once(ctx, &o);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
    if (err != MICRO_OK)
        fprintf(stderr, "testclient: %s\n", micro_strerror(err));
    return err == MICRO_OK ? 0 : 1;
}
