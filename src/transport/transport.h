/* SPDX-License-Identifier: MIT */
/* Thin wrappers of a transport's ops, and what the server must know of the built-in one. */
#ifndef MICRO_TRANSPORT_H
#define MICRO_TRANSPORT_H

#include "../net/net.h"

MICRO_PRIVATE micro_err micro__transport_dial(micro_transport *t, micro_ctx *ctx,
                                              const char *address, micro_sock **out);
MICRO_PRIVATE micro_err micro__transport_send(micro_transport *t, micro_ctx *ctx, micro_sock *s,
                                              const micro_msg *msg);
MICRO_PRIVATE micro_err micro__transport_recv(micro_transport *t, micro_ctx *ctx, micro_sock *s,
                                              micro_msg *out);
MICRO_PRIVATE bool micro__transport_alive(micro_transport *t, micro_sock *s);
MICRO_PRIVATE void micro__transport_hangup(micro_transport *t, micro_sock *s);
/* ENOSYS where the transport cannot serve. */
MICRO_PRIVATE micro_err micro__transport_listen(micro_transport *t, const char *address,
                                                micro_deliver_fn *fn, void *arg,
                                                micro_listener **out);
/* The http transport: its server side is the engine's ports, not its listen op. */
MICRO_PRIVATE bool micro__transport_is_http(const micro_transport *t);

/* A connection that is the caller's, until ctx's deadline; errors are in ctx. */
MICRO_PRIVATE micro_err micro__transport_http_open(micro_ctx *ctx, const char *address, int *fd);

#endif
