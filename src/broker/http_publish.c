/* SPDX-License-Identifier: MIT */
/* Publishing over http: the event as JSON, once, and a request for each of those that get it. */
#include "http.h"

#define PUBLISH_OWN 1 /* headers beside the message's */

/* ---- what is sent -------------------------------------------------------------------------- */

/* {"Header":{...},"Body":"..."}, keys in byte order. The topic stands where the subscriber's
 * generation looks for it, and nowhere else: go-micro's handlers send all headers along with their
 * own calls, where Micro-* means something else, and a name with a colon is malformed. */
static micro_err publish_body(micro_ctx *ctx, const char *topic, const micro_msg *msg, size_t set,
                              micro_buf *out)
{
    micro_pairs h = msg->header;

    h.cap = 0;
    h.ptr = micro__arena_take(&ctx->arena, (h.len + PUBLISH_OWN) * sizeof *h.ptr);
    if (!h.ptr)
        return MICRO_ENOMEM;
    if (h.len)
        memcpy(h.ptr, msg->header.ptr, h.len * sizeof *h.ptr);
    micro__pairs_del(&h, micro_s(":topic"));
    if (set == 0) {
        micro__pairs_del(&h, micro_s("Micro-Topic"));
        micro__pairs_del(&h, micro_s("Micro-Id"));
    }
    if (set < MICRO__HTTP_NAMES - 1) {
        h.ptr[h.len].key = micro_s(":topic");
        h.ptr[h.len++].value = micro_s(topic);
    }
    micro__pairs_sort(&h);
    micro__buf_text(out, "{\"Header\":");
    for (size_t i = 0; i < h.len; i++) {
        micro__buf_byte(out, i ? ',' : '{');
        micro__json_quote(out, h.ptr[i].key);
        micro__buf_byte(out, ':');
        micro__json_quote(out, h.ptr[i].value);
    }
    micro__buf_text(out, "},\"Body\":\"");
    micro__base64_encode(out, msg->body.ptr, msg->body.len);
    micro__buf_text(out, "\"}");
    return out->failed ? (out->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM) : MICRO_OK;
}

/* 2.9 and later take any path, but post to this one themselves. */
static micro_err publish_head(const micro_node *node, size_t set, size_t length, micro_buf *out)
{
    out->len = 0;
    micro__buf_text(out, set == MICRO__HTTP_NAMES - 1 ? "POST /?id=" : "POST /_sub?id=");
    micro__query_quote(out, node->id);
    micro__buf_text(out, " HTTP/1.1\r\nHost: ");
    if (micro__str_starts(node->address, "unix:"))
        micro__buf_text(out, "localhost");
    else
        micro__buf_str(out, node->address);
    micro__buf_text(out, "\r\nContent-Type: application/json\r\nContent-Length: ");
    micro__buf_u64(out, length);
    micro__buf_text(out, "\r\n\r\n");
    return out->failed ? MICRO_ENOMEM : MICRO_OK;
}

/* ---- to whom ------------------------------------------------------------------------------- */

/* One publication: its body is made for the first of each generation. */
typedef struct publication {
    micro__http_broker *b;
    micro_ctx *ctx;
    const char *topic;
    const micro_msg *msg;
    micro_buf body[MICRO__HTTP_NAMES];
    micro_buf head;
} publication;

static micro_err publish_to(publication *p, const micro_node *node, size_t set)
{
    micro_buf *body = &p->body[set];
    micro_err err = MICRO_OK;

    if (micro__str_is(micro__pairs_get(&node->metadata, "secure"), "true"))
        return MICRO_ENOSYS;
    if (!body->len)
        err = publish_body(p->ctx, p->topic, p->msg, set, body);
    if (err == MICRO_OK)
        err = publish_head(node, set, body->len, &p->head);
    return err == MICRO_OK
               ? micro__pipelines_send(p->b->out, p->ctx, node->address.ptr, &p->head, body)
               : err;
}

static const char *publish_why(micro_err err)
{
    return err == MICRO_ECONNECT  ? "no subscriber can be reached"
           : err == MICRO_EAGAIN  ? "no subscriber has room"
           : err == MICRO_ENOSYS  ? "subscribers want TLS, which is not offered"
           : err == MICRO_ETOOBIG ? "event over the size limit"
                                  : micro_strerror(err);
}

/* A subscriber that gets nothing is no reason for the others to get nothing. */
static micro_err publish_all(publication *p, const micro__http_found *f)
{
    micro_err err = MICRO_ENOTFOUND;
    size_t taken = 0;

    for (size_t i = 0; i < f->len; i++) {
        const micro_node *node = f->list[i].of;
        if (!f->list[i].chosen)
            continue;
        micro_err own = publish_to(p, node, f->set[i]);
        taken += own == MICRO_OK;
        if (own == MICRO_OK)
            continue;
        err = own;
        MICRO_LOG(MICRO_LOG_WARN, "event of %s for %s lost: %s", p->topic, node->address.ptr,
                  publish_why(own));
    }
    return taken ? MICRO_OK : err;
}

static micro_err publish(micro__http_broker *b, micro_ctx *ctx, const char *topic,
                         const micro_msg *msg)
{
    publication p = {
        .b = b,
        .ctx = ctx,
        .topic = topic,
        .msg = msg,
        .body = { { .max = MICRO_MAX_BODY }, { .max = MICRO_MAX_BODY }, { .max = MICRO_MAX_BODY } }
    };
    micro__http_found f;
    micro_err err = micro__http_find(b, ctx, topic, &f);

    if (err != MICRO_OK)
        return err;
    micro__receivers_choose(f.list, f.len);
    err = publish_all(&p, &f);
    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++)
        micro__buf_free(&p.body[i]);
    micro__buf_free(&p.head);
    micro__http_drop(b, &f);
    return err == MICRO_OK ? err : micro__ctx_local(ctx, err, "%s", publish_why(err));
}

MICRO_PRIVATE micro_err micro__http_publish(micro_broker *base, micro_ctx *ctx, const char *topic,
                                            const micro_msg *msg, const micro_publish_opts *opts)
{
    micro__http_broker *b = (micro__http_broker *)base;
    micro_err err = micro__http_begin(b);

    (void)opts;
    if (err != MICRO_OK)
        return err;
    err = publish(b, ctx, topic, msg);
    micro__http_end(b);
    return err;
}
