/* SPDX-License-Identifier: MIT */
/* The mdns instance of a process: sockets, interfaces, and the background thread. */
#include "mdns.h"

enum {
    MDNS_IO_PORT = 5353,
    MDNS_IO_SCAN_MS = 10000,     /* between looks at the interfaces */
    MDNS_IO_SCAN_SOON_MS = 1000, /* ... after an error, or while there are none */
    MDNS_IO_DATAGRAM = 65536,
    MDNS_IO_BURST = 64,    /* datagrams of a socket read in a row */
    MDNS_IO_TOLD = 4 << 20 /* waiting for callbacks; what would bring more is not heard */
};

#if !MICRO_OMIT_THREADS
/* This is the background thread, in a callback. */
static MICRO__THREAD_LOCAL bool mdns_io_delivering;
#endif

/* ---- sending ----------------------------------------------------------------------------------*/

static void mdns_io_to_all(micro__mdns *st, int socket4, const void *data, size_t len)
{
    for (size_t i = 0; i < st->nifaces; i++) {
        const micro__iface *over = &st->ifaces[i];
        micro_err err =
            micro__udp_multicast(st->fds[socket4 + over->v6], over->v6, over, data, len);
        if (err && err != MICRO_EAGAIN) {
            uint64_t soon = micro__now_ms() + MDNS_IO_SCAN_SOON_MS;
            st->scan_at = st->scan_at < soon ? st->scan_at : soon;
        }
    }
}

static void mdns_io_send(void *arg, bool to_all, const void *data, size_t len)
{
    micro__mdns *st = arg;
    if (to_all)
        mdns_io_to_all(st, MICRO__MDNS_ANSWER4, data, len);
    else if (st->asker)
        micro__udp_send(st->fds[st->asked_on], st->asker, data, len);
}

/* From a port of our own: peers answer questions from 5353 as well, but to whoever holds it. */
static void mdns_io_ask(void *arg, micro_str name)
{
    static const char *const domains[] = { "local", "micro" };
    for (size_t i = 0; i < MICRO_COUNTOF(domains); i++) {
        uint8_t packet[512];
        micro__dns_name question;
        micro__dns_writer w;
        if (!micro__dns_join(&question, name, micro_s(domains[i]), micro_s("")))
            continue;
        micro__dns_begin(&w, packet, sizeof packet, (uint16_t)micro__random_fast(), 0);
        micro__dns_ask(&w, micro__str(question.text, question.len), MICRO__DNS_PTR, MICRO__DNS_IN);
        size_t len = micro__dns_end(&w);
        if (len)
            mdns_io_to_all(arg, MICRO__MDNS_ASK4, packet, len);
    }
}

/* ---- interfaces -------------------------------------------------------------------------------*/

/* Loopback counts if it can multicast, or if there is nothing else. */
static bool mdns_io_iface_usable(const micro__iface *all, size_t n, size_t i)
{
    for (size_t k = 0; k < i; k++) { /* another address of the same one */
        if (all[k].index == all[i].index && all[k].v6 == all[i].v6)
            return false;
    }
    if (!all[i].loopback || all[i].multicast)
        return all[i].multicast;
    for (size_t k = 0; k < n; k++) {
        if (!all[k].loopback && all[k].multicast)
            return false;
    }
    return true;
}

static bool mdns_io_iface_known(const micro__mdns *st, const micro__iface *iface)
{
    for (size_t i = 0; i < st->nifaces; i++) {
        const micro__iface *known = &st->ifaces[i];
        if (known->index == iface->index && known->v6 == iface->v6 &&
            memcmp(known->ip, iface->ip, sizeof known->ip) == 0)
            return true;
    }
    return false;
}

static void mdns_io_scan(micro__mdns *st, uint64_t now)
{
    micro__iface all[MICRO__MDNS_IFACES], joined[MICRO__MDNS_IFACES];
    size_t n = micro__ifaces(all, MICRO__MDNS_IFACES), njoined = 0;
    bool news = false;
    for (size_t i = 0; i < n; i++) {
        int fd = st->fds[all[i].v6 ? MICRO__MDNS_ANSWER6 : MICRO__MDNS_ANSWER4];
        if (fd < 0 || !mdns_io_iface_usable(all, n, i))
            continue;
        micro_err err = micro__udp_join(fd, all[i].v6, &all[i]);
        if (err && err != MICRO_EEXIST)
            continue;
        news = news || !mdns_io_iface_known(st, &all[i]);
        joined[njoined++] = all[i];
    }
    memcpy(st->ifaces, joined, njoined * sizeof *joined);
    st->nifaces = njoined;
    st->scan_at = now + (njoined ? MDNS_IO_SCAN_MS : MDNS_IO_SCAN_SOON_MS);
    if (news) {
        micro__mdns_responder_again(&st->responder, now);
        micro__mdns_browser_again(&st->browser, now);
    }
}

