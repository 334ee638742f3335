/* SPDX-License-Identifier: MIT */
/* Contexts in time, HTTP/1.1, loops and connections. Everything above (registry, selector,
 * transport, client, server) stands on this. */
#ifndef MICRO_NET_H
#define MICRO_NET_H

#include "../base/ctx.h"
#include "../os/os.h"

/* ---- ctx_time.c: deadline and cancellation ------------------------------------------------- */

/* The earlier of ctx's deadline and ms from now (ms < 0: no such limit); 0: neither. */
MICRO_PRIVATE uint64_t micro__ctx_until(micro_ctx *ctx, int ms);
/* MICRO_OK, ECANCELED, or ETIMEDOUT once the deadline (0: none) has passed. */
MICRO_PRIVATE micro_err micro__ctx_check(micro_ctx *ctx, uint64_t deadline);
/* Between begin and end, cancel calls wake(arg), at once if it has happened already: it must make
 * the blocking wait return and must not take a lock that is held around these two. */
MICRO_PRIVATE void micro__ctx_wait_begin(micro_ctx *ctx, void (*wake)(void *arg), void *arg);
MICRO_PRIVATE void micro__ctx_wait_end(micro_ctx *ctx);
/* o belongs to ctx from here on: it is woken at once if ctx is canceled already. disown takes it
 * off; its wake is not running after that. end: what was started on ctx, and what belongs to it. */
MICRO_PRIVATE void micro__ctx_own(micro_ctx *ctx, micro__owned *o);
MICRO_PRIVATE void micro__ctx_disown(micro_ctx *ctx, micro__owned *o);
MICRO_PRIVATE void micro__ctx_end(micro_ctx *ctx);
/* Sleeps; cancel ends it. */
MICRO_PRIVATE void micro__ctx_sleep(micro_ctx *ctx, int ms);
/* As if freed and made anew: for the ctx that a thread keeps for its handlers. */
MICRO_PRIVATE void micro__ctx_recycle(micro_ctx *ctx, micro_service *svc);
/* For what lives long and needs little: so many bytes before it takes more. */
MICRO_PRIVATE micro_ctx *micro__ctx_new_small(micro_service *svc, size_t room);
/* Gives the spare contexts back to the allocator: with the last service, so that leak checkers are
 * quiet. */
MICRO_PRIVATE void micro__ctx_spare_free(void);

/* ---- http_parse.c: stateless, in place --------------------------------------------------------
 * Framing is strict and the rest
 * tolerant, as decision 17 lists. Offsets instead of pointers where a buffer may move. */

enum { MICRO__HTTP_PARTIAL = 0, MICRO__HTTP_BAD = -1, MICRO__HTTP_TOO_LARGE = -2 };

/* Headers the library itself looks at; found while parsing, so that looking one up costs nothing.
 */
enum micro__http_known {
    MICRO__H_CONTENT_LENGTH,
    MICRO__H_TRANSFER_ENCODING,
    MICRO__H_CONNECTION,
    MICRO__H_HOST,
    MICRO__H_EXPECT,
    MICRO__H_CONTENT_TYPE,
    MICRO__H_TIMEOUT,
    MICRO__H_ACCEPT,
    MICRO__H_MICRO_SERVICE,
    MICRO__H_MICRO_METHOD,
    MICRO__H_MICRO_ENDPOINT,
    MICRO__H_MICRO_ID,
    MICRO__H_MICRO_ERROR,
    MICRO__H_MICRO_STREAM,
    MICRO__H_MICRO_TOPIC,
    MICRO__H_MICRO_TARGET,
    MICRO__H_X_MICRO_SERVICE,
    MICRO__H_X_MICRO_METHOD,
    MICRO__H_X_MICRO_ENDPOINT,
    MICRO__H_X_MICRO_ID,
    MICRO__H_X_MICRO_ERROR,
    MICRO__H_X_MICRO_TARGET,
    MICRO__H_HOP_COUNT,
    MICRO__H_TRACEPARENT,
    MICRO__H_TRACESTATE,
    MICRO__H_COUNT
};

