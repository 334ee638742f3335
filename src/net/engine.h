/* SPDX-License-Identifier: MIT */
/* The inside of the engine: loops, the driver seat, threads, connections.
 *
 *   loop    a poller, its connections, its timers and the batch of events being worked off. Exactly
 *           one thread, the driver, works it.
 *   seat    one atomic word per loop: a sequence number and one bit, DRIVING or IN_HANDLER.
 *   thread  drives a loop, or finishes a handler whose seat was taken from it, or is parked.
 *
 * Rules that make it correct
 *   R1 Plain fields of a loop and the driver's fields of its connections are touched by the thread
 *      in the seat only.
 *   R2 While the seat word says DRIVING only the driver stores to it. While it says IN_HANDLER it
 *      changes by compare-and-swap only, and words never repeat, so that a late swap fails.
 *   R3 A spare thread takes the seat itself, by a swap on the word it was sent for. So there is no
 *      moment at which a seat is taken and nobody sits in it, and a thread that could not be
 *      created does no harm.
 *   R4 A thread that finds the seat gone keeps its connection (the new driver has marked it busy)
 *      and its own buffers, nothing else. It gives the connection back through the inbox and does
 *      not touch it after that.
 *   R5 Only the driver closes a connection: as the current event of a batch, or between two. */
#ifndef MICRO_ENGINE_H
#define MICRO_ENGINE_H

#include "net.h"

#define MICRO__BATCH 256 /* events of one wait */

typedef struct micro__loop micro__loop;
typedef struct micro__conn micro__conn;

/* ---- timer.c ----------------------------------------------------------------------------------
 * Driver only. Zero-initialised; set again moves it. */

typedef struct micro__timer {
    uint64_t at;
    void (*fn)(micro__loop *l, struct micro__timer *t);
    struct micro__timer *child, *next, *back;
    bool set;
} micro__timer;
MICRO_PRIVATE void micro__timer_set(micro__timer **heap, micro__timer *t, uint64_t at);
MICRO_PRIVATE void micro__timer_clear(micro__timer **heap, micro__timer *t);

/* ---- what comes to a loop from other threads ----------------------------------------------- */

typedef struct micro__item {
    struct micro__item *next;
    enum { MICRO__ITEM_CONN, MICRO__ITEM_TASK } kind;
} micro__item;

typedef struct micro__queue {
    micro__item *first, **end;
} micro__queue;

static inline void micro__queue_put(micro__queue *q, micro__item *item)
{
    item->next = NULL;
    *q->end = item;
    q->end = &item->next;
}

/* Everything, oldest first. Of a zeroed queue it makes an empty one. */
static inline micro__item *micro__queue_take(micro__queue *q)
{
    micro__item *first = q->first;

    q->first = NULL;
    q->end = &q->first;
    return first;
}

typedef struct micro__task {
    micro__item item; /* first */
    micro__timer timer;
    uint64_t at;                            /* when; 0: at once */
    void (*run)(micro__loop *l, void *arg); /* the library's own: in the seat; or */
    void (*user)(void *arg);                /* a user's: out of it */
    void *arg;
    atomic_uint *gate;       /* user: not run once it is shut; counts those that run */
    void (*done)(void *arg); /* after user, and instead of what is dropped, with done_arg */
    void *done_arg;
    bool anytime; /* run: may be worked off in the middle of a batch */
    bool handles; /* run: begins a handler, which a thread that rests in another one may not */
} micro__task;

/* ---- seat ---------------------------------------------------------------------------------- */

enum {
    MICRO__DRIVING = 0,
    MICRO__IN_HANDLER = 1,
    MICRO__SEAT_STEP = 2
}; /* sequence number * 2 + state */

/* Connections to other services, driven by a loop: line.c. */
typedef struct micro__lines {
    struct micro__line *idle[32]; /* by address, newest first */
    int nidle;
    micro__timer sweep;
    struct micro__line *dead;  /* closed in this batch */
    micro__http_reader *spare; /* of replies that came in pieces */
    uint64_t serial;           /* for Micro-Id */
    bool halves;               /* this turn has left part of a reply from this machine */
    micro__yield_score yield;  /* of waits for the rest */
} micro__lines;

