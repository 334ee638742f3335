/* SPDX-License-Identifier: MIT */
/* The engine's own source under the checker of seat_model.h: seat.c, monitor.c, loop.c, engine.c
 * and timer.c are compiled as they are, with their atomic operations, locks, conditions, threads,
 * naps and system calls in the checker's hands (seat_model_hooks.h). Made up here: the poller
 * (edge-triggered), connections (instead of conn.c), and their peers, who send whenever they like.
 *
 *   seat_model [--limit=STATES] [--trail] NAME=VALUE...    what happens: model_scenario
 *   exit 0: all states are good; 1: one is not; 2: wrong usage; 3: there are more states
 *
 * Memory is that of x86: a store that is not seq_cst may become visible to others later, up to its
 * thread's next locked operation or system call. Loads are not reordered. */
#define MICRO_MAX_HEADERS 1
#define MICRO_MAX_HEADER 16
#define MICRO_CONN_BUF 16

#include "net/engine.h"

#include <stdlib.h>

#include "seat_model.h"
#include "seat_model_hooks.h"

#include "net/engine.c"
#include "net/loop.c"
#include "net/monitor.c"
#include "net/seat.c"
#include "net/timer.c"

#include "seat_model_os.h"

/* ---- the poller ---------------------------------------------------------------------------- */

static micro__port model_port = { .kind = MICRO__SRC_PORT, .o = { .idle_ms = -1 } };

micro_err micro__poller_open(micro__poller *p)
{
    static int n;
    p->fd = n++;
    return MICRO_OK;
}

void micro__poller_close(micro__poller *p)
{
    (void)p;
}

void micro__poller_wake(micro__poller *p)
{
    model_visible(MODEL_WAKE, __func__, p, 0);
    model_fence();
    model_w.woken[p->fd] = true;
}

static bool model_reports(const model_conn *m, const micro__poller *p)
{
    return m->added && !m->closed && m->events && &m->c.loop->poller == p;
}

static bool model_waits(const model_conn *m, const micro__poller *p)
{
    return m->arrived && !m->c.fd && p == &model_e->loops[0].poller;
}

static bool model_poll_returns(const micro__poller *p, int64_t timeout)
{
    bool any = timeout >= 0 || model_w.woken[p->fd];

    for (int i = 0; i < model_s->conns; i++)
        any |= model_reports(&model_w.conn[i], p) || model_waits(&model_w.conn[i], p);
    return any;
}

int micro__poller_wait(micro__poller *p, micro__event *out, int max, int timeout_ms)
{
    int n = 0;

    model_must_drive(&model_e->loops[p->fd]);
    memset(out, 0, (MODEL_CONNS + 1) * sizeof *out); /* old ones only make states that differ */
    model_visible(MODEL_POLL, __func__, p, (uint64_t)(int64_t)timeout_ms);
    model_fence();
    model_must(max > MODEL_CONNS, "the model wants room for all events");
    model_w.woken[p->fd] = false;
    bool waits = false;
    for (int i = 0; i < model_s->conns; i++) {
        model_conn *m = &model_w.conn[i];
        waits |= model_waits(m, p);
        if (model_reports(m, p))
            out[n++] = (micro__event){ &m->c, m->events };
        if (m->c.loop == &model_e->loops[p->fd])
            m->events = 0;
    }
    if (waits)
        out[n++] = (micro__event){ &model_port, MICRO__IN };
    return n;
}

bool micro__fd_ready(int fd, int what, int us)
{
    (void)fd, (void)what, (void)us;
    return model_w.conn[1].answered && model_step(MODEL_CHOOSE, __func__, NULL, 2);
}

micro_err micro__fd_wait(int fd, int what, uint64_t deadline)
{
    (void)fd, (void)what, (void)deadline;
    model_step(MODEL_NEED, __func__, NULL, 0);
    return MICRO_OK;
}

/* ---- connections --------------------------------------------------------------------------- */

static void model_open(model_conn *m)
{
    m->c.loop->nconns++;
    m->c.fd = 1; /* accepted */
}

