/* SPDX-License-Identifier: MIT */
/* One request from its bytes to its handler and back, in each of the protocols:
 *   2018      the body is an envelope, JSON-RPC or PROTO-RPC, that names the method;
 *   Micro-*   headers name the method, the body is the bare message (or, by content type, an
 * envelope as well). */
#include "dispatch.h"
#include "../stream/stream.h"

#define DISPATCH_HEADER_TEXT \
    (MICRO_MAX_HEADER / 2) /* of an error in a header: more would not fit a peer's limit */
#define DISPATCH_NS_PER_MS 1000000u

typedef micro__dispatch dispatch;

static micro_str dispatch_known(const dispatch *d, enum micro__http_known which)
{
    return d->head->known[which].ptr ? d->head->known[which] : micro__str("", 0);
}

/* The newer name of a header, else the older. */
static micro_str dispatch_either(const dispatch *d, enum micro__http_known now,
                                 enum micro__http_known before)
{
    return d->head->known[now].ptr ? d->head->known[now] : dispatch_known(d, before);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void dispatch_header_error(dispatch *d, micro_str text)
{
    if (text.len > DISPATCH_HEADER_TEXT)
        text = micro_format(d->ctx, "%.*s...", DISPATCH_HEADER_TEXT - 3, text.ptr);
    d->reply->error = text;
}

/* Bare: in the header, no body. Envelope: in the body, and in the header too where there are
 * Micro-* headers. */
static void dispatch_error(dispatch *d, micro_str text)
{
    if (!text.len)
        text = micro_s("unspecified error"); /* an empty one would read as success */
    d->outcome = MICRO__DONE_OTHER_ERROR;
    if (d->wire == MICRO__WIRE_JSONRPC)
        micro__jsonrpc_error(d->reply->body, d->id, text);
    else if (d->wire == MICRO__WIRE_PROTORPC)
        micro__protorpc_error(d->reply->body, d->method, d->id, text);
    if (d->wire == MICRO__WIRE_BARE || d->micro)
        dispatch_header_error(d, text);
}

/* The server's own refusals: plain text, as go-micro has them; 2018 peers expect the connection to
 * close. */
static void dispatch_refuse(dispatch *d, const char *what, micro_str about)
{
    dispatch_error(d, micro_format(d->ctx, "%s%.*s", what, MICRO_STR_ARG(about)));
    d->reply->close = !d->micro;
}

static void dispatch_error_object(dispatch *d, const micro_error *e)
{
    micro_buf b = { 0 };

    micro__error_write(&b, e);
    micro_str text =
        micro_copy(d->ctx, b.failed ? micro_s("out of memory") : micro__str(b.ptr, b.len));
    micro__buf_free(&b);
    dispatch_error(d, text);
    d->outcome = micro__outcome_of(e->code);
}

MICRO_PRIVATE void micro__dispatch_fail(dispatch *d, int code, const char *detail)
{
    micro_error e = { micro_s(d->s->name), code, micro_s(detail),
                      micro_s(micro__status_text(code)) };

    dispatch_error_object(d, &e);
}

/* What the handler returned. */
static void dispatch_result(dispatch *d, micro_err err)
{
    const micro_error *e = &d->ctx->error;

    if (err == MICRO_EPLAIN)
        dispatch_error(d, e->detail);
    else if (err > 0 && e->code == err)
        dispatch_error_object(d, e);
    else if (err > 0)
        micro__dispatch_fail(d, err, "");
    else
        micro__dispatch_fail(d, 500, e->detail.len ? e->detail.ptr : micro_strerror(err));
}

MICRO_PRIVATE void micro__dispatch_last(dispatch *d, micro_err err)
{
    if (err != MICRO_OK) {
        dispatch_result(d, err);
        return;
    }
    dispatch_error(d, micro_s(MICRO__STREAM_EOS));
    d->outcome = MICRO__DONE_OK; /* an error on the wire only */
}

static void dispatch_bad_type(dispatch *d, micro_str type)
{
    d->reply->content_type = micro_s("text/plain");
    micro__buf_text(d->reply->body,
                    d->micro ? "unsupported Content-Type: " : "Unsupported Content-Type: ");
    micro__buf_str(d->reply->body, type);
    d->reply->close = !d->micro;
}

/* ---- protocol ------------------------------------------------------------------------------ */

/* An application/json body with Micro-* headers is the bare message, unless it is plainly an
 * envelope. */
static bool dispatch_is_envelope(const dispatch *d)
{
    return d->len && micro__jsonrpc_probe(d->body, d->len);
}

static micro__wire dispatch_wire(dispatch *d, micro_str type, bool named)
{
    micro__wire wire = micro__codec_envelope(type);

    if (!named || wire == MICRO__WIRE_BARE)
        return wire;
    if (micro__str_is(type, "application/json-rpc") || micro__str_is(type, "application/proto-rpc"))
        return wire;
    if (micro__str_is(type, "application/json") && dispatch_is_envelope(d))
        return MICRO__WIRE_JSONRPC;
    return MICRO__WIRE_BARE;
}

/* False: answered. */
static bool dispatch_open_envelope(dispatch *d)
{
    micro__envelope env;
    micro_err err = d->wire == MICRO__WIRE_JSONRPC
                        ? micro__jsonrpc_read_request(d->ctx, d->body, d->len, &env)
                        : micro__protorpc_read_request(d->ctx, d->body, d->len, &env);

    d->id = env.id;
    d->method = env.method;
    if (err != MICRO_OK) {
        micro__dispatch_fail(d, err == MICRO_ENOMEM ? 500 : 400, d->ctx->error.detail.ptr);
        d->reply->close = true;
        return false;
    }
    if (env.problem) {
        micro__dispatch_fail(d, 400, env.problem);
        return false;
    }
    d->body = env.body;
    d->len = env.body_len;
    d->empty = !env.body;
    return true;
}

/* Finds codec, protocol and method. False: answered. */
static bool dispatch_open(dispatch *d)
{
    bool target =
        d->head->known[MICRO__H_MICRO_TARGET].ptr || d->head->known[MICRO__H_X_MICRO_TARGET].ptr;
    micro_str type = dispatch_known(d, MICRO__H_CONTENT_TYPE);

    d->method = dispatch_either(d, MICRO__H_MICRO_ENDPOINT, MICRO__H_MICRO_METHOD);
    if (!d->method.len)
        d->method = dispatch_either(d, MICRO__H_X_MICRO_ENDPOINT, MICRO__H_X_MICRO_METHOD);
    d->micro =
        !target && (d->method.len ||
                    dispatch_either(d, MICRO__H_MICRO_SERVICE, MICRO__H_X_MICRO_SERVICE).len ||
                    dispatch_either(d, MICRO__H_MICRO_ID, MICRO__H_X_MICRO_ID).len);
    if (!type.len && d->micro)
        type = micro_s("application/protobuf");
    d->reply->content_type = type;
    if (d->micro)
        d->reply->id = dispatch_either(d, MICRO__H_MICRO_ID, MICRO__H_X_MICRO_ID);
    d->codec = micro__codec_find(d->s->codecs, d->s->ncodecs, type);
    if (!d->codec) {
        dispatch_bad_type(d, type);
        return false;
    }
    d->wire = dispatch_wire(d, type, d->micro);
    if (d->wire != MICRO__WIRE_BARE)
        return dispatch_open_envelope(d);
    d->empty = !d->len;
    return true;
}

/* ---- the handler's surroundings ------------------------------------------------------------ */

/* What a handler sees as metadata: all headers but these four, in the request's own memory. */
static void dispatch_metadata(dispatch *d)
{
    micro__http_head *h = d->head;
    const char *type = h->known[MICRO__H_CONTENT_TYPE].ptr,
               *timeout = h->known[MICRO__H_TIMEOUT].ptr, *host = h->known[MICRO__H_HOST].ptr,
               *hops = h->known[MICRO__H_HOP_COUNT].ptr;
    micro_pair *to = h->headers, *end = to + h->nheaders;

    for (const micro_pair *p = to; p < end; p++) {
        const char *v = p->value.ptr;
        if (v != type && v != timeout && v != host && v != hops)
            *to++ = *p;
    }
    d->ctx->metadata.ptr = h->headers;
    d->ctx->metadata.len = (size_t)(to - h->headers);
    d->ctx->metadata.cap = 0;
}

static bool dispatch_is_traced(const dispatch *d)
{
    return d->s->trace || d->head->known[MICRO__H_TRACEPARENT].ptr ||
           d->head->known[MICRO__H_TRACESTATE].ptr;
}

static void dispatch_deadline(dispatch *d)
{
    micro_str text = dispatch_known(d, MICRO__H_TIMEOUT);
    uint64_t ns;

    if (text.len && micro__parse_u64(text, &ns))
        d->ctx->deadline =
            micro__now_ms() + ns / DISPATCH_NS_PER_MS + (ns % DISPATCH_NS_PER_MS != 0);
}

static int dispatch_hops(const dispatch *d)
{
    micro_str hops = dispatch_known(d, MICRO__H_HOP_COUNT);
    uint64_t n = 0;

    return hops.len && micro__parse_u64(hops, &n) ? (int)(n < 255 ? n : 255) : 0;
}

MICRO_PRIVATE void micro__dispatch_surroundings(dispatch *d, const micro__route *route,
                                                const char *peer)
{
    micro_ctx *ctx = d->ctx;

    ctx->hops = dispatch_hops(d); /* while its header is there */
    dispatch_metadata(d);
    if (dispatch_is_traced(d))
        micro__trace_accept(ctx, d->s->trace);
    dispatch_deadline(d);
    ctx->svc = d->s->svc;
    ctx->state = route->state;
    ctx->info.endpoint = route->method->name;
    ctx->info.content_type = d->reply->content_type.ptr;
    ctx->info.peer = peer;
    ctx->info.method = route->method;
}

/* ---- one call ------------------------------------------------------------------------------ */

static void dispatch_unknown(dispatch *d)
{
    micro_str name, type = micro__str_cut(d->method, '.', &name);
    bool known = micro__server_has_type(d->s, type);

    if (!type.len || !name.len || memchr(name.ptr, '.', name.len))
        dispatch_refuse(d,
                        d->micro && d->wire == MICRO__WIRE_BARE
                            ? "rpc: service/endpoint request ill-formed: "
                            : "rpc: service/method request ill-formed: ",
                        d->method);
    else if (d->micro)
        dispatch_refuse(d, known ? "rpc: can't find method " : "rpc: can't find service ",
                        known ? name : type);
    else
        dispatch_refuse(d, known ? "rpc: can't find method " : "rpc: can't find service ",
                        d->method);
}

static size_t dispatch_begin(dispatch *d)
{
    if (d->wire == MICRO__WIRE_JSONRPC)
        return micro__jsonrpc_reply_begin(d->reply->body, d->id);
    if (d->wire == MICRO__WIRE_PROTORPC)
        return micro__protorpc_reply_begin(d->reply->body, d->method, d->id);
    return 0;
}

static void dispatch_end(dispatch *d, size_t at)
{
    if (d->wire == MICRO__WIRE_JSONRPC)
        micro__jsonrpc_reply_end(d->reply->body, at);
    else if (d->wire == MICRO__WIRE_PROTORPC)
        micro__protorpc_reply_end(d->reply->body, at);
    else if (micro__codec_envelope(d->reply->content_type) == MICRO__WIRE_JSONRPC)
        micro__buf_byte(d->reply->body, '\n'); /* as Go's encoder ends a value */
}

MICRO_PRIVATE micro_err micro__dispatch_message(dispatch *d, const micro_type *type,
                                                const void *msg)
{
    size_t at = dispatch_begin(d);
    micro_err err = micro__codec_encode(d->codec, d->ctx, type, msg, d->reply->body);

    if (err == MICRO_OK)
        dispatch_end(d, at);
    return err;
}

static void dispatch_answer(dispatch *d, const micro_type *type, const void *rsp)
{
    size_t start = d->reply->body->len;
    micro_err err = micro__dispatch_message(d, type, rsp);

    if (err == MICRO_OK)
        return;
    d->reply->body->len = start; /* nothing half written */
    micro__dispatch_fail(d, 500,
                         d->ctx->error.detail.len ? d->ctx->error.detail.ptr : micro_strerror(err));
}

static micro_err dispatch_decode(dispatch *d, const micro_type *type, void *req)
{
    micro__type_zero(type, req);
    if (d->empty)
        return MICRO_OK;
    return micro__codec_decode(d->codec, d->ctx, type, d->body, d->len, req);
}

/* The handler, and each time that middleware runs it, as if for the first time. */
static micro_err dispatch_inside(micro__chain *chain)
{
    const micro__route *route = chain->arg;

    micro__type_zero(route->method->rsp, chain->rsp);
    micro__ctx_keep(chain->ctx);
    return route->invoke(chain->ctx, route->fn, chain->req, chain->rsp);
}

static micro_err dispatch_invoke(dispatch *d, const micro__route *route, const void *req, void *rsp)
{
    micro__chain chain = { .wraps = d->s->wraps,
                           .ctx = d->ctx,
                           .info = &d->ctx->info,
                           .req = req,
                           .rsp = rsp,
                           .end = dispatch_inside,
                           .arg = (void *)(uintptr_t)route };

    micro__ctx_keep(d->ctx);
    return micro__wrapped(d->s->wraps, MICRO_WRAP_HANDLER)
               ? micro__chain_run(&chain)
               : route->invoke(d->ctx, route->fn, req, rsp);
}

/* Nothing was executed: a caller may go to another node, and those of later generations do so at a
 * status that is not 200. */
static void dispatch_shed(dispatch *d, const char *why)
{
    micro_error e = { micro_s(d->s->name), 503, micro_s(why), micro_s(micro__status_text(503)) };
    size_t start = d->reply->body->len;

    micro__error_write(d->reply->body, &e);
    d->reply->error =
        micro_copy(d->ctx, micro__str(d->reply->body->ptr + start, d->reply->body->len - start));
    d->reply->content_type = micro_s("application/json");
    d->reply->status = 503;
    d->reply->shed = true;
    d->outcome = MICRO__DONE_SERVER_ERROR;
}

MICRO_PRIVATE void micro__dispatch_shed(dispatch *d)
{
    dispatch_shed(d, "this function has served its one request");
    d->reply->close = true;
}

static void dispatch_run(dispatch *d, micro__route *route, const char *peer, const void *req,
                         void *rsp)
{
    micro__type_zero(route->method->rsp, rsp);
    micro__dispatch_surroundings(d, route, peer);
    micro__user_begin(&route->habit);
    micro_err err = dispatch_invoke(d, route, req, rsp);
    micro__ctx_end(d->ctx); /* what it started and did not wait for */
    micro__user_end(&route->habit);
    if (err != MICRO_OK)
        dispatch_result(d, err);
    else if (d->ctx->arena.failed)
        micro__dispatch_fail(d, 500, micro_strerror(MICRO_ENOMEM));
    else
        dispatch_answer(d, route->method->rsp, rsp);
}

static void dispatch_call(dispatch *d, micro__route *route, const char *peer)
{
    const micro_method *m = route->method;
    void *req = micro__arena_zero(&d->ctx->arena, m->req->size),
         *rsp = micro__arena_zero(&d->ctx->arena, m->rsp->size);

    if (!req || !rsp) {
        micro__dispatch_fail(d, 500, micro_strerror(MICRO_ENOMEM));
        return;
    }
    micro_err err = dispatch_decode(d, m->req, req);
    if (err != MICRO_OK) {
        micro__dispatch_fail(d, err == MICRO_ENOMEM ? 500 : 400, d->ctx->error.detail.ptr);
    } else if (route->internal) {
        dispatch_run(d, route, peer, req, rsp);
    } else if (micro__server_take(d->s)) {
        dispatch_run(d, route, peer, req, rsp);
        d->reply->close |= d->s->once;
        micro__server_taken(d->s);
    } else {
        micro__dispatch_shed(d);
    }
}

/* How we are can be asked however much there is to do. */
static void dispatch_admit(dispatch *d, micro__route *route, micro__request *req)
{
    if (route->internal) {
        dispatch_call(d, route, req->peer);
    } else if (micro__server_enter(d->s)) {
        if (route->stream)
            micro__streamed_serve(d, route, req);
        else
            dispatch_call(d, route, req->peer);
        micro__server_leave(d->s);
    } else {
        dispatch_shed(d, "too many requests at once");
    }
}

/* Go clients say that they end a stream also after the server has ended it; those of 1.18 with an
 * envelope in the body, if they use one. */
static bool dispatch_late_end(const dispatch *d)
{
    return d->head->known[MICRO__H_MICRO_STREAM].ptr &&
           micro__str_is(dispatch_known(d, MICRO__H_MICRO_ERROR), MICRO__STREAM_EOS);
}

/* Threads have become few: a handler that waits for others is not to take one that they need. */
static bool dispatch_held(dispatch *d, micro__route *route, int least_hops)
{
    if (!least_hops || !atomic_load_explicit(&route->habit.waits, memory_order_relaxed))
        return false;
    int hops = dispatch_hops(d);
    if (hops >= least_hops)
        return false;
    if (!atomic_exchange(&route->habit.held, true))
        MICRO_LOG(
            MICRO_LOG_WARN,
            "threads are few: further calls of %s wait, as it waits for others (.max_threads)",
            route->method->name);
    d->reply->held = true;
    d->reply->hops = hops;
    return true;
}

/* ---- an event that comes as a request ------------------------------------------------------ */

/* A 2018 handler of events that calls sends their headers along: a call then, by its envelope. */
static bool dispatch_names_method(dispatch *d, micro_str type)
{
    micro__envelope env;

    if (micro__codec_envelope(type) == MICRO__WIRE_JSONRPC)
        return dispatch_is_envelope(d);
    return micro__codec_envelope(type) == MICRO__WIRE_PROTORPC &&
           micro__protorpc_read_request(d->ctx, d->body, d->len, &env) == MICRO_OK &&
           micro__server_find(d->s, env.method);
}

/* False: it is a call. */
static bool dispatch_event(dispatch *d)
{
    micro_str topic = dispatch_known(d, MICRO__H_MICRO_TOPIC),
              type = dispatch_known(d, MICRO__H_CONTENT_TYPE);
    const micro_msg msg = { { d->head->headers, d->head->nheaders, 0 },
                            { (const uint8_t *)d->body, d->len } };

    if (!topic.len || dispatch_either(d, MICRO__H_MICRO_ENDPOINT, MICRO__H_MICRO_METHOD).len ||
        !micro__server_subscribes(d->s, topic.ptr) || dispatch_names_method(d, type))
        return false;
    d->micro = true;
    d->reply->content_type = type;
    d->reply->id = dispatch_either(d, MICRO__H_MICRO_ID, MICRO__H_X_MICRO_ID);
    micro__server_event(d->s, topic.ptr, &msg);
    return true;
}

/* ---- entry --------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__server_serve(void *arg, micro__request *req, micro__reply *reply)
{
    micro__server *s = arg;
    dispatch d = { .s = s,
                   .ctx = req->ctx,
                   .head = req->head,
                   .reply = reply,
                   .body = req->body,
                   .len = req->body_len };

    if (micro__server_metrics(s, req->head, reply))
        return;
    d.ctx->info.stage = MICRO_WRAP_HANDLER;
    d.ctx->info.service = s->name;
    reply->none = dispatch_late_end(&d);
    if (reply->none)
        return;
    if (dispatch_event(&d)) {
        reply->close |= d.head->close;
        return;
    }
    bool open = dispatch_open(&d);
    micro__route *route = open ? micro__server_find(s, d.method) : NULL;
    if (route && dispatch_held(&d, route, req->least_hops))
        return;
    if (route) {
        d.begun = micro__stats_begin(route->stats, d.ctx);
        const micro_ctx *before = micro__log_scope(d.ctx);
        dispatch_admit(&d, route, req);
        micro__log_scope(before);
        if (!reply->none) /* a stream that goes on counts when it ends */
            micro__stats_end(route->stats, d.ctx, d.begun, d.outcome);
    } else {
        atomic_fetch_add_explicit(&s->rejected, 1, memory_order_relaxed);
        if (open)
            dispatch_unknown(&d);
    }
    if (d.micro && d.head->close)
        reply->close = true;
}

