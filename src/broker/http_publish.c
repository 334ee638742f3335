/* SPDX-License-Identifier: MIT */
/* Publishing over http: the event as JSON, once, and a request for each of those that get it. */
#include "http.h"

#define PUBLISH_OWN 1   /* headers beside the message's */
#define PUBLISH_ROOM 24 /* in front of a body: its length, and the end of the head */
#define PUBLISH_MAX (MICRO_MAX_BODY + PUBLISH_ROOM)

/* ---- what is sent -------------------------------------------------------------------------- */

/* A buffer that has failed stays so, for the next subscriber of its generation too. */
static micro_err publish_state(const micro_buf *b)
{
    return !b->failed ? MICRO_OK : b->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
}

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
    return publish_state(out);
}

/* About as much as such a body takes: then its buffer need not grow. */
static size_t publish_size(const char *topic, const micro_msg *msg)
{
    size_t n = 64 + strlen(topic) + msg->body.len / 3 * 4;

    for (size_t i = 0; i < msg->header.len; i++)
        n += 8 + msg->header.ptr[i].key.len + msg->header.ptr[i].value.len;
    return n < MICRO_MAX_BODY ? n : MICRO_MAX_BODY;
}

/* What all requests of one generation have in common: the length of the body, the end of the head,
 * and the body. */
static micro_err publish_rest(micro_ctx *ctx, const char *topic, const micro_msg *msg, size_t set,
                              micro_buf *buf, micro_str *rest)
{
    char text[PUBLISH_ROOM];

    if (!micro__buf_room(buf, PUBLISH_ROOM + publish_size(topic, msg)))
        return publish_state(buf);
    buf->len = PUBLISH_ROOM;
    micro_err err = publish_body(ctx, topic, msg, set, buf);
    if (err != MICRO_OK)
        return err;
    size_t body = buf->len - PUBLISH_ROOM, n = micro__format_u64(text, body);
    memcpy(text + n, "\r\n\r\n", 4);
    n += 4;
    memcpy(buf->ptr + PUBLISH_ROOM - n, text, n);
    *rest = micro__str(buf->ptr + PUBLISH_ROOM - n, n + body);
    return MICRO_OK;
}

/* ---- to whom ------------------------------------------------------------------------------- */

/* One publication: what all of a generation share is made for the first of it. */
typedef struct publication {
    micro__http_broker *b;
    micro_ctx *ctx;
    const char *topic;
    const micro_msg *msg;
    micro_buf bufs[MICRO__HTTP_NAMES];
    micro_str rest[MICRO__HTTP_NAMES];
} publication;

static micro__pipeline_request publish_request(publication *p, const micro__http_target *t)
{
    micro_str *rest = &p->rest[t->set];
    micro_err err = t->secure ? MICRO_ENOSYS : MICRO_OK;

    if (err == MICRO_OK && !rest->len)
        err = publish_rest(p->ctx, p->topic, p->msg, t->set, &p->bufs[t->set], rest);
    return (micro__pipeline_request){ t->node->address.ptr, t->head, *rest, err };
}

static const char *publish_why(micro_err err)
{
    return err == MICRO_ECONNECT  ? "no subscriber can be reached"
           : err == MICRO_EAGAIN  ? "no subscriber has room"
           : err == MICRO_ENOSYS  ? "subscribers want TLS, which is not offered"
           : err == MICRO_ETOOBIG ? "event over the size limit"
                                  : micro_strerror(err);
}

/* Of each queue one; *list NULL: nobody has a queue, and all get it. */
static micro_err publish_choose(const publication *p, const micro__http_plan *plan,
                                micro__receiver **list)
{
    *list = NULL;
    if (!plan->queues)
        return MICRO_OK;
    micro__receiver *r = micro__arena_zero(&p->ctx->arena, plan->len * sizeof *r);
    if (!r)
        return MICRO_ENOMEM;
    for (size_t i = 0; i < plan->len; i++) {
        const micro__http_target *t = &plan->list[i];
        r[i].queue = t->queue;
        r[i].usable = !t->secure && !micro__pipelines_refused(p->b->out, t->node->address.ptr);
    }
    micro__receivers_choose(r, plan->len);
    *list = r;
    return MICRO_OK;
}

/* A subscriber that gets nothing is no reason for the others to get nothing. */
static micro_err publish_result(const publication *p, const micro__pipeline_request *list, size_t n)
{
    micro_err err = MICRO_OK;
    size_t taken = 0;

    for (size_t i = 0; i < n; i++) {
        taken += list[i].err == MICRO_OK;
        if (list[i].err == MICRO_OK)
            continue;
        err = list[i].err;
        MICRO_LOG(MICRO_LOG_WARN, "event of %s for %s lost: %s", p->topic, list[i].address,
                  publish_why(err));
    }
    return taken ? MICRO_OK : err;
}

static micro_err publish_all(publication *p, const micro__http_plan *plan)
{
    micro__pipeline_request *list = micro__arena_take(&p->ctx->arena, plan->len * sizeof *list);
    micro__receiver *receivers;
    micro_err err = list ? publish_choose(p, plan, &receivers) : MICRO_ENOMEM;
    size_t n = 0;

    if (err != MICRO_OK)
        return err;
    for (size_t i = 0; i < plan->len; i++)
        if (!receivers || receivers[i].chosen)
            list[n++] = publish_request(p, &plan->list[i]);
    micro__pipelines_send(p->b->out, p->ctx, list, n);
    return publish_result(p, list, n);
}

static micro_err publish(micro__http_broker *b, micro_ctx *ctx, const char *topic,
                         const micro_msg *msg)
{
    publication p = {
        .b = b,
        .ctx = ctx,
        .topic = topic,
        .msg = msg,
        .bufs = { { .max = PUBLISH_MAX }, { .max = PUBLISH_MAX }, { .max = PUBLISH_MAX } }
    };
    micro__http_plan *plan = NULL;
    micro_err err = micro__http_find(b, ctx, topic, &plan);

    if (err != MICRO_OK)
        return err;
    err = publish_all(&p, plan);
    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++)
        micro__buf_free(&p.bufs[i]);
    micro__http_plan_drop(b, plan);
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
