/* SPDX-License-Identifier: MIT */
/* What a connection keeps between its turns: the start of a request, what a slow reader has left.
 * How much, all of a port together; for how long; and the end of a connection that was refused. */
#include "engine.h"

#define KEEP_ROOM 1024      /* free space wanted before a read */
#define KEEP_EXPECT_MS 100  /* decision: 100 Continue only if the body stays away this long */
#define KEEP_GRACE_MS 20000 /* a request takes at most this, and a millisecond for each byte */
#define KEEP_LINGER_MS 2000 /* who was refused may go on sending */

/* ---- memory -------------------------------------------------------------------------------- */

static size_t keep_partial_size(size_t cap)
{
    return sizeof(micro__partial) + cap + 1;
}

/* To linger is always possible. */
MICRO_PRIVATE bool micro__port_keep(micro__port *p, size_t from, size_t to)
{
    if (!p || from == to)
        return true;
    size_t before = atomic_fetch_add_explicit(&p->kept, to - from, memory_order_relaxed);
    if (to <= from || to <= keep_partial_size(0) || !p->o.max_kept ||
        before + (to - from) <= p->o.max_kept)
        return true;
    atomic_fetch_sub_explicit(&p->kept, to - from, memory_order_relaxed);
    return false;
}

static void *keep_resize(const micro__conn *c, void *old, size_t from, size_t to)
{
    if (!micro__port_keep(c->port, from, to))
        return NULL;
    void *block = micro__realloc(old, from, to);
    if (!block)
        micro__port_keep(c->port, to, from);
    return block;
}

static void keep_free(const micro__conn *c, void *old, size_t size)
{
    micro__port_keep(c->port, size, 0);
    micro__free(old, size);
}

/* ---- the start of a request ---------------------------------------------------------------- */

static micro__partial *keep_partial_new(micro__conn *c, size_t cap)
{
    micro__partial *p = keep_resize(c, NULL, 0, keep_partial_size(cap));

    if (!p)
        return NULL;
    memset(p, 0, sizeof *p);
    p->cap = cap;
    p->conn = c;
    c->partial = p;
    return p;
}

MICRO_PRIVATE void micro__conn_drop_partial(micro__conn *c)
{
    if (c->partial)
        keep_free(c, c->partial, keep_partial_size(c->partial->cap));
    c->partial = NULL;
}

MICRO_PRIVATE bool micro__conn_keep(micro__conn *c, const micro__assembly *as, const char *rest,
                                    size_t n, uint64_t now)
{
    micro__partial *p = c->partial;

    if (!n)
        return true;
    if (!p)
        p = keep_partial_new(c, n + KEEP_ROOM);
    if (!p)
        return false;
    if (!p->len || rest != p->bytes)
        p->since = now;
    memmove(p->bytes, rest, n);
    p->len = n;
    p->as = *as;
    return true;
}

MICRO_PRIVATE size_t micro__assembly_want(const micro__assembly *as, size_t len, size_t cap)
{
    size_t want = len + KEEP_ROOM;

    if (as->head && !as->chunked && as->head + as->length > len)
        want = as->head + (size_t)as->length;
    return cap && want > cap * 2 ? cap * 2 : want;
}

MICRO_PRIVATE bool micro__conn_room(micro__conn *c)
{
    micro__partial *p = c->partial;
    size_t want = micro__assembly_want(&p->as, p->len, p->cap);

    if (want <= p->cap)
        return true;
    p = keep_resize(c, p, keep_partial_size(p->cap), keep_partial_size(want));
    if (!p)
        return false;
    p->cap = want;
    c->partial = p;
    return true;
}

/* ---- what a slow reader has left ----------------------------------------------------------- */

/* Behind what waits already. */
MICRO_PRIVATE void micro__conn_keep_unsent(micro__conn *c, const char *rest, size_t n)
{
    micro__unsent *u = c->unsent;
    size_t have = u ? u->len : 0;

    u = keep_resize(c, u, u ? sizeof *u + have : 0, sizeof *u + have + n);
    if (!u) {
        c->dead = true;
        return;
    }
    if (!have)
        u->sent = 0;
    memcpy(u->bytes + have, rest, n);
    u->len = have + n;
    c->unsent = u;
}

MICRO_PRIVATE void micro__conn_drop_unsent(micro__conn *c)
{
    if (c->unsent)
        keep_free(c, c->unsent, sizeof *c->unsent + c->unsent->len);
    c->unsent = NULL;
}

/* ---- time ---------------------------------------------------------------------------------- */

/* A peer that still sends when the connection is closed is told by a reset, and the refusal may be
 * lost to that. So only our side ends, and what comes is read for a while. False: it cannot be. */
MICRO_PRIVATE bool micro__conn_linger(micro__conn *c)
{
    if (!c->partial && !keep_partial_new(c, 0))
        return false;
    c->lingers = true;
    c->partial->len = 0; /* of what was thrown away */
    c->partial->since = micro__now_ms();
    micro__sock_end(c->fd);
    return true;
}

static bool keep_expects(const micro__partial *p)
{
    return p->as.expect && p->as.head && p->len == p->as.head;
}

/* When a request that has not come in by then comes too slowly. */
static uint64_t keep_until(const micro__partial *p)
{
    int idle = p->conn->port->o.idle_ms;
    int grace = idle >= 0 && idle < KEEP_GRACE_MS ? idle : KEEP_GRACE_MS;

    return p->since + (uint64_t)grace + p->len;
}

static void keep_too_slow(micro__loop *l, micro__conn *c)
{
    static const char text[] = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";

    c->last = c->refused = true;
    if (micro__sock_send(c->fd, text, sizeof text - 1) != (long)sizeof text - 1 ||
        !micro__conn_linger(c))
        c->dead = true;
    micro__conn_settle(l, c);
}

static void keep_due(micro__loop *l, micro__timer *timer)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    micro__partial *p = (micro__partial *)(void *)((char *)timer - offsetof(micro__partial, timer));
    micro__conn *c = p->conn;

    if (c->busy) /* more has come, and waits for its turn */
        return;
    if (c->lingers) {
        micro__conn_close(l, c);
        return;
    }
    if (keep_until(p) <= l->now) {
        keep_too_slow(l, c);
        return;
    }
    if (keep_expects(p)) {
        p->as.expect = false;
        c->dead = micro__sock_send(c->fd, go_on, sizeof go_on - 1) != (long)sizeof go_on - 1;
    }
    micro__conn_settle(l, c);
}

static uint64_t keep_due_at(const micro__loop *l, const micro__partial *p)
{
    if (p->conn->lingers)
        return p->since + KEEP_LINGER_MS;
    uint64_t until = keep_until(p), expect = l->now + KEEP_EXPECT_MS;
    return keep_expects(p) && expect < until ? expect : until;
}

MICRO_PRIVATE void micro__conn_settle(micro__loop *l, micro__conn *c)
{
    micro__partial *p = c->partial;

    if (c->pipe) {
        micro__carry_rearm(l, c);
        return;
    }
    int closing = c->port ? atomic_load_explicit(&c->port->closing, memory_order_relaxed) : 0;
    bool idle = c->served && !p && !c->unsent;
    if (c->dead || closing == MICRO__PORT_ENDING || (closing == MICRO__PORT_DRAINING && idle)) {
        micro__conn_close(l, c);
        return;
    }
    micro__poller_rearm(&l->poller, c->fd, c, c->unsent ? MICRO__OUT : MICRO__IN);
    if (!p || c->unsent)
        return;
    p->timer.fn = keep_due;
    micro__timer_set(&l->timers, &p->timer, keep_due_at(l, p));
}
