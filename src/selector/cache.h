/* SPDX-License-Identifier: MIT */
/* The cache selector inside: names and what is known of them (cache_map.c), asking the registry
 * (cache_ask.c), the selector itself (cache.c). */
#ifndef MICRO_CACHE_H
#define MICRO_CACHE_H

#include "selector.h"

/* ---- how a set is handed out without a lock -----------------------------------------------------
 * A name's `word` holds the number of a slot (of the set in use) and how often that set has been
 * taken: one addition both takes the set and says which it is. Giving it back counts the set's refs
 * down from MICRO__CACHE_LENT; when another set takes its place, what was taken is added and LENT
 * taken off, so that refs becomes what is still out. A slot is used again when its set is gone. */

#define MICRO__CACHE_SLOT_BITS 48
#define MICRO__CACHE_LENT ((int64_t)1 << 52)
#define MICRO__CACHE_BLOCK 16  /* slots in a block */
#define MICRO__CACHE_BLOCKS 16 /* the first is part of the name */
#define MICRO__CACHE_NAMES_MAX 65536
#define MICRO__CACHE_FRONT 64
#define MICRO__CACHE_ASIDES 64

/* A node that refused a connection (decision 16 has the rules). */
typedef struct micro__cache_aside {
    struct micro__cache_aside *next;
    char *id;
    int refused;    /* times in a row */
    bool out;       /* not handed out */
    uint64_t until; /* when it is tried again; 0: not by the clock */
} micro__cache_aside;

typedef struct micro__cache_name {
    /* aligned by hand, since compilers for 32 bits differ about it */
    _Alignas(8) MICRO__ATOMIC(uint64_t) word;     /* slot 0: nothing to hand out */
    _Alignas(8) MICRO__ATOMIC(uint64_t) check_at; /* when something is due: see micro__cache_due */
    _Alignas(8) MICRO__ATOMIC(uint64_t) mask;     /* no bit of it in the count: look at the clock */
    uint64_t hash;
    size_t len;
    MICRO__ATOMIC(micro__nodeset_slot *) blocks[MICRO__CACHE_BLOCKS];
    micro__nodeset_slot slots[MICRO__CACHE_BLOCK];
    /* the rest under the selector's lock */
    micro__nodeset *all; /* every node that the registry knows; NULL: none */
    micro__cache_aside *asides;
    uint64_t expires;               /* UINT64_MAX: never */
    uint64_t events;                /* seen so far */
    bool partial;                   /* known by events alone; the whole of it is being asked for */
    bool unpublished;               /* publishing failed and is to be done again */
    bool stale;                     /* the registry failed when it was asked last */
    bool queued;                    /* for being asked again */
    struct micro__cache_name *next; /* in that queue */
    char text[];                    /* len bytes and a terminator */
} micro__cache_name;

typedef struct micro__cache_table { /* open addressing, at most half full, names never leave */
    size_t mask;
    struct micro__cache_table *older; /* readers may be in it: freed with the selector */
    MICRO__ATOMIC(micro__cache_name *) at[];
} micro__cache_table;

/* One question to the registry, and what is remembered of a name it did not know. */
typedef struct micro__cache_query {
    struct micro__cache_query *next;
    size_t waiting;
    bool running;
    bool own; /* ended by the asker's own deadline or cancellation: says nothing to others */
    micro_err err;
    uint64_t until; /* err holds so long */
    uint64_t hash;
    char why[128]; /* text of err */
    char text[];   /* the name */
} micro__cache_query;

enum micro__cache_watching {
    MICRO__CACHE_UNWATCHED,
    MICRO__CACHE_STARTING,
    MICRO__CACHE_WATCHED,
    MICRO__CACHE_NO_WATCH /* the registry cannot */
};

