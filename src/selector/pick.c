/* SPDX-License-Identifier: MIT */
/* One node for one attempt: filters, then the strategy. */
#include "selector.h"

#define PICK_STACK 64
#define PICK_TRIES 3
#define PICK_OUT 0x80000000u /* a mark beside an index */

/* What there is to choose from: nodes, and of each the health (NULL: not known) and the place in
 * the set that was given (ascending; NULL: the same). limits: some may be out; NULL: none is. */
typedef struct pick_view {
    const micro_nodes *nodes;
    micro__health *const *health;
    const uint32_t *index;
    const micro__limits *limits;
} pick_view;

/* Room for a view made for one pick alone. */
typedef struct pick_room {
    const micro_node **nodes;
    const micro_endpoints **endpoints;
    micro__health **health;
    uint32_t *index;
} pick_room;

/* The place in the view of what has place `last` in the set. */
static size_t pick_inner(const pick_view *v, size_t last)
{
    if (!v->index || last == SIZE_MAX)
        return last < v->nodes->len ? last : SIZE_MAX;
    size_t low = 0, high = v->nodes->len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (v->index[mid] < last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < v->nodes->len && v->index[low] == last ? low : SIZE_MAX;
}

static inline micro_err pick_from(const pick_view *v, micro_pick *pick,
                                  const micro_strategy *strategy, size_t *last,
                                  const micro_node **out)
{
    size_t n = v->nodes->len;
    if (!strategy)
        strategy = &micro_strategy_random;
    if (n == 0 || !MICRO__OP_SET(strategy, micro_strategy, pick))
        return MICRO_ENONODE;
    pick->nodes = v->nodes;
    pick->lib_ = v->health;
    pick->last = pick_inner(v, *last);
    pick->random = micro__random_fast();
    size_t i = strategy->pick(strategy, pick);
    if (i >= n)
        return MICRO_ENONODE;
    *out = v->nodes->ptr[i];
    *last = v->index ? v->index[i] : i;
    return MICRO_OK;
}

static void pick_move(const pick_room *room, size_t to, size_t from)
{
    room->nodes[to] = room->nodes[from];
    room->endpoints[to] = room->endpoints[from];
    room->health[to] = room->health[from];
    room->index[to] = room->index[from];
}

/* Asks the filter about every node; what passes goes into room. */
static void pick_filter(const pick_view *v, const micro__filter *filter, bool whole,
                        const pick_room *room, micro_nodes *left)
{
    const micro_nodes *from = v->nodes;
    size_t n = 0;
    for (size_t i = 0; i < from->len; i++) {
        if (whole && !micro__nodes_match(from, i, filter))
            continue;
        if (filter->fn && !filter->fn(filter->arg, from->ptr[i]))
            continue;
        room->nodes[n] = from->ptr[i];
        room->endpoints[n] = from->endpoints ? from->endpoints[i] : NULL;
        room->health[n] = v->health ? v->health[i] : NULL;
        room->index[n++] = v->index ? v->index[i] : (uint32_t)i;
    }
    left->ptr = room->nodes;
    left->endpoints = room->endpoints;
    left->len = n;
}

/* Leaves out the nodes that are out, and, if all are, only those that are shut. A trial that is due
 * is for a first attempt: a further one is to succeed. */
static void pick_pass_over(const pick_room *room, micro_nodes *left, const micro__limits *limits,
                           uint64_t now, bool first)
{
    size_t n = 0, in = 0;
    for (size_t i = 0; i < left->len; i++) {
        const micro__health *h = room->health[i];
        bool out = micro__health_out(h) && !(first && micro__health_due(h, now));
        if (out && micro__health_shut(h, limits))
            continue;
        in += !out;
        pick_move(room, n, i);
        room->index[n++] |= out ? PICK_OUT : 0;
    }
    left->len = n;
    n = 0;
    for (size_t i = 0; i < left->len; i++) {
        if (in && room->index[i] & PICK_OUT)
            continue;
        pick_move(room, n, i);
        room->index[n++] &= ~PICK_OUT;
    }
    left->len = n;
}

static void pick_hash(const pick_room *room, micro_nodes *left, const micro_nodes *from)
{
    uint64_t hash = from->len;
    for (size_t i = 0; i < left->len; i++)
        hash = micro__hash_mix(hash, room->index[i] + 1);
    left->hash = from->hash ^ hash;
}

static micro_err pick_in_room(const pick_view *v, const micro__filter *filter, bool whole,
                              const pick_room *room, micro_pick *pick,
                              const micro_strategy *strategy, size_t *last, const micro_node **out)
{
    micro_nodes left = { .len = 0 };
    const pick_view part = { &left, v->health ? room->health : NULL, room->index, NULL };
    uint64_t now = v->limits ? micro__now_ms() : 0;
    for (int tries = 0;; tries++) {
        size_t before = *last;
        pick_filter(v, filter, whole, room, &left);
        if (v->limits)
            pick_pass_over(room, &left, v->limits, now, pick->attempt == 1);
        pick_hash(room, &left, v->nodes);
        micro_err err = pick_from(&part, pick, strategy, last, out);
        if (err || !v->limits || tries == PICK_TRIES)
            return err;
        micro__health *h = room->health[pick_inner(&part, *last)];
        if (!micro__health_due(h, now) || micro__health_claim(h, now, v->limits))
            return err;
        *last = before; /* another call has this trial */
    }
}

/* The way with a list made for this pick alone: on the stack, or from the heap for many nodes. */
static micro_err pick_slowly(const pick_view *v, const micro__filter *filter, bool whole,
                             micro_pick *pick, const micro_strategy *strategy, size_t *last,
                             const micro_node **out)
{
    const micro_node *nodes[PICK_STACK];
    const micro_endpoints *endpoints[PICK_STACK];
    micro__health *health[PICK_STACK];
    uint32_t index[PICK_STACK];
    pick_room room = { nodes, endpoints, health, index };
    size_t n = v->nodes->len,
           each = sizeof *nodes + sizeof *endpoints + sizeof *health + sizeof *index;
    void *many = NULL;
    if (n > PICK_STACK) {
        many = micro__alloc(n * each);
        if (!many)
            return MICRO_ENOMEM;
        room.nodes = many;
        room.endpoints = (const micro_endpoints **)(void *)(room.nodes + n);
        room.health = (micro__health **)(void *)(room.endpoints + n);
        room.index = (uint32_t *)(void *)(room.health + n);
    }
    micro_err err = pick_in_room(v, filter, whole, &room, pick, strategy, last, out);
    if (many)
        micro__free(many, n * each);
    return err;
}

static bool pick_ailing(micro__nodeset *set)
{
    return atomic_load_explicit(&micro__nodeset_root(set)->ailing, memory_order_relaxed);
}

MICRO_PRIVATE bool micro__select_shut(const micro_nodes *nodes, const micro__limits *limits)
{
    const micro__nodeset *set = micro__nodeset_of(nodes);
    size_t i = 0;
    while (set && i < nodes->len && micro__health_shut(set->health[i], limits))
        i++;
    return set && nodes->len && i == nodes->len;
}

MICRO_PRIVATE micro_err micro__select_pick(const micro_nodes *nodes, const micro__filter *filter,
                                           const micro_strategy *strategy, const char *service,
                                           const char *key, uint64_t turn, int attempt,
                                           size_t *last, const micro_node **out)
{
    micro_pick pick = { .service = service, .key = key, .turn = turn, .attempt = attempt };
    micro__nodeset *set = micro__nodeset_of(nodes);
    pick_view v = { nodes, set ? set->health : NULL, NULL, NULL };
    *out = NULL;
    if (!filter)
        return pick_from(&v, &pick, strategy, last, out);
    bool whole = filter->version || filter->label || filter->endpoint;
    if (whole && set) {
        const micro__nodeset *part = micro__nodeset_filtered(set, filter);
        if (part) {
            v = (pick_view){ &part->nodes, part->health, part->index, NULL };
            whole = false;
        }
    }
    if (set && filter->limits && pick_ailing(set))
        v.limits = filter->limits;
    if (whole || filter->fn || v.limits)
        return pick_slowly(&v, filter, whole, &pick, strategy, last, out);
    return pick_from(&v, &pick, strategy, last, out);
}

static MICRO__ATOMIC(uint64_t) pick_turn; /* of sets that are not ours */

MICRO_PRIVATE uint64_t micro__select_turn(const micro_nodes *nodes, const micro_strategy *strategy)
{
    if (!strategy || strategy == &micro_strategy_random || strategy == &micro_strategy_hash ||
        strategy == &micro_strategy_least_calls || strategy == &micro_strategy_two_choices)
        return 0;
    micro__nodeset *set = micro__nodeset_of(nodes);
    return atomic_fetch_add_explicit(set ? &set->turn : &pick_turn, 1, memory_order_relaxed);
}
