/* SPDX-License-Identifier: MIT */
/* A connection of the HTTP server: its requests put together and served, its replies written,
 * closed. */
#include "pipe.h"

#define CONN_HEAD_COPY 1024 /* of a fresh read, tried without looking for the head's end first */
#define CONN_HEAD_ROOM 256  /* left in front of a body for the head of its reply */
#define CONN_FLUSH 65536    /* waiting replies are written when they are more than this */
#define CONN_DRAIN_MAX (4u * MICRO_MAX_BODY) /* read from a refused connection */
#define CONN_FULL "too much is half read"
#define CONN_TURN 64 /* requests and reads before other connections have their turn */

/* ---- opening and closing ------------------------------------------------------------------- */

MICRO_PRIVATE void micro__conn_join(micro__loop *l, micro__conn *c)
{
    c->joined = true;
    micro__loop_touch(l, c);
    if (micro__poller_add(&l->poller, c->fd, c) == MICRO_OK)
        return;
    if (c->pipe)
        micro__carry_broken(c);
    else
        micro__conn_close(l, c);
}

MICRO_PRIVATE void micro__conn_close(micro__loop *l, micro__conn *c)
{
    micro__port *p = c->port;

    micro__loop_forget(l, c);
    micro__poller_del(&l->poller, c->fd);
    micro__fd_close(c->fd);
    if (c->partial)
        micro__timer_clear(&l->timers, &c->partial->timer);
    micro__conn_drop_partial(c);
    micro__conn_drop_unsent(c);
    micro__free(c, sizeof *c);
    atomic_fetch_sub_explicit(&l->nconns, 1, memory_order_relaxed);
    if (p)
        micro__port_leave(p);
}

