/* SPDX-License-Identifier: MIT */
/* Requests whose replies nobody waits for: to each address one connection, driven by a loop, on
 * which they are written together and one behind the other while the replies still come. What
 * cannot be delivered is counted, logged and forgotten. */
#include "engine.h"

#define PIPELINE_KEEP 65536u      /* a buffer above that is given back when it is empty */
#define PIPELINE_AWAKE_MS 250     /* a peer that took nothing for so long is not waited for */
#define PIPELINE_BACKOFF_MS 1000u /* doubled with each refusal */
#define PIPELINE_BACKOFF_MAX 30000u

typedef struct pipeline {
    int kind; /* MICRO__SRC_PIPELINE, first */
    int fd;   /* -1: none */
    micro__pipelines *set;
    micro__loop *loop;
    micro__addr to;
    /* under the set's lock */
    struct pipeline *next;
    micro_buf waiting; /* requests that the loop has not looked at */
    micro_buf ends;    /* size_t: where each of them ends */
    size_t held;       /* bytes waiting or being written */
    bool asked;        /* the task is on its way */
    unsigned refusals; /* in a row */
    uint64_t refused;  /* until when nothing is tried; 0: not refused */
    uint64_t progress; /* when a byte went, or a reply came */
    /* the loop's */
    micro__task task;
    micro__timer timer; /* of connecting, of the next reply, or of idleness */
    bool connecting;
    bool answered; /* this connection has brought a reply */
    micro_buf out; /* being written */
    micro_buf out_ends;
    size_t sent, whole; /* of out: bytes; requests written in full */
    size_t unanswered;  /* requests */
    uint64_t since;     /* the last time that something moved */
    micro__replies replies;
    char address[128];
} pipeline;

struct micro__pipelines {
    micro__engine *engine;
    micro__pipelines_opts o;
    micro__mutex lock;
    micro__cond changed; /* there is room, or a pipeline has ended */
    pipeline *list;
    enum { PIPELINE_OPEN, PIPELINE_FLUSH, PIPELINE_DROP } closing;
    micro__pipeline_counts counts;
};

/* ---- losses -------------------------------------------------------------------------------- */

static void pipeline_lost(pipeline *p, size_t n, const char *why)
{
    if (!n)
        return;
    micro__lock(&p->set->lock);
    p->set->counts.lost += n;
    micro__unlock(&p->set->lock);
    MICRO_LOG(MICRO_LOG_WARN, "%zu %s for %s lost: %s", n, p->set->o.what, p->address, why);
}

static size_t pipeline_count(const micro_buf *ends)
{
    return ends->len / sizeof(size_t);
}

static size_t pipeline_end(const micro_buf *ends, size_t i)
{
    size_t end;

    memcpy(&end, ends->ptr + i * sizeof end, sizeof end);
    return end;
}

static void pipeline_empty(micro_buf *b)
{
    b->len = 0;
    if (b->cap > PIPELINE_KEEP || b->failed)
        micro__buf_free(b);
}

/* ---- the connection ------------------------------------------------------------------------ */

static void pipeline_disconnect(micro__loop *l, pipeline *p)
{
    if (p->fd >= 0) {
        micro__poller_del(&l->poller, p->fd);
        micro__fd_close(p->fd);
    }
    p->fd = -1;
    p->connecting = p->answered = false;
    p->unanswered = 0;
    micro__replies_clear(&p->replies);
}

/* What was not written in full stays: it cannot have been executed. */
static void pipeline_rewind(pipeline *p)
{
    size_t n = pipeline_count(&p->out_ends),
           at = p->whole ? pipeline_end(&p->out_ends, p->whole - 1) : 0;

    for (size_t i = p->whole; i < n; i++) {
        size_t end = pipeline_end(&p->out_ends, i) - at;
        memcpy(p->out_ends.ptr + (i - p->whole) * sizeof end, &end, sizeof end);
    }
    if (at)
        memmove(p->out.ptr, p->out.ptr + at, p->out.len - at);
    p->out.len -= at;
    p->out_ends.len = (n - p->whole) * sizeof(size_t);
    p->sent = p->whole = 0;
}