/* ---- one step ---------------------------------------------------------------------------------*/

static void mdns_io_hear(micro__mdns *st, int socket, size_t len, const micro__addr *from,
                         uint64_t now)
{
    if (socket == MICRO__MDNS_ANSWER4 || socket == MICRO__MDNS_ANSWER6) {
        bool plain = micro__addr_port(from) != MDNS_IO_PORT;
        st->asker = from;
        st->asked_on = socket;
        micro__mdns_responder_hear(&st->responder, st->datagram, len, plain, now);
        st->asker = NULL;
    }
    if (st->told < MDNS_IO_TOLD)
        micro__mdns_hear(&st->browser, st->datagram, len, now);
}

static void mdns_io_read(micro__mdns *st, int socket, uint64_t now)
{
    for (int i = 0; i < MDNS_IO_BURST; i++) {
        micro__addr from;
        unsigned iface;
        long n = micro__udp_recv(st->fds[socket], st->datagram, MDNS_IO_DATAGRAM, &from, &iface);
        if (n > 0)
            mdns_io_hear(st, socket, (size_t)n, &from, now);
        else if (n < 0 && n != MICRO_ETOOBIG)
            return;
    }
}

/* Whoever calls it is the only one to do so: the background thread, or what that calls back. */
MICRO_PRIVATE uint64_t micro__mdns_step(micro__mdns *st, const bool ready[MICRO__MDNS_FDS])
{
    uint64_t now = micro__now_ms();
    if (ready[MICRO__MDNS_WAKER])
        micro__waker_clear(&st->waker);
    for (int i = MICRO__MDNS_WAKER; i-- > 0;) { /* answers first: somebody may be waiting */
        if (ready[i])
            mdns_io_read(st, i, now);
    }
    if (now >= st->scan_at)
        mdns_io_scan(st, now);
    uint64_t due = micro__mdns_responder_tick(&st->responder, now);
    uint64_t refresh = micro__mdns_browser_tick(&st->browser, now);
    if (st->browser.found)
        micro__cond_broadcast(&st->changed);
    st->browser.found = false;
    due = due && due < st->scan_at ? due : st->scan_at;
    return refresh && refresh < due ? refresh : due;
}

#if !MICRO_OMIT_THREADS

static void *mdns_io_run(void *arg)
{
    micro__mdns *st = arg;
    bool ready[MICRO__MDNS_FDS] = { false };
    for (;;) {
        micro__lock(&st->lock);
        uint64_t due = micro__mdns_step(st, ready);
        bool stop = st->stop;
        micro__unlock(&st->lock);
        if (stop)
            return NULL;
        mdns_io_delivering = true;
        micro__notify_run(st->notifier);
        mdns_io_delivering = false;
        micro__lock(&st->lock);
        st->told = 0;
        micro__unlock(&st->lock);
        micro__fds_wait(st->fds, MICRO__MDNS_FDS, ready, due);
    }
}

static bool mdns_io_start(micro__mdns *st)
{
    return micro__thread_start(&st->thread, 0, mdns_io_run, st);
}

static void mdns_io_stop(micro__mdns *st)
{
    micro__lock(&st->lock);
    st->stop = true;
    micro__waker_set(&st->waker);
    micro__unlock(&st->lock);
    micro__thread_join(st->thread);
}

MICRO_PRIVATE void micro__mdns_wait(micro__mdns *st, uint64_t deadline)
{
    bool ready[MICRO__MDNS_FDS];
    if (!mdns_io_delivering) {
        micro__cond_wait(&st->changed, &st->lock, deadline);
        return;
    }
    micro__unlock(&st->lock);
    micro__fds_wait(st->fds, MICRO__MDNS_FDS, ready, deadline);
    micro__lock(&st->lock);
    micro__mdns_step(st, ready);
}

#else

static bool mdns_io_start(micro__mdns *st)
{
    return micro__mdns_drive(st);
}

static void mdns_io_stop(micro__mdns *st)
{
    micro__mdns_undrive(st);
}

#endif

MICRO_PRIVATE void micro__mdns_wake(void *arg)
{
    micro__mdns *st = arg;
    micro__lock(&st->lock);
    micro__cond_broadcast(&st->changed);
    micro__waker_set(&st->waker);
    micro__unlock(&st->lock);
}

/* ---- the instance -----------------------------------------------------------------------------*/

