/* SPDX-License-Identifier: MIT */
/* For seat_model.c only: what the engine's source calls that is no step, behind that source. */
#ifndef SEAT_MODEL_OS_H
#define SEAT_MODEL_OS_H

/* ---- memory and time ----------------------------------------------------------------------- */

void *micro__alloc(size_t size)
{
    for (int i = 0; size == sizeof(seat_block) && i < MODEL_BLOCKS; i++)
        if (!model_w.block_used[i]) {
            model_w.block_used[i] = true;
            return model_blocks[i];
        }
    for (int i = 0; size == sizeof(micro__task) && i < MODEL_TASKS; i++)
        if (!model_w.task_used[i]) {
            model_w.task_used[i] = true;
            return &model_w.task[i];
        }
    model_fail("more memory than the model has");
    return NULL;
}

void *micro__alloc_zero(size_t size)
{
    return size == sizeof(micro__task) ? micro__alloc(size) : model_engine_block;
}

static void model_free(bool *used)
{
    model_must(*used, "memory is freed twice");
    *used = false;
}

void micro__free(void *old, size_t size)
{
    if (old == model_engine_block) {
        model_must(!model_w.engine_freed, "the engine is freed twice");
        model_w.engine_freed = true;
        return; /* and stays readable, for the report */
    }
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (old == model_blocks[i])
            model_free(&model_w.block_used[i]);
    for (int i = 0; i < MODEL_TASKS; i++)
        if (old == &model_w.task[i])
            model_free(&model_w.task_used[i]);
    memset(old, 0, size);
}

void micro__mutex_init(micro__mutex *m)
{
    memset(m, 0, sizeof *m);
}

void micro__mutex_destroy(micro__mutex *m)
{
    (void)m;
    model_must(!model_w.locked, "a lock is destroyed while it is held");
}

void micro__cond_init(micro__cond *c)
{
    memset(c, 0, sizeof *c);
}

void micro__cond_destroy(micro__cond *c)
{
    for (int i = 0; i < MODEL_THREADS; i++)
        model_must(model_actors[i].cond != c, "a condition is destroyed while it is waited for");
}

uint64_t micro__now_ms(void)
{
    return 1;
}

uint64_t micro__now_us(void)
{
    return 1;
}

int micro__cpu_count(void)
{
    return 1;
}

void micro_log(int level, const char *file, int line, const char *fmt, ...)
{
    (void)level, (void)file, (void)line, (void)fmt;
    model_w.reported = true;
}

/* ---- nothing to do with it ----------------------------------------------------------------- */

int micro__fd_reserve(void)
{
    return -1;
}

void micro__fd_close(int fd)
{
    (void)fd;
}

void micro__buf_free(micro_buf *b)
{
    (void)b;
}

micro_ctx *micro_ctx_new(micro_service *svc)
{
    (void)svc;
    return (micro_ctx *)(void *)model_blocks; /* never looked at */
}

void micro_ctx_free(micro_ctx *ctx)
{
    (void)ctx;
}

void micro__line_event(micro__thread *t, micro__loop *l, void *line, unsigned what)
{
    (void)t, (void)l, (void)line, (void)what;
}

void micro__line_bury(micro__loop *l)
{
    (void)l;
}

void micro__line_clear(micro__loop *l)
{
    (void)l;
}

bool micro__yield_due(micro__yield_score *y)
{
    (void)y;
    return false; /* no line is in the middle of a reply */
}

uint64_t micro__yield(void)
{
    return 0;
}

void micro__yield_learn(micro__yield_score *y, uint64_t us, int brought)
{
    (void)y, (void)us, (void)brought;
}

#endif
