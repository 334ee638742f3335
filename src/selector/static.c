/* SPDX-License-Identifier: MIT */
/* The static selector: given addresses for every service, or the service's name as its address. */
#include "selector.h"

#define STATIC_KEPT 64

typedef struct static_selector {
    micro_selector base;
    micro__nodeset *set; /* NULL: names are addresses */
    micro__mutex lock;
    micro__nodeset *kept[STATIC_KEPT]; /* of names asked for, each at the place of its hash */
} static_selector;

/* Nodes at these addresses, which are their ids too. What endpoints they have is not known. */
static micro__nodeset *static_make(const char *const *addresses, size_t n)
{
    char room[1024];
    micro__arena a;
    micro_entry entry = { .name = micro_s("") };
    const micro_entries one = { &entry, 1, 0 };
    micro__nodeset *set = NULL;
    micro__arena_init(&a, room, sizeof room);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        micro_str address = micro_s(addresses[i]);
        ok = micro__list_grow(&a, &entry.nodes, sizeof *entry.nodes.ptr);
        if (ok)
            entry.nodes.ptr[i] = (micro_node){ .id = address, .address = address };
    }
    if (ok)
        set = micro__nodeset_new(&one, NULL);
    if (set)
        set->nodes.endpoints = NULL;
    micro__arena_free(&a);
    return set;
}

static bool static_is_for(const micro__nodeset *set, micro_str name)
{
    return set && set->nodes.len && micro_str_eq(set->nodes.ptr[0]->address, name);
}

/* The set of a name, held for the caller. One that was kept for another name makes way. */
static micro__nodeset *static_named(static_selector *s, const char *service)
{
    micro_str name = micro_s(service);
    micro__nodeset **place = &s->kept[micro__str_hash(name) % STATIC_KEPT], *old = NULL;
    micro__lock(&s->lock);
    if (!static_is_for(*place, name)) {
        old = *place;
        *place = static_make(&service, 1);
    }
    micro__nodeset *set = *place;
    if (set)
        micro__nodeset_hold(set);
    micro__unlock(&s->lock);
    if (old)
        micro__nodeset_drop(old);
    return set;
}

static micro_err static_select(micro_selector *sel, micro_ctx *ctx, const char *service,
                               const micro_nodes **out)
{
    static_selector *s = (static_selector *)sel;
    micro__nodeset *set = s->set;
    if (set)
        micro__nodeset_hold(set);
    else
        set = static_named(s, service);
    if (!set)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "%s", micro_strerror(MICRO_ENOMEM));
    *out = &set->nodes;
    return MICRO_OK;
}

static void static_release(micro_selector *sel, const micro_nodes *nodes)
{
    (void)sel;
    micro__nodeset_drop(micro__nodeset_of(nodes));
}

static void static_mark(micro_selector *sel, const char *service, const micro_node *node,
                        micro_err result)
{
    (void)sel, (void)service, (void)node, (void)result;
}

static void static_reset(micro_selector *sel, const char *service)
{
    (void)sel, (void)service;
}

static void static_free(micro_selector *sel)
{
    static_selector *s = (static_selector *)sel;
    for (size_t i = 0; i < STATIC_KEPT; i++)
        if (s->kept[i])
            micro__nodeset_drop(s->kept[i]);
    if (s->set)
        micro__nodeset_drop(s->set);
    micro__mutex_destroy(&s->lock);
    micro__free(s, sizeof *s);
}

static const micro_selector_ops static_ops = {
    .size_ = sizeof(micro_selector_ops),
    .name = "static",
    .select = static_select,
    .release = static_release,
    .mark = static_mark,
    .reset = static_reset,
    .free = static_free,
};

MICRO_API micro_selector *micro_selector_static_new(const char *const *addresses, size_t n)
{
    static_selector *s = micro__alloc_zero(sizeof *s);
    if (!s)
        return NULL;
    if (n && !(s->set = static_make(addresses, n))) {
        micro__free(s, sizeof *s);
        return NULL;
    }
    s->base.ops = &static_ops;
    micro__mutex_init(&s->lock);
    return &s->base;
}
