/* SPDX-License-Identifier: MIT */
/* What --help and --version print. */
#include "service.h"

/* One line before it is written: a row of either kind of table, or what every program has. */
typedef struct flags_help_line {
    const char *name, *env, *help, *choices;
    bool value, quoted;
    char preset[64]; /* "": none */
} flags_help_line;

static const char *flags_help_text(const char *text)
{
    return text ? text : "";
}

static flags_help_line flags_help_row(const micro__flag_row *row)
{
    flags_help_line line = { row->name, row->env, flags_help_text(row->help), row->choices,
                             row->kind != MICRO__FLAG_BOOL,
                             row->kind != MICRO__FLAG_INT && row->kind != MICRO__FLAG_SECONDS, "" };

    snprintf(line.preset, sizeof line.preset, "%s", flags_help_text(row->preset));
    return line;
}

static void flags_help_ms(char *out, size_t size, int ms)
{
    if (ms && ms % 1000 == 0)
        snprintf(out, size, "%ds", ms / 1000);
    else if (ms > 0)
        snprintf(out, size, "%dms", ms);
}

/* The default of a program's own flag is what its variable holds. */
static flags_help_line flags_help_user(const micro_flag *f)
{
    flags_help_line line = { flags_help_text(f->name), f->env, flags_help_text(f->help), NULL,
                             !f->on, !f->number, "" };

    if (f->text)
        snprintf(line.preset, sizeof line.preset, "%s", flags_help_text(*f->text));
    else if (f->number)
        snprintf(line.preset, sizeof line.preset, "%d", *f->number);
    else if (f->ms)
        flags_help_ms(line.preset, sizeof line.preset, *f->ms);
    else if (f->on && *f->on)
        snprintf(line.preset, sizeof line.preset, "true");
    return line;
}

static size_t flags_help_width(const flags_help_line *line)
{
    return strlen(line->name) + (line->value ? strlen(" value") : 0);
}

static void flags_help_pad(micro_buf *out, size_t from, size_t to)
{
    for (; from < to; from++)
        micro__buf_byte(out, ' ');
}

static void flags_help_write(micro_buf *out, const flags_help_line *line, size_t width)
{
    const char *quote = line->quoted ? "\"" : "";

    micro__buf_format(out, "   --%s%s", line->name, line->value ? " value" : "");
    flags_help_pad(out, flags_help_width(line), width);
    micro__buf_format(out, "  %s", line->help);
    if (line->choices)
        micro__buf_format(out, "; %s", line->choices);
    if (line->preset[0])
        micro__buf_format(out, " (default: %s%s%s)", quote, line->preset, quote);
    if (line->env)
        micro__buf_format(out, " [$%s]", line->env);
    micro__buf_byte(out, '\n');
}

static bool flags_help_shadowed(const micro_flag *user, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (user[i].name && strcmp(user[i].name, name) == 0)
            return true;
    return false;
}

static size_t flags_help_widest(const micro__flag_table *t, const micro_flag *user, size_t n,
                                size_t widest)
{
    for (size_t i = 0; t && i < t->len; i++) {
        flags_help_line line = flags_help_row(&t->rows[i]);
        size_t width = flags_help_width(&line);
        widest = width > widest ? width : widest;
    }
    for (size_t i = 0; i < n; i++) {
        flags_help_line line = flags_help_user(&user[i]);
        size_t width = flags_help_width(&line);
        widest = width > widest ? width : widest;
    }
    return widest;
}

MICRO_PRIVATE void micro__flags_help(micro_buf *out, const micro__flag_table *t,
                                     const micro_flag *user, size_t n, bool version)
{
    static const flags_help_line last[] = {
        { "help, -h", NULL, "show help", NULL, false, false, "" },
        { "version, -v", NULL, "print the version", NULL, false, false, "" }
    };
    size_t nlast = version ? 2 : 1;
    size_t width = flags_help_widest(t, user, n, flags_help_width(&last[nlast - 1]));

    for (size_t i = 0; i < n; i++) {
        flags_help_line line = flags_help_user(&user[i]);
        flags_help_write(out, &line, width);
    }
    for (size_t i = 0; t && i < t->len; i++) {
        flags_help_line line = flags_help_row(&t->rows[i]);
        if (!flags_help_shadowed(user, n, line.name))
            flags_help_write(out, &line, width);
    }
    for (size_t i = 0; i < nlast; i++)
        flags_help_write(out, &last[i], width);
}

MICRO_PRIVATE const char *micro__program_name(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

    if (slash)
        argv0 = slash + 1;
    return argv0 && *argv0 ? argv0 : "program";
}

MICRO_PRIVATE void micro__flags_answer(const micro__settings *s, const micro__flag_input *in)
{
    const char *program = micro__program_name(in->argv[0]);
    const char *name = s->name ? s->name : program;
    const char *version = s->version ? s->version : "1.0.0";
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };

    if (in->asked == 'v') {
        micro__buf_format(&out, "%s version %s\n", name, version);
    } else {
        micro__buf_format(&out, "NAME:\n   %s%s%s\n", name, s->description ? " - " : "",
                          flags_help_text(s->description));
        micro__buf_format(&out, "\nUSAGE:\n   %s [global options] [arguments...]\n", program);
        micro__buf_format(&out, "\nVERSION:\n   %s\n\nGLOBAL OPTIONS:\n", version);
        micro__flags_help(&out, &micro__service_flags, in->user, in->nuser, true);
    }
    fwrite(out.ptr ? out.ptr : "", 1, out.len, stdout);
    fflush(stdout);
    micro__buf_free(&out);
}
