/* SPDX-License-Identifier: MIT */
/* A message for a topic: encoded, with the headers that a publisher of go-micro gives it. */
#include "call.h"

/* Asked for after the call too: nothing that was lent. */
static void publish_info(micro_ctx *ctx, const char *topic, const char *type)
{
    micro_info *info = &ctx->info;

    if (micro__stage_serves(info->stage))
        return; /* a handler's stays what it was asked */
    memset(info, 0, sizeof *info);
    info->stage = MICRO_WRAP_CLIENT;
    info->service = info->peer = "";
    info->content_type = micro_copy(ctx, micro_s(type)).ptr;
    info->topic = micro_copy(ctx, micro_s(topic)).ptr;
}

MICRO_PRIVATE micro_err micro__client_message(micro__client *c, micro_ctx *ctx, const char *topic,
                                              const micro_type *type, const void *obj,
                                              const micro_publish_opts *opts, micro_buf *body,
                                              micro_msg *out)
{
    const char *content_type = opts->content_type ? opts->content_type : MICRO__EVENT_TYPE;
    const micro_codec *codec = micro__codec_find(c->codecs, c->ncodecs, micro_s(content_type));

    publish_info(ctx, topic, content_type);
    if (!codec)
        return micro__ctx_local_id(ctx, "go.micro.client", MICRO_ECODEC,
                                   "Unsupported Content-Type: %s", content_type);
    micro_err err = micro__codec_encode(codec, ctx, type, obj, body);
    if (err != MICRO_OK)
        return err;
    if (body->failed || !micro__event_headers(c, ctx, topic, content_type, &out->header))
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    out->body.ptr = (const uint8_t *)(body->ptr ? body->ptr : "");
    out->body.len = body->len;
    return MICRO_OK;
}