typedef struct micro__http_head {
    bool request;             /* set by the caller: which kind to expect */
    int minor;                /* HTTP/1.minor */
    micro_str method, target; /* request */
    int status;               /* reply */
    micro_str reason;         /* reply */
    micro_pair *headers;      /* the caller's array: names as written, values trimmed, both
                                 NUL-terminated in place */
    size_t nheaders, max_headers;
    micro_str known[MICRO__H_COUNT]; /* the first value of each; ptr NULL: absent. Micro-* and other
                                        names case-insensitively */
    bool has_length, chunked;        /* framing */
    uint64_t length;
    bool close, keep_alive; /* tokens seen in Connection (exact text is in known[]) */
    const char *problem;    /* BAD: constant text for people */
} micro__http_head;

/* Finds the end of a head in buf[0..len): its length with the empty line, or 0. *scanned says how
 * far was looked and is advanced, so that a head that comes in small pieces is scanned once. Empty
 * lines before a request line are part of the head. */
MICRO_PRIVATE size_t micro__http_head_end(const char *buf, size_t len, size_t *scanned);
/* Parses the head that buf[0..len) begins with and overwrites its delimiters with NUL. > 0: its
 * length; PARTIAL: it is not all there, and buf is as it was; BAD: nothing may be trusted but
 * problem; TOO_LARGE: more than max_headers lines. One pass: for a fresh read call this first, and
 * head_end only from then on, if it was PARTIAL. Never PARTIAL where head_end finds an end. */
MICRO_PRIVATE long micro__http_parse(char *buf, size_t len, micro__http_head *out);

/* Fills in known[] from headers: for messages that did not come as HTTP. */
MICRO_PRIVATE void micro__http_index(micro__http_head *h);

/* Chunked bodies, decoded in place: body bytes are moved together at dst. Zero-initialise. */
typedef struct micro__chunked {
    int state;
    uint64_t left;   /* bytes of the chunk still to come */
    size_t overhead; /* bytes of size lines, extensions and trailers, less what data excuses:
                        limited */
} micro__chunked;
/* Works through in[0..*len). Moves body bytes to the front of in, sets *body to their number and
 * *len to the bytes consumed. 1: the body is complete (what follows belongs to the next message);
 * 0: all consumed, more needed; BAD. */
MICRO_PRIVATE int micro__chunked_feed(micro__chunked *c, char *in, size_t *len, size_t *body);

/* Writes a header line; control characters in the value become spaces (decision 9). Nothing if name
 * is no token. */
MICRO_PRIVATE void micro__http_header(micro_buf *out, micro_str name, micro_str value);
/* A token of RFC 9110 (method and header names). */
MICRO_PRIVATE bool micro__http_token(micro_str s);

/* ---- trace.c: W3C trace context ------------------------------------------------------------ */

#define MICRO__TRACE_MAX 56 /* of a traceparent, with its terminator */

/* Whether a header is traceparent, or (state) tracestate. */
MICRO_PRIVATE bool micro__trace_header(micro_str key, bool *state);
/* What came in: a traceparent that is none, or came twice, is dropped with its tracestate. begin:
 * where there is none a trace begins here. */
MICRO_PRIVATE void micro__trace_accept(micro_ctx *ctx, bool begin);
/* The traceparent that goes out with a message sent on ctx. GOES_ON: as in the metadata, with a new
 * parent; tracestate belongs to it. BEGUN: a new one. NONE: none. */
enum micro__trace_next { MICRO__TRACE_NONE, MICRO__TRACE_GOES_ON, MICRO__TRACE_BEGUN };
MICRO_PRIVATE enum micro__trace_next micro__trace_next(const micro_ctx *ctx, bool begin,
                                                       char out[MICRO__TRACE_MAX]);

/* ---- engine: loops, threads, the driver seat (engine.c, seat.c, loop.c, conn.c) ------------ */

typedef struct micro__engine micro__engine;
typedef struct micro__thread micro__thread; /* one that serves */
typedef struct micro__port micro__port;     /* a listening socket and its connections */
typedef struct micro__pipe micro__pipe;     /* pipe.h */

/* One complete request, in the buffers of the thread that serves it; everything is lent until serve
 * returns. */
typedef struct micro__request {
    /* Fresh; service, deadline and metadata are the server's to fill in. It may keep it, and leave
     * another one here. */
    micro_ctx *ctx;
    micro__http_head *head;
    char *body; /* may be overwritten, body[body_len] too */
    size_t body_len;
    const char *peer;
    void **memo;    /* *memo: what serve has left there for this very head; NULL: nothing yet */
    int least_hops; /* with fewer it is to be held back if its handler waits for others */
    micro__thread *thread; /* whose connection may carry a stream; NULL: none */
    const char *rest;      /* what has come behind it; its first byte is `behind` */
    size_t rest_len;
    char behind;
} micro__request;

