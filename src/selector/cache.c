/* SPDX-License-Identifier: MIT */
/* The cache selector: what is known of a service is handed out without a lock or a system call, the
 * registry is asked when nothing is known, watched, and asked again now and then. */
#include "cache.h"

#define CACHE_TRIES 4
#define CACHE_FRONT_EVERY 16

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

static micro_err cache_hand(micro__cache *c, micro__cache_name *n, micro__nodeset *set,
                            uint64_t word, const micro_nodes **out)
{
    if ((word & atomic_load_explicit(&n->mask, memory_order_relaxed)) == 0 &&
        micro__now_coarse_ms() >= atomic_load_explicit(&n->check_at, memory_order_relaxed))
        cache_tend(c, n);
    *out = &set->nodes;
    return MICRO_OK;
}

/* Through the table; front is where to leave what is found. */
static MICRO__NOINLINE micro_err cache_select_hashed(micro__cache *c, micro_ctx *ctx,
                                                     const char *service,
                                                     MICRO__ATOMIC(micro__cache_name *) *front,
                                                     const micro_nodes **out)
{
    micro_str name = micro_s(service);
    uint64_t word, hash = micro__str_hash(name);
    micro__cache_name *n = micro__cache_find(c, name, hash);
    micro__nodeset *set = n ? micro__cache_take(n, &word) : NULL;
    if (!set)
        return cache_select_slowly(c, ctx, service, hash, out);
    /* Seldom, lest callers whose names are in changing places fight for the line. */
    if (word % CACHE_FRONT_EVERY == 0)
        atomic_store_explicit(front, n, memory_order_release);
    return cache_hand(c, n, set, word, out);
}

static micro_err cache_select(micro_selector *sel, micro_ctx *ctx, const char *service,
                              const micro_nodes **out)
{
    micro__cache *c = (micro__cache *)sel;
    uintptr_t place = (uintptr_t)service;
    MICRO__ATOMIC(micro__cache_name *) *front =
        &c->front[(place ^ place >> 6) % MICRO__CACHE_FRONT];
    micro__cache_name *n = atomic_load_explicit(front, memory_order_acquire);
    if (!n || strcmp(n->text, service) != 0)
        return cache_select_hashed(c, ctx, service, front, out);
    uint64_t word;
    micro__nodeset *set = micro__cache_take(n, &word);
    if (MICRO__RARE(!set))
        return cache_select_slowly(c, ctx, service, n->hash, out);
    return cache_hand(c, n, set, word, out);
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
    bool answer = micro__health_answer(result);
    if (result != MICRO_ECONNECT && !(answer && micro__cache_maybe_aside(c, node->id)))
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

MICRO_PRIVATE micro_selector *micro__selector_cache_whole(micro_registry *reg)
{
    micro_selector *sel = micro_selector_cache_new(reg, 0);
    if (sel)
        ((micro__cache *)sel)->whole = true;
    return sel;
}
