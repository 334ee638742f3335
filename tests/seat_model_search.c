/* SPDX-License-Identifier: MIT */
/* The search of seat_model.h: coroutines, states and the way back, strongly connected components.
 *
 * A state is the tracked memory and the used parts of all stacks, in blocks; its name is the sum
 * (exclusive or) of its blocks' hashes, 64 bits. A step changes few blocks: their old contents go
 * to a log, which is the way back.
 *
 * Waiting is judged by components: where a set of states is never left again, everything must be
 * done in at least one of them. That finds deadlocks, and equally a monitor that looks again and
 * again at something that never changes. */
#include "seat_model.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define MODEL_AREAS 32
#define MODEL_STACK 16384
#define MODEL_CLEAR 2048 /* bytes below a stack in use that a step may have touched */
#define MODEL_CLOSED UINT32_MAX

typedef struct model_undo {
    size_t block;
    unsigned char old[MODEL_BLOCK];
} model_undo;

typedef struct model_frame { /* a state on the path, and the step from it that is being tried */
    uint64_t key;
    size_t undo;  /* length of the log here */
    uint32_t pos; /* on the stack of components */
    int actor, choice, choices;
    model_op op;
} model_frame;

typedef struct model_member { /* of a component that is not complete */
    uint64_t key;
    uint32_t low;
    bool leaves;
    int done;
} model_member;

typedef struct model_entry {
    uint64_t key; /* 0: free */
    uint32_t pos; /* + 1; MODEL_CLOSED: its component is complete */
} model_entry;

static struct {
    const model_world *world;
    struct {
        char *at;
        size_t first, blocks;
    } areas[MODEL_AREAS];
    int nareas;
    char **block_at;
    unsigned char *shadow; /* of all blocks, as they were after the last step */
    size_t blocks, stack_first[MODEL_THREADS];
    uint64_t key;
    jmp_buf scheduler;
    const char *problem;
    model_undo *log;
    size_t nlog, log_cap;
    model_frame *frames;
    uint32_t nframes, frames_cap;
    model_member *members;
    uint32_t nmembers, members_cap;
    model_entry *table;
    uint64_t table_cap;
    model_result r;
    uint64_t steps_before; /* when the watchdog looked last */
    bool stepping, trail;
} model;

_Alignas(MODEL_BLOCK) model_actor model_actors[MODEL_ACTORS];
_Alignas(MODEL_BLOCK) static struct model_own { /* what only the coroutine itself changes */
    char stack[MODEL_STACK];
    jmp_buf resume;
    char fill[MODEL_BLOCK - sizeof(jmp_buf) % MODEL_BLOCK];
} model_own[MODEL_THREADS];
int model_current = -1;

static void *model_grow(void *old, size_t count, size_t size)
{
    void *p = realloc(old, count * size);

    if (!p) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    return p;
}

#define MODEL_ROOM(list, n, cap) \
    do { \
        if ((n) == (cap)) { \
            (cap) = (cap) ? (cap)*2 : 1024; \
            (list) = model_grow((list), (cap), sizeof *(list)); \
        } \
    } while (0)

/* ---- coroutines ---------------------------------------------------------------------------- */

static __attribute__((noinline)) char *model_low(void)
{
    return __builtin_frame_address(0); /* below everything that the caller uses */
}

static __attribute__((noinline)) void model_switch(int actor)
{
    model_actors[actor].low = model_low();
    if (!_setjmp(model_own[actor].resume))
        _longjmp(model.scheduler, 1);
}

int model_step(int kind, const char *where, const void *at, uint64_t arg)
{
    if (model_current < 0)
        return 0;
    model_actor *a = &model_actors[model_current];
    a->op.kind = kind;
    a->op.where = where;
    a->op.at = at;
    a->op.arg = arg;
    model_switch(model_current);
    return model_actors[model_current].choice;
}

void model_fail(const char *problem)
{
    if (!model.problem)
        model.problem = problem;
    if (model_current >= 0 && model_current < MODEL_THREADS)
        _longjmp(model.scheduler, 1);
}