struct micro__loop {
    _Alignas(64) MICRO__ATOMIC(uint64_t) seat;
    /* driver: what is left to do lives here, so that the next driver goes on with it */
    _Alignas(64) struct micro__engine *e;
    micro__poller poller;
    micro__conn *current;         /* being served: busy for whoever takes over */
    micro__item *ready;           /* taken out of the inbox, oldest first */
    micro__queue later;           /* for a driver that is not resting */
    micro__queue held;            /* connections whose request waits until threads are free */
    micro__conn *oldest, *newest; /* all connections by last activity */
    micro__timer *timers;
    micro__timer idle; /* looks at the oldest */
    micro__lines lines;
    uint64_t now; /* when the batch was fetched */
    int pos, n;
    micro__event events[MICRO__BATCH];
    /* any thread */
    _Alignas(64) MICRO__ATOMIC(micro__item *) inbox;
    atomic_int nconns;
    atomic_bool holds; /* held is not empty: whoever parks is to wake the driver */
    /* under the pool's lock */
    int helpers;     /* resting threads that drive it, or try to */
    uint64_t asked;  /* the word a spare was sent for */
    uint64_t hungry; /* the word for which none was left */
};

struct micro__thread {
    struct micro__engine *e;
    micro__loop
        *loop;     /* whose seat it holds, or held when it stepped into the handler; NULL: none */
    uint64_t word; /* the seat word as this thread wrote it last */
    MICRO__ATOMIC(micro__loop *) target; /* where it was sent */
    micro__conn *conn;                   /* being served */
    micro__habit *habit;                 /* of the handler that runs; NULL: none */
    uint64_t since;                      /* us: when the handler began, where that matters */
    uint64_t ended; /* ns: when the event before, of the same read, was handled; 0: not known */
    unsigned brief_skipped;
    int depth;  /* of user code within user code */
    char *in;   /* MICRO_CONN_BUF + 1 bytes */
    char *head; /* MICRO_MAX_HEADER: the head being served, parsed in place */
    micro_pair *headers;
    micro__http_reader *reader; /* of a reply that comes in one piece */
    micro_buf out, line;        /* replies; the head of one reply */
    size_t out_sent, out_ready; /* of out: gone; whole replies, which may go */
    int turn;                   /* requests and reads that conn may still have before others */
    micro_ctx *ctx;             /* of the handler */
    micro_ctx *spare;           /* a freed one, for the next; NULL: none */
    micro__cond wake;
    micro__thread *parked; /* the next of those in the same list, spare or resting */
    bool rests;            /* within micro__rest: no handler is to begin */
    micro__loop *helps;    /* that it drives then; under the pool's lock */
    atomic_bool roused;
};

/* monitor.c: watches for handlers that block and did not say so. */
typedef struct micro__monitor {
    micro__thread_id thread;
    bool running;
    atomic_bool stop;
    _Alignas(64) atomic_bool asleep; /* nothing has moved for a while */
    micro__cond wake;                /* with the pool's lock */
} micro__monitor;

struct micro__engine {
    atomic_bool stepping; /* a thread is in engine_step */
    bool threaded;        /* false: micro_poll drives the one loop */
    int nloops, max_threads;
    micro__loop *loops;
    atomic_bool stopping;
    atomic_uint turn;    /* spreads tasks */
    int reserve_fd;      /* closed and taken again when descriptors run out */
    atomic_bool starved; /* said so already */
    atomic_bool capped;  /* said so already */
    micro__thread *poll_thread;
    MICRO__ATOMIC(const void *) driver; /* micro__thread_mark of whoever steps it */
    uint64_t patience; /* of that thread, when it waits for an answer itself; 0: no limit */
    const struct micro__pipe *beneath; /* what it waits at then; NULL: it does not */
    void *block;                       /* what it and its loops were allocated as */
    size_t block_size;
    /* the pool */
    micro__mutex lock;
    micro__cond changed;
    micro__thread *spare;   /* last in, first out: warm ones work, cold ones time out */
    micro__thread *resting; /* in handlers; drive loops when there is no other */
    atomic_int total, parked;
    int open_loops;
    atomic_int brief_misses; /* score of waits in the seat that were in vain */
    micro__monitor monitor;
    micro__thread_id last;
    bool have_last;
};

/* seat.c */
#if !MICRO_OMIT_THREADS
MICRO_PRIVATE void micro__seat_leave(micro__thread *t); /* out of the seat, into user code */
/* Back; clears t->loop if another thread drives now. */
MICRO_PRIVATE void micro__seat_retake(micro__thread *t);
MICRO_PRIVATE bool micro__pool_start(struct micro__engine *e, micro__loop *l,
                                     uint64_t word); /* a new thread, sent there */
