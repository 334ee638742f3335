/* SPDX-License-Identifier: MIT */
/* Who is let in: so many requests at once, or one only. */
#include "server.h"

MICRO_PRIVATE bool micro__server_enter(micro__server *s)
{
    if (s->max_requests <= 0)
        return true;
    if (atomic_fetch_add(&s->running, 1) < s->max_requests)
        return true;
    atomic_fetch_sub(&s->running, 1);
    return false;
}

MICRO_PRIVATE void micro__server_leave(micro__server *s)
{
    if (s->max_requests > 0)
        atomic_fetch_sub(&s->running, 1);
}

MICRO_PRIVATE bool micro__server_take(micro__server *s)
{
    return !s->once || !atomic_exchange(&s->taken, true);
}

MICRO_PRIVATE void micro__server_taken(micro__server *s)
{
    if (s->once)
        s->ended(s->svc);
}
