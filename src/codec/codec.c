/* SPDX-License-Identifier: MIT */
/* Content types, and the way from a message to a body and back. */
#include "inner.h"

static micro_err codec_json_encode(const micro_codec *c, micro_ctx *ctx, const micro_type *type,
                                   const void *obj, micro_buf *out)
{
    (void)c;
    return micro__json_write(ctx, type, obj, 0, out);
}

static micro_err codec_json_decode(const micro_codec *c, micro_ctx *ctx, const micro_type *type,
                                   char *in, size_t len, void *obj)
{
    (void)c;
    return micro__json_read(ctx, type, in, len, 0, obj);
}

static micro_err codec_proto_encode(const micro_codec *c, micro_ctx *ctx, const micro_type *type,
                                    const void *obj, micro_buf *out)
{
    (void)c;
    return micro__proto_write(ctx, type, obj, out);
}

static micro_err codec_proto_decode(const micro_codec *c, micro_ctx *ctx, const micro_type *type,
                                    char *in, size_t len, void *obj)
{
    (void)c;
    return micro__proto_read(ctx, type, (const uint8_t *)in, len, obj);
}

#define CODEC_ROW(type, form) \
    { sizeof(micro_codec), type, codec_##form##_encode, codec_##form##_decode },

static const micro_codec codec_known[] = {
    /* clang-format off */
    CODEC_ROW("application/json", json)
    CODEC_ROW("application/json-rpc", json)
    CODEC_ROW("application/protobuf", proto)
    CODEC_ROW("application/proto-rpc", proto)
    CODEC_ROW("application/octet-stream", proto)
    /* clang-format on */
};
enum { CODEC_KNOWN = MICRO_COUNTOF(codec_known), CODEC_KNOWN_JSON = 2 };

/* Whether a codec is one of ours, which report their errors and clean up themselves. */
static bool codec_built_in(const micro_codec *c)
{
    return c->encode == codec_json_encode || c->encode == codec_proto_encode;
}

MICRO_PRIVATE const micro_codec *micro__codec_find(const micro_codec *const *extra, size_t n,
                                                   micro_str content_type)
{
    for (size_t i = 0; i < n; i++)
        if (extra[i] && extra[i]->content_type &&
            micro__str_is(content_type, extra[i]->content_type))
            return extra[i];
    for (size_t i = 0; i < CODEC_KNOWN; i++)
        if (micro__str_is(content_type, codec_known[i].content_type))
            return &codec_known[i];
    return NULL;
}

MICRO_PRIVATE micro__wire micro__codec_envelope(micro_str content_type)
{
    for (size_t i = 0; i < CODEC_KNOWN; i++)
        if (micro__str_is(content_type, codec_known[i].content_type))
            return i < CODEC_KNOWN_JSON ? MICRO__WIRE_JSONRPC : MICRO__WIRE_PROTORPC;
    return MICRO__WIRE_BARE;
}

/* A codec of the user's may fail without a word. */
static micro_err codec_explain(const micro_codec *c, micro_ctx *ctx, micro_err err,
                               const char *verb)
{
    if (!micro_ctx_error(ctx)->detail.len)
        micro__ctx_local(ctx, err, "%s: cannot %s the message", c->content_type, verb);
    return err;
}

/* Codecs of the user's know neither raw bytes nor our ways with a failure. */
static MICRO__NOINLINE micro_err codec_encode_foreign(const micro_codec *c, micro_ctx *ctx,
                                                      const micro_type *type, const void *obj,
                                                      micro_buf *out)
{
    size_t start = out->len;

    if (type->flags & MICRO__TYPE_RAW)
        return micro__json_write(ctx, type, obj, 0, out); /* which knows what to do with bytes */
    if (out->failed)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "buffer without room");
    micro__ctx_clear_error(ctx);
    micro_err err = c->encode ? c->encode(c, ctx, type, obj, out) : MICRO_ECODEC;
    if (err != MICRO_OK)
        codec_explain(c, ctx, err, "encode");
    if (err != MICRO_OK || out->failed)
        return micro__undo(ctx, out, start, err);
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__codec_encode(const micro_codec *c, micro_ctx *ctx,
                                            const micro_type *type, const void *obj, micro_buf *out)
{
    if (codec_built_in(c))
        return c->encode(c, ctx, type, obj, out);
    return codec_encode_foreign(c, ctx, type, obj, out);
}

static MICRO__NOINLINE micro_err codec_decode_foreign(const micro_codec *c, micro_ctx *ctx,
                                                      const micro_type *type, char *in, size_t len,
                                                      void *obj)
{
    micro__type_zero(type, obj);
    if (type->flags & MICRO__TYPE_RAW) {
        *(micro_bytes *)obj = (micro_bytes){ (const uint8_t *)in, len };
        return MICRO_OK;
    }
    micro__ctx_clear_error(ctx);
    micro_err err = c->decode ? c->decode(c, ctx, type, in, len, obj) : MICRO_ECODEC;
    if (err == MICRO_OK)
        return MICRO_OK;
    micro__type_zero(type, obj);
    return codec_explain(c, ctx, err, "decode");
}

MICRO_PRIVATE micro_err micro__codec_decode(const micro_codec *c, micro_ctx *ctx,
                                            const micro_type *type, char *in, size_t len, void *obj)
{
    if (!in) {
        micro__type_zero(type, obj);
        return MICRO_OK;
    }
    if (codec_built_in(c))
        return c->decode(c, ctx, type, in, len, obj);
    return codec_decode_foreign(c, ctx, type, in, len, obj);
}
