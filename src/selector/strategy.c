/* SPDX-License-Identifier: MIT */
/* The two strategies. Both are constant: what they go by comes with the pick. */
#include "selector.h"

/* A further attempt goes to another node if there is one: the last has just failed. */
static size_t strategy_random(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    uint64_t bits = from->random >> 32; /* scaling by multiplication keeps even what modulo skews */
    size_t n = from->nodes->len;
    if (from->last >= n || n < 2)
        return (size_t)(bits * n >> 32);
    size_t i = (size_t)(bits * (n - 1) >> 32);
    return i < from->last ? i : i + 1;
}

static size_t strategy_round_robin(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    size_t n = from->nodes->len;
    if (from->attempt > 1 && from->last < n)
        return (from->last + 1) % n;
    return (size_t)(from->turn % n);
}

MICRO_API_DATA_ const micro_strategy micro_strategy_random = { sizeof(micro_strategy), "random",
                                                               strategy_random };
MICRO_API_DATA_ const micro_strategy micro_strategy_round_robin = { sizeof(micro_strategy),
                                                                    "roundrobin",
                                                                    strategy_round_robin };
