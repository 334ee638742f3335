/* SPDX-License-Identifier: MIT */
/* Hooks among the other steps of a service's life, and what they know: go-micro's Action and its
 * before and after start and stop. */
#include "harness.h"
#include "raw.h"

/* A registry that notes what it is asked, and whether anybody listens then. */
typedef struct hooks_registry {
    micro_registry base;
    micro_service *svc;
    char order[64];
} hooks_registry;

static void hooks_note(hooks_registry *r, char what)
{
    size_t n = strlen(r->order);
    int fd = *micro_service_address(r->svc) ? raw_connect(micro_service_address(r->svc)) : -1;

    r->order[n] = what;
    r->order[n + 1] = fd >= 0 ? '+' : '-';
    r->order[n + 2] = 0;
    if (fd >= 0)
        close(fd);
}

static micro_err hooks_put(micro_registry *self, micro_ctx *ctx, const micro_entry *e, int ttl_ms)
{
    (void)ctx;
    (void)ttl_ms;
    CHECK_EQ_UINT(e->nodes.len, 1);
    hooks_note((hooks_registry *)self, 'R');
    return MICRO_OK;
}

static micro_err hooks_del(micro_registry *self, micro_ctx *ctx, const micro_entry *e)
{
    (void)ctx;
    CHECK_EQ_UINT(e->nodes.len, 1);
    hooks_note((hooks_registry *)self, 'D');
    return MICRO_OK;
}

static const micro_registry_ops hooks_ops = {
    .size_ = sizeof hooks_ops, .name = "hooks", .put = hooks_put, .del = hooks_del
};

static hooks_registry hooks_all = { .base = { &hooks_ops } };

static micro_err hooks_step(micro_service *svc, void *arg)
{
    CHECK(svc == hooks_all.svc);
    hooks_note(&hooks_all, *(const char *)arg);
    return MICRO_OK;
}

/* Before start, listen, register, after start; before stop, deregister, close, after stop. */
TEST(hooks_stand_where_the_manual_says)
{
    static char steps[] = "abyz";
    micro_service *svc = micro_service_new(.registry = &hooks_all.base, .address = "127.0.0.1:0");

    hooks_all.svc = svc;
    micro_service_on(svc, MICRO_BEFORE_START, hooks_step, &steps[0]);
    micro_service_on(svc, MICRO_AFTER_START, hooks_step, &steps[1]);
    micro_service_on(svc, MICRO_BEFORE_STOP, hooks_step, &steps[2]);
    micro_service_on(svc, MICRO_AFTER_STOP, hooks_step, &steps[3]);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_OK);
    micro_service_stop(svc);
    CHECK_EQ_TEXT(hooks_all.order, "a-R+b+y+D+z-");
    micro_service_free(svc);
}

typedef struct hooks_flags {
    const char *environment;
    int n;
} hooks_flags;

static micro_err hooks_action(micro_service *svc, void *arg)
{
    hooks_flags *f = arg;

    (void)svc;
    f->n++;
    CHECK_EQ_TEXT(f->environment, "dev");
    return MICRO_OK;
}

/* What go-micro calls Action: flags are read when the service is made, so a hook has them. */
TEST(hooks_know_the_flags)
{
    static char program[] = "program", flag[] = "--environment=dev";
    char *argv[] = { program, flag, NULL };
    hooks_flags f = { "none", 0 };
    const micro_flag flags[] = {
        { .name = "environment", .help = "where it runs", .text = &f.environment }
    };
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0", .argc = 2,
                                           .argv = argv, .flags = flags, .nflags = 1);

    CHECK_EQ_TEXT(f.environment, "dev");
    micro_service_on(svc, MICRO_BEFORE_START, hooks_action, &f);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_OK);
    micro_service_stop(svc);
    CHECK_EQ_INT(f.n, 1);
    micro_service_free(svc);
    micro_registry_free(reg);
}
