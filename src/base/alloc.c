/* SPDX-License-Identifier: MIT */
/* The allocator hook, its default (malloc), and an allocator inside one array of the user's. */
#include "atomic.h"
#include "base.h"

#include <stdlib.h>

/* ---- hook ------------------------------------------------------------------------------------ */

static void *alloc_default(void *arg, void *old, size_t old_size, size_t new_size)
{
    (void)arg;
    (void)old_size;
    if (new_size)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static struct {
    micro_realloc_fn *fn;
    void *arg;
} alloc_hook = { alloc_default, NULL };

MICRO_API void micro_allocator_set(micro_realloc_fn *fn, void *arg)
{
    alloc_hook.fn = fn ? fn : alloc_default;
    alloc_hook.arg = arg;
}

MICRO_PRIVATE void *micro__realloc(void *old, size_t old_size, size_t new_size)
{
    if (!old && !new_size)
        return NULL;
    return alloc_hook.fn(alloc_hook.arg, old, old_size, new_size);
}

/* 0 bytes are 1 here, because a size of 0 means free to the hook and NULL means failure to us. */
MICRO_PRIVATE void *micro__alloc(size_t size)
{
    return micro__realloc(NULL, 0, size ? size : 1);
}

MICRO_PRIVATE void *micro__alloc_zero(size_t size)
{
    void *p = micro__alloc(size);

    return p ? memset(p, 0, size) : NULL;
}

MICRO_PRIVATE void micro__free(void *old, size_t size)
{
    if (old)
        micro__realloc(old, size ? size : 1, 0);
}

MICRO_PRIVATE char *micro__strdup(const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *copy = text ? (char *)micro__alloc(size) : NULL;

    return copy ? (char *)memcpy(copy, text, size) : NULL;
}

MICRO_PRIVATE void micro__strfree(char *text)
{
    if (text)
        micro__free(text, strlen(text) + 1);
}

/* ---- pool --------------------------------------------------------------------------------------
 * Blocks lie side by side, each behind a head that knows its own size and that of the block before,
 * so that neighbours are found and merged at once. Free blocks are in a list; the first that fits
 * is taken. The last head in the array is a stopper of size 0. */

typedef struct pool_head {
    size_t size;   /* of the block with its head; lowest bit: in use */
    size_t before; /* size of the block before, 0 for the first */
} pool_head;

typedef struct pool_free {
    pool_head head;
    struct pool_free *next, *prev;
} pool_free;

#define POOL_UNIT sizeof(pool_head)
#define POOL_LEAST sizeof(pool_free)
#define POOL_USED ((size_t)1)

static struct {
    atomic_flag lock;
    pool_free *free;
    size_t used, peak; /* with heads */
} pool_state = { ATOMIC_FLAG_INIT, NULL, 0, 0 };

static void pool_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&pool_state.lock, memory_order_acquire))
        ;
}

static void pool_unlock(void)
{
    atomic_flag_clear_explicit(&pool_state.lock, memory_order_release);
}

static pool_head *pool_after(pool_head *b)
{
    return (pool_head *)(void *)((char *)b + (b->size & ~POOL_USED));
}

static void pool_link(pool_head *b)
{
    pool_free *f = (pool_free *)(void *)b;

    f->prev = NULL;
    f->next = pool_state.free;
    if (f->next)
        f->next->prev = f;
    pool_state.free = f;
}

static void pool_unlink(pool_head *b)
{
    pool_free *f = (pool_free *)(void *)b;

    if (f->next)
        f->next->prev = f->prev;
    if (f->prev)
        f->prev->next = f->next;
    else
        pool_state.free = f->next;
}

static void pool_count(size_t more, size_t less)
{
    pool_state.used += more - less;
    if (pool_state.used > pool_state.peak)
        pool_state.peak = pool_state.used;
}

/* Gives a block the size `need`, in use, and makes what is left over a free block if it can be. */
static void pool_split(pool_head *b, size_t whole, size_t need)
{
    size_t rest = whole - need;

    if (rest < POOL_LEAST) {
        need = whole;
        rest = 0;
    }
    b->size = need | POOL_USED;
    pool_head *after = pool_after(b);
    if (rest) {
        after->size = rest;
        after->before = need;
        pool_link(after);
        pool_after(after)->before = rest;
    } else {
        after->before = need;
    }
}

static void pool_release(pool_head *b)
{
    size_t size = b->size & ~POOL_USED;
    pool_head *after = pool_after(b);
    pool_head *before = (pool_head *)(void *)((char *)b - b->before);

    pool_count(0, size);
    if (!(after->size & POOL_USED)) {
        pool_unlink(after);
        size += after->size;
    }
    if (b->before && !(before->size & POOL_USED)) {
        pool_unlink(before);
        size += before->size;
        b = before;
    }
    b->size = size;
    pool_after(b)->before = size;
    pool_link(b);
}

static void *pool_take(size_t need)
{
    pool_free *f = pool_state.free;

    while (f && f->head.size < need)
        f = f->next;
    if (!f)
        return NULL;
    pool_unlink(&f->head);
    pool_split(&f->head, f->head.size, need);
    pool_count(f->head.size & ~POOL_USED, 0);
    return &f->head + 1;
}

/* Shrinks or grows a block where it is. */
static bool pool_resize(pool_head *b, size_t need)
{
    size_t size = b->size & ~POOL_USED;
    pool_head *after = pool_after(b);
    size_t whole = size + (after->size & POOL_USED ? 0 : after->size);

    if (whole < need)
        return false;
    if (whole > size)
        pool_unlink(after);
    pool_split(b, whole, need);
    pool_count(b->size & ~POOL_USED, size);
    return true;
}

/* The size of a block for that many bytes; 0: too many. */
static size_t pool_need(size_t size)
{
    if (size > SIZE_MAX / 2)
        return 0;
    size_t need = (size + POOL_UNIT + POOL_UNIT - 1) / POOL_UNIT * POOL_UNIT;
    return need < POOL_LEAST ? POOL_LEAST : need;
}

static void *pool_realloc(void *arg, void *old, size_t old_size, size_t new_size)
{
    pool_head *b = old ? (pool_head *)old - 1 : NULL;
    size_t need = pool_need(new_size);
    void *result = NULL;

    (void)arg;
    pool_lock();
    if (!new_size) {
        pool_release(b);
    } else if (need && b && pool_resize(b, need)) {
        result = old;
    } else if (need) {
        result = pool_take(need);
        if (result && b) {
            memcpy(result, old, old_size < new_size ? old_size : new_size);
            pool_release(b);
        }
    }
    pool_unlock();
    return result;
}

MICRO_API void micro_pool_use(void *memory, size_t size)
{
    size_t skip = memory ? (size_t)(-(uintptr_t)memory % POOL_UNIT) : 0;
    size_t whole = memory && size > skip ? (size - skip) / POOL_UNIT * POOL_UNIT : 0;

    pool_state.free = NULL;
    pool_state.used = pool_state.peak = 0;
    if (whole >= POOL_LEAST + POOL_UNIT) {
        pool_head *first = (pool_head *)(void *)((char *)memory + skip);
        first->size = whole - POOL_UNIT;
        first->before = 0;
        pool_after(first)->size = POOL_USED;
        pool_after(first)->before = first->size;
        pool_link(first);
    }
    micro_allocator_set(pool_realloc, NULL);
}

MICRO_API size_t micro_pool_peak(void)
{
    pool_lock();
    size_t peak = pool_state.peak;
    pool_unlock();
    return peak;
}