/* Nothing is left to do. The number of requests that were. */
static size_t pipeline_drop(pipeline *p)
{
    size_t n = pipeline_count(&p->out_ends) - p->whole;

    pipeline_empty(&p->out);
    pipeline_empty(&p->out_ends);
    p->sent = p->whole = 0;
    micro__lock(&p->set->lock);
    n += pipeline_count(&p->ends);
    pipeline_empty(&p->waiting);
    pipeline_empty(&p->ends);
    p->held = 0;
    micro__cond_broadcast(&p->set->changed);
    micro__unlock(&p->set->lock);
    return n;
}

static void pipeline_refused(pipeline *p)
{
    uint64_t ms = PIPELINE_BACKOFF_MS;

    for (unsigned i = 0; i < p->refusals && ms < PIPELINE_BACKOFF_MAX; i++)
        ms *= 2;
    micro__lock(&p->set->lock);
    p->refusals++;
    p->refused = micro__now_ms() + (ms < PIPELINE_BACKOFF_MAX ? ms : PIPELINE_BACKOFF_MAX);
    micro__unlock(&p->set->lock);
}

/* A connection that did its work until now may just have been closed as idle: what was not written
 * in full goes over another one. Else there is nobody to send to. */
static void pipeline_fail(micro__loop *l, pipeline *p, micro_err err, const char *why)
{
    bool again = err == MICRO_EIO && p->answered;
    size_t lost = p->unanswered;

    if (err == MICRO_ECONNECT)
        pipeline_refused(p);
    if (again)
        pipeline_rewind(p);
    else
        lost += pipeline_drop(p);
    pipeline_disconnect(l, p); /* what comes once the peer may have seen this is for another one */
    pipeline_lost(p, lost, why);
}

