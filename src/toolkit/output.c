/* SPDX-License-Identifier: MIT */
/* What commands write: errors and exit codes, texts from the network, durations, tables. */
#include "cli.h"

#define OUTPUT_WIDTH 80 /* columns of a terminal that everybody has */

/* ---- errors --------------------------------------------------------------------------------- */

MICRO_PRIVATE int micro__cli_fail(int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

static bool output_has(micro_str text, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; i + len <= text.len; i++)
        if (memcmp(text.ptr + i, part, len) == 0)
            return true;
    return false;
}

/* An endpoint that is not there is told by the service, in a text. */
MICRO_PRIVATE int micro__cli_code(micro_ctx *ctx, micro_err err)
{
    switch (err) {
    case MICRO_OK: return MICRO__CLI_OK;
    case MICRO_EUSAGE:
    case MICRO_EINVAL: return MICRO__CLI_USAGE;
    case MICRO_ENOTFOUND:
    case MICRO_ENONODE: return MICRO__CLI_MISSING;
    case MICRO_ETIMEDOUT:
    case MICRO_ECONNECT:
    case MICRO_EIO: return MICRO__CLI_UNREACHED;
    default: break;
    }
    bool raised = err > 0 || err == MICRO_EREMOTE || err == MICRO_EPLAIN;
    bool missing = raised && output_has(micro_ctx_error(ctx)->detail, "rpc: can't find ");
    return missing ? MICRO__CLI_MISSING : MICRO__CLI_FAILED;
}

MICRO_PRIVATE void micro__cli_error(micro_buf *out, micro_ctx *ctx)
{
    const micro_error *e = micro_ctx_error(ctx);

    if (e->id.len || e->code)
        micro__error_write(out, e);
    else
        micro__cli_text(out, e->detail);
}

MICRO_PRIVATE bool micro__cli_flush(micro__cli *cli)
{
    micro_buf *out = &cli->out;
    bool whole = !out->failed && (!out->len || fwrite(out->ptr, 1, out->len, stdout) == out->len);

    whole = fflush(stdout) == 0 && whole;
    out->len = 0;
    return whole;
}

/* ---- texts ---------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__cli_text(micro_buf *out, micro_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        unsigned char next = i + 1 < text.len ? (unsigned char)text.ptr[i + 1] : 0;
        bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0; /* controls in UTF-8 */
        i += c1;
        micro__buf_byte(out, c1 || micro__is_control((char)c) ? '?' : (char)c);
    }
}

MICRO_PRIVATE void micro__cli_pairs(micro_buf *out, const micro_pairs *pairs)
{
    for (size_t i = 0; i < pairs->len; i++) {
        if (i)
            micro__buf_byte(out, ',');
        micro__cli_text(out, pairs->ptr[i].key);
        micro__buf_byte(out, '=');
        micro__cli_text(out, pairs->ptr[i].value);
    }
}

/* whole and a fraction of `digits` digits, less the zeros at its end. */
static void output_decimal(micro_buf *out, uint64_t whole, uint64_t fraction, int digits)
{
    char text[24];

    micro__buf_u64(out, whole);
    if (!fraction)
        return;
    int len = snprintf(text, sizeof text, ".%0*llu", digits, (unsigned long long)fraction);
    while (len > 0 && text[len - 1] == '0')
        len--;
    micro__buf_add(out, text, (size_t)len);
}

MICRO_PRIVATE void micro__cli_duration(micro_buf *out, uint64_t ns)
{
    static const uint64_t second = 1000000000;
    uint64_t s = ns / second;

    if (ns == 0) {
        micro__buf_text(out, "0s");
    } else if (ns < 1000) {
        output_decimal(out, ns, 0, 0);
        micro__buf_text(out, "ns");
    } else if (ns < 1000000) {
        output_decimal(out, ns / 1000, ns % 1000, 3);
        micro__buf_text(out, "\xc2\xb5s");
    } else if (ns < second) {
        output_decimal(out, ns / 1000000, ns % 1000000, 6);
        micro__buf_text(out, "ms");
    } else {
        if (s >= 3600)
            micro__buf_format(out, "%lluh", (unsigned long long)(s / 3600));
        if (s >= 60)
            micro__buf_format(out, "%llum", (unsigned long long)(s / 60 % 60));
        output_decimal(out, s % 60, ns % second, 9);
        micro__buf_byte(out, 's');
    }
}

