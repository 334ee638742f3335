/* SPDX-License-Identifier: MIT */
/* micro health NAME */
#include "cli.h"

static void cmd_health_json(micro__cli *cli, const micro_node *node, bool ok, micro_str status)
{
    micro_buf *out = &cli->out;

    micro__buf_text(out, "{\"version\":");
    micro__json_quote(out, node->version);
    micro__buf_text(out, ",\"id\":");
    micro__json_quote(out, node->id);
    micro__buf_text(out, ",\"address\":");
    micro__json_quote(out, node->address);
    micro__buf_format(out, ",\"ok\":%s,\"status\":", ok ? "true" : "false");
    micro__json_quote(out, status);
    micro__buf_byte(out, '}');
}

static bool cmd_health_ask(micro__cli *cli, const micro_node *node, micro__cli_table *table)
{
    micro_buf status = { NULL, 0, 0, 0, false, false, 0 };
    micro_buf cell = { NULL, 0, 0, 0, false, false, 0 };
    bool ok = micro__cli_health_of(cli, node, &status);

    if (cli->opts.json) {
        cmd_health_json(cli, node, ok, micro__str(status.ptr, status.len));
    } else {
        micro__cli_text(&cell, node->id);
        micro__cli_cell(cli, table, &cell);
        cell.len = 0;
        micro__cli_text(&cell, node->address);
        micro__cli_cell(cli, table, &cell);
        micro__cli_cell(cli, table, &status);
    }
    micro__buf_free(&cell);
    micro__buf_free(&status);
    return ok;
}

MICRO_PRIVATE int micro__cli_health(micro__cli *cli)
{
    static const char *const heads[] = { "node", "address:port", "status" };
    static const char *const gaps[] = { "\t\t", "\t\t" };
    const micro__cli_table frame = { heads, gaps, MICRO_COUNTOF(heads), { NULL, 0, 0 } };

    return micro__cli_survey(cli, &frame, 1, cmd_health_ask);
}