void micro__conn_accept(micro__loop *l, micro__port *p)
{
    (void)p;
    model_must_drive(l);
    for (int i = 0; i < model_s->conns; i++) {
        model_conn *m = &model_w.conn[i];
        if (!model_waits(m, &l->poller))
            continue;
        model_open(m);
        if (m->c.loop == l)
            micro__conn_join(l, &m->c);
        else
            micro__loop_push(m->c.loop, &m->c.link);
    }
}

void micro__conn_gone(micro__conn *c)
{
    (void)c;
}

void micro__conn_hup(micro__conn *c)
{
    (void)c;
}

void micro__pipeline_event(micro__loop *l, void *line, unsigned what)
{
    (void)l, (void)line, (void)what;
}

void micro__conn_join(micro__loop *l, micro__conn *c)
{
    model_conn *m = (model_conn *)(void *)c;

    model_must_drive(l);
    c->joined = m->added = true;
    micro__loop_touch(l, c);
    m->events = (m->data ? (unsigned)MICRO__IN : 0u) | (m->ended ? (unsigned)MICRO__HUP : 0u) |
                (model_s->writable ? (unsigned)MICRO__OUT : 0u);
}

void micro__conn_close(micro__loop *l, micro__conn *c)
{
    model_conn *m = (model_conn *)(void *)c;

    model_must_drive(l);
    model_must(!m->closed && !m->serving, "a connection is closed while it is served");
    micro__loop_forget(l, c);
    m->closed = true;
    m->events = 0;
    atomic_fetch_add_explicit(&l->nconns, -1, memory_order_relaxed);
}

void micro__conn_settle(micro__loop *l, micro__conn *c)
{
    model_must_drive(l);
    model_must(!((model_conn *)(void *)c)->serving, "a connection is settled while it is served");
    if (c->dead)
        micro__conn_close(l, c);
}

/* The replies so far reach the peer. */
void micro__conn_flush(micro__thread *t)
{
    model_conn *m = (model_conn *)(void *)t->conn;

    if (!m)
        return;
    m->answered += m->unflushed;
    m->unflushed = 0;
    for (int i = 0; i < MODEL_CONNS && model_w.conn[1].answered; i++)
        if (model_w.rests[i])
            micro__rest_rouse(model_w.rests[i]);
}

static void model_task(void *arg)
{
    (void)arg;
    model_w.tasks_run++;
}

static void model_post(void)
{
    model_w.posted++;
    micro__engine_post(model_e, 0, model_task, NULL, NULL, NULL, NULL);
}

static void model_own_task(micro__loop *l, void *arg)
{
    model_must_drive(l);
    model_w.tasks_run++;
    micro__rest_rouse(arg);
}

static void model_rests_task(int conn)
{
    micro__task *k = &model_w.own_task[conn];

    model_w.posted++;
    *k = (micro__task){ .item.kind = MICRO__ITEM_TASK, .run = model_own_task, .arg = seat_self };
    micro__loop_push(micro__engine_loop(model_e), &k->item);
    micro_block_begin();
    micro__rest(seat_self, 0);
    model_must(model_w.tasks_run == model_w.posted, "what has not been roused rests no more");
}

static void model_rests(int conn)
{
    micro_block_begin();
    model_w.rests[conn] = seat_self;
    while (!model_w.conn[1].answered)
        micro__rest(seat_self, 0);
    model_w.rests[conn] = NULL;
}

static void model_handle(char kind, int conn)
{
    bool task = kind == MODEL_POSTS || kind == MODEL_AWAITS || kind == MODEL_AWAITS_SAID;
    bool say = kind == MODEL_DECLARED || kind == MODEL_AWAITS_SAID ||
               (kind == MODEL_EITHER && model_step(MODEL_CHOOSE, __func__, NULL, 2));

    if (task)
        model_post();
    if (say)
        micro_block_begin();
    if (kind == MODEL_CALLING)
        micro__seat_wait(0, MICRO__READ, 0);
    else if (kind == MODEL_NEEDS || kind == MODEL_DECLARED || kind == MODEL_HABITUAL)
        model_step(MODEL_NEED, __func__, NULL, 0);
    else if (task && kind != MODEL_POSTS)
        model_step(MODEL_NEED, __func__, NULL, 1);
    else if (kind == MODEL_RESTS)
        model_rests(conn);
    else if (kind == MODEL_RESTS_TASK)
        model_rests_task(conn);
    if (say)
        micro_block_end();
}

