/* SPDX-License-Identifier: MIT */
/* New connections of a port: which loop gets them, and what is done when there are too many. */
#include "engine.h"

#define ACCEPT_MAX 64      /* connections taken in one go */
#define ACCEPT_AWAY 8      /* turned away in one go: others wait meanwhile, some 0.1 ms */
#define ACCEPT_PAUSE_MS 10 /* before a full port looks again */

static void accept_port_resume(micro__loop *l, micro__timer *t)
{
    micro__port_watch *w =
        (micro__port_watch *)(void *)((char *)t - offsetof(micro__port_watch, resume));
    micro__port *p = w->port;

    if (atomic_load(&p->closing) > MICRO__PORT_LEAVING)
        return;
    if (atomic_load_explicit(&p->nconns, memory_order_relaxed) >= p->o.max_conns ||
        micro__poller_add_listener(&l->poller, p->fd, p) != MICRO_OK)
        micro__timer_set(&l->timers, t, l->now + ACCEPT_PAUSE_MS);
}

/* A listener that is left alone while somebody waits would be reported for ever. */
static void accept_port_pause(micro__loop *l, micro__port *p)
{
    micro__timer *t = &p->watch[l - l->e->loops].resume;

    micro__poller_del(&l->poller, p->fd);
    t->fn = accept_port_resume;
    micro__timer_set(&l->timers, t, l->now + ACCEPT_PAUSE_MS);
}

/* Out of descriptors: the reserved one takes the caller in, to turn it away; the service goes on.
 */
static void accept_starved(micro__loop *l, micro__port *p)
{
    micro__engine *e = l->e;
    int fd;

    if (!atomic_exchange(&e->starved, true))
        MICRO_LOG(MICRO_LOG_ERROR, "out of file descriptors: new connections are turned away");
    micro__lock(&e->lock);
    micro__fd_close(e->reserve_fd);
    for (int i = 0; i < ACCEPT_AWAY && micro__sock_accept(p->fd, &fd, NULL) == MICRO_OK; i++)
        micro__fd_close(fd);
    e->reserve_fd = micro__fd_reserve();
    micro__unlock(&e->lock);
    accept_port_pause(l, p);
}

static micro__loop *accept_quietest(micro__engine *e, micro__loop *l)
{
    for (int i = 0; i < e->nloops; i++)
        if (atomic_load_explicit(&e->loops[i].nconns, memory_order_relaxed) <
            atomic_load_explicit(&l->nconns, memory_order_relaxed))
            l = &e->loops[i];
    return l;
}

static void accept_open(micro__loop *l, micro__port *p, int fd, const micro__addr *peer)
{
    micro__conn *c = micro__alloc_zero(sizeof *c);
    char text[128];

    if (!c) {
        micro__fd_close(fd);
        return;
    }
    micro__loop *to = accept_quietest(l->e, l);
    micro__addr_format(peer, text);
    text[sizeof c->peer - 1] = '\0';
    memcpy(c->peer, text, strlen(text) + 1);
    c->kind = MICRO__SRC_CONN;
    c->link.kind = MICRO__ITEM_CONN;
    c->fd = fd;
    c->port = p;
    c->loop = to;
    atomic_flag_clear(&c->run_lock);
    atomic_fetch_add_explicit(&to->nconns, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->nconns, 1, memory_order_relaxed);
    if (to == l)
        micro__conn_join(l, c);
    else
        micro__loop_push(to, &c->link);
}

MICRO_PRIVATE void micro__conn_accept(micro__loop *l, micro__port *p)
{
    for (int i = 0; i < ACCEPT_MAX; i++) {
        micro__addr peer;
        int fd;

        if (atomic_load_explicit(&p->nconns, memory_order_relaxed) >= p->o.max_conns) {
            accept_port_pause(l, p);
            return;
        }
        micro_err err = micro__sock_accept(p->fd, &fd, &peer);
        if (err == MICRO_OK)
            accept_open(l, p, fd, &peer);
        else if (err == MICRO_ENOMEM) {
            accept_starved(l, p);
            return;
        } else if (err != MICRO_EIO)
            return;
    }
}