/* To be filled in by serve. */
typedef struct micro__reply {
    micro_buf *body; /* append to it; what was in it stays */
    int status;
    micro_str content_type; /* "" leaves the header out */
    micro_str id;           /* Micro-Id, "" leaves it out */
    micro_str error;        /* Micro-Error and X-Micro-Error, "" leaves them out */
    bool close;
    bool shed; /* Micro-Shed: nothing was executed, another node may be tried */
    bool held; /* nothing was done: the same request is to be served later, with the hops it has */
    int hops;
    bool none;        /* nothing is answered */
    micro_str stream; /* Micro-Stream, "" leaves it out */
} micro__reply;

static inline micro__reply micro__reply_new(micro_buf *body, int status)
{
    const micro_str none = { "", 0 };
    const micro__reply r = { .body = body,
                             .status = status,
                             .content_type = none,
                             .id = none,
                             .error = none,
                             .stream = none };

    return r;
}
/* The lines of its head, for transports that are not HTTP. */
MICRO_PRIVATE bool micro__reply_header(micro__arena *a, const micro__reply *r, micro_pairs *out);

typedef void micro__serve_fn(void *arg, micro__request *req, micro__reply *reply);

typedef struct micro__port_opts {
    micro__serve_fn *serve;
    void *arg;
    size_t max_body;
    int max_conns, idle_ms; /* idle_ms < 0: for ever */
    size_t max_kept;        /* bytes of requests and replies half done, all together; 0: no limit */
    bool goes_on;           /* what is served is not canceled when its peer has gone */
    bool heads_stay;        /* serve changes nothing of a request's head */
    void (*forget)(void *memo); /* gets what serve has left in *memo; NULL: serve leaves nothing */
} micro__port_opts;

/* The process's engine, started by the first and stopped by the last to close it: loops <= 0 means
 * one per CPU, max_threads <= 0 the default. EINVAL: it runs with other numbers. threaded false:
 * one of the caller's own that micro__engine_step drives. */
MICRO_PRIVATE micro_err micro__engine_open(bool threaded, int loops, int max_threads,
                                           micro__engine **out);
MICRO_PRIVATE void micro__engine_close(micro__engine *e);
/* One turn of an engine without threads: EAGAIN if nothing was due, EBUSY if a step is under way.
 */
MICRO_PRIVATE micro_err micro__engine_step(micro__engine *e, int timeout_ms);
/* The same for whoever waits for what it does, and may find another thread at it (life.c). */
MICRO_PRIVATE void micro__engine_drive(micro__engine *e, int timeout_ms);
/* Works off the library's own tasks only: what a thread inside a step may do. */
MICRO_PRIVATE void micro__engine_tasks(micro__engine *e);
MICRO_PRIVATE int micro__engine_fd(micro__engine *e);
MICRO_PRIVATE int
micro__engine_timeout(micro__engine *e); /* ms until a timer is due; MICRO_OFF: none */
MICRO_PRIVATE bool micro__engine_threaded(const micro__engine *e);

/* A descriptor that an engine without threads watches beside its connections: as long as it is
 * readable, each step calls ready. Kept until unwatch, which takes one that was never watched. */
typedef struct micro__source {
    int kind; /* the engine's */
    int fd;
    void (*ready)(void *arg);
    void *arg;
} micro__source;
MICRO_PRIVATE micro_err micro__engine_watch(micro__engine *e, micro__source *s);
MICRO_PRIVATE void micro__engine_unwatch(micro__engine *e, micro__source *s);

/* Whoever calls it waits for a port that serves it. micro__sock_listen has the errors. */
typedef struct micro__listener {
    int fd; /* -1: none */
    micro__addr bound;
} micro__listener;
MICRO_PRIVATE micro_err micro__listener_open(micro__listener *s, const micro__addr *at);
MICRO_PRIVATE void micro__listener_close(micro__listener *s);

/* Serves it at once, and takes it over, if it fails too. */
MICRO_PRIVATE micro_err micro__port_open(micro__engine *e, micro__listener *s,
                                         const micro__port_opts *opts, micro__port **out);
