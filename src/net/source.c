/* SPDX-License-Identifier: MIT */
/* What an engine without threads watches beside its connections. */
#include "engine.h"

MICRO_PRIVATE micro_err micro__engine_watch(micro__engine *e, micro__source *s)
{
    micro_err err = micro__poller_add_listener(&e->loops[0].poller, s->fd, s);

    s->kind = err == MICRO_OK ? MICRO__SRC_SOURCE : MICRO__SRC_DEAD;
    return err;
}

/* An event that names it may be in the batch that is worked off. */
MICRO_PRIVATE void micro__engine_unwatch(micro__engine *e, micro__source *s)
{
    static const int nobody = MICRO__SRC_DEAD;
    micro__loop *l = &e->loops[0];

    if (s->kind != MICRO__SRC_SOURCE)
        return;
    s->kind = MICRO__SRC_DEAD;
    micro__poller_del(&l->poller, s->fd);
    for (int i = l->pos; i < l->n; i++)
        if (l->events[i].data == s)
            l->events[i].data = (void *)(uintptr_t)&nobody;
}
