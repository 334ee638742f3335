/* SPDX-License-Identifier: MIT */
/* micro call SERVICE METHOD [JSON...] */
#include "cli.h"

/* JSON is checked, indented and printed; bodies of other types are passed on as they are. */
MICRO_PRIVATE bool micro__cli_is_json(const micro__cli *cli)
{
    const char *type = cli->opts.content_type;

    return !type || micro__str_starts(micro_s(type), "application/json");
}

MICRO_PRIVATE int micro__cli_call_error(micro__cli *cli, const char *doing, micro_err err)
{
    micro_buf text = { NULL, 0, 0, 0, false, false, 0 };
    int code = micro__cli_code(cli->ctx, err);

    if (cli->opts.json)
        micro__error_write(&text, micro_ctx_error(cli->ctx));
    else
        micro__cli_error(&text, cli->ctx);
    if (text.failed)
        code = micro__cli_fail(code, "out of memory");
    else if (cli->opts.json)
        micro__cli_fail(code, "%.*s", (int)text.len, text.ptr);
    else
        micro__cli_fail(code, "error %s %s.%s: %.*s\n", doing, cli->args[0], cli->args[1],
                        (int)text.len, text.ptr ? text.ptr : "");
    micro__buf_free(&text);
    return code;
}

MICRO_PRIVATE int micro__cli_call_reply(micro__cli *cli, micro_bytes rsp)
{
    char why[MICRO__WHY_MAX];
    micro_str body = micro__str((const char *)rsp.ptr, rsp.len);

    if (!micro__cli_is_json(cli)) {
        micro__buf_str(&cli->out, body);
        return MICRO__CLI_OK;
    }
    if (!body.len)
        body = micro_s("{}"); /* a message without members */
    if (!micro__cli_syntax(body, why))
        return micro__cli_fail(MICRO__CLI_FAILED, "the reply is no JSON: %s", why);
    micro__json_indent(&cli->out, body, cli->opts.json ? NULL : "\t");
    micro__buf_byte(&cli->out, '\n');
    return MICRO__CLI_OK;
}

MICRO_PRIVATE int micro__cli_header(micro__cli *cli)
{
    const micro_pairs *list = &cli->opts.header;

    for (size_t i = 0; i < list->len; i++) {
        const char *key = list->ptr[i].key.ptr, *value = list->ptr[i].value.ptr;
        micro_metadata_set(cli->ctx, key, value);
        if (!micro_str_eq(micro_metadata_get(cli->ctx, key), list->ptr[i].value))
            return micro__cli_fail(MICRO__CLI_USAGE, "invalid value \"%s=%s\" for flag -header",
                                   key, value);
    }
    return MICRO__CLI_OK;
}

MICRO_PRIVATE int micro__cli_content_type(const micro__cli *cli)
{
    const char *type = cli->opts.content_type;

    if (!type || micro__codec_find(NULL, 0, micro_s(type)))
        return MICRO__CLI_OK;
    return micro__cli_fail(MICRO__CLI_USAGE, "Unsupported Content-Type: %s", type);
}

MICRO_PRIVATE bool micro__cli_call_object(micro_str text, char *why)
{
    if (!micro__cli_syntax(text, why))
        return false;
    if (text.ptr[strspn(text.ptr, " \t\r\n")] == '{')
        return true;
    snprintf(why, MICRO__WHY_MAX, "the request is not a JSON object");
    return false;
}

MICRO_PRIVATE int micro__cli_call_arguments(micro__cli *cli, const char **body)
{
    char why[MICRO__WHY_MAX];

    if (cli->nargs < 2)
        return micro__cli_fail(MICRO__CLI_USAGE, "require service and method");
    int code = micro__cli_content_type(cli);
    if (code)
        return code;
    *body = micro__cli_join(cli, 2);
    if (!*body)
        return micro__cli_fail(MICRO__CLI_FAILED, "out of memory");
    if (!micro__cli_is_json(cli))
        return MICRO__CLI_OK;
    if (!**body)
        *body = "{}";
    if (micro__cli_call_object(micro_s(*body), why))
        return MICRO__CLI_OK;
    return micro__cli_fail(MICRO__CLI_USAGE, "%s", why);
}

MICRO_PRIVATE int micro__cli_call(micro__cli *cli)
{
    const char *body = "";
    int code = micro__cli_call_arguments(cli, &body);

    if (!code)
        code = micro__cli_online(cli);
    if (!code)
        code = micro__cli_header(cli);
    if (code)
        return code;
    const micro_method method = { .size_ = sizeof method, .name = cli->args[1],
                                  .req = &micro_type_bytes, .rsp = &micro_type_bytes };
    const micro_call_opts opts = { .size_ = sizeof opts, .timeout_ms = cli->opts.timeout_ms,
                                   .content_type = cli->opts.content_type,
                                   .address = cli->opts.address };
    micro_bytes req = { (const uint8_t *)body, strlen(body) }, rsp = { NULL, 0 };
    micro_err err = micro_call(cli->ctx, cli->args[0], &method, &req, &rsp, &opts);
    return err == MICRO_OK ? micro__cli_call_reply(cli, rsp)
                           : micro__cli_call_error(cli, "calling", err);
}