/* ---- cancellation -------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__conn_gone(micro__conn *c)
{
    micro__conn_lock(c);
    if (c->running)
        micro_ctx_cancel(c->running);
    micro__conn_unlock(c);
}

MICRO_PRIVATE void micro__conn_hup(micro__conn *c)
{
    bool goes_on = c->port && c->port->o.goes_on;

    micro__conn_lock(c);
    if (c->running && !goes_on && (!c->pipe || micro__pipe_deserted(c->pipe)))
        micro_ctx_cancel(c->running);
    micro__conn_unlock(c);
}

/* While the seat is ours nobody else looks; once it is gone, the driver may be about to cancel. */
static void conn_run(micro__thread *t, micro__conn *c, micro_ctx *ctx)
{
    if (t->loop) {
        c->running = ctx;
        return;
    }
    micro__conn_lock(c);
    c->running = ctx;
    micro__conn_unlock(c);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Never moves what is in out: a handler's reply may be growing behind it. */
MICRO_PRIVATE void micro__conn_flush(micro__thread *t)
{
    micro__conn *c = t->conn;
    size_t n = t->out_ready - t->out_sent;

    if (c && c->pipe && c->pipe->driven)
        micro__pipe_flush(c->pipe);
    if (!c || !n || c->dead)
        return;
    const char *from = t->out.ptr + t->out_sent;
    t->out_sent = t->out_ready;
    long sent = c->unsent ? MICRO_EAGAIN : micro__sock_send(c->fd, from, n);
    if (sent < 0 && sent != MICRO_EAGAIN)
        c->dead = true;
    else if (sent != (long)n)
        micro__conn_keep_unsent(c, from + (sent > 0 ? sent : 0), n - (size_t)(sent > 0 ? sent : 0));
}

/* More of what a slow reader has left over. True: all has gone. */
static bool conn_resume(micro__conn *c)
{
    micro__unsent *u = c->unsent;
    long sent = micro__sock_send(c->fd, u->bytes + u->sent, u->len - u->sent);

    if (sent < 0) {
        c->dead = sent != MICRO_EAGAIN;
        return false;
    }
    u->sent += (size_t)sent;
    if (u->sent < u->len)
        return false;
    micro__conn_drop_unsent(c);
    if (c->partial)
        c->partial->since = micro__now_ms(); /* what has come so far had to wait */
    return true;
}

/* ---- replies ------------------------------------------------------------------------------- */

/* The body stands in out behind `start` and some room; its head is put in front of it. With nothing
 * before it in out, the room that the head does not need counts as sent; else the body moves up. */
static void conn_reply_join(micro__thread *t, micro__conn *c, size_t start, const micro_buf *head)
{
    micro_buf *out = &t->out;
    size_t at = start + CONN_HEAD_ROOM, body = out->len - at, n = head->len;

    if (out->failed || head->failed) {
        c->dead = true; /* memory is out in the middle of a reply: nothing half right */
        out->len = start;
        return;
    }
    if (start == t->out_sent && n <= CONN_HEAD_ROOM) {
        t->out_sent = at - n;
        memcpy(out->ptr + t->out_sent, head->ptr, n);
        t->out_ready = out->len;
        return;
    }
    if (n > CONN_HEAD_ROOM && !micro__buf_room(out, n - CONN_HEAD_ROOM)) {
        c->dead = true;
        out->len = start;
        return;
    }
    memmove(out->ptr + start + n, out->ptr + at, body);
    memcpy(out->ptr + start, head->ptr, n);
    out->len = t->out_ready = start + n + body;
}

static bool conn_reply_begin(micro__thread *t, micro__conn *c, size_t *start)
{
    if (t->out_sent == t->out_ready)
        t->out_sent = t->out_ready = t->out.len = 0;
    micro__buf_mend(&t->out);
    *start = t->out.len;
    if (!micro__buf_room(&t->out, CONN_HEAD_ROOM)) {
        c->dead = true;
        return false;
    }
    t->out.len += CONN_HEAD_ROOM;
    return true;
}

static void conn_reply_end(micro__thread *t, micro__conn *c, size_t start, const micro__reply *r,
                           bool no_body)
{
    size_t body = t->out.len - start - CONN_HEAD_ROOM;

    t->line.len = 0;
    micro__buf_mend(&t->line);
    micro__http_reply(&t->line, r, body, c->last);
    if (no_body)
        t->out.len = start + CONN_HEAD_ROOM;
    conn_reply_join(t, c, start, &t->line);
}

static long conn_refuse(micro__thread *t, micro__conn *c, int status, const char *why)
{
    micro__reply r = micro__reply_new(&t->out, status);
    size_t start;

    r.content_type = micro_s("application/json");
    c->last = c->refused = true;
    if (conn_reply_begin(t, c, &start)) {
        micro__buf_format(
            &t->out, "{\"id\":\"go.micro.server\",\"code\":%d,\"detail\":\"%s\",\"status\":\"%s\"}",
            status, why, micro__status_text(status));
        conn_reply_end(t, c, start, &r, false);
    }
    return -1;
}

/* ---- one request --------------------------------------------------------------------------- */

/* A body as it came, since serving may write over it: for a request that may be held back. */
typedef struct conn_copy {
    int least_hops;
    char *body;
    size_t len;
} conn_copy;

static conn_copy conn_copy_begin(const micro__conn *c, const char *body, size_t len)
{
    conn_copy copy = { micro__pool_least_hops(c->port->e), NULL, len };

    if (MICRO__RARE(copy.least_hops)) {
        copy.body = micro__alloc(len ? len : 1);
        if (copy.body)
            memcpy(copy.body, body, len);
        else
            copy.least_hops = 0; /* then it is served as if there were threads */
    }
    return copy;
}

static void conn_copy_end(conn_copy *copy, char *body, bool back)
{
    if (back)
        memcpy(body, copy->body, copy->len);
    if (MICRO__RARE(copy->body != NULL))
        micro__free(copy->body, copy->len ? copy->len : 1);
}

/* The last head of a turn: its original, what it means, and what serve has made of it. */
typedef struct conn_last {
    const char *from;
    size_t len; /* 0: none */
    void *memo;
    micro__http_head head;
} conn_last;

static void conn_forget(const micro__conn *c, conn_last *last)
{
    if (last->memo)
        c->port->o.forget(last->memo);
    last->memo = NULL;
    last->len = 0;
}

/* The request, and what has come behind it. False: it is held back, and all is as before. */
static bool conn_answer(micro__thread *t, micro__conn *c, conn_last *last, char *body, size_t len,
                        micro_str rest)
{
    micro__port *p = c->port;
    micro__http_head *head = &last->head;
    size_t start;
    char behind = body[len];

    if (!conn_reply_begin(t, c, &start))
        return true;
    micro__ctx_recycle(t->ctx, NULL);
    conn_copy copy = conn_copy_begin(c, body, len);
    micro__request req = { .ctx = t->ctx,
                           .head = head,
                           .body = body,
                           .body_len = len,
                           .peer = c->peer,
                           .memo = &last->memo,
                           .least_hops = copy.least_hops,
                           .thread = t,
                           .rest = rest.ptr,
                           .rest_len = rest.len,
                           .behind = rest.len ? rest.ptr[0] : 0 };
    micro__reply r = micro__reply_new(&t->out, 200);
    body[len] = 0; /* may be the first byte of the next request */
    conn_run(t, c, t->ctx);
    p->o.serve(p->o.arg, &req, &r);
    t->ctx = req.ctx;
    if (!c->pipe)
        conn_run(t, c, NULL);
    body[len] = behind;
    conn_copy_end(&copy, body, r.held);
    if (MICRO__RARE(r.held)) {
        t->out.len = start;
        c->held = true;
        c->hops = r.hops;
        return false;
    }
    c->served = true;
    bool leaves = micro__port_leaves(p);
    if ((leaves && !r.none) || r.close || (head->minor == 0 && !head->keep_alive))
        c->last = true;
    if (r.none)
        t->out.len = start;
    else
        conn_reply_end(t, c, start, &r, micro__str_is(head->method, "HEAD"));
    return true;
}

/* What a head says of the message: its length; < 0: refused. */
static long conn_frame(micro__thread *t, micro__conn *c, micro__assembly *as,
                       const micro__http_head *head, size_t len)
{
    as->head = len;
    as->chunked = head->chunked;
    as->length = head->has_length ? head->length : 0;
    as->expect = head->minor > 0 && head->known[MICRO__H_EXPECT].ptr &&
                 micro__str_is_nocase(head->known[MICRO__H_EXPECT], "100-continue");
    if (as->length > c->port->o.max_body)
        return conn_refuse(t, c, 413, "message over the size limit");
    return (long)len;
}

/* Works on the thread's own copy of the head: the original stays as it is until the body has come
 * too. len bytes of it are looked at. > 0: parsed, and whole; 0: it goes on; < 0: refused. */
static long conn_head(micro__thread *t, micro__conn *c, micro__assembly *as, const char *buf,
                      size_t len, conn_last *last)
{
    micro__http_head *head = &last->head;

    conn_forget(c, last);
    memcpy(t->head, buf, len);
    head->request = true;
    head->headers = t->headers;
    head->max_headers = MICRO_MAX_HEADERS;
    long n = micro__http_parse(t->head, len, head);
    if (n == MICRO__HTTP_PARTIAL)
        return 0;
    if (n == MICRO__HTTP_TOO_LARGE)
        return conn_refuse(t, c, 431, "too many headers");
    if (n < 0)
        return conn_refuse(t, c, 400, head->problem ? head->problem : "malformed request");
    last->from = buf;
    last->len = (size_t)n;
    return conn_frame(t, c, as, head, last->len);
}

/* The same bytes as the head before, which means what it meant if serving has left it as it was. */
static bool conn_again(const micro__conn *c, const conn_last *last, const char *buf, size_t avail)
{
    return c->port->o.heads_stay && last->len && avail >= last->len &&
           !memcmp(buf, last->from, last->len);
}

/* The head of a fresh request. Most are short and all there: they are parsed without a search for
 * their end; one that comes in pieces is searched once, and parsed when it is whole. */
static long conn_first_head(micro__thread *t, micro__conn *c, micro__assembly *as, const char *buf,
                            size_t avail, conn_last *last)
{
    if (conn_again(c, last, buf, avail))
        return conn_frame(t, c, as, &last->head, last->len);
    if (!as->scanned) {
        long n = conn_head(t, c, as, buf, avail < CONN_HEAD_COPY ? avail : CONN_HEAD_COPY, last);
        if (n)
            return n;
    }
    size_t len = micro__http_head_end(buf, avail, &as->scanned);
    if ((len ? len : avail) > MICRO_MAX_HEADER)
        return conn_refuse(t, c, 431, "header over the size limit");
    return len ? conn_head(t, c, as, buf, len, last) : 0;
}

/* More of a chunked body. 1: complete, *total bytes in all; 0: *avail is what is left in buf; else
 * refused. */
static long conn_chunks(micro__thread *t, micro__conn *c, micro__assembly *as, char *buf,
                        size_t *avail, size_t *total)
{
    char *in = buf + as->head + as->body;
    size_t n = *avail - as->head - as->body, got = 0, at = as->head + as->body;
    int r = micro__chunked_feed(&as->chunk, in, &n, &got);

    as->body += got;
    if (r < 0)
        return conn_refuse(t, c, 400, "malformed chunked body");
    if (as->body > c->port->o.max_body)
        return conn_refuse(t, c, 413, "message over the size limit");
    *total = at + n;
    if (!r)
        *avail = as->head + as->body;
    return r;
}

/* A whole request stays where it is: its body in one piece, however it came. */
static void conn_held(micro__assembly *as, char *buf, size_t *avail, size_t total, size_t body)
{
    size_t end = as->head + body;

    memmove(buf + end, buf + total, *avail - total);
    *avail -= total - end;
    as->chunked = false;
    as->length = body;
}

/* The first request in buf, if it is complete: its length. 0: more is needed (*avail may shrink:
 * chunks were decoded), or it is held back; < 0: refused. */
static long conn_request(micro__thread *t, micro__conn *c, micro__assembly *as, char *buf,
                         size_t *avail, conn_last *last)
{
    bool parsed = !as->head;
    size_t total = 0, body;

    if (parsed) {
        long n = conn_first_head(t, c, as, buf, *avail, last);
        if (n <= 0)
            return n;
    }
    if (as->chunked) {
        long r = conn_chunks(t, c, as, buf, avail, &total);
        if (r <= 0)
            return r;
        body = as->body;
    } else {
        body = (size_t)as->length;
        total = as->head + body;
        if (*avail < total)
            return 0;
    }
    if (!parsed && conn_head(t, c, as, buf, as->head, last) < 0)
        return -1;
    if (conn_answer(t, c, last, buf + as->head, body, micro__str(buf + total, *avail - total)))
        return (long)total;
    conn_held(as, buf, avail, total, body);
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The request has opened a stream, which read on behind it. True: it is over, and has left
 * something. */
static bool conn_carried(micro__conn *c)
{
    c->carried = false;
    micro__conn_drop_partial(c); /* of the request */
    if (c->pipe && c->pipe->over)
        micro__carry_end(c);
    return !c->pipe && c->partial;
}

static void conn_work_on(micro__thread *t, micro__conn *c, char *buf, size_t len, conn_last *last)
{
    micro__assembly as = { 0 };
    size_t used = 0;

    if (c->partial)
        as = c->partial->as;
    c->more = false;
    while (used < len && !c->dead && !c->unsent && !c->last) {
        size_t avail = len - used;
        if (t->turn-- <= 0) {
            c->more = true;
            break;
        }
        long n = conn_request(t, c, &as, buf + used, &avail, last);
        if (n <= 0) {
            len = n < 0 ? used : used + avail;
            break;
        }
        memset(&as, 0, sizeof as);
        if (c->carried) {
            if (!conn_carried(c))
                return;
            buf = c->partial->bytes;
            len = c->partial->len;
            used = 0;
            conn_forget(c, last);
            continue;
        }
        used += (size_t)n;
        if (t->out_ready - t->out_sent > CONN_FLUSH)
            micro__conn_flush(t);
    }
    if (c->dead || c->last)
        len = used;
    if (c->partial && used == len)
        micro__conn_drop_partial(c);
    if (!micro__conn_keep(c, &as, buf + used, len - used, t->loop ? t->loop->now : micro__now_ms()))
        conn_refuse(t, c, 503, CONN_FULL);
}

/* Serves the complete requests of buf, as many as a turn has. */
static void conn_work(micro__thread *t, micro__conn *c, char *buf, size_t len)
{
    conn_last last; /* not zeroed: it is large */

    last.memo = NULL;
    last.len = 0;
    t->ended = 0;
    conn_work_on(t, c, buf, len, &last);
    conn_forget(c, &last);
}

/* One read. True: there may be more. */
static bool conn_read(micro__thread *t, micro__conn *c)
{
    char *buf = t->in;
    size_t have = 0, room = MICRO_CONN_BUF;

    if (c->partial) {
        if (!micro__conn_room(c)) {
            conn_refuse(t, c, 503, CONN_FULL);
            return false;
        }
        buf = c->partial->bytes;
        have = c->partial->len;
        room = c->partial->cap - have;
    }
    long n = micro__sock_recv(c->fd, buf + have, room);
    if (t->loop) /* now, so that the peer's end is noticed while a handler runs */
        micro__poller_rearm(&t->loop->poller, c->fd, c, MICRO__IN);
    if (n <= 0) {
        if (n != MICRO_EAGAIN)
            c->eof = true;
        return false;
    }
    conn_work(t, c, buf, have + (size_t)n);
    return c->hup || (size_t)n == room;
}

/* Of a refused connection: reads and forgets. */
static void conn_drain(micro__thread *t, micro__conn *c)
{
    long n = 1;

    for (int i = 0; i < CONN_TURN && n > 0 && !c->dead; i++) {
        n = micro__sock_recv(c->fd, t->in, MICRO_CONN_BUF);
        c->partial->len += n > 0 ? (size_t)n : 0;
        c->dead = (n <= 0 && n != MICRO_EAGAIN) || c->partial->len > CONN_DRAIN_MAX;
    }
    c->more = n > 0;
    t->conn = NULL;
}

MICRO_PRIVATE bool micro__conn_goes_on(const micro__conn *c)
{
    return c->more && !c->dead && !c->unsent && !c->pipe;
}

/* Those that are there (work: some may wait in the partial one), and what can be read, for as long
 * as the turn is. */
static void conn_requests(micro__thread *t, micro__conn *c, bool work)
{
    bool read = true;

    if (work && c->partial && !c->dead && !c->unsent)
        conn_work(t, c, c->partial->bytes, c->partial->len);
    while (read && !c->dead && !c->unsent && !c->last && !c->more && !c->held && !c->pipe) {
        read = conn_read(t, c);
        c->more |= read && t->turn-- <= 0;
    }
}

MICRO_PRIVATE void micro__conn_serve(micro__thread *t, micro__conn *c, unsigned what)
{
    bool work = c->more;

    c->hup |= (what & MICRO__HUP) != 0; /* the end of the stream is not told twice */
    t->conn = c;
    t->turn = CONN_TURN;
    t->out.len = t->out_sent = t->out_ready = 0;
    if (c->partial) /* while the seat is certain: the timer is the loop's */
        micro__timer_clear(&t->loop->timers, &c->partial->timer);
    if (c->pipe)
        micro__timer_clear(&t->loop->timers, &c->pipe->stall);
    if (MICRO__RARE(c->lingers)) {
        conn_drain(t, c);
        return;
    }
    if (c->unsent)
        work = conn_resume(c);
    c->more = false;
    if (!c->pipe)
        conn_requests(t, c, work);
    while (c->pipe && micro__carry_serve(c))
        conn_requests(t, c, true);
    micro__conn_flush(t);
    if ((c->last || c->eof) && !c->unsent && !c->pipe)
        c->dead |= c->eof || !c->refused || !micro__conn_linger(c);
    t->conn = NULL;
    if (t->out.cap > 2 * CONN_FLUSH)
        micro__buf_free(&t->out);
}
