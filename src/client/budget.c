/* SPDX-License-Identifier: MIT */
/* Retry budgets: when a whole service fails, trying everything three times makes it worse. */
#include "client.h"

#define BUDGET_RESERVE (100 * 100) /* what may be spent ahead: a hundred attempts */
#define BUDGET_ALLOWED_MS 1000u
#define BUDGET_PROBES 8

/* claim: takes a place for the service if it has none; else NULL then. */
static micro__budget *budget_of(micro__budgets *b, const char *service, bool claim)
{
    uint64_t hash = micro__str_hash(micro_s(service)) | 1;
    micro__budget *at = NULL;
    for (uint64_t i = 0; i < BUDGET_PROBES; i++) {
        at = &b->of[(hash + i) % MICRO__BUDGET_SERVICES];
        uint64_t owner = atomic_load_explicit(&at->service, memory_order_relaxed);
        if (owner == 0 && claim &&
            atomic_compare_exchange_strong_explicit(&at->service, &owner, hash,
                                                    memory_order_relaxed, memory_order_relaxed))
            return at;
        if (owner == hash)
            return at;
        if (owner == 0)
            return NULL;
    }
    return at;
}

MICRO_PRIVATE void micro__budget_earn(micro__budgets *b, const char *service, int percent)
{
    if (!atomic_load_explicit(&b->used, memory_order_relaxed) || percent < 0)
        return;
    micro__budget *at = budget_of(b, service, false);
    if (at && atomic_load_explicit(&at->spent, memory_order_relaxed) >= percent)
        atomic_fetch_sub_explicit(&at->spent, percent, memory_order_relaxed);
}

/* One a second, so that who calls seldom is not left without. */
static bool budget_allowed(micro__budget *at)
{
    uint64_t now = micro__now_ms(), next = atomic_load_explicit(&at->next, memory_order_relaxed);
    return next <= now &&
           atomic_compare_exchange_strong_explicit(&at->next, &next, now + BUDGET_ALLOWED_MS,
                                                   memory_order_relaxed, memory_order_relaxed);
}

MICRO_PRIVATE bool micro__budget_take(micro__budgets *b, const char *service, int percent)
{
    if (percent < 0)
        return true;
    micro__budget *at = budget_of(b, service, true);
    atomic_store_explicit(&b->used, true, memory_order_relaxed);
    int spent = atomic_load_explicit(&at->spent, memory_order_relaxed);
    while (spent + 100 <= BUDGET_RESERVE) {
        if (atomic_compare_exchange_weak_explicit(&at->spent, &spent, spent + 100,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return budget_allowed(at);
}