MICRO_PRIVATE const char *micro__port_address(const micro__port *p); /* host:port as bound */
/* Stops listening, lets running requests end, closes each connection when it is quiet; at the
 * deadline (0: none) cancels what still runs and closes the rest. True: everything has ended and
 * the port is freed; false: handlers still run, and it lives on. */
MICRO_PRIVATE bool micro__port_close(micro__port *p, uint64_t deadline);
/* The same without serving a little longer those who have not heard yet. */
MICRO_PRIVATE bool micro__port_shut(micro__port *p, uint64_t deadline);

/* Runs fn(arg) on a loop as user code in delay_ms, unless the gate is shut by then; done(done_arg)
 * is called in any case. A gate holds MICRO__GATE_OPEN while functions may start, and
 * MICRO__GATE_ONE for each that runs: 0 says that all is over. */
enum { MICRO__GATE_OPEN = 1, MICRO__GATE_ONE = 2 };
MICRO_PRIVATE micro_err micro__engine_post(micro__engine *e, int delay_ms, void (*fn)(void *arg),
                                           void *arg, atomic_uint *gate, void (*done)(void *arg),
                                           void *done_arg);

/* A gate that functions wait at while their owner goes: it stays as long as one of them waits. */
typedef struct micro__life {
    atomic_uint gate;
    atomic_int refs;
} micro__life;
MICRO_PRIVATE micro__life *micro__life_new(void); /* shut; NULL: out of memory */
MICRO_PRIVATE void micro__life_drop(void *life);
MICRO_PRIVATE void micro__life_open(micro__life *life);
/* No function starts any more; waits for those that run, until deadline (0: none) at most. */
MICRO_PRIVATE void micro__life_shut(micro__life *life, uint64_t deadline);
/* As micro__engine_post. ENOMEM. */
MICRO_PRIVATE micro_err micro__life_post(micro__life *life, micro__engine *e, int delay_ms,
                                         void (*fn)(void *arg), void *arg);
/* With the lock, which is let go meanwhile: lets the loops work for a moment, or takes a step where
 * no thread of the library does; false if this thread is in one already, and nothing can change.
 * await: leaves a loop that another thread of the program drives to it. */
MICRO_PRIVATE bool micro__engine_pause(micro__engine *e, micro__mutex *lock, micro__cond *changed);
MICRO_PRIVATE bool micro__engine_await(micro__engine *e, micro__mutex *lock, micro__cond *changed);

/* What is known of a route's handler. Zero: nothing. */
typedef struct micro__habit {
    atomic_int blocks; /* rises when it blocks, falls when it does not */
    atomic_bool waits; /* it has called others and waited for the reply */
    atomic_bool held;  /* and was held back for that: said so already */
} micro__habit;
MICRO_PRIVATE bool micro__habit_blocked(const micro__habit *habit); /* not long ago */

/* Around user code that a loop's thread calls: between them another thread may take the loop over,
 * and does so at once where the habit (NULL: none kept) says that this code blocks. */
MICRO_PRIVATE void micro__user_begin(micro__habit *habit);
/* True: the loop is this thread's again. */
MICRO_PRIVATE bool micro__user_end(micro__habit *habit);
/* The handler that runs on this thread, if one does, waits for others. */
MICRO_PRIVATE void micro__user_waits(void);
/* micro__fd_wait for a thread that may sit in a driver's seat: it waits there for a moment, since
 * most callees answer sooner than a hand-over pays, and then passes the seat on. */
MICRO_PRIVATE micro_err micro__seat_wait(int fd, int what, uint64_t deadline);
#if !MICRO_OMIT_THREADS
/* Waiting in a handler for what loops bring. At the cap such a thread drives a loop meanwhile, but
 * for new handlers. who: this thread, if it can; NULL: it waits in its own way. rest returns when
 * rouse was called since the last return, or at the time given (0: none). */
MICRO_PRIVATE micro__thread *micro__rest_who(const micro__engine *e);
MICRO_PRIVATE void micro__rest(micro__thread *t, uint64_t until);
MICRO_PRIVATE void micro__rest_rouse(micro__thread *t);
#endif
/* This thread serves a loop at this moment (its seat held or passed on). */
MICRO_PRIVATE bool micro__engine_inside(void);

/* ---- alarm.c, ctx_time.c: what is called when a ctx is cancelled or its time is over ----------
 */

