/* SPDX-License-Identifier: MIT */
/* How the cache asks the registry: one question in flight for a name, names that nobody knows, the
 * watch, and the thread that asks again about what has become old. */
#include "cache.h"

#define CACHE_ASK_UNKNOWN_MS 1000
#define CACHE_ASK_UNKNOWN_MAX 256
#define CACHE_ASK_TIMEOUT_MS 5000 /* of the refresher, whom nobody waits for */
#define CACHE_ASK_TTL_MS 60000

/* ---- questions --------------------------------------------------------------------------------*/

static size_t cache_query_bytes(const micro__cache_query *q)
{
    return sizeof *q + strlen(q->text) + 1;
}

static bool cache_query_is(const micro__cache_query *q, uint64_t hash, micro_str name)
{
    return q->hash == hash && micro__str_is(name, q->text);
}

static micro__cache_query *cache_query_find(micro__cache *c, uint64_t hash, micro_str name)
{
    micro__cache_query *q = c->queries;
    while (q && !cache_query_is(q, hash, name))
        q = q->next;
    return q;
}

static bool cache_query_idle(const micro__cache_query *q)
{
    return !q->running && q->waiting == 0;
}

/* Lets go of what need not be remembered any more, and of the oldest if it is too much. Names that
 * nobody knows may come from outside without end. */
static void cache_query_sweep(micro__cache *c)
{
    uint64_t now = micro__now_ms();
    size_t kept = 0;
    for (micro__cache_query **at = &c->queries; *at;) {
        micro__cache_query *q = *at;
        bool over = q->until <= now || kept >= CACHE_ASK_UNKNOWN_MAX;
        if (cache_query_idle(q) && over) {
            *at = q->next;
            micro__free(q, cache_query_bytes(q));
        } else {
            kept++;
            at = &q->next;
        }
    }
}

static micro__cache_query *cache_query_get(micro__cache *c, uint64_t hash, micro_str name)
{
    micro__cache_query *q = cache_query_find(c, hash, name);
    if (q)
        return q;
    cache_query_sweep(c);
    q = micro__alloc_zero(sizeof *q + name.len + 1);
    if (!q)
        return NULL;
    memcpy(q->text, name.ptr, name.len);
    q->hash = hash;
    q->next = c->queries;
    c->queries = q;
    return q;
}

/* NULL: every name's. */
MICRO_PRIVATE void micro__cache_free_queries(micro__cache *c, uint64_t hash, const char *name)
{
    for (micro__cache_query **at = &c->queries; *at;) {
        micro__cache_query *q = *at;
        bool meant = !name || cache_query_is(q, hash, micro_s(name));
        if (meant && cache_query_idle(q)) {
            *at = q->next;
            micro__free(q, cache_query_bytes(q));
        } else {
            q->until = meant ? 0 : q->until;
            at = &q->next;
        }
    }
}

/* ---- the watch --------------------------------------------------------------------------------*/

/* An event about a name that is being asked for right now is part of the answer. */
static micro__cache_name *cache_event_name(micro__cache *c, enum micro_change what, micro_str name)
{
    uint64_t hash = micro__str_hash(name);
    micro__cache_name *n = micro__cache_find(c, name, hash);
    micro__cache_query *q = cache_query_find(c, hash, name);
    if (q && what != MICRO_DELETED) {
        q->until = 0;
        if (!n && q->running)
            n = micro__cache_add(c, name, hash);
        if (n && !n->all && q->running)
            n->partial = c->whole;
    }
    return n;
}

MICRO_PRIVATE void micro__cache_event(void *arg, enum micro_change what, const micro_entry *entry)
{
    micro__cache *c = arg;
    if (entry->name.len == 0 || memchr(entry->name.ptr, 0, entry->name.len))
        return;
    micro__lock(&c->lock);
    micro__cache_name *n = cache_event_name(c, what, entry->name);
    bool ok = !n || micro__cache_announce(c, n, what, entry);
    if (!ok)
        n->expires = 0; /* what was missed is asked for */
    if (!ok)
        micro__cache_publish(c, n);
    micro__unlock(&c->lock);
}

/* Without the lock. One watch sees every name: what is not in the cache costs a look-up in a table,
 * which is less than a watch for each. */
static bool cache_watch(micro__cache *c)
{
    micro__lock(&c->lock);
    bool on = c->watching == MICRO__CACHE_WATCHED;
    bool start = c->watching == MICRO__CACHE_UNWATCHED && micro__now_ms() >= c->watch_again;
    if (start)
        c->watching = MICRO__CACHE_STARTING;
    micro__unlock(&c->lock);
    if (!start)
        return on;
    micro_watch *watch = NULL;
    micro_err err = micro_registry_watch(c->reg, NULL, micro__cache_event, c, &watch);
    micro__lock(&c->lock);
    c->watch = watch;
    c->watch_again = micro__now_ms() + CACHE_ASK_UNKNOWN_MS;
    c->watching = !err                  ? MICRO__CACHE_WATCHED
                  : err == MICRO_ENOSYS ? MICRO__CACHE_NO_WATCH
                                        : MICRO__CACHE_UNWATCHED;
    micro__unlock(&c->lock);
    return !err;
}

