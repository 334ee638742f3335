/* SPDX-License-Identifier: MIT */
/* The blacklist selector: a node that has failed three times in a row is left out for 30 s. It
 * stands on the cache: asking the registry for every call, as go-micro's does, costs 100 ms each
 * with mdns, and the cache forgets nothing that the registry knows. */
#include "selector.h"

#define BLACKLIST_FAILURES 3
#define BLACKLIST_MS 30000
#define BLACKLIST_BUCKETS 64

typedef struct blacklist_record { /* of a node that has failed */
    struct blacklist_record *next;
    char *id, *service;
    int failures;
    uint64_t until; /* then it is forgotten */
} blacklist_record;

typedef struct blacklist_selector {
    micro_selector base;
    micro_selector *inner;
    MICRO__ATOMIC(size_t) failing, out; /* records, and those with enough failures */
    micro__mutex lock;                  /* of the records; a leaf */
    blacklist_record *buckets[BLACKLIST_BUCKETS];
} blacklist_selector;

static blacklist_record **blacklist_bucket(blacklist_selector *b, micro_str id)
{
    return &b->buckets[micro__str_hash(id) % BLACKLIST_BUCKETS];
}

static void blacklist_record_free(blacklist_record *r)
{
    micro__strfree(r->id);
    micro__strfree(r->service);
    micro__free(r, sizeof *r);
}

static void blacklist_drop(blacklist_selector *b, blacklist_record **at)
{
    blacklist_record *r = *at;
    *at = r->next;
    atomic_fetch_sub(&b->failing, 1);
    if (r->failures >= BLACKLIST_FAILURES)
        atomic_fetch_sub(&b->out, 1);
    blacklist_record_free(r);
}

/* Where the record of a node is; what has had its time in the same bucket goes. NULL: none. */
static blacklist_record **blacklist_find(blacklist_selector *b, micro_str id, uint64_t now)
{
    blacklist_record **found = NULL;
    for (blacklist_record **at = blacklist_bucket(b, id); *at;) {
        if ((*at)->until <= now) {
            blacklist_drop(b, at);
            continue;
        }
        if (micro__str_is(id, (*at)->id))
            found = at;
        at = &(*at)->next;
    }
    return found;
}

/* ---- choosing ---------------------------------------------------------------------------------*/

/* The places of the nodes that are not out; returns how many. */
static size_t blacklist_keep(blacklist_selector *b, const micro_nodes *nodes, uint32_t *index)
{
    size_t kept = 0;
    uint64_t now = micro__now_ms();
    micro__lock(&b->lock);
    for (size_t i = 0; i < nodes->len; i++) {
        blacklist_record **at = blacklist_find(b, nodes->ptr[i]->id, now);
        if (!at || (*at)->failures < BLACKLIST_FAILURES)
            index[kept++] = (uint32_t)i;
    }
    micro__unlock(&b->lock);
    return kept;
}

/* Less the nodes that are out. Takes over the caller's hold. */
static micro_err blacklist_filter(blacklist_selector *b, const micro_nodes *nodes,
                                  const micro_nodes **out)
{
    micro__nodeset *set = micro__nodeset_of(nodes), *part = NULL;
    uint32_t *index = micro__alloc(nodes->len * sizeof *index);
    size_t kept = index ? blacklist_keep(b, nodes, index) : 0;
    if (kept == nodes->len)
        part = set;
    else if (kept)
        part = micro__nodeset_subset(set, index, kept);
    micro_err err = part ? MICRO_OK : kept || !index ? MICRO_ENOMEM : MICRO_ENONODE;
    if (part)
        *out = &part->nodes;
    if (index)
        micro__free(index, nodes->len * sizeof *index);
    if (part != set)
        micro__nodeset_drop(set);
    return err;
}

static micro_err blacklist_select(micro_selector *sel, micro_ctx *ctx, const char *service,
                                  const micro_nodes **out)
{
    blacklist_selector *b = (blacklist_selector *)sel;
    micro_err err = b->inner->ops->select(b->inner, ctx, service, out);
    if (err || atomic_load_explicit(&b->out, memory_order_relaxed) == 0)
        return err;
    const micro_nodes *nodes = *out;
    *out = NULL;
    err = blacklist_filter(b, nodes, out);
    return err ? micro__ctx_local(ctx, err, "%s", micro_strerror(err)) : MICRO_OK;
}

