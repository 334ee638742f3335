/* SPDX-License-Identifier: MIT */
/* micro man: the man page, from the tables that --help reads. */
#include "cli.h"

/* Text in roff: its own characters are escaped, and no line starts with a command. */
static void man_text(micro_buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        micro__buf_text(out, "\\&");
    for (; *text; text++) {
        if (*text == '-')
            micro__buf_text(out, "\\-");
        else if (*text == '\\')
            micro__buf_text(out, "\\e");
        else
            micro__buf_byte(out, *text);
    }
}

static void man_bold(micro_buf *out, const char *text)
{
    micro__buf_text(out, "\\fB");
    man_text(out, text);
    micro__buf_text(out, "\\fR");
}

static void man_flag(micro_buf *out, const micro__flag_row *row)
{
    micro__buf_text(out, ".TP\n");
    micro__buf_text(out, "\\fB\\-\\-");
    man_text(out, row->name);
    micro__buf_text(out, "\\fR");
    if (row->kind != MICRO__FLAG_BOOL)
        micro__buf_text(out, " \\fIvalue\\fR");
    micro__buf_byte(out, '\n');
    man_text(out, row->help);
    if (row->choices) {
        micro__buf_text(out, ": ");
        man_text(out, row->choices);
    }
    micro__buf_byte(out, '.');
    if (row->preset) {
        micro__buf_text(out, " Default: ");
        man_text(out, row->preset);
        micro__buf_byte(out, '.');
    }
    if (row->env) {
        micro__buf_text(out, " Environment: ");
        man_bold(out, row->env);
        micro__buf_byte(out, '.');
    }
    micro__buf_byte(out, '\n');
}

static void man_flags(micro_buf *out, const micro__flag_table *t)
{
    for (size_t i = 0; t && i < t->len; i++)
        man_flag(out, &t->rows[i]);
}

static void man_command(micro_buf *out, const char *group, const micro__cli_command *c)
{
    micro__buf_text(out, ".SS ");
    micro__buf_text(out, group);
    micro__buf_text(out, *group ? " " : "");
    micro__buf_text(out, c->name);
    if (c->alias)
        micro__buf_format(out, ", %s", c->alias);
    micro__buf_byte(out, '\n');
    man_text(out, c->help);
    micro__buf_byte(out, '.');
    if (c->args) {
        micro__buf_text(out, " Arguments: \\fI");
        man_text(out, c->args);
        micro__buf_text(out, "\\fR");
    }
    micro__buf_byte(out, '\n');
    if (c->more) {
        micro__buf_text(out, ".PP\n");
        man_text(out, c->more);
        micro__buf_byte(out, '\n');
    }
    man_flags(out, c->flags);
}

/* Leaves, two levels deep; a group of groups is only said to hold the same. */
static void man_commands(micro_buf *out)
{
    const micro__cli_command *root = &micro__cli_root;

    for (size_t i = 0; i < root->nsub; i++) {
        const micro__cli_command *c = &root->sub[i];
        if (c->hidden)
            continue;
        if (!c->sub)
            man_command(out, "", c);
        for (size_t k = 0; k < c->nsub; k++) {
            if (!c->sub[k].sub)
                man_command(out, c->name, &c->sub[k]);
        }
        if (c->sub && c->sub[0].sub) {
            micro__buf_format(out, ".SS %s\n", c->name);
            man_text(out, c->help);
            micro__buf_text(out, ": the commands");
            for (size_t k = 0; k < c->nsub; k++)
                micro__buf_format(out, "%s%s", k ? ", " : " ", c->sub[k].name);
            micro__buf_text(out, " under another name.\n");
        }
    }
}

static const char man_codes[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nSuccess.\n"
    ".TP\n1\nThe service raised an error, a node is not healthy, or anything else failed.\n"
    ".TP\n2\nUnknown command, flag, plug\\-in or help topic; a flag or environment variable that\n"
    "does not parse; a missing argument; bad JSON.\n"
    ".TP\n3\nThere is no such service, node or endpoint.\n"
    ".TP\n4\nTime\\-out, connection refused or lost.\n";

static const char man_examples[] =
    ".SH EXAMPLES\n"
    ".nf\n"
    "micro list services\n"
    "micro get service go.micro.srv.greeter\n"
    "micro call go.micro.srv.greeter Say.Hello '{\"name\": \"John\"}'\n"
    "micro call \\-\\-address=127.0.0.1:8080 \\-\\-timeout=1s greeter Say.Hello '{}'\n"
    "micro health go.micro.srv.greeter\n"
    ".fi\n";

MICRO_PRIVATE int micro__cli_man(micro__cli *cli)
{
    micro_buf *out = &cli->out;

    micro__buf_format(out, ".TH MICRO 1 \"\" \"micro %s\" \"User Commands\"\n", micro_version());
    micro__buf_text(out, ".SH NAME\nmicro \\- ask and call microservices\n"
                         ".SH SYNOPSIS\n.B micro\n[\\fIglobal options\\fR] \\fIcommand\\fR\n"
                         "[\\fIcommand options\\fR] [\\fIarguments\\fR...]\n"
                         ".SH DESCRIPTION\nFinds services in a registry, multicast DNS if nothing\n"
                         "else is said, and calls their methods. Results go to standard output,\n"
                         "errors to standard error. Where standard output is no terminal, columns\n"
                         "are separated by tabs.\n"
                         ".PP\nA flag is written with one dash or two; its value follows behind a\n"
                         "blank or an equals sign. The command line comes before the\n"
                         "environment.\n"
                         ".SH COMMANDS\n");
    man_commands(out);
    micro__buf_text(out, ".SH GLOBAL OPTIONS\n");
    man_flags(out, &micro__service_flags);
    micro__buf_text(out, ".TP\n\\fB\\-\\-help\\fR, \\fB\\-h\\fR\nShow help.\n"
                         ".TP\n\\fB\\-\\-version\\fR, \\fB\\-v\\fR\nPrint the version.\n");
    micro__buf_text(out, man_codes);
    micro__buf_text(out, man_examples);
    return MICRO__CLI_OK;
}
