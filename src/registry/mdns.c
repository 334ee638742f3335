/* SPDX-License-Identifier: MIT */
/* The operations of the mdns registry. All registries of this kind share the one instance that a
 * process has. */
#include "mdns.h"

enum {
    MDNS_WINDOW_MS = 100, /* of a look-up; peers have the same */
    MDNS_KNOWN_MS = 60000 /* a service asked for within is known in full */
};

typedef struct mdns_registry {
    micro_registry base;
    micro__mdns *st;
} mdns_registry;

static struct {
    micro__mutex lock;
    micro__mdns *st;
    size_t users;
} mdns_process = { MICRO__MUTEX_INIT, NULL, 0 };

static micro__mdns *mdns_of(micro_registry *reg)
{
    return ((mdns_registry *)reg)->st;
}

/* ---- put, del ---------------------------------------------------------------------------------*/

static void mdns_free_list(micro__mdns_local *list)
{
    for (micro__mdns_local *n; (n = list);) {
        list = n->next;
        micro__mdns_local_free(n);
    }
}

/* Lock held. Takes the list over. */
static micro_err mdns_put_list(micro__mdns *st, micro__mdns_local *list, const void *owner)
{
    micro_err err = MICRO_OK;
    uint64_t now = micro__now_ms();
    for (micro__mdns_local *n; !err && (n = list);) {
        list = n->next;
        n->owner = owner;
        if (micro__mdns_local_put(&st->responder, n, now) &&
            !micro__mdns_browser_put(&st->browser, n, now)) {
            micro__mdns_local_del(&st->responder, n);
            err = MICRO_ENOMEM;
        }
    }
    mdns_free_list(list);
    if (st->browser.found)
        micro__cond_broadcast(&st->changed);
    micro__waker_set(&st->waker);
    return err;
}

static micro_err mdns_put(micro_registry *reg, micro_ctx *ctx, const micro_entry *e, int ttl_ms)
{
    micro__mdns *st = mdns_of(reg);
    micro__mdns_local *list = NULL;
    const char *why = "";
    micro__lock(&st->lock);
    micro_err err = micro__mdns_ready(st, &why);
    size_t fit = st->fds[MICRO__MDNS_ANSWER6] < 0 ? MICRO__MDNS_FIT4 : MICRO__MDNS_FIT6;
    micro__unlock(&st->lock);
    if (err)
        return micro__ctx_local(ctx, err, "%s", why);
    for (size_t i = 0; i < e->nodes.len && !err; i++) {
        micro__mdns_local *n = NULL;
        err = micro__mdns_local_new(ctx, &st->responder, fit, e, &e->nodes.ptr[i], ttl_ms, &n);
        if (!err) {
            n->next = list;
            list = n;
        }
    }
    if (err) {
        mdns_free_list(list);
        return err;
    }
    micro__lock(&st->lock);
    err = mdns_put_list(st, list, reg);
    micro__unlock(&st->lock);
    micro__mdns_deliver(st);
    return err ? micro__ctx_local(ctx, err, "%s", micro_strerror(err)) : MICRO_OK;
}

static void mdns_del_local(micro__mdns *st, micro__mdns_local *n)
{
    micro__mdns_browser_del(&st->browser, micro_s(n->service), micro_s(n->id), micro__now_ms());
    micro__mdns_local_del(&st->responder, n);
}

static micro_err mdns_del(micro_registry *reg, micro_ctx *ctx, const micro_entry *e)
{
    micro__mdns *st = mdns_of(reg);
    (void)ctx;
    micro__lock(&st->lock);
    for (size_t i = 0; i < e->nodes.len; i++) {
        micro__mdns_local *n = micro__mdns_local_find(&st->responder, e->name, e->nodes.ptr[i].id);
        if (n)
            mdns_del_local(st, n);
    }
    if (st->started)
        micro__waker_set(&st->waker);
    micro__unlock(&st->lock);
    micro__mdns_deliver(st);
    return MICRO_OK;
}

/* ---- look-ups ---------------------------------------------------------------------------------*/

static bool mdns_knows(const micro__mdns_service *s, uint64_t now)
{
    for (const micro__mdns_node *n = s->nodes; n; n = n->next) {
        if (micro__mdns_node_lives(n, now))
            return true;
    }
    return false;
}

/* Waits until the window is over or, with first, a node is there. Asks again, since packets get
 * lost, while there is nothing. Lock held. */
