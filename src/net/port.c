/* SPDX-License-Identifier: MIT */
/* A listening socket that all loops of an engine watch, and its graceful end. */
#include "engine.h"

#define PORT_BACKLOG 4096
#define PORT_QUIET_MS 100u   /* with no request for so long, all callers know that this node goes */
#define PORT_LINGER_MS 1000u /* or may be expected to */
#define PORT_FRESH_MS 100u   /* a new connection is given so long for its first request */
#define PORT_HALF_MS 1000u   /* a half-sent request is waited for this long when the port closes */
#define PORT_LAST_MS 1000u   /* after the deadline: for handlers that heed their cancelled ctx */
#define PORT_STEP_MS 10

/* The last touch: whoever waits for the port to end may free it as soon as the lock is open. */
static void port_done(micro__port *p, atomic_int *count)
{
    micro__engine *e = p->e;

    micro__lock(&e->lock);
    atomic_fetch_sub(count, 1);
    micro__cond_broadcast(&e->changed);
    micro__unlock(&e->lock);
}

MICRO_PRIVATE void micro__port_leave(micro__port *p)
{
    port_done(p, &p->nconns);
}

MICRO_PRIVATE bool micro__port_leaves(micro__port *p)
{
    if (!atomic_load_explicit(&p->closing, memory_order_relaxed))
        return false;
    atomic_store_explicit(&p->stirred, micro__now_ms(), memory_order_relaxed);
    return true;
}

MICRO_PRIVATE micro_err micro__listener_open(micro__listener *s, const micro__addr *at)
{
    return micro__sock_listen(at, PORT_BACKLOG, &s->fd, &s->bound);
}

MICRO_PRIVATE void micro__listener_close(micro__listener *s)
{
    micro__fd_close(s->fd);
    if (s->fd >= 0)
        micro__sock_unlink(&s->bound);
    s->fd = -1;
}

static void port_free(micro__port *p)
{
    if (!p->e->threaded)
        micro__local_leave(p);
    micro__fd_close(p->fd);
    micro__sock_unlink(&p->bound);
    micro__free(p->watch, sizeof *p->watch * (size_t)p->e->nloops);
    micro__free(p, sizeof *p);
}

MICRO_PRIVATE micro_err micro__port_open(micro__engine *e, micro__listener *s,
                                         const micro__port_opts *opts, micro__port **out)
{
    micro__port *p = micro__alloc_zero(sizeof *p);
    micro__port_watch *watch = micro__alloc_zero(sizeof *watch * (size_t)e->nloops);
    micro_err err = MICRO_OK;

    if (!p || !watch) {
        micro__listener_close(s);
        micro__free(watch, sizeof *watch * (size_t)e->nloops);
        micro__free(p, sizeof *p);
        return MICRO_ENOMEM;
    }
    p->kind = MICRO__SRC_PORT;
    p->e = e;
    p->o = *opts;
    p->watch = watch;
    p->fd = s->fd;
    p->bound = s->bound;
    s->fd = -1;
    micro__addr_format(&p->bound, p->address);
    for (int i = 0; i < e->nloops; i++)
        p->watch[i].port = p;
    for (int i = 0; i < e->nloops && err == MICRO_OK; i++)
        err = micro__poller_add_listener(&e->loops[i].poller, p->fd, p);
    if (err != MICRO_OK) {
        micro__port_close(p, micro__now_ms());
        return err;
    }
    if (!e->threaded)
        micro__local_join(p);
    *out = p;
    return MICRO_OK;
}

MICRO_PRIVATE const char *micro__port_address(const micro__port *p)
{
    return p->address;
}

/* ---- closing ------------------------------------------------------------------------------- */

enum { PORT_UNWATCH, PORT_HALF, PORT_ALL };

static bool port_may_close(const micro__conn *c, uint64_t now, int step)
{
    switch (step) {
    case PORT_UNWATCH: /* a request that is here already, or about to come, will be served, and that
                          closes the connection */
        return !c->partial && !c->unsent && (c->served || now - c->seen > PORT_FRESH_MS) &&
               micro__sock_quiet(c->fd);
    case PORT_HALF:
        return !c->unsent && (c->partial || micro__sock_quiet(c->fd));
    default:
        return true;
    }
}

