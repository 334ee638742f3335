/* SPDX-License-Identifier: MIT */
/* The JSON-RPC 1.0 envelope. Read without changing it: it may turn out to be a bare message. */
#include "inner.h"

typedef struct jsonrpc_in {
    micro_ctx *ctx;
    const char *start, *end;
    micro_err err;
} jsonrpc_in;

static const char *jsonrpc_fail(jsonrpc_in *in, micro_err err, const char *what)
{
    in->err = micro__ctx_local(in->ctx, err, "JSON-RPC: %s", what);
    return NULL;
}

static inline const char *jsonrpc_blank(const char *p, const char *end)
{
    return MICRO__RARE(p < end && (unsigned char)*p <= ' ') ? micro__json_blank(p, end) : p;
}

static const char *jsonrpc_skip(jsonrpc_in *in, const char *p)
{
    bool deep;

    p = micro__json_skip_at(p, in->end, 1, &deep);
    if (p)
        return p;
    return jsonrpc_fail(in, deep ? MICRO_ETOOBIG : MICRO_EFORMAT,
                        deep ? "nested too deeply" : "malformed JSON");
}

/* A string with escapes is copied. */
static const char *jsonrpc_string_slow(jsonrpc_in *in, const char *p, micro_str *out)
{
    bool escaped;
    const char *close = micro__json_string_end(p, in->end, &escaped);

    if (!close)
        return jsonrpc_fail(in, MICRO_EFORMAT, "malformed JSON");
    *out = micro__str(p, (size_t)(close - p));
    if (!escaped) {
        if (!micro__utf8_valid(p, out->len))
            return jsonrpc_fail(in, MICRO_EFORMAT, "invalid UTF-8");
        return close + 1;
    }
    char *copy = (char *)micro__arena_take(&in->ctx->arena, out->len + 1);
    if (!copy)
        return jsonrpc_fail(in, MICRO_ENOMEM, "out of memory");
    char *stop = micro__json_unescape(p, out->len, copy);
    if (!stop)
        return jsonrpc_fail(in, MICRO_EFORMAT, "invalid UTF-8");
    *stop = 0;
    *out = micro__str(copy, (size_t)(stop - copy));
    return close + 1;
}

/* The string whose opening quote is before p, where it stands. */
static const char *jsonrpc_string(jsonrpc_in *in, const char *p, micro_str *out)
{
    const char *close = micro__json_run(p, in->end, MICRO__JSON_STOP | MICRO__JSON_HIGH);

    if (MICRO__RARE(close == in->end || *close != '"'))
        return jsonrpc_string_slow(in, p, out);
    *out = micro__str(p, (size_t)(close - p));
    return close + 1;
}

static bool jsonrpc_null(const char *from, const char *to)
{
    return to - from == 4 && memcmp(from, "null", 4) == 0;
}

static void jsonrpc_body(micro__envelope *env, char *base, const char *from, const char *to,
                         const char *start)
{
    bool null = jsonrpc_null(from, to);

    env->body = null ? NULL : base + (from - start);
    env->body_len = null ? 0 : (size_t)(to - from);
}

/* params: the first element of an array. What is wrong with it is the call's problem. */
static const char *jsonrpc_params(jsonrpc_in *in, const char *p, char *base, micro__envelope *env)
{
    env->body = NULL;
    env->body_len = 0;
    env->problem = NULL;
    if (*p != '[') {
        const char *from = p;
        p = jsonrpc_skip(in, p);
        env->problem = p && jsonrpc_null(from, p) ? "params missing" : "params: array expected";
        return p;
    }
    p = jsonrpc_blank(p + 1, in->end);
    for (bool first = true; p < in->end && (*p != ']' || !first); first = false) {
        const char *from = p;
        p = jsonrpc_skip(in, p);
        if (!p)
            return NULL;
        if (first)
            jsonrpc_body(env, base, from, p, in->start);
        p = jsonrpc_blank(p, in->end);
        if (p == in->end || *p != ',')
            break;
        p = jsonrpc_blank(p + 1, in->end);
    }
    if (p == in->end || *p != ']')
        return jsonrpc_fail(in, MICRO_EFORMAT, "malformed JSON");
    return p + 1;
}

/* error: text if it is a string, else as it was written; null is none. */
static const char *jsonrpc_error(jsonrpc_in *in, const char *p, micro__envelope *env)
{
    const char *from = p;

    env->failed = true;
    if (*p == '"')
        return jsonrpc_string(in, p + 1, &env->error);
    p = jsonrpc_skip(in, p);
    if (!p)
        return NULL;
    env->failed = !jsonrpc_null(from, p);
    env->error = env->failed ? micro__str(from, (size_t)(p - from)) : micro__str("", 0);
    return p;
}

