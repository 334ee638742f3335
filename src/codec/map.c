/* SPDX-License-Identifier: MIT */
/* Maps are lists of entries: their order by key, and the rule that the last of equal keys wins. */
#include "inner.h"

typedef struct map_view {
    const char *base;
    size_t stride;
    const micro_field *key;
    bool by_text;
} map_view;

static micro_str map_key_text(const map_view *m, const char *slot, char digits[21])
{
    if (m->key->kind == MICRO_KIND_string)
        return *(const micro_str *)(const void *)slot;
    if (m->key->kind == MICRO_KIND_chars) {
        const char *nul = (const char *)memchr(slot, 0, m->key->cap);
        return micro__str(slot, nul ? (size_t)(nul - slot) : m->key->cap);
    }
    bool neg;
    uint64_t v = micro__int_load(m->key, slot, &neg);
    if (m->key->kind == MICRO_KIND_bool)
        return micro_s(v ? "true" : "false");
    digits[0] = '-';
    size_t n = micro__format_u64(digits + 1, v);
    return micro__str(digits + !neg, n + neg);
}

static int map_compare(const map_view *m, uint32_t a, uint32_t b)
{
    const char *x = m->base + a * m->stride + m->key->offset;
    const char *y = m->base + b * m->stride + m->key->offset;
    char x_digits[21], y_digits[21];
    bool x_neg, y_neg;

    if (m->key->kind == MICRO_KIND_string)
        return micro__str_cmp(*(const micro_str *)(const void *)x,
                              *(const micro_str *)(const void *)y);
    if (m->by_text || m->key->kind == MICRO_KIND_chars)
        return micro__str_cmp(map_key_text(m, x, x_digits), map_key_text(m, y, y_digits));
    uint64_t v = micro__int_load(m->key, x, &x_neg), w = micro__int_load(m->key, y, &y_neg);
    if (x_neg != y_neg)
        return x_neg ? -1 : 1;
    return x_neg ? (v < w) - (v > w) : (v > w) - (v < w);
}

/* Merges two runs of from into to, equal keys in their order. */
static void map_merge(const map_view *m, const uint32_t *from, size_t a, size_t b, size_t end,
                      uint32_t *to)
{
    size_t left = a, right = b;

    for (size_t i = a; i < end; i++) {
        bool take_left = right == end || (left < b && map_compare(m, from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* 2 * n indices: the first n are the order, the others were needed to sort. NULL: no memory. */
static uint32_t *map_sort(micro__arena *a, const map_view *m, size_t n)
{
    uint32_t *order = n <= UINT32_MAX / 2 && n <= SIZE_MAX / 8
                          ? (uint32_t *)micro__arena_take(a, 2 * n * sizeof *order)
                          : NULL;

    if (!order) {
        a->failed = true;
        return NULL;
    }
    uint32_t *from = order, *to = order + n;
    for (size_t i = 0; i < n; i++)
        from[i] = (uint32_t)i;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            size_t b = n - i < run ? n : i + run;
            map_merge(m, from, i, b, n - b < run ? n : b + run, to);
        }
        uint32_t *t = from;
        from = to;
        to = t;
    }
    if (from != order)
        memcpy(order, from, n * sizeof *order);
    return order;
}

/* Whether keys only ever grow: then nothing is to be sorted and no key comes twice. */
static bool map_grows(const map_view *m, size_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (map_compare(m, i - 1, i) >= 0)
            return false;
    return true;
}

MICRO_PRIVATE bool micro__map_order(micro__arena *a, const void *base, size_t n, size_t stride,
                                    const micro_field *key, bool by_text, uint32_t **order)
{
    map_view m = { (const char *)base, stride, key, by_text };

    *order = NULL;
    if (n <= UINT32_MAX && map_grows(&m, n))
        return true;
    *order = map_sort(a, &m, n);
    return *order != NULL;
}

/* Whether no two of these texts are of one length, as is mostly so with a few headers. */
static bool map_lengths_differ(const map_view *m, size_t n)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < n; i++) {
        const char *slot = m->base + i * m->stride + m->key->offset;
        size_t len = ((const micro_str *)(const void *)slot)->len;
        if (len > 63 || seen >> len & 1)
            return false;
        seen |= UINT64_C(1) << len;
    }
    return true;
}

MICRO_PRIVATE bool micro__map_dedupe(micro__arena *a, void *base, size_t *n, size_t stride,
                                     const micro_field *key)
{
    map_view m = { (const char *)base, stride, key, false };
    uint32_t *order;
    micro__mark mark = micro__arena_mark(a);
    bool failed = a->failed; /* which going back to the mark would forget */
    size_t kept = 0;

    if (key->kind == MICRO_KIND_string && map_lengths_differ(&m, *n))
        return true;
    if (!micro__map_order(a, base, *n, stride, key, false, &order))
        return false;
    if (!order)
        return true;
    uint32_t *dropped = order + *n;
    memset(dropped, 0, *n * sizeof *dropped);
    for (size_t i = 1; i < *n; i++)
        if (map_compare(&m, order[i - 1], order[i]) == 0)
            dropped[order[i - 1]] = 1;
    for (size_t i = 0; i < *n; i++) {
        if (dropped[i])
            continue;
        if (kept != i)
            memcpy((char *)base + kept * stride, (char *)base + i * stride, stride);
        kept++;
    }
    *n = kept;
    micro__arena_rewind(a, mark);
    a->failed = failed;
    return true;
}