/* One request, as conn.c and the server do it. */
static void model_request(micro__thread *t, model_conn *m)
{
    char kind = model_s->handlers[(m - model_w.conn) * model_s->calls + m->served++];
    micro__habit *habit = kind == MODEL_HABITUAL ? &model_w.habit : NULL;

    model_w.habit.blocks = SEAT_HABIT;
    model_w.calls++;
    micro__user_begin(habit);
    if (t->loop && (t->loop->seat == t->word || model_w.late[model_current].at))
        model_w.inside[t->loop - model_e->loops] = t->word;
    model_handle(kind, (int)(m - model_w.conn));
    micro__user_end(habit);
    model_w.habit.blocks = SEAT_HABIT;
    m->unflushed++;
}

bool micro__conn_goes_on(const micro__conn *c)
{
    return c->more;
}

void micro__conn_serve(micro__thread *t, micro__conn *c, unsigned what)
{
    model_conn *m = (model_conn *)(void *)c;
    const char *twice = "two threads serve a connection";

    (void)what;
    model_must_drive(c->loop);
    model_must(!m->serving && !c->busy, twice);
    m->serving = model_current + 1;
    t->conn = c;
    model_step(MODEL_RECV, __func__, c, 0);
    int n = m->data;
    m->data = 0;
    c->dead = m->ended; /* all that was sent before has come with it */
    for (int i = 0; i < n; i++)
        model_request(t, m);
    micro__conn_flush(t);
    t->conn = NULL;
    model_must(m->serving == model_current + 1, twice);
    if (t->loop)
        m->serving = 0; /* else the thread has it until it gives it back */
}

/* ---- the actors ---------------------------------------------------------------------------- */

static void *model_main(void *arg)
{
    bool ok = engine_start(model_e);

    model_w.started = true;
    if (ok && !model_s->stop)
        return arg;
    if (ok)
        model_step(MODEL_GO, "stop", NULL, 0);
    engine_stop(model_e);
    model_w.finished = true;
    return arg;
}

static void *model_poster(void *arg)
{
    model_post();
    return arg;
}

/* What a peer may do next: connect, send, close. */
static bool model_peer(model_conn *m, bool act)
{
    if (!m->arrived) {
        m->arrived = act;
    } else if (m->sent < model_s->calls) {
        m->sent += act;
        m->data += act;
        m->events |= act && m->added ? (unsigned)MICRO__IN : 0u;
    } else if (model_s->stop && m->answered == model_s->calls && !m->ended) {
        m->ended = act;
        m->events |= act && m->added && !m->closed ? (unsigned)MICRO__IN | MICRO__HUP : 0u;
    } else {
        return false;
    }
    return true;
}

static int model_peers(int choice)
{
    int n = 0;

    for (int i = 0; i < model_s->conns; i++)
        if (model_peer(&model_w.conn[i], false) && n++ == choice)
            model_peer(&model_w.conn[i], true);
    return n;
}

static int model_memory(int choice)
{
    int n = 0;

    for (int i = 0; i < MODEL_THREADS; i++)
        if (model_w.late[i].at && n++ == choice)
            model_drain(i);
    return n;
}

static void model_environment(int actor, int choice)
{
    if (actor == MODEL_PEERS)
        model_peers(choice);
    else
        model_memory(choice);
}