static micro_err mdns_listen(micro__mdns *st, micro_ctx *ctx, micro__mdns_service *s, bool first)
{
    bool list = micro__str_is(s->name, MICRO__MDNS_LIST);
    uint64_t now = micro__now_ms(), until = micro__ctx_until(ctx, MDNS_WINDOW_MS);
    uint64_t pause = first ? MDNS_WINDOW_MS / 4 : MDNS_WINDOW_MS / 2, again = now + pause;
    uint64_t asked = now;
    micro__mdns_browser_ask(&st->browser, s, now);
    micro__unlock(&st->lock);
    micro_block_begin();
    micro__ctx_wait_begin(ctx, micro__mdns_wake, st);
    micro__lock(&st->lock);
    micro_err err;
    for (;;) {
        now = micro__now_ms();
        err = micro__ctx_check(ctx, 0);
        bool known = list ? s->listed >= asked : mdns_knows(s, now);
        if (err || now >= until || (first && known))
            break;
        if (now >= again) {
            if (!known)
                micro__mdns_browser_ask(&st->browser, s, now);
            again = now + pause;
        }
        micro__mdns_wait(st, again < until ? again : until);
    }
    micro__unlock(&st->lock);
    micro__ctx_wait_end(ctx);
    micro_block_end();
    micro__lock(&st->lock);
    return err;
}

/* Copies the nodes that live; a list in the arena. Lock held. */
static micro_err mdns_collect(micro__arena *a, const micro__mdns_service *s, micro__mdns_node **out)
{
    uint64_t now = micro__now_ms();
    *out = NULL;
    for (const micro__mdns_node *n = s->nodes; n; n = n->next) {
        if (!micro__mdns_node_lives(n, now))
            continue;
        micro__mdns_node *copy = micro__mdns_node_copy(a, n);
        if (!copy)
            return MICRO_ENOMEM;
        copy->next = *out;
        *out = copy;
    }
    return MICRO_OK;
}

static micro_err mdns_entries(micro_ctx *ctx, const micro__mdns_node *nodes, micro_entries *out)
{
    micro_ctx *scratch = micro_ctx_new(NULL);
    micro_err err = scratch ? MICRO_OK : MICRO_ENOMEM;
    for (const micro__mdns_node *n = nodes; n && !err; n = n->next) {
        micro_entry e;
        err = micro__mdns_node_entry(scratch, n, &e);
        if (!err && !micro__entries_merge(&ctx->arena, out, &e))
            err = MICRO_ENOMEM;
        micro_ctx_reset(scratch);
    }
    micro_ctx_free(scratch);
    micro__entries_sort(out);
    return err;
}

static micro_err mdns_look(micro__mdns *st, micro_ctx *ctx, const char *name, bool first,
                           micro__mdns_node **nodes, const char **why)
{
    micro_err err = micro__mdns_ready(st, why);
    micro__mdns_service *s = micro__mdns_browser_service(&st->browser, micro_s(name), !err);
    if (!s)
        return err ? err : MICRO_ENOMEM;
    uint64_t now = micro__now_ms();
    bool known = mdns_knows(s, now);
    s->users++;
    if (err)
        err = known ? MICRO_OK : err; /* our own are there without a network */
    else if (!first || !known)
        err = mdns_listen(st, ctx, s, first);
    else if (!s->asked || now - s->asked >= MDNS_KNOWN_MS)
        micro__mdns_browser_ask(&st->browser, s, now); /* there may be more: a watcher will hear */
    s->users--;
    return err ? err : mdns_collect(&ctx->arena, s, nodes);
}

static micro_err mdns_lookup(micro_registry *reg, micro_ctx *ctx, const char *name,
                             micro_entries *out, bool first)
{
    micro__mdns *st = mdns_of(reg);
    micro__mdns_node *nodes = NULL;
    const char *why = NULL;
    micro_err err = micro__ctx_check(ctx, ctx->deadline);
    if (!err && micro__dns_name_problem(micro_s(name)))
        err = MICRO_ENOTFOUND; /* nobody can have registered it */
    if (!err) {
        micro__lock(&st->lock);
        micro__mdns_catch_up(st);
        err = mdns_look(st, ctx, name, first, &nodes, &why);
        micro__unlock(&st->lock);
        micro__mdns_deliver(st);
    }
    if (!err && nodes)
        err = mdns_entries(ctx, nodes, out);
    else if (!err)
        err = micro__ctx_check(ctx, ctx->deadline) ? MICRO_ETIMEDOUT : MICRO_ENOTFOUND;
    if (!err)
        return MICRO_OK;
    return micro__ctx_local(ctx, err, "%s", err == MICRO_EIO && why ? why : micro_strerror(err));
}

static micro_err mdns_get(micro_registry *reg, micro_ctx *ctx, const char *name, micro_entries *out)
{
    return mdns_lookup(reg, ctx, name, out, false);
}

static micro_err mdns_first(micro_registry *reg, micro_ctx *ctx, const char *name,
                            micro_entries *out)
{
    return mdns_lookup(reg, ctx, name, out, true);
}

/* ---- list -------------------------------------------------------------------------------------*/

