/* SPDX-License-Identifier: MIT */
/* All pipelines of a broker: what senders call. */
#include "pipeline.h"

#define PIPELINE_LARGE 65536u /* of a request: to copy it takes long */
#define PIPELINE_AWAKE_MS 250 /* a peer that took nothing for so long is not waited for */

MICRO_PRIVATE micro__pipelines *micro__pipelines_new(micro__engine *e,
                                                     const micro__pipelines_opts *opts)
{
    micro__pipelines *set = micro__alloc_zero(sizeof *set);

    if (!set)
        return NULL;
    set->engine = e;
    set->o = *opts;
    set->end = &set->list;
    micro__queue_take(&set->asked);
    micro__mutex_init(&set->lock);
    micro__cond_init(&set->changed);
    return set;
}

/* With the lock. Senders go through the same addresses again and again: the next one is tried
 * first. */
static micro__pipeline *pipeline_find(micro__pipelines *set, const char *address)
{
    micro__pipeline *p = set->found && set->found->next ? set->found->next : set->list;

    if (p && strcmp(p->address, address) != 0)
        for (p = set->list; p && strcmp(p->address, address) != 0;)
            p = p->next;
    set->found = p;
    return p;
}

static micro__pipeline *pipeline_new(micro__pipelines *set, const char *address,
                                     const micro__addr *to)
{
    micro__pipeline *p = micro__alloc_zero(sizeof *p);

    if (!p)
        return NULL;
    p->kind = MICRO__SRC_PIPELINE;
    p->fd = -1;
    p->set = set;
    p->to = *to;
    p->timer.fn = micro__pipeline_timeout;
    snprintf(p->address, sizeof p->address, "%s", address);
    p->loop = micro__engine_loop(set->engine);
    *set->end = p;
    set->end = &p->next;
    set->counts.open++;
    return p;
}

/* The pipeline of an address, with the lock held, which is let go while a name is resolved. */
static micro_err pipeline_get(micro__pipelines *set, const char *address, micro__pipeline **out)
{
    micro__addr to;

    *out = pipeline_find(set, address);
    if (*out)
        return MICRO_OK;
    micro__unlock(&set->lock);
    micro_err err =
        strlen(address) < sizeof(*out)->address ? micro__http_resolve(&to, address) : MICRO_EINVAL;
    micro__lock(&set->lock);
    if (err != MICRO_OK)
        return err == MICRO_ENOMEM || err == MICRO_EINVAL ? err : MICRO_ECONNECT;
    *out = pipeline_find(set, address); /* somebody else may have been faster */
    if (!*out)
        *out = pipeline_new(set, address, &to);
    return *out ? MICRO_OK : MICRO_ENOMEM;
}

/* With the lock: the task of p is to be pushed, if it is not on its way. */
static void pipeline_ask_later(micro__pipeline *p)
{
    if (micro__pipeline_ask(p))
        micro__queue_put(&p->set->asked, &p->task.item);
}

static void pipeline_push(micro__item *asked)
{
    while (asked) {
        micro__item *next = asked->next;
        const micro__pipeline *p = ((micro__task *)(void *)asked)->arg;
        micro__loop_push(p->loop, asked);
        asked = next;
    }
}

/* A loop that is woken with the lock held would have to wait for it. */
static void pipeline_unlock(micro__pipelines *set)
{
    micro__item *asked = micro__queue_take(&set->asked);

    micro__unlock(&set->lock);
    pipeline_push(asked);
}

static bool pipeline_has_room(const micro__pipeline *p, size_t n)
{
    return !p->held || p->held + n <= p->set->o.max_bytes;
}

/* With the lock: the pipeline of the address once it has room. */
static micro_err pipeline_reserve(micro__pipelines *set, micro_ctx *ctx, const char *address,
                                  size_t n, micro__pipeline **out)
{
    for (;;) {
        micro_err err = set->closing ? MICRO_ECLOSED : pipeline_get(set, address, out);
        if (err != MICRO_OK)
            return err;
        micro__pipeline *p = *out;
        if (!p->refused && pipeline_has_room(p, n))
            return MICRO_OK; /* the usual case does not look at the clock */
        uint64_t now = micro__now_ms();
        if (p->refused > now)
            return MICRO_ECONNECT;
        if (pipeline_has_room(p, n))
            return MICRO_OK;
        pipeline_push(micro__queue_take(&set->asked)); /* others need not wait for this one */
        if (now > p->progress + PIPELINE_AWAKE_MS ||
            micro__ctx_check(ctx, ctx->deadline) != MICRO_OK ||
            !micro__engine_await(set->engine, &set->lock, &set->changed))
            return MICRO_EAGAIN;
    }
}

