/* SPDX-License-Identifier: MIT */
/* The cache selector: what is known of a service is handed out without a lock or a system call, the
 * registry is asked when nothing is known, watched, and asked again now and then. */
#include "cache.h"

#define CACHE_TRIES 4

/* What is due is seen to by whoever notices; he takes what he has meanwhile. */
static void cache_tend(micro__cache *c, micro__cache_name *n)
{
    micro__lock(&c->lock);
    if (micro__cache_due(c, n, micro__now_ms()))
        micro__cache_refresh(c, n);
    micro__unlock(&c->lock);
}

/* The way for names of which nothing is at hand. */
static micro_err cache_select_slowly(micro__cache *c, micro_ctx *ctx, const char *service,
                                     uint64_t hash, const micro_nodes **out)
{
    micro_err err = MICRO_OK;
    uint64_t word;
    micro__lock(&c->lock);
    for (int i = 0; !err && i < CACHE_TRIES; i++) {
        micro__cache_name *n = micro__cache_find(c, micro_s(service), hash);
        if (n && micro__cache_due(c, n, micro__now_ms()))
            micro__cache_refresh(c, n);
        micro__nodeset *set = n ? micro__cache_take(n, &word) : NULL;
        if (set) {
            *out = &set->nodes;
            break;
        }
        err = micro__cache_ask(c, ctx, service, hash);
    }
    micro__unlock(&c->lock);
    if (!err && !*out) /* they come and go faster than they can be had */
        err = micro__ctx_local(ctx, MICRO_ENONODE, "%s", micro_strerror(MICRO_ENONODE));
    return err;
}

static micro_err cache_select(micro_selector *sel, micro_ctx *ctx, const char *service,
                              const micro_nodes **out)
{
    micro__cache *c = (micro__cache *)sel;
    micro_str name = micro_s(service);
    uint64_t word, hash = micro__str_hash(name);
    micro__cache_name *n = micro__cache_find(c, name, hash);
    micro__nodeset *set = n ? micro__cache_take(n, &word) : NULL;
    if (MICRO__RARE(!set))
        return cache_select_slowly(c, ctx, service, hash, out);
    if ((word & atomic_load_explicit(&n->mask, memory_order_relaxed)) == 0 &&
        micro__now_coarse_ms() >= atomic_load_explicit(&n->check_at, memory_order_relaxed))
        cache_tend(c, n);
    *out = &set->nodes;
    return MICRO_OK;
}

static void cache_release(micro_selector *sel, const micro_nodes *nodes)
{
    (void)sel;
    micro__nodeset_drop(micro__nodeset_of(nodes));
}

/* A refusal sets the node aside; an answer of whatever kind takes that back. Other failures say
 * nothing about the listener. */
static void cache_mark(micro_selector *sel, const char *service, const micro_node *node,
                       micro_err result)
{
    micro__cache *c = (micro__cache *)sel;
    bool answer = result >= 0 || result == MICRO_EREMOTE || result == MICRO_EPLAIN;
    bool any = atomic_load_explicit(&c->asides, memory_order_relaxed) != 0;
    if (!(answer && any) && result != MICRO_ECONNECT)
        return;
    micro_str name = micro_s(service);
    micro__lock(&c->lock);
    micro__cache_name *n = micro__cache_find(c, name, micro__str_hash(name));
    if (n && answer)
        micro__cache_answered(c, n, node->id);
    else if (n)
        micro__cache_refused(c, n, node);
    micro__unlock(&c->lock);
}

static void cache_reset(micro_selector *sel, const char *service)
{
    micro__cache *c = (micro__cache *)sel;
    micro_str name = micro_s(service);
    uint64_t hash = micro__str_hash(name);
    micro__lock(&c->lock);
    micro__cache_free_queries(c, hash, service);
    if (service) {
        micro__cache_name *n = micro__cache_find(c, name, hash);
        if (n)
            micro__cache_forget(c, n);
    } else {
        micro__cache_forget_all(c);
    }
    micro__unlock(&c->lock);
}

static void cache_free(micro_selector *sel)
{
    micro__cache *c = (micro__cache *)sel;
    micro__cache_stop(c);
    micro_registry_unwatch(c->reg, c->watch);
    micro__cache_free_queries(c, 0, NULL);
    micro__cache_free_names(c);
    micro__cond_destroy(&c->done);
    micro__mutex_destroy(&c->lock);
    micro__free(c, sizeof *c);
}

static const micro_selector_ops cache_ops = {
    .size_ = sizeof(micro_selector_ops),
    .name = "cache",
    .select = cache_select,
    .release = cache_release,
    .mark = cache_mark,
    .reset = cache_reset,
    .free = cache_free,
};

MICRO_API micro_selector *micro_selector_cache_new(micro_registry *reg, int ttl_ms)
{
    micro__cache *c = reg ? micro__alloc_zero(sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->base.ops = &cache_ops;
    c->reg = reg;
    c->ttl_ms = ttl_ms;
    micro__mutex_init(&c->lock);
    micro__cond_init(&c->done);
    return &c->base;
}
