/* SPDX-License-Identifier: MIT */
/* Nanoseconds of parsing, encoding and picking a node, in one process with the libraries that do
 * the same: inner ROUNDS REQUESTFILE. In every round each piece runs a number of times; a line of
 * JSON for each says what it took. The library is compiled in, its inside is reachable. */
#include "micro.c"

#include "bench.h"
#include "inner.h"

enum { INNER_PIECES = 48, INNER_ROUNDS = 101, INNER_TIMES = 4000 };

static struct {
    const char *name;
    uint64_t (*work)(void);
    double ns[INNER_ROUNDS];
} inner_pieces[INNER_PIECES];
static int inner_npieces;
static volatile uint64_t inner_sink;

const char *inner_http, *inner_body;
const char *inner_person_json =
    "{\"id\":1234567,\"name\":\"John Appleseed\",\"email\":\"john.appleseed@example.com\","
    "\"active\":true,\"scores\":[1,22,333,4444,5,66,777,8888],\"addr\":"
    "{\"street\":\"1 Infinite Loop\",\"city\":\"Cupertino\",\"zip\":95014}}";
size_t inner_http_len, inner_body_len, inner_person_json_len;
uint8_t inner_small[16], inner_person[256];
size_t inner_small_len, inner_person_len;

typedef struct {
    micro_str name;
} small;
typedef struct {
    micro_str street, city;
    uint32_t zip;
} addr;
typedef struct {
    int64_t id;
    micro_str name, email;
    bool active;
    micro_int32s scores;
    addr home;
} person;

MICRO_TYPE(small, "Small", MICRO_FIELD(string, small, name, 1));
MICRO_TYPE(addr, "Addr", MICRO_FIELD(string, addr, street, 1), MICRO_FIELD(string, addr, city, 2),
           MICRO_FIELD(uint32, addr, zip, 3));
MICRO_TYPE(person, "Person", MICRO_FIELD(int64, person, id, 1),
           MICRO_FIELD(string, person, name, 2), MICRO_FIELD(string, person, email, 3),
           MICRO_FIELD(bool, person, active, 4), MICRO_REPEATED(int32, person, scores, 5),
           { "addr", &addr_type, 6, (uint32_t)offsetof(person, home), 0, (uint32_t)sizeof(addr), 0,
             MICRO_KIND_message, MICRO_PLAIN, 0, 0 });

static micro_ctx *ctx;
static micro__mark start; /* of ctx's memory */
static micro_buf out;
static char scratch[4096];
static micro_pair headers[MICRO_MAX_HEADERS];
static small one_small;
static person one_person;
static micro_selector *selector;
static _Atomic int64_t counter;

void inner_add(const char *name, uint64_t (*work)(void))
{
    inner_pieces[inner_npieces].name = name;
    inner_pieces[inner_npieces++].work = work;
}

static void inner_fail(const char *what)
{
    fprintf(stderr, "inner: %s: %s\n", what, micro_ctx_strerror(ctx));
    exit(1);
}

/* ---- HTTP and JSON-RPC ----------------------------------------------------------------------- */

static uint64_t inner_head_end(void)
{
    const char *end = memmem(inner_http, inner_http_len, "\r\n\r\n", 4);

    return (uint64_t)(end - inner_http);
}

/* Parsed in place, hence the copy, as the server makes one too. */
static uint64_t inner_head(void)
{
    micro__http_head h;

    memset(&h, 0, sizeof h);
    h.request = true;
    h.headers = headers;
    h.max_headers = MICRO_MAX_HEADERS;
    memcpy(scratch, inner_http, inner_http_len);
    if (micro__http_parse(scratch, inner_http_len, &h) <= 0 || !h.has_length)
        inner_fail("head");
    return h.known[MICRO__H_CONTENT_TYPE].len + h.known[MICRO__H_MICRO_ENDPOINT].len +
           h.known[MICRO__H_TIMEOUT].len + h.known[MICRO__H_MICRO_ID].len + h.length;
}

static uint64_t inner_rpc_read(void)
{
    micro__envelope env;
    small req = { { "", 0 } };

    memcpy(scratch, inner_body, inner_body_len);
    if (micro__jsonrpc_read_request(ctx, scratch, inner_body_len, &env) != MICRO_OK ||
        micro__json_read(ctx, &small_type, env.body, env.body_len, 0, &req) != MICRO_OK)
        inner_fail("JSON-RPC request");
    micro__arena_rewind(&ctx->arena, start);
    return env.method.len + env.id.len + req.name.len;
}

static uint64_t inner_rpc_write(void)
{
    static const small rsp = { { "Hello John", 10 } };

    out.len = 0;
    size_t at = micro__jsonrpc_reply_begin(&out, micro__str("1", 1));
    if (micro__json_write(ctx, &small_type, &rsp, 0, &out) != MICRO_OK)
        inner_fail("JSON-RPC reply");
    micro__jsonrpc_reply_end(&out, at);
    return out.len;
}

static uint64_t inner_json_person(void)
{
    person p;

    memcpy(scratch, inner_person_json, inner_person_json_len);
    micro__type_zero(&person_type, &p);
    if (micro__json_read(ctx, &person_type, scratch, inner_person_json_len, 0, &p) != MICRO_OK)
        inner_fail("JSON person");
    micro__arena_rewind(&ctx->arena, start);
    return (uint64_t)p.id + p.home.zip;
}

/* ---- protobuf -------------------------------------------------------------------------------- */

static uint64_t inner_proto_write(const micro_type *type, const void *obj)
{
    out.len = 0;
    if (micro__proto_write(ctx, type, obj, &out) != MICRO_OK)
        inner_fail("protobuf");
    return out.len;
}

static uint64_t inner_small_write(void)
{
    return inner_proto_write(&small_type, &one_small);
}