/* ---- asking -----------------------------------------------------------------------------------*/

static bool cache_has(const micro__cache_name *n)
{
    return n && atomic_load_explicit(&n->word, memory_order_relaxed) >> MICRO__CACHE_SLOT_BITS;
}

/* Less up to a sixteenth by chance: clients that were started together need not ask together. */
static void cache_set_expiry(micro__cache *c, micro__cache_name *n, int64_t ms)
{
    if (ms >= 0)
        ms -= (int64_t)(micro__random_fast() % ((uint64_t)ms / 16 + 1));
    n->expires = ms < 0 ? UINT64_MAX : micro__now_ms() + (uint64_t)ms;
    micro__cache_publish(c, n);
}

/* A logger is the program's: it is called without the lock. */
static void cache_log_stale(micro__cache *c, const char *name, bool stale, const char *why)
{
    micro__unlock(&c->lock);
    if (stale)
        MICRO_LOG(MICRO_LOG_WARN, "registry: %s; going on with the nodes of %.200s known last", why,
                  name);
    else
        MICRO_LOG(MICRO_LOG_INFO, "registry: it answers again, about %.200s", name);
    micro__lock(&c->lock);
}

static int64_t cache_ttl(const micro__cache *c)
{
    return c->ttl_ms ? c->ttl_ms : CACHE_ASK_TTL_MS;
}

/* Entries have come. complete: nothing is to be known beside them. */
static micro_err cache_found(micro__cache *c, micro__cache_query *q, micro__cache_name *n,
                             const micro_entries *entries, bool complete)
{
    if (!n)
        n = micro__cache_add(c, micro_s(q->text), q->hash);
    if (!n)
        return c->names < MICRO__CACHE_NAMES_MAX ? MICRO_ENOMEM : MICRO_ETOOBIG;
    n->stale = false;
    if (!micro__cache_learn(c, n, entries, complete))
        return MICRO_ENOMEM;
    cache_set_expiry(c, n, cache_ttl(c));
    return cache_has(n) ? MICRO_OK : MICRO_ENONODE;
}

/* Works an answer in; events is how many the name had seen when the question was put. Returns what
 * those who wait get. */
static micro_err cache_settle(micro__cache *c, micro__cache_query *q, micro_err err,
                              const micro_entries *entries, bool whole, uint64_t events)
{
    micro__cache_name *n = micro__cache_find(c, micro_s(q->text), q->hash);
    bool quiet = !n || n->events == events;
    q->until = 0;
    if (n && n->partial) {
        n->partial = false;
        micro__cache_publish(c, n);
    }
    if (!err)
        err = cache_found(c, q, n, entries, whole && quiet);
    else if (err == MICRO_ENOTFOUND && n && quiet)
        micro__cache_forget(c, n);
    else if (cache_has(n)) { /* what was known has to do */
        n->stale = !q->own;
        cache_set_expiry(c, n, CACHE_ASK_UNKNOWN_MS);
    }
    if (cache_has(micro__cache_find(c, micro_s(q->text), q->hash)))
        return MICRO_OK;
    if (err == MICRO_ENOTFOUND || err == MICRO_ENONODE)
        q->until = micro__now_ms() + CACHE_ASK_UNKNOWN_MS;
    return err;
}

static void cache_cancel(void *arg)
{
    micro_ctx_cancel(arg);
}

/* Without the lock: the registry works on a ctx of its own, which is canceled with the caller's, so
 * that nothing of its answer stays behind in the caller's memory. */
static micro_err cache_look_up(micro__cache *c, micro_ctx *ctx, micro_ctx *own, const char *name,
                               bool *whole, micro_entries *entries)
{
    /* Only events tell what a first answer leaves out. */
    *whole |= !cache_watch(c) || c->whole || !MICRO__OP_SET(c->reg->ops, micro_registry_ops, first);
    micro_block_begin();
    micro__ctx_wait_begin(ctx, cache_cancel, own);
    micro_err err = *whole ? micro_registry_get(c->reg, own, name, entries)
                           : micro__registry_first(c->reg, own, name, entries);
    micro__ctx_wait_end(ctx);
    micro_block_end();
    return err;
}

static bool cache_own_end(micro_ctx *own, micro_err err)
{
    return (err == MICRO_ETIMEDOUT || err == MICRO_ECANCELED) &&
           micro__ctx_check(own, own->deadline) != MICRO_OK;
}

