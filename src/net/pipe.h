/* SPDX-License-Identifier: MIT */
/* A connection that carries a stream: whole HTTP messages both ways, unpaired, requests one way
 * and replies the other. Who receives and who sends may be two threads. Either they wait
 * themselves, or the connection stays with a loop, which serves the pipe when there is something to
 * do (driven). */
#ifndef MICRO_PIPE_H
#define MICRO_PIPE_H

#include "engine.h"

/* One message. Its head has memory of its own; the body stands in the pipe, until the next take. */
typedef struct micro__piece {
    micro__http_head head;
    char *body; /* may be overwritten, body[len] too */
    size_t len;
    micro_pair headers[MICRO_MAX_HEADERS];
    char text[MICRO_MAX_HEADER + 1];
} micro__piece;

struct micro__pipe {
    int fd;
    bool serving;     /* reads requests, writes replies; else the other way round */
    bool ends_by_fin; /* the peer has no other way to end its side */
    uint64_t local;   /* micro__local_find of the peer */
    size_t max_body;
    int stall_ms;      /* a send that moves nothing for so long has failed; < 0: never */
    micro__port *port; /* which counts what is kept; NULL: nobody does */
    /* who receives */
    char *in; /* in[at..len) has come and was not taken */
    size_t cap, at, len;
    micro__assembly as;  /* of what stands at `at` */
    bool fin, cut;       /* no more will come: the peer's end; a fault */
    const char *problem; /* after EPROTO, ETOOBIG; NULL otherwise */
    atomic_bool unread;  /* something stands in `in` */
    atomic_bool ended;   /* the peer has said that it ends its side */
    /* who sends; driven: under lock */
    micro_buf out;
    size_t sent;    /* of out */
    size_t kept;    /* bytes of out that the port knows of */
    uint64_t stuck; /* since when nothing of it could go; 0: nothing waits */
    bool lost;      /* sending has failed */
    /* driven, by a loop, in its seat or as user code that was left alone with the connection */
    micro__mutex lock;
    micro__loop *loop;
    micro__conn *conn;
    void (*serve)(micro__pipe *p); /* as user code: something may have come, or gone out */
    void (*done)(micro__pipe *p);  /* it is off the connection: frees it, unless retire says no */
    micro__timer stall;            /* of what is stuck */
    micro__task kick;
    atomic_int kicked;
    MICRO__ATOMIC(const void *) inside; /* the thread that serves it */
    atomic_bool driven;
    bool full; /* the loop does not take more: input is left where it is */
    bool over; /* to be taken off the connection when serve returns */
};

MICRO_PRIVATE void micro__pipe_init(micro__pipe *p, int fd, bool serving, size_t max_body);
MICRO_PRIVATE void micro__pipe_free(micro__pipe *p); /* what it holds, but not fd */

/* The next message. EAGAIN: it has not all come; EOS: the peer has closed, between two messages;
 * EIO: the connection broke; EPROTO, ETOOBIG (problem says why), ENOMEM. All but EAGAIN and ENOMEM
 * are final. */
MICRO_PRIVATE micro_err micro__pipe_take(micro__pipe *p, micro__piece *m);
/* The same, waiting: ETIMEDOUT at ctx's deadline, ECANCELED; nothing is lost by either. */
MICRO_PRIVATE micro_err micro__pipe_recv(micro__pipe *p, micro_ctx *ctx, micro__piece *m);
/* Writes a whole message, waiting. ETIMEDOUT, ECANCELED, EIO, ENOMEM: it went out in part, or not
 * at all, and no other can follow. */
MICRO_PRIVATE micro_err micro__pipe_send(micro__pipe *p, micro_ctx *ctx, const micro_buf *head,
                                         const micro_buf *body);
/* Puts it behind what waits to go out. EAGAIN: limit (0: none) bytes wait already, and nothing was
 * taken; ENOMEM; EIO. */
MICRO_PRIVATE micro_err micro__pipe_put(micro__pipe *p, const micro_buf *head,
                                        const micro_buf *body, size_t limit);
/* Memory for cap bytes of input. ENOMEM; ETOOBIG: the port has no more. drop: all of it goes. */
MICRO_PRIVATE micro_err micro__pipe_grow(micro__pipe *p, size_t cap);
MICRO_PRIVATE void micro__pipe_drop(micro__pipe *p);
/* What the connection takes now of what waits. The number of bytes that are left; 0 too if they
 * never will go. */
MICRO_PRIVATE size_t micro__pipe_flush(micro__pipe *p);
/* The peer of a connection has hung up, while another thread is at it: true if that means that
 * nobody is there any more, and not just that nothing more will come. */
MICRO_PRIVATE bool micro__pipe_deserted(micro__pipe *p);

/* Driven. kick: from any thread, p is served soon. retire: nothing of the loop will name p; false:
 * release is called when that is so. */
MICRO_PRIVATE void micro__pipe_kick(micro__pipe *p);
MICRO_PRIVATE bool micro__pipe_retire(micro__pipe *p, void (*release)(micro__pipe *p));

/* carry.c. begin: the connection that a request came over carries p from here on, until p is over;
 * ctx is what the peer's going away cancels. What came behind the request, and replies that wait,
 * are the pipe's. ENOMEM, EIO: it does not. attach: p->fd becomes a connection of the loop, which
 * closes it after p is over; start: it may be served from here on. */
MICRO_PRIVATE micro_err micro__carry_begin(const micro__request *req, micro__pipe *p,
                                           micro_ctx *ctx);
MICRO_PRIVATE micro_err micro__carry_attach(micro__pipe *p, micro__loop *l);
MICRO_PRIVATE void micro__carry_start(micro__pipe *p);

/* local.c: a step of the loop behind the peer of p, so that it can answer; handlers that wait
 * meanwhile do so until `until` (0: no limit). False: nothing can be done from here. */
MICRO_PRIVATE bool micro__local_drive(const micro__pipe *p, int timeout_ms, uint64_t until);

#endif
