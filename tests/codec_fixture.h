/* SPDX-License-Identifier: MIT */
/* What the tests of the codecs share: a ctx, memory that ends at a page nobody may touch, hex. */
#ifndef CODEC_FIXTURE_H
#define CODEC_FIXTURE_H

#include "failing.h"

#include "codec/codec.h"

#include <sys/mman.h>

#define FIXTURE __attribute__((unused)) static

enum { FIXTURE_EDGE_ROOM = 1 << 16, FIXTURE_PAGE = 1 << 16 };

/* A ctx without a first chunk: every test of memory running out meets the arena too. */
FIXTURE micro_ctx *fixture_ctx(void)
{
    static micro_ctx ctx;

    micro__arena_free(&ctx.arena);
    memset(&ctx, 0, sizeof ctx);
    micro__arena_init(&ctx.arena, NULL, 0);
    micro__ctx_init(&ctx, NULL);
    return &ctx;
}

FIXTURE void fixture_end(micro_ctx *ctx)
{
    micro__arena_free(&ctx->arena);
    memset(&ctx->arena, 0, sizeof ctx->arena);
}

/* A copy of data, followed by more bytes that may be used, followed by a page that may not. */
FIXTURE char *fixture_edge(const void *data, size_t len, size_t more)
{
    static char *memory;

    if (!memory) {
        memory = mmap(NULL, FIXTURE_EDGE_ROOM + FIXTURE_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED ||
            mprotect(memory + FIXTURE_EDGE_ROOM, FIXTURE_PAGE, PROT_NONE) != 0)
            exit(2);
    }
    if (len + more > FIXTURE_EDGE_ROOM)
        exit(2);
    char *at = memory + FIXTURE_EDGE_ROOM - len - more;
    memset(at + len, '#', more);
    if (len)
        memcpy(at, data, len);
    return at;
}

/* The detail of ctx's error. */
FIXTURE const char *fixture_error(micro_ctx *ctx)
{
    return micro_ctx_error(ctx)->detail.ptr;
}

FIXTURE const char *fixture_hex(const void *data, size_t len)
{
    static char text[2001];

    if (len > 1000)
        return "too long";
    micro__hex_encode(text, data, len);
    text[2 * len] = 0;
    return text;
}

/* "0a 04 4a6f" as bytes; static memory. */
FIXTURE micro_bytes fixture_bytes(const char *hex)
{
    static uint8_t bytes[1000];
    char digits[2001];
    size_t n = 0;

    for (; *hex && n < sizeof digits - 1; hex++)
        if (*hex != ' ')
            digits[n++] = *hex;
    if (!micro__hex_decode(bytes, digits, n))
        exit(2);
    return (micro_bytes){ bytes, n / 2 };
}

/* JSON read in place out of static memory; the byte behind it must come back. */
FIXTURE micro_err fixture_read(micro_ctx *ctx, const micro_type *type, const char *text, void *obj)
{
    static char copy[1 << 16];
    size_t len = strlen(text);

    if (len + 1 > sizeof copy)
        exit(2);
    memcpy(copy, text, len);
    copy[len] = '#';
    micro_err err = micro__json_read(ctx, type, copy, len, 0, obj);
    CHECK_EQ_INT(copy[len], '#');
    return err;
}

#endif
