/* SPDX-License-Identifier: MIT */
/* Who subscribes to a topic: three names of the registry, through a cache. A topic that is new to
 * this process is waited for; after that only what is known counts, that nobody subscribes too, and
 * what may have come is asked for in the background. */
#include "http.h"

#define FIND_AGAIN_MS 60000u
#define FIND_NOBODY_MS 1000u  /* the same for a topic that nobody subscribes to */
#define FIND_SETTLED_MS 2000u /* after news the cache may still remember that there was nobody */
#define FIND_BACKGROUND_MS 5000
#define FIND_TOPICS_MAX 1024u

/* ---- news ---------------------------------------------------------------------------------- */

static bool find_is_ours(micro_str name)
{
    return micro__str_starts(name, MICRO__HTTP_TOPIC) || micro__str_ends(name, "micro.http.broker");
}

/* Of a subscriber to the topic, under whichever name. */
static bool find_is_of(const micro_entry *entry, const micro__http_topic *t)
{
    bool shared = !micro__str_starts(entry->name, MICRO__HTTP_TOPIC), found = false;

    for (size_t i = 0; shared && !found && i < entry->nodes.len; i++)
        found = micro__str_is(micro__pairs_get(&entry->nodes.ptr[i].metadata, "topic"),
                              t->name + strlen(MICRO__HTTP_TOPIC));
    return shared ? found : micro__str_is(entry->name, t->name);
}

static void find_news(void *arg, enum micro_change what, const micro_entry *entry)
{
    micro__http_broker *b = arg;

    if (what == MICRO_DELETED || !find_is_ours(entry->name))
        return;
    atomic_fetch_add(&b->news, 1);
    micro__lock(&b->lock);
    for (micro__http_topic *t = b->topics; t; t = t->next)
        if (find_is_of(entry, t)) {
            t->nobody = false;
            t->heard = micro__now_ms();
        }
    micro__unlock(&b->lock);
    for (size_t i = 0; i < entry->nodes.len; i++)
        micro__pipelines_retry(b->out, entry->nodes.ptr[i].address.ptr);
}

static void find_watch(micro__http_broker *b)
{
    micro_watch *watch = NULL;

    micro__lock(&b->lock);
    bool start = !b->watching;
    b->watching = true;
    micro__unlock(&b->lock);
    if (start && micro_registry_watch(b->registry, NULL, find_news, b, &watch) == MICRO_OK) {
        micro__lock(&b->lock);
        b->watch = watch;
        micro__unlock(&b->lock);
    }
}

/* ---- topics -------------------------------------------------------------------------------- */

static void find_forget(micro__http_broker *b)
{
    while (b->topics) {
        micro__http_topic *t = b->topics;
        b->topics = t->next;
        micro__http_plan_drop(b, t->plan);
        micro__free(t, sizeof *t + strlen(t->name) + 1);
    }
    b->ntopics = 0;
}

MICRO_PRIVATE void micro__http_forget(micro__http_broker *b)
{
    micro__lock(&b->lock);
    find_forget(b);
    micro__unlock(&b->lock);
}

/* With the lock. NULL: out of memory. */
static micro__http_topic *find_topic(micro__http_broker *b, const char *name)
{
    micro__http_topic *t = b->topics;

    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    if (t)
        return t;
    if (b->ntopics >= FIND_TOPICS_MAX)
        find_forget(b); /* they are looked up anew */
    t = micro__alloc_zero(sizeof *t + strlen(name) + 1);
    if (!t)
        return NULL;
    memcpy(t->name, name, strlen(name));
    t->next = b->topics;
    b->topics = t;
    b->ntopics++;
    return t;
}

/* ---- sets of nodes ------------------------------------------------------------------------- */

