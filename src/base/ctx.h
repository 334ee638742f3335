/* SPDX-License-Identifier: MIT */
/* The inside of a micro_ctx. Memory, metadata and errors are in base/ctx.c; time, cancellation, new
 * and free, which need the operating system, in net/ctx_time.c. */
#ifndef MICRO_CTX_H
#define MICRO_CTX_H

#include "atomic.h"
#include "base.h"

/* Bytes of an error's detail that are kept inline, terminator included. */
#define MICRO__DETAIL_MAX 256

typedef struct micro__ctx_value {
    struct micro__ctx_value *next;
    const void *key;
    void *value;
} micro__ctx_value;

/* Something that belongs to a ctx: woken, from any thread, when that is canceled; ended with it. */
typedef struct micro__owned {
    struct micro__owned *next;
    void (*wake)(struct micro__owned *o); /* must not wait; called with wait_lock held */
    void (*end)(struct micro__owned *o);  /* takes itself off the ctx; NULL: ended by its maker */
} micro__owned;

struct micro_ctx {
    micro__arena arena;
    micro__mark mark;     /* where micro_ctx_reset goes back to; its maker's to move */
    micro__mark kept;     /* behind metadata and values that a reset moved; zero: none */
    bool dirty;           /* metadata or values were set since mark or kept was */
    micro_service *svc;   /* NULL: none */
    uint64_t deadline;    /* micro__now_ms clock; 0: none */
    micro_pairs metadata; /* goes out with calls; came in, less the hop-by-hop headers */
    micro__ctx_value *values;
    micro_err sticky;  /* a set that failed; the next call returns it and clears it */
    micro_info info;   /* strings never NULL */
    void *state;       /* of the handler */
    uint64_t since;    /* micro__now_ns: when an event's turn began; 0: nobody has looked */
    uint64_t ended;    /* when it had been handled; 0: nobody has looked */
    int hops;          /* of the request being served, -1: none */
    bool own_trace;    /* the program set traceparent: it goes out as it is */
    micro_error error; /* strings never NULL */
    micro_err local;   /* the local failure that error stands for; 0: a service raised it */
    char *error_line;  /* micro_ctx_strerror's text, made on demand, in the arena */
    atomic_bool canceled;
    atomic_flag wait_lock;      /* guards wait_fn, wait_arg, owned */
    void (*wait_fn)(void *arg); /* wakes whoever blocks on this ctx; called with wait_lock held */
    void *wait_arg;
    struct micro__alarm *alarm; /* set by its owner, under wait_lock; NULL: none */
    micro__owned *owned;        /* newest first */
    MICRO__ATOMIC(struct micro__family *) family; /* of what was started on it; NULL: nothing */
    struct micro__family *parent;                 /* of a child */
    void (*complete)(void *arg);                  /* of a child that has ended */
    void *complete_arg;
    size_t size;                    /* of the block that it and its first chunk are */
    struct micro_ctx *next, **back; /* free list, or siblings: next, and what points here */
    /* from here on not zeroed: read only where error points there */
    char error_detail[MICRO__DETAIL_MAX];
    char error_id[64];
};

/* A request or an event is being served, as against made. */
static inline bool micro__stage_serves(int stage)
{
    return (stage & (MICRO_WRAP_HANDLER | MICRO_WRAP_SUBSCRIBER)) != 0;
}
/* A ctx that has been zeroed and given an arena: makes every string "" and sets the mark. */
MICRO_PRIVATE void micro__ctx_init(micro_ctx *ctx, micro_service *svc);
/* Frees all memory that the ctx holds (not the ctx itself, nor a lent chunk). */
MICRO_PRIVATE void micro__ctx_release(micro_ctx *ctx);
/* What is in the arena now outlives a reset. */
MICRO_PRIVATE void micro__ctx_keep(micro_ctx *ctx);
/* The set that failed, if one did, for the call that comes after it. */
MICRO_PRIVATE micro_err micro__ctx_sticky(micro_ctx *ctx);
/* Forgets the error. */
MICRO_PRIVATE void micro__ctx_clear_error(micro_ctx *ctx);
/* An error raised by a service, as received; status with ptr NULL follows from the code. Strings
 * are copied, and may be those of ctx's error. Returns what micro_fail would: code for 100..999,
 * EPLAIN for 0, else EREMOTE. */
MICRO_PRIVATE micro_err micro__ctx_set_error(micro_ctx *ctx, micro_str id, int code,
                                             micro_str detail, micro_str status);
/* A local failure: fills ctx's error as go-micro's client does (id go.micro.client, 408 for
 * ETIMEDOUT and ECANCELED, else 500) with the text given, and returns err. */
MICRO_PRIVATE micro_err micro__ctx_local(micro_ctx *ctx, micro_err err, const char *fmt, ...)
    MICRO_PRINTF_(3, 4);
/* The same with another id. */
MICRO_PRIVATE micro_err micro__ctx_local_id(micro_ctx *ctx, const char *id, micro_err err,
                                            const char *fmt, ...) MICRO_PRINTF_(4, 5);
/* Says of to what from's error says. */
MICRO_PRIVATE void micro__ctx_copy_error(micro_ctx *to, const micro_ctx *from);

#endif
