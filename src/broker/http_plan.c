/* SPDX-License-Identifier: MIT */
/* Who gets the events of a topic, worked out once for each change of what the registry says. */
#include "http.h"

#define PLAN_UUID 36u /* that ends a node's id */

/* ---- one subscriber ------------------------------------------------------------------------ */

static bool plan_matches(const micro_node *node, size_t set, const char *topic)
{
    return set == 0 || (micro__str_is(micro__pairs_get(&node->metadata, "topic"), topic) &&
                        micro__str_is(micro__pairs_get(&node->metadata, "broker"), "http"));
}

/* One subscription under two of its names: the ids end in the same UUID. */
static bool plan_same(const micro_node *a, const micro_node *b)
{
    return a->id.len >= PLAN_UUID && b->id.len >= PLAN_UUID &&
           !memcmp(a->id.ptr + a->id.len - PLAN_UUID, b->id.ptr + b->id.len - PLAN_UUID,
                   PLAN_UUID) &&
           micro_str_eq(a->address, b->address);
}

/* 2.9 and later take any path, but post to this one themselves. */
static void plan_head(const micro_node *node, size_t set, micro_buf *out)
{
    out->len = 0;
    micro__buf_text(out, set == MICRO__HTTP_NAMES - 1 ? "POST /?id=" : "POST /_sub?id=");
    micro__query_quote(out, node->id);
    micro__buf_text(out, " HTTP/1.1\r\nHost: ");
    if (micro__str_starts(node->address, "unix:"))
        micro__buf_text(out, "localhost");
    else
        micro__buf_str(out, node->address);
    micro__buf_text(out, "\r\nContent-Type: application/json\r\nContent-Length: ");
}

/* False: out of memory. */
static bool plan_add(micro__http_plan *p, const micro_node *node, size_t set, micro_buf *head)
{
    for (size_t i = 0; i < p->len; i++)
        if (plan_same(p->list[i].node, node))
            return true;
    micro__http_target *t = &p->list[p->len];
    bool broadcast = micro__str_is(node->version, MICRO__HTTP_BROADCAST);
    plan_head(node, set, head);
    const char *text = head->failed ? NULL : micro__arena_text(&p->memory, head->ptr, head->len);
    if (!text)
        return false;
    t->node = node;
    t->set = set;
    t->head = micro__str(text, head->len);
    t->queue = broadcast ? micro_s("") : node->version;
    t->secure = micro__str_is(micro__pairs_get(&node->metadata, "secure"), "true");
    p->queues |= t->queue.len != 0;
    p->len++;
    return true;
}

/* ---- all of them --------------------------------------------------------------------------- */

static size_t plan_count(const micro_nodes *const *sets, const char *topic)
{
    size_t n = 0;

    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++)
        for (size_t k = 0; sets[i] && k < sets[i]->len; k++)
            n += plan_matches(sets[i]->ptr[k], i, topic);
    return n;
}

/* The newest name first: what subscribes under all three is met there. */
static bool plan_fill(micro__http_plan *p, const char *topic, size_t most)
{
    micro_buf head = { 0 };
    bool ok = true;

    p->list = micro__arena_zero(&p->memory, most * sizeof *p->list);
    for (size_t i = MICRO__HTTP_NAMES; i-- > 0 && p->list;)
        for (size_t k = 0; ok && p->sets[i] && k < p->sets[i]->len; k++)
            if (plan_matches(p->sets[i]->ptr[k], i, topic))
                ok = plan_add(p, p->sets[i]->ptr[k], i, &head);
    micro__buf_free(&head);
    return ok && p->list;
}

MICRO_PRIVATE micro_err micro__http_plan_new(const char *topic, const micro_nodes **sets,
                                             micro__http_plan **out)
{
    size_t most = plan_count(sets, topic);

    *out = NULL;
    if (!most)
        return MICRO_ENOTFOUND;
    micro__http_plan *p = micro__alloc_zero(sizeof *p);
    if (!p)
        return MICRO_ENOMEM;
    atomic_init(&p->refs, 1);
    memcpy(p->sets, sets, sizeof p->sets);
    if (!plan_fill(p, topic, most)) {
        micro__arena_free(&p->memory);
        micro__free(p, sizeof *p);
        return MICRO_ENOMEM;
    }
    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++)
        sets[i] = NULL;
    *out = p;
    return MICRO_OK;
}

MICRO_PRIVATE bool micro__http_plan_is_of(const micro__http_plan *p, const micro_nodes *const *sets)
{
    return !memcmp(p->sets, sets, sizeof p->sets);
}

MICRO_PRIVATE micro__http_plan *micro__http_plan_hold(micro__http_plan *p)
{
    if (p)
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

MICRO_PRIVATE void micro__http_plan_drop(micro__http_broker *b, micro__http_plan *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    micro__http_release(b, p->sets);
    micro__arena_free(&p->memory);
    micro__free(p, sizeof *p);
}
