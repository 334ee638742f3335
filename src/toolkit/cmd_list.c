/* SPDX-License-Identifier: MIT */
/* micro list services */
#include "cli.h"

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
        if (n++)
            micro__buf_text(&cli->out, cli->opts.json ? "," : "\n");
        if (!cli->opts.json)
            micro__cli_text(&cli->out, only.name);
        else if (micro__entry_write(cli->ctx, &only, &cli->out) != MICRO_OK)
            return micro__cli_fail(MICRO__CLI_FAILED, "%s", micro_ctx_strerror(cli->ctx));
    }
    micro__buf_text(&cli->out, cli->opts.json ? "]\n" : "\n");
    return MICRO__CLI_OK;
}
