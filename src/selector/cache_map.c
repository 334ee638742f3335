/* SPDX-License-Identifier: MIT */
/* The cache's names: a table that is read without a lock, the sets handed out, refused nodes. */
#include "cache.h"

#define CACHE_RETRY_MS 1000
#define CACHE_FIRST_SIZE 32
#define CACHE_CLOCK_MASK 15
#define CACHE_TAKEN_MASK (((uint64_t)1 << MICRO__CACHE_SLOT_BITS) - 1)

/* ---- the table --------------------------------------------------------------------------------*/

static micro__cache_name *cache_probe(micro__cache_table *t, micro_str name, uint64_t hash,
                                      size_t *at)
{
    for (*at = (size_t)hash & t->mask;; *at = (*at + 1) & t->mask) {
        micro__cache_name *n = atomic_load_explicit(&t->at[*at], memory_order_acquire);
        if (!n ||
            (n->hash == hash && n->len == name.len && memcmp(n->text, name.ptr, name.len) == 0))
            return n;
    }
}

MICRO_PRIVATE micro__cache_name *micro__cache_find(micro__cache *c, micro_str name, uint64_t hash)
{
    size_t at;
    micro__cache_table *t = atomic_load_explicit(&c->table, memory_order_acquire);
    return t ? cache_probe(t, name, hash, &at) : NULL;
}

static size_t cache_table_bytes(size_t size)
{
    return sizeof(micro__cache_table) + size * sizeof(MICRO__ATOMIC(micro__cache_name *));
}

/* A table with place for another name; the old one stays for those who are reading in it. */
static micro__cache_table *cache_room(micro__cache *c)
{
    micro__cache_table *old = atomic_load_explicit(&c->table, memory_order_relaxed);
    if (old && c->names * 2 <= old->mask)
        return old;
    size_t size = old ? (old->mask + 1) * 2 : CACHE_FIRST_SIZE;
    micro__cache_table *t = micro__alloc_zero(cache_table_bytes(size));
    if (!t)
        return NULL;
    t->mask = size - 1;
    t->older = old;
    for (size_t i = 0; old && i <= old->mask; i++) {
        micro__cache_name *n = atomic_load_explicit(&old->at[i], memory_order_relaxed);
        size_t at;
        if (n && !cache_probe(t, micro__str(n->text, n->len), n->hash, &at))
            atomic_store_explicit(&t->at[at], n, memory_order_relaxed);
    }
    atomic_store_explicit(&c->table, t, memory_order_release);
    return t;
}

MICRO_PRIVATE micro__cache_name *micro__cache_add(micro__cache *c, micro_str name, uint64_t hash)
{
    micro__cache_table *t = c->names < MICRO__CACHE_NAMES_MAX ? cache_room(c) : NULL;
    micro__cache_name *n = t ? micro__alloc_zero(sizeof *n + name.len + 1) : NULL;
    if (!n)
        return NULL;
    size_t at;
    n->hash = hash;
    n->len = name.len;
    n->expires = UINT64_MAX;
    memcpy(n->text, name.ptr, name.len);
    atomic_init(&n->blocks[0], n->slots);
    atomic_init(&n->check_at, UINT64_MAX);
    cache_probe(t, name, hash, &at);
    atomic_store_explicit(&t->at[at], n, memory_order_release);
    c->names++;
    return n;
}

/* ---- handing out ------------------------------------------------------------------------------*/

/* An empty slot, and its number; NULL: all are in use, or out of memory. 0 is never one. */
static micro__nodeset_slot *cache_free_slot(micro__cache_name *n, size_t *number)
{
    for (size_t b = 0; b < MICRO__CACHE_BLOCKS; b++) {
        micro__nodeset_slot *block = atomic_load_explicit(&n->blocks[b], memory_order_relaxed);
        if (!block) {
            block = micro__alloc_zero(MICRO__CACHE_BLOCK * sizeof *block);
            if (!block)
                return NULL;
            atomic_store_explicit(&n->blocks[b], block, memory_order_release);
        }
        for (size_t i = b == 0; i < MICRO__CACHE_BLOCK; i++) {
            *number = b * MICRO__CACHE_BLOCK + i;
            if (!atomic_load_explicit(&block[i], memory_order_acquire))
                return &block[i];
        }
    }
    return NULL;
}

