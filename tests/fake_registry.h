/* SPDX-License-Identifier: MIT */
/* A registry for tests that fails and waits on demand, a clock that they move, and what they ask of
 * selectors. */
#ifndef FAKE_REGISTRY_H
#define FAKE_REGISTRY_H

#include "failing.h"
#include "harness.h"
#include "net/net.h"
#include "selector/cache.h"
#include "selector/selector.h"

#include <pthread.h>

/* ---- a registry of the tests' own: nothing but micro.h ----------------------------------------*/

typedef struct seltest_node {
    const char *service, *version, *id, *address, *zone, *endpoint;
} seltest_node;

enum { SELTEST_NODES = 128 };

typedef struct seltest_registry {
    micro_registry base;
    pthread_mutex_t lock;
    seltest_node nodes[SELTEST_NODES];
    size_t len;
    micro_err fail;   /* of look-ups and of watch */
    bool closed;      /* look-ups wait */
    int gets, firsts; /* look-ups begun */
    int watches;
    int inside, most; /* look-ups that wait, and the most at once */
    micro_err last;   /* of a look-up */
    size_t first_len; /* so many nodes a first answer has */
    micro_watch_fn *fn;
    void *arg;
} seltest_registry;

static inline void seltest_fill(micro_ctx *ctx, micro_entry *e, const seltest_node *from)
{
    micro_node *node = micro_append(ctx, &e->nodes);
    if (!node)
        return;
    node->id = micro_copy(ctx, micro_s(from->id));
    node->address = micro_copy(ctx, micro_s(from->address));
    if (from->zone) {
        micro_pair *pair = micro_append(ctx, &node->metadata);
        if (pair)
            *pair = (micro_pair){ micro_s("zone"), micro_copy(ctx, micro_s(from->zone)) };
    }
}

/* An entry for each node: selectors have to put them together, or not care. */
static inline micro_err seltest_collect(seltest_registry *r, micro_ctx *ctx, const char *name,
                                        size_t max, micro_entries *out)
{
    for (size_t i = 0; i < r->len && out->len < max; i++) {
        const seltest_node *n = &r->nodes[i];
        micro_entry *e = strcmp(n->service, name) == 0 ? micro_append(ctx, out) : NULL;
        if (!e)
            continue;
        e->name = micro_copy(ctx, micro_s(n->service));
        e->version = micro_copy(ctx, micro_s(n->version));
        seltest_fill(ctx, e, n);
        micro_endpoint *endpoint = n->endpoint ? micro_append(ctx, (&e->endpoints)) : NULL;
        if (endpoint)
            endpoint->name = micro_copy(ctx, micro_s(n->endpoint));
    }
    return r->fail;
}

static inline micro_err seltest_look_up(seltest_registry *r, micro_ctx *ctx, const char *name,
                                        size_t max, micro_entries *out)
{
    micro_err err = MICRO_OK;
    r->inside++;
    if (r->inside > r->most)
        r->most = r->inside;
    while (r->closed && !micro_ctx_canceled(ctx)) {
        pthread_mutex_unlock(&r->lock);
        usleep(500);
        pthread_mutex_lock(&r->lock);
    }
    r->inside--;
    if (micro_ctx_canceled(ctx))
        err = micro_ctx_time_left(ctx) == 0 ? MICRO_ETIMEDOUT : MICRO_ECANCELED;
    if (!err)
        err = seltest_collect(r, ctx, name, max, out);
    r->last = err;
    if (err && err == r->fail)
        micro_ignore(micro_fail(ctx, 500, "the store is on fire"));
    return err;
}

static inline micro_err seltest_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                                    micro_entries *out)
{
    seltest_registry *r = (seltest_registry *)reg;
    pthread_mutex_lock(&r->lock);
    r->gets++;
    micro_err err = seltest_look_up(r, ctx, name, SIZE_MAX, out);
    pthread_mutex_unlock(&r->lock);
    return err;
}

static inline micro_err seltest_first(micro_registry *reg, micro_ctx *ctx, const char *name,
                                      micro_entries *out)
{
    seltest_registry *r = (seltest_registry *)reg;
    pthread_mutex_lock(&r->lock);
    r->firsts++;
    micro_err err = seltest_look_up(r, ctx, name, r->first_len, out);
    pthread_mutex_unlock(&r->lock);
    return err;
}

static inline micro_err seltest_watch(micro_registry *reg, const char *name, micro_watch_fn *fn,
                                      void *arg, micro_watch **out)
{
    seltest_registry *r = (seltest_registry *)reg;
    pthread_mutex_lock(&r->lock);
    micro_err err = r->fail;
    CHECK(!name);
    r->watches++;
    if (!err) {
        CHECK(!r->fn);
        r->fn = fn;
        r->arg = arg;
        *out = (micro_watch *)(void *)r;
    }
    pthread_mutex_unlock(&r->lock);
    return err;
}

static inline void seltest_unwatch(micro_registry *reg, micro_watch *watch)
{
    seltest_registry *r = (seltest_registry *)reg;
    CHECK(watch == (micro_watch *)(void *)r && r->fn);
    r->fn = NULL;
}

static const micro_registry_ops seltest_watched_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .get = seltest_get,
    .watch = seltest_watch,
    .unwatch = seltest_unwatch,
};
static const micro_registry_ops seltest_first_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .get = seltest_get,
    .first = seltest_first,
    .watch = seltest_watch,
    .unwatch = seltest_unwatch,
};
static const micro_registry_ops seltest_plain_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .get = seltest_get,
    .first = seltest_first, /* not to be used: nobody would tell what it leaves out */
};