/* wait false: only what is at hand. */
static micro_err find_select(micro__http_broker *b, micro_ctx *ctx, const char *name, bool wait,
                             const micro_nodes **out)
{
    uint64_t deadline = ctx->deadline;

    if (*out)
        return MICRO_OK;
    if (!wait)
        ctx->deadline = 1; /* long past: the cache asks nobody then */
    micro_err err = micro__selector_select(b->selector, ctx, name, out);
    ctx->deadline = deadline;
    if (err != MICRO_OK)
        *out = NULL;
    return err == MICRO_ENOTFOUND || err == MICRO_ENONODE || !wait ? MICRO_OK : err;
}

static micro_err find_sets(micro__http_broker *b, micro_ctx *ctx, const char *const *names,
                           bool wait, const micro_nodes **sets)
{
    micro_err first = MICRO_OK;

    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++) {
        micro_err err = find_select(b, ctx, names[i], wait, &sets[i]);
        first = first == MICRO_OK ? err : first;
    }
    return first;
}

MICRO_PRIVATE void micro__http_release(micro__http_broker *b, const micro_nodes **sets)
{
    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++) {
        if (sets[i])
            micro__selector_release(b->selector, sets[i]);
        sets[i] = NULL;
    }
}

/* ---- in the background --------------------------------------------------------------------- */

/* A copy of the name of a topic that is wanted; "" if none is. */
static micro_str find_wanted(micro__http_broker *b, micro_ctx *ctx)
{
    micro_str name = { "", 0 };

    micro__lock(&b->lock);
    micro__http_topic *t = b->topics;
    while (t && !t->wanted)
        t = t->next;
    if (t) {
        t->wanted = false;
        name = micro_copy(ctx, micro_s(t->name));
    }
    b->asking = name.len != 0;
    micro__unlock(&b->lock);
    return name;
}

static void find_background(void *arg)
{
    micro__http_broker *b = arg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_str name;

    while (ctx && (name = find_wanted(b, ctx)).len) {
        const micro_nodes *sets[MICRO__HTTP_NAMES] = { NULL };
        const char *names[MICRO__HTTP_NAMES];
        micro_ctx_set_timeout(ctx, FIND_BACKGROUND_MS);
        if (micro__http_names(ctx, name.ptr + strlen(MICRO__HTTP_TOPIC), names))
            micro_ignore(find_sets(b, ctx, names, true, sets));
        micro__http_release(b, sets);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    if (!ctx) {
        micro__lock(&b->lock);
        b->asking = false;
        micro__unlock(&b->lock);
    }
}

/* What is known of a topic when something is published to it. */
typedef struct find_known {
    bool first;  /* nothing: it is new here */
    bool nobody; /* subscribes, as far as the registry has told */
    unsigned news;
    micro__http_plan *plan; /* of the last publication, held; NULL: none */
} find_known;

/* One of which is known what there was some time ago is asked for again. */
static find_known find_look(micro__http_broker *b, const char *name)
{
    unsigned news = atomic_load(&b->news);
    uint64_t now = micro__now_ms();
    bool post = false;

    micro__lock(&b->lock);
    micro__http_topic *t = find_topic(b, name);
    find_known known = { .first = !t || !t->asked, .nobody = t && t->nobody, .news = news };
    known.plan = t ? micro__http_plan_hold(t->plan) : NULL;
    bool again = t && (t->news != news || now - t->asked > FIND_AGAIN_MS ||
                       (t->nobody && now - t->asked > FIND_NOBODY_MS));
    if (t && (known.first || again)) {
        t->asked = now;
        t->news = news;
        t->wanted = !known.first;
        post = t->wanted && !b->asking;
        b->asking |= post;
    }
    micro__unlock(&b->lock);
    if (post && micro__life_post(b->life, b->engine, 0, find_background, b) != MICRO_OK) {
        micro__lock(&b->lock);
        b->asking = false;
        micro__unlock(&b->lock);
    }
    return known;
}

/* The shared names are asked for beside the topic's own: what a registry waits for is waited for
 * once. */
static void find_warm(micro__http_broker *b, const char *name)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    const micro_nodes *nodes = NULL;

    micro_ctx_set_timeout(ctx, FIND_BACKGROUND_MS);
    if (ctx && find_select(b, ctx, name, true, &nodes) == MICRO_OK && nodes)
        micro__selector_release(b->selector, nodes);
    micro_ctx_free(ctx);
}

