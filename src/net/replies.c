/* SPDX-License-Identifier: MIT */
/* Replies of which only the status counts, one behind the other; what they say is skipped. */
#include "net.h"

#define REPLIES_READ 4096u
#define REPLIES_KEEP 65536u

MICRO_PRIVATE void micro__replies_clear(micro__replies *r)
{
    micro_buf in = r->in;

    memset(r, 0, sizeof *r);
    in.len = 0;
    if (in.cap > REPLIES_KEEP || in.failed)
        micro__buf_free(&in);
    r->in = in;
}

MICRO_PRIVATE char *micro__replies_room(micro__replies *r, size_t *room)
{
    if (r->at) {
        memmove(r->in.ptr, r->in.ptr + r->at, r->in.len - r->at);
        r->in.len -= r->at;
        r->at = 0;
    }
    *room = REPLIES_READ;
    return micro__buf_room(&r->in, REPLIES_READ);
}

static int replies_bad(micro__replies *r, const char *why)
{
    r->problem = why;
    return MICRO_EPROTO;
}

/* The head of n bytes at text: the status, if that is all of the reply; 0: it goes on. */
static int replies_head(micro__replies *r, char *text, size_t n)
{
    micro_pair headers[MICRO_MAX_HEADERS];
    micro__http_head h;

    memset(&h, 0, sizeof h);
    h.headers = headers;
    h.max_headers = MICRO_MAX_HEADERS;
    if (micro__http_parse(text, n, &h) <= 0)
        return replies_bad(r, h.problem ? h.problem : "malformed HTTP reply");
    if (h.status / 100 == 1)
        return 0;
    bool none = h.status == 204 || h.status == 304;
    r->status = h.status;
    r->chunked = h.chunked && !none;
    r->skip = h.has_length && !none && !h.chunked ? h.length : 0;
    r->ending =
        h.close || (h.minor == 0 && !h.keep_alive) || (!none && !h.chunked && !h.has_length);
    memset(&r->chunk, 0, sizeof r->chunk);
    return r->chunked || r->skip ? 0 : r->status;
}

/* More of a body: *used bytes of the n at text are it. */
static int replies_body(micro__replies *r, char *text, size_t n, size_t *used)
{
    size_t got = 0;

    *used = n;
    if (!r->chunked) {
        if (*used > r->skip)
            *used = (size_t)r->skip;
        r->skip -= *used;
        return r->skip ? 0 : r->status;
    }
    int whole = micro__chunked_feed(&r->chunk, text, used, &got);
    if (whole < 0)
        return replies_bad(r, "malformed chunked body");
    r->chunked = !whole;
    return whole ? r->status : 0;
}

/* Kept before it is parsed, which is in place. */
static void replies_try(micro__replies *r, const char *text, size_t n)
{
    r->usual_len = 0;
    if (n <= sizeof r->usual)
        memcpy(r->usual, text, n);
}

/* What a peer answers is mostly the same bytes, and then means the same. */
static void replies_learn(micro__replies *r, size_t n, int status)
{
    if (n > sizeof r->usual || status <= 0 || r->ending)
        return;
    r->usual_len = n;
    r->usual_status = status;
}

static bool replies_is_usual(const micro__replies *r, const char *text, size_t n)
{
    return r->usual_len && n >= r->usual_len && !memcmp(text, r->usual, r->usual_len);
}

MICRO_PRIVATE int micro__replies_next(micro__replies *r)
{
    int status = 0;

    while (!status && r->at < r->in.len) {
        char *text = r->in.ptr + r->at;
        size_t n = r->in.len - r->at;
        if (r->chunked || r->skip) {
            status = replies_body(r, text, n, &n);
        } else if (!r->scanned && replies_is_usual(r, text, n)) {
            status = r->usual_status;
            n = r->usual_len;
        } else {
            size_t head = micro__http_head_end(text, n, &r->scanned);
            if (!head)
                return n > MICRO_MAX_HEADER ? replies_bad(r, "header over the size limit") : 0;
            r->scanned = 0;
            n = head;
            replies_try(r, text, n);
            status = replies_head(r, text, n);
            replies_learn(r, n, status);
        }
        r->at += n;
    }
    return status;
}