MICRO_PRIVATE bool micro__pool_ask(struct micro__engine *e, micro__loop *l, uint64_t word);
MICRO_PRIVATE void micro__pool_loop_closed(struct micro__engine *e);
MICRO_PRIVATE void micro__pool_full(struct micro__engine *e); /* says so, once */
/* The resting thread goes on driving: nobody has roused it, and no thread is free to do it. */
MICRO_PRIVATE bool micro__rest_goes_on(const micro__thread *t, uint64_t until);
#endif
/* See seat.c. 0: there are threads enough. */
MICRO_PRIVATE int micro__pool_least_hops(const struct micro__engine *e);
/* This very thread drives l and will look at its inbox again, or whoever takes over will. */
MICRO_PRIVATE bool micro__seat_held(const micro__loop *l);
MICRO_PRIVATE micro__loop *micro__seat_loop(const struct micro__engine *e);
MICRO_PRIVATE micro__thread *micro__thread_new(struct micro__engine *e);
MICRO_PRIVATE void micro__thread_free(micro__thread *t);
MICRO_PRIVATE micro__thread *micro__thread_current(void); /* NULL: none of an engine */
MICRO_PRIVATE const void *micro__thread_mark(void);       /* names the thread that asks */
/* This thread acts as t from now on (NULL: as none); returns what it was before. For micro_poll. */
MICRO_PRIVATE micro__thread *micro__thread_enter(micro__thread *t);

/* It is this thread that drives it, or did so last, or has made it. */
static inline bool micro__engine_is_mine(const struct micro__engine *e)
{
    return atomic_load_explicit(&e->driver, memory_order_relaxed) == micro__thread_mark();
}

/* monitor.c */
#if !MICRO_OMIT_THREADS
MICRO_PRIVATE bool micro__monitor_start(struct micro__engine *e);
MICRO_PRIVATE void micro__monitor_stop(struct micro__engine *e);
MICRO_PRIVATE void micro__monitor_wake(struct micro__engine *e); /* by whoever finds it asleep */
#endif

/* loop.c */
MICRO_PRIVATE void micro__loop_push(micro__loop *l,
                                    micro__item *item); /* from any thread; the last touch */
#if !MICRO_OMIT_THREADS
MICRO_PRIVATE void
micro__loop_drive(micro__thread *t); /* until the seat is gone or the loop has ended */
/* The same for a thread that rests; true: it still has the seat. */
MICRO_PRIVATE bool micro__loop_help(micro__thread *t, uint64_t until);
#endif
MICRO_PRIVATE void micro__loop_touch(micro__loop *l, micro__conn *c);  /* active now */
MICRO_PRIVATE void micro__loop_forget(micro__loop *l, micro__conn *c); /* it closes */
MICRO_PRIVATE bool micro__loop_step(micro__thread *t, micro__loop *l,
                                    int timeout_ms);     /* one turn; true: something was due */
MICRO_PRIVATE int micro__loop_due(const micro__loop *l); /* ms until a timer; -1: none */
MICRO_PRIVATE void micro__loop_poke(micro__loop *l, micro__conn *c); /* serves it: no event */
MICRO_PRIVATE void micro__loop_clear(micro__loop *l);
MICRO_PRIVATE void micro__loop_delay(micro__loop *l, micro__task *k); /* in the seat: at k->at */
MICRO_PRIVATE void micro__loop_tasks(micro__loop *l);
MICRO_PRIVATE micro__loop *micro__engine_loop(struct micro__engine *e);

/* ---- conn.c -------------------------------------------------------------------------------- */

/* A message that has not come in completely: how far it is. */
typedef struct micro__assembly {
    size_t scanned;  /* looked at for the head's end */
    size_t head;     /* its length; 0: not complete */
    uint64_t length; /* of the body, unless chunked */
    size_t body;     /* chunked: decoded so far */
    micro__chunked chunk;
    bool chunked, expect;
} micro__assembly;
/* The size of a buffer for the next read: len bytes of cap are used. What is known to come, or some
 * more; at most double, so that a length that was only claimed reserves nothing (keep.c). */
