/* SPDX-License-Identifier: MIT */
/* micro stats NAME */
#include "cli.h"

#include <time.h>

/* What nodes say of themselves, and of each endpoint. Others than ours say the first five only;
 * what is left out reads as 0. */
static const char *const cmd_stats_node[] = { "started",  "uptime", "memory",  "threads", "gc",
                                              "requests", "errors", "running", "rejected" };
static const char *const cmd_stats_endpoint[] = { "requests",      "errors",        "running",
                                                  "client_errors", "server_errors", "time",
                                                  "p50",           "p90",           "p99" };

/* Numbers; of canonical JSON also texts, since its 64-bit numbers are. */
MICRO_PRIVATE uint64_t micro__cli_number(const micro_value *rsp, const char *name)
{
    const micro_value *v = micro_value_get(rsp, name);
    uint64_t n;

    if (v->kind == MICRO_VALUE_UINT || (v->kind == MICRO_VALUE_INT && v->as.i >= 0))
        return v->as.u;
    return v->kind == MICRO_VALUE_TEXT && micro__parse_u64(v->as.text, &n) ? n : 0;
}

static void cmd_stats_started(micro_buf *out, uint64_t seconds)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t when = (time_t)seconds;
    const struct tm *t = seconds <= INT64_MAX ? localtime(&when) : NULL; /* one thread does this */

    if (t)
        micro__buf_format(out, "%.3s %d %02d:%02d:%02d", months + (size_t)t->tm_mon % 12 * 3,
                          t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec);
}

/* MiB with two digits behind the point. */
MICRO_PRIVATE void micro__cli_memory(micro_buf *out, uint64_t bytes)
{
    uint64_t whole = bytes >> 20, part = ((bytes & 0xfffff) * 100 + (1 << 19)) >> 20;

    micro__buf_format(out, "%llu.%02llumb", (unsigned long long)(whole + part / 100),
                      (unsigned long long)(part % 100));
}

MICRO_PRIVATE void micro__cli_seconds(micro_buf *out, uint64_t seconds)
{
    const uint64_t most = UINT64_MAX / 1000000000;

    micro__cli_duration(out, (seconds > most ? most : seconds) * 1000000000);
}

/* One of the seven columns; rsp NULL: the node did not answer. */
static void cmd_stats_cell(micro_buf *out, const micro_node *node, const micro_value *rsp,
                           size_t column)
{
    if (column == 0)
        micro__cli_text(out, node->id);
    else if (column == 1)
        micro__cli_text(out, node->address);
    else if (column == 5)
        micro__buf_u64(out, rsp ? micro__cli_number(rsp, "threads") : 0);
    else if (rsp && column == 2)
        cmd_stats_started(out, micro__cli_number(rsp, "started"));
    else if (rsp && column == 3)
        micro__cli_seconds(out, micro__cli_number(rsp, "uptime"));
    else if (rsp && column == 4)
        micro__cli_memory(out, micro__cli_number(rsp, "memory"));
    else if (rsp)
        micro__cli_duration(out, micro__cli_number(rsp, "gc"));
}

static void cmd_stats_numbers(micro_buf *out, const micro_value *from, const char *const *names,
                              size_t n)
{
    for (size_t i = 0; i < n; i++)
        micro__buf_format(out, ",\"%s\":%llu", names[i],
                          (unsigned long long)micro__cli_number(from, names[i]));
}

static const micro_values *cmd_stats_endpoints(const micro_value *rsp)
{
    static const micro_values none = { NULL, 0, 0 };
    const micro_value *list = micro_value_get(rsp, "endpoints");

    return list->kind == MICRO_VALUE_ARRAY ? &list->as.items : &none;
}

static micro_str cmd_stats_name(const micro_value *endpoint)
{
    const micro_value *name = micro_value_get(endpoint, "name");

    return name->kind == MICRO_VALUE_TEXT ? name->as.text : micro_s("");
}

MICRO_PRIVATE void micro__cli_stats_json(micro_buf *out, const micro_value *rsp)
{
    const micro_values *list = cmd_stats_endpoints(rsp);

    cmd_stats_numbers(out, rsp, cmd_stats_node, MICRO_COUNTOF(cmd_stats_node));
    micro__buf_text(out, ",\"endpoints\":[");
    for (size_t i = 0; i < list->len; i++) {
        micro__buf_text(out, i ? ",{\"name\":" : "{\"name\":");
        micro__json_quote(out, cmd_stats_name(&list->ptr[i]));
        cmd_stats_numbers(out, &list->ptr[i], cmd_stats_endpoint,
                          MICRO_COUNTOF(cmd_stats_endpoint));
        micro__buf_byte(out, '}');
    }
    micro__buf_byte(out, ']');
}