/* Gives the word another slot and settles the account of the set that was in use. */
static void cache_swap(micro__cache_name *n, size_t slot)
{
    uint64_t old = atomic_exchange_explicit(&n->word, (uint64_t)slot << MICRO__CACHE_SLOT_BITS,
                                            memory_order_acq_rel);
    size_t number = (size_t)(old >> MICRO__CACHE_SLOT_BITS);
    if (number == 0)
        return;
    micro__nodeset_slot *block =
        atomic_load_explicit(&n->blocks[number / MICRO__CACHE_BLOCK], memory_order_relaxed);
    micro__nodeset *set =
        atomic_load_explicit(&block[number % MICRO__CACHE_BLOCK], memory_order_relaxed);
    int64_t owed = (int64_t)(old & CACHE_TAKEN_MASK) - MICRO__CACHE_LENT;
    if (atomic_fetch_add_explicit(&set->refs, owed, memory_order_acq_rel) + owed == 0)
        micro__nodeset_destroy(set);
}

/* Hands set out; its count passes to the name. False: no slot. */
static bool cache_hand_out(micro__cache_name *n, micro__nodeset *set)
{
    if (!set->home) {
        micro__nodeset_slot *slot = cache_free_slot(n, &set->slot);
        if (!slot)
            return false;
        set->home = slot;
        atomic_store_explicit(slot, set, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&set->refs, MICRO__CACHE_LENT - 1, memory_order_relaxed);
    cache_swap(n, set->slot);
    return true;
}

static micro__cache_aside *cache_aside(const micro__cache_name *n, micro_str id)
{
    micro__cache_aside *a = n->asides;
    while (a && !micro__str_is(id, a->id))
        a = a->next;
    return a;
}

/* The nodes of n->all that are not set aside, with a count for the caller; NULL: none, or out of
 * memory (then ok is false). */
static micro__nodeset *cache_usable(const micro__cache_name *n, bool *ok)
{
    micro__nodeset *all = n->all, *set = NULL;
    size_t len = all ? all->nodes.len : 0, kept = 0;
    bool part = n->asides || n->stale;
    uint32_t *index = part ? micro__alloc(len * sizeof *index) : NULL;
    *ok = !part || index;
    for (size_t i = 0; *ok && i < len; i++) {
        const micro__cache_aside *a = cache_aside(n, all->nodes.ptr[i]->id);
        if (a && a->out)
            continue;
        if (index)
            index[kept] = (uint32_t)i;
        kept++;
    }
    if (*ok && kept && kept == len && !n->stale) {
        micro__nodeset_hold(all);
        set = all;
    } else if (*ok && kept) {
        set = micro__nodeset_subset(all, index, kept);
        *ok = set != NULL;
        if (set)
            set->nodes.stale = n->stale;
    }
    if (index)
        micro__free(index, len * sizeof *index);
    return set;
}

static bool cache_in_use(micro__cache_name *n, const micro__nodeset *set)
{
    uint64_t word = atomic_load_explicit(&n->word, memory_order_relaxed);
    size_t slot = (size_t)(word >> MICRO__CACHE_SLOT_BITS);
    return set ? set->home && set->slot == slot : slot == 0;
}

/* Reading the clock costs a third of a selection. While events come in, looking at it now and then
 * is enough; else it is looked at every time. */
static void cache_schedule(micro__cache *c, micro__cache_name *n)
{
    uint64_t at = n->unpublished ? micro__now_ms() + CACHE_RETRY_MS : n->expires;
    bool watched = c->watching == MICRO__CACHE_WATCHED && !n->unpublished;
    for (const micro__cache_aside *a = n->asides; a; a = a->next) {
        if (a->out && a->until) {
            at = a->until < at ? a->until : at;
            watched = false;
        }
    }
    atomic_store_explicit(&n->check_at, at, memory_order_relaxed);
    atomic_store_explicit(&n->mask, watched ? CACHE_CLOCK_MASK : 0, memory_order_relaxed);
}

MICRO_PRIVATE void micro__cache_publish(micro__cache *c, micro__cache_name *n)
{
    bool ok;
    if (n->partial)
        return;
    micro__nodeset *set = cache_usable(n, &ok);
    if (set && (cache_in_use(n, set) || !cache_hand_out(n, set))) {
        ok = cache_in_use(n, set);
        micro__nodeset_drop(set);
    } else if (ok && !set && !cache_in_use(n, NULL)) {
        cache_swap(n, 0);
    }
    n->unpublished = !ok;
    cache_schedule(c, n);
}

MICRO_PRIVATE bool micro__cache_due(micro__cache *c, micro__cache_name *n, uint64_t now)
{
    if (now < atomic_load_explicit(&n->check_at, memory_order_relaxed))
        return false;
    for (micro__cache_aside *a = n->asides; a; a = a->next) {
        if (a->out && a->until && a->until <= now)
            a->out = false;
    }
    bool old = n->all && n->expires <= now;
    if (old)
        n->expires = now + CACHE_RETRY_MS; /* until there is an answer */
    micro__cache_publish(c, n);
    return old;
}

/* ---- refused nodes ----------------------------------------------------------------------------*/

static const micro_node *cache_node(const micro__nodeset *set, micro_str id)
{
    for (size_t i = 0; set && i < set->nodes.len; i++) {
        if (micro_str_eq(set->nodes.ptr[i]->id, id))
            return set->nodes.ptr[i];
    }
    return NULL;
}

static atomic_uint *cache_asides_of(micro__cache *c, const char *id)
{
    return &c->asides_of[micro__str_hash(micro_s(id)) % MICRO__CACHE_ASIDES];
}

static void cache_drop_aside(micro__cache *c, micro__cache_name *n, micro__cache_aside *a)
{
    micro__cache_aside **at = &n->asides;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    atomic_fetch_sub_explicit(cache_asides_of(c, a->id), 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->asides, 1, memory_order_relaxed);
    micro__strfree(a->id);
    micro__free(a, sizeof *a);
}

/* Forgets those that the service does not have any more. */
static void cache_prune_asides(micro__cache *c, micro__cache_name *n)
{
    for (micro__cache_aside *a = n->asides, *next; a; a = next) {
        next = a->next;
        if (!cache_node(n->all, micro_s(a->id)))
            cache_drop_aside(c, n, a);
    }
}

static micro__cache_aside *cache_add_aside(micro__cache *c, micro__cache_name *n, const char *id)
{
    micro__cache_aside *a = micro__alloc_zero(sizeof *a);
    if (!a)
        return NULL;
    a->id = micro__strdup(id);
    if (!a->id) {
        micro__free(a, sizeof *a);
        return NULL;
    }
    a->next = n->asides;
    n->asides = a;
    atomic_fetch_add_explicit(cache_asides_of(c, id), 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->asides, 1, memory_order_relaxed);
    return a;
}

/* After the first time a sign of life is waited for; if it is refused again in spite of one, the
 * sign is worth nothing and the clock decides. */
static uint64_t cache_try_again(int refused)
{
    if (refused < 2)
        return 0;
    return micro__now_ms() + (refused < 7 ? (uint64_t)1000 << (refused - 2) : 30000);
}

MICRO_PRIVATE void micro__cache_refused(micro__cache *c, micro__cache_name *n,
                                        const micro_node *node)
{
    const micro_node *known = cache_node(n->all, node->id);
    if (!known || !micro_str_eq(known->address, node->address))
        return; /* it has gone or moved meanwhile */
    micro__cache_aside *a = cache_aside(n, node->id);
    if (!a)
        a = cache_add_aside(c, n, known->id.ptr);
    if (!a || a->out) /* several calls may have run into the same closed door */
        return;
    a->refused++;
    a->out = true;
    a->until = cache_try_again(a->refused);
    micro__cache_publish(c, n);
}

MICRO_PRIVATE void micro__cache_answered(micro__cache *c, micro__cache_name *n, micro_str id)
{
    micro__cache_aside *a = cache_aside(n, id);
    if (!a)
        return;
    cache_drop_aside(c, n, a);
    micro__cache_publish(c, n);
}

static void cache_well(const micro__cache_name *n, micro_str id)
{
    for (size_t i = 0; n->all && i < n->all->nodes.len; i++) {
        if (micro_str_eq(n->all->nodes.ptr[i]->id, id))
            micro__health_clear(n->all->health[i]);
    }
}

/* The registry has named a node. An event counts as a sign of life, an answer only the first time:
 * it may come from a responder whose listener is closed. */
static void cache_named(micro__cache_name *n, const micro_entry *e, bool event)
{
    for (micro__cache_aside *a = n->asides; a; a = a->next) {
        if (!micro__entry_node(e, micro_s(a->id)))
            continue;
        if (event || a->refused == 1)
            a->out = false;
        if (event)
            cache_well(n, micro_s(a->id));
    }
}

/* ---- what is known ----------------------------------------------------------------------------*/

/* Takes the nodes that e names out of a list; others: only those of other versions. */
static void cache_strip(micro_entries *list, const micro_entry *e, bool others)
{
    for (size_t i = 0; i < list->len; i++) {
        micro_node_list *nodes = &list->ptr[i].nodes;
        size_t kept = 0;
        if (others && micro_str_eq(list->ptr[i].version, e->version))
            continue;
        for (size_t k = 0; k < nodes->len; k++) {
            if (!micro__entry_node(e, nodes->ptr[k].id))
                nodes->ptr[kept++] = nodes->ptr[k];
        }
        nodes->len = kept;
    }
}

static void cache_compact(micro_entries *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->len; i++) {
        if (list->ptr[i].nodes.len)
            list->ptr[kept++] = list->ptr[i];
    }
    list->len = kept;
}