static uint64_t inner_person_write(void)
{
    return inner_proto_write(&person_type, &one_person);
}

static uint64_t inner_small_read(void)
{
    small s = { { "", 0 } };

    if (micro__proto_read(ctx, &small_type, inner_small, inner_small_len, &s) != MICRO_OK)
        inner_fail("protobuf");
    micro__arena_rewind(&ctx->arena, start);
    return s.name.len;
}

static uint64_t inner_person_read(void)
{
    person p;

    micro__type_zero(&person_type, &p);
    if (micro__proto_read(ctx, &person_type, inner_person, inner_person_len, &p) != MICRO_OK)
        inner_fail("protobuf");
    micro__arena_rewind(&ctx->arena, start);
    return (uint64_t)p.id + p.home.zip;
}

/* ---- selector -------------------------------------------------------------------------------- */

static uint64_t inner_atomics(void)
{
    atomic_fetch_add(&counter, 1);
    return (uint64_t)atomic_fetch_sub(&counter, 1);
}

static uint64_t inner_pick(const char *service)
{
    const micro_nodes *nodes;
    const micro_node *node;
    size_t last = SIZE_MAX;

    if (micro__selector_select(selector, ctx, service, &nodes) != MICRO_OK)
        inner_fail("select");
    uint64_t turn = micro__select_turn(nodes, NULL);
    if (micro__select_pick(nodes, NULL, NULL, service, NULL, turn, 1, &last, &node) != MICRO_OK)
        inner_fail("pick");
    uint64_t n = node->address.len;
    micro__selector_release(selector, nodes);
    return n;
}

static uint64_t inner_pick_3(void)
{
    return inner_pick("three");
}

static uint64_t inner_pick_100(void)
{
    return inner_pick("hundred");
}

static void inner_register(micro_registry *reg, const char *service, int n)
{
    micro_entry e;

    memset(&e, 0, sizeof e);
    e.name = micro_s(service);
    e.version = micro_s("1.0.0");
    for (int i = 0; i < n; i++) {
        micro_node *node = micro_append(ctx, &e.nodes);
        if (!node)
            inner_fail("node");
        node->id = micro_format(ctx, "%s-%d", service, i);
        node->address = micro_format(ctx, "127.0.0.1:%d", 20000 + i);
    }
    if (micro_registry_put(reg, ctx, &e, 3600000) != MICRO_OK)
        inner_fail("register");
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void inner_ours(void)
{
    inner_add("memmem", inner_head_end);
    inner_add("head", inner_head);
    inner_add("rpc read", inner_rpc_read);
    inner_add("rpc write", inner_rpc_write);
    inner_add("json person read", inner_json_person);
    inner_add("small write", inner_small_write);
    inner_add("small read", inner_small_read);
    inner_add("person write", inner_person_write);
    inner_add("person read", inner_person_read);
    inner_add("atomics", inner_atomics);
    inner_add("pick of 3", inner_pick_3);
    inner_add("pick of 100", inner_pick_100);
}

static void inner_messages(void)
{
    static int32_t scores[] = { 1, 22, 333, 4444, 5, 66, 777, 8888 };

    one_small.name = micro_s("John");
    one_person = (person){ 1234567,
                           micro_s("John Appleseed"),
                           micro_s("john.appleseed@example.com"),
                           true,
                           { scores, 8, 0 },
                           { micro_s("1 Infinite Loop"), micro_s("Cupertino"), 95014 } };
    inner_small_len = inner_small_write();
    memcpy(inner_small, out.ptr, inner_small_len);
    inner_person_len = inner_person_write();
    memcpy(inner_person, out.ptr, inner_person_len);
}

static void inner_request(const char *file)
{
    static char text[2048];
    FILE *f = fopen(file, "rb");

    inner_http_len = f ? fread(text, 1, sizeof text - 1, f) : 0;
    inner_http = text;
    const char *end = strstr(text, "\r\n\r\n");
    if (!f || !end)
        inner_fail(file);
    fclose(f);
    inner_body = end + 4;
    inner_body_len = inner_http_len - (size_t)(inner_body - text);
    inner_http_len -= inner_body_len;
    inner_person_json_len = strlen(inner_person_json);
}

static void inner_round(int round)
{
    for (int i = 0; i < inner_npieces; i++) {
        uint64_t begin = bench_clock(CLOCK_THREAD_CPUTIME_ID);
        for (int k = 0; k < INNER_TIMES; k++)
            inner_sink += inner_pieces[i].work();
        uint64_t took = bench_clock(CLOCK_THREAD_CPUTIME_ID) - begin;
        inner_pieces[i].ns[round] = (double)took / INNER_TIMES;
    }
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[1]) : 0;
    micro_registry *reg = micro_registry_memory_new();

    if (rounds < 1 || rounds > INNER_ROUNDS)
        return 2;
    ctx = micro_ctx_new(NULL);
    selector = micro_selector_cache_new(reg, 3600000);
    inner_register(reg, "three", 3);
    inner_register(reg, "hundred", 100);
    start = micro__arena_mark(&ctx->arena);
    inner_request(argv[2]);
    inner_messages();
    inner_ours();
    inner_libs();
    for (int r = -1; r < rounds; r++)
        inner_round(r < 0 ? 0 : r); /* the first warms up, and is overwritten */
    for (int i = 0; i < inner_npieces; i++) {
        printf("{\"name\": \"%s\", \"ns\": [", inner_pieces[i].name);
        for (int r = 0; r < rounds; r++)
            printf("%s%.2f", r ? ", " : "", inner_pieces[i].ns[r]);
        printf("]}\n");
    }
    micro__buf_free(&out);
    micro_selector_free(selector);
    micro_registry_free(reg);
    micro_ctx_free(ctx);
    return 0;
}
