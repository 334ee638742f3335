/* SPDX-License-Identifier: MIT */
/* W3C Trace Context, version 00: traceparent is VERSION-TRACE-PARENT-FLAGS in lower case hex, 2,
 * 32, 16 and 2 digits; what stands in tracestate is other people's, and goes with it or not at all.
 */
#include "net.h"

#define TRACE_PARENT "traceparent"
#define TRACE_STATE "tracestate"
#define TRACE_ID_AT 3
#define TRACE_ID_LEN 32
#define TRACE_SPAN_AT 36
#define TRACE_SPAN_LEN 16
#define TRACE_FLAGS_AT 53
#define TRACE_LEN 55

static bool trace_hex(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!micro__is_digit(p[i]) && !(p[i] >= 'a' && p[i] <= 'f'))
            return false;
    return true;
}

static bool trace_zero(const char *p, size_t n)
{
    while (n && *p == '0') {
        p++;
        n--;
    }
    return !n;
}

/* Versions above 00 may have more behind the flags; ff is none. */
static bool trace_valid(micro_str t)
{
    const char *p = t.ptr;

    if (t.len < TRACE_LEN || !trace_hex(p, 2) || memcmp(p, "ff", 2) == 0)
        return false;
    if (t.len > TRACE_LEN && (memcmp(p, "00", 2) == 0 || p[TRACE_LEN] != '-'))
        return false;
    return p[2] == '-' && trace_hex(p + TRACE_ID_AT, TRACE_ID_LEN) &&
           !trace_zero(p + TRACE_ID_AT, TRACE_ID_LEN) && p[TRACE_SPAN_AT - 1] == '-' &&
           trace_hex(p + TRACE_SPAN_AT, TRACE_SPAN_LEN) &&
           !trace_zero(p + TRACE_SPAN_AT, TRACE_SPAN_LEN) && p[TRACE_FLAGS_AT - 1] == '-' &&
           trace_hex(p + TRACE_FLAGS_AT, 2);
}

MICRO_PRIVATE bool micro__trace_header(micro_str key, bool *state)
{
    *state = false;
    if (!key.len || micro__lower(key.ptr[0]) != 't')
        return false;
    *state = key.len == sizeof TRACE_STATE - 1 && micro__str_is_nocase(key, TRACE_STATE);
    return *state ||
           (key.len == sizeof TRACE_PARENT - 1 && micro__str_is_nocase(key, TRACE_PARENT));
}

/* The one valid traceparent; len 0: there is none, or more than one. *any: there is something of a
 * trace. */
static micro_str trace_find(const micro_pairs *metadata, bool *any)
{
    micro_str found = { "", 0 };
    size_t n = 0;
    bool state;

    *any = false;
    for (size_t i = 0; i < metadata->len; i++) {
        if (!micro__trace_header(metadata->ptr[i].key, &state))
            continue;
        *any = true;
        if (state)
            continue;
        found = metadata->ptr[i].value;
        n++;
    }
    return n == 1 && trace_valid(found) ? found : micro__str("", 0);
}

static void trace_random(char *out, size_t digits)
{
    for (size_t i = 0; i < digits; i += 16) {
        uint64_t random = micro__random_fast(); /* never 0 */
        micro__hex_encode(out + i, &random, sizeof random);
    }
}

static void trace_begin(char out[MICRO__TRACE_MAX])
{
    memcpy(out, "00-", 3);
    trace_random(out + TRACE_ID_AT, TRACE_ID_LEN);
    out[TRACE_SPAN_AT - 1] = '-';
    trace_random(out + TRACE_SPAN_AT, TRACE_SPAN_LEN);
    memcpy(out + TRACE_FLAGS_AT - 1, "-01", 4);
}

MICRO_PRIVATE void micro__trace_accept(micro_ctx *ctx, bool begin)
{
    char text[MICRO__TRACE_MAX];
    bool any;

    if (trace_find(&ctx->metadata, &any).len)
        return;
    if (any) {
        micro__pairs_del(&ctx->metadata, micro_s(TRACE_PARENT));
        micro__pairs_del(&ctx->metadata, micro_s(TRACE_STATE));
    }
    if (begin) {
        trace_begin(text);
        micro__pairs_set(&ctx->arena, &ctx->metadata, micro_s(TRACE_PARENT), micro_s(text));
    }
}

MICRO_PRIVATE enum micro__trace_next micro__trace_next(const micro_ctx *ctx, bool begin,
                                                       char out[MICRO__TRACE_MAX])
{
    bool any;
    micro_str t = trace_find(&ctx->metadata, &any);

    if (!t.len && !begin)
        return MICRO__TRACE_NONE;
    if (!t.len) {
        trace_begin(out);
        return MICRO__TRACE_BEGUN;
    }
    memcpy(out, t.ptr, TRACE_LEN);
    out[TRACE_LEN] = 0;
    memcpy(out, "00", 2);
    if (!ctx->own_trace) {
        uint8_t flags = 0;
        micro__hex_decode(&flags, t.ptr + TRACE_FLAGS_AT, 2);
        trace_random(out + TRACE_SPAN_AT, TRACE_SPAN_LEN);
        memcpy(out + TRACE_FLAGS_AT, flags & 1 ? "01" : "00", 2); /* sampled; others are not ours */
    }
    return MICRO__TRACE_GOES_ON;
}
