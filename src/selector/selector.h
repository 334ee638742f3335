/* SPDX-License-Identifier: MIT */
/* What the built-in selectors share: counted immutable node sets, filters, picking. */
#ifndef MICRO_SELECTOR_H
#define MICRO_SELECTOR_H

#include "../registry/registry.h"

/* ---- health.c: what this process has seen of a node --------------------------------------------
 * Shared by all sets that the node, at that address, is in. A node that fails again and again is
 * out: it is passed over as long as others are in. One that does not even answer is shut in the
 * end, and not called though it be the last: a circuit breaker. To see whether a node that is out
 * is well again, one call is let through at a time, at growing intervals. Any answer that is no
 * failure ends it all. */

typedef struct micro__health {
    _Alignas(8) MICRO__ATOMIC(uint64_t) until; /* when one call may try it; 0: it is not out */
    uint64_t id_hash;                          /* micro__rendezvous_hash of the node's id */
    atomic_uint refs;                          /* sets */
    atomic_uint running;                       /* our calls in progress */
    atomic_uint failed;                        /* calls in a row */
    atomic_uint silent;                        /* of these, the last ones that got no answer */
    atomic_uint trials;                        /* since it is out */
} micro__health;

typedef struct micro__limits {
    unsigned eject_after; /* failed; 0: never out */
    unsigned break_after; /* silent; 0: never shut */
    int eject_ms;         /* until the first trial */
} micro__limits;

typedef struct micro__nodeset micro__nodeset;

static inline bool micro__health_out(const micro__health *h)
{
    return atomic_load_explicit(&h->until, memory_order_relaxed) != 0;
}
static inline bool micro__health_shut(const micro__health *h, const micro__limits *limits)
{
    return micro__health_out(h) && limits->break_after &&
           atomic_load_explicit(&h->silent, memory_order_relaxed) >= limits->break_after;
}
/* Out, and a trial is due. */
static inline bool micro__health_due(const micro__health *h, uint64_t now)
{
    uint64_t until = atomic_load_explicit(&h->until, memory_order_relaxed);
    return until && until <= now;
}
/* Whether a call that ended so was answered by the node, if with an error. */
static inline bool micro__health_answer(micro_err result)
{
    return result >= 0 || result == MICRO_EREMOTE || result == MICRO_EPLAIN;
}
/* The trial that is due is the caller's; false: somebody was faster. */
MICRO_PRIVATE bool micro__health_claim(micro__health *h, uint64_t now, const micro__limits *limits);
/* How a call to node i of a set ended. */
MICRO_PRIVATE void micro__health_mark(micro__nodeset *set, size_t i, const char *service,
                                      micro_err result, const micro__limits *limits);
/* It has come anew: what was held against it goes. */
MICRO_PRIVATE void micro__health_clear(micro__health *h);

/* Gives each node of a set its health: what the set before (NULL: none) knew of it, else a new one.
 * False: out of memory. */
MICRO_PRIVATE bool micro__health_attach(micro__nodeset *set, const micro__nodeset *before);
MICRO_PRIVATE void micro__health_detach(micro__nodeset *set);

/* ---- nodeset.c: a micro_nodes with its count and memory, freed by the last holder -------------*/

#define MICRO__NODESET_SUBSETS 16

typedef MICRO__ATOMIC(micro__nodeset *) micro__nodeset_slot;

/* What a call asks of nodes beside the service name. */
typedef struct micro__filter {
    const char *version, *label; /* NULL: any; label is key=value */
    const char *endpoint;        /* NULL: any; else nodes whose registration lists it (kept where
                                    endpoints are not known) */
    bool (*fn)(void *arg, const micro_node *node);
    void *arg;
    const micro__limits *limits; /* nodes that are out are passed over; NULL: they are not */
} micro__filter;

struct micro__nodeset {
    _Alignas(8) MICRO__ATOMIC(int64_t) refs;
    _Alignas(8) MICRO__ATOMIC(uint64_t) turn;
    micro_nodes nodes;
    micro__health **health;    /* of each node */
    atomic_bool ailing;        /* some may be out; of a subset: look at the parent's */
    micro_entries entries;     /* what it was made of, a copy; none in a subset */
    micro__nodeset *parent;    /* of a subset: held, owns the nodes; NULL: it owns the subset too */
    micro__nodeset_slot *home; /* emptied when the set is freed; NULL: none */
    size_t slot;               /* number of that place, for the cache */
    uint32_t *index;           /* of a subset: place of each node in the set it was taken from */
    const char *filter[3];     /* of a cached subset: version, label, endpoint */
    micro__nodeset_slot subsets[MICRO__NODESET_SUBSETS];
    size_t block; /* bytes of a subset; 0: all is in the arena */
    micro__arena arena;
};