/* e calls fn(arg) then, once; disarm takes it back, after a running fn. */
MICRO_PRIVATE micro_err micro__ctx_arm(micro_ctx *ctx, micro__engine *e, void (*fn)(void *arg),
                                       void *arg);
MICRO_PRIVATE void micro__ctx_disarm(micro_ctx *ctx);

/* ---- yield.c: giving the processor away once before a wait, while that pays ----------------- */

typedef struct micro__yield_score { /* zeroed: it is tried */
    uint8_t level;
    uint16_t skip; /* waits until the next try */
} micro__yield_score;

/* This wait is one to try it at. */
MICRO_PRIVATE bool micro__yield_due(micro__yield_score *y);
MICRO_PRIVATE uint64_t micro__yield(void); /* does it; the microseconds it took */
/* What came of it: so many connections have something to read. */
MICRO_PRIVATE void micro__yield_learn(micro__yield_score *y, uint64_t us, int brought);

/* ---- local.c: calls to a port that this thread drives itself --------------------------------- */

/* 0: `to` leads elsewhere. */
MICRO_PRIVATE uint64_t micro__local_find(const micro__addr *to);
MICRO_PRIVATE bool micro__local_alive(uint64_t id);
/* The request served, and the answer in memory of ctx. Errors are in ctx. */
MICRO_PRIVATE micro_err micro__local_exchange(uint64_t id, micro_ctx *ctx, const micro_msg *msg,
                                              micro_msg *out);

/* ---- child.c: what was started on a ctx and goes on beside it ---------------------------------
 */

typedef struct micro__family micro__family;
/* A ctx of its own for a call that runs on e: deadline, metadata and values as parent's are now.
 * NULL: out of memory. */
MICRO_PRIVATE micro_ctx *micro__child_new(micro_ctx *parent, micro__engine *e);
/* The child has ended: complete(arg) runs, one completion of a parent at a time, on this thread or
 * on the one that is at it; then the child is freed. */
MICRO_PRIVATE void micro__child_end(micro_ctx *child, void (*complete)(void *arg), void *arg);
/* Takes back micro__child_new. */
MICRO_PRIVATE void micro__child_abandon(micro_ctx *child);
MICRO_PRIVATE void micro__family_cancel(micro__family *f);
MICRO_PRIVATE micro_err micro__family_wait(micro_ctx *ctx, uint64_t deadline);
MICRO_PRIVATE void micro__family_end(micro_ctx *ctx);
MICRO_PRIVATE void micro__family_free(micro_ctx *ctx);

/* ---- http_client.c: reading one reply, as fragmented as it likes to come ------------------- */

typedef struct micro__http_reader {
    micro_ctx *ctx; /* where head and body live */
    size_t max_body;
    enum {
        MICRO__READ_HEAD,
        MICRO__READ_LENGTH,
        MICRO__READ_CHUNKED,
        MICRO__READ_CLOSE,
        MICRO__READ_DONE
    } phase;
    bool any;              /* a byte of the reply has come */
    int interim;           /* 1xx replies so far */
    bool reusable;         /* DONE: the connection is good for another exchange */
    const char *problem;   /* after EPROTO, ETOOBIG: what was wrong, for people */
    micro__http_head head; /* valid behind the head */
    char *body;
    size_t body_len, body_cap;
    micro__chunked chunk;
    size_t have, scanned;
    micro_pair headers[MICRO_MAX_HEADERS];
    char start[MICRO_CONN_BUF + 1]; /* the head, and what came with it */
} micro__http_reader;

/* The head of a POST: the size it has at most, and its text. */
MICRO_PRIVATE size_t micro__http_request_size(const char *host, const micro_pairs *header);
MICRO_PRIVATE void micro__http_request(micro_buf *b, const char *host, const micro_pairs *header,
                                       size_t body_len);
/* The same for many: all of the head but the length and what else follows. */
MICRO_PRIVATE void micro__http_request_prefix(micro_buf *b, const char *host,
                                              const micro_pairs *header);
MICRO_PRIVATE void micro__http_reader_init(micro__http_reader *r, micro_ctx *ctx, size_t max_body);
/* Where the next bytes of the connection go. NULL: memory is out. */
MICRO_PRIVATE char *micro__http_reader_room(micro__http_reader *r, size_t *room);
/* n bytes have come there; 0: the end of the stream. MICRO_OK: the reply is complete; EAGAIN: go
 * on; EIO: it ended too soon; EPROTO, ETOOBIG, ENOMEM. */
