/* SPDX-License-Identifier: MIT */
/* Reads flags and their environment variables: the library's, a program's own, a command's. */
#include "service.h"

#include <limits.h>

/* A row of a table, or a flag of a program: what a value is for. */
typedef struct flags_target {
    const char *name, *env;
    micro__flag_kind kind;
    bool zero_off;
    bool free;          /* a program's own: any number, and "" is a text */
    const char *preset;
    void *to;
} flags_target;

typedef struct flags_value {
    micro_str text;
    const char *env;    /* NULL: from the command line */
} flags_value;

/* ---- values --------------------------------------------------------------------------------- */

static micro_err flags_bad(const flags_target *t, const flags_value *v, const char *type,
                           const char *problem, char *why)
{
    int len = v->text.len > 80 ? 80 : (int)v->text.len;

    if (v->env)
        snprintf(why, MICRO__WHY_MAX, "could not parse %.*s as %s value for flag %.60s: %s", len,
                 v->text.ptr, type, t->name, problem);
    else
        snprintf(why, MICRO__WHY_MAX, "invalid value \"%.*s\" for flag -%.60s: %s", len,
                 v->text.ptr, t->name, problem);
    return MICRO_EUSAGE;
}

static micro_err flags_no_memory(char *why)
{
    snprintf(why, MICRO__WHY_MAX, "out of memory");
    return MICRO_ENOMEM;
}

static micro_err flags_set_text(const flags_target *t, const flags_value *v, micro__arena *a,
                                char *why)
{
    const char *text = t->preset;

    if (v->text.len || t->free) {
        text = micro__arena_text(a, v->text.ptr, v->text.len);
        if (!text)
            return flags_no_memory(why);
    }
    *(const char **)t->to = text;
    return MICRO_OK;
}

/* A number of the library's is a limit: 0 switches it off where that is possible. */
static micro_err flags_set_int(const flags_target *t, const flags_value *v, char *why)
{
    micro_str s = v->text;
    int64_t n;

    if (s.len && s.ptr[0] == '+')
        s = micro__str(s.ptr + 1, s.len - 1);
    if (!micro__parse_i64(s, &n))
        return flags_bad(t, v, "int", "not a whole number, or too large", why);
    if (n > INT_MAX || n < INT_MIN)
        return flags_bad(t, v, "int", "too large", why);
    if (!t->free && n < 0)
        return flags_bad(t, v, "int", "negative", why);
    if (!t->free && n == 0 && !t->zero_off)
        return flags_bad(t, v, "int", "at least 1 is needed", why);
    *(int *)t->to = n == 0 && !t->free ? MICRO_OFF : (int)n;
    return MICRO_OK;
}

static micro_err flags_set_ms(const flags_target *t, const flags_value *v, char *why)
{
    int64_t ms;
    uint64_t seconds;

    if (t->kind == MICRO__FLAG_SECONDS && micro__parse_u64(v->text, &seconds)) {
        ms = seconds > INT_MAX / 1000 ? INT64_MAX : (int64_t)seconds * 1000;
    } else if (!micro__parse_duration(v->text, &ms)) {
        snprintf(why, MICRO__WHY_MAX, "failed to parse %.60s: %.*s", t->name,
                 v->text.len > 80 ? 80 : (int)v->text.len, v->text.ptr);
        return MICRO_EUSAGE;
    }
    if (ms > INT_MAX)
        return flags_bad(t, v, "duration", "longer than 24 days", why);
    *(int *)t->to = ms == 0 && t->zero_off ? MICRO_OFF : (int)ms;
    return MICRO_OK;
}

static micro_err flags_set_bool(const flags_target *t, const flags_value *v, char *why)
{
    static const char *const words[] = { "true", "1", "t", "false", "0", "f" };

    for (size_t i = 0; i < MICRO_COUNTOF(words); i++) {
        if (micro__str_is_nocase(v->text, words[i])) {
            *(bool *)t->to = i < 3;
            return MICRO_OK;
        }
    }
    return flags_bad(t, v, "bool", "neither true nor false", why);
}

static micro_err flags_set_level(const flags_target *t, const flags_value *v, char *why)
{
    static const char *const names[] = { "none", "error", "warn", "info", "debug" };

    for (size_t i = 0; i < MICRO_COUNTOF(names); i++) {
        bool digit = v->text.len == 1 && v->text.ptr[0] == (char)('0' + i);
        if (digit || micro__str_is_nocase(v->text, names[i])) {
            *(int *)t->to = (int)i;
            return MICRO_OK;
        }
    }
    return flags_bad(t, v, "level", "none, error, warn, info, debug, or 0 to 4", why);
}

