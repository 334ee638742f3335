/* SPDX-License-Identifier: MIT */
/* Node sets: made once, never changed, counted; subsets by filter are found again. */
#include "selector.h"

#define NODESET_PROBES 4

/* ---- making -----------------------------------------------------------------------------------*/

static bool nodeset_usable(const micro_node *node)
{
    return node->address.len != 0;
}

static size_t nodeset_count(const micro_entries *entries)
{
    size_t n = 0;
    for (size_t i = 0; i < entries->len; i++) {
        for (size_t k = 0; k < entries->ptr[i].nodes.len; k++)
            n += nodeset_usable(&entries->ptr[i].nodes.ptr[k]);
    }
    return n;
}

static bool nodeset_copy_entries(micro__arena *a, micro_entries *to, const micro_entries *from)
{
    to->ptr = micro__arena_zero(a, from->len * sizeof *to->ptr);
    if (!to->ptr)
        return false;
    to->len = to->cap = from->len;
    for (size_t i = 0; i < from->len; i++) {
        if (!micro__entry_copy(a, &to->ptr[i], &from->ptr[i]))
            return false;
    }
    return true;
}

/* Fills in the arrays that nodes points to; the hash does not depend on the order. */
static void nodeset_fill(micro__nodeset *set, const micro_node **nodes,
                         const micro_endpoints **endpoints)
{
    size_t n = 0;
    for (size_t i = 0; i < set->entries.len; i++) {
        const micro_entry *e = &set->entries.ptr[i];
        uint64_t facts = micro__facts_hash(e);
        for (size_t k = 0; k < e->nodes.len; k++) {
            if (!nodeset_usable(&e->nodes.ptr[k]))
                continue;
            nodes[n] = &e->nodes.ptr[k];
            endpoints[n++] = &e->endpoints;
            set->nodes.hash += micro__hash_mix(facts, micro__node_hash(&e->nodes.ptr[k]));
        }
    }
    set->nodes.ptr = nodes;
    set->nodes.endpoints = endpoints;
    set->nodes.len = n;
    set->nodes.lib_ = set;
}

MICRO_PRIVATE micro__nodeset *micro__nodeset_new(const micro_entries *entries,
                                                 const micro__nodeset *before)
{
    micro__arena a;
    micro__arena_init(&a, NULL, 0);
    size_t n = nodeset_count(entries);
    micro__nodeset *set = micro__arena_zero(&a, sizeof *set);
    const micro_node **nodes = micro__arena_zero(&a, n * sizeof *nodes);
    const micro_endpoints **endpoints = micro__arena_zero(&a, n * sizeof *endpoints);
    micro__health **health = micro__arena_zero(&a, n * sizeof(micro__health *));
    bool ok =
        set && nodes && endpoints && health && nodeset_copy_entries(&a, &set->entries, entries);
    if (ok) {
        nodeset_fill(set, nodes, endpoints);
        set->health = health;
        ok = micro__health_attach(set, before);
    }
    if (!ok) {
        micro__arena_free(&a);
        return NULL;
    }
    atomic_init(&set->refs, 1);
    set->arena = a;
    return set;
}

/* A subset in one block with room for extra bytes; its parent is not yet set. */
static micro__nodeset *nodeset_part(const micro__nodeset *whole, const uint32_t *index, size_t n,
                                    size_t extra, char **room)
{
    const micro_nodes *from = &whole->nodes;
    size_t each = sizeof(micro_node *) + sizeof(micro_endpoints *) + sizeof(micro__health *) +
                  sizeof(uint32_t);
    size_t block = sizeof(micro__nodeset) + n * each + extra;
    micro__nodeset *set = micro__alloc(block);
    if (!set)
        return NULL;
    memset(set, 0, sizeof *set);
    const micro_node **nodes = (const micro_node **)(void *)(set + 1);
    const micro_endpoints **endpoints = (const micro_endpoints **)(void *)(nodes + n);
    set->health = (micro__health **)(void *)(endpoints + n);
    set->index = (uint32_t *)(void *)(set->health + n);
    *room = (char *)(set->index + n);
    for (size_t i = 0; i < n; i++) {
        nodes[i] = from->ptr[index[i]];
        endpoints[i] = from->endpoints ? from->endpoints[index[i]] : NULL;
        set->health[i] = whole->health[index[i]];
        set->index[i] = index[i];
        /* not the parent's share of each node, but it differs when the nodes or the parent do */
        set->nodes.hash += micro__hash_mix(from->hash, index[i] + 1);
    }
    set->nodes.ptr = nodes;
    set->nodes.endpoints = endpoints;
    set->nodes.len = n;
    set->nodes.lib_ = set;
    set->block = block;
    atomic_init(&set->refs, 1);
    return set;
}

MICRO_PRIVATE micro__nodeset *micro__nodeset_subset(micro__nodeset *parent, const uint32_t *index,
                                                    size_t n)
{
    char *room;
    micro__nodeset *set = nodeset_part(parent, index, n, 0, &room);
    if (set) {
        set->parent = parent;
        micro__nodeset_hold(parent);
    }
    return set;
}

