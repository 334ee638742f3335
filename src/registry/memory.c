/* SPDX-License-Identifier: MIT */
/* The memory registry: one map for the whole process, shared by all registries of this kind. */
#include "registry.h"

/* One version of a service. Changed by building another one, so that its arena does not grow. */
typedef struct memory_record {
    struct memory_record *next; /* sorted by name, then version */
    micro_entry entry;
    uint64_t *deadlines; /* of each node; 0: none */
    micro__arena arena;
} memory_record;

/* Callbacks are posted under the lock and run behind it. */
static struct {
    micro__mutex lock;
    size_t users; /* registries; with the last one everything goes */
    memory_record *records;
    micro__notifier *notifier;
    uint64_t next_deadline; /* no node expires before; 0: none does */
} memory_map = { .lock = MICRO__MUTEX_INIT };

static void memory_record_free(memory_record *rec)
{
    micro__arena_free(&rec->arena);
    micro__free(rec, sizeof *rec);
}

/* ---- nodes that go ------------------------------------------------------------------------------
 */

/* Takes node i out of a record and tells; false: no memory to tell, nothing has changed. */
static bool memory_drop_node(memory_record *rec, size_t i)
{
    micro_node_list *nodes = &rec->entry.nodes;
    micro_entry gone = rec->entry;
    gone.nodes.ptr = &nodes->ptr[i];
    gone.nodes.len = 1;
    if (!micro__notify_post(memory_map.notifier, MICRO_DELETED, &gone))
        return false;
    nodes->len--;
    memmove(&nodes->ptr[i], &nodes->ptr[i + 1], (nodes->len - i) * sizeof *nodes->ptr);
    memmove(&rec->deadlines[i], &rec->deadlines[i + 1], (nodes->len - i) * sizeof(uint64_t));
    return true;
}

static void memory_sweep(void)
{
    for (memory_record **at = &memory_map.records; *at;) {
        memory_record *rec = *at;
        if (rec->entry.nodes.len) {
            at = &rec->next;
        } else {
            *at = rec->next;
            memory_record_free(rec);
        }
    }
}

static void memory_note_deadline(uint64_t deadline)
{
    if (deadline && (!memory_map.next_deadline || deadline < memory_map.next_deadline))
        memory_map.next_deadline = deadline;
}

/* There is no thread that watches the clock: every operation begins with this. A node that cannot
 * be told about for want of memory stays until the next time. */
static void memory_expire(void)
{
    uint64_t now = memory_map.next_deadline ? micro__now_ms() : 0;
    if (!memory_map.next_deadline || now < memory_map.next_deadline)
        return;
    memory_map.next_deadline = 0;
    for (memory_record *rec = memory_map.records; rec; rec = rec->next) {
        for (size_t i = rec->entry.nodes.len; i-- > 0;) {
            uint64_t deadline = rec->deadlines[i];
            if (!deadline || deadline > now || !memory_drop_node(rec, i))
                memory_note_deadline(deadline);
        }
    }
    memory_sweep();
}

static void memory_lock(void)
{
    micro__lock(&memory_map.lock);
    memory_expire();
}

static micro_err memory_unlock(micro_ctx *ctx, micro_err err)
{
    micro__unlock(&memory_map.lock);
    micro__notify_run(memory_map.notifier);
    return err ? micro__ctx_local(ctx, err, "%s", micro_strerror(err)) : MICRO_OK;
}

/* ---- put ----------------------------------------------------------------------------------------
 */

/* Where the record of a service and version is, or belongs. */
static memory_record **memory_find(micro_str name, micro_str version, bool *found)
{
    memory_record **at = &memory_map.records;
    int order = 1;
    for (; *at; at = &(*at)->next) {
        order = micro__str_cmp((*at)->entry.name, name);
        if (order == 0)
            order = micro__str_cmp((*at)->entry.version, version);
        if (order >= 0)
            break;
    }
    *found = *at && order == 0;
    return at;
}

/* Nodes of one version may disagree about its endpoints: then the first stays, unless nobody but
 * the nodes of e is left. */
static bool memory_owns(const micro_entry *e, const memory_record *rec)
{
    for (size_t i = 0; i < rec->entry.nodes.len; i++) {
        if (!micro__entry_node(e, rec->entry.nodes.ptr[i].id))
            return false;
    }
    return true;
}

/* What e changes; false: nothing, it is a refresh. */
static bool memory_changes(const memory_record *rec, const micro_entry *e, enum micro_change *what)
{
    bool changed = memory_owns(e, rec) && micro__facts_hash(e) != micro__facts_hash(&rec->entry);
    *what = MICRO_UPDATED;
    for (size_t i = 0; i < e->nodes.len; i++) {
        const micro_node *known = micro__entry_node(&rec->entry, e->nodes.ptr[i].id);
        if (!known)
            *what = MICRO_CREATED;
        changed |= !known || micro__node_hash(known) != micro__node_hash(&e->nodes.ptr[i]);
    }
    return changed;
}

/* A record with the nodes of old (NULL: none) and of e. */
static memory_record *memory_merge(const memory_record *old, const micro_entry *e)
{
    memory_record *rec = micro__alloc_zero(sizeof *rec);
    if (!rec)
        return NULL;
    micro__arena_init(&rec->arena, NULL, 0);
    micro_entry facts = old && !memory_owns(e, old) ? old->entry : *e;
    facts.nodes.len = 0;
    micro_entries list = { &rec->entry, 1, 1 };
    bool ok = micro__entry_copy(&rec->arena, &rec->entry, &facts) &&
              (!old || micro__entries_merge(&rec->arena, &list, &old->entry)) &&
              micro__entries_merge(&rec->arena, &list, e);
    if (ok)
        rec->deadlines = micro__arena_zero(&rec->arena, rec->entry.nodes.len * sizeof(uint64_t));
    if (!ok || !rec->deadlines) {
        memory_record_free(rec);
        return NULL;
    }
    if (old) /* its nodes come first, in the same order */
        memcpy(rec->deadlines, old->deadlines, old->entry.nodes.len * sizeof(uint64_t));
    return rec;
}