/* False: it has failed. */
static bool pipeline_connect(micro__loop *l, pipeline *p)
{
    char why[128];
    micro_err err = micro__sock_connect_begin(&p->to, &p->fd, why);

    p->connecting = err == MICRO_EAGAIN;
    p->since = l->now;
    if (p->connecting || err == MICRO_OK)
        err = micro__poller_add(&l->poller, p->fd, p);
    else
        p->fd = -1;
    if (err == MICRO_OK && p->connecting)
        micro__poller_rearm(&l->poller, p->fd, p, MICRO__OUT);
    if (err == MICRO_OK)
        return true;
    if (p->fd >= 0)
        micro__fd_close(p->fd);
    p->fd = -1;
    pipeline_fail(l, p, err, err == MICRO_ECONNECT ? why : micro_strerror(err));
    return false;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* What has come together meanwhile is written next. False: nothing. */
static bool pipeline_fetch(pipeline *p)
{
    micro__pipelines *set = p->set;

    pipeline_empty(&p->out);
    pipeline_empty(&p->out_ends);
    p->sent = p->whole = 0;
    micro__lock(&set->lock);
    micro_buf bytes = p->waiting, ends = p->ends;
    p->waiting = p->out;
    p->ends = p->out_ends;
    p->out = bytes;
    p->out_ends = ends;
    micro__unlock(&set->lock);
    return p->out.len != 0;
}

static void pipeline_moved(micro__loop *l, pipeline *p, size_t bytes)
{
    micro__lock(&p->set->lock);
    p->held -= bytes;
    p->progress = l->now;
    p->refusals = 0;
    p->refused = 0;
    micro__cond_broadcast(&p->set->changed);
    micro__unlock(&p->set->lock);
    p->since = l->now;
}

/* True: all of out has gone. */
static bool pipeline_write(micro__loop *l, pipeline *p)
{
    while (p->sent < p->out.len) {
        long n = micro__sock_send(p->fd, p->out.ptr + p->sent, p->out.len - p->sent);
        if (n == MICRO_EAGAIN) {
            micro__poller_rearm(&l->poller, p->fd, p, MICRO__OUT);
            return false;
        }
        if (n < 0) {
            pipeline_fail(l, p, MICRO_EIO, "connection lost");
            return p->out.len != 0; /* over another one */
        }
        p->sent += (size_t)n;
        size_t all = pipeline_count(&p->out_ends);
        for (; p->whole < all && pipeline_end(&p->out_ends, p->whole) <= p->sent; p->whole++)
            p->unanswered++;
        pipeline_moved(l, p, (size_t)n);
    }
    return true;
}

/* ---- time, and the end --------------------------------------------------------------------- */

static bool pipeline_quiet(const pipeline *p)
{
    return p->sent == p->out.len && !p->unanswered && !p->connecting;
}

static uint64_t pipeline_due(const pipeline *p)
{
    const micro__pipelines_opts *o = &p->set->o;
    int ms = p->connecting                           ? o->dial_ms
             : p->unanswered || p->sent < p->out.len ? o->ack_ms
                                                     : o->idle_ms;
    return p->since + (uint64_t)ms;
}

/* Not for every request: a timer that comes too early looks again. */
static void pipeline_clock(micro__loop *l, pipeline *p)
{
    uint64_t due = pipeline_due(p);

    if (!p->timer.set || p->timer.at > due)
        micro__timer_set(&l->timers, &p->timer, due);
}

/* The last touch of p. False: something is waiting, or its task is under way. */
static bool pipeline_finish(micro__loop *l, pipeline *p)
{
    micro__pipelines *set = p->set;

    micro__lock(&set->lock);
    bool over = !p->asked && !p->ends.len && (set->closing || p->refused <= l->now);
    for (pipeline **at = &set->list; over && *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    micro__unlock(&set->lock);
    if (!over)
        return false;
    pipeline_disconnect(l, p);
    micro__timer_clear(&l->timers, &p->timer);
    micro__buf_free(&p->waiting);
    micro__buf_free(&p->ends);
    micro__buf_free(&p->out);
    micro__buf_free(&p->out_ends);
    micro__buf_free(&p->replies.in);
    micro__free(p, sizeof *p);
    micro__lock(&set->lock);
    set->counts.open--;
    micro__cond_broadcast(&set->changed);
    micro__unlock(&set->lock);
    return true;
}

static void pipeline_work(micro__loop *l, pipeline *p);
static void pipeline_turn(micro__loop *l, pipeline *p);

static void pipeline_timeout(micro__loop *l, micro__timer *t)
{
    pipeline *p = (pipeline *)(void *)((char *)t - offsetof(pipeline, timer));

    if (pipeline_due(p) > l->now) {
        pipeline_clock(l, p);
        return;
    }
    if (!pipeline_quiet(p)) {
        bool dialing = p->connecting;
        pipeline_fail(l, p, dialing ? MICRO_ECONNECT : MICRO_ETIMEDOUT,
                      dialing ? "connect: timed out" : "no answer");
    } else if (pipeline_finish(l, p)) {
        return;
    }
    p->since = l->now;
    pipeline_turn(l, p);
}

static void pipeline_task(micro__loop *l, void *arg)
{
    pipeline *p = arg;

    micro__lock(&p->set->lock);
    p->asked = false;
    int closing = (int)p->set->closing;
    micro__unlock(&p->set->lock);
    if (closing == PIPELINE_DROP) {
        size_t lost = p->unanswered + pipeline_drop(p);
        pipeline_disconnect(l, p);
        pipeline_lost(p, lost, "closed");
    } else {
        pipeline_work(l, p);
    }
    if (closing && pipeline_quiet(p))
        pipeline_finish(l, p);
}

/* With the lock. True: it is to be pushed once the lock is open. */
static bool pipeline_ask(pipeline *p)
{
    if (p->asked)
        return false;
    p->asked = true;
    memset(&p->task, 0, sizeof p->task);
    p->task.item.kind = MICRO__ITEM_TASK;
    p->task.run = pipeline_task;
    p->task.arg = p;
    return true;
}

/* Everything that can be done now. */
static void pipeline_work(micro__loop *l, pipeline *p)
{
    while (p->sent < p->out.len || pipeline_fetch(p))
        if ((p->fd < 0 && !pipeline_connect(l, p)) || p->connecting || !pipeline_write(l, p))
            break;
    pipeline_clock(l, p);
}

/* After news of the connection. If nothing is left to do it ends by a task: p is still needed. */
static void pipeline_turn(micro__loop *l, pipeline *p)
{
    pipeline_work(l, p);
    micro__lock(&p->set->lock);
    bool ask = p->set->closing && pipeline_quiet(p) && pipeline_ask(p);
    micro__unlock(&p->set->lock);
    if (ask)
        micro__loop_push(l, &p->task.item);
}

/* ---- replies ------------------------------------------------------------------------------- */

static void pipeline_answered(micro__loop *l, pipeline *p, size_t ok, size_t refused)
{
    if (!ok && !refused)
        return;
    p->answered = true;
    p->since = l->now;
    micro__lock(&p->set->lock);
    p->progress = l->now;
    p->set->counts.answered += ok;
    p->set->counts.refused += refused;
    micro__unlock(&p->set->lock);
}

/* Works off what has come; EPROTO, EIO with *why: the connection is no good any more. */
static micro_err pipeline_replies(micro__loop *l, pipeline *p, const char **why)
{
    size_t ok = 0, refused = 0;
    int status;

    *why = NULL;
    while ((status = micro__replies_next(&p->replies)) > 0) {
        if (!p->unanswered) {
            *why = "a reply that nobody asked for";
            status = MICRO_EPROTO;
            break;
        }
        p->unanswered--;
        ok += status == 200;
        refused += status != 200;
        if (status != 200)
            MICRO_LOG(MICRO_LOG_WARN, "%s answers %d", p->address, status);
        if (p->replies.ending) {
            *why = "closed by the peer";
            status = MICRO_EIO;
            break;
        }
    }
    pipeline_answered(l, p, ok, refused);
    if (!*why)
        *why = p->replies.problem;
    return (micro_err)status;
}

static void pipeline_read(micro__loop *l, pipeline *p, bool ended)
{
    const char *why = "connection lost";
    micro_err err = MICRO_OK;
    bool more = true;

    while (err == MICRO_OK && more) {
        size_t room;
        char *at = micro__replies_room(&p->replies, &room);
        long n = at ? micro__sock_recv(p->fd, at, room) : MICRO_ENOMEM;
        if (n == MICRO_EAGAIN)
            break;
        if (n <= 0) {
            err = n == 0 ? MICRO_EIO : (micro_err)n;
            why = n == 0 ? "closed by the peer" : micro_strerror(err);
            break;
        }
        p->replies.in.len += (size_t)n;
        more = ended || (size_t)n == room;
        err = pipeline_replies(l, p, &why);
    }
    if (err == MICRO_OK)
        micro__poller_rearm(&l->poller, p->fd, p, MICRO__IN);
    else
        pipeline_fail(l, p, err, why);
}

MICRO_PRIVATE void micro__pipeline_event(micro__loop *l, void *line, unsigned what)
{
    pipeline *p = line;
    char why[128];
    micro_err err = MICRO_OK;
    int fd = p->fd;

    l->current = NULL;
    if (p->connecting) {
        err = micro__sock_connect_end(&p->fd, why);
        p->connecting = false;
        p->since = l->now;
    }
    if (err != MICRO_OK) { /* and it is closed */
        micro__poller_del(&l->poller, fd);
        p->fd = -1;
        pipeline_fail(l, p, err, why);
    } else if (p->fd >= 0 && what & (MICRO__IN | MICRO__HUP)) {
        pipeline_read(l, p, what & MICRO__HUP);
    }
    pipeline_turn(l, p);
}

/* ---- what others call ---------------------------------------------------------------------- */

MICRO_PRIVATE micro__pipelines *micro__pipelines_new(micro__engine *e,
                                                     const micro__pipelines_opts *opts)
{
    micro__pipelines *set = micro__alloc_zero(sizeof *set);

    if (!set)
        return NULL;
    set->engine = e;
    set->o = *opts;
    micro__mutex_init(&set->lock);
    micro__cond_init(&set->changed);
    return set;
}

/* With the lock. */
static pipeline *pipeline_find(const micro__pipelines *set, const char *address)
{
    pipeline *p = set->list;

    while (p && strcmp(p->address, address) != 0)
        p = p->next;
    return p;
}

static pipeline *pipeline_new(micro__pipelines *set, const char *address, const micro__addr *to)
{
    pipeline *p = micro__alloc_zero(sizeof *p);

    if (!p)
        return NULL;
    p->kind = MICRO__SRC_PIPELINE;
    p->fd = -1;
    p->set = set;
    p->to = *to;
    p->timer.fn = pipeline_timeout;
    snprintf(p->address, sizeof p->address, "%s", address);
    p->loop = micro__engine_loop(set->engine);
    p->next = set->list;
    set->list = p;
    set->counts.open++;
    return p;
}

/* The pipeline of an address, with the lock held, which is let go while a name is resolved. */
static micro_err pipeline_get(micro__pipelines *set, const char *address, pipeline **out)
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

static bool pipeline_has_room(const pipeline *p, size_t n)
{
    return !p->held || p->held + n <= p->set->o.max_bytes;
}

/* With the lock: the pipeline of the address once it has room. */
static micro_err pipeline_reserve(micro__pipelines *set, micro_ctx *ctx, const char *address,
                                  size_t n, pipeline **out)
{
    for (;;) {
        micro_err err = set->closing ? MICRO_ECLOSED : pipeline_get(set, address, out);
        if (err != MICRO_OK)
            return err;
        pipeline *p = *out;
        if (!p->refused && pipeline_has_room(p, n))
            return MICRO_OK; /* the usual case does not look at the clock */
        uint64_t now = micro__now_ms();
        if (p->refused > now)
            return MICRO_ECONNECT;
        if (pipeline_has_room(p, n))
            return MICRO_OK;
        if (now > p->progress + PIPELINE_AWAKE_MS ||
            micro__ctx_check(ctx, ctx->deadline) != MICRO_OK ||
            !micro__engine_pause(set->engine, &set->lock, &set->changed))
            return MICRO_EAGAIN;
    }
}

static micro_err pipeline_append(pipeline *p, micro_str head, micro_str body)
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

MICRO_PRIVATE micro_err micro__pipelines_send(micro__pipelines *set, micro_ctx *ctx,
                                              const char *address, micro_str head,
                                              micro_str body)
{
    pipeline *p = NULL;
    bool push = false;

    micro__lock(&set->lock);
    micro_err err = pipeline_reserve(set, ctx, address, head.len + body.len, &p);
    if (err == MICRO_OK)
        err = pipeline_append(p, head, body);
    if (err == MICRO_OK)
        push = pipeline_ask(p);
    else
        set->counts.lost++;
    micro__unlock(&set->lock);
    if (push)
        micro__loop_push(p->loop, &p->task.item);
    return err;
}

MICRO_PRIVATE bool micro__pipelines_refused(micro__pipelines *set, const char *address)
{
    micro__lock(&set->lock);
    const pipeline *p = pipeline_find(set, address);
    bool refused = p && p->refused > micro__now_ms();
    micro__unlock(&set->lock);
    return refused;
}

MICRO_PRIVATE void micro__pipelines_retry(micro__pipelines *set, const char *address)
{
    micro__lock(&set->lock);
    pipeline *p = pipeline_find(set, address);
    if (p)
        p->refused = 0;
    micro__unlock(&set->lock);
}

/* With the lock: every pipeline looks how far it is. */
static void pipeline_ask_all(micro__pipelines *set)
{
    for (pipeline *p = set->list; p; p = p->next)
        if (pipeline_ask(p))
            micro__loop_push(p->loop, &p->task.item);
}

MICRO_PRIVATE micro__pipeline_counts micro__pipelines_close(micro__pipelines *set,
                                                            uint64_t deadline)
{
    micro__pipeline_counts counts = { 0 };

    if (!set)
        return counts;
    micro__lock(&set->lock);
    set->closing = PIPELINE_FLUSH;
    pipeline_ask_all(set);
    while (set->counts.open && micro__now_ms() < deadline &&
           micro__engine_pause(set->engine, &set->lock, &set->changed))
        ;
    set->closing = PIPELINE_DROP;
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