/* A node whose address has changed is another one: what was held against it goes. */
static void cache_moved(micro__cache *c, micro__cache_name *n, const micro__nodeset *set)
{
    for (micro__cache_aside *a = n->asides, *next; a; a = next) {
        const micro_node *was = cache_node(n->all, micro_s(a->id));
        const micro_node *is = cache_node(set, micro_s(a->id));
        next = a->next;
        if (was && is && !micro_str_eq(was->address, is->address))
            cache_drop_aside(c, n, a);
    }
}

static void cache_replace(micro__cache *c, micro__cache_name *n, micro__nodeset *set)
{
    if (n->all && set && n->all->nodes.hash == set->nodes.hash) {
        micro__nodeset_drop(set); /* the same again: subsets that were made stay good */
    } else {
        micro__nodeset *old = n->all;
        cache_moved(c, n, set);
        n->all = set;
        if (old)
            micro__nodeset_drop(old);
        cache_prune_asides(c, n);
    }
    micro__cache_publish(c, n);
}

/* What is known, less what is deleted, with what is new. False: out of memory. */
static bool cache_blend(micro__cache *c, micro__cache_name *n, const micro_entries *news,
                        bool deleted)
{
    micro__arena a;
    micro_entries list = { NULL, 0, 0 };
    const micro_entries none = { NULL, 0, 0 };
    const micro_entries *known = n->all ? &n->all->entries : &none;
    micro__nodeset *set = NULL;
    bool ok = true;
    micro__arena_init(&a, NULL, 0);
    for (size_t i = 0; ok && i < known->len; i++)
        ok = micro__entries_merge(&a, &list, &known->ptr[i]);
    for (size_t i = 0; ok && i < news->len; i++) {
        cache_strip(&list, &news->ptr[i], !deleted);
        ok = deleted || micro__entries_merge(&a, &list, &news->ptr[i]);
    }
    cache_compact(&list);
    if (ok && list.len) {
        set = micro__nodeset_new(&list, n->all);
        ok = set != NULL;
    }
    micro__arena_free(&a);
    if (ok)
        cache_replace(c, n, set);
    return ok;
}