/* The services that answered since, and those that have nodes. Lock held. */
static micro_err mdns_names(micro__mdns *st, micro_ctx *ctx, uint64_t since, micro_entries *out)
{
    uint64_t now = micro__now_ms();
    for (size_t i = 0; i < MICRO__MDNS_BUCKETS; i++) {
        for (const micro__mdns_service *s = st->browser.by_name[i]; s; s = s->chain) {
            micro_entry e = { .name = s->name, .version = { "", 0 } };
            if ((s->listed >= since || mdns_knows(s, now)) &&
                !micro__str_is(s->name, MICRO__MDNS_LIST) &&
                !micro__entries_merge(&ctx->arena, out, &e))
                return MICRO_ENOMEM;
        }
    }
    micro__entries_sort(out);
    return MICRO_OK;
}

static micro_err mdns_list(micro_registry *reg, micro_ctx *ctx, micro_entries *out)
{
    micro__mdns *st = mdns_of(reg);
    const char *why = "";
    micro_err err = micro__ctx_check(ctx, ctx->deadline);
    if (err)
        return micro__ctx_local(ctx, err, "%s", micro_strerror(err));
    micro__lock(&st->lock);
    uint64_t since = micro__now_ms();
    err = micro__mdns_ready(st, &why);
    micro__mdns_service *s =
        micro__mdns_browser_service(&st->browser, micro_s(MICRO__MDNS_LIST), !err);
    if (!err && !s) {
        err = MICRO_ENOMEM;
    } else if (!err) {
        s->users++;
        err = mdns_listen(st, ctx, s, false);
        s->users--;
    } else if (st->responder.nodes) {
        err = MICRO_OK;
    }
    if (!err)
        err = mdns_names(st, ctx, since, out);
    micro__unlock(&st->lock);
    micro__mdns_deliver(st);
    if (!err)
        return MICRO_OK;
    return micro__ctx_local(ctx, err, "%s", err == MICRO_EIO ? why : micro_strerror(err));
}

/* ---- watch, free ------------------------------------------------------------------------------*/

/* A network that is not there yet may come: only sockets are needed. */
static micro_err mdns_watch(micro_registry *reg, const char *name, micro_watch_fn *fn, void *arg,
                            micro_watch **out)
{
    micro__mdns *st = mdns_of(reg);
    if (name && micro__dns_name_problem(micro_s(name)))
        return MICRO_EINVAL;
    micro_err err = micro__notify_add(st->notifier, name, fn, arg, out);
    if (err)
        return err;
    micro__lock(&st->lock);
    err = micro__mdns_start(st);
    if (!err && !micro__mdns_browser_watch(&st->browser, micro_s(name), micro__now_ms()))
        err = MICRO_ENOMEM;
    if (!err)
        micro__waker_set(&st->waker);
    micro__unlock(&st->lock);
    if (err) {
        micro__notify_remove(st->notifier, *out);
        *out = NULL;
    }
    return err == MICRO_EBUSY || err == MICRO_ENOSYS ? MICRO_EIO : err;
}

static void mdns_unwatch(micro_registry *reg, micro_watch *watch)
{
    micro__notify_remove(mdns_of(reg)->notifier, watch);
}

/* What was put through this registry goes with it. */
static void mdns_free(micro_registry *reg)
{
    micro__mdns *st = mdns_of(reg);
    micro__lock(&st->lock);
    for (micro__mdns_local *n = st->responder.nodes, *next; n; n = next) {
        next = n->next;
        if (n->owner == reg)
            mdns_del_local(st, n);
    }
    if (st->started)
        micro__waker_set(&st->waker);
    micro__unlock(&st->lock);
    micro__lock(&mdns_process.lock);
    bool last = --mdns_process.users == 0;
    if (last)
        mdns_process.st = NULL;
    micro__unlock(&mdns_process.lock);
    if (last)
        micro__mdns_free(st);
    micro__free(reg, sizeof(mdns_registry));
}

static const micro_registry_ops mdns_registry_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "mdns",
    .put = mdns_put,
    .del = mdns_del,
    .get = mdns_get,
    .first = mdns_first,
    .list = mdns_list,
    .watch = mdns_watch,
    .unwatch = mdns_unwatch,
    .free = mdns_free,
};

MICRO_API micro_registry *micro_registry_mdns_new(void)
{
    mdns_registry *reg = micro__alloc_zero(sizeof *reg);
    if (!reg)
        return NULL;
    reg->base.ops = &mdns_registry_ops;
    micro__lock(&mdns_process.lock);
    if (!mdns_process.st)
        mdns_process.st = micro__mdns_new();
    reg->st = mdns_process.st;
    if (reg->st)
        mdns_process.users++;
    micro__unlock(&mdns_process.lock);
    if (reg->st)
        return &reg->base;
    micro__free(reg, sizeof *reg);
    return NULL;
}