static micro_err flags_set_pair(const flags_target *t, const flags_value *v, micro_str pair,
                                micro__arena *a, char *why)
{
    micro_str value, key = micro__str_cut(pair, '=', &value);

    if (!key.len)
        return flags_bad(t, v, "key=value", "a key is missing", why);
    for (size_t i = 0; i < pair.len; i++)
        if (micro__is_control(pair.ptr[i]))
            return flags_bad(t, v, "key=value", "it holds a control character", why);
    return micro__pairs_set(a, (micro_pairs *)t->to, key, value) ? MICRO_OK : flags_no_memory(why);
}

/* The environment has several in one value; "" there says nothing. */
static micro_err flags_set_pairs(const flags_target *t, const flags_value *v, micro__arena *a,
                                 char *why)
{
    micro_str rest = v->text;
    micro_err err = v->env ? MICRO_OK : flags_set_pair(t, v, rest, a, why);

    while (v->env && rest.len && err == MICRO_OK) {
        micro_str pair = micro__str_trim(micro__str_cut(rest, ',', &rest));
        if (pair.len)
            err = flags_set_pair(t, v, pair, a, why);
    }
    return err;
}

static micro_err flags_set(const flags_target *t, const flags_value *v, micro__arena *a, char *why)
{
    switch (t->kind) {
    case MICRO__FLAG_INT: return flags_set_int(t, v, why);
    case MICRO__FLAG_MS:
    case MICRO__FLAG_SECONDS: return flags_set_ms(t, v, why);
    case MICRO__FLAG_BOOL: return flags_set_bool(t, v, why);
    case MICRO__FLAG_PAIRS: return flags_set_pairs(t, v, a, why);
    case MICRO__FLAG_LEVEL: return flags_set_level(t, v, why);
    case MICRO__FLAG_TEXT: break;
    }
    return flags_set_text(t, v, a, why);
}

/* ---- targets -------------------------------------------------------------------------------- */

static flags_target flags_of_row(const micro__flag_row *row, void *base)
{
    flags_target t = { row->name, row->env, row->kind, row->zero_off, false, row->preset,
                       (char *)base + row->offset };
    return t;
}

static flags_target flags_of_user(const micro_flag *f)
{
    flags_target t = { f->name, f->env, MICRO__FLAG_TEXT, false, true, NULL, (void *)f->text };

    if (f->number) {
        t.kind = MICRO__FLAG_INT;
        t.to = f->number;
    } else if (f->ms) {
        t.kind = MICRO__FLAG_MS;
        t.to = f->ms;
    } else if (f->on) {
        t.kind = MICRO__FLAG_BOOL;
        t.to = f->on;
    }
    return t;
}

static micro_err flags_from_env(const flags_target *t, micro__arena *a, char *why)
{
    flags_value v = { { "", 0 }, t->env };
    const char *text = t->env && t->to ? micro__env(t->env) : NULL;

    if (!text)
        return MICRO_OK;
    v.text = micro_s(text);
    return flags_set(t, &v, a, why);
}

MICRO_PRIVATE micro_err micro__flags_env(const micro__flag_table *t, void *base, micro__arena *a,
                                         char *why)
{
    micro_err err = MICRO_OK;

    for (size_t i = 0; i < t->len && err == MICRO_OK; i++) {
        flags_target target = flags_of_row(&t->rows[i], base);
        err = flags_from_env(&target, a, why);
    }
    return err;
}

MICRO_PRIVATE micro_err micro__flags_user_env(const micro_flag *flags, size_t n, micro__arena *a,
                                              char *why)
{
    micro_err err = MICRO_OK;

    for (size_t i = 0; i < n && err == MICRO_OK; i++) {
        flags_target target = flags_of_user(&flags[i]);
        err = flags_from_env(&target, a, why);
    }
    return err;
}

/* ---- command line --------------------------------------------------------------------------- */

MICRO_PRIVATE micro_str micro__flag_name(const char *word)
{
    micro_str value;

    if (word[0] != '-')
        return micro_s("");
    word += word[1] == '-' ? 2 : 1;
    return micro__str_cut(micro_s(word), '=', &value);
}

MICRO_PRIVATE char micro__flag_asks(const char *word)
{
    micro_str name = micro__flag_name(word);

    if (micro__str_is(name, "help") || micro__str_is(name, "h"))
        return 'h';
    return micro__str_is(name, "version") || micro__str_is(name, "v") ? 'v' : 0;
}

