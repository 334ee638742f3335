/* SPDX-License-Identifier: MIT */
/* micro help, --help and micro version. */
#include "cli.h"

static void help_title(micro_buf *out, const micro__cli_command *c)
{
    micro__buf_text(out, c->name);
    if (c->alias)
        micro__buf_format(out, ", %s", c->alias);
}

static void help_commands(micro_buf *out, const micro__cli_command *group)
{
    size_t width = 0;

    for (size_t i = 0; i < group->nsub; i++) {
        const micro__cli_command *c = &group->sub[i];
        size_t len = strlen(c->name) + (c->alias ? strlen(c->alias) + 2 : 0);
        if (!c->hidden && len > width)
            width = len;
    }
    micro__buf_text(out, "\nCOMMANDS:\n");
    for (size_t i = 0; i < group->nsub; i++) {
        const micro__cli_command *c = &group->sub[i];
        if (c->hidden)
            continue;
        micro__buf_text(out, "     ");
        size_t from = out->len;
        help_title(out, c);
        while (!out->failed && out->len < from + width)
            micro__buf_byte(out, ' ');
        micro__buf_format(out, "  %s\n", c->help);
    }
}

MICRO_PRIVATE void micro__cli_app_help(micro_buf *out)
{
    const micro__cli_command *root = &micro__cli_root;

    micro__buf_format(out, "NAME:\n   %s - %s\n", root->name, root->help);
    micro__buf_format(out,
                      "\nUSAGE:\n   %s [global options] command [command options] "
                      "[arguments...]\n",
                      root->name);
    micro__buf_format(out, "\nVERSION:\n   %s\n", micro_version());
    help_commands(out, root);
    micro__buf_text(out, "\nGLOBAL OPTIONS:\n");
    micro__flags_help(out, &micro__service_flags, NULL, 0, true);
}

/* The blanks at the end of a group's help are the original's. */
MICRO_PRIVATE void micro__cli_command_help(micro_buf *out, const char *path,
                                           const micro__cli_command *c)
{
    micro__buf_format(out, "NAME:\n   %s - %s\n", path, c->help);
    if (c->sub) {
        micro__buf_format(out, "\nUSAGE:\n   %s command [command options] [arguments...]\n", path);
        help_commands(out, c);
    } else {
        micro__buf_format(out, "\nUSAGE:\n   %s [command options] %s\n", path,
                          c->args ? c->args : "[arguments...]");
    }
    micro__buf_text(out, "\nOPTIONS:\n");
    micro__flags_help(out, c->flags, NULL, 0, false);
    if (c->sub)
        micro__buf_text(out, "   \n");
}

MICRO_PRIVATE int micro__cli_help(micro__cli *cli)
{
    const micro__cli_command *c = &micro__cli_root;
    micro_buf path = { NULL, 0, 0, 0, false, false, 0 };
    int code = MICRO__CLI_OK;

    micro__buf_text(&path, c->name);
    for (size_t i = 0; i < cli->nargs && code == MICRO__CLI_OK; i++) {
        micro__buf_format(&path, " %s", cli->args[i]);
        c = micro__cli_find(c, cli->args[i]);
        if (!c)
            code = micro__cli_fail(MICRO__CLI_USAGE, "No help topic for '%s'", cli->args[i]);
    }
    micro__buf_byte(&path, 0);
    if (path.failed)
        code = micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
    else if (code == MICRO__CLI_OK && !cli->nargs)
        micro__cli_app_help(&cli->out);
    else if (code == MICRO__CLI_OK)
        micro__cli_command_help(&cli->out, path.ptr, c);
    micro__buf_free(&path);
    return code;
}

MICRO_PRIVATE int micro__cli_version(micro__cli *cli)
{
    micro__buf_format(&cli->out, "micro version %s\n", micro_version());
    return MICRO__CLI_OK;
}
