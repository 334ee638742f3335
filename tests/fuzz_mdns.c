/* SPDX-License-Identifier: MIT */
/* mDNS packets from anywhere: what the responder and the browser make of them. The first byte says
 * how the packet comes: bit 0 from another port than 5353, bit 1 somebody watches everything, bit 2
 * it is the payload of a TXT record alone, bit 3 memory is short. */
#include "registry/mdns.h"

#include <stdlib.h>

static long fuzz_mdns_left = -1; /* allocations; negative: any number */

static void *fuzz_mdns_realloc(void *arg, void *old, size_t old_size, size_t new_size)
{
    (void)arg;
    (void)old_size;
    if (new_size == 0) {
        free(old);
        return NULL;
    }
    if (fuzz_mdns_left == 0)
        return NULL;
    fuzz_mdns_left -= fuzz_mdns_left > 0;
    return realloc(old, new_size);
}

static bool fuzz_mdns_watched;

static void fuzz_mdns_ask(void *arg, micro_str name)
{
    (void)arg;
    if (micro__dns_name_problem(name))
        abort();
}

static bool fuzz_mdns_wanted(void *arg, micro_str name)
{
    (void)arg;
    (void)name;
    return fuzz_mdns_watched;
}

/* What is told has all its parts. */
static bool fuzz_mdns_tell(void *arg, enum micro_change what, const micro_entry *e, size_t weight)
{
    (void)arg;
    (void)what;
    (void)weight;
    if (!e->name.len || !e->version.len || e->nodes.len != 1 || !e->nodes.ptr[0].id.len ||
        !e->nodes.ptr[0].address.len || micro__entry_problem(e))
        abort();
    return true;
}

/* No answer to anything may be a question to all. */
static void fuzz_mdns_send(void *arg, bool to_all, const void *data, size_t len)
{
    micro__dns_reader r;
    (void)arg;
    if (!micro__dns_open(&r, data, len) || !(r.flags & MICRO__DNS_RESPONSE) ||
        (to_all && r.left[MICRO__DNS_QUESTION]))
        abort();
}

static void fuzz_mdns_register(micro__mdns_responder *r, micro__mdns_browser *b)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node node = { .id = micro_s("go.micro.srv.greeter-1"),
                        .address = micro_s("127.0.0.1:80") };
    micro_entry e = { .name = micro_s("go.micro.srv.greeter"), .version = micro_s("1") };
    micro__mdns_local *n;
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    if (micro__mdns_local_new(ctx, r, MICRO__MDNS_FIT6, &e, &node, 0, &n))
        abort();
    micro__mdns_local_put(r, n, 1000);
    if (!micro__mdns_browser_put(b, n, 1000))
        abort();
    micro_ctx_free(ctx);
}

static void fuzz_mdns_txt(const uint8_t *data, size_t size)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    uint8_t *zlib = malloc(size / 2 + 1);
    micro_entry e;
    size_t n = micro__mdns_txt_unhex(data, size, zlib);
    if (ctx && n)
        micro_ignore(micro__mdns_txt_read(ctx, zlib, n, &e, NULL));
    free(zlib);
    micro_ctx_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const micro__mdns_browser_ops ops = { fuzz_mdns_ask, fuzz_mdns_wanted, fuzz_mdns_tell };
    static micro__mdns_responder r;
    static micro__mdns_browser b;
    static bool first = true;
    if (first)
        micro_allocator_set(fuzz_mdns_realloc, NULL);
    first = false;
    if (size < 2 || size > 16384)
        return 0;
    unsigned how = data[0];
    fuzz_mdns_watched = how & 2;
    fuzz_mdns_left = -1;
    if (how & 4) {
        fuzz_mdns_txt(data + 1, size - 1);
        return 0;
    }
    if (!micro__mdns_browser_init(&b, &ops, NULL))
        abort();
    micro__mdns_responder_init(&r, "vm", fuzz_mdns_send, NULL);
    fuzz_mdns_register(&r, &b);
    if (how & 8)
        fuzz_mdns_left = how >> 4;
    for (uint64_t now = 1000; now < 200000; now += 60000) {
        micro__mdns_responder_hear(&r, data + 1, size - 1, how & 1, now);
        micro__mdns_hear(&b, data + 1, size - 1, now);
        micro__mdns_browser_tick(&b, now);
    }
    fuzz_mdns_left = -1;
    if (b.nodes < 1) /* ours stays */
        abort();
    micro__mdns_browser_free(&b);
    micro__mdns_responder_free(&r);
    return 0;
}
