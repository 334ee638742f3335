/* SPDX-License-Identifier: MIT */
/* A small model checker for C code with threads. Threads are coroutines in one system thread that
 * change at marked operations only; all memory that makes a state is known, so that a state can be
 * recognised and gone back to. Every order of operations is tried: depth first, each state once. */
#ifndef SEAT_MODEL_H
#define SEAT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODEL_THREADS = 8, /* actors below are coroutines, the others belong to the environment */
    MODEL_ACTORS = 10,
    MODEL_BLOCK = 64 /* bytes that are compared, hashed and restored together */
};

/* What a coroutine is about to do. */
typedef struct model_op {
    int kind;          /* the world's */
    const char *where; /* function */
    const void *at;
    uint64_t arg;
} model_op;

typedef struct model_actor {
    enum { MODEL_FREE, MODEL_READY, MODEL_ENDED } state;
    int choice; /* of the step under way */
    model_op op;
    void *(*fn)(void *arg);
    void *arg;
    void *self;       /* the thread-local variable */
    const void *cond; /* waits for this */
    bool signalled;
    char *low; /* the stack in use begins here */
} model_actor;

enum { MODEL_NOT_DONE, MODEL_STUCK, MODEL_DONE }; /* MODEL_STUCK: not done, and that may be */

typedef struct model_world {
    int (*choices)(int actor); /* ways to go on; 0: blocked */
    void (*environment)(int actor, int choice);
    const char *(*check)(void); /* an invariant that does not hold, or NULL */
    int (*done)(void); /* every run must be able to get to a state that is not MODEL_NOT_DONE */
    void (*print_op)(int actor, const model_op *op, int choice);
    void (*print_state)(void);
    void **self; /* the thread-local variable of the coroutine that runs */
} model_world;

typedef struct model_result {
    const char *problem; /* NULL: none */
    bool complete;       /* all states were seen */
    uint64_t states, steps, ends, stuck;
    uint32_t depth;
} model_result;

extern model_actor model_actors[MODEL_ACTORS];
extern int model_current; /* -1: none */

/* Memory that belongs to the state; aligned to MODEL_BLOCK, size rounded up. Before the run. */
void model_track(void *at, size_t size);
/* Starts a coroutine; it runs with its next step, an operation of this kind. */
void model_spawn(int actor, void *(*fn)(void *arg), void *arg, int kind);
/* Called by a coroutine before an operation that others may see: returns the choice once it is to
 * be done. Outside of any coroutine: 0 at once. */
int model_step(int kind, const char *where, const void *at, uint64_t arg);
/* The run ends here. Does not return to a coroutine. */
void model_fail(const char *problem);
/* From the present state on; limit of states, 0: none. trail: prints how it came to a problem. */
model_result model_run(const model_world *world, uint64_t limit, bool trail);

#endif
