/* SPDX-License-Identifier: MIT */
/* Handlers of events: a message's way from its bytes to its handler, and how subscribers look in
 * the registry. */
#include "server.h"

#define SUBSCRIBER_TYPE "application/protobuf" /* of a message that does not say */

/* ---- one event ----------------------------------------------------------------------------- */

/* What a handler sees as metadata: all headers but the one that is the codec's. That one's value,
 * with a terminator; NULL: out of memory. */
static const char *subscriber_headers(micro_ctx *ctx, const micro_pairs *header)
{
    micro_pairs *m = &ctx->metadata;
    const micro_str type_name = micro_s("Content-Type");
    micro_str type = micro_s("");

    memset(m, 0, sizeof *m);
    m->ptr = micro__arena_take(&ctx->arena, header->len * sizeof *m->ptr);
    for (size_t i = 0; i < header->len && m->ptr; i++)
        if (!micro_str_eq_nocase(header->ptr[i].key, type_name))
            m->ptr[m->len++] = header->ptr[i];
        else if (!type.len)
            type = header->ptr[i].value;
    if (!type.len)
        type = micro_s(SUBSCRIBER_TYPE);
    return m->ptr ? micro__arena_text(&ctx->arena, type.ptr, type.len) : NULL;
}

static void subscriber_surroundings(micro__subscriber *s, micro_ctx *ctx, const char *type)
{
    ctx->svc = s->server->svc;
    ctx->state = s->state;
    ctx->hops = 0;
    ctx->info.stage = MICRO_WRAP_SUBSCRIBER;
    ctx->info.service = s->server->name;
    ctx->info.endpoint = NULL;
    ctx->info.content_type = type;
    ctx->info.topic = s->topic;
}

static micro_err subscriber_decode(micro__subscriber *s, micro_ctx *ctx, micro_str type,
                                   const micro_bytes *body, void *obj)
{
    const micro__server *server = s->server;
    const micro_codec *codec = micro__codec_find(server->codecs, server->ncodecs, type);

    if (!codec)
        return micro__ctx_local(ctx, MICRO_ECODEC, "unsupported Content-Type: %.*s",
                                MICRO_STR_ARG(type));
    if (!body->len && s->type != &micro_type_bytes) {
        micro__type_zero(s->type, obj);
        return MICRO_OK;
    }
    char *own = micro__arena_text(&ctx->arena, (const char *)body->ptr, body->len);
    if (!own) /* decoding is in place, and the message is only lent */
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    return micro__codec_decode(codec, ctx, s->type, own, body->len, obj);
}

/* The handler, and each time that middleware runs it, as if for the first time. */
static micro_err subscriber_inside(micro__chain *chain)
{
    const micro__subscriber *s = chain->arg;

    micro__ctx_keep(chain->ctx);
    return s->receive(chain->ctx, s->fn, chain->req);
}

static micro_err subscriber_receive(micro__subscriber *s, micro_ctx *ctx, const void *obj)
{
    micro__chain chain = { .wraps = s->server->wraps,
                           .ctx = ctx,
                           .info = &ctx->info,
                           .req = obj,
                           .end = subscriber_inside,
                           .arg = s };

    micro__ctx_keep(ctx);
    return micro__wrapped(s->server->wraps, MICRO_WRAP_SUBSCRIBER) ? micro__chain_run(&chain)
                                                                   : s->receive(ctx, s->fn, obj);
}

static micro_err subscriber_handle(micro__subscriber *s, micro_ctx *ctx, const micro_msg *msg)
{
    void *obj = micro__arena_take(&ctx->arena, s->type->size);
    const char *type = subscriber_headers(ctx, &msg->header);

    subscriber_surroundings(s, ctx, type ? type : "");
    if (!obj || !type)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro__trace_accept(ctx, s->server->trace);
    micro_err err = subscriber_decode(s, ctx, micro_s(type), &msg->body, obj);
    if (err != MICRO_OK)
        return err;
    if (!micro__server_take(s->server))
        return micro__ctx_local(ctx, MICRO_ECLOSED, "this function has served its one event");
    const micro_ctx *before = micro__log_scope(ctx);
    err = subscriber_receive(s, ctx, obj);
    micro__log_scope(before);
    micro__server_taken(s->server);
    return err == MICRO_OK && ctx->arena.failed
               ? micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory")
               : err;
}

