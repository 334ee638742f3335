/* SPDX-License-Identifier: MIT */
/* Messages over a connection that carries a stream. Nothing here knows what they mean. */
#include "pipe.h"

#define PIPE_READ 16384   /* as much is read at once if it keeps coming */
#define PIPE_KEEP 16384   /* a bigger buffer for what is sent is not kept */
#define PIPE_STEP_MS 10   /* of a loop that this thread drives while it waits */
#define PIPE_STALL_MS 100 /* between two looks at the clock while a peer does not read */
#define PIPE_LAST_MS 50   /* for what is on its way, where nothing can follow */

enum { PIPE_STILL, PIPE_KICKED, PIPE_RETIRED }; /* kicked */

MICRO_PRIVATE void micro__pipe_init(micro__pipe *p, int fd, bool serving, size_t max_body)
{
    memset(p, 0, sizeof *p);
    p->fd = fd;
    p->serving = serving;
    p->max_body = max_body;
    p->stall_ms = -1;
    if (fd >= 0)
        micro__sock_probe(fd);
    micro__mutex_init(&p->lock);
}

static void pipe_drop_in(micro__pipe *p)
{
    if (p->in) {
        micro__port_keep(p->port, p->cap + 1, 0);
        micro__free(p->in, p->cap + 1);
    }
    p->in = NULL;
    p->cap = p->at = p->len = 0;
}

static void pipe_drop_out(micro__pipe *p)
{
    micro__port_keep(p->port, p->kept, 0);
    p->kept = p->sent = 0;
    micro__buf_free(&p->out);
}

MICRO_PRIVATE void micro__pipe_drop(micro__pipe *p)
{
    pipe_drop_in(p);
    micro__lock(&p->lock); /* somebody may still be sending */
    pipe_drop_out(p);
    p->port = NULL;
    micro__unlock(&p->lock);
}

MICRO_PRIVATE void micro__pipe_free(micro__pipe *p)
{
    micro__pipe_drop(p);
    micro__mutex_destroy(&p->lock);
}

/* ---- receiving ----------------------------------------------------------------------------- */

static micro_err pipe_fault(micro__pipe *p, micro_err err, const char *problem)
{
    p->cut = true;
    p->problem = problem;
    return err;
}

/* The head at `at`, in memory of the piece. */
static micro_err pipe_head(micro__pipe *p, micro__piece *m)
{
    size_t n = p->len - p->at;
    if (!n)
        return MICRO_EAGAIN;
    char *from = p->in + p->at;
    size_t len = p->as.head ? p->as.head : micro__http_head_end(from, n, &p->as.scanned);

    if ((len ? len : n) > MICRO_MAX_HEADER)
        return pipe_fault(p, MICRO_ETOOBIG, "header over the size limit");
    if (!len)
        return MICRO_EAGAIN;
    memcpy(m->text, from, len);
    memset(&m->head, 0, sizeof m->head);
    m->head.request = p->serving;
    m->head.headers = m->headers;
    m->head.max_headers = MICRO_MAX_HEADERS;
    long r = micro__http_parse(m->text, len, &m->head);
    if (r == MICRO__HTTP_TOO_LARGE)
        return pipe_fault(p, MICRO_ETOOBIG, "too many headers");
    if (r <= 0)
        return pipe_fault(p, MICRO_EPROTO, m->head.problem ? m->head.problem : "malformed message");
    p->as.head = len;
    p->as.chunked = m->head.chunked;
    p->as.length = m->head.has_length ? m->head.length : 0;
    if (p->as.length > p->max_body)
        return pipe_fault(p, MICRO_ETOOBIG, "message over the size limit");
    return MICRO_OK;
}

/* More of a chunked body, decoded in place. *total: of the whole message, once it is all there. */
static micro_err pipe_chunks(micro__pipe *p, size_t *total)
{
    size_t have = p->at + p->as.head + p->as.body, n = p->len - have, got = 0;
    int r = micro__chunked_feed(&p->as.chunk, p->in + have, &n, &got);

    p->as.body += got;
    if (r < 0)
        return pipe_fault(p, MICRO_EPROTO, "malformed chunked body");
    if (p->as.body > p->max_body)
        return pipe_fault(p, MICRO_ETOOBIG, "message over the size limit");
    if (!r) {
        p->len = have + got;
        return MICRO_EAGAIN;
    }
    *total = have + n - p->at;
    return MICRO_OK;
}

