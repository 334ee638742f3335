/* SPDX-License-Identifier: MIT */
/* Converts messages of codec_rich.h for codec_peer.py. A request on stdin is a line, FROM TO
 * LENGTH, and so many bytes; the reply a line, ERROR LENGTH, and so many bytes: the message, or
 * what is wrong with it. Forms: p protobuf, j JSON, c canonical JSON, y pretty JSON. */
#include "codec/codec.h"

#include <stdlib.h>

#include "codec_rich.h"

static micro_err driver_read(micro_ctx *ctx, char form, char *in, size_t len, rich *r)
{
    if (form == 'p')
        return micro__proto_read(ctx, &rich_type, (const uint8_t *)in, len, r);
    return micro__json_read(ctx, &rich_type, in, len, 0, r);
}

static micro_err driver_write(micro_ctx *ctx, char form, const rich *r, micro_buf *out)
{
    if (form == 'p')
        return micro__proto_write(ctx, &rich_type, r, out);
    unsigned flags = form == 'c' ? MICRO_JSON_CANONICAL : form == 'y' ? MICRO_JSON_PRETTY : 0;
    return micro__json_write(ctx, &rich_type, r, flags, out);
}

/* One request; false: there is none. */
static bool driver_step(void)
{
    char from, to;
    size_t len;
    static rich r;
    micro_ctx ctx;
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };

    if (scanf(" %c %c %zu", &from, &to, &len) != 3 || getchar() != '\n')
        return false;
    char *in = malloc(len + 1); /* exactly: the sanitizer watches the next byte */
    if (!in || fread(in, 1, len, stdin) != len)
        exit(2);
    in[len] = '#';
    memset(&ctx, 0, sizeof ctx);
    micro__arena_init(&ctx.arena, NULL, 0);
    micro__ctx_init(&ctx, NULL);
    micro_err err = driver_read(&ctx, from, in, len, &r);
    if (err == MICRO_OK)
        err = driver_write(&ctx, to, &r, &out);
    micro_str text = { out.ptr, out.len };
    if (err != MICRO_OK)
        text = micro_ctx_error(&ctx)->detail;
    printf("%d %zu\n", err, text.len);
    fwrite(text.ptr ? text.ptr : "", 1, text.len, stdout);
    fflush(stdout);
    if (in[len] != '#')
        exit(3);
    micro__buf_free(&out);
    micro__arena_free(&ctx.arena);
    free(in);
    return true;
}

int main(void)
{
    while (driver_step())
        ;
    return 0;
}
