/* SPDX-License-Identifier: MIT */
/* One attempt at one node: the request in the node's protocol, and what came back. */
#include "call.h"

/* ---- request ------------------------------------------------------------------------------- */

static size_t exchange_begin(const micro__call *k, micro_buf *out)
{
    micro_str name = micro_s(k->method->name);

    if (k->wire == MICRO__WIRE_JSONRPC)
        return micro__jsonrpc_request_begin(out, name);
    return k->wire == MICRO__WIRE_PROTORPC ? micro__protorpc_request_begin(out, name, k->seq) : 0;
}

static void exchange_end(const micro__call *k, micro_buf *out, size_t at)
{
    if (k->wire == MICRO__WIRE_JSONRPC)
        micro__jsonrpc_request_end(out, at, k->seq);
    else if (k->wire == MICRO__WIRE_PROTORPC)
        micro__protorpc_request_end(out, at);
    else if (micro__codec_envelope(micro_s(k->codec->content_type)) == MICRO__WIRE_JSONRPC)
        micro__buf_byte(out, '\n'); /* as Go's encoder ends a value */
}

MICRO_PRIVATE void micro__call_wrap(const micro__call *k, const micro_buf *message, micro_buf *out)
{
    size_t at = exchange_begin(k, out);

    micro__buf_add(out, message->ptr, message->len);
    exchange_end(k, out, at);
}

MICRO_PRIVATE micro_err micro__call_encode(micro__call *k, micro_buf *out)
{
    if (k->message) {
        micro__call_wrap(k, k->message, out);
        return out->failed ? micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory") : MICRO_OK;
    }
    size_t at = exchange_begin(k, out);
    micro_err err = micro__codec_encode(k->codec, k->ctx, k->method->req, k->req, out);

    if (err != MICRO_OK)
        return err;
    exchange_end(k, out, at);
    return out->failed ? micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory") : MICRO_OK;
}

static micro_err exchange_send(micro__call *k, micro__link *link)
{
    micro_buf *body = micro__pool_buf(k->c->pool);
    micro__mark mark = micro__arena_mark(&k->ctx->arena);
    micro_msg msg;

    if (!body)
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    micro_err err = micro__call_encode(k, body);
    if (err == MICRO_OK && !micro__call_headers(k, link->calls, &msg.header))
        err = micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    if (err == MICRO_OK) {
        msg.body.ptr = (const uint8_t *)(body->ptr ? body->ptr : "");
        msg.body.len = body->len;
        err = micro__transport_send(k->c->transport, k->ctx, link->sock, &msg);
        if (micro__transport_is_http(
                k->c->transport)) /* others may keep the answer there already */
            micro__arena_rewind(&k->ctx->arena, mark);
    }
    link->calls++;
    micro__pool_buf_give(k->c->pool, body);
    return err;
}

/* ---- reply --------------------------------------------------------------------------------- */

static micro_err exchange_codec_error(micro__call *k, micro_err err)
{
    /* the codec's text stays, the id says where it happened */
    micro_str detail = k->ctx->error.detail;
    return micro__ctx_local_id(k->ctx, "go.micro.client.codec", err, "%.*s", MICRO_STR_ARG(detail));
}

static micro_err exchange_decode(micro__call *k, char *body, size_t len)
{
    if (!body || (!len && k->method->rsp != &micro_type_bytes))
        return MICRO_OK;
    micro_err err = micro__codec_decode(k->codec, k->ctx, k->method->rsp, body, len, k->rsp);
    return err == MICRO_OK ? MICRO_OK : exchange_codec_error(k, err);
}

static micro_err exchange_envelope(micro__call *k, char *body, size_t len)
{
    micro__envelope env;
    micro_err err = k->wire == MICRO__WIRE_JSONRPC
                        ? micro__jsonrpc_read_reply(k->ctx, body, len, &env)
                        : micro__protorpc_read_reply(k->ctx, body, len, &env);

    if (err != MICRO_OK)
        return exchange_codec_error(k, err);
    if (env.failed)
        return micro__error_read(k->ctx, env.error.len ? env.error : micro_s("unspecified error"));
    return exchange_decode(k, env.body, env.body_len);
}

MICRO_PRIVATE micro_err micro__call_reply(micro__call *k, const micro_msg *msg)
{
    micro_str error = micro__pairs_get(&msg->header, "Micro-Error");
    micro_str type = micro__pairs_get(&msg->header, "Content-Type");
    char *body = (char *)(uintptr_t)msg->body.ptr; /* ours: it lives in the ctx */

    if (!error.len)
        error = micro__pairs_get(&msg->header, "X-Micro-Error");
    k->untouched = micro__pairs_get(&msg->header, "Micro-Shed").len > 0;
    if (!error.len && k->untouched)
        error = micro__str(body, msg->body.len);
    if (error.len || k->untouched)
        return micro__error_read(k->ctx, error);
    if (micro__str_starts(type, "text/plain") && msg->body.len)
        return micro__ctx_local_id(k->ctx, "go.micro.client.codec", MICRO_ECODEC, "%.*s",
                                   (int)(msg->body.len > 1024 ? 1024 : msg->body.len), body);
    return k->wire == MICRO__WIRE_BARE ? exchange_decode(k, body, msg->body.len)
                                       : exchange_envelope(k, body, msg->body.len);
}

MICRO_PRIVATE micro_err micro__call_http_reply(micro__call *k, micro__http_reader *r)
{
    const micro_msg msg = { { r->head.headers, r->head.nheaders, 0 },
                            { (const uint8_t *)r->body, r->body_len } };

    return micro__http_reply_counts(&r->head) ? micro__call_reply(k, &msg)
                                              : micro__http_status_error(r);
}

MICRO_PRIVATE micro_err micro__call_exchange(micro__call *k, micro__link *link, bool *keep)
{
    micro_msg reply = { { NULL, 0, 0 }, { NULL, 0 } };
    micro_err err = exchange_send(k, link);

    *keep = false;
    if (err != MICRO_OK)
        return err;
    k->untouched = false;
    err = micro__transport_recv(k->c->transport, k->ctx, link->sock, &reply);
    if (err != MICRO_OK)
        return err;
    *keep = true;
    return micro__call_reply(k, &reply);
}