static micro_err pipe_body(micro__pipe *p, size_t *total)
{
    if (p->as.chunked)
        return pipe_chunks(p, total);
    *total = p->as.head + (size_t)p->as.length;
    p->as.body = (size_t)p->as.length;
    return p->len - p->at < *total ? MICRO_EAGAIN : MICRO_OK;
}

static void pipe_consume(micro__pipe *p, size_t n)
{
    p->at += n;
    memset(&p->as, 0, sizeof p->as);
    atomic_store_explicit(&p->unread, p->at < p->len, memory_order_relaxed);
}

/* What is there of the next message. Parsed again if it was not all there the last time: the copy
 * of its head is the caller's. */
static micro_err pipe_message(micro__pipe *p, micro__piece *m)
{
    bool parsed = !p->as.head;
    size_t total = 0;
    micro_err err = parsed ? pipe_head(p, m) : MICRO_OK;

    if (err == MICRO_OK)
        err = pipe_body(p, &total);
    if (err == MICRO_OK && !parsed)
        err = pipe_head(p, m);
    if (err != MICRO_OK)
        return err;
    m->body = p->in + p->at + p->as.head;
    m->len = p->as.body;
    pipe_consume(p, total);
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__pipe_grow(micro__pipe *p, size_t cap)
{
    size_t from = p->in ? p->cap + 1 : 0;

    if (!micro__port_keep(p->port, from, cap + 1))
        return MICRO_ETOOBIG;
    char *in = micro__realloc(p->in, from, cap + 1);
    if (!in) {
        micro__port_keep(p->port, cap + 1, from);
        return MICRO_ENOMEM;
    }
    p->in = in;
    p->cap = cap;
    return MICRO_OK;
}

static micro_err pipe_room(micro__pipe *p)
{
    if (p->at) {
        memmove(p->in, p->in + p->at, p->len - p->at);
        p->len -= p->at;
        p->at = 0;
    }
    size_t want = micro__assembly_want(&p->as, p->len, p->cap);
    return want <= p->cap ? MICRO_OK : micro__pipe_grow(p, want);
}

/* One read. EAGAIN: nothing has come. */
static micro_err pipe_fill(micro__pipe *p)
{
    micro_err err = pipe_room(p);
    if (err != MICRO_OK)
        return err == MICRO_ENOMEM ? err : pipe_fault(p, MICRO_ENOMEM, "too much is half read");
    size_t room = p->cap - p->len;
    long n = micro__sock_recv(p->fd, p->in + p->len, room);
    if (n == MICRO_EAGAIN)
        return MICRO_EAGAIN;
    if (n <= 0) {
        p->fin = n == 0;
        p->cut = n < 0;
        return MICRO_OK;
    }
    p->len += (size_t)n;
    atomic_store_explicit(&p->unread, true, memory_order_relaxed);
    if ((size_t)n == room && p->cap < PIPE_READ) /* more keeps coming: fewer and bigger reads */
        micro_ignore(micro__pipe_grow(p, 2 * p->cap));
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__pipe_take(micro__pipe *p, micro__piece *m)
{
    for (;;) {
        micro_err err = p->cut ? MICRO_EIO : pipe_message(p, m);
        if (err == MICRO_OK && !p->serving && m->head.status / 100 == 1)
            continue; /* 100 Continue and its like */
        if (err == MICRO_EAGAIN && p->fin)
            err = p->at < p->len ? MICRO_EIO : MICRO_EOS;
        if (err == MICRO_EAGAIN) {
            err = pipe_fill(p);
            if (err == MICRO_OK)
                continue;
        }
        if (err == MICRO_EAGAIN && p->driven && p->at == p->len)
            pipe_drop_in(p); /* an idle one holds no buffer */
        return err;
    }
}

/* Where this very thread drives the peer, the peer has to be driven meanwhile. */
static micro_err pipe_ready(micro__pipe *p, int what, uint64_t until)
{
    while (p->local) {
        uint64_t now = micro__now_ms();
        micro_err err = micro__fd_wait(p->fd, what, now);
        if (err != MICRO_ETIMEDOUT || (until && now >= until))
            return err;
        if (!micro__local_drive(p, PIPE_STEP_MS, until))
            break;
    }
    return micro__seat_wait(p->fd, what, until);
}

/* Why this wait cannot end, but for what is on its way already; NULL: it can. */
static const char *pipe_hopeless(const micro__pipe *p)
{
    const micro__pipe *beneath = p->loop ? p->loop->e->beneath : NULL;

    if (beneath && micro__sock_are_ends(p->fd, beneath->fd))
        return "the caller waits on this very thread: a handler with callbacks can serve it";
    if (p->local && micro__engine_inside() && micro__local_alive(p->local))
        return "it is this very thread that drives the service, once its own handler has returned";
    return NULL;
}

static uint64_t pipe_sooner(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

static micro_err pipe_wait(micro__pipe *p, micro_ctx *ctx, int what, uint64_t until)
{
    micro_err err = micro__ctx_check(ctx, ctx->deadline);

    if (err != MICRO_OK)
        return err;
    until = pipe_sooner(pipe_sooner(ctx->deadline, until), p->loop ? p->loop->e->patience : 0);
    const char *hopeless = pipe_hopeless(p);
    uint64_t last = hopeless ? micro__now_ms() + PIPE_LAST_MS : 0;
    err = pipe_ready(p, what, pipe_sooner(last, until));
    micro_err state = micro__ctx_check(ctx, ctx->deadline);
    if (state != MICRO_OK)
        return state;
    if (err == MICRO_ETIMEDOUT && last && micro__now_ms() >= last) {
        p->problem = hopeless;
        return MICRO_EBUSY;
    }
    return err == MICRO_EIO ? MICRO_OK : err; /* the read or write will tell */
}

MICRO_PRIVATE micro_err micro__pipe_recv(micro__pipe *p, micro_ctx *ctx, micro__piece *m)
{
    for (;;) {
        micro_err err = micro__pipe_take(p, m);
        if (err != MICRO_EAGAIN)
            return err;
        err = pipe_wait(p, ctx, MICRO__READ, 0);
        if (err != MICRO_OK)
            return err;
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

static bool pipe_append(micro__pipe *p, const micro_buf *head, const micro_buf *body)
{
    if (p->sent && p->sent >= p->out.len - p->sent) { /* of a reader that never quite catches up */
        memmove(p->out.ptr, p->out.ptr + p->sent, p->out.len - p->sent);
        p->out.len -= p->sent;
        p->sent = 0;
    }
    size_t len = p->out.len;
    micro__buf_add(&p->out, head->ptr, head->len);
    micro__buf_add(&p->out, body->ptr, body->len);
    if (!p->out.failed)
        return true;
    micro__buf_mend(&p->out);
    p->out.len = len;
    return false;
}

/* False: it is more than the connections of the port may keep together. */
static bool pipe_stuck(micro__pipe *p, bool moved)
{
    if (!p->stuck || moved)
        p->stuck = micro__now_ms();
    if (micro__port_keep(p->port, p->kept, p->out.cap)) {
        p->kept = p->out.cap;
        return true;
    }
    if (p->driven) { /* else who sends is told, and who receives is somebody else */
        p->problem = "too much is half sent";
        p->cut = true;
    }
    return false;
}

static size_t pipe_flush(micro__pipe *p)
{
    bool moved = false;

    while (p->sent < p->out.len && !p->lost) {
        long n = micro__sock_send(p->fd, p->out.ptr + p->sent, p->out.len - p->sent);
        if (n == MICRO_EAGAIN && pipe_stuck(p, moved))
            return p->out.len - p->sent;
        p->lost = n < 0;
        moved = true;
        p->sent += n > 0 ? (size_t)n : 0;
    }
    p->stuck = p->sent = p->out.len = 0;
    if (p->out.cap > PIPE_KEEP || p->driven || p->kept)
        pipe_drop_out(p);
    return 0;
}

MICRO_PRIVATE size_t micro__pipe_flush(micro__pipe *p)
{
    micro__lock(&p->lock);
    size_t left = pipe_flush(p);
    micro__unlock(&p->lock);
    return left;
}

MICRO_PRIVATE micro_err micro__pipe_put(micro__pipe *p, const micro_buf *head,
                                        const micro_buf *body, size_t limit)
{
    micro_err err = MICRO_OK;

    micro__lock(&p->lock);
    if (p->lost)
        err = MICRO_EIO;
    else if (limit && p->out.len - p->sent >= limit)
        err = MICRO_EAGAIN;
    else if (!pipe_append(p, head, body))
        err = MICRO_ENOMEM;
    micro__unlock(&p->lock);
    return err;
}

/* A peer that reads nothing may be gone, or mean harm. */
static micro_err pipe_send_wait(micro__pipe *p, micro_ctx *ctx, uint64_t *stall)
{
    uint64_t now = micro__now_ms();

    if (!*stall && p->stall_ms >= 0)
        *stall = now + (uint64_t)p->stall_ms;
    if (*stall && now >= *stall)
        return MICRO_EIO;
    micro_err err = pipe_wait(p, ctx, MICRO__WRITE, now + PIPE_STALL_MS);
    return err == MICRO_ETIMEDOUT && micro__ctx_check(ctx, ctx->deadline) == MICRO_OK ? MICRO_OK
                                                                                      : err;
}

MICRO_PRIVATE micro_err micro__pipe_send(micro__pipe *p, micro_ctx *ctx, const micro_buf *head,
                                         const micro_buf *body)
{
    micro_err err = micro__pipe_put(p, head, body, 0);
    size_t left = err == MICRO_OK ? pipe_flush(p) : 0;
    uint64_t stall = 0;

    while (left && err == MICRO_OK) {
        err = pipe_send_wait(p, ctx, &stall);
        size_t now = pipe_flush(p);
        if (now < left)
            stall = 0;
        left = now;
    }
    if (err == MICRO_OK && p->lost)
        err = MICRO_EIO;
    p->lost |= err != MICRO_OK;
    return err;
}

/* ---- the peer has gone ----------------------------------------------------------------------- */

MICRO_PRIVATE bool micro__pipe_deserted(micro__pipe *p)
{
    long n = micro__sock_peek(p->fd);

    if (n != 0)
        return n == MICRO_EIO;
    return !p->ends_by_fin && !atomic_load_explicit(&p->ended, memory_order_acquire) &&
           !atomic_load_explicit(&p->unread, memory_order_relaxed);
}

/* ---- driven --------------------------------------------------------------------------------- */

static void pipe_kicked(micro__loop *l, void *arg)
{
    micro__pipe *p = arg;
    micro__conn *c = p->conn;

    if (atomic_exchange(&p->kicked, PIPE_STILL) == PIPE_RETIRED)
        p->done(p);
    else
        micro__loop_poke(l, c);
}

MICRO_PRIVATE void micro__pipe_kick(micro__pipe *p)
{
    int still = PIPE_STILL;

    if (!atomic_compare_exchange_strong_explicit(&p->kicked, &still, PIPE_KICKED,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    p->kick.item.kind = MICRO__ITEM_TASK;
    p->kick.run = pipe_kicked;
    p->kick.arg = p;
    micro__loop_push(p->loop, &p->kick.item);
}

MICRO_PRIVATE bool micro__pipe_retire(micro__pipe *p, void (*release)(micro__pipe *p))
{
    int kicked = PIPE_KICKED;

    p->done = release;
    return !atomic_compare_exchange_strong_explicit(&p->kicked, &kicked, PIPE_RETIRED,
                                                    memory_order_acq_rel, memory_order_acquire);
}
