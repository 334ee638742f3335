/* SPDX-License-Identifier: MIT */
/* A service's versions and nodes, and questions to each node. */
#include "cli.h"

MICRO_PRIVATE int micro__cli_lookup(micro__cli *cli, const char *missing, micro_entries *out)
{
    if (!cli->nargs)
        return micro__cli_fail(MICRO__CLI_USAGE, "%s", missing);
    int code = micro__cli_online(cli);
    if (code)
        return code;
    micro_registry *reg = micro_service_registry(cli->svc);
    micro_err err = micro_registry_get(reg, cli->ctx, cli->args[0], out);
    if (err == MICRO_ENOTFOUND)
        return micro__cli_fail(MICRO__CLI_MISSING, "Service not found");
    if (err != MICRO_OK)
        return micro__cli_fail(micro__cli_code(cli->ctx, err), "%s", micro_ctx_strerror(cli->ctx));
    micro__entries_sort(out);
    for (size_t i = 0; i < out->len; i++) {
        for (size_t k = 0; k < out->ptr[i].nodes.len; k++)
            micro__pairs_sort(&out->ptr[i].nodes.ptr[k].metadata);
        for (size_t k = 0; k < out->ptr[i].endpoints.len; k++)
            micro__pairs_sort(&out->ptr[i].endpoints.ptr[k].metadata);
    }
    return MICRO__CLI_OK;
}

static micro_err lookup_ask(micro__cli *cli, const micro_node *node, const char *method,
                            const micro_type *type, void *rsp)
{
    const micro_method called = {
        .size_ = sizeof called, .name = method, .req = &micro_type_empty, .rsp = type
    };
    const micro_call_opts opts = { .size_ = sizeof opts, .address = node->address.ptr };
    micro_empty req = { 0 };

    return micro_call(cli->ctx, cli->args[0], &called, &req, rsp, &opts);
}

MICRO_PRIVATE micro_err micro__cli_debug(micro__cli *cli, const micro_node *node,
                                         const char *method, micro_value *rsp)
{
    return lookup_ask(cli, node, method, &micro_type_value, rsp);
}

MICRO_PRIVATE bool micro__cli_health_of(micro__cli *cli, const micro_node *node, micro_buf *status)
{
    micro_value rsp;
    micro_err err = lookup_ask(cli, node, "Debug.Health", &micro_type_value, &rsp);
    const micro_value *said = micro_value_get(&rsp, "status");

    if (err != MICRO_OK)
        micro__cli_error(status, cli->ctx);
    else if (said->kind == MICRO_VALUE_TEXT)
        micro__cli_text(status, said->as.text);
    return err == MICRO_OK && micro__str_is(micro__str(status->ptr, status->len), "ok");
}

MICRO_PRIVATE bool micro__cli_whole(micro__cli *cli, const micro_node *node, micro_entry *out)
{
    return lookup_ask(cli, node, "Debug.Describe", &micro_type_entry, out) == MICRO_OK &&
           out->endpoints.len; /* some answer everything with an empty message */
}

/* {"service":NAME,"nodes":[ ... ]}, where ask has written the items. */
static void lookup_json_begin(micro__cli *cli)
{
    micro__buf_text(&cli->out, "{\"service\":");
    micro__json_quote(&cli->out, micro_s(cli->args[0]));
    micro__buf_text(&cli->out, ",\"nodes\":[");
}

static bool lookup_ask_all(micro__cli *cli, const micro_entry *e, micro__cli_table *tables,
                           bool *first, micro__cli_ask_fn *ask)
{
    bool healthy = true;

    for (size_t i = 0; i < e->nodes.len; i++) {
        if (cli->opts.json && !*first)
            micro__buf_byte(&cli->out, ',');
        *first = false;
        if (!ask(cli, &e->nodes.ptr[i], tables))
            healthy = false;
    }
    return healthy;
}

static void lookup_tables_write(micro__cli *cli, const micro__cli_table *tables, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && !tables[i].cells.len)
            continue;
        micro__buf_text(&cli->out, i ? "\n" : "");
        micro__cli_table_write(cli, &tables[i]);
    }
}

MICRO_PRIVATE int micro__cli_survey(micro__cli *cli, const micro__cli_table *frames, size_t n,
                                    micro__cli_ask_fn *ask)
{
    micro_entries entries;
    bool healthy = true, first = true;
    int code = micro__cli_lookup(cli, "require service name", &entries);

    if (code)
        return code;
    if (cli->opts.json)
        lookup_json_begin(cli);
    else
        micro__buf_format(&cli->out, "service  %s\n", cli->args[0]);
    for (size_t i = 0; i < entries.len; i++) {
        micro__cli_table tables[2];
        memcpy(tables, frames, n * sizeof *tables);
        if (!cli->opts.json) {
            micro__buf_text(&cli->out, "\nversion ");
            micro__cli_text(&cli->out, entries.ptr[i].version);
            micro__buf_text(&cli->out, "\n\n");
        }
        if (!lookup_ask_all(cli, &entries.ptr[i], tables, &first, ask))
            healthy = false;
        if (!cli->opts.json)
            lookup_tables_write(cli, tables, n);
    }
    if (cli->opts.json)
        micro__buf_text(&cli->out, "]}\n");
    return healthy ? MICRO__CLI_OK : MICRO__CLI_FAILED;
}
