/* SPDX-License-Identifier: MIT */
/* An event that was posted to this process: read, and given to its subscription. */
#include "http.h"

#define RECEIVE_ID_MAX 1024

typedef struct receive_event {
    micro_pairs header;
    micro_bytes body;
} receive_event;

static const micro_field receive_rows[] = {
    { "Header", &micro_type_pair, 1, offsetof(receive_event, header), 0, sizeof(micro_pair), 0,
      MICRO_KIND_message, MICRO_ENTRIES, 0, 0 },
    { "Body", NULL, 2, offsetof(receive_event, body), 0, sizeof(micro_bytes), 0, MICRO_KIND_bytes,
      MICRO_PLAIN, 0, 0 },
};
static const micro_type receive_type = { sizeof(micro_type),
                                         sizeof(micro_field),
                                         MICRO_COUNTOF(receive_rows),
                                         "Message",
                                         sizeof(receive_event),
                                         receive_rows,
                                         0 };

/* ---- replies ------------------------------------------------------------------------------- */

static void receive_error(micro__reply *reply, int status, int code, const char *what,
                          const char *detail)
{
    char text[512];
    micro_error e = {
        micro_s("go.micro.broker"), code, { text, 0 }, micro_s(micro__status_text(code))
    };

    snprintf(text, sizeof text, "%s%s", what, detail);
    e.detail.len = strlen(text);
    reply->status = status;
    reply->content_type = micro_s("text/plain; charset=utf-8");
    micro__error_write(reply->body, &e);
}

/* ---- the request --------------------------------------------------------------------------- */

/* The subscription with that id, if it is one of that topic, held. */
static micro_sub *receive_find(micro__http_broker *b, const char *id, const char *topic)
{
    micro_sub *found = NULL;

    micro__lock(&b->lock);
    for (micro_sub *s = b->subs; s && !found; s = s->next) {
        const micro__http_sub *h = (const micro__http_sub *)s;
        if ((!strcmp(h->ids[0], id) || !strcmp(h->ids[1], id)) && !strcmp(s->topic, topic))
            found = s;
    }
    if (found)
        micro__sub_hold(found);
    micro__unlock(&b->lock);
    return found;
}

/* ---- the event ----------------------------------------------------------------------------- */

/* d->msg out of a body; false: answered. */
static bool receive_read(micro__delivery *d, const micro__request *req, micro__reply *reply)
{
    micro_ctx *ctx = d->ctx;
    char *text = micro__arena_text(&ctx->arena, req->body, req->body_len);
    receive_event e;
    micro_err err = text ? micro__json_read(ctx, &receive_type, text, req->body_len, 0, &e)
                         : micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");

    if (err != MICRO_OK) {
        receive_error(reply, 500, 500, "Error parsing request body: ", ctx->error.detail.ptr);
        return false;
    }
    d->msg.header = e.header;
    d->msg.body = e.body;
    const micro_pair *own = micro__pairs_find(&e.header, micro_s(":topic"));
    micro_str topic =
        own && own->value.len ? own->value : micro__pairs_get(&e.header, "Micro-Topic");
    if (!topic.len) {
        receive_error(reply, 500, 500, "Topic not found", "");
        return false;
    }
    d->topic = topic.ptr;
    if (own)
        micro__pairs_del(&d->msg.header, micro_s(":topic"));
    return true;
}

/* ENOTFOUND: nobody's. */
static micro_err receive_deliver(micro__http_broker *b, micro_ctx *ctx, micro__delivery *d,
                                 const char *id)
{
    micro_sub *s = receive_find(b, id, d->topic);

    if (!s)
        return MICRO_ENOTFOUND;
    micro_err err = micro__sub_deliver(s, d, true, ctx);
    micro__sub_drop(s);
    return err;
}

static void receive_post(micro__http_broker *b, const micro__request *req, const char *id,
                         micro__reply *reply)
{
    micro__delivery *d = micro__delivery_new(micro_s(""));

    if (!d) {
        receive_error(reply, 500, 500, "out of memory", "");
        return;
    }
    if (receive_read(d, req, reply)) {
        micro_err err = receive_deliver(b, req->ctx, d, id);
        if (err == MICRO_OK)
            return;
        if (err == MICRO_EAGAIN)
            receive_error(reply, 503, 503, "too many events wait", "");
    }
    micro_ctx_free(d->ctx);
}

MICRO_PRIVATE void micro__http_receive(void *arg, micro__request *req, micro__reply *reply)
{
    micro_str query, path = micro__str_cut(req->head->target, '?', &query);
    char id[RECEIVE_ID_MAX];

    if (!micro__str_is(path, "/") && !micro__str_is(path, "/_sub")) {
        reply->status = 404;
        reply->content_type = micro_s("text/plain; charset=utf-8");
        micro__buf_text(reply->body, "404 page not found\n");
    } else if (!micro__str_is(req->head->method, "POST")) {
        receive_error(reply, 405, 400, "Method not allowed", "");
        micro__buf_byte(reply->body, '\n');
    } else {
        micro__query_get(query, "id", id, sizeof id);
        receive_post(arg, req, id, reply);
    }
}
