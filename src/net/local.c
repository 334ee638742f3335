/* SPDX-License-Identifier: MIT */
/* Calls to a port that this very thread drives: while it waits for a reply it would serve nobody,
 * so the request is served here and now, without a socket. */
#include "pipe.h"

#define LOCAL_DEPTH 16      /* of such calls within each other: they share one stack */
#define LOCAL_BUF_MAX 65536 /* more is not kept */

static struct {
    micro__mutex lock;
    micro__port *ports; /* of engines without threads */
    uint64_t serial;
    micro_buf spare; /* for answers; goes with the last port */
} local_all = { .lock = MICRO__MUTEX_INIT };

MICRO_PRIVATE void micro__local_join(micro__port *p)
{
    micro__lock(&local_all.lock);
    p->local = ++local_all.serial;
    p->local_next = local_all.ports;
    local_all.ports = p;
    micro__unlock(&local_all.lock);
}

MICRO_PRIVATE void micro__local_leave(micro__port *p)
{
    micro__lock(&local_all.lock);
    for (micro__port **at = &local_all.ports; *at; at = &(*at)->local_next)
        if (*at == p) {
            *at = p->local_next;
            break;
        }
    if (!local_all.ports)
        micro__buf_free(&local_all.spare);
    micro__unlock(&local_all.lock);
}

static micro_buf local_buf(void)
{
    static const micro_buf empty = { 0 };

    micro__lock(&local_all.lock);
    micro_buf b = local_all.spare;
    local_all.spare = empty;
    micro__unlock(&local_all.lock);
    b.len = 0;
    return b;
}

static void local_buf_give(micro_buf *b)
{
    micro__lock(&local_all.lock);
    bool keep = !local_all.spare.ptr && !b->failed && b->cap <= LOCAL_BUF_MAX;
    if (keep)
        local_all.spare = *b;
    micro__unlock(&local_all.lock);
    if (!keep)
        micro__buf_free(b);
}

MICRO_PRIVATE uint64_t micro__local_find(const micro__addr *to)
{
    uint64_t found = 0;

    micro__lock(&local_all.lock);
    for (const micro__port *p = local_all.ports; p && !found; p = p->local_next)
        if (micro__engine_is_mine(p->e) && micro__addr_reaches(to, &p->bound))
            found = p->local;
    micro__unlock(&local_all.lock);
    return found;
}

/* NULL: it listens no more. It is this thread that could close it, and that is busy here. */
static micro__port *local_port(uint64_t id)
{
    micro__lock(&local_all.lock);
    micro__port *p = local_all.ports;
    while (p && p->local != id)
        p = p->local_next;
    micro__unlock(&local_all.lock);
    return p && micro__engine_is_mine(p->e) && !atomic_load(&p->closing) ? p : NULL;
}

MICRO_PRIVATE bool micro__local_alive(uint64_t id)
{
    return local_port(id) != NULL;
}

MICRO_PRIVATE bool micro__local_drive(const micro__pipe *p, int timeout_ms, uint64_t until)
{
    micro__port *port = micro__engine_inside() ? NULL : local_port(p->local);

    if (!port)
        return false;
    micro__engine *e = port->e;
    e->patience = until;
    e->beneath = p;
    micro__engine_drive(e, timeout_ms);
    e->beneath = NULL;
    e->patience = 0;
    return true;
}

/* ---- one exchange -------------------------------------------------------------------------- */

/* The limits of a request that comes over a socket. */
static const char *local_problem(const micro__port *p, const micro_msg *msg)
{
    if (msg->header.len > MICRO_MAX_HEADERS)
        return "431 Request Header Fields Too Large: too many headers";
    if (micro__http_request_size("", &msg->header) > MICRO_MAX_HEADER)
        return "431 Request Header Fields Too Large: header over the size limit";
    if (msg->body.len > p->o.max_body)
        return "413 Request Entity Too Large: message over the size limit";
    return NULL;
}

/* As if it came out of a step. */
static void local_serve(micro__port *p, micro__request *req, micro__reply *reply)
{
    micro__thread *t = p->e->poll_thread, *before = micro__thread_enter(t);
    micro__loop *loop = t->loop;

    t->loop = &p->e->loops[0];
    p->o.serve(p->o.arg, req, reply);
    t->loop = loop;
    micro__thread_enter(before);
}

static micro_err local_answer(micro__port *p, micro_ctx *ctx, const micro_msg *msg, micro_buf *body,
                              micro_msg *out)
{
    micro_ctx *own = micro_ctx_new(NULL);
    micro__http_head head = { .request = true, .minor = 1 };
    micro_pairs header = { NULL, 0, 0 };
    void *memo = NULL;
    char *text = NULL;
    bool ok = own && micro__pairs_copy(&own->arena, &header, &msg->header) &&
              (text = micro__arena_text(&own->arena, (const char *)msg->body.ptr, msg->body.len));

    if (ok) {
        head.headers = header.ptr;
        head.nheaders = header.len;
        micro__http_index(&head);
        micro__request req = { .ctx = own,
                               .head = &head,
                               .body = text,
                               .body_len = msg->body.len,
                               .peer = p->address,
                               .memo = &memo };
        micro__reply reply = micro__reply_new(body, 200);
        local_serve(p, &req, &reply);
        if (memo)
            p->o.forget(memo);
        micro_pairs lines = { NULL, 0, 0 };
        ok = !body->failed && micro__reply_header(&own->arena, &reply, &lines) &&
             micro__pairs_copy(&ctx->arena, &out->header, &lines);
    }
    micro_ctx_free(own);
    return ok ? MICRO_OK : MICRO_ENOMEM;
}

MICRO_PRIVATE micro_err micro__local_exchange(uint64_t id, micro_ctx *ctx, const micro_msg *msg,
                                              micro_msg *out)
{
    micro__port *p = local_port(id);

    memset(out, 0, sizeof *out);
    if (!p)
        return micro__ctx_local_id(ctx, "go.micro.client.transport", MICRO_EIO, "EOF");
    if (p->e->poll_thread->depth >= LOCAL_DEPTH)
        return micro__ctx_local(ctx, MICRO_ETOOBIG,
                                "calls of this program to itself are nested too deeply");
    const char *problem = local_problem(p, msg);
    if (problem)
        return micro__ctx_local_id(ctx, "go.micro.client.transport", MICRO_EPROTO, "%s", problem);
    micro_buf body = local_buf();
    micro_err err = local_answer(p, ctx, msg, &body, out);
    const char *text = err == MICRO_OK ? micro__arena_text(&ctx->arena, body.ptr, body.len) : NULL;
    out->body.ptr = (const uint8_t *)text;
    out->body.len = text ? body.len : 0;
    local_buf_give(&body);
    return text ? MICRO_OK : micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
}