static int model_ways(int actor, const model_actor *a)
{
    bool unlocked = !model_w.locked;

    switch (a->op.kind) {
    case MODEL_LOCK:
        return unlocked;
    case MODEL_WAIT:
        return unlocked && (a->signalled || model_s->spurious);
    case MODEL_TIMED: /* signalled and late at once: either may win */
        return unlocked ? (a->signalled || model_s->spurious) + model_s->idle_exit : 0;
    case MODEL_START:
        return 1 + (model_w.fails && (actor != MODEL_MAIN || model_s->fails_early));
    case MODEL_JOIN:
        return ((const model_actor *)a->op.at)->state != MODEL_READY;
    case MODEL_POLL:
        return model_poll_returns(a->op.at, (int64_t)a->op.arg);
    case MODEL_NEED:
        return a->op.arg ? model_w.tasks_run == model_w.posted : model_w.conn[1].answered > 0;
    case MODEL_CHOOSE:
        return (int)a->op.arg;
    default:
        return 1;
    }
}

static int model_choices(int actor)
{
    if (!model_s->from_start && !model_w.started && actor != MODEL_MAIN)
        return 0;
    if (actor == MODEL_MONITOR && model_s->monitor_off && !model_e->monitor.stop)
        return 0;
    return actor == MODEL_PEERS    ? model_peers(-1)
           : actor == MODEL_MEMORY ? model_memory(-1)
                                   : model_ways(actor, &model_actors[actor]);
}

/* ---- what must hold ------------------------------------------------------------------------ */

static const char *model_check(void)
{
    const model_actor *a = &model_actors[MODEL_MONITOR];
    const micro__monitor *m = &model_e->monitor;

    if (model_w.engine_freed)
        return NULL;
    if (a->state == MODEL_READY && a->cond && !a->signalled && m->asleep)
        for (int i = 0; i < model_e->nloops; i++)
            if (model_w.inside[i] && model_w.inside[i] == model_e->loops[i].seat)
                return "the monitor sleeps while a handler runs";
    if (model_e->total > model_e->max_threads)
        return "there are more threads than allowed";
    if (model_w.reported &&
        model_s->conns + model_w.posted + model_e->nloops <= model_e->max_threads)
        return "it is reported that no thread is left, and there is one";
    return NULL;
}

static bool model_served(void)
{
    for (int i = 0; i < model_s->conns; i++) {
        const model_conn *m = &model_w.conn[i];
        if (m->answered != model_s->calls || m->serving || (m->c.busy && !m->closed) ||
            (model_s->stop && !m->closed))
            return false;
    }
    return true;
}

/* Nothing of the engine is left. */
static bool model_gone(void)
{
    bool left = !model_w.finished;

    for (int i = MODEL_MONITOR; i < MODEL_THREADS; i++)
        left |= model_actors[i].state != MODEL_FREE;
    for (int i = 0; i < MODEL_BLOCKS; i++)
        left |= model_w.block_used[i];
    for (int i = 0; i < MODEL_TASKS; i++)
        left |= model_w.task_used[i];
    return !left;
}

/* Every loop has a driver, who waits; every other thread is a spare. */
static bool model_quiet(void)
{
    int threads = 0, drivers = 0;

    for (int i = MODEL_WORKER; i < MODEL_THREADS; i++)
        threads += model_actors[i].state == MODEL_READY;
    for (int i = 0; i < model_e->nloops; i++) {
        const micro__loop *l = &model_e->loops[i];
        int driver = model_w.driver[i];
        if (l->inbox || l->ready || !driver || l->seat & MICRO__IN_HANDLER ||
            model_actors[driver - 1].op.kind != MODEL_POLL)
            return false;
        drivers++;
    }
    return threads == model_e->total && threads == drivers + model_e->parked;
}

static int model_done(void)
{
    bool done = model_served() && (model_w.engine_freed ? model_gone()
                                                        : !model_s->stop && model_quiet() &&
                                                              model_w.tasks_run == model_w.posted);

    return done ? MODEL_DONE : model_s->sticks && model_w.reported ? MODEL_STUCK : MODEL_NOT_DONE;
}

/* ---- printing ------------------------------------------------------------------------------ */

