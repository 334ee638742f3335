/* SPDX-License-Identifier: MIT */
/* What stands in front of every selector's ops: checks, and texts for errors. */
#include "selector.h"

MICRO_PRIVATE micro_err micro__selector_select(micro_selector *sel, micro_ctx *ctx,
                                               const char *service, const micro_nodes **out)
{
    *out = NULL;
    if (!ctx)
        return MICRO_ENOMEM;
    if (!sel)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "no selector");
    if (!service || !*service)
        return micro__ctx_local(ctx, MICRO_EINVAL, "a service needs a name");
    if (!MICRO__OP_SET(sel->ops, micro_selector_ops, select))
        return micro__ctx_local(ctx, MICRO_ENOSYS, "the selector cannot select");
    micro_err err = sel->ops->select(sel, ctx, service, out);
    if (!err && !*out)
        err = MICRO_ENONODE;
    if (err) {
        *out = NULL;
        if (ctx->error.detail.len == 0)
            micro__ctx_local(ctx, err, "%s", micro_strerror(err));
    }
    return err;
}

MICRO_PRIVATE void micro__selector_release(micro_selector *sel, const micro_nodes *nodes)
{
    if (sel && nodes && MICRO__OP_SET(sel->ops, micro_selector_ops, release))
        sel->ops->release(sel, nodes);
}

MICRO_PRIVATE void micro__selector_mark(micro_selector *sel, const char *service,
                                        const micro_node *node, micro_err result)
{
    if (sel && service && node && MICRO__OP_SET(sel->ops, micro_selector_ops, mark))
        sel->ops->mark(sel, service, node, result);
}

MICRO_API void micro_selector_free(micro_selector *sel)
{
    if (sel && MICRO__OP_SET(sel->ops, micro_selector_ops, free))
        sel->ops->free(sel);
}