void model_spawn(int actor, void *(*fn)(void *arg), void *arg, int kind)
{
    model_actor *a = &model_actors[actor];

    a->state = MODEL_READY;
    a->fn = fn;
    a->arg = arg;
    a->self = NULL;
    a->op = (model_op){ .kind = kind, .where = "begin" };
}

/* What every coroutine runs; it comes back here when its thread ends, and serves the next one. */
static void model_body(void)
{
    model_actor *a = &model_actors[model_current];

    for (;;) {
        model_switch((int)(a - model_actors));
        a->fn(a->arg);
        a->state = MODEL_ENDED;
        a->fn = NULL;
        a->arg = NULL;
        a->op = (model_op){ .kind = 0 };
    }
}

static void model_boot(int actor)
{
    static ucontext_t context;
    struct model_own *own = &model_own[actor];

    getcontext(&context);
    context.uc_stack.ss_sp = own->stack;
    context.uc_stack.ss_size = MODEL_STACK;
    context.uc_link = NULL;
    makecontext(&context, model_body, 0);
    model_current = actor;
    if (!_setjmp(model.scheduler))
        setcontext(&context);
    model_actor *a = &model_actors[model_current];
    memset(model_own[model_current].stack, 0, (size_t)(a->low - model_own[model_current].stack));
    model_current = -1;
}

static void model_resume(int actor)
{
    model_current = actor;
    *model.world->self = model_actors[actor].self;
    if (!_setjmp(model.scheduler))
        _longjmp(model_own[actor].resume, 1);
    model_actors[model_current].self = *model.world->self;
    *model.world->self = NULL;
    model_current = -1;
}

/* ---- states -------------------------------------------------------------------------------- */

void model_track(void *at, size_t size)
{
    if (model.nareas == MODEL_AREAS || (uintptr_t)at % MODEL_BLOCK)
        abort();
    model.areas[model.nareas].at = at;
    model.areas[model.nareas++].blocks = (size + MODEL_BLOCK - 1) / MODEL_BLOCK;
}

__extension__ typedef unsigned __int128 model_wide;