static const char *model_single(const void *at)
{
    const micro__engine *e = model_e;
    const micro__monitor *m = &e->monitor;

    return at == &e->lock       ? "lock"
           : at == &e->changed  ? "changed"
           : at == &e->stopping ? "stopping"
           : at == &m->asleep   ? "monitor.asleep"
           : at == &m->stop     ? "monitor.stop"
           : at == &m->wake     ? "monitor.wake"
           : at == &m->thread   ? "monitor.thread"
                                : "";
}

/* What is at an address, for people. */
static const char *model_place(const void *at)
{
    static char text[64];
    const char *name = NULL;

    for (int i = 0; i < model_e->nloops && !name; i++) {
        const micro__loop *l = &model_e->loops[i];
        name = at == &l->seat     ? "seat"
               : at == &l->inbox  ? "inbox"
               : at == &l->nconns ? "nconns"
               : at == &l->poller ? "poller"
                                  : NULL;
        snprintf(text, sizeof text, "%s of loop %d", name ? name : "", i);
    }
    for (int i = 0; i < MODEL_BLOCKS && !name; i++) {
        const micro__thread *t = (const void *)model_blocks[i];
        name = at == &t->target ? "target" : at == &t->wake ? "wake" : at == t ? "it" : NULL;
        snprintf(text, sizeof text, "%s, thread block %d", name ? name : "", i);
    }
    for (int i = 0; i < MODEL_CONNS && !name; i++) {
        name = at == &model_w.conn[i].c ? "connection" : NULL;
        snprintf(text, sizeof text, "connection %d", i);
    }
    return name ? text : model_single(at);
}

static void model_print_op(int actor, const model_op *op, int choice)
{
    static const char *const actors[] = { "main", "poster", "monitor" };
    static const char *const kinds[] = { "goes on",      "load", "store",      "swap",
                                         "lock",         "wait", "timed wait", "start thread",
                                         "store handle", "join", "nap",        "wake",
                                         "poll",         "recv", "is done",    "chooses" };
    char name[24];

    snprintf(name, sizeof name, "thread %d", actor - MODEL_WORKER);
    if (actor >= MODEL_THREADS)
        printf("%-9s %d\n", actor == MODEL_PEERS ? "peer" : "memory", choice);
    else
        printf("%-9s %s: %s %s%s\n", actor < MODEL_WORKER ? actors[actor] : name,
               op->where ? op->where : "", kinds[op->kind], model_place(op->at),
               choice ? " (2)" : "");
}

static void model_print_state(void)
{
    const micro__engine *e = model_e;

    if (model_w.engine_freed)
        return;
    printf("          |");
    for (int i = 0; i < e->nloops; i++) {
        const micro__loop *l = &e->loops[i];
        printf(" seat %d%c by %d asked %d hungry %d inbox %d |", (int)(l->seat / 2),
               l->seat & MICRO__IN_HANDLER ? 'H' : 'D', model_w.driver[i] - 1 - MODEL_WORKER,
               (int)(l->asked / 2), (int)(l->hungry / 2), l->inbox != NULL);
    }
    printf(" total %d parked %d open %d asleep %d |", e->total, e->parked, e->open_loops,
           e->monitor.asleep);
    for (int i = 0; i < model_s->conns; i++) {
        const model_conn *m = &model_w.conn[i];
        printf(" conn %d sent %d answered %d busy %d |", i, m->sent, m->answered, m->c.busy);
    }
    printf("\n");
}

/* ---- running ------------------------------------------------------------------------------- */

/* Everything of a state but the stacks; of a loop's events only those that there can be. */
static void model_track_all(void)
{
    char *from = (char *)model_e;

    model_track(&model_w, sizeof model_w);
    for (int i = 0; i < model_e->nloops; i++) {
        micro__loop *l = &model_e->loops[i];
        model_track(from, (size_t)((char *)(l->events + MODEL_CONNS + 1) - from));
        from = (char *)(uintptr_t)&l->inbox;
    }
    model_track(from, (size_t)((char *)&model_e->loops[model_e->nloops] - from));
    for (int i = 0; i < MODEL_BLOCKS; i++)
        model_track(model_blocks[i], sizeof(micro__thread));
}