/* A deep copy with count 1; nodes without an address are left out. before: the set that it takes
 * the place of, NULL: none. NULL: out of memory. */
MICRO_PRIVATE micro__nodeset *micro__nodeset_new(const micro_entries *entries,
                                                 const micro__nodeset *before);
/* n nodes of a set, by their places; the parent is held. NULL: out of memory. */
MICRO_PRIVATE micro__nodeset *micro__nodeset_subset(micro__nodeset *parent, const uint32_t *index,
                                                    size_t n);
/* The nodes that pass a filter (fn is not looked at). Belongs to the set, which keeps it for the
 * next who asks. NULL: no place or no memory left for it. */
MICRO_PRIVATE const micro__nodeset *micro__nodeset_filtered(micro__nodeset *set,
                                                            const micro__filter *filter);
/* Whether node i passes; fn is not looked at. */
MICRO_PRIVATE bool micro__nodes_match(const micro_nodes *nodes, size_t i,
                                      const micro__filter *filter);
MICRO_PRIVATE void micro__nodeset_destroy(micro__nodeset *set); /* by the last holder */

/* Back from the nodes of a set; NULL if they are somebody else's. */
static inline micro__nodeset *micro__nodeset_of(const micro_nodes *nodes)
{
    return (micro__nodeset *)(uintptr_t)nodes->lib_;
}
/* The set that a subset was taken from in the end. */
static inline micro__nodeset *micro__nodeset_root(micro__nodeset *set)
{
    while (set->parent)
        set = set->parent;
    return set;
}
static inline void micro__nodeset_hold(micro__nodeset *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
}
static inline void micro__nodeset_drop(micro__nodeset *set)
{
    if (atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1)
        micro__nodeset_destroy(set);
}

/* ---- pick.c -----------------------------------------------------------------------------------*/

/* Whether a set that has nodes has only such as are shut. */
MICRO_PRIVATE bool micro__select_shut(const micro_nodes *nodes, const micro__limits *limits);
/* One node of nodes for one attempt: filters (NULL: none), then strategy (NULL: random). turn
 * counts picks of the service; *last is the index of the attempt before in nodes (SIZE_MAX: none)
 * and is updated. ENONODE: nothing left; ENOMEM. No allocation for up to 64 nodes, none in the
 * cached case at all: subsets are cached with the set when it is one of ours and fn is NULL. */
MICRO_PRIVATE micro_err micro__select_pick(const micro_nodes *nodes, const micro__filter *filter,
                                           const micro_strategy *strategy, const char *service,
                                           const char *key, uint64_t turn, int attempt,
                                           size_t *last, const micro_node **out);
/* The next turn of the service these nodes are of. 0, and nothing is counted, for strategies that
 * are known not to look at it. */
MICRO_PRIVATE uint64_t micro__select_turn(const micro_nodes *nodes, const micro_strategy *strategy);

/* ---- strategy.c -------------------------------------------------------------------------------*/

/* Of a key or a node's id: the same in every process and on every machine. */
MICRO_PRIVATE uint64_t micro__rendezvous_hash(micro_str text);

/* ---- cache.c ----------------------------------------------------------------------------------*/

/* A cache for who needs all the nodes of a name that is not known yet, not the first that answers.
 * NULL: out of memory. */
MICRO_PRIVATE micro_selector *micro__selector_cache_whole(micro_registry *reg);

/* ---- selector.c: a plug-in's ops, checked -----------------------------------------------------*/

/* ENOTFOUND: no such service; ENONODE: it has no usable node. Errors leave a text in ctx. */
MICRO_PRIVATE micro_err micro__selector_select(micro_selector *sel, micro_ctx *ctx,
                                               const char *service, const micro_nodes **out);
MICRO_PRIVATE void micro__selector_release(micro_selector *sel, const micro_nodes *nodes);
MICRO_PRIVATE void micro__selector_mark(micro_selector *sel, const char *service,
                                        const micro_node *node, micro_err result);

#endif
