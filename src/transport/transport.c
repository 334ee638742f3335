/* SPDX-License-Identifier: MIT */
/* Calls a transport's ops, with checks that every implementation would otherwise repeat. */
#include "transport.h"

/* An op that the table does not have, or that its maker did not know of yet, is not supported. */
#define TRANSPORT_HAS(t, op) \
    ((t)->ops->op && (t)->ops->size_ >= offsetof(micro_transport_ops, op) + sizeof((t)->ops->op))

static micro_err transport_lacks(micro_transport *t, micro_ctx *ctx, const char *what)
{
    return micro__ctx_local(ctx, MICRO_ENOSYS, "transport %s cannot %s", t->ops->name, what);
}

MICRO_PRIVATE micro_err micro__transport_dial(micro_transport *t, micro_ctx *ctx,
                                              const char *address, micro_sock **out)
{
    return TRANSPORT_HAS(t, dial) ? t->ops->dial(t, ctx, address, out)
                                  : transport_lacks(t, ctx, "dial");
}

MICRO_PRIVATE micro_err micro__transport_send(micro_transport *t, micro_ctx *ctx, micro_sock *s,
                                              const micro_msg *msg)
{
    return TRANSPORT_HAS(t, send) ? t->ops->send(t, ctx, s, msg) : transport_lacks(t, ctx, "send");
}

MICRO_PRIVATE micro_err micro__transport_recv(micro_transport *t, micro_ctx *ctx, micro_sock *s,
                                              micro_msg *out)
{
    return TRANSPORT_HAS(t, recv) ? t->ops->recv(t, ctx, s, out)
                                  : transport_lacks(t, ctx, "receive");
}

MICRO_PRIVATE bool micro__transport_alive(micro_transport *t, micro_sock *s)
{
    return TRANSPORT_HAS(t, alive) && t->ops->alive(t, s);
}

MICRO_PRIVATE void micro__transport_hangup(micro_transport *t, micro_sock *s)
{
    if (s && TRANSPORT_HAS(t, hangup))
        t->ops->hangup(t, s);
}

MICRO_PRIVATE micro_err micro__transport_listen(micro_transport *t, const char *address,
                                                micro_deliver_fn *fn, void *arg,
                                                micro_listener **out)
{
    return TRANSPORT_HAS(t, listen) && TRANSPORT_HAS(t, unlisten) && TRANSPORT_HAS(t, address)
               ? t->ops->listen(t, address, fn, arg, out)
               : MICRO_ENOSYS;
}

MICRO_API void micro_transport_free(micro_transport *transport)
{
    if (transport && TRANSPORT_HAS(transport, free))
        transport->ops->free(transport);
}
