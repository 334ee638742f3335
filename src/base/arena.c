/* SPDX-License-Identifier: MIT */
/* Arenas: chunks in a chain, memory taken from the newest, freed from the newest back to a mark. */
#include "base.h"

#define ARENA_ALIGN ((size_t)16)
#define ARENA_HEAD ((sizeof(micro__chunk) + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1))
#define ARENA_LENT ((size_t)1)
#define ARENA_CHUNK_MAX ((size_t)MICRO_ARENA_CHUNK * 16)

/* Makes c the newest chunk; size may have the mark of a lent one. */
static void arena_push(micro__arena *a, micro__chunk *c, size_t size)
{
    c->prev = a->chunk;
    c->size = size;
    a->chunk = c;
    a->pos = (char *)c + ARENA_HEAD;
    a->pos += -(uintptr_t)a->pos % ARENA_ALIGN; /* an allocator may align to less */
    a->end = (char *)c + (size & ~ARENA_LENT);
}

MICRO_PRIVATE void micro__arena_init(micro__arena *a, void *lent, size_t size)
{
    size_t skip = -(uintptr_t)lent % ARENA_ALIGN;

    memset(a, 0, sizeof *a);
    if (lent && size >= skip + ARENA_HEAD)
        arena_push(a, (micro__chunk *)(void *)((char *)lent + skip), (size - skip) | ARENA_LENT);
}

/* Chunks double, so that large messages take few of them. */
static size_t arena_next_size(const micro__arena *a)
{
    size_t last = a->chunk && !(a->chunk->size & ARENA_LENT) ? a->chunk->size : 0;

    if (last < MICRO_ARENA_CHUNK / 2)
        return MICRO_ARENA_CHUNK;
    return last * 2 < ARENA_CHUNK_MAX ? last * 2 : ARENA_CHUNK_MAX;
}

MICRO_PRIVATE void *micro__arena_grow(micro__arena *a, size_t size)
{
    size_t need = (size ? size + ARENA_ALIGN - 1 : ARENA_ALIGN) & ~(ARENA_ALIGN - 1);
    size_t whole = need + ARENA_HEAD + ARENA_ALIGN;
    size_t usual = arena_next_size(a);

    if (size <= (size_t)(a->end - a->pos) && need <= (size_t)(a->end - a->pos)) {
        void *fits = a->pos; /* the quick path leaves the case of an exact fit to us */
        a->pos += need;
        return fits;
    }
    if (whole < usual)
        whole = usual;
    micro__chunk *c = whole > size ? (micro__chunk *)micro__alloc(whole & ~ARENA_LENT) : NULL;
    if (!c) {
        a->failed = true;
        return NULL;
    }
    arena_push(a, c, whole & ~ARENA_LENT);
    void *p = a->pos;
    a->pos += need;
    return p;
}

MICRO_PRIVATE void *micro__arena_zero(micro__arena *a, size_t size)
{
    void *p = micro__arena_take(a, size);

    return p ? memset(p, 0, size) : NULL;
}

MICRO_PRIVATE char *micro__arena_text(micro__arena *a, const char *text, size_t len)
{
    char *p = len < SIZE_MAX ? (char *)micro__arena_take(a, len + 1) : NULL;

    if (!p) {
        a->failed = true;
        return NULL;
    }
    if (len)
        memcpy(p, text, len);
    p[len] = 0;
    return p;
}

MICRO_PRIVATE void *micro__arena_extend(micro__arena *a, void *old, size_t old_size,
                                        size_t new_size)
{
    size_t held = (old_size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

    if (old && new_size <= held)
        return old;
    if (old && held && (char *)old + held == a->pos) {
        size_t more = (new_size - held + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
        if (more && more <= (size_t)(a->end - a->pos)) {
            a->pos += more;
            return old;
        }
    }
    void *p = micro__arena_take(a, new_size);
    if (p && old_size)
        memcpy(p, old, old_size);
    return p;
}

MICRO_PRIVATE micro__mark micro__arena_mark(const micro__arena *a)
{
    micro__mark m = { a->chunk, a->pos };
    return m;
}

MICRO_PRIVATE void micro__arena_rewind(micro__arena *a, micro__mark to)
{
    while (a->chunk != to.chunk) {
        micro__chunk *c = a->chunk;
        a->chunk = c->prev;
        micro__free(c, c->size);
    }
    a->pos = to.pos;
    a->end = a->chunk ? (char *)a->chunk + (a->chunk->size & ~ARENA_LENT) : NULL;
    a->failed = false;
}

MICRO_PRIVATE void micro__arena_adopt(micro__arena *a, micro__arena *from)
{
    micro__chunk *oldest = from->chunk;

    if (!oldest)
        return;
    while (oldest->prev)
        oldest = oldest->prev;
    oldest->prev = a->chunk;
    a->chunk = from->chunk;
    a->pos = from->pos;
    a->end = from->end;
    memset(from, 0, sizeof *from);
}

MICRO_PRIVATE void micro__arena_free(micro__arena *a)
{
    micro__mark first = { NULL, NULL };

    for (micro__chunk *c = a->chunk; c; c = c->prev)
        if (c->size & ARENA_LENT)
            first.chunk = c;
    if (first.chunk) {
        first.pos = (char *)first.chunk + ARENA_HEAD;
        first.pos += -(uintptr_t)first.pos % ARENA_ALIGN;
    }
    micro__arena_rewind(a, first);
}
