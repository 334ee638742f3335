/* SPDX-License-Identifier: MIT */
/* Requests whose replies nobody waits for: to each address one connection, driven by a loop, on
 * which they are written together and one behind the other while the replies still come. What
 * cannot be delivered is counted, logged and forgotten. */
#include "pipeline.h"

#define PIPELINE_KEEP 65536u      /* a buffer above that is given back when it is empty */
#define PIPELINE_BACKOFF_MS 1000u /* doubled with each refusal */
#define PIPELINE_BACKOFF_MAX 30000u

/* ---- losses -------------------------------------------------------------------------------- */

static void pipeline_lost(micro__pipeline *p, size_t n, const char *why)
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

static void pipeline_disconnect(micro__loop *l, micro__pipeline *p)
{
    if (p->fd >= 0) {
        micro__poller_del(&l->poller, p->fd);
        micro__fd_close(p->fd);
    }
    p->fd = -1;
    p->connecting = p->answered = false;
    p->news = 0;
    p->unanswered = 0;
    micro__replies_clear(&p->replies);
}

/* What was not written in full stays: it cannot have been executed. */
static void pipeline_rewind(micro__pipeline *p)
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
static size_t pipeline_drop(micro__pipeline *p)
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

static void pipeline_refused(micro__pipeline *p)
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
static void pipeline_fail(micro__loop *l, micro__pipeline *p, micro_err err, const char *why)
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
static bool pipeline_connect(micro__loop *l, micro__pipeline *p)
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
MICRO_PRIVATE bool micro__pipeline_fetch(micro__pipeline *p)
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

/* So many bytes of out have gone. */
MICRO_PRIVATE void micro__pipeline_moved(micro__pipeline *p, size_t bytes, uint64_t now)
{
    size_t all = pipeline_count(&p->out_ends);

    p->sent += bytes;
    for (; p->whole < all && pipeline_end(&p->out_ends, p->whole) <= p->sent; p->whole++)
        p->unanswered++;
    p->since = now;
    micro__lock(&p->set->lock);
    p->held -= bytes;
    p->progress = now;
    p->refusals = 0;
    p->refused = 0;
    micro__cond_broadcast(&p->set->changed);
    micro__unlock(&p->set->lock);
}

/* True: all of out has gone. */
static bool pipeline_write(micro__loop *l, micro__pipeline *p)
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
        micro__pipeline_moved(p, (size_t)n, l->now);
    }
    return true;
}

/* ---- time, and the end --------------------------------------------------------------------- */

static bool pipeline_quiet(const micro__pipeline *p)
{
    return p->sent == p->out.len && !p->unanswered && !p->connecting;
}

static uint64_t pipeline_due(const micro__pipeline *p)
{
    const micro__pipelines_opts *o = &p->set->o;
    int ms = p->connecting                           ? o->dial_ms
             : p->unanswered || p->sent < p->out.len ? o->ack_ms
                                                     : o->idle_ms;
    return p->since + (uint64_t)ms;
}

/* Not for every request: a timer that comes too early looks again. It looks at least as often as a
 * reply can be due, for requests that their senders write. */
static void pipeline_clock(micro__loop *l, micro__pipeline *p)
{
    uint64_t due = pipeline_due(p), look = l->now + (uint64_t)p->set->o.ack_ms;

    if (due > look)
        due = look;
    if (!p->timer.set || p->timer.at > due)
        micro__timer_set(&l->timers, &p->timer, due);
}