MICRO_PRIVATE size_t micro__assembly_want(const micro__assembly *as, size_t len, size_t cap);

typedef struct micro__partial {
    micro__assembly as;
    size_t len, cap;
    uint64_t since;     /* first byte */
    micro__timer timer; /* 100 Continue; too slow */
    micro__conn *conn;
    char bytes[];
} micro__partial;

typedef struct micro__unsent {
    size_t len, sent;
    char bytes[];
} micro__unsent;

enum {
    MICRO__SRC_CONN,
    MICRO__SRC_PORT,
    MICRO__SRC_LINE,
    MICRO__SRC_PIPELINE,
    MICRO__SRC_SOURCE,
    MICRO__SRC_DEAD
};

struct micro__conn {
    int kind; /* MICRO__SRC_CONN, first */
    int fd;
    micro__item link;
    micro__port *port;
    micro__loop *loop;
    /* owner: the thread that serves it, in the seat or out of it */
    micro__partial *partial;
    micro__unsent *unsent;
    bool dead;    /* to be closed */
    bool last;    /* to be closed when what is unsent has gone */
    bool eof;     /* the peer has ended its side */
    bool served;  /* a request at least */
    bool hup;     /* it is known that it will */
    bool more;    /* its turn was over before its requests were */
    bool held;    /* its request waits until threads are free */
    bool refused; /* the last reply was a refusal: more may be on its way to us */
    bool lingers; /* our side has ended for that: what comes is thrown away */
    bool carried; /* the request being served has opened a stream */
    int hops;     /* of the request that is held */
    /* The running request, for cancellation when the peer goes away; the stream that is carried.
     * Both change under run_lock. */
    micro_ctx *running;
    micro__pipe *pipe;
    /* driver */
    bool busy, joined;
    unsigned pending; /* events that came while it was busy */
    micro__conn *older, *newer;
    uint64_t seen;
    char peer[56];
    atomic_flag run_lock; /* of running; apart from the flags above, which compilers read as one */
};

/* What a loop needs of a port. The tasks are here because closing must not fail for want of memory.
 */
typedef struct micro__port_watch {
    micro__port *port;
    micro__timer resume; /* looks again after a pause */
    micro__task step[3]; /* of closing: stop listening; give up half requests; give up everything */
} micro__port_watch;

/* Leaving: all goes on, but each reply ends its connection, so that callers go elsewhere. Draining:
 * nobody comes any more, what runs ends. Ending: now. */
enum { MICRO__PORT_OPEN, MICRO__PORT_LEAVING, MICRO__PORT_DRAINING, MICRO__PORT_ENDING };

struct micro__port {
    int kind; /* MICRO__SRC_PORT, first */
    int fd;
    struct micro__engine *e;
    micro__port_opts o;
    micro__addr bound;
    char address[128]; /* the same as text */
    uint64_t local;    /* local.c */
    micro__port *local_next;
    atomic_int nconns;
    MICRO__ATOMIC(size_t) kept;                  /* bytes in all partial and unsent */
    atomic_int asked;                            /* steps of closing that loops have not done yet */
    atomic_int closing;                          /* MICRO__PORT_... */
    _Alignas(8) MICRO__ATOMIC(uint64_t) stirred; /* while it closes: when a request was answered */
    micro__port_watch *watch;                    /* one a loop */
};

MICRO_PRIVATE void micro__conn_accept(micro__loop *l, micro__port *p);
MICRO_PRIVATE void micro__conn_join(micro__loop *l, micro__conn *c);
MICRO_PRIVATE void micro__conn_serve(micro__thread *t, micro__conn *c, unsigned what);
/* It is to be served again, without an event. */
MICRO_PRIVATE bool micro__conn_goes_on(const micro__conn *c);
MICRO_PRIVATE void
micro__conn_flush(micro__thread *t); /* what waits in t->out; in the middle of a reply too */
MICRO_PRIVATE void micro__conn_close(micro__loop *l, micro__conn *c);
/* A busy connection: cancels what runs; hup: the peer has hung up, which cancels a request, and a
 * stream if nobody is there any more. */
MICRO_PRIVATE void micro__conn_gone(micro__conn *c);
MICRO_PRIVATE void micro__conn_hup(micro__conn *c);

/* keep.c. A block that the port's connections keep grows, or comes, or goes. False: all of them are
 * too much. NULL is no port, and counts nothing. */