static bool mdns_io_wanted(void *arg, micro_str name)
{
    return micro__notify_wanted(((micro__mdns *)arg)->notifier, name);
}

static bool mdns_io_tell(void *arg, enum micro_change what, const micro_entry *e, size_t weight)
{
    micro__mdns *st = arg;
    st->told += weight;
    return micro__notify_post(st->notifier, what, e);
}

static const micro__mdns_browser_ops mdns_io_hooks = { mdns_io_ask, mdns_io_wanted, mdns_io_tell };

static void mdns_io_close(micro__mdns *st)
{
    micro__waker_close(&st->waker);
    st->fds[MICRO__MDNS_WAKER] = -1;
    for (size_t i = 0; i < MICRO__MDNS_FDS; i++) {
        micro__fd_close(st->fds[i]);
        st->fds[i] = -1;
    }
    micro__free(st->datagram, MDNS_IO_DATAGRAM);
    st->datagram = NULL;
    st->nifaces = 0;
}

/* A family without sockets is done without, unless its port is taken: then others would be deaf to
 * us without knowing. */
static micro_err mdns_io_open_family(micro__mdns *st, bool v6)
{
    int *answer = &st->fds[MICRO__MDNS_ANSWER4 + v6], *ask = &st->fds[MICRO__MDNS_ASK4 + v6];
    micro_err err = micro__udp_open(v6, MDNS_IO_PORT, 0, answer);
    if (!err)
        err = micro__udp_open(v6, 0, 0, ask);
    if (err) {
        micro__fd_close(*answer);
        *answer = *ask = -1;
    }
    return err;
}

static micro_err mdns_io_open(micro__mdns *st)
{
    st->datagram = micro__alloc(MDNS_IO_DATAGRAM);
    if (!st->datagram || !micro__waker_open(&st->waker))
        return MICRO_ENOMEM;
    st->fds[MICRO__MDNS_WAKER] = st->waker.fd;
    micro_err v4 = mdns_io_open_family(st, false), v6 = mdns_io_open_family(st, true);
    if (v4 == MICRO_EBUSY || (v4 && v6))
        return v4;
    mdns_io_scan(st, micro__now_ms());
    return mdns_io_start(st) ? MICRO_OK : MICRO_ENOMEM;
}

MICRO_PRIVATE micro_err micro__mdns_start(micro__mdns *st)
{
    if (st->started)
        return MICRO_OK;
    micro_err err = mdns_io_open(st);
    if (err)
        mdns_io_close(st);
    st->started = !err;
    return err;
}

MICRO_PRIVATE micro_err micro__mdns_ready(micro__mdns *st, const char **why)
{
    micro_err err = micro__mdns_start(st);
    if (err == MICRO_EBUSY)
        *why = "mdns: UDP port 5353 is taken by a program that does not share it";
    else if (err)
        *why = err == MICRO_ENOMEM ? micro_strerror(err) : "mdns: no UDP socket can be opened";
    if (err)
        return err == MICRO_ENOMEM ? err : MICRO_EIO;
    if (!st->nifaces)
        mdns_io_scan(st, micro__now_ms());
    *why = "mdns: no network interface that can multicast";
    return st->nifaces ? MICRO_OK : MICRO_EIO;
}

MICRO_PRIVATE void micro__mdns_free(micro__mdns *st)
{
    if (st->started)
        mdns_io_stop(st);
    mdns_io_close(st);
    micro__mdns_responder_free(&st->responder);
    micro__mdns_browser_free(&st->browser);
    micro__notifier_free(st->notifier);
    micro__cond_destroy(&st->changed);
    micro__mutex_destroy(&st->lock);
    micro__free(st, sizeof *st);
}

MICRO_PRIVATE micro__mdns *micro__mdns_new(void)
{
    char host[MICRO__DNS_NAME_MAX];
    micro__mdns *st = micro__alloc(sizeof *st);
    if (!st)
        return NULL;
    memset(st, 0, offsetof(micro__mdns, responder)); /* the rest is large, and initialises itself */
    for (size_t i = 0; i < MICRO__MDNS_FDS; i++)
        st->fds[i] = -1;
    st->waker.fd = st->waker.in = -1;
    micro__mutex_init(&st->lock);
    micro__cond_init(&st->changed);
    micro__host_name(host, sizeof host);
    micro__mdns_responder_init(&st->responder, host, mdns_io_send, st);
    st->notifier = micro__notifier_new();
    if (micro__mdns_browser_init(&st->browser, &mdns_io_hooks, st) && st->notifier)
        return st;
    micro__mdns_free(st);
    return NULL;
}
