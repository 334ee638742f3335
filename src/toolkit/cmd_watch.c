/* SPDX-License-Identifier: MIT */
/* micro watch [NAME]: what happens in the registry, a line each, until it is interrupted. */
#include "cli.h"

#define WATCH_LOOK_MS 500 /* how long a full disk goes unnoticed */

typedef struct cmd_watch {
    micro__cli *cli;
    micro_buf line;
    atomic_bool broken; /* a line could not be written */
} cmd_watch;

static const char *cmd_watch_action(enum micro_change what)
{
    return what == MICRO_CREATED ? "create" : what == MICRO_UPDATED ? "update" : "delete";
}

static void cmd_watch_json(cmd_watch *w, enum micro_change what, const micro_entry *e)
{
    micro_ctx *ctx = micro_ctx_new(NULL);

    micro__buf_format(&w->line, "{\"action\":\"%s\",\"service\":", cmd_watch_action(what));
    if (micro__entry_write(ctx, e, &w->line) != MICRO_OK)
        w->line.failed = true;
    micro__buf_text(&w->line, "}\n");
    micro_ctx_free(ctx);
}

static void cmd_watch_text(cmd_watch *w, enum micro_change what, const micro_entry *e)
{
    for (size_t i = 0; i < e->nodes.len || i == 0; i++) {
        const micro_node none = { .id = { "", 0 }, .address = { "", 0 } };
        const micro_node *node = i < e->nodes.len ? &e->nodes.ptr[i] : &none;
        const micro_str cells[] = { e->name, e->version, node->id, node->address };
        micro__buf_text(&w->line, cmd_watch_action(what));
        for (size_t k = 0; k < MICRO_COUNTOF(cells); k++) {
            micro__buf_byte(&w->line, '\t');
            micro__cli_text(&w->line, cells[k]);
        }
        micro__buf_byte(&w->line, '\n');
    }
}

/* One at a time, on a thread of the registry's. */
static void cmd_watch_event(void *arg, enum micro_change what, const micro_entry *e)
{
    cmd_watch *w = arg;

    w->line.len = 0;
    if (w->cli->opts.json)
        cmd_watch_json(w, what, e);
    else
        cmd_watch_text(w, what, e);
    if (w->line.failed || fwrite(w->line.ptr, 1, w->line.len, stdout) != w->line.len ||
        fflush(stdout) != 0)
        atomic_store(&w->broken, true);
}

/* Until a signal, the end of the time, or of the output. */
static void cmd_watch_wait(cmd_watch *w, int signals)
{
    int ms = w->cli->opts.timeout_ms;
    uint64_t end = ms > 0 ? micro__now_ms() + (uint64_t)ms : UINT64_MAX, now;

    while (!atomic_load(&w->broken) && (now = micro__now_ms()) < end) {
        uint64_t look = end - now < WATCH_LOOK_MS ? end : now + WATCH_LOOK_MS;
        if (micro__service_wait(w->cli->svc, signals, look) != MICRO_ETIMEDOUT)
            return;
    }
}

MICRO_PRIVATE int micro__cli_watch(micro__cli *cli)
{
    cmd_watch w = { .cli = cli };
    micro_watch *watch;
    int code = micro__cli_online(cli);

    if (code)
        return code;
    if (cli->nargs > 1)
        return micro__cli_fail(MICRO__CLI_USAGE, "one service at most");
    int signals = micro__signals_catch();
    if (signals < 0)
        return micro__cli_fail(MICRO__CLI_FAILED, "cannot wait for signals");
    micro_registry *reg = micro_service_registry(cli->svc);
    micro_err err =
        micro_registry_watch(reg, cli->nargs ? cli->args[0] : NULL, cmd_watch_event, &w, &watch);
    if (err == MICRO_OK) {
        cmd_watch_wait(&w, signals);
        micro_registry_unwatch(reg, watch);
    }
    micro__signals_release(signals);
    micro__buf_free(&w.line);
    if (err != MICRO_OK)
        return micro__cli_fail(micro__cli_code(cli->ctx, err), "cannot watch %s: %s",
                               reg->ops->name, micro_strerror(err));
    return atomic_load(&w.broken) ? micro__cli_fail(MICRO__CLI_FAILED, "cannot write the output")
                                  : MICRO__CLI_OK;
}
