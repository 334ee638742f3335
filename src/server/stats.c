/* SPDX-License-Identifier: MIT */
/* Counters and latencies of an endpoint. Each thread adds to one of a few copies, so that threads
 * seldom meet in a cache line; whoever reads adds the copies up. */
#include "server.h"

#define STATS_SHARDS (MICRO_OMIT_THREADS ? 1 : 4) /* a power of two */

typedef MICRO__ATOMIC(uint64_t) stats_count;

/* What is written often stands in front, and the bucket of those that took minutes at the end:
 * shards need no padding between them. */
typedef struct stats_shard {
    _Alignas(8) stats_count begun;
    stats_count time_ns;
    stats_count errors[MICRO__DONE_COUNT]; /* by outcome; none for MICRO__DONE_OK */
    stats_count buckets[MICRO__STATS_BUCKETS];
} stats_shard;

struct micro__stats {
    MICRO__ATOMIC(stats_shard *) shards[STATS_SHARDS]; /* NULL: no thread has come to it yet */
    stats_shard first;
};

MICRO_PRIVATE micro__stats *micro__stats_new(void)
{
    micro__stats *s = micro__alloc_zero(sizeof *s);

    if (s)
        atomic_init(&s->shards[0], &s->first);
    return s;
}

MICRO_PRIVATE void micro__stats_free(micro__stats *s)
{
    for (size_t i = 1; s && i < STATS_SHARDS; i++)
        micro__free(atomic_load(&s->shards[i]), sizeof(stats_shard));
    micro__free(s, sizeof *s);
}

/* Without memory for it the first shard does. */
static stats_shard *stats_shard_new(micro__stats *s, size_t i)
{
    stats_shard *made = micro__alloc_zero(sizeof *made), *there = NULL;

    if (!made)
        return &s->first;
    if (atomic_compare_exchange_strong(&s->shards[i], &there, made))
        return made;
    micro__free(made, sizeof *made); /* another thread was quicker */
    return there;
}

static stats_shard *stats_shard_of(micro__stats *s, const micro_ctx *ctx)
{
    uint64_t spread = (uint64_t)(uintptr_t)ctx * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (spread >> 32) & (STATS_SHARDS - 1);
    stats_shard *shard = atomic_load_explicit(&s->shards[i], memory_order_acquire);

    return MICRO__RARE(!shard) ? stats_shard_new(s, i) : shard;
}

static void stats_add(stats_count *at, uint64_t n)
{
    atomic_fetch_add_explicit(at, n, memory_order_relaxed);
}

/* Of a time in microseconds: its highest bit, and the two below. */
static size_t stats_bucket(uint64_t us)
{
    unsigned octave = 0;

    if (us < 4)
        return (size_t)us;
    if (us >> MICRO__STATS_OCTAVES)
        return MICRO__STATS_BUCKETS - 1;
    while (us >> (octave + 1))
        octave++;
    return (octave - 1) * 4 + (size_t)(us >> (octave - 2) & 3);
}

/* The least time that the bucket counts, in us. */
static uint64_t stats_floor(size_t bucket)
{
    return bucket < 4 ? bucket : (uint64_t)(4 + bucket % 4) << (bucket / 4 - 1);
}

MICRO_PRIVATE uint64_t micro__stats_begin(micro__stats *s, const micro_ctx *ctx)
{
    if (!s)
        return 0;
    stats_add(&stats_shard_of(s, ctx)->begun, 1);
    return ctx && ctx->since ? ctx->since : micro__now_ns();
}

MICRO_PRIVATE uint64_t micro__stats_end(micro__stats *s, const micro_ctx *ctx, uint64_t begun,
                                        micro__outcome outcome)
{
    if (!s)
        return 0;
    stats_shard *shard = stats_shard_of(s, ctx);
    uint64_t now = micro__now_ns(), ns = now - begun;
    stats_add(&shard->time_ns, ns);
    if (outcome != MICRO__DONE_OK)
        stats_add(&shard->errors[outcome], 1);
    stats_add(&shard->buckets[stats_bucket(ns / 1000)], 1);
    return now;
}

static uint64_t stats_get(stats_count *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

MICRO_PRIVATE void micro__stats_read(micro__stats *s, micro__stats_sum *out)
{
    uint64_t begun = 0, errors = 0;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; s && i < STATS_SHARDS; i++) {
        stats_shard *shard = atomic_load_explicit(&s->shards[i], memory_order_acquire);
        if (!shard)
            continue;
        out->time_ns += stats_get(&shard->time_ns);
        for (size_t k = MICRO__DONE_OK + 1; k < MICRO__DONE_COUNT; k++)
            out->outcomes[k] += stats_get(&shard->errors[k]);
        for (size_t k = 0; k < MICRO__STATS_BUCKETS; k++) {
            out->buckets[k] += stats_get(&shard->buckets[k]);
            out->requests += stats_get(&shard->buckets[k]);
        }
        begun += stats_get(&shard->begun);
    }
    for (size_t k = MICRO__DONE_OK + 1; k < MICRO__DONE_COUNT; k++)
        errors += out->outcomes[k];
    out->outcomes[MICRO__DONE_OK] = out->requests > errors ? out->requests - errors : 0;
    out->running = begun > out->requests ? begun - out->requests : 0;
}

MICRO_PRIVATE micro__outcome micro__outcome_of(micro_err err)
{
    if (err == MICRO_OK)
        return MICRO__DONE_OK;
    if (err / 100 == 4 || err == MICRO_EFORMAT || err == MICRO_ECODEC)
        return MICRO__DONE_CLIENT_ERROR;
    if (err / 100 == 5 || (err < 0 && err != MICRO_EPLAIN && err != MICRO_EREMOTE))
        return MICRO__DONE_SERVER_ERROR;
    return MICRO__DONE_OTHER_ERROR;
}

MICRO_PRIVATE void micro__server_counted(const micro__server *s, micro__counted_fn *fn, void *arg)
{
    micro__stats_sum sum;

    for (size_t i = 0; i < s->nroutes; i++) {
        if (!s->routes[i].stats)
            continue;
        micro__stats_read(s->routes[i].stats, &sum);
        fn(arg, s->routes[i].method->name, &sum);
    }
    for (const micro__subscriber *e = s->subscribers; e; e = e->next) {
        if (!e->first)
            continue;
        micro__stats_read(e->stats, &sum);
        fn(arg, e->topic, &sum);
    }
}

/* In the bucket that the rank falls into, evenly between its bounds. */
MICRO_PRIVATE uint64_t micro__stats_quantile(const micro__stats_sum *sum, unsigned per_mille)
{
    double rank = (double)sum->requests * per_mille / 1000, before = 0;

    for (size_t i = 0; i < MICRO__STATS_BUCKETS; i++) {
        double here = (double)sum->buckets[i];
        uint64_t low = stats_floor(i) * 1000, high = stats_floor(i + 1) * 1000;
        if (here > 0 && before + here >= rank)
            return low + (uint64_t)((double)(high - low) * (rank - before) / here);
        before += here;
    }
    return 0;
}
