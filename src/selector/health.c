/* SPDX-License-Identifier: MIT */
/* What this process has seen of each node. It outlives the sets that the node is in: a new set
 * takes over what the one before knew. */
#include "selector.h"

#define HEALTH_MS_MAX 30000u

static micro__health *health_new(uint64_t id_hash)
{
    micro__health *h = micro__alloc_zero(sizeof *h);
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    h->id_hash = id_hash;
    return h;
}

static bool health_is_of(const micro_node *a, const micro_node *b)
{
    return micro_str_eq(a->id, b->id) && micro_str_eq(a->address, b->address);
}

/* Mostly the same nodes in the same order: the search goes on where the last one ended. */
static micro__health *health_known(const micro__nodeset *before, const micro_node *node,
                                   uint64_t id_hash, size_t *at)
{
    size_t n = before ? before->nodes.len : 0;
    for (size_t i = 0; i < n; i++, (*at)++) {
        if (*at >= n)
            *at = 0;
        if (before->health[*at]->id_hash == id_hash && health_is_of(before->nodes.ptr[*at], node))
            return before->health[(*at)++];
    }
    return NULL;
}

MICRO_PRIVATE bool micro__health_attach(micro__nodeset *set, const micro__nodeset *before)
{
    size_t at = 0;
    bool ailing = false;
    for (size_t i = 0; i < set->nodes.len; i++) {
        const micro_node *node = set->nodes.ptr[i];
        uint64_t id_hash = micro__rendezvous_hash(node->id);
        micro__health *h = health_known(before, node, id_hash, &at);
        if (h)
            atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
        else
            h = health_new(id_hash);
        if (!h) {
            micro__health_detach(set);
            return false;
        }
        set->health[i] = h;
        ailing |= micro__health_out(h);
    }
    atomic_init(&set->ailing, ailing);
    return true;
}

MICRO_PRIVATE void micro__health_detach(micro__nodeset *set)
{
    for (size_t i = 0; i < set->nodes.len && set->health[i]; i++) {
        if (atomic_fetch_sub_explicit(&set->health[i]->refs, 1, memory_order_acq_rel) == 1)
            micro__free(set->health[i], sizeof *set->health[i]);
    }
}

/* ---- out and in -------------------------------------------------------------------------------*/

/* Less up to a quarter by chance, lest all clients try at the same moment. */
static uint64_t health_pause(const micro__limits *limits, unsigned trials)
{
    uint64_t ms = (uint64_t)limits->eject_ms << (trials < 16 ? trials : 16);
    ms = ms < HEALTH_MS_MAX ? ms : HEALTH_MS_MAX;
    return ms - micro__random_fast() % (ms / 4 + 1);
}

MICRO_PRIVATE bool micro__health_claim(micro__health *h, uint64_t now, const micro__limits *limits)
{
    uint64_t until = atomic_load_explicit(&h->until, memory_order_relaxed);
    unsigned trials = atomic_load_explicit(&h->trials, memory_order_relaxed) + 1;
    if (until == 0 || until > now ||
        !atomic_compare_exchange_strong_explicit(&h->until, &until,
                                                 now + health_pause(limits, trials),
                                                 memory_order_relaxed, memory_order_relaxed))
        return false;
    atomic_store_explicit(&h->trials, trials, memory_order_relaxed);
    return true;
}

MICRO_PRIVATE void micro__health_clear(micro__health *h)
{
    atomic_store_explicit(&h->failed, 0, memory_order_relaxed);
    atomic_store_explicit(&h->silent, 0, memory_order_relaxed);
    atomic_store_explicit(&h->trials, 0, memory_order_relaxed);
    atomic_store_explicit(&h->until, 0, memory_order_relaxed);
}

static bool health_silence(micro_err result)
{
    return result == MICRO_ETIMEDOUT || result == MICRO_ECONNECT || result == MICRO_EIO ||
           result == MICRO_EPROTO;
}

static bool health_is_clear(const micro__health *h)
{
    return !micro__health_out(h) && !atomic_load_explicit(&h->failed, memory_order_relaxed) &&
           !atomic_load_explicit(&h->silent, memory_order_relaxed);
}

static void health_failed(micro__nodeset *set, size_t i, const char *service,
                          const micro__limits *limits)
{
    micro__health *h = set->health[i];
    unsigned failed = atomic_fetch_add_explicit(&h->failed, 1, memory_order_relaxed) + 1;
    uint64_t none = 0, until = micro__now_ms() + health_pause(limits, 0);
    if (failed < limits->eject_after)
        return;
    if (atomic_compare_exchange_strong_explicit(&h->until, &none, until, memory_order_relaxed,
                                                memory_order_relaxed))
        MICRO_LOG(MICRO_LOG_WARN, "%.200s: node %.*s is passed over after %u failures", service,
                  MICRO_STR_ARG(set->nodes.ptr[i]->id), failed);
    atomic_store_explicit(&micro__nodeset_root(set)->ailing, true, memory_order_relaxed);
}

/* If another node falls out meanwhile and this misses it, its next failure says so again. */
static void health_well(micro__nodeset *set, size_t i, const char *service)
{
    micro__nodeset *root = micro__nodeset_root(set);
    bool was_out = micro__health_out(set->health[i]), ailing = false;
    micro__health_clear(set->health[i]);
    if (!was_out)
        return;
    MICRO_LOG(MICRO_LOG_INFO, "%.200s: node %.*s is well again", service,
              MICRO_STR_ARG(set->nodes.ptr[i]->id));
    for (size_t k = 0; k < root->nodes.len; k++)
        ailing |= micro__health_out(root->health[k]);
    atomic_store_explicit(&root->ailing, ailing, memory_order_relaxed);
}

MICRO_PRIVATE void micro__health_mark(micro__nodeset *set, size_t i, const char *service,
                                      micro_err result, const micro__limits *limits)
{
    micro__health *h = set->health[i];
    bool answer = micro__health_answer(result);
    if (answer && result < 500) {
        if (health_is_clear(h))
            return;
        health_well(set, i, service);
        return;
    }
    if (answer)
        atomic_store_explicit(&h->silent, 0, memory_order_relaxed);
    else if (health_silence(result))
        atomic_fetch_add_explicit(&h->silent, 1, memory_order_relaxed);
    else
        return; /* the caller's own doing says nothing about the node */
    if (limits->eject_after)
        health_failed(set, i, service, limits);
}