static micro_err pipeline_append(micro__pipeline *p, micro_str head, micro_str body)
{
    size_t before = p->waiting.len, n = head.len + body.len, end = before + n;

    micro__buf_str(&p->waiting, head);
    micro__buf_str(&p->waiting, body);
    if (!p->waiting.failed)
        micro__buf_add(&p->ends, &end, sizeof end);
    if (p->waiting.failed || p->ends.failed) {
        micro__buf_mend(&p->waiting);
        micro__buf_mend(&p->ends);
        p->waiting.len = before;
        return MICRO_ENOMEM;
    }
    if (!p->held)
        p->progress = micro__now_ms();
    p->held += n;
    p->set->counts.taken++;
    return MICRO_OK;
}

/* With the lock, before a request is appended: whether its sender, who is ready to (may), is to
 * write it. */
static bool pipeline_borrow(micro__pipeline *p, bool may)
{
    bool alone = p->whose == MICRO__PIPELINE_FREE && !p->held && !p->unanswered;
    bool here = may && alone && !p->crowded;

    p->crowded = !alone && (p->held || p->whose != MICRO__PIPELINE_LOOPS);
    return here;
}

/* By a sender: what waits, as far as it goes at once. What does not, or fails, is the loop's. */
static void pipeline_write_here(micro__pipeline *p)
{
    micro__pipelines *set = p->set;
    long n = micro__pipeline_fetch(p) ? micro__sock_send(p->fd, p->out.ptr, p->out.len) : 0;

    if (n > 0)
        micro__pipeline_moved(p, (size_t)n, micro__now_ms());
    micro__lock(&set->lock);
    if (p->called || p->held)
        pipeline_ask_later(p);
    p->called = false;
    p->whose = MICRO__PIPELINE_FREE;
    pipeline_unlock(set); /* what is not asked for may be gone after this */
}

/* With the lock. True: its sender is to write it. */
static bool pipeline_take(micro__pipelines *set, micro_ctx *ctx, micro__pipeline_request *r,
                          bool lone, micro__pipeline **out)
{
    bool here = false;

    r->err = pipeline_reserve(set, ctx, r->address, r->head.len + r->body.len, out);
    if (r->err == MICRO_OK) {
        here = pipeline_borrow(*out, lone);
        r->err = pipeline_append(*out, r->head, r->body);
    }
    if (r->err != MICRO_OK) {
        set->counts.lost++;
        return false;
    }
    if (here)
        (*out)->whose = MICRO__PIPELINE_LENT;
    else
        pipeline_ask_later(*out);
    return here;
}

MICRO_PRIVATE void micro__pipelines_send(micro__pipelines *set, micro_ctx *ctx,
                                         micro__pipeline_request *list, size_t n)
{
    micro__pipeline *p = NULL;
    bool here = false;

    micro__lock(&set->lock);
    for (size_t i = 0; i < n; i++) {
        if (list[i].err != MICRO_OK)
            continue;
        here = pipeline_take(set, ctx, &list[i], n == 1, &p);
        if (list[i].head.len + list[i].body.len > PIPELINE_LARGE) {
            pipeline_unlock(set); /* the loop, which writes, need not wait for all copies */
            micro__lock(&set->lock);
        }
    }
    pipeline_unlock(set);
    if (here)
        pipeline_write_here(p);
}

MICRO_PRIVATE bool micro__pipelines_refused(micro__pipelines *set, const char *address)
{
    micro__lock(&set->lock);
    const micro__pipeline *p = pipeline_find(set, address);
    bool refused = p && p->refused > micro__now_ms();
    micro__unlock(&set->lock);
    return refused;
}

MICRO_PRIVATE void micro__pipelines_retry(micro__pipelines *set, const char *address)
{
    micro__lock(&set->lock);
    micro__pipeline *p = pipeline_find(set, address);
    if (p)
        p->refused = 0;
    micro__unlock(&set->lock);
}

/* With the lock: every pipeline looks how far it is. */
static void pipeline_ask_all(micro__pipelines *set)
{
    for (micro__pipeline *p = set->list; p; p = p->next)
        pipeline_ask_later(p);
    pipeline_push(micro__queue_take(&set->asked));
}

MICRO_PRIVATE micro__pipeline_counts micro__pipelines_close(micro__pipelines *set,
                                                            uint64_t deadline)
{
    micro__pipeline_counts counts = { 0 };

    if (!set)
        return counts;
    micro__lock(&set->lock);
    set->closing = MICRO__PIPELINE_FLUSH;
    pipeline_ask_all(set);
    while (set->counts.open && micro__now_ms() < deadline &&
           micro__engine_pause(set->engine, &set->lock, &set->changed))
        ;
    set->closing = MICRO__PIPELINE_DROP;
    pipeline_ask_all(set);
    while (set->counts.open && micro__engine_pause(set->engine, &set->lock, &set->changed))
        ;
    counts = set->counts;
    micro__unlock(&set->lock);
    if (counts.open)
        return counts; /* in a callback after all: a leak is better than a crash */
    micro__cond_destroy(&set->changed);
    micro__mutex_destroy(&set->lock);
    micro__free(set, sizeof *set);
    return counts;
}