/* The last touch of p. False: something is waiting, or its task is under way. */
static bool pipeline_finish(micro__loop *l, micro__pipeline *p)
{
    micro__pipelines *set = p->set;

    micro__lock(&set->lock);
    bool over = !p->asked && !p->ends.len && (set->closing || p->refused <= l->now);
    for (micro__pipeline **at = &set->list; over && *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            if (!p->next)
                set->end = at;
            set->found = NULL;
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

static void pipeline_work(micro__loop *l, micro__pipeline *p);
static void pipeline_turn(micro__loop *l, micro__pipeline *p);
static void pipeline_look(micro__loop *l, micro__pipeline *p);

/* False: it is lent, and there will be a task once it is back. */
static bool pipeline_enter(micro__pipeline *p)
{
    micro__lock(&p->set->lock);
    bool mine = p->whose != MICRO__PIPELINE_LENT;
    if (mine)
        p->whose = MICRO__PIPELINE_LOOPS;
    else
        p->called = true;
    micro__unlock(&p->set->lock);
    return mine;
}

/* Senders may have it now, if it can be written to. */
static void pipeline_leave(micro__pipeline *p)
{
    if (p->fd < 0 || p->connecting || p->sent < p->out.len)
        return;
    micro__lock(&p->set->lock);
    if (!p->set->closing)
        p->whose = MICRO__PIPELINE_FREE;
    micro__unlock(&p->set->lock);
}

MICRO_PRIVATE void micro__pipeline_timeout(micro__loop *l, micro__timer *t)
{
    micro__pipeline *p = (micro__pipeline *)(void *)((char *)t - offsetof(micro__pipeline, timer));

    if (!pipeline_enter(p))
        return;
    if (pipeline_due(p) > l->now) {
        pipeline_clock(l, p);
        pipeline_leave(p);
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
    micro__pipeline *p = arg;

    micro__lock(&p->set->lock);
    p->asked = false;
    int closing = (int)p->set->closing;
    micro__unlock(&p->set->lock);
    if (!pipeline_enter(p))
        return;
    if (p->news)
        pipeline_look(l, p);
    if (closing == MICRO__PIPELINE_DROP) {
        size_t lost = p->unanswered + pipeline_drop(p);
        pipeline_disconnect(l, p);
        pipeline_lost(p, lost, "closed");
    } else {
        pipeline_work(l, p);
    }
    if (closing && pipeline_quiet(p))
        pipeline_finish(l, p);
}

/* With the lock. True: it is to be pushed. */
MICRO_PRIVATE bool micro__pipeline_ask(micro__pipeline *p)
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
static void pipeline_work(micro__loop *l, micro__pipeline *p)
{
    while (p->sent < p->out.len || micro__pipeline_fetch(p))
        if ((p->fd < 0 && !pipeline_connect(l, p)) || p->connecting || !pipeline_write(l, p))
            break;
    pipeline_clock(l, p);
    pipeline_leave(p);
}

/* After news of the connection. If nothing is left to do it ends by a task: p is still needed. */
static void pipeline_turn(micro__loop *l, micro__pipeline *p)
{
    pipeline_work(l, p);
    micro__lock(&p->set->lock);
    bool ask = p->set->closing && p->whose != MICRO__PIPELINE_LENT && pipeline_quiet(p) &&
               micro__pipeline_ask(p);
    micro__unlock(&p->set->lock);
    if (ask)
        micro__loop_push(l, &p->task.item);
}

/* ---- replies ------------------------------------------------------------------------------- */

static void pipeline_answered(micro__loop *l, micro__pipeline *p, size_t ok, size_t refused)
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
static micro_err pipeline_replies(micro__loop *l, micro__pipeline *p, const char **why)
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

static void pipeline_read(micro__loop *l, micro__pipeline *p, bool ended)
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

/* What the events told of. */
static void pipeline_look(micro__loop *l, micro__pipeline *p)
{
    char why[128];
    micro_err err = MICRO_OK;
    unsigned what = p->news;
    int fd = p->fd;

    p->news = 0;
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
}

MICRO_PRIVATE void micro__pipeline_event(micro__loop *l, void *line, unsigned what)
{
    micro__pipeline *p = line;

    l->current = NULL;
    p->news |= what;
    if (!pipeline_enter(p))
        return;
    pipeline_look(l, p);
    pipeline_turn(l, p);
}