MICRO_PRIVATE micro_err micro__http_reader_feed(micro__http_reader *r, size_t n);
/* A reply that speaks for a service: 200, or a request that was shed. Of any other status_error
 * leaves the error that go-micro's client makes of it. */
MICRO_PRIVATE bool micro__http_reply_counts(const micro__http_head *h);
MICRO_PRIVATE micro_err micro__http_status_error(micro__http_reader *r);
/* The head of a reply with that many bytes of body. */
MICRO_PRIVATE void micro__http_reply(micro_buf *b, const micro__reply *r, size_t body, bool close);
/* A literal address at once; a name as the system does it, with the seat passed on. */
MICRO_PRIVATE micro_err micro__http_resolve(micro__addr *to, const char *address);

/* ---- replies.c: of which only the status counts -------------------------------------------- */

#define MICRO__REPLIES_USUAL 128

typedef struct micro__replies { /* zeroed: none yet */
    micro_buf in;
    size_t at;           /* worked off */
    size_t scanned;      /* of the head behind */
    uint64_t skip;       /* of a body still to come */
    bool chunked;        /* the body that comes is */
    bool ending;         /* the connection ends behind the last reply */
    int status;          /* of the reply whose body comes */
    const char *problem; /* after EPROTO */
    micro__chunked chunk;
    /* A head that came, was all of its reply, and is expected again. */
    size_t usual_len; /* 0: none */
    int usual_status;
    char usual[MICRO__REPLIES_USUAL];
} micro__replies;
MICRO_PRIVATE void micro__replies_clear(micro__replies *r); /* for another connection */
/* Where the next bytes go, to be added to in.len. NULL: out of memory. */
MICRO_PRIVATE char *micro__replies_room(micro__replies *r, size_t *room);
/* The status of the next whole reply; 0: there is none yet; EPROTO. */
MICRO_PRIVATE int micro__replies_next(micro__replies *r);

/* ---- pipeline.c: requests whose replies nobody waits for ---------------------------------------
 */

typedef struct micro__pipelines micro__pipelines;

typedef struct micro__pipelines_opts {
    const char *what;             /* is sent, for the log: "events" */
    size_t max_bytes;             /* that may wait for one address */
    int dial_ms, ack_ms, idle_ms; /* of a connection: to be made; without a reply; kept unused */
} micro__pipelines_opts;

typedef struct micro__pipeline_counts {
    uint64_t taken;    /* requests */
    uint64_t answered; /* with 200 */
    uint64_t refused;  /* with another status */
    uint64_t lost;     /* not taken, or no reply came */
    size_t open;       /* addresses */
} micro__pipeline_counts;

MICRO_PRIVATE micro__pipelines *micro__pipelines_new(micro__engine *e,
                                                     const micro__pipelines_opts *opts);

typedef struct micro__pipeline_request {
    const char *address;
    micro_str head, body;
    micro_err err; /* EAGAIN: no room; ECONNECT: refused lately, or no such host; EINVAL (address),
                      ECLOSED, ENOMEM */
} micro__pipeline_request;
/* Takes requests (copied), but those that have an err. While there is no room for one: waits as
 * long as the peer keeps taking, at most until ctx ends. A single one is written here, if it can
 * be: that is cheaper than to wake a loop. No error is left in ctx. */
MICRO_PRIVATE void micro__pipelines_send(micro__pipelines *set, micro_ctx *ctx,
                                         micro__pipeline_request *list, size_t n);
/* It would be ECONNECT; retry: somebody listens there again. */
MICRO_PRIVATE bool micro__pipelines_refused(micro__pipelines *set, const char *address);
MICRO_PRIVATE void micro__pipelines_retry(micro__pipelines *set, const char *address);
/* Waits until everything is answered, at most until deadline, drops the rest and frees it. What
 * became of all that was sent. Not in a callback. NULL is fine. */
MICRO_PRIVATE micro__pipeline_counts micro__pipelines_close(micro__pipelines *set,
                                                            uint64_t deadline);

/* ---- advertise.c ----------------------------------------------------------------------------
 */

/* host:port to register for a service that listens at bound (host:port); why (256) on failure. */
MICRO_PRIVATE micro_err micro__advertise(const char *advertise, const char *bound, char out[128],
                                         char *why);

#endif
