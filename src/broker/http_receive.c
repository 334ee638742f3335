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

/* The subscription with that id, held; NULL: none. */
static micro_sub *receive_find(micro__http_broker *b, const char *id)
{
    micro_sub *found = NULL;

    micro__lock(&b->lock);
    for (micro_sub *s = b->subs; s && !found; s = s->next) {
        const micro__http_sub *h = (const micro__http_sub *)s;
        if (!strcmp(h->ids[0], id) || !strcmp(h->ids[1], id))
            found = s;
    }
    if (found)
        micro__sub_hold(found);
    micro__unlock(&b->lock);
    return found;
}

/* ---- the event ----------------------------------------------------------------------------- */

/* d's topic and message out of a body, in its place; false: answered. */
static bool receive_read(micro__delivery *d, char *text, size_t len, micro__reply *reply)
{
    receive_event e;

    if (micro__json_read(d->ctx, &receive_type, text, len, 0, &e) != MICRO_OK) {
        receive_error(reply, 500, 500, "Error parsing request body: ", d->ctx->error.detail.ptr);
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

/* In the memory of its request. Of events that came together the next one's time begins where the
 * one before ended: a look at the clock costs as much as reading a message. */
static void receive_here(micro__delivery *d, const micro__request *req, micro__reply *reply)
{
    micro__thread *t = req->thread;

    d->ctx->since = t->ended;
    if (receive_read(d, req->body, req->body_len, reply) && !strcmp(d->topic, d->sub->topic))
        micro__sub_run(d);
    else
        micro__sub_done(d);
    t->ended = d->ctx->ended;
}

/* By the subscription, in memory of its own. */
static void receive_later(micro_sub *s, const micro__request *req, micro__reply *reply)
{
    micro__delivery *d = micro__delivery_new(micro_s(""));
    char *text = d ? micro__arena_text(&d->ctx->arena, req->body, req->body_len) : NULL;

    if (!text) {
        receive_error(reply, 500, 500, "out of memory", "");
    } else if (receive_read(d, text, req->body_len, reply) && s && !strcmp(d->topic, s->topic)) {
        micro_err err = micro__sub_deliver(s, d, req->ctx);
        if (err == MICRO_OK)
            return;
        if (err == MICRO_EAGAIN)
            receive_error(reply, 503, 503, "too many events wait", "");
    }
    if (d)
        micro_ctx_free(d->ctx);
}

/* ---- the request --------------------------------------------------------------------------- */

/* Whose an event is, by the head of its request; *s NULL: nobody's. False: answered. */
static bool receive_whose(micro__http_broker *b, const micro__http_head *head, micro__reply *reply,
                          micro_sub **s)
{
    micro_str query, path = micro__str_cut(head->target, '?', &query);
    char id[RECEIVE_ID_MAX];

    if (!micro__str_is(path, "/") && !micro__str_is(path, "/_sub")) {
        reply->status = 404;
        reply->content_type = micro_s("text/plain; charset=utf-8");
        micro__buf_text(reply->body, "404 page not found\n");
        return false;
    }
    if (!micro__str_is(head->method, "POST")) {
        receive_error(reply, 405, 400, "Method not allowed", "");
        micro__buf_byte(reply->body, '\n');
        return false;
    }
    micro__query_get(query, "id", id, sizeof id);
    *s = receive_find(b, id);
    return true;
}

MICRO_PRIVATE void micro__http_receive(void *arg, micro__request *req, micro__reply *reply)
{
    micro__delivery d = { .ctx = req->ctx, .lent = true };
    micro_sub *s = *req->memo;

    if (!s && !receive_whose(arg, req->head, reply, &s))
        return;
    *req->memo = s;
    if (s && req->thread && micro__sub_begin(s, &d)) {
        receive_here(&d, req, reply);
        return;
    }
    receive_later(s, req, reply);
    if (req->thread)
        req->thread->ended = 0; /* that may have taken long */
}

MICRO_PRIVATE void micro__http_receive_forget(void *memo)
{
    micro__sub_drop(memo);
}