typedef struct micro__cache {
    micro_selector base;
    micro_registry *reg;
    int ttl_ms;
    bool whole; /* not content with the first answer */
    MICRO__ATOMIC(micro__cache_table *) table;
    /* What was found last, by where the caller keeps its string: mostly the same constant, which
     * then need be compared only, neither measured nor hashed. */
    MICRO__ATOMIC(micro__cache_name *) front[MICRO__CACHE_FRONT];
    MICRO__ATOMIC(size_t) asides; /* of all names */
    /* The same by their ids' hashes: an answer of any other node needs no lock. */
    atomic_uint asides_of[MICRO__CACHE_ASIDES];
    micro__mutex lock; /* of all that follows and of the names; never held around the registry */
    micro__cond done;  /* a question has been answered */
    size_t names;
    micro__cache_query *queries;
    enum micro__cache_watching watching;
    uint64_t watch_again; /* after a failure */
    micro_watch *watch;
    micro__cache_name *due_first; /* to be asked again by the refresher */
    bool refreshing;              /* that thread runs */
    bool refreshed;               /* it has ended and wants to be joined */
    bool closing;
    micro__thread_id refresher;
    micro_ctx *refresh_ctx; /* of the question that it puts */
} micro__cache;

/* ---- cache_map.c ------------------------------------------------------------------------------*/

/* Without the lock. */
MICRO_PRIVATE micro__cache_name *micro__cache_find(micro__cache *c, micro_str name, uint64_t hash);
/* Takes the set in use, NULL: none. To be given back with micro__nodeset_drop. */
static inline micro__nodeset *micro__cache_take(micro__cache_name *n, uint64_t *word)
{
    *word = atomic_fetch_add_explicit(&n->word, 1, memory_order_acquire);
    size_t slot = (size_t)(*word >> MICRO__CACHE_SLOT_BITS);
    if (MICRO__RARE(slot == 0))
        return NULL;
    micro__nodeset_slot *block =
        atomic_load_explicit(&n->blocks[slot / MICRO__CACHE_BLOCK], memory_order_acquire);
    return atomic_load_explicit(&block[slot % MICRO__CACHE_BLOCK], memory_order_relaxed);
}

/* All these with the lock. */
MICRO_PRIVATE micro__cache_name *micro__cache_add(micro__cache *c, micro_str name, uint64_t hash);
/* Hands out what is usable of n->all from now on, and says when to look again. */
MICRO_PRIVATE void micro__cache_publish(micro__cache *c, micro__cache_name *n);
/* Nodes whose time has come are tried again. True: the whole is old and should be asked for. */
MICRO_PRIVATE bool micro__cache_due(micro__cache *c, micro__cache_name *n, uint64_t now);
/* What the registry answered (the whole of it: what is missing there goes), or announced. False:
 * out of memory, nothing has changed. */
MICRO_PRIVATE bool micro__cache_learn(micro__cache *c, micro__cache_name *n,
                                      const micro_entries *entries, bool whole);
MICRO_PRIVATE bool micro__cache_announce(micro__cache *c, micro__cache_name *n,
                                         enum micro_change what, const micro_entry *entry);
MICRO_PRIVATE void micro__cache_forget(micro__cache *c, micro__cache_name *n); /* all of it */
MICRO_PRIVATE void micro__cache_forget_all(micro__cache *c);
MICRO_PRIVATE void micro__cache_refused(micro__cache *c, micro__cache_name *n,
                                        const micro_node *node);
MICRO_PRIVATE void micro__cache_answered(micro__cache *c, micro__cache_name *n, micro_str id);
MICRO_PRIVATE void micro__cache_free_names(micro__cache *c);
/* Without the lock: false, the node is not among the asides. */
static inline bool micro__cache_maybe_aside(micro__cache *c, micro_str id)
{
    return atomic_load_explicit(&c->asides, memory_order_relaxed) != 0 &&
           atomic_load_explicit(&c->asides_of[micro__str_hash(id) % MICRO__CACHE_ASIDES],
                                memory_order_relaxed) != 0;
}

/* ---- cache_ask.c ------------------------------------------------------------------------------*/

/* With the lock, which is let go meanwhile: asks the registry about a name, or waits for one who
 * does. OK: there was something to take. Errors leave a text in ctx. */
MICRO_PRIVATE micro_err micro__cache_ask(micro__cache *c, micro_ctx *ctx, const char *name,
                                         uint64_t hash);
/* With the lock: has a name asked about by a thread of its own, or does it here and now. */
MICRO_PRIVATE void micro__cache_refresh(micro__cache *c, micro__cache_name *n);
/* Without: cancels and joins that thread. */
MICRO_PRIVATE void micro__cache_stop(micro__cache *c);
MICRO_PRIVATE void micro__cache_event(void *arg, enum micro_change what, const micro_entry *entry);
MICRO_PRIVATE void micro__cache_free_queries(micro__cache *c, uint64_t hash, const char *name);

#endif