static uint64_t model_mix(uint64_t a, uint64_t b)
{
    model_wide product = (model_wide)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t model_hash(size_t block, const unsigned char *bytes)
{
    uint64_t w[8], seed = ((uint64_t)block + 1) * 0x9e3779b97f4a7c15u;

    memcpy(w, bytes, sizeof w);
    uint64_t h = model_mix(w[0] ^ 0xa0761d6478bd642fu ^ seed, w[1] ^ 0xe7037ed1a0b428dbu);
    h ^= model_mix(w[2] ^ 0x8ebc6af09c88c6e3u, w[3] ^ 0x589965cc75374cc3u ^ seed);
    h ^= model_mix(w[4] ^ 0x1d8e4e27c47d124fu ^ seed, w[5] ^ 0xeb44accab455d165u);
    h ^= model_mix(w[6] ^ 0x2f6b1e9d3c5a7785u, w[7] ^ 0xc2b2ae3d27d4eb4fu ^ seed);
    return model_mix(h ^ seed, 0xd6e8feb86659fd93u);
}

static void model_layout(void)
{
    model_track(model_actors, sizeof model_actors);
    for (int i = 0; i < model.nareas; i++) {
        model.areas[i].first = model.blocks;
        model.blocks += model.areas[i].blocks;
    }
    size_t shared = model.blocks;
    model.blocks += sizeof model_own / MODEL_BLOCK;
    model.block_at = model_grow(NULL, model.blocks, sizeof *model.block_at);
    model.shadow = model_grow(NULL, model.blocks, MODEL_BLOCK);
    for (int i = 0; i < model.nareas; i++)
        for (size_t b = 0; b < model.areas[i].blocks; b++)
            model.block_at[model.areas[i].first + b] = model.areas[i].at + b * MODEL_BLOCK;
    for (size_t b = shared; b < model.blocks; b++)
        model.block_at[b] = model_own[0].stack + (b - shared) * MODEL_BLOCK;
    for (int i = 0; i < MODEL_THREADS; i++)
        model.stack_first[i] = shared + (size_t)i * (sizeof *model_own / MODEL_BLOCK);
    for (size_t b = 0; b < model.blocks; b++) {
        memcpy(model.shadow + b * MODEL_BLOCK, model.block_at[b], MODEL_BLOCK);
        model.key ^= model_hash(b, model.shadow + b * MODEL_BLOCK);
    }
}

static void model_note(size_t first, size_t count)
{
    unsigned char *shadow = model.shadow + first * MODEL_BLOCK;
    const char *now = model.block_at[first];

    for (size_t i = 0; i < count; i++, shadow += MODEL_BLOCK, now += MODEL_BLOCK) {
        if (!memcmp(shadow, now, MODEL_BLOCK))
            continue;
        MODEL_ROOM(model.log, model.nlog, model.log_cap);
        model_undo *u = &model.log[model.nlog++];
        u->block = first + i;
        memcpy(u->old, shadow, MODEL_BLOCK);
        model.key ^= model_hash(u->block, shadow);
        memcpy(shadow, now, MODEL_BLOCK);
        model.key ^= model_hash(u->block, shadow);
    }
}

static void model_back(size_t undo, uint64_t key)
{
    while (model.nlog > undo) {
        model_undo *u = &model.log[--model.nlog];
        memcpy(model.block_at[u->block], u->old, MODEL_BLOCK);
        memcpy(model.shadow + u->block * MODEL_BLOCK, u->old, MODEL_BLOCK);
    }
    model.key = key;
}

static void model_do(int actor, int choice)
{
    model_actor *a = &model_actors[actor];
    char *low = a->low;

    model.r.steps++;
    if (actor >= MODEL_THREADS) {
        model_current = actor;
        model.world->environment(actor, choice);
        model_current = -1;
    } else {
        a->choice = choice;
        model.stepping = true;
        model_resume(actor);
        model.stepping = false;
        a->choice = 0;
        if (a->low < low)
            low = a->low;
        memset(low - MODEL_CLEAR, 0, (size_t)(a->low - low) + MODEL_CLEAR);
        size_t from = (size_t)(low - model_own[actor].stack) / MODEL_BLOCK;
        model_note(model.stack_first[actor] + from, sizeof *model_own / MODEL_BLOCK - from);
    }
    for (int i = 0; i < model.nareas; i++)
        model_note(model.areas[i].first, model.areas[i].blocks);
}

/* ---- what was seen ------------------------------------------------------------------------- */

static model_entry *model_find(uint64_t key)
{
    uint64_t i = key & (model.table_cap - 1);

    while (model.table[i].key && model.table[i].key != key)
        i = (i + 1) & (model.table_cap - 1);
    return &model.table[i];
}

static model_entry *model_look_up(void)
{
    if (model.r.states * 3 >= model.table_cap * 2) {
        model_entry *old = model.table;
        uint64_t n = model.table_cap;
        model.table_cap = n ? n * 2 : 65536;
        model.table = calloc(model.table_cap, sizeof *model.table);
        if (!model.table)
            model_grow(NULL, SIZE_MAX / 2, 1);
        for (uint64_t i = 0; i < n; i++)
            if (old[i].key)
                *model_find(old[i].key) = old[i];
        free(old);
    }
    if (!model.key)
        model.key = 1;
    return model_find(model.key);
}

/* ---- reports ------------------------------------------------------------------------------- */

static void model_print_frames(void)
{
    for (uint32_t i = 0; i < model.nframes; i++)
        if (model.frames[i].actor < MODEL_ACTORS)
            model.world->print_op(model.frames[i].actor, &model.frames[i].op,
                                  model.frames[i].choice);
}

/* Goes the path again, with the state after each step. */
static void model_print_trail(void)
{
    model_back(0, 0);
    const char *problem = model.problem;
    for (uint32_t i = 0; i < model.nframes; i++) {
        model_frame *f = &model.frames[i];
        if (f->actor >= MODEL_ACTORS)
            break;
        model_do(f->actor, f->choice);
        model.world->print_op(f->actor, &f->op, f->choice);
        model.world->print_state();
    }
    model.problem = problem;
}

/* A crash or an endless loop is a finding like others. */
static void model_caught(int sig)
{
    if (sig == SIGVTALRM && (!model.stepping || model.r.steps != model.steps_before)) {
        model.steps_before = model.r.steps;
        return;
    }
    if (model.trail)
        model_print_frames();
    printf("PROBLEM: %s\n", sig == SIGVTALRM ? "a step does not end" : "a bad address is touched");
    fflush(stdout);
    _exit(1);
}

static void model_guard(void)
{
    static char stack[65536];
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction act = { .sa_handler = model_caught, .sa_flags = SA_ONSTACK | SA_RESTART };
    struct itimerval look = { { 2, 0 }, { 2, 0 } };

    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    sigaction(SIGVTALRM, &act, NULL);
    setitimer(ITIMER_VIRTUAL, &look, NULL);
}

/* ---- the search ---------------------------------------------------------------------------- */

static void model_enter(model_entry *entry)
{
    MODEL_ROOM(model.members, model.nmembers, model.members_cap);
    MODEL_ROOM(model.frames, model.nframes, model.frames_cap);
    model_member *m = &model.members[model.nmembers];
    *m = (model_member){ .key = model.key, .low = model.nmembers, .done = model.world->done() };
    entry->key = model.key;
    entry->pos = ++model.nmembers;
    model_frame *f = &model.frames[model.nframes++];
    *f = (model_frame){ .key = model.key,
                        .undo = model.nlog,
                        .pos = model.nmembers - 1,
                        .actor = -1,
                        .choice = 0,
                        .choices = 0 };
    model.r.states++;
    if (model.nframes > model.r.depth)
        model.r.depth = model.nframes;
}

/* The next step from a state. */
static bool model_next(model_frame *f)
{
    f->choice++;
    while (f->choice >= f->choices) {
        if (++f->actor >= MODEL_ACTORS)
            return false;
        f->choice = 0;
        f->choices = f->actor < MODEL_THREADS && model_actors[f->actor].state != MODEL_READY
                         ? 0
                         : model.world->choices(f->actor);
    }
    f->op = model_actors[f->actor].op;
    return true;
}

/* A component is complete. */
static void model_close(uint32_t first)
{
    bool leaves = false;
    int done = MODEL_NOT_DONE;

    for (uint32_t i = first; i < model.nmembers; i++) {
        leaves |= model.members[i].leaves;
        if (model.members[i].done > done)
            done = model.members[i].done;
        model_find(model.members[i].key)->pos = MODEL_CLOSED;
    }
    model.nmembers = first;
    if (leaves)
        return;
    model.r.ends++;
    model.r.stuck += done == MODEL_STUCK;
    if (done == MODEL_NOT_DONE)
        model.problem = "it never gets any further from here, and not everything is done";
}

/* All steps from the topmost state have been tried. */
static void model_leave(void)
{
    model_frame *f = &model.frames[model.nframes - 1];
    uint32_t low = model.members[f->pos].low;

    if (low == f->pos)
        model_close(f->pos);
    if (model.problem || --model.nframes == 0)
        return;
    model_frame *up = f - 1;
    model_member *m = &model.members[up->pos];
    if (low == f->pos)
        m->leaves = true;
    else if (low < m->low)
        m->low = low;
    model_back(up->undo, up->key);
}

static void model_try(void)
{
    model_frame *f = &model.frames[model.nframes - 1];
    model_member *m = &model.members[f->pos];

    model_do(f->actor, f->choice);
    if (model.problem)
        return;
    model_entry *entry = model_look_up();
    if (!entry->key) {
        model.problem = model.world->check();
        if (!model.problem)
            model_enter(entry);
        return;
    }
    if (entry->pos == MODEL_CLOSED)
        m->leaves = true;
    else if (entry->pos - 1 < m->low)
        m->low = entry->pos - 1;
    model_back(f->undo, f->key);
}

model_result model_run(const model_world *world, uint64_t limit, bool trail)
{
    model.world = world;
    model.trail = trail;
    for (int i = 0; i < MODEL_THREADS; i++)
        model_boot(i);
    model_layout();
    model_guard();
    model_enter(model_look_up());
    while (model.nframes && !model.problem && (!limit || model.r.states < limit)) {
        if (model_next(&model.frames[model.nframes - 1]))
            model_try();
        else
            model_leave();
    }
    model.r.complete = !model.nframes;
    model.r.problem = model.problem;
    if (model.problem && trail)
        model_print_trail();
    return model.r;
}
