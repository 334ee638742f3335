/* SPDX-License-Identifier: MIT */
/* The memory broker: one list of subscriptions for the whole process, shared by all brokers of this
 * kind; their handlers run where their service's do. */
#include "broker.h"

static struct {
    micro__mutex lock;
    micro_sub *subs;
} membroker_map = { .lock = MICRO__MUTEX_INIT };

/* ---- publish ------------------------------------------------------------------------------- */

/* Those that subscribe to the topic, held, in memory of ctx. */
static micro_err membroker_find(micro_ctx *ctx, const char *topic, micro__receiver **list,
                                size_t *n)
{
    size_t count = 0;

    *n = 0;
    micro__lock(&membroker_map.lock);
    for (const micro_sub *s = membroker_map.subs; s; s = s->next)
        count += strcmp(s->topic, topic) == 0;
    *list = micro__arena_take(&ctx->arena, (count + 1) * sizeof **list);
    for (micro_sub *s = membroker_map.subs; s && *list; s = s->next)
        if (strcmp(s->topic, topic) == 0) {
            const micro__receiver r = { micro_s(s->queue), true, false, s };
            micro__sub_hold(s);
            (*list)[(*n)++] = r;
        }
    micro__unlock(&membroker_map.lock);
    return !*list ? MICRO_ENOMEM : *n ? MICRO_OK : MICRO_ENOTFOUND;
}

static micro_err membroker_deliver(micro_ctx *ctx, const char *topic, const micro_msg *msg,
                                   micro_sub *s)
{
    micro__delivery *d = micro__delivery_new(micro_s(topic));
    micro_err err = MICRO_ENOMEM;

    if (!d)
        return err;
    d->msg.body.len = msg->body.len;
    d->msg.body.ptr = (const uint8_t *)micro__arena_text(
        &d->ctx->arena, (const char *)msg->body.ptr, msg->body.len);
    if (d->msg.body.ptr && micro__pairs_copy(&d->ctx->arena, &d->msg.header, &msg->header))
        err = micro__sub_deliver(s, d, ctx);
    if (err != MICRO_OK)
        micro_ctx_free(d->ctx);
    return err;
}

static micro_err membroker_publish(micro_broker *base, micro_ctx *ctx, const char *topic,
                                   const micro_msg *msg, const micro_publish_opts *opts)
{
    micro__receiver *list;
    size_t n, taken = 0;
    micro_err err = membroker_find(ctx, topic, &list, &n);

    (void)base, (void)opts;
    micro__receivers_choose(list, n);
    for (size_t i = 0; i < n; i++) {
        micro_sub *s = (micro_sub *)(uintptr_t)list[i].of;
        micro_err own = list[i].chosen ? membroker_deliver(ctx, topic, msg, s) : MICRO_OK;
        if (own != MICRO_OK)
            MICRO_LOG(MICRO_LOG_WARN, "event of %s lost: %s", topic, micro_strerror(own));
        taken += list[i].chosen && own == MICRO_OK;
        err = own != MICRO_OK ? own : err;
        micro__sub_drop(s);
    }
    return taken ? MICRO_OK : err == MICRO_ECLOSED ? MICRO_ENOTFOUND : err;
}

/* ---- subscribe ----------------------------------------------------------------------------- */

static void membroker_sub_free(micro_sub *s)
{
    micro__sub_release(s);
    micro__free(s, sizeof *s);
}

static micro_err membroker_subscribe(micro_broker *base, micro_ctx *ctx, const char *topic,
                                     const micro_subscribe_opts *opts, micro_event_fn *event,
                                     void *arg, micro_sub **out)
{
    micro__engine *e;
    micro_err err = micro__service_engine_of(ctx->svc, &e);
    micro_sub *s = err == MICRO_OK ? micro__alloc_zero(sizeof *s) : NULL;

    (void)base;
    if (!s)
        return err != MICRO_OK ? err : MICRO_ENOMEM;
    s->free = membroker_sub_free;
    err = micro__sub_init(s, ctx->svc, e, topic, opts, event, arg);
    if (err != MICRO_OK) {
        micro__sub_drop(s);
        return err;
    }
    micro__lock(&membroker_map.lock);
    s->next = membroker_map.subs;
    membroker_map.subs = s;
    micro__unlock(&membroker_map.lock);
    *out = s;
    return MICRO_OK;
}

static micro_err membroker_unsubscribe(micro_broker *base, micro_sub *sub, int drain_ms)
{
    (void)base;
    micro__lock(&membroker_map.lock);
    micro__sub_unlink(&membroker_map.subs, sub);
    micro__unlock(&membroker_map.lock);
    return micro__sub_end(sub, drain_ms);
}

static void membroker_free(micro_broker *base)
{
    micro__free(base, sizeof *base);
}

static const micro_broker_ops membroker_ops = {
    .size_ = sizeof(micro_broker_ops),
    .name = "memory",
    .publish = membroker_publish,
    .subscribe = membroker_subscribe,
    .unsubscribe = membroker_unsubscribe,
    .free = membroker_free,
};

MICRO_API micro_broker *micro_broker_memory_new(void)
{
    micro_broker *b = micro__alloc_zero(sizeof *b);

    if (b)
        b->ops = &membroker_ops;
    return b;
}
