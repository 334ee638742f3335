/* SPDX-License-Identifier: MIT */
/* What this process has seen of each node. It outlives the sets that the node is in: a new set
 * takes over what the one before knew. */
#include "selector.h"

/* FNV-1a: the same in every process and on every machine, as those who share keys need it. */
MICRO_PRIVATE uint64_t micro__health_hash(const char *text, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return h;
}

static micro__health *health_new(const micro_node *node)
{
    micro__health *h = micro__alloc_zero(sizeof *h);
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    h->id_hash = micro__health_hash(node->id.ptr, node->id.len);
    return h;
}

static bool health_is_of(const micro_node *a, const micro_node *b)
{
    return micro_str_eq(a->id, b->id) && micro_str_eq(a->address, b->address);
}

/* Mostly the same nodes in the same order: the search goes on where the last one ended. */
static micro__health *health_known(const micro__nodeset *before, const micro_node *node, size_t *at)
{
    size_t n = before ? before->nodes.len : 0;
    for (size_t i = 0; i < n; i++, (*at)++) {
        if (*at >= n)
            *at = 0;
        if (health_is_of(before->nodes.ptr[*at], node))
            return before->health[(*at)++];
    }
    return NULL;
}

MICRO_PRIVATE bool micro__health_attach(micro__nodeset *set, const micro__nodeset *before)
{
    size_t at = 0;
    for (size_t i = 0; i < set->nodes.len; i++) {
        micro__health *h = health_known(before, set->nodes.ptr[i], &at);
        if (h)
            atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
        else
            h = health_new(set->nodes.ptr[i]);
        if (!h) {
            micro__health_detach(set);
            return false;
        }
        set->health[i] = h;
    }
    return true;
}

MICRO_PRIVATE void micro__health_detach(micro__nodeset *set)
{
    for (size_t i = 0; i < set->nodes.len && set->health[i]; i++) {
        if (atomic_fetch_sub_explicit(&set->health[i]->refs, 1, memory_order_acq_rel) == 1)
            micro__free(set->health[i], sizeof *set->health[i]);
    }
}
