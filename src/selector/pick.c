/* SPDX-License-Identifier: MIT */
/* One node for one attempt: filters, then the strategy. */
#include "selector.h"

#define PICK_STACK 64

/* The place among what is left of what has place `last` in the whole; index: of each in the whole,
 * ascending, NULL: the same. */
static size_t pick_inner(const micro_nodes *nodes, const uint32_t *index, size_t last)
{
    if (!index || last == SIZE_MAX)
        return last < nodes->len ? last : SIZE_MAX;
    size_t low = 0, high = nodes->len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (index[mid] < last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < nodes->len && index[low] == last ? low : SIZE_MAX;
}

static inline micro_err pick_from(const micro_nodes *nodes, const uint32_t *index, micro_pick *pick,
                                  const micro_strategy *strategy, size_t *last,
                                  const micro_node **out)
{
    size_t n = nodes->len;
    if (!strategy)
        strategy = &micro_strategy_random;
    if (n == 0 || !MICRO__OP_SET(strategy, micro_strategy, pick))
        return MICRO_ENONODE;
    pick->nodes = nodes;
    pick->last = pick_inner(nodes, index, *last);
    pick->random = micro__random_fast();
    size_t i = strategy->pick(strategy, pick);
    if (i >= n)
        return MICRO_ENONODE;
    *out = nodes->ptr[i];
    *last = index ? index[i] : i;
    return MICRO_OK;
}

/* Asks the filter about every node. room holds what passes. */
static void pick_filter(const micro_nodes *from, const uint32_t *outer, const micro__filter *filter,
                        bool whole, micro_nodes *left, const micro_node **nodes,
                        const micro_endpoints **endpoints, uint32_t *index)
{
    size_t n = 0;
    uint64_t hash = from->len;
    for (size_t i = 0; i < from->len; i++) {
        if (whole && !micro__nodes_match(from, i, filter))
            continue;
        if (filter->fn && !filter->fn(filter->arg, from->ptr[i]))
            continue;
        nodes[n] = from->ptr[i];
        endpoints[n] = from->endpoints ? from->endpoints[i] : NULL;
        index[n++] = outer ? outer[i] : (uint32_t)i;
        hash = micro__hash_mix(hash, i + 1);
    }
    left->ptr = nodes;
    left->endpoints = endpoints;
    left->len = n;
    left->hash = from->hash ^ hash;
}

/* The way with a list made for this pick alone: on the stack, or from the heap for many nodes. */
static micro_err pick_slowly(const micro_nodes *from, const uint32_t *outer,
                             const micro__filter *filter, bool whole, micro_pick *pick,
                             const micro_strategy *strategy, size_t *last, const micro_node **out)
{
    const micro_node *nodes[PICK_STACK];
    const micro_endpoints *endpoints[PICK_STACK];
    uint32_t index[PICK_STACK];
    micro_nodes left = { .len = 0 };
    if (from->len <= PICK_STACK) {
        pick_filter(from, outer, filter, whole, &left, nodes, endpoints, index);
        return pick_from(&left, index, pick, strategy, last, out);
    }
    size_t each = sizeof *nodes + sizeof *endpoints + sizeof *index;
    const micro_node **many = micro__alloc(from->len * each);
    if (!many)
        return MICRO_ENOMEM;
    const micro_endpoints **theirs = (const micro_endpoints **)(void *)(many + from->len);
    uint32_t *places = (uint32_t *)(void *)(theirs + from->len);
    pick_filter(from, outer, filter, whole, &left, many, theirs, places);
    micro_err err = pick_from(&left, places, pick, strategy, last, out);
    micro__free(many, from->len * each);
    return err;
}

MICRO_PRIVATE micro_err micro__select_pick(const micro_nodes *nodes, const micro__filter *filter,
                                           const micro_strategy *strategy, const char *service,
                                           const char *key, uint64_t turn, int attempt,
                                           size_t *last, const micro_node **out)
{
    micro_pick pick = { .service = service, .key = key, .turn = turn, .attempt = attempt };
    *out = NULL;
    if (!filter)
        return pick_from(nodes, NULL, &pick, strategy, last, out);
    bool whole = filter->version || filter->label || filter->endpoint;
    micro__nodeset *set = micro__nodeset_of(nodes);
    const uint32_t *index = NULL;
    if (whole && set) {
        const micro__nodeset *part = micro__nodeset_filtered(set, filter);
        if (part) {
            nodes = &part->nodes;
            index = part->index;
            whole = false;
        }
    }
    if (whole || filter->fn)
        return pick_slowly(nodes, index, filter, whole, &pick, strategy, last, out);
    return pick_from(nodes, index, &pick, strategy, last, out);
}

static MICRO__ATOMIC(uint64_t) pick_turn; /* of sets that are not ours */

MICRO_PRIVATE uint64_t micro__select_turn(const micro_nodes *nodes, const micro_strategy *strategy)
{
    if (!strategy || strategy == &micro_strategy_random)
        return 0;
    micro__nodeset *set = micro__nodeset_of(nodes);
    return atomic_fetch_add_explicit(set ? &set->turn : &pick_turn, 1, memory_order_relaxed);
}
