/* SPDX-License-Identifier: MIT */
/* Header maps (micro_pairs) and the growth of lists. */
#include "base.h"

/* ---- lists ----------------------------------------------------------------------------------- */

typedef struct pairs_list { /* what any MICRO_LIST looks like */
    void *ptr;
    size_t len, cap;
} pairs_list;

#define PAIRS_LEAST_BYTES 64

/* How many elements a list that is full gets; 0: too many. */
static size_t pairs_next_cap(const pairs_list *l, size_t element_size)
{
    size_t least = PAIRS_LEAST_BYTES / element_size > 4 ? PAIRS_LEAST_BYTES / element_size : 4;

    if (l->len > SIZE_MAX / 4 / element_size)
        return 0;
    return l->len * 2 > least ? l->len * 2 : least;
}

/* The list is read and written as bytes: to the compiler the caller's is of another type. */
MICRO_PRIVATE bool micro__list_grow(micro__arena *a, void *list, size_t element_size)
{
    pairs_list l;

    memcpy(&l, list, sizeof l);
    if (l.len >= l.cap) {
        size_t cap = pairs_next_cap(&l, element_size);
        bool ours = l.cap != 0;
        void *p = NULL;
        if (cap && ours)
            p = micro__arena_extend(a, l.ptr, l.cap * element_size, cap * element_size);
        else if (cap)
            p = micro__arena_take(a, cap * element_size);
        if (!p) {
            a->failed = true;
            return false;
        }
        if (!ours && l.len)
            memcpy(p, l.ptr, l.len * element_size);
        l.ptr = p;
        l.cap = cap;
    }
    memset((char *)l.ptr + l.len * element_size, 0, element_size);
    l.len++;
    memcpy(list, &l, sizeof l);
    return true;
}

/* ---- map ------------------------------------------------------------------------------------- */

/* Index of the first pair from `from` on that has the key, or len. */
static size_t pairs_index(const micro_pairs *m, micro_str key, size_t from)
{
    char first = key.len ? micro__lower(key.ptr[0]) : 0;

    for (size_t i = from; i < m->len; i++) {
        micro_str k = m->ptr[i].key;
        if (k.len == key.len &&
            (k.len == 0 || (micro__lower(k.ptr[0]) == first && micro_str_eq_nocase(k, key))))
            return i;
    }
    return m->len;
}

MICRO_PRIVATE const micro_pair *micro__pairs_find(const micro_pairs *m, micro_str key)
{
    size_t i = pairs_index(m, key, 0);

    return i < m->len ? &m->ptr[i] : NULL;
}

MICRO_PRIVATE micro_str micro__pairs_get(const micro_pairs *m, const char *key)
{
    const micro_pair *found = micro__pairs_find(m, micro_s(key));

    return found ? found->value : micro__str("", 0);
}

MICRO_PRIVATE bool micro__pairs_add(micro__arena *a, micro_pairs *m, micro_str key, micro_str value)
{
    if (!micro__list_grow(a, m, sizeof *m->ptr))
        return false;
    m->ptr[m->len - 1].key = key;
    m->ptr[m->len - 1].value = value;
    return true;
}

/* Deletes those with that key from index `from` on. */
static void pairs_drop(micro_pairs *m, micro_str key, size_t from)
{
    size_t to = pairs_index(m, key, from);

    for (size_t i = to; i < m->len; i++)
        if (!micro_str_eq_nocase(m->ptr[i].key, key))
            m->ptr[to++] = m->ptr[i];
    m->len = to;
}

MICRO_PRIVATE bool micro__pairs_set(micro__arena *a, micro_pairs *m, micro_str key, micro_str value)
{
    const char *text = micro__arena_text(a, value.ptr, value.len);
    size_t i = pairs_index(m, key, 0);

    if (!text)
        return false;
    if (i < m->len) {
        m->ptr[i].value = micro__str(text, value.len);
        pairs_drop(m, m->ptr[i].key, i + 1);
        return true;
    }
    const char *name = micro__arena_text(a, key.ptr, key.len);
    return name && micro__pairs_add(a, m, micro__str(name, key.len), micro__str(text, value.len));
}

