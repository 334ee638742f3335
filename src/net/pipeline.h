/* SPDX-License-Identifier: MIT */
/* The inside of pipelines: one of them, which a loop drives (pipeline.c), and all together, which
 * senders find them in (pipelines.c).
 *
 * A lone request for a connection on which nothing is under way is written by its sender, who
 * borrows the pipeline for that: to wake the loop costs more. But where requests have come in a
 * row, one is taken for the first of many again, and the loop writes them together. */
#ifndef MICRO_PIPELINE_H
#define MICRO_PIPELINE_H

#include "engine.h"

typedef struct micro__pipeline {
    int kind; /* MICRO__SRC_PIPELINE, first */
    int fd;   /* -1: none */
    micro__pipelines *set;
    micro__loop *loop;
    micro__addr to;
    /* under the set's lock */
    struct micro__pipeline *next;
    micro_buf waiting; /* requests that the loop has not looked at */
    micro_buf ends;    /* size_t: where each of them ends */
    size_t held;       /* bytes waiting or being written */
    bool asked;        /* the task is on its way */
    enum {
        MICRO__PIPELINE_LOOPS, /* the loop is in it, or there is no connection to write to */
        MICRO__PIPELINE_FREE,
        MICRO__PIPELINE_LENT /* to a sender, whose are the loop's fields but for task and timer */
    } whose;
    bool called;       /* the loop came while it was lent */
    bool crowded;      /* the last request came while another one was under way */
    unsigned refusals; /* in a row */
    uint64_t refused;  /* until when nothing is tried; 0: not refused */
    uint64_t progress; /* when a byte went, or a reply came */
    /* the loop's */
    micro__task task;
    micro__timer timer; /* of connecting, of the next reply, or of idleness */
    unsigned news;      /* events that were not looked at yet */
    bool connecting;
    bool answered; /* this connection has brought a reply */
    micro_buf out; /* being written */
    micro_buf out_ends;
    size_t sent, whole; /* of out: bytes; requests written in full */
    size_t unanswered;  /* requests */
    uint64_t since;     /* the last time that something moved */
    micro__replies replies;
    char address[128];
} micro__pipeline;

struct micro__pipelines {
    micro__engine *engine;
    micro__pipelines_opts o;
    micro__mutex lock;
    micro__cond changed;          /* there is room, or a pipeline has ended */
    micro__pipeline *list, **end; /* in the order of their making */
    micro__pipeline *found;       /* last; NULL: none */
    enum { MICRO__PIPELINE_OPEN, MICRO__PIPELINE_FLUSH, MICRO__PIPELINE_DROP } closing;
    micro__queue asked; /* tasks that are to be pushed once the lock is open */
    micro__pipeline_counts counts;
};

/* pipeline.c. ask: with the lock; true: its task is to be pushed. */
MICRO_PRIVATE bool micro__pipeline_ask(micro__pipeline *p);
MICRO_PRIVATE void micro__pipeline_timeout(micro__loop *l, micro__timer *t);
/* By the loop, or by who has borrowed it. fetch: what has come together meanwhile is written next;
 * false: nothing. moved: so many bytes of out have gone. */
MICRO_PRIVATE bool micro__pipeline_fetch(micro__pipeline *p);
MICRO_PRIVATE void micro__pipeline_moved(micro__pipeline *p, size_t bytes, uint64_t now);

#endif
