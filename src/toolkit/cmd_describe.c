/* SPDX-License-Identifier: MIT */
/* micro describe NAME: what get, health and stats tell, of every version. */
#include "cli.h"

typedef struct cmd_describe {
    micro__cli_table nodes, endpoints;
    micro_buf json;     /* of the nodes */
    micro_entry whole;  /* as a node describes it */
    bool healthy, told; /* told: whole is there */
} cmd_describe;

static void cmd_describe_json(micro_buf *out, const micro_node *node, bool ok, micro_str status,
                              const micro_value *stats)
{
    micro__buf_text(out, out->len ? ",{\"id\":" : "{\"id\":");
    micro__json_quote(out, node->id);
    micro__buf_text(out, ",\"address\":");
    micro__json_quote(out, node->address);
    micro__buf_format(out, ",\"ok\":%s,\"status\":", ok ? "true" : "false");
    micro__json_quote(out, status);
    if (stats)
        micro__cli_stats_json(out, stats);
    micro__buf_byte(out, '}');
}

/* One of the seven columns. */
static void cmd_describe_cell(micro_buf *out, const micro_node *node, micro_str status,
                              const micro_value *stats, size_t column)
{
    if (column == 0)
        micro__cli_text(out, node->id);
    else if (column == 1)
        micro__cli_text(out, node->address);
    else if (column == 2)
        micro__buf_str(out, status);
    else if (column == 6)
        micro__cli_pairs(out, &node->metadata);
    else if (stats && column == 3)
        micro__cli_seconds(out, micro__cli_number(stats, "uptime"));
    else if (stats && column == 4)
        micro__cli_memory(out, micro__cli_number(stats, "memory"));
    else if (stats)
        micro__buf_u64(out, micro__cli_number(stats, "threads"));
}

/* Nodes that cannot be asked for their health are not asked for more. */
static void cmd_describe_node(micro__cli *cli, cmd_describe *d, const micro_node *node)
{
    micro_buf status = { NULL, 0, 0, 0, false, false, 0 }, cell = status;
    micro_value all;
    bool ok = micro__cli_health_of(cli, node, &status);
    bool known = ok && micro__cli_debug(cli, node, "Debug.Stats", &all) == MICRO_OK;
    const micro_str said = micro__str(status.ptr ? status.ptr : "", status.len);

    if (ok && !d->told)
        d->told = micro__cli_whole(cli, node, &d->whole);
    d->healthy = d->healthy && ok;
    cli->out.failed |= status.failed;
    if (cli->opts.json)
        cmd_describe_json(&d->json, node, ok, said, known ? &all : NULL);
    for (size_t i = 0; !cli->opts.json && i < d->nodes.columns; i++) {
        cell.len = 0;
        cmd_describe_cell(&cell, node, said, known ? &all : NULL, i);
        micro__cli_cell(cli, &d->nodes, &cell);
    }
    if (known && !cli->opts.json)
        micro__cli_stats_rows(cli, node, &all, &d->endpoints);
    micro__buf_free(&cell);
    micro__buf_free(&status);
}

static int cmd_describe_write_json(micro__cli *cli, cmd_describe *d, const micro_entry *e)
{
    micro__buf_text(&cli->out, "{\"service\":");
    if (micro__entry_write(cli->ctx, e, &cli->out) != MICRO_OK)
        return micro__cli_fail(MICRO__CLI_FAILED, "%s", micro_ctx_strerror(cli->ctx));
    micro__buf_text(&cli->out, ",\"nodes\":[");
    micro__buf_str(&cli->out, micro__str(d->json.ptr, d->json.len));
    micro__buf_text(&cli->out, "]}");
    cli->out.failed |= d->json.failed;
    return MICRO__CLI_OK;
}

static int cmd_describe_write(micro__cli *cli, cmd_describe *d, const micro_entry *e)
{
    micro__buf_text(&cli->out, "\nversion ");
    micro__cli_text(&cli->out, e->version);
    micro__buf_byte(&cli->out, '\n');
    if (e->metadata.len) {
        micro__buf_text(&cli->out, "metadata ");
        micro__cli_pairs(&cli->out, &e->metadata);
        micro__buf_byte(&cli->out, '\n');
    }
    micro__buf_byte(&cli->out, '\n');
    micro__cli_table_write(cli, &d->nodes);
    if (d->endpoints.cells.len) {
        micro__buf_byte(&cli->out, '\n');
        micro__cli_table_write(cli, &d->endpoints);
    }
    micro__cli_endpoints(&cli->out, &e->endpoints);
    return MICRO__CLI_OK;
}

/* The registry has types as far as they fit there; a node of ours has all of them. */
static int cmd_describe_version(micro__cli *cli, micro_entry *e, bool *healthy)
{
    static const char *const heads[] = { "node",   "address:port", "status",  "uptime",
                                         "memory", "threads",      "metadata" };
    static const char *const gaps[] = { "\t\t", "\t\t", "\t", "\t", "\t", "\t" };
    cmd_describe d = { .nodes = { heads, gaps, MICRO_COUNTOF(heads), { NULL, 0, 0 } },
                       .endpoints = micro__cli_stats_table(),
                       .healthy = true };

    for (size_t i = 0; i < e->nodes.len; i++)
        cmd_describe_node(cli, &d, &e->nodes.ptr[i]);
    if (d.told)
        e->endpoints = d.whole.endpoints;
    for (size_t k = 0; d.told && k < e->endpoints.len; k++)
        micro__pairs_sort(&e->endpoints.ptr[k].metadata);
    int code =
        cli->opts.json ? cmd_describe_write_json(cli, &d, e) : cmd_describe_write(cli, &d, e);
    micro__buf_free(&d.json);
    *healthy = *healthy && d.healthy;
    return code;
}

MICRO_PRIVATE int micro__cli_describe(micro__cli *cli)
{
    micro_entries all;
    bool healthy = true;
    int code = micro__cli_lookup(cli, "require service name", &all);

    if (code)
        return code;
    if (!cli->opts.json)
        micro__buf_format(&cli->out, "service  %s\n", cli->args[0]);
    for (size_t i = 0; !code && i < all.len; i++) {
        if (cli->opts.json)
            micro__buf_byte(&cli->out, i ? ',' : '[');
        code = cmd_describe_version(cli, &all.ptr[i], &healthy);
    }
    if (cli->opts.json)
        micro__buf_text(&cli->out, "]\n");
    return code || healthy ? code : MICRO__CLI_FAILED;
}
