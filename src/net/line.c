/* SPDX-License-Identifier: MIT */
/* Exchanges with other services, driven by a loop: connections to them, kept per loop, and what
 * goes over them. Everything happens in the loop's seat. */
#include "engine.h"

#define LINE_SWEEP_MS 5000u

typedef struct micro__line {
    int kind; /* MICRO__SRC_LINE, first */
    int fd;
    bool connecting;
    bool near;                  /* see micro__sock_is_near */
    micro__exchange *x;         /* NULL: idle */
    micro__http_reader *reader; /* of a reply that comes in pieces */
    uint64_t made, since;
    struct micro__line *next;
    char address[128];
} micro__line;

static micro__line **line_place(micro__loop *l, const char *address)
{
    return &l->lines.idle[micro__str_hash(micro_s(address)) % MICRO_COUNTOF(l->lines.idle)];
}

/* ---- readers ----------------------------------------------------------------------------------
 */

/* What the thread's own reader has got so far, in one that can wait. */
static micro__http_reader *line_reader_keep(micro__loop *l, const micro__http_reader *from)
{
    micro__http_reader *r = l->lines.spare;

    if (r)
        l->lines.spare = NULL;
    else
        r = micro__alloc(sizeof *r);
    if (!r)
        return NULL;
    memcpy(r, from, offsetof(micro__http_reader, start));
    memcpy(r->start, from->start, from->have);
    r->head.headers = r->headers;
    return r;
}

static void line_reader_drop(micro__loop *l, micro__line *w)
{
    if (!w->reader)
        return;
    if (l->lines.spare)
        micro__free(w->reader, sizeof *w->reader);
    else
        l->lines.spare = w->reader;
    w->reader = NULL;
}

/* ---- closing and keeping ------------------------------------------------------------------- */

/* Its memory stays until the batch is over: an event that names it may be ahead. */
static void line_close(micro__loop *l, micro__line *w)
{
    line_reader_drop(l, w);
    micro__poller_del(&l->poller, w->fd);
    micro__fd_close(w->fd);
    w->kind = MICRO__SRC_DEAD;
    w->next = l->lines.dead;
    l->lines.dead = w;
}

MICRO_PRIVATE void micro__line_bury(micro__loop *l)
{
    while (l->lines.dead) {
        micro__line *w = l->lines.dead;
        l->lines.dead = w->next;
        micro__free(w, sizeof *w);
    }
}

static void line_unlink(micro__loop *l, micro__line *w)
{
    for (micro__line **p = line_place(l, w->address); *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            l->lines.nidle--;
            return;
        }
}

MICRO_PRIVATE void micro__line_clear(micro__loop *l)
{
    for (size_t i = 0; i < MICRO_COUNTOF(l->lines.idle); i++)
        while (l->lines.idle[i]) {
            micro__line *w = l->lines.idle[i];
            l->lines.idle[i] = w->next;
            line_close(l, w);
        }
    micro__line_bury(l);
    micro__free(l->lines.spare, sizeof *l->lines.spare);
    l->lines.spare = NULL;
}

/* since holds, for an idle one, until when it may be used. */
static void line_sweep(micro__loop *l, micro__timer *t)
{
    for (size_t i = 0; i < MICRO_COUNTOF(l->lines.idle); i++)
        for (micro__line **p = &l->lines.idle[i]; *p;) {
            micro__line *w = *p;
            if (w->since > l->now) {
                p = &w->next;
                continue;
            }
            *p = w->next;
            l->lines.nidle--;
            line_close(l, w);
        }
    if (l->lines.nidle)
        micro__timer_set(&l->timers, t, l->now + LINE_SWEEP_MS);
}

static uint64_t line_use_until(const micro__loop *l, const micro__line *w, const micro__exchange *x)
{
    uint64_t idle = x->idle_ms < 0 ? UINT64_MAX : l->now + (uint64_t)x->idle_ms;
    uint64_t age = x->age_ms < 0 ? UINT64_MAX : w->made + (uint64_t)x->age_ms;

    return idle < age ? idle : age;
}

static void line_keep(micro__loop *l, micro__line *w, const micro__exchange *x)
{
    micro__line **place = line_place(l, w->address);
    int n = 0;

    for (micro__line *k = l->lines.nidle < x->pool_size ? NULL : *place; k; k = k->next)
        n += !strcmp(k->address, w->address);
    w->since = line_use_until(l, w, x);
    if (n >= x->pool_size || w->since <= l->now) {
        line_close(l, w);
        return;
    }
    w->next = *place;
    *place = w;
    l->lines.nidle++;
    if (!l->lines.sweep.set) {
        l->lines.sweep.fn = line_sweep;
        micro__timer_set(&l->timers, &l->lines.sweep, l->now + LINE_SWEEP_MS);
    }
}

static micro__line *line_idle(micro__loop *l, const char *address)
{
    for (micro__line *w = *line_place(l, address); w; w = w->next)
        if (!strcmp(w->address, address) && w->since > l->now) {
            line_unlink(l, w);
            w->next = NULL;
            return w;
        }
    return NULL;
}

/* ---- one exchange -------------------------------------------------------------------------- */

/* The end: the line is free or gone before anybody is told. */
static void line_finish(micro__loop *l, micro__line *w, micro_err err, bool keep)
{
    micro__exchange *x = w->x;

    micro__timer_clear(&l->timers, &x->timer);
    w->x = NULL;
    x->line = NULL;
    line_reader_drop(l, w);
    if (keep)
        line_keep(l, w, x);
    else
        line_close(l, w);
    x->done(l, x, err);
}

MICRO_PRIVATE void micro__exchange_cancel(micro__loop *l, micro__exchange *x, micro_err err)
{
    if (x->line)
        line_finish(l, x->line, err, false);
}