static void model_set_up(void)
{
    if (sizeof(seat_block) > sizeof model_blocks[0])
        abort();
    model_e = engine_new(true, model_s->loops, model_s->threads);
    model_w.fails = model_s->fails;
    for (int i = 0; i < model_s->conns; i++) {
        model_conn *m = &model_w.conn[i];
        m->c.kind = MICRO__SRC_CONN;
        m->c.link.kind = MICRO__ITEM_CONN;
        m->c.port = &model_port;
        m->c.loop = &model_e->loops[i % model_s->loops];
        m->arrived = !model_s->accepts;
        if (m->arrived) {
            model_open(m);
            micro__loop_push(m->c.loop, &m->c.link);
        }
    }
    model_track_all();
    model_spawn(MODEL_MAIN, model_main, NULL, MODEL_GO);
    if (model_s->posts)
        model_spawn(MODEL_POSTER, model_poster, NULL, MODEL_GO);
}

static int model_report(model_result r)
{
    const char *problem = r.problem;

    if (!problem && model_s->sticks && r.complete && !r.stuck)
        problem = "it ought to be able to get stuck";
    printf("%llu states, %llu steps, %u deep, %llu ends%s\n", (unsigned long long)r.states,
           (unsigned long long)r.steps, r.depth, (unsigned long long)r.ends,
           r.complete || problem ? "" : ", not all");
    if (problem)
        printf("PROBLEM: %s\n", problem);
    return problem ? 1 : r.complete ? 0 : 3;
}

/* NAME=VALUE into s. */
static bool model_option(model_scenario *s, const char *text)
{
    const struct {
        const char *name;
        int *value;
        int max;
    } numbers[] = {
        { "loops", &s->loops, MODEL_LOOPS },
        { "threads", &s->threads, MODEL_BLOCKS - 1 },
        { "conns", &s->conns, MODEL_CONNS },
        { "calls", &s->calls, MODEL_CALLS },
        { "fails", &s->fails, 9 },
        { "fails_early", &s->fails_early, 1 },
        { "idle_exit", &s->idle_exit, 1 },
        { "monitor_off", &s->monitor_off, 1 },
        { "from_start", &s->from_start, 1 },
        { "stop", &s->stop, 1 },
        { "posts", &s->posts, 1 },
        { "sticks", &s->sticks, 1 },
        { "accepts", &s->accepts, 1 },
        { "writable", &s->writable, 1 },
        { "fine", &s->fine, 1 },
        { "spurious", &s->spurious, 1 },
    };
    const char *value = strchr(text, '=');
    size_t len = value ? (size_t)(value - text) : 0;

    if (len == 8 && !strncmp(text, "handlers", len) && strlen(value + 1) < sizeof s->handlers)
        return memcpy(s->handlers, value + 1, strlen(value + 1)) != NULL;
    for (size_t i = 0; i < MICRO_COUNTOF(numbers); i++)
        if (len == strlen(numbers[i].name) && !strncmp(text, numbers[i].name, len)) {
            *numbers[i].value = atoi(value + 1);
            return *numbers[i].value >= 0 && *numbers[i].value <= numbers[i].max;
        }
    return false;
}

int main(int argc, char **argv)
{
    static const model_world world = { model_choices,      model_environment, model_check,
                                       model_done,         model_print_op,    model_print_state,
                                       (void **)&seat_self };
    static model_scenario s = { .loops = 1, .threads = 2, .conns = 2, .calls = 1 };
    uint64_t limit = 0;
    bool trail = false;

    memset(s.handlers, MODEL_PLAIN, sizeof s.handlers);
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--limit=", 8)) {
            limit = strtoull(argv[i] + 8, NULL, 10);
        } else if (!strcmp(argv[i], "--trail")) {
            trail = true;
        } else if (!model_option(&s, argv[i])) {
            fprintf(stderr, "seat_model: what is %s?\n", argv[i]);
            return 2;
        }
    }
    model_s = &s;
    model_set_up();
    return model_report(model_run(&world, limit, trail));
}
