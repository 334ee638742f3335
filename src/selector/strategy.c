/* SPDX-License-Identifier: MIT */
/* The strategies. All are constant: what they go by comes with the pick. A further attempt goes to
 * another node if there is one, since the last has just failed. */
#include "selector.h"

/* Scaling by multiplication keeps even what modulo skews. */
static size_t strategy_below(uint64_t bits32, size_t n)
{
    return (size_t)(bits32 * n >> 32);
}

/* Any of n places but one; other >= n: any. */
static size_t strategy_but(uint64_t bits32, size_t n, size_t other)
{
    if (other >= n || n < 2)
        return strategy_below(bits32, n);
    size_t i = strategy_below(bits32, n - 1);
    return i < other ? i : i + 1;
}

static size_t strategy_random(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    return strategy_but(from->random >> 32, from->nodes->len, from->last);
}

static size_t strategy_round_robin(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    size_t n = from->nodes->len;
    if (from->attempt > 1 && from->last < n)
        return (from->last + 1) % n;
    return (size_t)(from->turn % n);
}

/* ---- by calls in progress ---------------------------------------------------------------------*/

MICRO_API uint32_t micro_pick_running(const micro_pick *from, size_t index)
{
    micro__health *const *health = from ? from->lib_ : NULL;
    if (!health || index >= from->nodes->len)
        return 0;
    return atomic_load_explicit(&health[index]->running, memory_order_relaxed);
}

/* Among equals each has the same chance: the second takes the place of the first with 1/2, the
 * third of either with 1/3, and so on. */
static size_t strategy_least_calls(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    size_t n = from->nodes->len, best = SIZE_MAX, equals = 0;
    uint32_t least = UINT32_MAX;
    uint64_t dice = from->random;
    for (size_t i = 0; i < n; i++) {
        uint32_t calls = micro_pick_running(from, i);
        if ((i == from->last && n > 1) || (calls > least && best != SIZE_MAX))
            continue;
        equals = calls < least || best == SIZE_MAX ? 1 : equals + 1;
        least = calls;
        dice = micro__hash_mix(dice, i + 1);
        if (strategy_below(dice >> 32, equals) == 0)
            best = i;
    }
    return best;
}

static size_t strategy_two_choices(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    size_t n = from->nodes->len;
    size_t a = strategy_but(from->random >> 32, n, from->last);
    size_t b = strategy_but(from->random & UINT32_MAX, n, a);
    if (b == from->last)
        return a;
    return micro_pick_running(from, b) < micro_pick_running(from, a) ? b : a;
}

/* ---- by key -----------------------------------------------------------------------------------*/

/* FNV-1a. */
MICRO_PRIVATE uint64_t micro__rendezvous_hash(micro_str text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (uint8_t)text.ptr[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* The finalizer of MurmurHash3: whatever bit changes, each bit of the result may. */
static uint64_t strategy_spread(uint64_t h)
{
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

/* How much the key is drawn to a node. */
static uint64_t strategy_weight(const micro_pick *from, uint64_t key, size_t i)
{
    micro__health *const *health = from->lib_;
    const micro_node *node = from->nodes->ptr[i];
    uint64_t id = health ? health[i]->id_hash : micro__rendezvous_hash(node->id);
    return strategy_spread(key ^ strategy_spread(id));
}

/* Rendezvous: the node with the highest weight; when that has failed the next in rank. A node that
 * comes takes its share from all, one that goes leaves its own to all; no other key moves. */
static size_t strategy_hash(const micro_strategy *self, const micro_pick *from)
{
    if (!from->key)
        return strategy_random(self, from);
    size_t n = from->nodes->len, best = SIZE_MAX, first = 0;
    uint64_t key = micro__rendezvous_hash(micro_s(from->key)), most = 0, top = 0;
    uint64_t below = from->last < n ? strategy_weight(from, key, from->last) : UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t weight = strategy_weight(from, key, i);
        if (weight > top || i == 0) {
            top = weight;
            first = i;
        }
        if (weight < below && (weight > most || best == SIZE_MAX)) {
            most = weight;
            best = i;
        }
    }
    return best == SIZE_MAX ? first : best;
}

MICRO_API_DATA_ const micro_strategy micro_strategy_random = { sizeof(micro_strategy), "random",
                                                               strategy_random };
MICRO_API_DATA_ const micro_strategy micro_strategy_round_robin = { sizeof(micro_strategy),
                                                                    "roundrobin",
                                                                    strategy_round_robin };
MICRO_API_DATA_ const micro_strategy micro_strategy_least_calls = { sizeof(micro_strategy),
                                                                    "least_calls",
                                                                    strategy_least_calls };
MICRO_API_DATA_ const micro_strategy micro_strategy_two_choices = { sizeof(micro_strategy),
                                                                    "two_choices",
                                                                    strategy_two_choices };
MICRO_API_DATA_ const micro_strategy micro_strategy_hash = { sizeof(micro_strategy), "hash",
                                                             strategy_hash };
