/* SPDX-License-Identifier: MIT */
/* Watchers of a registry: events are queued in the order in which they were posted and delivered by
 * one thread at a time. */
#include "registry.h"

/* The queue is what keeps order without a lock around callbacks: a thread that posts while another
 * one delivers (or from a callback) leaves its event there and goes on. */
typedef struct notify_event {
    struct notify_event *next;
    uint64_t seq;
    enum micro_change what;
    micro_entry entry;
    micro__arena arena;
} notify_event;

struct micro_watch {
    micro_watch *next;
    char *name;     /* NULL: every service */
    uint64_t since; /* events up to this one are older than the watch */
    micro_watch_fn *fn;
    void *arg;
    bool dead; /* removed in its own callback: freed when that returns */
};

struct micro__notifier {
    micro__mutex lock;
    micro__cond done; /* a callback has returned */
    micro_watch *watches;
    micro_watch *current; /* its callback runs */
    micro_watch *cursor;  /* the one to be looked at after it */
    const void *owner;    /* the thread that delivers; NULL: none */
    size_t waiting;
    bool tired;  /* the owner has had its turn */
    bool relief; /* somebody waits to go on for it */
    notify_event *head, **tail;
    uint64_t seq;
};

#define NOTIFY_TURN 64       /* events that a thread delivers before another one may have to */
#define NOTIFY_RELIEF_MS 100 /* which waits so long for a callback to return */

static MICRO__THREAD_LOCAL char notify_self; /* its address names the thread */

MICRO_PRIVATE micro__notifier *micro__notifier_new(void)
{
    micro__notifier *n = micro__alloc_zero(sizeof *n);
    if (n) {
        micro__mutex_init(&n->lock);
        micro__cond_init(&n->done);
        n->tail = &n->head;
    }
    return n;
}

static void notify_event_free(notify_event *ev)
{
    micro__arena_free(&ev->arena);
    micro__free(ev, sizeof *ev);
}

static void notify_watch_free(micro_watch *w)
{
    micro__strfree(w->name);
    micro__free(w, sizeof *w);
}

MICRO_PRIVATE void micro__notifier_free(micro__notifier *n)
{
    if (!n)
        return;
    for (notify_event *ev = n->head, *next; ev; ev = next) {
        next = ev->next;
        notify_event_free(ev);
    }
    micro__cond_destroy(&n->done);
    micro__mutex_destroy(&n->lock);
    micro__free(n, sizeof *n);
}

MICRO_PRIVATE micro_err micro__notify_add(micro__notifier *n, const char *name, micro_watch_fn *fn,
                                          void *arg, micro_watch **out)
{
    micro_watch *w = n ? micro__alloc_zero(sizeof *w) : NULL;
    *out = NULL;
    if (!w)
        return MICRO_ENOMEM;
    w->name = micro__strdup(name);
    w->fn = fn;
    w->arg = arg;
    if (name && !w->name) {
        notify_watch_free(w);
        return MICRO_ENOMEM;
    }
    micro__lock(&n->lock);
    w->since = n->seq;
    w->next = n->watches;
    n->watches = w;
    micro__unlock(&n->lock);
    *out = w;
    return MICRO_OK;
}

static void notify_unlink(micro__notifier *n, micro_watch *w)
{
    micro_watch **at = &n->watches;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    if (n->cursor == w)
        n->cursor = w->next;
}

static void notify_wait(micro__notifier *n, const micro_watch *w)
{
    micro_block_begin();
    micro__lock(&n->lock);
    n->waiting++;
    while (n->current == w)
        micro__cond_wait(&n->done, &n->lock, 0);
    n->waiting--;
    micro__unlock(&n->lock);
    micro_block_end();
}

MICRO_PRIVATE void micro__notify_remove(micro__notifier *n, micro_watch *w)
{
    if (!n || !w)
        return;
    micro__lock(&n->lock);
    notify_unlink(n, w);
    bool runs = n->current == w;
    bool inside = runs && n->owner == &notify_self;
    if (inside)
        w->dead = true;
    micro__unlock(&n->lock);
    if (inside)
        return;
    if (runs)
        notify_wait(n, w);
    notify_watch_free(w);
}

static bool notify_matches(const micro_watch *w, micro_str name)
{
    return !w->name || micro__str_is(name, w->name);
}

static bool notify_any(const micro__notifier *n, micro_str name)
{
    const micro_watch *w = n->watches;
    while (w && !notify_matches(w, name))
        w = w->next;
    return w != NULL;
}

MICRO_PRIVATE bool micro__notify_wanted(micro__notifier *n, micro_str name)
{
    if (!n)
        return false;
    micro__lock(&n->lock);
    bool wanted = notify_any(n, name);
    micro__unlock(&n->lock);
    return wanted;
}

MICRO_PRIVATE bool micro__notify_post(micro__notifier *n, enum micro_change what,
                                      const micro_entry *entry)
{
    if (!micro__notify_wanted(n, entry->name))
        return true;
    notify_event *ev = micro__alloc_zero(sizeof *ev);
    if (!ev)
        return false;
    ev->what = what;
    micro__arena_init(&ev->arena, NULL, 0);
    if (!micro__entry_copy(&ev->arena, &ev->entry, entry)) {
        notify_event_free(ev);
        return false;
    }
    micro__lock(&n->lock);
    ev->seq = ++n->seq;
    *n->tail = ev;
    n->tail = &ev->next;
    micro__unlock(&n->lock);
    return true;
}

/* With the lock held, which is let go during callbacks. */
static void notify_deliver(micro__notifier *n, const notify_event *ev)
{
    for (micro_watch *w = n->watches; w; w = n->cursor) {
        n->cursor = w->next;
        if (ev->seq <= w->since || !notify_matches(w, ev->entry.name))
            continue;
        n->current = w;
        micro__unlock(&n->lock);
        w->fn(w->arg, ev->what, &ev->entry);
        micro__lock(&n->lock);
        n->current = NULL;
        if (w->dead)
            notify_watch_free(w);
        if (n->waiting)
            micro__cond_broadcast(&n->done);
    }
}

/* With the lock: all that waits, or until somebody goes on. */
static void notify_work(micro__notifier *n)
{
    size_t done = 0;

    n->owner = &notify_self;
    for (notify_event *ev; (ev = n->head) && !n->relief;) {
        n->head = ev->next;
        if (!n->head)
            n->tail = &n->head;
        notify_deliver(n, ev);
        notify_event_free(ev);
        n->tired = ++done >= NOTIFY_TURN;
    }
    n->owner = NULL;
    n->tired = false;
    micro__cond_broadcast(&n->done);
}

/* With the lock. Where others change things without a pause, whoever delivers would go on for ever:
 * after its turn the next of them takes over. Not at any price: the callback that runs may be
 * waiting for this very thread. */
static void notify_relieve(micro__notifier *n)
{
    uint64_t until = micro__now_ms() + NOTIFY_RELIEF_MS;

    n->relief = true;
    micro_block_begin();
    while (n->owner && micro__now_ms() < until)
        micro__cond_wait(&n->done, &n->lock, until);
    micro_block_end();
    n->relief = false;
}

MICRO_PRIVATE void micro__notify_run(micro__notifier *n)
{
    if (!n)
        return;
    micro__lock(&n->lock);
    if (n->tired && !n->relief && n->owner != &notify_self)
        notify_relieve(n);
    if (!n->owner)
        notify_work(n);
    micro__unlock(&n->lock);
}
