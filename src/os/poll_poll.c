/* SPDX-License-Identifier: MIT */
/* The poller over poll, which every system has: it tells what is, not what is new, so a descriptor
 * is asked only for what is not known yet (see os.h). */
#include "sys.h"

#if MICRO__POLLER == MICRO__POLLER_POLL

typedef struct pollset_slot {
    int fd;
    unsigned asked; /* MICRO__IN and MICRO__OUT: not reported, or used up since */
    bool level;     /* asked is never taken away */
    bool failed;    /* reported: poll would go on telling it */
    void *data;
} pollset_slot;

/* Other threads may add descriptors during the wait, which works on an array of its own. */
struct micro__pollset {
    micro__mutex lock;
    pollset_slot *slots;
    size_t len, cap;
    uint32_t *places; /* by descriptor: of its slot, plus 1; 0: none */
    size_t nplaces;
    struct pollfd *fds, *larger; /* of the wait; for the next one, if slots have outgrown it */
    size_t nfds, nlarger;
    size_t turn; /* where the next wait starts to look: all get theirs if they are too many */
};

MICRO_PRIVATE micro_err micro__poller_open(micro__poller *p)
{
    p->fd = -1;
    p->set = micro__alloc_zero(sizeof *p->set);
    if (p->set)
        micro__mutex_init(&p->set->lock);
    if (!micro__waker_open(&p->wake) || !p->set ||
        micro__poller_add_listener(p, p->wake.fd, NULL) != MICRO_OK) {
        micro__poller_close(p);
        return MICRO_ENOMEM;
    }
    return MICRO_OK;
}

MICRO_PRIVATE void micro__poller_close(micro__poller *p)
{
    struct micro__pollset *s = p->set;

    micro__waker_close(&p->wake);
    p->set = NULL;
    if (!s)
        return;
    micro__mutex_destroy(&s->lock);
    micro__free(s->slots, s->cap * sizeof *s->slots);
    micro__free(s->places, s->nplaces * sizeof *s->places);
    micro__free(s->fds, s->nfds * sizeof *s->fds);
    micro__free(s->larger, s->nlarger * sizeof *s->larger);
    micro__free(s, sizeof *s);
}

/* ---- slots; with the lock held ------------------------------------------------------------- */

static pollset_slot *pollset_find(struct micro__pollset *s, int fd)
{
    uint32_t place = fd >= 0 && (size_t)fd < s->nplaces ? s->places[fd] : 0;

    return place ? &s->slots[place - 1] : NULL;
}

static bool pollset_grow_slots(struct micro__pollset *s)
{
    size_t cap = s->cap ? s->cap * 2 : 16;

    if (s->len < s->cap)
        return true;
    struct pollfd *larger = micro__alloc(cap * sizeof *larger);
    if (!larger)
        return false;
    pollset_slot *slots =
        micro__realloc(s->slots, s->cap * sizeof *slots, cap * sizeof *slots);
    if (!slots) {
        micro__free(larger, cap * sizeof *larger);
        return false;
    }
    micro__free(s->larger, s->nlarger * sizeof *s->larger);
    s->larger = larger;
    s->nlarger = cap;
    s->slots = slots;
    s->cap = cap;
    return true;
}

static bool pollset_grow_places(struct micro__pollset *s, size_t fd)
{
    size_t n = s->nplaces ? s->nplaces : 64;

    if (fd < s->nplaces)
        return true;
    while (n <= fd)
        n *= 2;
    uint32_t *places =
        micro__realloc(s->places, s->nplaces * sizeof *places, n * sizeof *places);
    if (!places)
        return false;
    memset(places + s->nplaces, 0, (n - s->nplaces) * sizeof *places);
    s->places = places;
    s->nplaces = n;
    return true;
}

static micro_err pollset_add(struct micro__pollset *s, int fd, const pollset_slot *slot)
{
    if (pollset_find(s, fd))
        return MICRO_EEXIST;
    if (!pollset_grow_slots(s) || !pollset_grow_places(s, (size_t)fd))
        return MICRO_ENOMEM;
    s->slots[s->len++] = *slot;
    s->places[fd] = (uint32_t)s->len;
    return MICRO_OK;
}

/* ---- from outside -------------------------------------------------------------------------- */

