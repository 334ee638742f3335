/* SPDX-License-Identifier: MIT */
/* The header of a request: what routes it, and the metadata that goes along. */
#include "call.h"

#define HEADERS_OWN 10 /* at most, beside metadata */
#define HEADERS_NS_PER_MS 1000000u

/* Names that belong to one hop or to the library; ending in '*': all that begin so. By first
 * letter, lower case. */
static const char *const headers_kept_back[] = {
    "accept*",           "connection", "content-*",  "expect",      "host",      "http2-settings",
    "keep-alive",        "micro-*",    "proxy-*",    "te",          "timeout",   "trailer",
    "transfer-encoding", "upgrade",    "user-agent", "x-hop-count", "x-micro-*",
};

static bool headers_same(micro_str key, const char *pattern)
{
    size_t n = strlen(pattern);

    if (pattern[n - 1] != '*')
        return micro__str_is_nocase(key, pattern);
    return key.len >= n - 1 &&
           micro_str_eq_nocase(micro__str(key.ptr, n - 1), micro__str(pattern, n - 1));
}

static bool headers_travels(micro_str key, bool serving)
{
    if (!serving && (micro__str_is_nocase(key, "X-Micro-From-Service") ||
                     micro__str_is_nocase(key, "User-Agent")))
        return true; /* set by the program itself */
    char first = key.len ? micro__lower(key.ptr[0]) : 0;
    for (size_t i = 0; i < MICRO_COUNTOF(headers_kept_back); i++)
        if (headers_kept_back[i][0] == first && headers_same(key, headers_kept_back[i]))
            return false;
    return true;
}

static void headers_put(micro_pairs *h, const char *key, micro_str value)
{
    h->ptr[h->len].key = micro_s(key);
    h->ptr[h->len++].value = value;
}

static micro_str headers_number(micro__arena *a, uint64_t v)
{
    char text[20];
    size_t n = micro__format_u64(text, v);
    char *p = micro__arena_text(a, text, n);

    return micro__str(p ? p : "0", p ? n : 1);
}

static void headers_routing(micro__call *k, micro_pairs *h, uint64_t id)
{
    micro_str name = micro_s(k->method->name);

    headers_put(h, "Micro-Service", micro_s(k->service));
    headers_put(h, "Micro-Method", name);
    headers_put(h, "Micro-Endpoint", name);
    headers_put(h, "Micro-Id", headers_number(&k->ctx->arena, id));
}

MICRO_PRIVATE bool micro__call_headers(micro__call *k, uint64_t id, micro_pairs *out)
{
    micro_ctx *ctx = k->ctx;
    const micro_pairs *meta = &ctx->metadata;
    bool named = false, serving = ctx->hops >= 0, state;
    char trace[MICRO__TRACE_MAX];
    enum micro__trace_next next = micro__trace_next(ctx, k->c->trace, trace);

    out->len = out->cap = 0;
    out->ptr = micro__arena_take(&ctx->arena, sizeof *out->ptr * (meta->len + HEADERS_OWN));
    if (!out->ptr)
        return false;
    headers_put(out, "Content-Type", micro_s(k->o.content_type));
    if (k->wire == MICRO__WIRE_BARE)
        headers_routing(k, out, id);
    if (ctx->deadline) {
        uint64_t now = micro__now_ms(), left = ctx->deadline > now ? ctx->deadline - now : 1;
        headers_put(out, "Timeout", headers_number(&ctx->arena, left * HEADERS_NS_PER_MS));
    }
    if (serving)
        headers_put(out, "X-Hop-Count",
                    headers_number(&ctx->arena, ctx->hops < 255 ? (uint64_t)ctx->hops + 1 : 255));
    if (next != MICRO__TRACE_NONE)
        headers_put(out, "traceparent", micro_copy(ctx, micro_s(trace)));
    for (size_t i = 0; i < meta->len; i++) {
        if (!headers_travels(meta->ptr[i].key, serving))
            continue;
        if (micro__trace_header(meta->ptr[i].key, &state) &&
            !(state && next == MICRO__TRACE_GOES_ON))
            continue;
        named |= micro__str_is_nocase(meta->ptr[i].key, "X-Micro-From-Service");
        out->ptr[out->len++] = meta->ptr[i];
    }
    if (!named)
        headers_put(out, "X-Micro-From-Service", micro_s(k->c->name));
    return !ctx->arena.failed;
}