static void cmd_stats_json(micro__cli *cli, const micro_node *node, const micro_value *rsp,
                           const micro_buf *error)
{
    micro_buf *out = &cli->out;

    micro__buf_text(out, "{\"version\":");
    micro__json_quote(out, node->version);
    micro__buf_text(out, ",\"id\":");
    micro__json_quote(out, node->id);
    micro__buf_text(out, ",\"address\":");
    micro__json_quote(out, node->address);
    if (rsp) {
        micro__cli_stats_json(out, rsp);
    } else {
        micro__buf_text(out, ",\"error\":");
        micro__json_quote(out, micro__str(error->ptr, error->len));
    }
    micro__buf_byte(out, '}');
}

/* One of the eight columns of an endpoint. */
static void cmd_stats_endpoint_cell(micro_buf *out, const micro_node *node, const micro_value *e,
                                    size_t column)
{
    static const char *const numbers[] = { "requests", "errors", "running", "p50", "p90", "p99" };

    if (column == 0)
        micro__cli_text(out, node->id);
    else if (column == 1)
        micro__cli_text(out, cmd_stats_name(e));
    else if (column < 5)
        micro__buf_u64(out, micro__cli_number(e, numbers[column - 2]));
    else
        micro__cli_duration(out, micro__cli_number(e, numbers[column - 2]));
}

MICRO_PRIVATE void micro__cli_stats_rows(micro__cli *cli, const micro_node *node,
                                         const micro_value *rsp, micro__cli_table *table)
{
    const micro_values *list = cmd_stats_endpoints(rsp);
    micro_buf text = { NULL, 0, 0, 0, false, false, 0 };

    for (size_t k = 0; k < list->len; k++) {
        for (size_t i = 0; i < table->columns; i++) {
            text.len = 0;
            cmd_stats_endpoint_cell(&text, node, &list->ptr[k], i);
            micro__cli_cell(cli, table, &text);
        }
    }
    micro__buf_free(&text);
}

static bool cmd_stats_ask(micro__cli *cli, const micro_node *node, micro__cli_table *tables)
{
    micro_buf text = { NULL, 0, 0, 0, false, false, 0 };
    micro_value all;
    const micro_value *rsp = &all;

    if (micro__cli_debug(cli, node, "Debug.Stats", &all) != MICRO_OK) {
        micro__cli_error(&text, cli->ctx);
        rsp = NULL;
    }
    if (cli->opts.json) {
        cmd_stats_json(cli, node, rsp, &text);
    } else {
        if (!rsp)
            micro__cli_fail(0, "%s: %.*s", node->id.ptr, (int)text.len, text.ptr ? text.ptr : "");
        for (size_t i = 0; i < tables[0].columns; i++) {
            text.len = 0;
            cmd_stats_cell(&text, node, rsp, i);
            micro__cli_cell(cli, &tables[0], &text);
        }
        if (rsp)
            micro__cli_stats_rows(cli, node, rsp, &tables[1]);
    }
    micro__buf_free(&text);
    return rsp != NULL;
}

MICRO_PRIVATE micro__cli_table micro__cli_stats_table(void)
{
    static const char *const heads[] = { "node",    "endpoint", "requests", "errors",
                                         "running", "p50",      "p90",      "p99" };
    static const char *const gaps[] = { "\t\t", "\t\t", "\t", "\t", "\t", "\t", "\t" };
    const micro__cli_table table = { heads, gaps, MICRO_COUNTOF(heads), { NULL, 0, 0 } };

    return table;
}

MICRO_PRIVATE int micro__cli_stats(micro__cli *cli)
{
    static const char *const heads[] = { "node",   "address:port", "started", "uptime",
                                         "memory", "threads",      "gc" };
    static const char *const gaps[] = { "\t\t", "\t\t", "\t", "\t", "\t", "\t" };
    const micro__cli_table frames[] = { { heads, gaps, MICRO_COUNTOF(heads), { NULL, 0, 0 } },
                                        micro__cli_stats_table() };

    return micro__cli_survey(cli, frames, MICRO_COUNTOF(frames), cmd_stats_ask);
}