enum jsonrpc_name {
    JSONRPC_OTHER,
    JSONRPC_METHOD,
    JSONRPC_PARAMS,
    JSONRPC_RESULT,
    JSONRPC_ERROR,
    JSONRPC_ID
};

/* Names in any letter case, as in Go. */
static enum jsonrpc_name jsonrpc_name_of(micro_str name, bool escaped)
{
    static const char *const names[] = { "", "method", "params", "result", "error", "id" };
    char plain[40]; /* a longer name is none of ours */

    if (escaped && name.len <= sizeof plain) {
        char *stop = micro__json_unescape(name.ptr, name.len, plain);
        name = micro__str(plain, stop ? (size_t)(stop - plain) : 0);
    }
    for (int i = JSONRPC_METHOD; i <= JSONRPC_ID; i++)
        if (micro__str_is_nocase(name, names[i]))
            return (enum jsonrpc_name)i;
    return JSONRPC_OTHER;
}

/* A number as clients write them has a short way. */
static const char *jsonrpc_id(jsonrpc_in *in, const char *p, micro__envelope *env)
{
    const char *from = p;

    while (p < in->end && *p >= '0' && *p <= '9')
        p++;
    if (p == from || p == in->end || (*p != '}' && *p != ',') || (*from == '0' && p - from > 1))
        p = jsonrpc_skip(in, from);
    if (p) {
        env->id = micro__str(from, (size_t)(p - from));
        env->has_id = true;
    }
    return p;
}

/* A member's value. */
static const char *jsonrpc_member(jsonrpc_in *in, enum jsonrpc_name name, const char *p, char *base,
                                  bool reply, micro__envelope *env)
{
    const char *from = p;

    if (name == JSONRPC_METHOD && *p == '"')
        return jsonrpc_string(in, p + 1, &env->method);
    if (name == JSONRPC_PARAMS && !reply)
        return jsonrpc_params(in, p, base, env);
    if (name == JSONRPC_ERROR && reply)
        return jsonrpc_error(in, p, env);
    if (name == JSONRPC_ID)
        return jsonrpc_id(in, p, env);
    p = jsonrpc_skip(in, p);
    if (!p)
        return NULL;
    if (name == JSONRPC_RESULT && reply)
        jsonrpc_body(env, base, from, p, in->start);
    else if (name == JSONRPC_METHOD && !reply && !jsonrpc_null(from, p))
        return jsonrpc_fail(in, MICRO_EFORMAT, "method: string expected");
    return p;
}

/* A step through an object: from its bracket (first) or from behind a member's value to the quote
 * of the next name, or, *last, behind the object. */
static inline const char *jsonrpc_step(const char *p, const char *end, bool first, bool *last)
{
    p = jsonrpc_blank(p, end);
    if (p == end || (first && *p != '{'))
        return NULL;
    *last = *p == '}';
    if (*last)
        return p + 1;
    if (!first && *p != ',')
        return NULL;
    p = jsonrpc_blank(p + 1, end);
    if (p == end)
        return NULL;
    *last = first && *p == '}';
    if (*last)
        return p + 1;
    return *p == '"' ? p : NULL;
}

/* From the quote of a name to the value, whatever the name. */
static const char *jsonrpc_colon(const char *p, const char *end, micro_str *name, bool *escaped)
{
    const char *from = p + 1;

    p = micro__json_close(from, end, escaped);
    if (!p)
        return NULL;
    *name = micro__str(from, (size_t)(p - from));
    p = jsonrpc_blank(p + 1, end);
    if (p == end || *p != ':')
        return NULL;
    p = jsonrpc_blank(p + 1, end);
    return p == end ? NULL : p;
}

/* The value, if the name is this one and no blank follows; else NULL. */
static inline const char *jsonrpc_usual(const char *p, const char *end, const char *name)
{
    size_t n = strlen(name);
    bool same = (size_t)(end - p) > n && (unsigned char)p[n] > ' ' && memcmp(p, name, n) == 0;

    return same ? p + n : NULL;
}

/* The same for names of ours as peers mostly write them. NULL: look at it closely. */
static const char *jsonrpc_ours(const char *p, const char *end, enum jsonrpc_name *which)
{
    switch (end - p > 1 ? p[1] : 0) {
    case 'm':
        *which = JSONRPC_METHOD;
        return jsonrpc_usual(p, end, "\"method\":");
    case 'p':
        *which = JSONRPC_PARAMS;
        return jsonrpc_usual(p, end, "\"params\":");
    case 'r':
        *which = JSONRPC_RESULT;
        return jsonrpc_usual(p, end, "\"result\":");
    case 'e':
        *which = JSONRPC_ERROR;
        return jsonrpc_usual(p, end, "\"error\":");
    case 'i':
        *which = JSONRPC_ID;
        return jsonrpc_usual(p, end, "\"id\":");
    default:
        return NULL;
    }
}

