/* SPDX-License-Identifier: MIT */
/* micro stream SERVICE METHOD [JSON...] */
#include "cli.h"
#include "../stream/stream.h"

#define CMD_STREAM_TIMEOUT_MS 5000
#define CMD_STREAM_READ 65536
#define CMD_STREAM_STDIN 0

typedef struct cmd_stream {
    micro__cli *cli;
    micro_stream *st;
    micro_buf in;   /* what was read of standard input: at most a line that is not complete */
    int line;       /* number of the last */
    bool open;      /* standard input goes on */
    bool any, over; /* a message has come; the service has ended the stream */
    int code;       /* exit code, once it is to end */
} cmd_stream;

static void cmd_stream_fail(cmd_stream *s, const char *doing, micro_err err)
{
    s->code = micro__cli_call_error(s->cli, doing, err);
    s->over = true;
}

/* ---- what comes ----------------------------------------------------------------------------- */

/* One message, at most ms later (MICRO_OFF: whenever). False: none has come. */
static bool cmd_stream_recv(cmd_stream *s, int ms)
{
    micro_ctx *ctx = s->cli->ctx;
    micro_bytes msg;

    micro_ctx_set_timeout(ctx, ms);
    micro_err err = micro_stream_recv(s->st, &msg);
    micro_ctx_set_timeout(ctx, MICRO_OFF);
    if (err == MICRO_ETIMEDOUT)
        return false;
    if (err == MICRO_OK) {
        s->any = true;
        s->code = micro__cli_call_reply(s->cli, msg);
        s->over = s->code != MICRO__CLI_OK;
        if (!micro__cli_flush(s->cli)) {
            s->code = micro__cli_fail(MICRO__CLI_FAILED, "cannot write to standard output");
            s->over = true;
        }
    } else if (err == MICRO_EOS) {
        s->over = true;
    } else {
        cmd_stream_fail(s, "receiving from", err);
    }
    micro_ctx_reset(ctx);
    return true;
}

/* ---- what goes ------------------------------------------------------------------------------ */

static void cmd_stream_send(cmd_stream *s, micro_str text)
{
    const micro_bytes msg = { (const uint8_t *)text.ptr, text.len };
    micro_err err = micro_stream_send(s->st, &msg);

    if (err == MICRO_OK || err == MICRO_ECLOSED)
        return; /* closed: receiving tells how it ended */
    micro__ctx_local(s->cli->ctx, err, "%s", micro_strerror(err));
    cmd_stream_fail(s, "sending to", err);
}

static void cmd_stream_line(cmd_stream *s, micro_str line)
{
    char why[MICRO__WHY_MAX];

    s->line++;
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (!micro__str_trim(line).len)
        return;
    char *text = micro__arena_text(&s->cli->ctx->arena, line.ptr, line.len);
    if (text && micro__cli_call_object(micro__str(text, line.len), why)) {
        cmd_stream_send(s, micro__str(text, line.len));
        return;
    }
    s->code = text ? micro__cli_fail(MICRO__CLI_USAGE, "line %d: %s", s->line, why)
                   : micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
    s->over = true;
}

/* All lines that are complete; at the end of the input also the last one. */
static void cmd_stream_lines(cmd_stream *s)
{
    size_t used = 0;

    while (!s->over && used < s->in.len) {
        const char *from = s->in.ptr + used, *end = memchr(from, '\n', s->in.len - used);
        size_t n = end ? (size_t)(end - from) : s->in.len - used;
        if (!end && s->open)
            break;
        cmd_stream_line(s, micro__str(from, n));
        used += n + (end != NULL);
    }
    if (used)
        memmove(s->in.ptr, s->in.ptr + used, s->in.len - used);
    s->in.len -= used;
    if (s->in.len > MICRO_MAX_BODY && !s->over) {
        s->code = micro__cli_fail(MICRO__CLI_USAGE, "line %d: too long", s->line + 1);
        s->over = true;
    }
}

static void cmd_stream_read(cmd_stream *s)
{
    char *at = micro__buf_room(&s->in, CMD_STREAM_READ);
    long n = at ? micro__fd_read(CMD_STREAM_STDIN, at, CMD_STREAM_READ) : 0;

    if (!at) {
        s->code = micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
        s->over = true;
        return;
    }
    s->open = n > 0;
    s->in.len += n > 0 ? (size_t)n : 0;
    cmd_stream_lines(s);
    if (!s->open && !s->over) {
        micro_err err =
            micro_stream_end(s->st); /* 2018 only gets no more */
        if (err != MICRO_OK && err != MICRO_ENOSYS && err != MICRO_ECLOSED) {
            micro__ctx_local(s->cli->ctx, err, "%s", micro_strerror(err));
            cmd_stream_fail(s, "sending to", err);
        }
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

/* While there is input: whatever comes first. */
static void cmd_stream_both(cmd_stream *s)
{
    const int fds[] = { CMD_STREAM_STDIN, s->st->pipe.fd };
    bool ready[2];

    while (!s->over && s->open) {
        while (!s->over && cmd_stream_recv(s, 0))
            ;
        if (s->over)
            break;
        micro__fds_wait(fds, 2, ready, 0);
        if (ready[0])
            cmd_stream_read(s);
    }
}

static void cmd_stream_rest(cmd_stream *s, int ms)
{
    while (!s->over && cmd_stream_recv(s, ms))
        ;
    if (!s->over && !s->any) {
        micro__ctx_local(s->cli->ctx, MICRO_ETIMEDOUT, "timed out");
        cmd_stream_fail(s, "receiving from", MICRO_ETIMEDOUT);
    }
}

MICRO_PRIVATE int micro__cli_stream(micro__cli *cli)
{
    const char *body = "";
    int code = micro__cli_call_arguments(cli, &body);

    if (!code)
        code = micro__cli_online(cli);
    if (!code)
        code = micro__cli_header(cli);
    if (code)
        return code;
    int ms = cli->opts.timeout_ms;
    if (!ms)
        ms = cli->settings.request_timeout_ms ? cli->settings.request_timeout_ms
                                              : CMD_STREAM_TIMEOUT_MS;
    const micro_method method = { .size_ = sizeof method,
                                  .flags = MICRO_STREAMING,
                                  .name = cli->args[1],
                                  .req = &micro_type_bytes,
                                  .rsp = &micro_type_bytes };
    const micro_call_opts opts = { .size_ = sizeof opts,
                                   .timeout_ms = ms,
                                   .address = cli->opts.address };
    cmd_stream s = { .cli = cli, .open = true };
    micro_err err = micro_stream_open(cli->ctx, cli->args[0], &method, &opts, &s.st);
    if (err != MICRO_OK)
        return micro__cli_call_error(cli, "calling", err);
    cmd_stream_send(&s, micro_s(body));
    cmd_stream_both(&s);
    cmd_stream_rest(&s, ms);
    micro__buf_free(&s.in);
    return s.code;
}
