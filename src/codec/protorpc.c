/* SPDX-License-Identifier: MIT */
/* The PROTO-RPC envelope: a frame with the header, a frame with the message. */
#include "inner.h"

enum { PROTORPC_METHOD = 0x0a, PROTORPC_SEQ = 0x11, PROTORPC_ERROR = 0x1a }; /* tags as written */

/* ---- reading -------------------------------------------------------------------------------- */

static micro_err protorpc_fail(micro_ctx *ctx, const char *what)
{
    return micro__ctx_local(ctx, MICRO_EFORMAT, "PROTO-RPC: %s", what);
}

/* The frame at *p; false: it is cut off. */
static bool protorpc_frame(const uint8_t **p, const uint8_t *end, const uint8_t **frame,
                           size_t *len)
{
    const uint8_t *at = *p;

    if (end - at < 4)
        return false;
    *len = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    *frame = at + 4;
    if ((size_t)(end - *frame) < *len)
        return false;
    *p = *frame + *len;
    return true;
}

/* One field of the header: what is not known is skipped. NULL: malformed. */
static const uint8_t *protorpc_field(const uint8_t *p, const uint8_t *end, bool reply,
                                     micro__envelope *env)
{
    micro__proto_token t = { 0, 0, NULL, 0 };
    bool deep;

    p = micro__proto_next(p, end, 0, &t, &deep);
    if (!p)
        return NULL;
    micro_str text = micro__str((const char *)t.ptr, t.len);
    if (t.key == PROTORPC_METHOD) /* one byte as written is the same number as a key */
        env->method = text;
    else if (t.key == PROTORPC_ERROR && reply)
        env->error = text;
    else if (t.key == PROTORPC_SEQ)
        env->id = text;
    return p;
}

static micro_err protorpc_read(micro_ctx *ctx, char *in, size_t len, bool reply,
                               micro__envelope *env)
{
    const uint8_t *p = (const uint8_t *)in, *end = p + len, *header;
    size_t header_len, body_len;

    memset(env, 0, sizeof *env);
    env->method = env->error = env->id = micro__str("", 0);
    if (!protorpc_frame(&p, end, &header, &header_len))
        return protorpc_fail(ctx, "header cut off");
    for (const uint8_t *q = header; q < header + header_len;)
        if (!(q = protorpc_field(q, header + header_len, reply, env)))
            return protorpc_fail(ctx, "malformed header");
    if (!micro__utf8_valid(env->method.ptr, env->method.len) ||
        !micro__utf8_valid(env->error.ptr, env->error.len))
        return protorpc_fail(ctx, "invalid UTF-8 in the header");
    env->has_id = env->id.len > 0;
    env->failed = env->error.len > 0;
    if (p == end)
        return MICRO_OK;
    if (!protorpc_frame(&p, end, &header, &body_len))
        return protorpc_fail(ctx, "message cut off");
    env->body = in + (header - (const uint8_t *)in);
    env->body_len = body_len;
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__protorpc_read_request(micro_ctx *ctx, char *in, size_t len,
                                                     micro__envelope *env)
{
    return protorpc_read(ctx, in, len, false, env);
}

MICRO_PRIVATE micro_err micro__protorpc_read_reply(micro_ctx *ctx, char *in, size_t len,
                                                   micro__envelope *env)
{
    return protorpc_read(ctx, in, len, true, env);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void protorpc_put32(micro_buf *out, size_t at, size_t v)
{
    for (size_t i = 0; i < 4; i++)
        out->ptr[at + i] = (char)(v >> (24 - 8 * i));
}

static void protorpc_text(micro_buf *out, char key, micro_str s)
{
    micro__buf_byte(out, key);
    micro__proto_put_varint(out, s.len);
    micro__buf_str(out, s);
}

/* Fills in the length of the frame whose length stands at `at`. */
static void protorpc_close(micro_buf *out, size_t at)
{
    if (!out->failed)
        protorpc_put32(out, at, out->len - at - 4);
}

/* The header's frame, and room for the length of the next; all fields are written, also if zero. */
static size_t protorpc_begin(micro_buf *out, micro_str method, const char seq[8],
                             const micro_str *error)
{
    size_t at = out->len;

    micro__buf_add(out, "\0\0\0", 4);
    protorpc_text(out, PROTORPC_METHOD, method);
    micro__buf_byte(out, PROTORPC_SEQ);
    micro__buf_add(out, seq, 8);
    if (error)
        protorpc_text(out, PROTORPC_ERROR, *error);
    protorpc_close(out, at);
    at = out->len;
    micro__buf_add(out, "\0\0\0", 4);
    return at;
}

MICRO_PRIVATE size_t micro__protorpc_request_begin(micro_buf *out, micro_str method, uint64_t seq)
{
    char bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(seq >> 8 * i);
    return protorpc_begin(out, method, bytes, NULL);
}

MICRO_PRIVATE void micro__protorpc_request_end(micro_buf *out, size_t at)
{
    protorpc_close(out, at);
}

static size_t protorpc_reply(micro_buf *out, micro_str method, micro_str id, micro_str error)
{
    static const char zero[8];

    return protorpc_begin(out, method, id.len == sizeof zero ? id.ptr : zero, &error);
}

MICRO_PRIVATE size_t micro__protorpc_reply_begin(micro_buf *out, micro_str method, micro_str id)
{
    return protorpc_reply(out, method, id, micro__str("", 0));
}

MICRO_PRIVATE void micro__protorpc_reply_end(micro_buf *out, size_t at)
{
    protorpc_close(out, at);
}

MICRO_PRIVATE void micro__protorpc_error(micro_buf *out, micro_str method, micro_str id,
                                         micro_str text)
{
    protorpc_reply(out, method, id, text);
}