MICRO_PRIVATE bool micro__port_keep(micro__port *p, size_t from, size_t to);
/* keep: the rest of what was read; room: for the next read; both false: memory is out, or
 * what the port may have. linger: instead of closing a refused one; false: close it. */
MICRO_PRIVATE bool micro__conn_keep(micro__conn *c, const micro__assembly *as, const char *rest,
                                    size_t n, uint64_t now);
MICRO_PRIVATE bool micro__conn_room(micro__conn *c);
MICRO_PRIVATE void micro__conn_drop_partial(micro__conn *c);
MICRO_PRIVATE void micro__conn_keep_unsent(micro__conn *c, const char *rest, size_t n);
MICRO_PRIVATE void micro__conn_drop_unsent(micro__conn *c);
MICRO_PRIVATE bool micro__conn_linger(micro__conn *c);
/* Driver: after serving; closes it, or sets the timer of what is incomplete. */
MICRO_PRIVATE void micro__conn_settle(micro__loop *l, micro__conn *c);

static inline void micro__conn_lock(micro__conn *c)
{
    while (atomic_flag_test_and_set_explicit(&c->run_lock, memory_order_acquire))
        ;
}
static inline void micro__conn_unlock(micro__conn *c)
{
    atomic_flag_clear_explicit(&c->run_lock, memory_order_release);
}

/* carry.c: the pipe of a connection. serve: true once it is over, and off the connection. */
MICRO_PRIVATE bool micro__carry_serve(micro__conn *c);
MICRO_PRIVATE void micro__carry_end(micro__conn *c);
MICRO_PRIVATE void micro__carry_broken(micro__conn *c);
MICRO_PRIVATE void micro__carry_rearm(micro__loop *l, micro__conn *c);

/* local.c */
MICRO_PRIVATE void micro__local_join(micro__port *p);
MICRO_PRIVATE void micro__local_leave(micro__port *p);

/* port.c */
MICRO_PRIVATE void micro__port_leave(micro__port *p);  /* a connection has closed */
MICRO_PRIVATE bool micro__port_leaves(micro__port *p); /* asked after each request */

/* ---- alarm.c: what is called when a ctx is cancelled or its time is over -------------------- */

/* Of loop's user code; deadline 0: none. cancel: at most once, before free. free: after a running
 * fn. */
MICRO_PRIVATE struct micro__alarm *micro__alarm_new(struct micro__engine *e, uint64_t deadline,
                                                    void (*fn)(void *arg), void *arg);
MICRO_PRIVATE void micro__alarm_cancel(struct micro__alarm *a);
MICRO_PRIVATE void micro__alarm_free(struct micro__alarm *a);

/* ---- line.c: exchanges with other services, driven by a loop ----------------------------------
 */

/* One request and its reply. On a loop, in its seat. */
typedef struct micro__exchange {
    micro_ctx *ctx;          /* where the reply lives */
    const char *address;     /* kept until done */
    micro__addr to;          /* the same, resolved */
    const char *head, *body; /* kept until done */
    size_t head_len, body_len;
    uint64_t dial_until, until;     /* 0: no limit */
    int pool_size, idle_ms, age_ms; /* of kept connections; < 0: no limit */
    micro_err (*reply)(struct micro__exchange *x,
                       micro__http_reader *r); /* it is there: the result */
    void (*done)(micro__loop *l, struct micro__exchange *x,
                 micro_err err); /* last; may call users */
    bool untouched;              /* the request has not been written in full */
    bool any;                    /* a byte of the reply has come */
    bool replied;                /* reply was called: err is its result */
    const char *problem;         /* after EPROTO, ETOOBIG */
    char why[128];               /* after ECONNECT */
    struct micro__line *line;
    size_t sent;
    micro__timer timer;
} micro__exchange;

MICRO_PRIVATE void micro__exchange_start(micro__loop *l, micro__exchange *x);
MICRO_PRIVATE void micro__exchange_cancel(micro__loop *l, micro__exchange *x, micro_err err);
MICRO_PRIVATE void micro__line_event(micro__thread *t, micro__loop *l, void *line, unsigned what);
MICRO_PRIVATE void micro__pipeline_event(micro__loop *l, void *line, unsigned what);
MICRO_PRIVATE void micro__line_bury(micro__loop *l);
MICRO_PRIVATE void micro__line_clear(micro__loop *l);

#endif