MICRO_PRIVATE void micro__nodeset_destroy(micro__nodeset *set)
{
    for (size_t i = 0; i < MICRO__NODESET_SUBSETS; i++) {
        micro__nodeset *part = atomic_load_explicit(&set->subsets[i], memory_order_relaxed);
        if (part)
            micro__nodeset_destroy(
                part); /* one level only: cached subsets have none of their own */
    }
    micro__nodeset_slot *home = set->home;
    micro__nodeset *parent = set->parent;
    if (set->block) {
        micro__free(set, set->block);
    } else {
        micro__health_detach(set);
        micro__arena a = set->arena; /* the set itself is in it */
        micro__arena_free(&a);
    }
    if (home)
        atomic_store_explicit(home, NULL, memory_order_release);
    if (parent)
        micro__nodeset_drop(parent);
}

/* ---- filters ----------------------------------------------------------------------------------*/

static bool nodeset_has_label(const micro_node *node, const char *label)
{
    micro_str value;
    micro_str key = micro__str_cut(micro_s(label), '=', &value);
    const micro_pair *found = micro__pairs_find(&node->metadata, key);
    return found && micro_str_eq(found->value, value);
}

static bool nodeset_lists(const micro_endpoints *endpoints, const char *name)
{
    for (size_t i = 0; endpoints && i < endpoints->len; i++) {
        if (micro__str_is(endpoints->ptr[i].name, name))
            return true;
    }
    return !endpoints;
}

MICRO_PRIVATE bool micro__nodes_match(const micro_nodes *nodes, size_t i,
                                      const micro__filter *filter)
{
    const micro_node *node = nodes->ptr[i];
    if (filter->version && !micro__str_is(node->version, filter->version))
        return false;
    if (filter->label && !nodeset_has_label(node, filter->label))
        return false;
    return !filter->endpoint || !nodes->endpoints ||
           nodeset_lists(nodes->endpoints[i], filter->endpoint);
}

static bool nodeset_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *nodeset_keep_text(const char **to, char *room, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    if (text) {
        memcpy(room, text, size);
        *to = room;
    }
    return room + size;
}

static micro__nodeset *nodeset_filter(micro__nodeset *set, const micro__filter *filter)
{
    size_t n = set->nodes.len, kept = 0, extra = 0;
    const char *texts[3] = { filter->version, filter->label, filter->endpoint };
    uint32_t *index = micro__alloc(n * sizeof *index);
    if (!index)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (micro__nodes_match(&set->nodes, i, filter))
            index[kept++] = (uint32_t)i;
    }
    for (size_t i = 0; i < 3; i++)
        extra += texts[i] ? strlen(texts[i]) + 1 : 0;
    char *room;
    micro__nodeset *part = nodeset_part(set, index, kept, extra, &room);
    for (size_t i = 0; part && i < 3; i++)
        room = nodeset_keep_text(&part->filter[i], room, texts[i]);
    micro__free(index, n * sizeof *index);
    return part;
}

static uint64_t nodeset_filter_hash(const micro__filter *filter)
{
    uint64_t h = 0;
    if (filter->version)
        h = micro__hash_mix(1, micro__str_hash(micro_s(filter->version)));
    if (filter->label)
        h = micro__hash_mix(h + 2, micro__str_hash(micro_s(filter->label)));
    if (filter->endpoint)
        h = micro__hash_mix(h + 3, micro__str_hash(micro_s(filter->endpoint)));
    return h;
}

static bool nodeset_is_for(const micro__nodeset *part, const micro__filter *filter)
{
    return nodeset_same_text(part->filter[0], filter->version) &&
           nodeset_same_text(part->filter[1], filter->label) &&
           nodeset_same_text(part->filter[2], filter->endpoint);
}

/* Subsets stay until the set goes, so that they are found and used without a count or a lock. */
MICRO_PRIVATE const micro__nodeset *micro__nodeset_filtered(micro__nodeset *set,
                                                            const micro__filter *filter)
{
    uint64_t h = nodeset_filter_hash(filter);
    micro__nodeset *mine = NULL, *found = NULL;
    for (uint64_t i = 0; i < NODESET_PROBES && !found; i++) {
        micro__nodeset_slot *at = &set->subsets[(h + i) % MICRO__NODESET_SUBSETS];
        found = atomic_load_explicit(at, memory_order_acquire);
        if (!found) {
            mine = mine ? mine : nodeset_filter(set, filter);
            if (!mine)
                return NULL;
            if (atomic_compare_exchange_strong_explicit(at, &found, mine, memory_order_acq_rel,
                                                        memory_order_acquire))
                return mine;
        }
        if (!nodeset_is_for(found, filter))
            found = NULL;
    }
    if (mine)
        micro__nodeset_destroy(mine);
    return found;
}