static void port_step(micro__loop *l, micro__port_watch *w, int step)
{
    micro__port *p = w->port;

    if (step == PORT_UNWATCH) {
        micro__conn_accept(l, p); /* who is through to us already is not reset */
        micro__poller_del(&l->poller, p->fd);
        micro__timer_clear(&l->timers, &w->resume);
    }
    for (micro__conn *c = l->oldest, *newer; c; c = newer) {
        newer = c->newer;
        if (c->port != p)
            continue;
        if (!c->busy && !c->pipe && port_may_close(c, l->now, step)) {
            micro__conn_close(l, c);
        } else if ((c->busy || c->pipe) && step == PORT_ALL) {
            micro__conn_gone(c);
            micro__sock_shutdown(c->fd);
        }
    }
    port_done(p, &p->asked);
}

static void port_unwatch(micro__loop *l, void *arg)
{
    port_step(l, arg, PORT_UNWATCH);
}

static void port_half(micro__loop *l, void *arg)
{
    port_step(l, arg, PORT_HALF);
}

static void port_all(micro__loop *l, void *arg)
{
    port_step(l, arg, PORT_ALL);
}

static void port_ask(micro__port *p, int step)
{
    static void (*const run[])(micro__loop *, void *) = { port_unwatch, port_half, port_all };

    atomic_fetch_add(&p->asked, p->e->nloops);
    for (int i = 0; i < p->e->nloops; i++) {
        micro__task *k = &p->watch[i].step[step];
        memset(k, 0, sizeof *k);
        k->item.kind = MICRO__ITEM_TASK;
        k->run = run[step];
        k->arg = &p->watch[i];
        micro__loop_push(&p->e->loops[i], &k->item);
    }
}

/* Once no loop watches the listener it is closed, so that callers are refused and go elsewhere. */
static bool port_ended(micro__port *p)
{
    if (atomic_load(&p->asked))
        return false;
    micro__fd_close(p->fd);
    p->fd = -1;
    return !atomic_load(&p->nconns);
}

/* True: it has ended. */
static bool port_wait(micro__port *p, uint64_t until)
{
    micro__engine *e = p->e;
    bool ended;

    if (!e->threaded) {
        while (!(ended = port_ended(p)) && (!until || micro__now_ms() < until))
            micro__engine_drive(e, PORT_STEP_MS);
        return ended;
    }
    micro__lock(&e->lock);
    while (!(ended = port_ended(p)) && micro__cond_wait(&e->changed, &e->lock, until))
        ;
    micro__unlock(&e->lock);
    return ended;
}

static void port_pause(micro__port *p)
{
    micro__engine *e = p->e;

    if (!e->threaded) {
        micro__engine_drive(e, PORT_STEP_MS);
        return;
    }
    micro__lock(&e->lock);
    micro__cond_wait(&e->changed, &e->lock, micro__now_ms() + PORT_STEP_MS);
    micro__unlock(&e->lock);
}

/* Callers that have not heard yet are served a little longer; their connections end with it. So
 * nobody finds a connection closed that was just about to be used. */
static void port_linger(micro__port *p, uint64_t deadline)
{
    uint64_t now = micro__now_ms(), until = now + PORT_LINGER_MS;

    if (deadline && deadline < until)
        until = deadline;
    atomic_store(&p->stirred, now);
    atomic_store(&p->closing, MICRO__PORT_LEAVING);
    while (atomic_load(&p->nconns) && now < until &&
           now < atomic_load(&p->stirred) + PORT_QUIET_MS) {
        port_pause(p);
        now = micro__now_ms();
    }
}

MICRO_PRIVATE bool micro__port_close(micro__port *p, uint64_t deadline)
{
    port_linger(p, deadline);
    return micro__port_shut(p, deadline);
}

MICRO_PRIVATE bool micro__port_shut(micro__port *p, uint64_t deadline)
{
    bool ended;
    uint64_t half = micro__now_ms() + PORT_HALF_MS;
    atomic_store(&p->closing, MICRO__PORT_DRAINING);
    port_ask(p, PORT_UNWATCH);
    ended = port_wait(p, deadline && deadline < half ? deadline : half);
    if (!ended) {
        port_ask(p, PORT_HALF);
        ended = port_wait(p, deadline);
    }
    if (!ended) {
        atomic_store(&p->closing, MICRO__PORT_ENDING);
        port_ask(p, PORT_ALL);
        ended = port_wait(p, micro__now_ms() + PORT_LAST_MS);
    }
    if (ended)
        port_free(p);
    return ended;
}
