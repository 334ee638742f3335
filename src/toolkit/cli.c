/* SPDX-License-Identifier: MIT */
/* The micro command's main: global flags, the way to a command, its flags, its exit code. */
#include "cli.h"

typedef struct cli_line { /* what is left of the command line */
    int argc;
    char **argv;
    int at;
} cli_line;

static const char cli_hint[] = "\nRun 'micro --help' for usage.";

/* ---- service -------------------------------------------------------------------------------- */

/* Only a client: nothing listens, nothing is registered. */
static micro_service *cli_service(const micro__cli *cli)
{
    const micro_service_opts opts = { .size_ = sizeof opts, .abi_ = MICRO_ABI, .name = "micro",
                                      .argc = cli->global_argc, .argv = cli->global_argv };

    return micro_service_create(&opts);
}

MICRO_PRIVATE int micro__cli_online(micro__cli *cli)
{
    char why[MICRO__WHY_MAX];

    if (cli->ctx)
        return MICRO__CLI_OK;
    if (micro__plugins_check(NULL, 0, &cli->settings, why) != MICRO_OK)
        return micro__cli_fail(MICRO__CLI_USAGE, "%s\n%s", why, cli_hint);
    cli->svc = cli_service(cli);
    cli->ctx = micro_ctx_new(cli->svc);
    micro_err err = cli->ctx ? micro_service_error(cli->svc) : MICRO_ENOMEM;
    if (err == MICRO_OK)
        return MICRO__CLI_OK;
    return micro__cli_fail(err == MICRO_EUSAGE ? MICRO__CLI_USAGE : MICRO__CLI_FAILED, "%s",
                           micro_strerror(err));
}

/* ---- command line --------------------------------------------------------------------------- */

/* A command's flags and words, in any order up to "--". */
static int cli_arguments(micro__cli *cli, const micro__cli_command *c, cli_line *line)
{
    static const micro__flag_table none = { NULL, 0 };
    const micro__flag_table *flags = c->flags ? c->flags : &none;
    char why[MICRO__WHY_MAX];
    bool words = false;

    cli->args = (const char **)micro__arena_take(&cli->arena,
                                                 (size_t)line->argc * sizeof *cli->args);
    if (!cli->args)
        return micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
    while (line->at < line->argc) {
        const char *word = line->argv[line->at];
        if (words || (!micro__flag_name(word).len && strcmp(word, "--") != 0)) {
            cli->args[cli->nargs++] = word;
            line->at++;
        } else if (!micro__flag_name(word).len) {
            words = true;
            line->at++;
        } else {
            int taken = micro__flags_take(flags, &cli->opts, &cli->arena, line->argc, line->argv,
                                          &line->at, why);
            if (taken < 0)
                return micro__cli_fail(MICRO__CLI_USAGE, "Incorrect Usage: %s", why);
            if (!taken && micro__flag_asks(word) == 'h')
                return MICRO__CLI_HELP;
            if (!taken)
                return micro__cli_fail(MICRO__CLI_USAGE,
                                       "Incorrect Usage: flag provided but not defined: -%.*s",
                                       MICRO_STR_ARG(micro__flag_name(word)));
        }
    }
    return MICRO__CLI_OK;
}

/* What stands behind a group: a command of it, or a call for help. */
static int cli_group(const micro__cli_command *c, const cli_line *line)
{
    const char *word = line->at < line->argc ? line->argv[line->at] : NULL;
    bool top = c == &micro__cli_root;

    if (!word || (!top && micro__flag_asks(word) == 'h'))
        return MICRO__CLI_HELP;
    if (micro__cli_find(c, word))
        return MICRO__CLI_OK;
    if (top)
        return micro__cli_fail(MICRO__CLI_USAGE, "unknown command \"%s\"\n%s", word, cli_hint);
    if (micro__flag_name(word).len)
        return micro__cli_fail(MICRO__CLI_USAGE,
                               "Incorrect Usage: flag provided but not defined: -%.*s",
                               MICRO_STR_ARG(micro__flag_name(word)));
    return micro__cli_fail(MICRO__CLI_USAGE, "No help topic for '%s'", word);
}

/* Goes down the table as far as the words lead, and runs what is found there. */
static int cli_command(micro__cli *cli, cli_line *line)
{
    const micro__cli_command *c = &micro__cli_root;
    micro_buf path = { NULL, 0, 0, 0, false, false, 0 };
    int code = MICRO__CLI_OK;

    micro__buf_text(&path, c->name);
    while (!code && c->sub) {
        code = cli_group(c, line);
        if (!code) {
            micro__buf_format(&path, " %s", line->argv[line->at]);
            c = micro__cli_find(c, line->argv[line->at++]);
        }
    }
    micro__buf_byte(&path, 0);
    if (!code)
        code = cli_arguments(cli, c, line);
    if (!code)
        code = c->run(cli);
    if (path.failed)
        cli->out.failed = true;
    else if (code == MICRO__CLI_HELP && c == &micro__cli_root)
        micro__cli_app_help(&cli->out);
    else if (code == MICRO__CLI_HELP)
        micro__cli_command_help(&cli->out, path.ptr, c);
    micro__buf_free(&path);
    return code == MICRO__CLI_HELP ? MICRO__CLI_OK : code;
}

static int cli_global(micro__cli *cli, cli_line *line)
{
    char why[MICRO__WHY_MAX];
    micro__flag_input in = { .argc = line->argc, .argv = line->argv, .command = true };
    micro_err err = micro__flags_read(&cli->settings, &in, &cli->arena, why);

    if (err == MICRO_EHELP) {
        if (in.asked == 'v')
            return micro__cli_version(cli);
        micro__cli_app_help(&cli->out);
        return MICRO__CLI_OK;
    }
    if (err == MICRO_ENOMEM)
        return micro__cli_fail(MICRO__CLI_FAILED, "%s", why);
    if (err != MICRO_OK) {
        bool value = in.used || micro__str_starts(micro_s(why), "failed to parse");
        return micro__cli_fail(MICRO__CLI_USAGE, "%s%s\n%s", value ? "" : "Incorrect Usage. ",
                               why, cli_hint);
    }
    line->at = in.used;
    cli->global_argc = in.used;
    cli->global_argv = line->argv;
    return cli_command(cli, line);
}

MICRO_API int micro_cli_main(int argc, char **argv)
{
    char program[] = "micro";
    char *alone[] = { program, NULL };
    cli_line line = { argc > 0 && argv ? argc : 1, argc > 0 && argv ? argv : alone, 1 };
    micro__cli cli = { .settings = { .log_level = -1 }, .terminal = micro__is_terminal(1) };

    micro__arena_init(&cli.arena, NULL, 0);
    int code = cli_global(&cli, &line);
    if (!micro__cli_flush(&cli))
        code = micro__cli_fail(MICRO__CLI_FAILED, "cannot write the output");
    micro__buf_free(&cli.out);
    micro_ctx_free(cli.ctx);
    micro_service_free(cli.svc);
    micro__arena_free(&cli.arena);
    return code;
}
