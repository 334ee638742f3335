/* SPDX-License-Identifier: MIT */
/* Calls a broker's ops, with checks that every implementation would otherwise repeat. */
#include "broker.h"

#define BROKER_HAS(b, op) MICRO__OP_SET((b)->ops, micro_broker_ops, op)

static micro_err broker_lacks(micro_broker *b, micro_ctx *ctx, const char *what)
{
    return micro__ctx_local(ctx, MICRO_ENOSYS, "broker %s cannot %s", b->ops->name, what);
}

/* What an op failed with always has a text. */
static micro_err broker_failed(micro_ctx *ctx, micro_err err)
{
    return err == MICRO_OK || ctx->local == err || err > 0
               ? err
               : micro__ctx_local(ctx, err, "%s", micro_strerror(err));
}

MICRO_PRIVATE micro_err micro__broker_connect(micro_broker *b, micro_ctx *ctx, micro_service *svc)
{
    return BROKER_HAS(b, connect) ? broker_failed(ctx, b->ops->connect(b, ctx, svc)) : MICRO_OK;
}

MICRO_PRIVATE void micro__broker_disconnect(micro_broker *b, int drain_ms)
{
    if (BROKER_HAS(b, disconnect))
        b->ops->disconnect(b, drain_ms);
}

MICRO_PRIVATE micro_err micro__broker_publish(micro_broker *b, micro_ctx *ctx, const char *topic,
                                              const micro_msg *msg, const micro_publish_opts *opts)
{
    micro__mark mark = micro__arena_mark(&ctx->arena);
    bool failed = ctx->arena.failed; /* before: that sticks */

    if (!BROKER_HAS(b, publish))
        return broker_lacks(b, ctx, "publish");
    micro_err err = broker_failed(ctx, b->ops->publish(b, ctx, topic, msg, opts));
    if (err != MICRO_OK)
        return err;
    micro__ctx_clear_error(ctx); /* of looking for what was not at hand */
    micro__arena_rewind(&ctx->arena, mark);
    ctx->arena.failed = failed;
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__broker_subscribe(micro_broker *b, micro_ctx *ctx, const char *topic,
                                                const micro_subscribe_opts *opts,
                                                micro_event_fn *event, void *arg, micro_sub **out)
{
    return BROKER_HAS(b, subscribe) && BROKER_HAS(b, unsubscribe)
               ? broker_failed(ctx, b->ops->subscribe(b, ctx, topic, opts, event, arg, out))
               : broker_lacks(b, ctx, "subscribe");
}

MICRO_PRIVATE micro_err micro__broker_unsubscribe(micro_broker *b, micro_sub *sub, int drain_ms)
{
    return BROKER_HAS(b, unsubscribe) ? b->ops->unsubscribe(b, sub, drain_ms) : MICRO_ENOSYS;
}

/* Of the same queue as list[i], usable ones only if so wanted: the turn-th; n: there are not as
 * many. *count: how many there are. */
static size_t broker_member(const micro__receiver *list, size_t n, size_t i, bool usable,
                            size_t turn, size_t *count)
{
    size_t at = n;

    *count = 0;
    for (size_t k = 0; k < n; k++)
        if (micro_str_eq(list[k].queue, list[i].queue) && (list[k].usable || !usable) &&
            (*count)++ == turn)
            at = k;
    return at;
}

MICRO_PRIVATE void micro__receivers_choose(micro__receiver *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        list[i].chosen = !list[i].queue.len;
    for (size_t i = 0; i < n; i++) {
        size_t count;
        if (!list[i].queue.len || broker_member(list, n, i, false, 0, &count) != i)
            continue; /* chosen, or done with the first of its queue */
        bool usable = broker_member(list, n, i, true, 0, &count) != n;
        if (!usable)
            broker_member(list, n, i, false, 0, &count);
        size_t turn = (size_t)(micro__random_fast() % count);
        list[broker_member(list, n, i, usable, turn, &count)].chosen = true;
    }
}

/* ---- public -------------------------------------------------------------------------------- */

MICRO_API micro_err micro_broker_subscribe(micro_broker *broker, micro_ctx *ctx, const char *topic,
                                           const micro_subscribe_opts *opts, micro_event_fn *event,
                                           void *arg, micro_sub **out)
{
    if (out)
        *out = NULL;
    if (!broker || !ctx)
        return MICRO_ENOMEM;
    if (!topic || !*topic || !event || !out || !ctx->svc)
        return micro__ctx_local(ctx, MICRO_EINVAL,
                                "subscription without a topic, a function or a service");
    if (micro_service_broker(ctx->svc) != broker)
        return micro__ctx_local(ctx, MICRO_EINVAL, "not the broker of this ctx's service");
    micro__ctx_clear_error(ctx);
    micro_err err = micro__service_broker_connect(ctx->svc, ctx);
    return err == MICRO_OK ? micro__broker_subscribe(broker, ctx, topic, opts, event, arg, out)
                           : err;
}

MICRO_API void micro_broker_unsubscribe(micro_broker *broker, micro_sub *sub)
{
    if (broker && sub)
        micro_ignore(micro__broker_unsubscribe(broker, sub, MICRO_OFF));
}

MICRO_API void micro_broker_free(micro_broker *broker)
{
    if (broker && BROKER_HAS(broker, free))
        broker->ops->free(broker);
}