/* Puts the question. ctx NULL: for the refresher. With the lock, let go meanwhile. */
static micro_err cache_lead(micro__cache *c, micro_ctx *ctx, micro__cache_query *q, bool whole)
{
    micro_ctx *own = micro_ctx_new(ctx ? ctx->svc : NULL);
    if (!own)
        return MICRO_ENOMEM;
    own->deadline = micro__ctx_until(ctx, ctx ? MICRO_OFF : CACHE_ASK_TIMEOUT_MS);
    micro__cache_name *n = micro__cache_find(c, micro_s(q->text), q->hash);
    uint64_t events = n ? n->events : 0;
    bool stale = n && n->stale;
    micro_entries entries;
    q->running = true;
    if (!ctx)
        c->refresh_ctx = own;
    micro__unlock(&c->lock);
    micro_err err = cache_look_up(c, ctx, own, q->text, &whole, &entries);
    micro__lock(&c->lock);
    if (!ctx)
        c->refresh_ctx = NULL;
    q->own = cache_own_end(own, err);
    q->err = cache_settle(c, q, err, &entries, whole, events);
    snprintf(q->why, sizeof q->why, "%s", err ? own->error.detail.ptr : micro_strerror(q->err));
    if (n && n->stale != stale)
        cache_log_stale(c, q->text, n->stale, q->why);
    q->running = false;
    micro__cond_broadcast(&c->done);
    micro_ctx_free(own);
    if (q->err == MICRO_ENONODE && !whole) /* nothing of the first answer can be used: all of it */
        return cache_lead(c, ctx, q, true);
    return q->err;
}

static void cache_wake(void *arg)
{
    micro__cache *c = arg;
    micro__lock(&c->lock);
    micro__cond_broadcast(&c->done);
    micro__unlock(&c->lock);
}

/* Waits until somebody else's question has been answered, or ctx ends. */
static micro_err cache_wait(micro__cache *c, micro_ctx *ctx, micro__cache_query *q)
{
    micro_err err = MICRO_OK;
    q->waiting++;
    micro__unlock(&c->lock);
    micro_block_begin();
    micro__ctx_wait_begin(ctx, cache_wake, c);
    micro__lock(&c->lock);
    while (q->running && !(err = micro__ctx_check(ctx, ctx->deadline)))
        micro__cond_wait(&c->done, &c->lock, ctx->deadline);
    micro__unlock(&c->lock);
    micro__ctx_wait_end(ctx);
    micro_block_end();
    micro__lock(&c->lock);
    q->waiting--;
    return err;
}

static micro_err cache_tell(micro_ctx *ctx, micro_err err, const char *why)
{
    if (err == MICRO_ENONODE || err == MICRO_ENOTFOUND || !*why)
        why = micro_strerror(err);
    return err ? micro__ctx_local(ctx, err, "%s", why) : MICRO_OK;
}

MICRO_PRIVATE micro_err micro__cache_ask(micro__cache *c, micro_ctx *ctx, const char *name,
                                         uint64_t hash)
{
    for (;;) {
        micro_err err = micro__ctx_check(ctx, ctx->deadline);
        micro__cache_query *q = err ? NULL : cache_query_get(c, hash, micro_s(name));
        if (!q)
            return cache_tell(ctx, err ? err : MICRO_ENOMEM, "");
        if (q->running) {
            err = cache_wait(c, ctx, q);
            if (err)
                return cache_tell(ctx, err, "");
            if (!q->own)
                return cache_tell(ctx, q->err, q->why);
        } else if (q->until > micro__now_ms()) {
            return cache_tell(ctx, q->err, q->why);
        } else {
            err = cache_lead(c, ctx, q, false);
            return cache_tell(ctx, err, err == q->err ? q->why : "");
        }
    }
}

/* ---- asking again -----------------------------------------------------------------------------*/

/* Where there is nobody else to wait for all of the answer, its first part has to do: what comes
 * later is told by the watch. */
static void cache_ask_again(micro__cache *c, micro__cache_name *n)
{
    micro__cache_query *q = cache_query_get(c, n->hash, micro__str(n->text, n->len));
    if (q && !q->running)
        micro_ignore(cache_lead(c, NULL, q, !MICRO_OMIT_THREADS));
}

static void *cache_refresher(void *arg)
{
    micro__cache *c = arg;
    micro__lock(&c->lock);
    for (micro__cache_name *n; !c->closing && (n = c->due_first);) {
        c->due_first = n->next;
        n->queued = false;
        cache_ask_again(c, n);
    }
    c->refreshing = false;
    c->refreshed = true;
    micro__unlock(&c->lock);
    return NULL;
}

MICRO_PRIVATE void micro__cache_refresh(micro__cache *c, micro__cache_name *n)
{
    if (n->queued || c->closing)
        return;
    if (!c->refreshing) {
        if (c->refreshed)
            micro__thread_join(c->refresher); /* it is past its last line */
        c->refreshed = false;
        c->refreshing = micro__thread_start(&c->refresher, 0, cache_refresher, c);
    }
    if (!c->refreshing) { /* no thread to be had: whoever came first waits */
        cache_ask_again(c, n);
        return;
    }
    n->queued = true;
    n->next = c->due_first;
    c->due_first = n;
}

MICRO_PRIVATE void micro__cache_stop(micro__cache *c)
{
    micro__lock(&c->lock);
    bool join = c->refreshing || c->refreshed;
    c->closing = true;
    if (c->refresh_ctx)
        micro_ctx_cancel(c->refresh_ctx);
    micro__unlock(&c->lock);
    if (join)
        micro__thread_join(c->refresher);
}
