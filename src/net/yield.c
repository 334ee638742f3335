/* SPDX-License-Identifier: MIT */
/* Giving the processor away once before a wait. Where whoever is to answer shares it, the answer is
 * there when it comes back, and neither a sleep nor a wake-up was paid for. Where nobody shares it,
 * it is a system call for nothing; and where others compute, it is theirs for a while, and a
 * sleeper would have been woken ahead of them. So it is tried less and less often while it does not
 * pay. */
#include "engine.h"

#define YIELD_LEVEL_MAX 10 /* once in 1 024 waits */
#define YIELD_LONG_US 200u /* away for longer, for each answer: others had the processor */

MICRO_PRIVATE bool micro__yield_due(micro__yield_score *y)
{
    if (!y->skip)
        return true;
    y->skip--;
    return false;
}

MICRO_PRIVATE void micro__yield_learn(micro__yield_score *y, uint64_t us, int brought)
{
    if (brought > 0 && us <= (uint64_t)brought * YIELD_LONG_US)
        y->level /= 2;
    else if (y->level < YIELD_LEVEL_MAX)
        y->level++;
    y->skip = (uint16_t)((1u << y->level) - 1);
}

MICRO_PRIVATE uint64_t micro__yield(void)
{
    micro__thread *t = micro__thread_current();

    if (t)
        micro__conn_flush(t);
    uint64_t since = micro__now_us();
    micro__cpu_yield();
    return micro__now_us() - since;
}