/* From the quote of a name to the value. */
static const char *jsonrpc_named(const char *p, const char *end, enum jsonrpc_name *which)
{
    const char *value = jsonrpc_ours(p, end, which);
    micro_str name;
    bool escaped;

    if (value)
        return value;
    p = jsonrpc_colon(p, end, &name, &escaped);
    if (p)
        *which = jsonrpc_name_of(name, escaped);
    return p;
}

static const char *jsonrpc_members(jsonrpc_in *in, char *base, bool reply, micro__envelope *env)
{
    const char *p = in->start;
    enum jsonrpc_name which = JSONRPC_OTHER;
    bool last = false;

    for (bool first = true;; first = false) {
        p = jsonrpc_step(p, in->end, first, &last);
        if (last)
            return p;
        if (p)
            p = jsonrpc_named(p, in->end, &which);
        if (!p)
            return jsonrpc_fail(in, MICRO_EFORMAT, "malformed JSON");
        p = jsonrpc_member(in, which, p, base, reply, env);
        if (!p)
            return NULL;
    }
}

MICRO_PRIVATE bool micro__jsonrpc_probe(const char *in, size_t len)
{
    const char *p = in, *end = in + len;
    bool method = false, params = false, id = false, escaped, last = false;
    micro_str name;

    for (bool first = true;; first = false) {
        p = jsonrpc_step(p, end, first, &last);
        if (!p || last)
            return p && method && params && id && micro__json_blank(p, end) == end;
        p = jsonrpc_colon(p, end, &name, &escaped);
        if (!p)
            return false;
        if (micro__str_is(name, "method"))
            method = *p == '"';
        else if (micro__str_is(name, "params"))
            params = *p == '[';
        else if (micro__str_is(name, "id"))
            id = true;
        p = micro__json_skip(p, end);
        if (!p)
            return false;
    }
}

static micro_err jsonrpc_read(micro_ctx *ctx, char *base, size_t len, bool reply,
                              micro__envelope *env)
{
    jsonrpc_in in = { ctx, base, base + len, MICRO_OK };

    memset(env, 0, sizeof *env);
    env->method = env->error = micro__str("", 0);
    env->id = micro__str("null", 4);
    if (!reply)
        env->problem = "params missing";
    const char *p = jsonrpc_members(&in, base, reply, env);
    if (p && micro__json_blank(p, in.end) != in.end)
        jsonrpc_fail(&in, MICRO_EFORMAT, "text behind the object");
    return in.err;
}

MICRO_PRIVATE micro_err micro__jsonrpc_read_request(micro_ctx *ctx, char *in, size_t len,
                                                    micro__envelope *env)
{
    return jsonrpc_read(ctx, in, len, false, env);
}

MICRO_PRIVATE micro_err micro__jsonrpc_read_reply(micro_ctx *ctx, char *in, size_t len,
                                                  micro__envelope *env)
{
    return jsonrpc_read(ctx, in, len, true, env);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Raw bytes may have been none, which would not be JSON. */
static void jsonrpc_end_body(micro_buf *out, size_t at)
{
    if (out->len == at)
        micro__buf_add(out, "{}", 2);
}

static void jsonrpc_put_id(micro_buf *out, micro_str id)
{
    micro__buf_str(out, id.len ? id : micro__str("null", 4));
}

MICRO_PRIVATE size_t micro__jsonrpc_request_begin(micro_buf *out, micro_str method)
{
    micro__buf_add(out, "{\"method\":", 10);
    micro__json_quote(out, method);
    micro__buf_add(out, ",\"params\":[", 11);
    return out->len;
}

MICRO_PRIVATE void micro__jsonrpc_request_end(micro_buf *out, size_t at, uint64_t id)
{
    jsonrpc_end_body(out, at);
    micro__buf_add(out, "],\"id\":", 7);
    micro__buf_u64(out, id);
    micro__buf_add(out, "}\n", 2);
}

MICRO_PRIVATE size_t micro__jsonrpc_reply_begin(micro_buf *out, micro_str id)
{
    micro__buf_add(out, "{\"id\":", 6);
    jsonrpc_put_id(out, id);
    micro__buf_add(out, ",\"result\":", 10);
    return out->len;
}

MICRO_PRIVATE void micro__jsonrpc_reply_end(micro_buf *out, size_t at)
{
    jsonrpc_end_body(out, at);
    micro__buf_add(out, ",\"error\":null}\n", 15);
}

MICRO_PRIVATE void micro__jsonrpc_error(micro_buf *out, micro_str id, micro_str text)
{
    micro__buf_add(out, "{\"id\":", 6);
    jsonrpc_put_id(out, id);
    micro__buf_add(out, ",\"result\":{},\"error\":", 21);
    micro__json_quote(out, text);
    micro__buf_add(out, "}\n", 2);
}