static inline void seltest_open(seltest_registry *r, const micro_registry_ops *ops)
{
    memset(r, 0, sizeof *r);
    r->base.ops = ops;
    r->first_len = 1;
    pthread_mutex_init(&r->lock, NULL);
}

static inline void seltest_add(seltest_registry *r, const char *service, const char *version,
                               const char *id, const char *address)
{
    pthread_mutex_lock(&r->lock);
    r->nodes[r->len++] = (seltest_node){ service, version, id, address, NULL, NULL };
    pthread_mutex_unlock(&r->lock);
}

static inline void seltest_set_closed(seltest_registry *r, bool closed)
{
    pthread_mutex_lock(&r->lock);
    r->closed = closed;
    pthread_mutex_unlock(&r->lock);
}

static inline void seltest_set_fail(seltest_registry *r, micro_err err)
{
    pthread_mutex_lock(&r->lock);
    r->fail = err;
    pthread_mutex_unlock(&r->lock);
}

/* Waits until a number that another thread counts up has been reached. */
static inline bool seltest_until(seltest_registry *r, const int *counter, int wanted)
{
    bool there = false;
    for (int i = 0; i < 5000 && !there; i++) {
        pthread_mutex_lock(&r->lock);
        there = *counter >= wanted;
        pthread_mutex_unlock(&r->lock);
        if (!there)
            usleep(1000);
    }
    return there;
}

static inline void seltest_tell(seltest_registry *r, enum micro_change what, const seltest_node *n)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entry e = { .name = micro_s(n->service), .version = micro_s(n->version) };
    if (ctx && n->id)
        seltest_fill(ctx, &e, n);
    if (ctx && r->fn)
        r->fn(r->arg, what, &e);
    micro_ctx_free(ctx);
}

/* An event of service s, version 1; id NULL: of no node. */
static inline void seltest_event(seltest_registry *r, enum micro_change what, const char *id,
                                 const char *address)
{
    const seltest_node n = { "s", "1", id, address, NULL, NULL };
    seltest_tell(r, what, &n);
}

/* ---- what tests ask ---------------------------------------------------------------------------*/

static _Atomic long seltest_skew_ms;

static inline int seltest_clock(clockid_t clock, struct timespec *out)
{
    int rc = clock_gettime(clock, out);
    long ms = atomic_load(&seltest_skew_ms);
    out->tv_sec += ms / 1000;
    return rc;
}

static inline void seltest_pass(int seconds)
{
    atomic_fetch_add(&seltest_skew_ms, seconds * 1000L);
}

static inline const char *seltest_error(micro_err err)
{
    switch (err) {
    case MICRO_ENOTFOUND:
        return "ENOTFOUND";
    case MICRO_ENONODE:
        return "ENONODE";
    case MICRO_ETIMEDOUT:
        return "ETIMEDOUT";
    case MICRO_EIO:
        return "EIO";
    default:
        return micro_strerror(err);
    }
}

static inline void seltest_reset(micro_selector *sel, const char *service)
{
    sel->ops->reset(sel, service);
}

/* "n1@h:1 n2@h:2", or the name of the error. */
static const char *seltest_select(micro_selector *sel, micro_ctx *ctx, const char *service)
{
    const micro_nodes *nodes;
    micro_err err = micro__selector_select(sel, ctx, service, &nodes);
    if (err) {
        CHECK(micro_ctx_error(ctx)->detail.len > 0);
        return seltest_error(err);
    }
    micro_str text = micro_s("");
    for (size_t i = 0; i < nodes->len; i++)
        text = micro_format(ctx, "%s%s%s@%s", text.ptr, i ? " " : "", nodes->ptr[i]->id.ptr,
                            nodes->ptr[i]->address.ptr);
    micro__selector_release(sel, nodes);
    return text.ptr;
}

static inline void seltest_mark(micro_selector *sel, const char *id, const char *address,
                                micro_err result)
{
    const micro_node node = { .id = micro_s(id), .address = micro_s(address) };
    micro__selector_mark(sel, "s", &node, result);
}

/* Selects until that is what comes: a refresh runs in a thread of its own. */
static inline bool seltest_becomes(micro_selector *sel, micro_ctx *ctx, const char *want)
{
    for (int i = 0; i < 5000; i++) {
        if (strcmp(seltest_select(sel, ctx, "s"), want) == 0)
            return true;
        usleep(1000);
        micro_ctx_reset(ctx);
    }
    return false;
}

typedef struct seltest_world {
    seltest_registry reg;
    micro_selector *sel;
    micro_ctx *ctx;
} seltest_world;

static inline bool seltest_begin(seltest_world *w, const micro_registry_ops *ops, int ttl_ms)
{
    micro__sys.clock_gettime = seltest_clock;
    seltest_open(&w->reg, ops);
    w->sel = micro_selector_cache_new(&w->reg.base, ttl_ms);
    w->ctx = micro_ctx_new(NULL);
    return CHECK(w->sel && w->ctx);
}

static inline void seltest_end(seltest_world *w)
{
    micro_selector_free(w->sel);
    CHECK(!w->reg.fn); /* unwatched */
    micro_ctx_free(w->ctx);
    pthread_mutex_destroy(&w->reg.lock);
}

#endif