MICRO_PRIVATE bool micro__cache_learn(micro__cache *c, micro__cache_name *n,
                                      const micro_entries *entries, bool whole)
{
    for (size_t i = 0; i < entries->len; i++)
        cache_named(n, &entries->ptr[i], false);
    if (!whole)
        return cache_blend(c, n, entries, false);
    micro__nodeset *set = micro__nodeset_new(entries, n->all);
    if (set)
        cache_replace(c, n, set);
    return set != NULL;
}

/* Whether an announcement says what is known already: most do. */
static bool cache_knows(const micro__cache_name *n, const micro_entry *e)
{
    for (size_t i = 0; i < e->nodes.len; i++) {
        const micro_node *known = cache_node(n->all, e->nodes.ptr[i].id);
        if (!known || !micro_str_eq(known->version, e->version) ||
            micro__node_hash(known) != micro__node_hash(&e->nodes.ptr[i]))
            return false;
    }
    return true;
}

MICRO_PRIVATE bool micro__cache_announce(micro__cache *c, micro__cache_name *n,
                                         enum micro_change what, const micro_entry *entry)
{
    const micro_entries news = { (micro_entry *)(uintptr_t)entry, 1, 0 };
    n->events++;
    n->stale = false; /* it is alive */
    if (what == MICRO_DELETED && entry->nodes.len == 0) {
        cache_replace(c, n, NULL); /* the service as a whole */
        return true;
    }
    if (what == MICRO_DELETED)
        return cache_blend(c, n, &news, true);
    cache_named(n, entry, true);
    if (!cache_knows(n, entry))
        return cache_blend(c, n, &news, false);
    micro__cache_publish(c, n);
    return true;
}