static void find_warm_old(void *arg)
{
    find_warm(arg, MICRO__HTTP_SHARED_OLD);
}

static void find_warm_new(void *arg)
{
    find_warm(arg, MICRO__HTTP_SHARED);
}

static void find_ahead(micro__http_broker *b, const micro_nodes **sets)
{
    if (!micro__engine_threaded(b->engine))
        return;
    if (!sets[1])
        micro_ignore(micro__life_post(b->life, b->engine, 0, find_warm_old, b));
    if (!sets[2])
        micro_ignore(micro__life_post(b->life, b->engine, 0, find_warm_new, b));
}

/* ---- finding ------------------------------------------------------------------------------- */

static micro_err find_plan(micro_ctx *ctx, const char *topic, const micro_nodes **sets,
                           micro__http_plan **out)
{
    micro_err err = micro__http_plan_new(topic, sets, out);

    return err == MICRO_OK
               ? err
               : micro__ctx_local(ctx, err, "%s",
                                  err == MICRO_ENOTFOUND ? "not found" : "out of memory");
}

/* For the next publication, which most likely finds the same. */
static void find_keep(micro__http_broker *b, const char *name, micro__http_plan *plan)
{
    micro__http_plan *old = micro__http_plan_hold(plan);

    micro__lock(&b->lock);
    micro__http_topic *t = find_topic(b, name);
    if (t) {
        micro__http_plan *before = t->plan;
        t->plan = old;
        t->nobody = false;
        old = before;
    }
    micro__unlock(&b->lock);
    micro__http_plan_drop(b, old);
}

/* All names have been asked for, and nobody was there. Whoever comes is told of by the watch. */
static void find_nobody(micro__http_broker *b, const char *name, unsigned news)
{
    micro__lock(&b->lock);
    micro__http_topic *t = find_topic(b, name);
    if (t && b->watch && atomic_load(&b->news) == news)
        t->nobody = !t->heard || micro__now_ms() - t->heard > FIND_SETTLED_MS;
    micro__unlock(&b->lock);
}

static micro_err find_anew(micro__http_broker *b, micro_ctx *ctx, const char *topic,
                           const char *const *names, const find_known *known,
                           const micro_nodes **sets, micro__http_plan **out)
{
    micro_err err = known->first ? MICRO_ENOTFOUND : find_plan(ctx, topic, sets, out);

    if (err != MICRO_ENOTFOUND || known->nobody)
        return err;
    find_ahead(b, sets);
    micro_err asked = find_sets(b, ctx, names, true, sets);
    err = find_plan(ctx, topic, sets, out);
    if (err == MICRO_ENOTFOUND && asked == MICRO_OK)
        find_nobody(b, names[0], known->news);
    return err == MICRO_ENOTFOUND && asked != MICRO_OK
               ? micro__ctx_local(ctx, asked, "%s", micro_strerror(asked))
               : err;
}

MICRO_PRIVATE micro_err micro__http_find(micro__http_broker *b, micro_ctx *ctx, const char *topic,
                                         micro__http_plan **out)
{
    const micro_nodes *sets[MICRO__HTTP_NAMES] = { NULL };
    const char *names[MICRO__HTTP_NAMES];
    micro_err err = MICRO_OK;

    if (!micro__http_names(ctx, topic, names))
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    find_watch(b);
    find_known known = find_look(b, names[0]);
    *out = known.plan;
    micro_ignore(find_sets(b, ctx, names, false, sets));
    if (!*out || !micro__http_plan_is_of(*out, sets)) {
        micro__http_plan_drop(b, *out);
        err = find_anew(b, ctx, topic, names, &known, sets, out);
        if (err == MICRO_OK)
            find_keep(b, names[0], *out);
    }
    micro__http_release(b, sets);
    return err;
}
