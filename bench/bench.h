/* SPDX-License-Identifier: MIT */
/* What the load programs have in common: clocks, a histogram of latencies, the CPU that they and
 * the servers under load used meanwhile, and one line of JSON at the end. C and C++, Linux only. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BENCH_SERVERS = 8, BENCH_SUB = 128, BENCH_BUCKETS = 64 * BENCH_SUB };

static uint64_t bench_hist[BENCH_BUCKETS], bench_count, bench_longest;
static clockid_t bench_server[BENCH_SERVERS];
static int bench_nservers;
static uint64_t bench_from[3], bench_to[3]; /* wall, own CPU, servers' CPU */

static inline uint64_t bench_clock(clockid_t id)
{
    struct timespec t = { 0, 0 };

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t bench_now(void)
{
    return bench_clock(CLOCK_MONOTONIC);
}

/* "123,456": the processes whose CPU counts as the servers'. A process's clock has nanoseconds and
 * holds what its ended threads used. */
static inline void bench_servers(const char *pids)
{
    for (char *end; pids && *pids && bench_nservers < BENCH_SERVERS; pids = end + (*end == ',')) {
        long pid = strtol(pids, &end, 10);
        if (end == pids || clock_getcpuclockid((pid_t)pid, &bench_server[bench_nservers])) {
            fprintf(stderr, "no process %s\n", pids);
            exit(1);
        }
        bench_nservers++;
    }
}

/* What load programs are told alike; defaults are the program's. */
typedef struct bench_options {
    int conns, window;       /* -c, -w */
    double warm_up, seconds; /* -u, -d */
} bench_options;

/* Takes option o, also -s, the servers. False: it is none of these. */
static inline bool bench_option(bench_options *b, int o, const char *value)
{
    switch (o) {
    case 'c':
        b->conns = atoi(value);
        return true;
    case 'w':
        b->window = atoi(value);
        return true;
    case 'u':
        b->warm_up = atof(value);
        return true;
    case 'd':
        b->seconds = atof(value);
        return true;
    case 's':
        bench_servers(value);
        return true;
    default:
        return false;
    }
}

static inline void bench_clocks(uint64_t *at)
{
    at[2] = 0;
    for (int i = 0; i < bench_nservers; i++)
        at[2] += bench_clock(bench_server[i]);
    at[1] = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    at[0] = bench_now();
}

/* What came before does not count. */
static inline void bench_begin(void)
{
    for (int i = 0; i < BENCH_BUCKETS; i++)
        bench_hist[i] = 0;
    bench_count = bench_longest = 0;
    bench_clocks(bench_from);
}

static inline void bench_end(void)
{
    bench_clocks(bench_to);
}

/* Buckets grow with the value: the error stays below 1 %. */
static inline void bench_add(uint64_t ns)
{
    int e = ns < BENCH_SUB ? 0 : 63 - __builtin_clzll(ns) - 6;

    bench_hist[e * BENCH_SUB + (int)(e ? ns >> e : ns)]++;
    bench_count++;
    if (ns > bench_longest)
        bench_longest = ns;
}

static inline double bench_quantile(double q)
{
    uint64_t want = (uint64_t)(q * (double)bench_count), seen = 0;

    for (int i = 0; i < BENCH_BUCKETS; i++) {
        seen += bench_hist[i];
        if (seen > want)
            return (double)((uint64_t)(i % BENCH_SUB) << (i / BENCH_SUB)) / 1e3;
    }
    return (double)bench_longest / 1e3;
}

/* Times in microseconds; CPU for each call. */
static inline void bench_print(uint64_t calls, uint64_t errors)
{
    double n = calls ? (double)calls : 1;

    printf("{\"calls\": %llu, \"errors\": %llu, \"secs\": %.4f, \"p50\": %.1f, \"p99\": %.1f, "
           "\"p999\": %.1f, \"max\": %.1f, \"client_us\": %.4f, \"server_us\": %.4f}\n",
           (unsigned long long)calls, (unsigned long long)errors,
           (double)(bench_to[0] - bench_from[0]) / 1e9, bench_quantile(.5), bench_quantile(.99),
           bench_quantile(.999), (double)bench_longest / 1e3,
           (double)(bench_to[1] - bench_from[1]) / 1e3 / n,
           (double)(bench_to[2] - bench_from[2]) / 1e3 / n);
    fflush(stdout);
}

#endif