/* ---- other transports ---------------------------------------------------------------------- */

static MICRO__THREAD_LOCAL int dispatch_lent; /* handlers that this thread runs for its own calls */

MICRO_PRIVATE bool micro__server_inside(void)
{
    return dispatch_lent > 0;
}

MICRO_PRIVATE void micro__server_deliver(micro__server *s, micro_transport *t, micro_sock *from,
                                         micro_msg *msg)
{
    micro_ctx *ctx = micro_ctx_new(s->svc);
    micro__http_head head;
    micro_buf body = { 0 };
    micro__reply reply = micro__reply_new(&body, 200);
    char *text =
        ctx ? micro__arena_text(&ctx->arena, (const char *)msg->body.ptr, msg->body.len) : NULL;

    if (text) {
        memset(&head, 0, sizeof head);
        head.headers = msg->header.ptr;
        head.nheaders = msg->header.len;
        micro__http_index(&head);
        micro__request req = {
            .ctx = ctx, .head = &head, .body = text, .body_len = msg->body.len, .peer = ""
        };
        dispatch_lent++;
        micro__server_serve(s, &req, &reply);
        dispatch_lent--;
        micro_msg out = { { NULL, 0, 0 },
                          { (const uint8_t *)(body.ptr ? body.ptr : ""), body.len } };
        if (!reply.none && !body.failed && micro__reply_header(&ctx->arena, &reply, &out.header))
            micro_ignore(t->ops->send(t, ctx, from, &out)); /* who hung up does not want it */
    }
    micro__buf_free(&body);
    micro_ctx_free(ctx);
}
