/* SPDX-License-Identifier: MIT */
/* A connection and the stream it carries: taken on in the middle of a request, served when driven
 * by the loop, and taken off, with what came too late for it. */
#include "pipe.h"

/* What came behind the request that opens the stream. */
static bool carry_rest(micro__pipe *p, const micro__request *req)
{
    if (!req->rest_len)
        return true;
    if (micro__pipe_grow(p, req->rest_len) != MICRO_OK)
        return false;
    memcpy(p->in, req->rest, req->rest_len);
    p->in[0] = req->behind;
    p->len = req->rest_len;
    atomic_store_explicit(&p->unread, true, memory_order_relaxed);
    return true;
}

MICRO_PRIVATE micro_err micro__carry_begin(const micro__request *req, micro__pipe *p,
                                           micro_ctx *ctx)
{
    micro__thread *t = req->thread;
    micro__conn *c = t->conn;

    micro__conn_flush(t);
    if (c->dead)
        return MICRO_EIO;
    p->port = c->port;
    if (c->unsent)
        micro__buf_add(&p->out, c->unsent->bytes + c->unsent->sent,
                       c->unsent->len - c->unsent->sent);
    if (p->out.failed || !carry_rest(p, req))
        return MICRO_ENOMEM;
    micro__conn_drop_unsent(c);
    micro__sock_probe(c->fd);
    p->fd = c->fd;
    p->max_body = c->port->o.max_body;
    p->stall_ms = c->port->o.idle_ms;
    p->conn = c;
    p->loop = c->loop;
    c->carried = true;
    micro__conn_lock(c);
    c->pipe = p;
    c->running = ctx;
    micro__conn_unlock(c);
    return MICRO_OK;
}

MICRO_PRIVATE void micro__carry_end(micro__conn *c)
{
    static const micro__assembly none;
    micro__pipe *p = c->pipe;

    micro__conn_lock(c);
    c->pipe = NULL;
    c->running = NULL;
    micro__conn_unlock(c);
    c->dead |= !c->port || p->lost || (p->cut && !p->problem);
    c->last |= p->cut;
    c->refused = p->cut && !c->dead;
    c->eof |= p->fin;
    if (!c->dead) {
        if (p->sent < p->out.len)
            micro__conn_keep_unsent(c, p->out.ptr + p->sent, p->out.len - p->sent);
        if (p->at < p->len && !p->cut)
            c->dead |= !micro__conn_keep(c, &none, p->in + p->at, p->len - p->at, micro__now_ms());
    }
    micro__pipe_drop(p); /* the port may be gone before p is */
    p->done(p);
}

MICRO_PRIVATE bool micro__carry_serve(micro__conn *c)
{
    micro__pipe *p = c->pipe;

    atomic_store_explicit(&p->inside, micro__thread_mark(), memory_order_relaxed);
    micro__user_begin(NULL);
    p->serve(p);
    micro__user_end(NULL);
    atomic_store_explicit(&p->inside, NULL, memory_order_relaxed);
    micro__pipe_flush(p);
    if (!p->over)
        return false;
    micro__carry_end(c);
    return true;
}

MICRO_PRIVATE micro_err micro__carry_attach(micro__pipe *p, micro__loop *l)
{
    micro__conn *c = micro__alloc_zero(sizeof *c);

    if (!c)
        return MICRO_ENOMEM;
    c->kind = MICRO__SRC_CONN;
    c->link.kind = MICRO__ITEM_CONN;
    c->fd = p->fd;
    c->loop = l;
    c->pipe = p;
    c->busy = true; /* until the loop has it: a kick may be there first */
    atomic_flag_clear(&c->run_lock);
    p->conn = c;
    p->loop = l;
    p->driven = true;
    return MICRO_OK;
}

MICRO_PRIVATE void micro__carry_start(micro__pipe *p)
{
    atomic_fetch_add_explicit(&p->loop->nconns, 1, memory_order_relaxed);
    micro__loop_push(p->loop, &p->conn->link);
}

/* The poller does not take it. */
MICRO_PRIVATE void micro__carry_broken(micro__conn *c)
{
    micro__lock(&c->pipe->lock);
    c->pipe->cut = c->pipe->lost = true;
    micro__unlock(&c->pipe->lock);
}

/* As if the connection had broken. */
static void carry_stalled(micro__loop *l, micro__timer *timer)
{
    micro__pipe *p = (micro__pipe *)(void *)((char *)timer - offsetof(micro__pipe, stall));

    if (p->conn->busy) /* something has happened, and waits for its turn */
        return;
    p->problem = "the caller does not read";
    micro__carry_broken(p->conn);
    micro__loop_poke(l, p->conn);
}

/* A peer that does not read what waits for it, and does not go either, has an end too. */
static void carry_watch(micro__loop *l, micro__pipe *p)
{
    if (p->stall_ms < 0)
        return;
    p->stall.fn = carry_stalled;
    micro__timer_set(&l->timers, &p->stall, p->stuck + (uint64_t)p->stall_ms);
}

MICRO_PRIVATE void micro__carry_rearm(micro__loop *l, micro__conn *c)
{
    micro__pipe *p = c->pipe;

    if (micro__pipe_flush(p)) {
        micro__poller_rearm(&l->poller, c->fd, c, MICRO__OUT);
        carry_watch(l, p);
    }
    if (p->cut) /* by that: no event will tell of it */
        micro__pipe_kick(p);
    if (!p->full)
        micro__poller_rearm(&l->poller, c->fd, c, MICRO__IN);
}
