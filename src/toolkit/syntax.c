/* SPDX-License-Identifier: MIT */
/* Checks JSON that a person typed, and says what is wrong in the words of Go's encoding/json, which
 * scripts around the original know. */
#include "cli.h"

typedef struct syntax_text {
    const char *p, *end;
    char *why;
    char open[MICRO_MAX_DEPTH]; /* brackets */
    size_t depth;
} syntax_text;

/* ---- what is wrong -------------------------------------------------------------------------- */

/* The byte at p as Go quotes it: every byte is taken for a code point. */
static void syntax_quote(char out[16], unsigned char c)
{
    static const char names[] = "a\ab\bf\fn\nr\rt\tv\v";

    for (size_t i = 0; i + 1 < sizeof names; i += 2) {
        if (c == (unsigned char)names[i + 1]) {
            snprintf(out, 16, "'\\%c'", names[i]);
            return;
        }
    }
    if (c == '\'' || c == '\\')
        snprintf(out, 16, "'\\%c'", c);
    else if (c < 0x20 || c == 0x7f)
        snprintf(out, 16, "'\\x%02x'", c);
    else if (c < 0x80)
        snprintf(out, 16, "'%c'", c);
    else if (c <= 0xa0 || c == 0xad)
        snprintf(out, 16, "'\\u%04x'", c);
    else
        snprintf(out, 16, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

static bool syntax_bad(syntax_text *k, const char *where)
{
    char quoted[16];

    if (k->p >= k->end) {
        snprintf(k->why, MICRO__WHY_MAX, "unexpected end of JSON input");
    } else {
        syntax_quote(quoted, (unsigned char)*k->p);
        snprintf(k->why, MICRO__WHY_MAX, "invalid character %s %s", quoted, where);
    }
    return false;
}

/* ---- scalars -------------------------------------------------------------------------------- */

static bool syntax_is(const syntax_text *k, char c)
{
    return k->p < k->end && *k->p == c;
}

static void syntax_blank(syntax_text *k)
{
    while (k->p < k->end && (*k->p == ' ' || *k->p == '\t' || *k->p == '\n' || *k->p == '\r'))
        k->p++;
}

static bool syntax_digits(syntax_text *k, const char *where)
{
    if (k->p >= k->end || !micro__is_digit(*k->p))
        return syntax_bad(k, where);
    while (k->p < k->end && micro__is_digit(*k->p))
        k->p++;
    return true;
}

static bool syntax_number(syntax_text *k)
{
    if (syntax_is(k, '-'))
        k->p++;
    if (syntax_is(k, '0'))
        k->p++;
    else if (!syntax_digits(k, "in numeric literal"))
        return false;
    if (syntax_is(k, '.')) {
        k->p++;
        if (!syntax_digits(k, "after decimal point in numeric literal"))
            return false;
    }
    if (syntax_is(k, 'e') || syntax_is(k, 'E')) {
        k->p++;
        if (syntax_is(k, '+') || syntax_is(k, '-'))
            k->p++;
        return syntax_digits(k, "in exponent of numeric literal");
    }
    return true;
}

static bool syntax_escape(syntax_text *k)
{
    if (syntax_is(k, 'u')) {
        k->p++;
        for (int i = 0; i < 4; i++, k->p++) {
            char c = k->p < k->end ? micro__lower(*k->p) : 0;
            if (!micro__is_digit(c) && !(c >= 'a' && c <= 'f'))
                return syntax_bad(k, "in \\u hexadecimal character escape");
        }
        return true;
    }
    if (k->p >= k->end || !*k->p || !strchr("\"\\/bfnrt", *k->p))
        return syntax_bad(k, "in string escape code");
    k->p++;
    return true;
}

static bool syntax_string(syntax_text *k)
{
    for (k->p++;;) {
        if (k->p >= k->end || (unsigned char)*k->p < 0x20)
            return syntax_bad(k, "in string literal");
        char c = *k->p++;
        if (c == '"')
            return true;
        if (c == '\\' && !syntax_escape(k))
            return false;
    }
}

static bool syntax_word(syntax_text *k, const char *word)
{
    char where[48];

    for (const char *c = word; *c; c++, k->p++) {
        if (!syntax_is(k, *c)) {
            snprintf(where, sizeof where, "in literal %s (expecting '%c')", word, *c);
            return syntax_bad(k, where);
        }
    }
    return true;
}

/* ---- structure ------------------------------------------------------------------------------ */

static bool syntax_key(syntax_text *k)
{
    syntax_blank(k);
    if (!syntax_is(k, '"'))
        return syntax_bad(k, "looking for beginning of object key string");
    if (!syntax_string(k))
        return false;
    syntax_blank(k);
    if (!syntax_is(k, ':'))
        return syntax_bad(k, "after object key");
    k->p++;
    return true;
}

/* Behind an opening bracket, up to the first value; *empty: there is none. */
static bool syntax_open(syntax_text *k, bool *empty)
{
    char close = *k->p == '{' ? '}' : ']';

    if (k->depth == sizeof k->open) {
        snprintf(k->why, MICRO__WHY_MAX, "exceeded max depth");
        return false;
    }
    k->open[k->depth++] = close;
    k->p++;
    syntax_blank(k);
    *empty = syntax_is(k, close);
    return *empty || close == ']' || syntax_key(k);
}

static bool syntax_scalar(syntax_text *k)
{
    char c = k->p < k->end ? *k->p : 0;

    if (c == '"')
        return syntax_string(k);
    if (c == '-' || micro__is_digit(c))
        return syntax_number(k);
    if (c == 't')
        return syntax_word(k, "true");
    if (c == 'f')
        return syntax_word(k, "false");
    return c == 'n' ? syntax_word(k, "null") : syntax_bad(k, "looking for beginning of value");
}

/* Behind a value, up to the next one; *done: all is closed. */
static bool syntax_after(syntax_text *k, bool *done)
{
    for (;;) {
        syntax_blank(k);
        *done = k->depth == 0;
        if (*done)
            return true;
        char close = k->open[k->depth - 1];
        if (!syntax_is(k, close))
            break;
        k->p++;
        k->depth--;
    }
    bool object = k->open[k->depth - 1] == '}';
    if (!syntax_is(k, ','))
        return syntax_bad(k, object ? "after object key:value pair" : "after array element");
    k->p++;
    return !object || syntax_key(k);
}

MICRO_PRIVATE bool micro__cli_syntax(micro_str text, char *why)
{
    syntax_text k = { text.ptr, text.ptr + text.len, why, "", 0 };
    bool done = false;

    why[0] = 0;
    while (!done) {
        bool empty = false;
        syntax_blank(&k);
        if (syntax_is(&k, '{') || syntax_is(&k, '[')) {
            if (!syntax_open(&k, &empty))
                return false;
            if (!empty)
                continue;
        } else if (!syntax_scalar(&k)) {
            return false;
        }
        if (!syntax_after(&k, &done))
            return false;
    }
    return k.p == k.end || syntax_bad(&k, "after top-level value");
}