static micro_err pollset_put(micro__poller *p, const pollset_slot *slot)
{
    if (fcntl(slot->fd, F_GETFD) < 0)
        return MICRO_EIO;
    micro__lock(&p->set->lock);
    micro_err err = pollset_add(p->set, slot->fd, slot);
    micro__unlock(&p->set->lock);
    /* the wait under way knows nothing of it */
    if (err == MICRO_OK && slot->fd != p->wake.fd)
        micro__waker_set(&p->wake);
    return err;
}

MICRO_PRIVATE micro_err micro__poller_add(micro__poller *p, int fd, void *data)
{
    const pollset_slot slot = { fd, MICRO__IN, false, false, data };

    return pollset_put(p, &slot);
}

MICRO_PRIVATE micro_err micro__poller_add_listener(micro__poller *p, int fd, void *data)
{
    const pollset_slot slot = { fd, MICRO__IN, true, false, data };

    return pollset_put(p, &slot);
}

MICRO_PRIVATE void micro__poller_del(micro__poller *p, int fd)
{
    struct micro__pollset *s = p->set;

    micro__lock(&s->lock);
    pollset_slot *slot = pollset_find(s, fd);
    if (slot) {
        *slot = s->slots[--s->len];
        s->places[slot->fd] = s->places[fd];
        s->places[fd] = 0;
    }
    micro__unlock(&s->lock);
}

MICRO_PRIVATE void micro__poller_rearm(micro__poller *p, int fd, void *data, unsigned what)
{
    (void)data;
    micro__lock(&p->set->lock);
    pollset_slot *slot = pollset_find(p->set, fd);
    if (slot)
        slot->asked |= what;
    micro__unlock(&p->set->lock);
}

MICRO_PRIVATE void micro__poller_wake(micro__poller *p)
{
    micro__waker_set(&p->wake);
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* What is to be asked for; the number of descriptors. */
static size_t pollset_ask(struct micro__pollset *s)
{
    micro__lock(&s->lock);
    if (s->larger) {
        micro__free(s->fds, s->nfds * sizeof *s->fds);
        s->fds = s->larger;
        s->nfds = s->nlarger;
        s->larger = NULL;
        s->nlarger = 0;
    }
    size_t n = s->len;
    for (size_t i = 0; i < n; i++) {
        const pollset_slot *slot = &s->slots[i];
        int events = (slot->asked & MICRO__IN ? POLLIN : 0) |
                     (slot->asked & MICRO__OUT ? POLLOUT : 0);
        s->fds[i].fd = slot->failed ? -1 : slot->fd;
        s->fds[i].events = (short)events;
        s->fds[i].revents = 0;
    }
    micro__unlock(&s->lock);
    return n;
}

/* poll tells the end of a stream as something to read, and so does a look at it. */
static bool pollset_ended(int fd)
{
    char byte;

    return MICRO__SYS(recv)(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static unsigned pollset_what(const pollset_slot *slot, int revents)
{
    unsigned what = (revents & POLLIN ? (unsigned)MICRO__IN : 0u) |
                    (revents & POLLOUT ? (unsigned)MICRO__OUT : 0u);

    if (slot->level)
        return what;
    if (revents & (POLLHUP | POLLERR) || (revents & POLLIN && pollset_ended(slot->fd)))
        what |= MICRO__HUP;
    return what;
}

/* What poll has told of one descriptor; false: nothing to report. */
static bool pollset_take(micro__poller *p, const struct pollfd *told, micro__event *out)
{
    pollset_slot *slot = told->revents && told->fd >= 0 ? pollset_find(p->set, told->fd) : NULL;

    if (!slot)
        return false;
    if (told->fd == p->wake.fd) {
        micro__waker_clear(&p->wake);
        return false;
    }
    out->data = slot->data;
    out->what = pollset_what(slot, told->revents);
    if (!slot->level)
        slot->asked &= ~out->what;
    slot->failed = slot->failed || told->revents & (POLLHUP | POLLERR | POLLNVAL);
    return out->what != 0;
}

MICRO_PRIVATE int micro__poller_wait(micro__poller *p, micro__event *out, int max, int timeout_ms)
{
    struct micro__pollset *s = p->set;
    size_t n = pollset_ask(s), i;
    int count = 0;

    if (MICRO__SYS(poll)(s->fds, (nfds_t)n, timeout_ms) <= 0)
        return 0;
    micro__lock(&s->lock);
    for (i = 0; i < n && count < max; i++)
        count += pollset_take(p, &s->fds[(s->turn + i) % n], &out[count]);
    s->turn = (s->turn + i) % n;
    micro__unlock(&s->lock);
    return count;
}

#endif
