/* SPDX-License-Identifier: MIT */
/* One request to every node of a service. */
#include "call.h"

MICRO_PRIVATE size_t micro__client_start_all(micro__client *c, micro__engine *e, micro_ctx *ctx,
                                             const char *service, const micro_method *method,
                                             const void *req, const micro_call_opts *opts,
                                             micro_done_fn *done, micro_fn *fn, void *arg)
{
    micro__call k = { .c = c, .ctx = ctx, .service = service, .method = method };
    const micro_nodes *nodes = NULL;
    size_t started = 0;
    micro_err err = micro__call_options(&k, opts);

    if (err == MICRO_OK)
        err = micro__call_select(&k, &nodes);
    const micro__filter filter = micro__call_filter(&k);
    for (size_t i = 0; nodes && i < nodes->len; i++) {
        if (!micro__nodes_match(nodes, i, &filter) ||
            (filter.fn && !filter.fn(filter.arg, nodes->ptr[i])))
            continue;
        started++;
        micro__client_start(c, e, ctx, service, method, req, opts, nodes, i, done, fn, arg);
    }
    if (err == MICRO_OK && !started)
        err = micro__ctx_local(ctx, MICRO_ENONODE, "none available");
    micro__selector_release(c->selector, nodes);
    if (err != MICRO_OK)
        done(ctx, err, fn, NULL, arg);
    return started;
}