static void memory_set_deadline(memory_record *rec, const micro_entry *e, int ttl_ms)
{
    uint64_t deadline = ttl_ms > 0 ? micro__now_ms() + (uint64_t)ttl_ms : 0;
    for (size_t i = 0; i < rec->entry.nodes.len; i++) {
        if (micro__entry_node(e, rec->entry.nodes.ptr[i].id))
            rec->deadlines[i] = deadline;
    }
    memory_note_deadline(deadline);
}

static micro_err memory_put(micro_registry *reg, micro_ctx *ctx, const micro_entry *e, int ttl_ms)
{
    (void)reg;
    memory_lock();
    bool found;
    memory_record **at = memory_find(e->name, e->version, &found);
    memory_record *old = found ? *at : NULL;
    enum micro_change what = MICRO_CREATED;
    if (!old || memory_changes(old, e, &what)) {
        memory_record *rec = memory_merge(old, e);
        if (!rec || !micro__notify_post(memory_map.notifier, what, e)) {
            if (rec)
                memory_record_free(rec);
            return memory_unlock(ctx, MICRO_ENOMEM);
        }
        rec->next = old ? old->next : *at;
        *at = rec;
        if (old)
            memory_record_free(old);
    }
    memory_set_deadline(*at, e, ttl_ms);
    return memory_unlock(ctx, MICRO_OK);
}

/* ---- the other operations -----------------------------------------------------------------------
 */

/* By name and node id; an id that is not there is no error. */
static micro_err memory_del(micro_registry *reg, micro_ctx *ctx, const micro_entry *e)
{
    (void)reg;
    micro_err err = MICRO_OK;
    memory_lock();
    for (memory_record *rec = memory_map.records; rec; rec = rec->next) {
        if (!micro_str_eq(rec->entry.name, e->name))
            continue;
        for (size_t i = rec->entry.nodes.len; i-- > 0;) {
            if (micro__entry_node(e, rec->entry.nodes.ptr[i].id) && !memory_drop_node(rec, i))
                err = MICRO_ENOMEM;
        }
    }
    memory_sweep();
    return memory_unlock(ctx, err);
}

static micro_err memory_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                            micro_entries *out)
{
    (void)reg;
    micro_err err = MICRO_ENOTFOUND;
    memory_lock();
    for (memory_record *rec = memory_map.records; rec; rec = rec->next) {
        if (!micro__str_is(rec->entry.name, name))
            continue;
        err = micro__entries_merge(&ctx->arena, out, &rec->entry) ? MICRO_OK : MICRO_ENOMEM;
        if (err)
            break;
    }
    return memory_unlock(ctx, err);
}

static micro_err memory_list(micro_registry *reg, micro_ctx *ctx, micro_entries *out)
{
    (void)reg;
    micro_err err = MICRO_OK;
    memory_lock();
    for (memory_record *rec = memory_map.records; rec && !err; rec = rec->next) {
        if (out->len && micro_str_eq(out->ptr[out->len - 1].name, rec->entry.name))
            continue;
        micro_entry name = { .name = rec->entry.name };
        err = micro__entries_merge(&ctx->arena, out, &name) ? MICRO_OK : MICRO_ENOMEM;
    }
    return memory_unlock(ctx, err);
}

static micro_err memory_watch(micro_registry *reg, const char *name, micro_watch_fn *fn, void *arg,
                              micro_watch **out)
{
    (void)reg;
    return micro__notify_add(memory_map.notifier, name, fn, arg, out);
}

static void memory_unwatch(micro_registry *reg, micro_watch *watch)
{
    (void)reg;
    micro__notify_remove(memory_map.notifier, watch);
}

static void memory_free(micro_registry *reg)
{
    micro__lock(&memory_map.lock);
    if (--memory_map.users == 0) {
        for (memory_record *rec; (rec = memory_map.records);) {
            memory_map.records = rec->next;
            memory_record_free(rec);
        }
        micro__notifier_free(memory_map.notifier);
        memory_map.notifier = NULL;
        memory_map.next_deadline = 0;
    }
    micro__unlock(&memory_map.lock);
    micro__free(reg, sizeof *reg);
}

static const micro_registry_ops memory_registry_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "memory",
    .put = memory_put,
    .del = memory_del,
    .get = memory_get,
    .list = memory_list,
    .watch = memory_watch,
    .unwatch = memory_unwatch,
    .free = memory_free,
};

MICRO_API micro_registry *micro_registry_memory_new(void)
{
    micro_registry *reg = micro__alloc_zero(sizeof *reg);
    if (!reg)
        return NULL;
    reg->ops = &memory_registry_ops;
    micro__lock(&memory_map.lock);
    if (!memory_map.notifier)
        memory_map.notifier = micro__notifier_new();
    bool ok = memory_map.notifier != NULL;
    if (ok)
        memory_map.users++;
    micro__unlock(&memory_map.lock);
    if (ok)
        return reg;
    micro__free(reg, sizeof *reg);
    return NULL;
}
