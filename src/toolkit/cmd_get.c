/* SPDX-License-Identifier: MIT */
/* micro get service NAME */
#include "cli.h"

/* ---- types ---------------------------------------------------------------------------------- */

/* Length of the longest known initialism that s starts with. */
static size_t cmd_get_initialism(micro_str s)
{
    static const char *const known[] = {
        "ACL", "API", "ASCII", "CPU", "CSS", "DNS", "EOF", "ETA", "GPU", "GUID", "HTML", "HTTP",
        "HTTPS", "ID", "IP", "JSON", "LHS", "OS", "QPS", "RAM", "RHS", "RPC", "SLA", "SMTP", "SQL",
        "SSH", "TCP", "TLS", "TTL", "UDP", "UI", "UID", "UUID", "URI", "URL", "UTF8", "VM", "XML",
        "XMPP", "XSRF", "XSS", "OAuth"
    };
    size_t longest = 0;

    for (size_t i = 0; i < MICRO_COUNTOF(known); i++)
        if (micro__str_starts(s, known[i]) && strlen(known[i]) > longest)
            longest = strlen(known[i]);
    return longest;
}

static bool cmd_get_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* statusCode, UserID: status_code, user_id. A word is an initialism, or ends before a capital. */
static void cmd_get_snake(micro_buf *out, micro_str name)
{
    micro_buf words = { NULL, 0, 0, 0, false, false, 0 };

    for (size_t at = 0; at < name.len;) {
        micro_str rest = micro__str(name.ptr + at, name.len - at);
        size_t len = cmd_get_initialism(rest);
        if (!len)
            for (len = 1; len < rest.len && !cmd_get_upper(rest.ptr[len]);)
                len++;
        if (at)
            micro__buf_byte(&words, '_');
        for (size_t i = 0; i < len; i++)
            micro__buf_byte(&words, micro__lower(rest.ptr[i]));
        at += len;
    }
    out->failed |= words.failed;
    micro__cli_text(out, micro__str(words.ptr, words.len));
    micro__buf_free(&words);
}

static void cmd_get_tabs(micro_buf *out, int n)
{
    for (int i = 0; i < n; i++)
        micro__buf_byte(out, '\t');
}

static void cmd_get_field(micro_buf *out, const micro_desc *d, int depth)
{
    bool open = d->values.len && depth < MICRO_MAX_DEPTH;

    cmd_get_tabs(out, depth);
    cmd_get_snake(out, d->name);
    micro__buf_byte(out, ' ');
    micro__cli_text(out, d->type);
    micro__buf_text(out, open ? " {\n" : "\n");
    for (size_t i = 0; open && i < d->values.len; i++)
        cmd_get_field(out, &d->values.ptr[i], depth + 1);
    if (open) {
        cmd_get_tabs(out, depth);
        micro__buf_text(out, "}\n");
    }
}

static void cmd_get_type(micro_buf *out, const char *title, const micro_desc *d)
{
    bool open = d && d->values.len;

    micro__buf_format(out, "\n%s: {%s", title, open ? "\n" : "");
    for (size_t i = 0; open && i < d->values.len; i++)
        cmd_get_field(out, &d->values.ptr[i], 1);
    micro__buf_text(out, "}\n");
}

/* ---- service -------------------------------------------------------------------------------- */

static void cmd_get_node(micro__cli *cli, micro__cli_table *t, const micro_node *node)
{
    micro_buf cell = { NULL, 0, 0, 0, false, false, 0 };
    micro_str host;
    uint16_t port;

    if (!micro__hostport_parse(node->address, &host, &port))
        host = node->address; /* unix:/path */
    micro__cli_text(&cell, node->id);
    micro__cli_cell(cli, t, &cell);
    cell.len = 0;
    micro__cli_text(&cell, host);
    micro__cli_cell(cli, t, &cell);
    cell.len = 0;
    micro__buf_u64(&cell, port);
    micro__cli_cell(cli, t, &cell);
    cell.len = 0;
    micro__cli_pairs(&cell, &node->metadata);
    micro__cli_cell(cli, t, &cell);
    micro__buf_free(&cell);
}

static void cmd_get_version(micro__cli *cli, const micro_entry *e)
{
    static const char *const heads[] = { "Id", "Address", "Port", "Metadata" };
    static const char *const gaps[] = { "\t", "\t", "\t" };
    micro__cli_table table = { heads, gaps, MICRO_COUNTOF(heads), { NULL, 0, 0 } };

    micro__buf_text(&cli->out, "\nversion ");
    micro__cli_text(&cli->out, e->version);
    micro__buf_text(&cli->out, "\n\n");
    for (size_t i = 0; i < e->nodes.len; i++)
        cmd_get_node(cli, &table, &e->nodes.ptr[i]);
    micro__cli_table_write(cli, &table);
}

static void cmd_get_endpoint(micro_buf *out, const micro_endpoint *e, bool first)
{
    micro__buf_text(out, first ? "\nEndpoint: " : "\n\nEndpoint: ");
    micro__cli_text(out, e->name);
    micro__buf_text(out, "\nMetadata: ");
    micro__cli_pairs(out, &e->metadata);
    micro__buf_byte(out, '\n');
    cmd_get_type(out, "Request", e->request);
    cmd_get_type(out, "Response", e->response);
}

static int cmd_get_json(micro__cli *cli, const micro_entries *all)
{
    micro__buf_byte(&cli->out, '[');
    for (size_t i = 0; i < all->len; i++) {
        micro__buf_text(&cli->out, i ? "," : "");
        if (micro__entry_write(cli->ctx, &all->ptr[i], &cli->out) != MICRO_OK)
            return micro__cli_fail(MICRO__CLI_FAILED, "%s", micro_ctx_strerror(cli->ctx));
    }
    micro__buf_text(&cli->out, "]\n");
    return MICRO__CLI_OK;
}

MICRO_PRIVATE void micro__cli_endpoints(micro_buf *out, const micro_endpoints *list)
{
    for (size_t i = 0; i < list->len; i++)
        cmd_get_endpoint(out, &list->ptr[i], i == 0);
    if (list->len)
        micro__buf_byte(out, '\n');
}

/* Endpoints are those of the first version. */
MICRO_PRIVATE int micro__cli_get(micro__cli *cli)
{
    micro_entries all;
    int code = micro__cli_lookup(cli, "service requested", &all);

    if (code)
        return code;
    if (cli->opts.json)
        return cmd_get_json(cli, &all);
    micro__buf_format(&cli->out, "service  %s\n", cli->args[0]);
    for (size_t i = 0; i < all.len; i++)
        cmd_get_version(cli, &all.ptr[i]);
    micro__cli_endpoints(&cli->out, &all.ptr[0].endpoints);
    return MICRO__CLI_OK;
}
