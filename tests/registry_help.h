/* SPDX-License-Identifier: MIT */
/* Short ways to make, register and show entries, and a clock that tests move. */
#ifndef REGISTRY_HELP_H
#define REGISTRY_HELP_H

#include "failing.h"
#include "harness.h"
#include "net/net.h"
#include "registry/registry.h"

#include <pthread.h>

static inline micro_node regtest_node(const char *id, const char *address)
{
    micro_node n = { .id = micro_s(id), .address = micro_s(address) };
    return n;
}

/* An entry with one node; node must live as long. */
static inline micro_entry regtest_entry(const char *name, const char *version, micro_node *node)
{
    micro_entry e = { .name = micro_s(name), .version = micro_s(version) };
    e.nodes.ptr = node;
    e.nodes.len = node != NULL;
    return e;
}

static inline micro_err regtest_put(micro_registry *reg, micro_ctx *ctx, const char *name,
                                    const char *version, const char *id, const char *address,
                                    int ttl_ms)
{
    micro_node node = regtest_node(id, address);
    micro_entry e = regtest_entry(name, version, &node);
    return micro_registry_put(reg, ctx, &e, ttl_ms);
}

static inline micro_err regtest_del(micro_registry *reg, micro_ctx *ctx, const char *name,
                                    const char *id)
{
    micro_node node = regtest_node(id, "");
    micro_entry e = regtest_entry(name, "", &node);
    return micro_registry_del(reg, ctx, &e);
}

/* "name/version: id@address id@address; name/version: ..." */
static const char *regtest_show(micro_ctx *ctx, const micro_entries *list)
{
    micro_str text = micro_s("");
    for (size_t i = 0; i < list->len; i++) {
        const micro_entry *e = &list->ptr[i];
        text =
            micro_format(ctx, "%s%s%s/%s:", text.ptr, i ? "; " : "", e->name.ptr, e->version.ptr);
        for (size_t k = 0; k < e->nodes.len; k++)
            text = micro_format(ctx, "%s %s@%s", text.ptr, e->nodes.ptr[k].id.ptr,
                                e->nodes.ptr[k].address.ptr);
    }
    return text.ptr;
}

/* A clock that tests move. */
static _Atomic long regtest_skew_ms;

static inline int regtest_clock(clockid_t clock, struct timespec *out)
{
    int rc = clock_gettime(clock, out);
    out->tv_sec += atomic_load(&regtest_skew_ms) / 1000;
    return rc;
}

static inline void regtest_no_event(void *arg, enum micro_change what, const micro_entry *entry)
{
    (void)arg, (void)what, (void)entry;
}

#endif