/* The value behind = or, but for a bool, the next word, whatever that looks like. */
static int flags_take(const flags_target *t, micro__arena *a, int argc, char **argv, int *i,
                      char *why)
{
    flags_value v = { { "true", 4 }, NULL };
    const char *equals = strchr(argv[*i], '=');

    if (!t->to) {
        snprintf(why, MICRO__WHY_MAX, "flag -%.60s fills in nothing", t->name);
        return MICRO_EUSAGE;
    }
    if (equals) {
        v.text = micro_s(equals + 1);
    } else if (t->kind != MICRO__FLAG_BOOL) {
        if (*i + 1 >= argc || !argv[*i + 1]) {
            snprintf(why, MICRO__WHY_MAX, "flag needs an argument: -%.60s", t->name);
            return MICRO_EUSAGE;
        }
        v.text = micro_s(argv[++*i]);
    }
    ++*i;
    micro_err err = flags_set(t, &v, a, why);
    return err == MICRO_OK ? 1 : err;
}

MICRO_PRIVATE int micro__flags_take(const micro__flag_table *t, void *base, micro__arena *a,
                                    int argc, char **argv, int *i, char *why)
{
    micro_str name = micro__flag_name(argv[*i]);

    for (size_t k = 0; k < t->len; k++) {
        if (micro__str_is(name, t->rows[k].name)) {
            flags_target target = flags_of_row(&t->rows[k], base);
            return flags_take(&target, a, argc, argv, i, why);
        }
    }
    return 0;
}

MICRO_PRIVATE int micro__flags_user_take(const micro_flag *flags, size_t n, micro__arena *a,
                                         int argc, char **argv, int *i, char *why)
{
    micro_str name = micro__flag_name(argv[*i]);

    for (size_t k = 0; k < n; k++) {
        if (flags[k].name && micro__str_is(name, flags[k].name)) {
            flags_target target = flags_of_user(&flags[k]);
            return flags_take(&target, a, argc, argv, i, why);
        }
    }
    return 0;
}

/* One word that may be a flag: 1 taken, 0 a word, < 0 an error, MICRO_EHELP among them. */
static int flags_read_word(micro__settings *s, micro__flag_input *in, micro__arena *a, int *i,
                           char *why)
{
    micro_str name = micro__flag_name(in->argv[*i]);

    if (!name.len)
        return 0;
    int taken = micro__flags_user_take(in->user, in->nuser, a, in->argc, in->argv, i, why);
    if (!taken)
        taken = micro__flags_take(&micro__service_flags, s, a, in->argc, in->argv, i, why);
    if (taken)
        return taken;
    in->asked = micro__flag_asks(in->argv[*i]);
    if (in->asked)
        return MICRO_EHELP;
    snprintf(why, MICRO__WHY_MAX, "flag provided but not defined: -%.*s",
             name.len > 80 ? 80 : (int)name.len, name.ptr);
    return MICRO_EUSAGE;
}

static micro_err flags_command_line(micro__settings *s, micro__flag_input *in, micro__arena *a,
                                    char *why)
{
    bool words = false; /* -- was seen */
    int i = 1;

    in->args = (const char **)micro__arena_take(a, (size_t)in->argc * sizeof *in->args);
    if (!in->args)
        return flags_no_memory(why);
    while (i < in->argc && in->argv[i]) {
        int taken = words ? 0 : flags_read_word(s, in, a, &i, why);
        if (taken < 0)
            return taken;
        if (taken)
            continue;
        bool dashes = !words && strcmp(in->argv[i], "--") == 0;
        if (in->command) {
            i += dashes;
            break;
        }
        if (dashes) {
            words = true;
        } else {
            const char *word = micro__arena_text(a, in->argv[i], strlen(in->argv[i]));
            if (!word)
                return flags_no_memory(why);
            in->args[in->nargs++] = word;
        }
        i++;
    }
    in->used = i;
    return MICRO_OK;
}

/* What is wrong in the environment is told after the command line was read: --help comes first. */
MICRO_PRIVATE micro_err micro__flags_read(micro__settings *s, micro__flag_input *in,
                                          micro__arena *a, char *why)
{
    char line_why[MICRO__WHY_MAX] = "";
    micro_err line = MICRO_OK;

    why[0] = 0;
    in->used = 0;
    in->asked = 0;
    in->args = NULL;
    in->nargs = 0;
    micro_err err = micro__flags_env(&micro__service_flags, s, a, why);
    if (err == MICRO_OK)
        err = micro__flags_user_env(in->user, in->nuser, a, why);
    if (in->argc > 0 && in->argv)
        line = flags_command_line(s, in, a, line_why);
    if (line == MICRO_EHELP && !in->command)
        micro__flags_answer(s, in);
    if (line == MICRO_EHELP || (err == MICRO_OK && line != MICRO_OK)) {
        memcpy(why, line_why, sizeof line_why);
        err = line;
    }
    return err == MICRO_OK ? micro__settings_check(s, why) : err;
}
