/* SPDX-License-Identifier: MIT */
/* The registry model that all registries share, and the hidden parts of the built-in ones. */
#ifndef MICRO_REGISTRY_H
#define MICRO_REGISTRY_H

#include "../codec/codec.h"
#include "../net/net.h"

/* True if an ops table (NULL is fine) is long enough to have the member, and it is set; size_ 0
 * means the whole table of 1.0. */
#define MICRO__OP_SET(ops, T, member) \
    ((ops) && \
     ((ops)->size_ == 0 || (ops)->size_ >= offsetof(T, member) + sizeof((ops)->member)) && \
     (ops)->member)

/* ---- registry.c: model ------------------------------------------------------------------------*/

/* Deep copies into the arena; false: out of memory. */
MICRO_PRIVATE bool micro__entry_copy(micro__arena *a, micro_entry *to, const micro_entry *from);
MICRO_PRIVATE bool micro__node_copy(micro__arena *a, micro_node *to, const micro_node *from);
MICRO_PRIVATE bool micro__desc_copy(micro__arena *a, micro_desc *to, const micro_desc *from);
/* Adds the nodes of e to the entry of the same version in list (endpoints from the first seen of a
 * version), or a new entry; a node with an id that is there replaces it. Copies. */
MICRO_PRIVATE bool micro__entries_merge(micro__arena *a, micro_entries *list, const micro_entry *e);
MICRO_PRIVATE micro_node *micro__entry_node(const micro_entry *e,
                                            micro_str id); /* NULL: not among its nodes */
/* Differ when what they are of does; the order of metadata does not count. facts: all of an entry
 * but its nodes. */
MICRO_PRIVATE uint64_t micro__facts_hash(const micro_entry *e);
MICRO_PRIVATE uint64_t micro__node_hash(const micro_node *node); /* its version is not looked at */
MICRO_PRIVATE uint64_t micro__endpoints_hash(const micro_endpoints *list);
static inline uint64_t micro__hash_mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}
MICRO_PRIVATE void
micro__entries_sort(micro_entries *list); /* by name, then version; nodes by id */
/* Why an entry cannot be registered: NULL if it can. Name, version, node ids and addresses are
 * looked at. */
MICRO_PRIVATE const char *micro__entry_problem(const micro_entry *e);
/* Registry JSON in the form of 2018 (nulls for empty, address and port apart, sorted metadata);
 * reading takes every generation's. */
MICRO_PRIVATE micro_err micro__entry_write(micro_ctx *ctx, const micro_entry *e, micro_buf *out);
MICRO_PRIVATE micro_err micro__entry_read(micro_ctx *ctx, char *text, size_t len, micro_entry *out);

/* micro_registry_get through the op `first` where the registry has one: returns as soon as a node
 * is known. */
MICRO_PRIVATE micro_err micro__registry_first(micro_registry *reg, micro_ctx *ctx, const char *name,
                                              micro_entries *out);

/* ---- notify.c: watchers of a registry ---------------------------------------------------------*/

typedef struct micro__notifier micro__notifier; /* zeroed = none; guarded by a mutex of its own */
struct micro_watch;                             /* one watcher */
MICRO_PRIVATE micro__notifier *micro__notifier_new(void);
MICRO_PRIVATE void
micro__notifier_free(micro__notifier *n); /* all watches must have been removed */
/* name NULL: every service. */
MICRO_PRIVATE micro_err micro__notify_add(micro__notifier *n, const char *name, micro_watch_fn *fn,
                                          void *arg, micro_watch **out);
/* No callback starts after it; waits for one that runs, unless called by that one. Frees the watch.
 */
MICRO_PRIVATE void micro__notify_remove(micro__notifier *n, micro_watch *w);
/* Events go in two steps: post queues a copy, and may be called under a lock of the registry's,
 * which fixes their order; run calls the watchers, one event after the other, or leaves that to the
 * thread that is at it, and must be called with no lock held. post is false when memory is out:
 * then nothing was queued. */
MICRO_PRIVATE bool micro__notify_post(micro__notifier *n, enum micro_change what,
                                      const micro_entry *entry);
MICRO_PRIVATE void micro__notify_run(micro__notifier *n);
MICRO_PRIVATE bool micro__notify_wanted(micro__notifier *n,
                                        micro_str name); /* somebody watches it */

/* ---- mdns_wire.c: DNS packets; mdns_txt.c: the TXT payload ------------------------------------*/

#endif
