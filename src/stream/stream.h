/* SPDX-License-Identifier: MIT */
/* Streams, whichever side they are on: sending, receiving and ending, waiting or with callbacks.
 * What a message looks like on the wire is the side's: client/opening.c and server/streamed.c. */
#ifndef MICRO_STREAM_H
#define MICRO_STREAM_H

#include "../codec/codec.h"
#include "../net/pipe.h"

#define MICRO__STREAM_EOS "EOS" /* on the wire: the error that is a good end */

/* What the two sides do differently. */
typedef struct micro__stream_side {
    bool serving;
    /* A message as it came, into msg; what it points to lives in ctx, where errors are too. EOS: it
     * was the peer's end. *over: there is nothing behind it. */
    micro_err (*decode)(micro_stream *st, micro_ctx *ctx, micro__piece *m, void *msg, bool *over);
    /* msg as it goes out, appended to the two; errors are in ctx. */
    micro_err (*encode)(micro_stream *st, micro_ctx *ctx, const void *msg, micro_buf *head,
                        micro_buf *body);
    /* What tells the peer that this side has ended. ENOSYS: nothing does. */
    micro_err (*last)(micro_stream *st, micro_err err, micro_buf *head, micro_buf *body);
    void (*free)(micro_stream *st); /* all of it, but what stream.c holds */
} micro__stream_side;

struct micro_stream {
    micro__pipe pipe; /* first */
    micro__owned owned;
    const micro__stream_side *side;
    micro_ctx *ctx;
    micro_err (*engine)(micro_service *svc, micro__engine **out); /* for callbacks of a caller */
    const micro_type *in, *out;
    micro_ctx *last;      /* where the message received last lives, without callbacks */
    micro_buf head, body; /* of the message being sent */
    atomic_int over;      /* MICRO_OK, or what receiving has ended with */
    atomic_bool ended;    /* nothing more is sent */
    int users;            /* in a call that may wait; under pipe.lock, as the next three */
    bool sending;         /* one of them */
    bool closed;          /* by the user; freed by the last of them */
    micro_err why;        /* what close was given */
    /* callbacks */
    micro_message_fn *message;
    micro_fn *fn;
    micro_end_fn *end;
    micro_room_fn *room;
    void *arg;
    bool refused; /* EAGAIN was returned: room is to be told */
    bool twice;   /* micro_stream_on was called again */
};

/* stream.c. begin: the fields above, all but the pipe's, which is ready; st belongs to ctx. end: it
 * does not any more. */
MICRO_PRIVATE void micro__stream_begin(micro_stream *st, micro_ctx *ctx,
                                       const micro__stream_side *side, const micro_type *in,
                                       const micro_type *out);
MICRO_PRIVATE void micro__stream_end(micro_stream *st);
MICRO_PRIVATE bool micro__stream_may_send(const micro_stream *st);
/* msg into head and body. */
MICRO_PRIVATE micro_err micro__stream_encode(micro_stream *st, const void *msg);
/* Puts what tells the peer that we end, as far as it takes it now. */
MICRO_PRIVATE void micro__stream_last(micro_stream *st, micro_err err);
/* One message of the pipe, as micro__pipe_take or recv gave it (err): decoded, or why not. */
MICRO_PRIVATE micro_err micro__stream_message(micro_stream *st, micro_ctx *ctx, micro_err err,
                                              micro__piece *m, void *msg);

/* drive.c: with callbacks. */
MICRO_PRIVATE void micro__drive_begin(micro_stream *st);
MICRO_PRIVATE micro_err micro__drive_send(micro_stream *st, const void *msg);

#endif
