/* SPDX-License-Identifier: MIT */
/* micro publish TOPIC JSON..., micro subscribe TOPIC */
#include "cli.h"

/* ---- publish -------------------------------------------------------------------------------- */

static int cmd_events_arguments(micro__cli *cli, const char **body)
{
    char why[MICRO__WHY_MAX];

    if (cli->nargs < 2)
        return micro__cli_fail(MICRO__CLI_USAGE, "require topic and message");
    int code = micro__cli_content_type(cli);
    if (code)
        return code;
    *body = micro__cli_join(cli, 1);
    if (!*body)
        return micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
    if (micro__cli_is_json(cli) && !micro__cli_syntax(micro_s(*body), why))
        return micro__cli_fail(MICRO__CLI_USAGE, "%s", why);
    return MICRO__CLI_OK;
}

/* It has been sent when the service is freed. */
MICRO_PRIVATE int micro__cli_publish(micro__cli *cli)
{
    const char *body = NULL;
    int code = cmd_events_arguments(cli, &body);

    if (!code)
        code = micro__cli_online(cli);
    if (!code)
        code = micro__cli_header(cli);
    if (code)
        return code;
    const micro_publish_opts opts = { .size_ = sizeof opts,
                                      .content_type = cli->opts.content_type };
    micro_bytes msg = { (const uint8_t *)body, strlen(body) };
    micro_err err = micro_publish(cli->ctx, cli->args[0], &micro_type_bytes, &msg, &opts);
    if (err == MICRO_OK)
        return MICRO__CLI_OK;
    return micro__cli_fail(micro__cli_code(cli->ctx, err), "error publishing to %s: %s",
                           cli->args[0], micro_ctx_error(cli->ctx)->detail.ptr);
}

/* ---- subscribe ------------------------------------------------------------------------------ */

static bool cmd_events_json(micro__cli *cli, micro_str type, micro_str body)
{
    char why[MICRO__WHY_MAX];

    if (!micro__str_starts(type, "application/json") || !micro__cli_syntax(body, why))
        return false;
    if (memchr(body.ptr, '\n', body.len) || memchr(body.ptr, '\r', body.len))
        micro__json_indent(&cli->out, body, NULL); /* or it were more than one line */
    else
        micro__buf_str(&cli->out, body);
    return true;
}

static micro_err cmd_events_event(void *arg, micro_ctx *ctx, const char *topic,
                                  const micro_msg *msg)
{
    micro__cli *cli = arg;
    micro_str type = micro__pairs_get(&msg->header, "Content-Type"),
              body = { (const char *)msg->body.ptr, msg->body.len };

    (void)ctx, (void)topic;
    if (!cmd_events_json(cli, type, body)) {
        micro__buf_text(&cli->out, "{\"content_type\":");
        micro__json_quote(&cli->out, type);
        micro__buf_text(&cli->out, ",\"base64\":\"");
        micro__base64_encode(&cli->out, body.ptr, body.len);
        micro__buf_text(&cli->out, "\"}");
    }
    micro__buf_byte(&cli->out, '\n');
    if (micro__cli_flush(cli))
        return MICRO_OK;
    micro__cli_fail(MICRO__CLI_FAILED, "cannot write the output");
    return MICRO_EIO;
}

/* Until a signal. One event at a time, so that their lines do not mix. */
static int cmd_events_listen(micro__cli *cli, int signals)
{
    const micro_subscribe_opts opts = { .size_ = sizeof opts, .queue = cli->opts.queue,
                                        .max_running = 1 };
    micro_broker *broker = micro_service_broker(cli->svc);
    micro_sub *sub;
    micro_err err = micro_broker_subscribe(broker, cli->ctx, cli->args[0], &opts, cmd_events_event,
                                           cli, &sub);

    if (err != MICRO_OK)
        return micro__cli_fail(micro__cli_code(cli->ctx, err), "error subscribing to %s: %s",
                               cli->args[0], micro_ctx_error(cli->ctx)->detail.ptr);
    micro_ignore(micro__service_wait(cli->svc, signals, 0));
    micro_broker_unsubscribe(broker, sub);
    return MICRO__CLI_OK;
}

MICRO_PRIVATE int micro__cli_subscribe(micro__cli *cli)
{
    if (!cli->nargs || !*cli->args[0])
        return micro__cli_fail(MICRO__CLI_USAGE, "require topic");
    int code = micro__cli_online(cli);
    if (code)
        return code;
    int signals = micro__signals_catch();
    if (signals < 0)
        return micro__cli_fail(MICRO__CLI_FAILED, "cannot wait for signals");
    code = cmd_events_listen(cli, signals);
    micro__signals_release(signals);
    return code;
}