MICRO_PRIVATE void micro__cache_forget(micro__cache *c, micro__cache_name *n)
{
    while (n->asides)
        cache_drop_aside(c, n, n->asides);
    n->expires = UINT64_MAX;
    n->stale = false;
    cache_replace(c, n, NULL);
}

MICRO_PRIVATE void micro__cache_forget_all(micro__cache *c)
{
    micro__cache_table *t = atomic_load_explicit(&c->table, memory_order_relaxed);
    for (size_t i = 0; t && i <= t->mask; i++) {
        micro__cache_name *n = atomic_load_explicit(&t->at[i], memory_order_relaxed);
        if (n)
            micro__cache_forget(c, n);
    }
}

MICRO_PRIVATE void micro__cache_free_names(micro__cache *c)
{
    micro__cache_table *t = atomic_load_explicit(&c->table, memory_order_relaxed);
    micro__cache_forget_all(c);
    for (size_t i = 0; t && i <= t->mask; i++) {
        micro__cache_name *n = atomic_load_explicit(&t->at[i], memory_order_relaxed);
        for (size_t b = 1; n && b < MICRO__CACHE_BLOCKS; b++) {
            micro__nodeset_slot *block = atomic_load_explicit(&n->blocks[b], memory_order_relaxed);
            micro__free(block, MICRO__CACHE_BLOCK * sizeof *block);
        }
        if (n)
            micro__free(n, sizeof *n + n->len + 1);
    }
    for (micro__cache_table *older; t; t = older) {
        older = t->older;
        micro__free(t, cache_table_bytes(t->mask + 1));
    }
}