MICRO_PRIVATE char *micro__cli_join(micro__cli *cli, size_t i)
{
    micro_buf all = { NULL, 0, 0, 0, false, false, 0 };
    char *text = NULL;

    for (size_t k = i; k < cli->nargs; k++) {
        if (k > i)
            micro__buf_byte(&all, ' ');
        micro__buf_text(&all, cli->args[k]);
    }
    if (!all.failed)
        text = micro__arena_text(&cli->arena, all.ptr, all.len);
    micro__buf_free(&all);
    return text;
}

/* ---- tables --------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__cli_cell(micro__cli *cli, micro__cli_table *t, const micro_buf *text)
{
    micro_str *cell = NULL;
    char *copy = NULL;

    if (!text->failed)
        copy = micro__arena_text(&cli->arena, text->ptr, text->len);
    if (copy && micro__list_grow(&cli->arena, &t->cells, sizeof *cell))
        cell = &t->cells.ptr[t->cells.len - 1];
    if (cell)
        *cell = micro__str(copy, text->len);
    else
        cli->out.failed = true;
}

static micro_str output_cell(const micro__cli_table *t, size_t row, size_t column)
{
    return row ? t->cells.ptr[(row - 1) * t->columns + column] : micro_s(t->heads[column]);
}

/* Code points: near enough to columns for what names are made of. */
static size_t output_width(micro_str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static void output_pad(micro_buf *out, size_t from, size_t to)
{
    for (; from < to; from++)
        micro__buf_byte(out, ' ');
}

static void output_tabs(micro_buf *out, const micro__cli_table *t, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            micro__buf_str(out, output_cell(t, r, c));
            micro__buf_text(out, c + 1 < t->columns ? t->gaps[c] : "\n");
        }
    }
}

static void output_aligned(micro_buf *out, const micro__cli_table *t, size_t rows,
                           const size_t *widths)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            micro_str cell = output_cell(t, r, c);
            micro__buf_str(out, cell);
            if (c + 1 < t->columns)
                output_pad(out, output_width(cell), widths[c] + 2);
        }
        micro__buf_byte(out, '\n');
    }
}

/* A cell on a line of its own, broken behind commas where it does not fit. */
static void output_wrapped(micro_buf *out, micro_str cell, size_t indent)
{
    size_t at = indent;

    while (cell.len) {
        const char *comma = memchr(cell.ptr, ',', cell.len);
        size_t len = comma ? (size_t)(comma - cell.ptr) + 1 : cell.len;
        micro_str part = micro__str(cell.ptr, len);
        if (at > indent && at + output_width(part) > OUTPUT_WIDTH) {
            micro__buf_byte(out, '\n');
            output_pad(out, 0, indent);
            at = indent;
        }
        micro__buf_str(out, part);
        at += output_width(part);
        cell = micro__str(cell.ptr + len, cell.len - len);
    }
}

static void output_records(micro_buf *out, const micro__cli_table *t, size_t rows)
{
    size_t head = 0;

    for (size_t c = 0; c < t->columns; c++)
        if (strlen(t->heads[c]) > head)
            head = strlen(t->heads[c]);
    for (size_t r = 1; r < rows; r++) {
        if (r > 1)
            micro__buf_byte(out, '\n');
        for (size_t c = 0; c < t->columns; c++) {
            micro__buf_text(out, t->heads[c]);
            output_pad(out, strlen(t->heads[c]), head + 2);
            output_wrapped(out, output_cell(t, r, c), head + 2);
            micro__buf_byte(out, '\n');
        }
    }
}

MICRO_PRIVATE void micro__cli_table_write(micro__cli *cli, const micro__cli_table *t)
{
    size_t rows = 1 + t->cells.len / t->columns;
    size_t total = 0, widths[8] = { 0 };

    for (size_t c = 0; c < t->columns && c < MICRO_COUNTOF(widths); c++) {
        for (size_t r = 0; r < rows; r++) {
            size_t width = output_width(output_cell(t, r, c));
            widths[c] = width > widths[c] ? width : widths[c];
        }
        total += widths[c] + (c ? 2 : 0);
    }
    if (!cli->terminal)
        output_tabs(&cli->out, t, rows);
    else if (total <= OUTPUT_WIDTH)
        output_aligned(&cli->out, t, rows, widths);
    else
        output_records(&cli->out, t, rows);
}
