/* SPDX-License-Identifier: MIT */
/* Middleware, outermost first, around a call, an attempt, a handler or a subscriber. */
#include "chain.h"

/* What one middleware holds of the chain: on the stack of the run that called it. */
struct micro_next {
    micro__chain *chain;
    const micro__wrap *rest; /* behind it */
    micro_after_fn *after;
    void *after_arg;
};

MICRO_PRIVATE bool micro__wraps_add(micro__wraps *w, micro__arena *a, unsigned places,
                                    micro_middleware *fn, void *arg)
{
    micro__wrap *made = micro__arena_zero(a, sizeof *made), **end = &w->first;

    if (!made)
        return false;
    made->places = places;
    made->fn = fn;
    made->arg = arg;
    while (*end)
        end = &(*end)->next;
    *end = made;
    w->places |= places;
    return true;
}

MICRO_PRIVATE size_t micro__wraps_count(const micro__wraps *w, unsigned place)
{
    size_t n = 0;

    for (const micro__wrap *p = w->first; p; p = p->next)
        n += (p->places & place) != 0;
    return n;
}

static micro_err chain_from(micro__chain *c, const micro__wrap *w)
{
    while (w && !(w->places & (unsigned)c->info->stage))
        w = w->next;
    if (w) {
        micro_next next = { c, w->next, NULL, NULL };
        return w->fn(c->ctx, c->info, c->req, c->rsp, &next, w->arg);
    }
    return c->end(c);
}

/* A caller reads ctx's error, and middleware may return one of which nothing is there. */
static micro_err chain_settle(const micro__chain *c, micro_err err)
{
    micro_ctx *ctx = c->ctx;

    if (err == MICRO_OK || micro__stage_serves(c->info->stage))
        return err; /* the server makes its own reply of it */
    if (err > 0 && ctx->error.code != err)
        return micro__ctx_set_error(ctx, micro_s(""), err, micro_s(""), micro__str(NULL, 0));
    if (err < 0 && err != ctx->local && err != MICRO_EREMOTE && err != MICRO_EPLAIN)
        return micro__ctx_local(ctx, err, "%s", micro_strerror(err));
    return err;
}

MICRO_PRIVATE micro_err micro__chain_run(micro__chain *c)
{
    return chain_settle(c, chain_from(c, c->wraps->first));
}

MICRO_PRIVATE micro_err micro__chain_result(micro__chain *c, micro_err err)
{
    for (size_t i = 0; i < c->nafters; i++)
        err = c->afters[i].fn(c->ctx, c->info, err, c->rsp, c->afters[i].arg);
    c->nafters = 0;
    return chain_settle(c, err);
}

MICRO_API micro_err micro_next_run(micro_next *next, micro_ctx *ctx)
{
    if (!next || !ctx)
        return MICRO_ENOMEM;
    micro__chain *c = next->chain;
    if (ctx != c->ctx)
        return micro__ctx_local(ctx, MICRO_EINVAL, "middleware runs the rest on its own ctx");
    if (c->deferred)
        return micro__ctx_local(ctx, MICRO_EINVAL, "middleware has started it already");
    micro_err err = chain_from(c, next->rest);
    if (!next->after)
        return err;
    if (err != MICRO_OK || !c->deferred)
        return next->after(ctx, c->info, err, c->rsp, next->after_arg);
    c->afters[c->nafters].fn = next->after;
    c->afters[c->nafters++].arg = next->after_arg;
    return MICRO_OK;
}

MICRO_API void micro_next_after(micro_next *next, micro_after_fn *fn, void *arg)
{
    if (!next)
        return;
    next->after = fn;
    next->after_arg = arg;
}