MICRO_PRIVATE void micro__pairs_del(micro_pairs *m, micro_str key)
{
    pairs_drop(m, key, 0);
}

MICRO_PRIVATE bool micro__pairs_copy(micro__arena *a, micro_pairs *to, const micro_pairs *from)
{
    size_t n = from->len;

    memset(to, 0, sizeof *to);
    if (!n)
        return true;
    micro_pair *copy = NULL;
    if (n <= SIZE_MAX / sizeof *copy)
        copy = (micro_pair *)micro__arena_take(a, n * sizeof *copy);
    for (size_t i = 0; copy && i < n; i++) {
        const micro_pair *p = &from->ptr[i];
        copy[i].key = micro__str(micro__arena_text(a, p->key.ptr, p->key.len), p->key.len);
        copy[i].value = micro__str(micro__arena_text(a, p->value.ptr, p->value.len), p->value.len);
        if (!copy[i].key.ptr || !copy[i].value.ptr)
            copy = NULL;
    }
    if (!copy) {
        a->failed = true;
        return false;
    }
    to->ptr = copy;
    to->len = to->cap = n;
    return true;
}

/* ---- sort ------------------------------------------------------------------------------------ */

#define PAIRS_RUN 16 /* so many are sorted by insertion */

static bool pairs_before(const micro_pair *a, const micro_pair *b)
{
    return micro__str_cmp(a->key, b->key) < 0;
}

static void pairs_insertion(micro_pair *p, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        micro_pair moving = p[i];
        size_t at = i;
        for (; at && pairs_before(&moving, &p[at - 1]); at--)
            p[at] = p[at - 1];
        p[at] = moving;
    }
}

static void pairs_reverse(micro_pair *p, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        micro_pair other = p[n - 1 - i];
        p[n - 1 - i] = p[i];
        p[i] = other;
    }
}

/* Index of the first of n sorted pairs that is not before key (after: that key is before). */
static size_t pairs_search(const micro_pair *p, size_t n, const micro_pair *key, bool after)
{
    size_t low = 0;

    while (low < n) {
        size_t mid = low + (n - low) / 2;
        if (after ? !pairs_before(key, &p[mid]) : pairs_before(&p[mid], key))
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

/* Merges two sorted runs that lie side by side, without memory: cuts the longer one in the middle,
 * the other at that key, swaps the two inner parts, and does the same to both halves. Calls itself
 * on the smaller half only, so never deeper than a size_t has bits. */
static void pairs_merge(micro_pair *p, size_t left, size_t right)
{
    while (left && right) {
        size_t i, j;
        if (left >= right) {
            i = left / 2;
            j = pairs_search(p + left, right, &p[i], false);
        } else {
            j = (right + 1) / 2;
            i = pairs_search(p, left, &p[left + j - 1], true);
        }
        if (left == 1 && right == 1 && !pairs_before(&p[1], &p[0]))
            return;
        pairs_reverse(p + i, left - i);
        pairs_reverse(p + left, j);
        pairs_reverse(p + i, left - i + j);
        micro_pair *second = p + i + j;
        size_t rest = left - i, behind = right - j;
        if (i + j < rest + behind) {
            pairs_merge(p, i, j);
            p = second;
            left = rest;
            right = behind;
        } else {
            pairs_merge(second, rest, behind);
            left = i;
            right = j;
        }
    }
}

MICRO_PRIVATE void micro__pairs_sort(micro_pairs *m)
{
    size_t n = m->len;

    for (size_t at = 0; at < n; at += PAIRS_RUN)
        pairs_insertion(m->ptr + at, n - at < PAIRS_RUN ? n - at : PAIRS_RUN);
    for (size_t run = PAIRS_RUN; run < n; run *= 2)
        for (size_t at = 0; at + run < n; at += 2 * run)
            if (pairs_before(&m->ptr[at + run], &m->ptr[at + run - 1]))
                pairs_merge(m->ptr + at, run, n - at - run < run ? n - at - run : run);
}
