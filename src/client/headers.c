/* SPDX-License-Identifier: MIT */
/* The header of a request: what routes it, and the metadata that goes along. */
#include "call.h"

#define HEADERS_OWN 10 /* at most, beside metadata */
#define HEADERS_UUID 37
#define HEADERS_NS_PER_MS 1000000u

static bool headers_begins(micro_str key, const char *with)
{
    size_t n = strlen(with);

    return key.len >= n && micro_str_eq_nocase(micro__str(key.ptr, n), micro__str(with, n));
}

/* Whether a name belongs to one hop or to the library. */
static bool headers_stays(micro_str key)
{
    switch (key.len ? micro__lower(key.ptr[0]) : 0) {
    case 'a':
        return headers_begins(key, "accept");
    case 'c':
        return headers_begins(key, "content-") || micro__str_is_nocase(key, "connection");
    case 'e':
        return micro__str_is_nocase(key, "expect");
    case 'h':
        return micro__str_is_nocase(key, "host") || micro__str_is_nocase(key, "http2-settings");
    case 'k':
        return micro__str_is_nocase(key, "keep-alive");
    case 'm':
        return headers_begins(key, "micro-");
    case 'p':
        return headers_begins(key, "proxy-");
    case 't':
        return micro__str_is_nocase(key, "te") || micro__str_is_nocase(key, "timeout") ||
               micro__str_is_nocase(key, "trailer") ||
               micro__str_is_nocase(key, "transfer-encoding");
    case 'u':
        return micro__str_is_nocase(key, "upgrade") || micro__str_is_nocase(key, "user-agent");
    case 'x':
        return headers_begins(key, "x-micro-") || micro__str_is_nocase(key, "x-hop-count");
    default:
        return false;
    }
}

static bool headers_travels(micro_str key, bool serving)
{
    if (!serving && (micro__str_is_nocase(key, "X-Micro-From-Service") ||
                     micro__str_is_nocase(key, "User-Agent")))
        return true; /* set by the program itself */
    return !headers_stays(key);
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

static bool headers_room(micro_ctx *ctx, micro_pairs *out)
{
    out->len = out->cap = 0;
    out->ptr = micro__arena_take(&ctx->arena, sizeof *out->ptr * (ctx->metadata.len + HEADERS_OWN));
    return out->ptr != NULL;
}

static void headers_metadata(const micro__client *c, micro_ctx *ctx, micro_pairs *out)
{
    const micro_pairs *meta = &ctx->metadata;
    bool named = false, serving = ctx->hops >= 0, state;
    char trace[MICRO__TRACE_MAX];
    enum micro__trace_next next = micro__trace_next(ctx, c->trace, trace);

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
        headers_put(out, "X-Micro-From-Service", micro_s(c->name));
}

MICRO_PRIVATE bool micro__call_headers(micro__call *k, uint64_t id, micro_pairs *out)
{
    micro_ctx *ctx = k->ctx;

    if (!headers_room(ctx, out))
        return false;
    headers_put(out, "Content-Type", micro_s(k->o.content_type));
    if (k->wire == MICRO__WIRE_BARE)
        headers_routing(k, out, id);
    if (ctx->deadline) {
        uint64_t now = micro__now_ms(), left = ctx->deadline > now ? ctx->deadline - now : 1;
        headers_put(out, "Timeout", headers_number(&ctx->arena, left * HEADERS_NS_PER_MS));
    }
    if (ctx->hops >= 0)
        headers_put(out, "X-Hop-Count",
                    headers_number(&ctx->arena, ctx->hops < 255 ? (uint64_t)ctx->hops + 1 : 255));
    headers_metadata(k->c, ctx, out);
    return !ctx->arena.failed;
}

/* Random enough for telling events apart. */
static micro_str headers_uuid(micro__arena *a)
{
    uint64_t random[2] = { micro__random_fast(), micro__random_fast() };
    uint8_t bytes[16];
    char *text = micro__arena_take(a, HEADERS_UUID);

    memcpy(bytes, random, sizeof bytes);
    if (text)
        micro__uuid_format(text, bytes);
    return micro_s(text);
}

MICRO_PRIVATE bool micro__event_headers(micro__client *c, micro_ctx *ctx, const char *topic,
                                        const char *content_type, micro_pairs *out)
{
    if (!headers_room(ctx, out))
        return false;
    headers_put(out, "Content-Type", micro_s(content_type));
    headers_put(out, "Micro-Topic", micro_s(topic));
    headers_put(out, "Micro-Id", headers_uuid(&ctx->arena));
    headers_metadata(c, ctx, out);
    return !ctx->arena.failed;
}