static void blacklist_release(micro_selector *sel, const micro_nodes *nodes)
{
    (void)sel;
    micro__nodeset_drop(micro__nodeset_of(nodes));
}

/* ---- marking ----------------------------------------------------------------------------------*/

/* Whether a result is held against the node: not what the caller did wrong or gave up. */
static bool blacklist_failure(micro_err result)
{
    switch (result) {
    case MICRO_ECONNECT:
    case MICRO_EIO:
    case MICRO_EPROTO:
    case MICRO_ETIMEDOUT:
    case MICRO_EREMOTE:
    case MICRO_EPLAIN:
        return true;
    default:
        return result >= 500;
    }
}

static bool blacklist_success(micro_err result)
{
    return result >= 0 && result < 500;
}

static blacklist_record *blacklist_add(blacklist_selector *b, micro_str id, const char *service)
{
    blacklist_record *r = micro__alloc_zero(sizeof *r);
    if (!r)
        return NULL;
    r->id = micro__alloc(id.len + 1);
    r->service = micro__strdup(service);
    if (!r->id || !r->service) {
        micro__free(r->id, id.len + 1);
        micro__strfree(r->service);
        micro__free(r, sizeof *r);
        return NULL;
    }
    memcpy(r->id, id.ptr, id.len);
    r->id[id.len] = 0;
    blacklist_record **bucket = blacklist_bucket(b, id);
    r->next = *bucket;
    *bucket = r;
    atomic_fetch_add(&b->failing, 1);
    return r;
}

static void blacklist_failed(blacklist_selector *b, const char *service, micro_str id)
{
    uint64_t now = micro__now_ms();
    blacklist_record **at = blacklist_find(b, id, now);
    blacklist_record *r = at ? *at : blacklist_add(b, id, service);
    if (!r)
        return;
    r->failures++;
    r->until = now + BLACKLIST_MS;
    if (r->failures == BLACKLIST_FAILURES)
        atomic_fetch_add(&b->out, 1);
}

static void blacklist_mark(micro_selector *sel, const char *service, const micro_node *node,
                           micro_err result)
{
    blacklist_selector *b = (blacklist_selector *)sel;
    b->inner->ops->mark(b->inner, service, node, result);
    bool success = blacklist_success(result);
    if (success ? atomic_load_explicit(&b->failing, memory_order_relaxed) == 0
                : !blacklist_failure(result))
        return;
    micro__lock(&b->lock);
    if (success) {
        blacklist_record **at = blacklist_find(b, node->id, micro__now_ms());
        if (at)
            blacklist_drop(b, at);
    } else {
        blacklist_failed(b, service, node->id);
    }
    micro__unlock(&b->lock);
}

/* ---- the rest ---------------------------------------------------------------------------------*/

static void blacklist_reset(micro_selector *sel, const char *service)
{
    blacklist_selector *b = (blacklist_selector *)sel;
    b->inner->ops->reset(b->inner, service);
    micro__lock(&b->lock);
    for (size_t i = 0; i < BLACKLIST_BUCKETS; i++) {
        for (blacklist_record **at = &b->buckets[i]; *at;) {
            if (!service || strcmp((*at)->service, service) == 0)
                blacklist_drop(b, at);
            else
                at = &(*at)->next;
        }
    }
    micro__unlock(&b->lock);
}

static void blacklist_free(micro_selector *sel)
{
    blacklist_selector *b = (blacklist_selector *)sel;
    for (size_t i = 0; i < BLACKLIST_BUCKETS; i++) {
        while (b->buckets[i])
            blacklist_drop(b, &b->buckets[i]);
    }
    micro_selector_free(b->inner);
    micro__mutex_destroy(&b->lock);
    micro__free(b, sizeof *b);
}

static const micro_selector_ops blacklist_ops = {
    .size_ = sizeof(micro_selector_ops),
    .name = "blacklist",
    .select = blacklist_select,
    .release = blacklist_release,
    .mark = blacklist_mark,
    .reset = blacklist_reset,
    .free = blacklist_free,
};

MICRO_API micro_selector *micro_selector_blacklist_new(micro_registry *reg)
{
    blacklist_selector *b = micro__alloc_zero(sizeof *b);
    if (!b)
        return NULL;
    b->base.ops = &blacklist_ops;
    b->inner = micro_selector_cache_new(reg, 0);
    if (!b->inner) {
        micro__free(b, sizeof *b);
        return NULL;
    }
    micro__mutex_init(&b->lock);
    return &b->base;
}