static void line_timeout(micro__loop *l, micro__timer *t)
{
    micro__exchange *x = (micro__exchange *)(void *)((char *)t - offsetof(micro__exchange, timer));

    micro__exchange_cancel(l, x, MICRO_ETIMEDOUT);
}

static void line_limit(micro__loop *l, micro__exchange *x, uint64_t until)
{
    x->timer.fn = line_timeout;
    if (until)
        micro__timer_set(&l->timers, &x->timer, until);
    else
        micro__timer_clear(&l->timers, &x->timer);
}

/* False: it has failed, and is finished. */
static bool line_send(micro__loop *l, micro__line *w)
{
    micro__exchange *x = w->x;
    size_t all = x->head_len + x->body_len;

    while (x->sent < all) {
        long n = x->sent < x->head_len
                     ? micro__sock_send2(w->fd, x->head + x->sent, x->head_len - x->sent, x->body,
                                         x->body_len)
                     : micro__sock_send(w->fd, x->body + (x->sent - x->head_len), all - x->sent);
        if (n == MICRO_EAGAIN) {
            micro__poller_rearm(&l->poller, w->fd, w, MICRO__OUT);
            return true;
        }
        if (n < 0) {
            line_finish(l, w, MICRO_EIO, false);
            return false;
        }
        x->sent += (size_t)n;
    }
    x->untouched = false;
    return true;
}

static void line_read(micro__thread *t, micro__loop *l, micro__line *w, bool ended)
{
    micro__http_reader *r = w->reader ? w->reader : t->reader;
    micro__exchange *x = w->x;
    micro_err err = MICRO_EAGAIN;

    if (!w->reader)
        micro__http_reader_init(r, x->ctx, MICRO_MAX_BODY);
    while (err == MICRO_EAGAIN) {
        size_t room;
        char *at = micro__http_reader_room(r, &room);
        long n = at ? micro__sock_recv(w->fd, at, room) : MICRO_ENOMEM;
        if (n == MICRO_EAGAIN)
            break;
        err = n < 0 ? (micro_err)n : micro__http_reader_feed(r, (size_t)n);
        if (err == MICRO_EAGAIN && (size_t)n < room && !ended)
            break; /* edge-triggered: more will be told */
    }
    micro__poller_rearm(&l->poller, w->fd, w, MICRO__IN);
    x->any = r->any;
    if (err != MICRO_EAGAIN) {
        x->problem = r->problem;
        bool keep = err == MICRO_OK && r->reusable && !ended && !x->untouched;
        x->replied = err == MICRO_OK;
        if (x->replied)
            err = x->reply(x, r);
        line_finish(l, w, err, keep);
        return;
    }
    l->lines.halves |= r->any && w->near;
    if (!w->reader && r->any) {
        w->reader = line_reader_keep(l, r);
        if (!w->reader)
            line_finish(l, w, MICRO_ENOMEM, false);
    }
}

static void line_connected(micro__loop *l, micro__line *w)
{
    micro__exchange *x = w->x;
    int fd = w->fd;
    micro_err err = micro__sock_connect_end(&w->fd, x->why);

    if (err != MICRO_OK) { /* and it is closed: the number may mean another one soon */
        micro__poller_del(&l->poller, fd);
        line_finish(l, w, err, false);
        return;
    }
    w->connecting = false;
    w->near = micro__sock_is_near(w->fd);
    line_limit(l, x, x->until);
    line_send(l, w);
}

MICRO_PRIVATE void micro__line_event(micro__thread *t, micro__loop *l, void *line, unsigned what)
{
    micro__line *w = line;

    l->current = NULL;
    if (!w->x && what == MICRO__OUT)
        return;
    if (!w->x) { /* idle: whatever comes, it is of no use any more */
        line_unlink(l, w);
        line_close(l, w);
        return;
    }
    if (w->connecting) {
        line_connected(l, w);
        return;
    }
    if (w->x->untouched && what & MICRO__OUT && !line_send(l, w))
        return;
    if (what & (MICRO__IN | MICRO__HUP))
        line_read(t, l, w, what & MICRO__HUP);
}

/* ---- starting ------------------------------------------------------------------------------ */

static micro__line *line_open(micro__loop *l, micro__exchange *x, micro_err *err)
{
    micro__line *w = micro__alloc_zero(sizeof *w);

    *err = MICRO_ENOMEM;
    if (!w)
        return NULL;
    w->kind = MICRO__SRC_LINE;
    w->made = l->now;
    snprintf(w->address, sizeof w->address, "%s", x->address);
    *err = micro__sock_connect_begin(&x->to, &w->fd, x->why);
    w->connecting = *err == MICRO_EAGAIN;
    if (w->connecting || *err == MICRO_OK)
        *err = micro__poller_add(&l->poller, w->fd, w);
    if (w->connecting && *err == MICRO_OK)
        micro__poller_rearm(&l->poller, w->fd, w, MICRO__OUT);
    if (*err == MICRO_OK) {
        w->near = !w->connecting && micro__sock_is_near(w->fd);
        return w;
    }
    micro__fd_close(w->fd);
    micro__free(w, sizeof *w);
    return NULL;
}

MICRO_PRIVATE void micro__exchange_start(micro__loop *l, micro__exchange *x)
{
    micro_err err;
    micro__line *w = line_idle(l, x->address);

    x->untouched = true;
    x->any = x->replied = false;
    x->problem = NULL;
    x->sent = 0;
    if (!w)
        w = line_open(l, x, &err);
    if (!w) {
        x->done(l, x, err);
        return;
    }
    w->x = x;
    x->line = w;
    if (w->connecting) {
        line_limit(l, x, x->dial_until);
        return;
    }
    line_limit(l, x, x->until);
    line_send(l, w);
}
