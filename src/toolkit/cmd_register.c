/* SPDX-License-Identifier: MIT */
/* micro register service JSON..., micro deregister service JSON... */
#include "cli.h"

static bool cmd_register_is(const micro__cli *cli, const char *registry)
{
    return strcmp(cli->settings.registry ? cli->settings.registry : "mdns", registry) == 0;
}

/* Reads the definition; what it points to lives in ctx. */
static int cmd_register_read(micro__cli *cli, micro_entry *out)
{
    char why[MICRO__WHY_MAX];
    char *text = micro__cli_join(cli, 0);

    if (!text)
        return micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
    if (!*text)
        return micro__cli_fail(MICRO__CLI_USAGE, "require service definition");
    if (!micro__cli_syntax(micro_s(text), why))
        return micro__cli_fail(MICRO__CLI_USAGE, "%s", why);
    if (cmd_register_is(cli, "memory"))
        return micro__cli_fail(MICRO__CLI_USAGE, "registry memory ends with this command: "
                                                 "nothing can be registered there");
    int code = micro__cli_online(cli);
    if (code)
        return code;
    micro_err err = micro__entry_read(cli->ctx, text, strlen(text), out);
    if (err != MICRO_OK)
        return micro__cli_fail(err == MICRO_ENOMEM ? MICRO__CLI_FAILED : MICRO__CLI_USAGE, "%s",
                               micro_ctx_error(cli->ctx)->detail.ptr);
    if (!out->nodes.len)
        return micro__cli_fail(MICRO__CLI_USAGE, "Require at least one node");
    return MICRO__CLI_OK;
}

static int cmd_register_failed(micro__cli *cli, micro_err err)
{
    return micro__cli_fail(micro__cli_code(cli->ctx, err), "%s",
                           micro_ctx_error(cli->ctx)->detail.ptr);
}

static int cmd_register_ok(micro__cli *cli)
{
    micro__buf_text(&cli->out, "ok\n");
    return micro__cli_flush(cli) ? MICRO__CLI_OK
                                 : micro__cli_fail(MICRO__CLI_FAILED, "cannot write the output");
}

static micro_err cmd_register_put(micro__cli *cli, const micro_entry *e)
{
    micro_registry *reg = micro_service_registry(cli->svc);

    return micro_registry_put(reg, cli->ctx, e, cli->settings.register_ttl_ms);
}

/* Until a signal; registers again as often as a service would. */
static void cmd_register_stay(micro__cli *cli, const micro_entry *e, int signals)
{
    int ttl = cli->settings.register_ttl_ms, interval = cli->settings.register_interval_ms;

    if (!interval && ttl > 1)
        interval = ttl / 2;
    for (;;) {
        uint64_t until = interval > 0 ? micro__now_ms() + (uint64_t)interval : 0;
        if (micro__service_wait(cli->svc, signals, until) != MICRO_ETIMEDOUT)
            return;
        if (cmd_register_put(cli, e) != MICRO_OK)
            micro__cli_fail(0, "%s", micro_ctx_error(cli->ctx)->detail.ptr); /* tried again */
    }
}

/* An mdns registration lives in the process that made it: this one stays. */
static int cmd_register_mdns(micro__cli *cli, const micro_entry *e)
{
    int signals = micro__signals_catch();
    micro_err err = signals < 0 ? MICRO_EIO : cmd_register_put(cli, e);
    int code;

    if (signals < 0)
        return micro__cli_fail(MICRO__CLI_FAILED, "cannot wait for signals");
    code = err == MICRO_OK ? cmd_register_ok(cli) : cmd_register_failed(cli, err);
    if (!code) {
        micro__cli_fail(0, "registered on mdns until this command is interrupted");
        cmd_register_stay(cli, e, signals);
        err = micro_registry_del(micro_service_registry(cli->svc), cli->ctx, e);
        if (err != MICRO_OK)
            code = cmd_register_failed(cli, err);
    }
    micro__signals_release(signals);
    return code;
}

MICRO_PRIVATE int micro__cli_register(micro__cli *cli)
{
    micro_entry e;
    int code = cmd_register_read(cli, &e);

    if (code)
        return code;
    if (cmd_register_is(cli, "mdns"))
        return cmd_register_mdns(cli, &e);
    micro_err err = cmd_register_put(cli, &e);
    return err == MICRO_OK ? cmd_register_ok(cli) : cmd_register_failed(cli, err);
}

MICRO_PRIVATE int micro__cli_deregister(micro__cli *cli)
{
    micro_entry e;
    int code = cmd_register_read(cli, &e);

    if (code)
        return code;
    micro_err err = micro_registry_del(micro_service_registry(cli->svc), cli->ctx, &e);
    if (err != MICRO_OK)
        return cmd_register_failed(cli, err);
    if (cmd_register_is(cli, "mdns"))
        micro__cli_fail(0, "on mdns only the process that registered a node takes it back");
    return cmd_register_ok(cli);
}
