/* SPDX-License-Identifier: MIT */
/* Atomic operations: those of C11, or, where there is one thread only, plain ones of the same
 * names. Only what the library uses; an operand may be evaluated more than once. */
#ifndef MICRO_ATOMIC_H
#define MICRO_ATOMIC_H

#include "config.h"

#if !MICRO_OMIT_THREADS

#include <stdatomic.h>

#define MICRO__ATOMIC(T) _Atomic(T)
#define MICRO__THREAD_LOCAL _Thread_local

#else

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MICRO__ATOMIC(T) T
#define MICRO__THREAD_LOCAL

typedef bool atomic_bool;
typedef int atomic_int;
typedef unsigned atomic_uint;
typedef long atomic_long;
typedef long long atomic_llong;
typedef bool atomic_flag;
#define ATOMIC_FLAG_INIT false

/* What C11 does for any type: for each of those that are used. */
#define ATOMIC_PLAIN(name, T) \
    static inline T micro__plain_swap_##name(volatile void *at, T v) \
    { \
        T before = *(volatile T *)at; \
        *(volatile T *)at = v; \
        return before; \
    } \
    static inline T micro__plain_add_##name(volatile void *at, T v) \
    { \
        return micro__plain_swap_##name(at, *(volatile T *)at + v); \
    } \
    static inline T micro__plain_sub_##name(volatile void *at, T v) \
    { \
        return micro__plain_swap_##name(at, *(volatile T *)at - v); \
    } \
    static inline T micro__plain_and_##name(volatile void *at, T v) \
    { \
        return micro__plain_swap_##name(at, *(volatile T *)at & v); \
    }
ATOMIC_PLAIN(int, int)
ATOMIC_PLAIN(uint, unsigned)
ATOMIC_PLAIN(long, long)
ATOMIC_PLAIN(ulong, unsigned long)
ATOMIC_PLAIN(llong, long long)
ATOMIC_PLAIN(ullong, unsigned long long)
static inline bool micro__plain_swap_bool(volatile void *at, bool v)
{
    bool before = *(volatile bool *)at;
    *(volatile bool *)at = v;
    return before;
}
static inline void *micro__plain_swap_ptr(void *at, void *v)
{
    void *before;
    memcpy(&before, at, sizeof before);
    memcpy(at, &v, sizeof v);
    return before;
}
#undef ATOMIC_PLAIN
#define MICRO__PLAIN_OF(what) \
    int: what##int, \
    unsigned: what##uint, \
    long: what##long, \
    unsigned long: what##ulong, \
    long long: what##llong, \
    unsigned long long: what##ullong

#define atomic_init(at, v) ((void)(*(at) = (v)))
#define atomic_load(at) (*(at))
#define atomic_load_explicit(at, order) (*(at))
#define atomic_store(at, v) ((void)(*(at) = (v)))
#define atomic_store_explicit(at, v, order) ((void)(*(at) = (v)))
#define atomic_fetch_add(at, n) _Generic(*(at), MICRO__PLAIN_OF(micro__plain_add_))(at, n)
#define atomic_fetch_add_explicit(at, n, order) atomic_fetch_add(at, n)
#define atomic_fetch_sub(at, n) _Generic(*(at), MICRO__PLAIN_OF(micro__plain_sub_))(at, n)
#define atomic_fetch_sub_explicit(at, n, order) atomic_fetch_sub(at, n)
#define atomic_fetch_and(at, n) _Generic(*(at), MICRO__PLAIN_OF(micro__plain_and_))(at, n)
#define atomic_exchange(at, v) \
    _Generic(*(at), \
        MICRO__PLAIN_OF(micro__plain_swap_), \
        bool: micro__plain_swap_bool, \
        default: micro__plain_swap_ptr)(at, v)
#define atomic_exchange_explicit(at, v, order) atomic_exchange(at, v)
#define atomic_compare_exchange_strong_explicit(at, seen, v, done, failed) \
    (*(at) == *(seen) ? (*(at) = (v), true) : (*(seen) = *(at), false))
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong(at, seen, v) \
    atomic_compare_exchange_strong_explicit(at, seen, v, , )
#define atomic_compare_exchange_weak(at, seen, v) \
    atomic_compare_exchange_strong_explicit(at, seen, v, , )
#define atomic_flag_test_and_set(at) micro__plain_swap_bool(at, true)
#define atomic_flag_test_and_set_explicit(at, order) micro__plain_swap_bool(at, true)
#define atomic_flag_clear(at) ((void)(*(at) = false))
#define atomic_flag_clear_explicit(at, order) atomic_flag_clear(at)

#endif

#endif
