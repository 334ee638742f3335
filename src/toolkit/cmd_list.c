/* SPDX-License-Identifier: MIT */
/* micro list services */
#include "cli.h"

static bool cmd_list_json(micro__cli *cli, const micro_entry *e, bool first)
{
    micro_str text;

    if (micro_json_write(cli->ctx, &micro_type_entry, e, 0, &text) != MICRO_OK)
        return false;
    micro__buf_text(&cli->out, first ? "" : ",");
    micro__buf_str(&cli->out, text);
    return true;
}

MICRO_PRIVATE int micro__cli_list(micro__cli *cli)
{
    micro_entries all;
    int code = micro__cli_online(cli);

    if (code)
        return code;
    micro_err err = micro_registry_list(micro_service_registry(cli->svc), cli->ctx, &all);
    if (err != MICRO_OK)
        return micro__cli_fail(micro__cli_code(cli->ctx, err), "%s", micro_ctx_strerror(cli->ctx));
    micro__entries_sort(&all);
    micro__buf_text(&cli->out, cli->opts.json ? "[" : "");
    for (size_t i = 0, n = 0; i < all.len; i++) {
        const micro_entry only = { .name = all.ptr[i].name, .version = { "", 0 } };
        if (i && micro_str_eq(all.ptr[i - 1].name, only.name))
            continue; /* another version */
        if (cli->opts.json) {
            if (!cmd_list_json(cli, &only, n == 0))
                cli->out.failed = true;
        } else {
            micro__buf_text(&cli->out, n ? "\n" : "");
            micro__cli_text(&cli->out, only.name);
        }
        n++;
    }
    micro__buf_text(&cli->out, cli->opts.json ? "]\n" : "\n");
    return MICRO__CLI_OK;
}
