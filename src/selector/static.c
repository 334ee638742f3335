/* SPDX-License-Identifier: MIT */
/* The static selector: given addresses for every service, or the service's name as its address. */
#include "selector.h"

typedef struct static_selector {
    micro_selector base;
    micro__nodeset *set; /* NULL: names are addresses */
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

static micro_err static_select(micro_selector *sel, micro_ctx *ctx, const char *service,
                               const micro_nodes **out)
{
    micro__nodeset *set = ((static_selector *)sel)->set;
    if (set)
        micro__nodeset_hold(set);
    else
        set = static_make(&service, 1);
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
    if (s->set)
        micro__nodeset_drop(s->set);
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
    s->base.ops = &static_ops;
    if (n && !(s->set = static_make(addresses, n))) {
        micro__free(s, sizeof *s);
        return NULL;
    }
    return &s->base;
}