MICRO_PRIVATE micro_err micro__subscriber_event(void *arg, micro_ctx *ctx, const char *topic,
                                                const micro_msg *msg)
{
    micro__subscriber *s = arg;
    uint64_t begun = micro__stats_begin(s->stats, ctx);
    micro_err err = subscriber_handle(s, ctx, msg);

    (void)topic;
    ctx->ended = micro__stats_end(s->stats, ctx, begun, micro__outcome_of(err));
    return err;
}

/* The first subscriber of a topic; NULL: there is none. */
static const micro__subscriber *subscriber_find(const micro__server *server, const char *topic)
{
    const micro__subscriber *s = server->subscribers;

    while (s && strcmp(s->topic, topic) != 0)
        s = s->next;
    return s;
}

MICRO_PRIVATE bool micro__server_subscribes(const micro__server *server, const char *topic)
{
    return subscriber_find(server, topic) != NULL;
}

MICRO_PRIVATE void micro__server_event(const micro__server *server, const char *topic,
                                       const micro_msg *msg)
{
    for (micro__subscriber *s = server->subscribers; s; s = s->next) {
        micro_ctx *ctx = strcmp(s->topic, topic) == 0 ? micro_ctx_new(server->svc) : NULL;
        if (!ctx)
            continue;
        micro__user_begin(&s->habit);
        micro_err err = micro__subscriber_event(s, ctx, topic, msg);
        micro__family_end(ctx);
        micro__user_end(&s->habit);
        if (err != MICRO_OK)
            MICRO_LOG(MICRO_LOG_WARN, "event of %s: %s", topic, micro_ctx_strerror(ctx));
        micro_ctx_free(ctx);
    }
}

/* ---- the list ------------------------------------------------------------------------------ */

static void subscriber_free(micro__subscriber *s)
{
    if (s->first)
        micro__stats_free(s->stats);
    micro__strfree(s->topic);
    micro__strfree(s->queue);
    micro__free(s, sizeof *s);
}

/* By topic in descending order, as they are registered; of one topic in the order of their
 * making. */
static void subscriber_link(micro__server *server, micro__subscriber *s)
{
    micro__subscriber **at = &server->subscribers;

    while (*at && strcmp((*at)->topic, s->topic) >= 0)
        at = &(*at)->next;
    s->next = *at;
    *at = s;
}

MICRO_PRIVATE micro_err micro__server_subscribe(micro__server *server, const char *topic,
                                                const micro__subscriber *as)
{
    if (!topic || !*topic || !as->type || !as->receive || !as->fn)
        return MICRO_EINVAL;
    micro__subscriber *s = micro__alloc_zero(sizeof *s);
    if (!s)
        return MICRO_ENOMEM;
    *s = *as;
    s->server = server;
    s->topic = micro__strdup(topic);
    s->queue = as->queue && *as->queue ? micro__strdup(as->queue) : NULL;
    const micro__subscriber *before = subscriber_find(server, topic);
    s->first = !before;
    s->stats = before ? before->stats : micro__stats_new();
    if (!s->topic || !s->stats || (as->queue && *as->queue && !s->queue)) {
        subscriber_free(s);
        return MICRO_ENOMEM;
    }
    subscriber_link(server, s);
    return MICRO_OK;
}

MICRO_PRIVATE void micro__server_free_subscribers(micro__server *server)
{
    while (server->subscribers) {
        micro__subscriber *s = server->subscribers;
        server->subscribers = s->next;
        subscriber_free(s);
    }
}

/* ---- endpoints ----------------------------------------------------------------------------- */

static bool subscriber_endpoint(const micro__subscriber *s, micro__arena *a, micro_endpoint *out)
{
    micro_pairs *m = &out->metadata;

    out->name = micro_s(MICRO__SUBSCRIBER_NAME);
    out->request = micro__type_describe(a, s->type, MICRO__ENDPOINT_DEPTH);
    return out->request &&
           (!s->queue || micro__pairs_add(a, m, micro_s("queue"), micro_s(s->queue))) &&
           micro__pairs_add(a, m, micro_s("subscriber"), micro_s("true")) &&
           micro__pairs_add(a, m, micro_s("topic"), micro_s(s->topic));
}

MICRO_PRIVATE bool micro__server_subscriber_endpoints(const micro__server *server, micro__arena *a,
                                                      micro_endpoints *out)
{
    for (const micro__subscriber *s = server->subscribers; s; s = s->next)
        if (!s->internal && (!micro__list_grow(a, out, sizeof *out->ptr) ||
                             !subscriber_endpoint(s, a, &out->ptr[out->len - 1])))
            return false;
    return true;
}
