/* SPDX-License-Identifier: MIT */
/* Timers of a loop: an intrusive pairing heap, so that setting one never needs memory. */
#include "engine.h"

static micro__timer *timer_meld(micro__timer *a, micro__timer *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (b->at < a->at) {
        micro__timer *t = a;
        a = b;
        b = t;
    }
    b->back = a; /* parent of a first child, else the sibling before */
    b->next = a->child;
    if (b->next)
        b->next->back = b;
    a->child = b;
    return a;
}

/* Pairs up the siblings from left to right, then melds the pairs from right to left. */
static micro__timer *timer_pair(micro__timer *list)
{
    micro__timer *pairs = NULL, *root = NULL;

    while (list) {
        micro__timer *a = list, *b = list->next;
        list = b ? b->next : NULL;
        a->next = a->back = NULL;
        if (b)
            b->next = b->back = NULL;
        a = timer_meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        micro__timer *next = pairs->next;
        pairs->next = NULL;
        root = timer_meld(root, pairs);
        pairs = next;
    }
    return root;
}

MICRO_PRIVATE void micro__timer_set(micro__timer **heap, micro__timer *t, uint64_t at)
{
    micro__timer_clear(heap, t);
    t->at = at;
    t->set = true;
    t->child = t->next = t->back = NULL;
    *heap = timer_meld(*heap, t);
}

MICRO_PRIVATE void micro__timer_clear(micro__timer **heap, micro__timer *t)
{
    if (!t->set)
        return;
    t->set = false;
    micro__timer *children = timer_pair(t->child);
    t->child = NULL;
    if (*heap == t) {
        *heap = children;
        return;
    }
    if (t->back->child == t)
        t->back->child = t->next;
    else
        t->back->next = t->next;
    if (t->next)
        t->next->back = t->back;
    *heap = timer_meld(*heap, children);
}
