/* SPDX-License-Identifier: MIT */
/* How a service runs: listen, register, serve; and the way back. */
#include "../transport/transport.h"
#include "service.h"

#define LIFECYCLE_CONNS 20000
#define LIFECYCLE_FDS 512        /* beside connections */
#define LIFECYCLE_FD_ROOM 32768u /* made at once: 8 bytes of the kernel's memory each */
#define LIFECYCLE_IDLE_MS 75000
#define LIFECYCLE_MEMORY (256 * 1024 * 1024)
#define LIFECYCLE_DRAIN_MS 30000
#define LIFECYCLE_DEL_MS 2000 /* a registry that does not answer must not hold up the end */

static micro_err lifecycle_fail(micro_service *svc, micro_err err, const char *what)
{
    return micro__service_stick(svc, err, "%s", what && *what ? what : micro_strerror(err));
}

/* ---- registration -------------------------------------------------------------------------- */

static bool lifecycle_node(micro_service *svc)
{
    micro__arena *a = &svc->arena;
    micro_pairs *m = &svc->node.metadata;
    const struct {
        const char *key, *value;
    } own[] = { { "broker", svc->broker->ops->name },
                { "protocol", "mucp" },
                { "registry", svc->registry->ops->name },
                { "server", "mucp" },
                { "transport", svc->transport->ops->name } };
    size_t name = strlen(svc->s.name), size = strlen(svc->s.id) + 1;
    char *id = micro__arena_take(a, name + 1 + size);

    if (!id || !micro__pairs_copy(a, m, &svc->s.metadata))
        return false;
    memcpy(id, svc->s.name, name);
    id[name] = '-';
    memcpy(id + name + 1, svc->s.id, size);
    svc->node.id = micro_s(id);
    svc->node.address = micro_s(svc->address);
    svc->node.version = micro_s(svc->s.version);
    for (size_t i = 0; i < MICRO_COUNTOF(own); i++)
        if (!micro__pairs_set(a, m, micro_s(own[i].key), micro_s(own[i].value)))
            return false;
    micro__pairs_sort(m);
    return true;
}

static bool lifecycle_entry(micro_service *svc)
{
    micro_entry *e = &svc->entry;

    memset(e, 0, sizeof *e);
    memset(&svc->node, 0, sizeof svc->node);
    e->name = micro_s(svc->s.name);
    e->version = micro_s(svc->s.version);
    e->nodes.ptr = &svc->node;
    e->nodes.len = 1;
    return lifecycle_node(svc) &&
           micro__server_endpoints(&svc->server, &svc->arena, false, &e->endpoints);
}

static micro_err lifecycle_register(micro_service *svc)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    micro_err err = micro_registry_put(svc->registry, ctx, &svc->entry, svc->s.register_ttl_ms);

    if (err == MICRO_OK)
        MICRO_LOG(MICRO_LOG_INFO, "Registering node: %s", svc->node.id.ptr);
    else
        MICRO_LOG(MICRO_LOG_WARN, "registration failed: %s", micro_ctx_strerror(ctx));
    if (err != MICRO_OK && svc->state == MICRO__SERVICE_STARTING)
        lifecycle_fail(svc, err, micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    return err;
}

static void lifecycle_deregister(micro_service *svc)
{
    micro_ctx *ctx = micro_ctx_new(svc);

    MICRO_LOG(MICRO_LOG_INFO, "Deregistering node: %s", svc->node.id.ptr);
    micro_ctx_set_timeout(ctx, LIFECYCLE_DEL_MS);
    if (micro_registry_del(svc->registry, ctx, &svc->entry) != MICRO_OK)
        MICRO_LOG(MICRO_LOG_WARN, "deregistration failed: %s", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
}

/* With a TTL and no interval the registration would run out: half of it then. */
static int lifecycle_interval(const micro_service *svc)
{
    if (svc->s.register_interval_ms)
        return svc->s.register_interval_ms;
    return svc->s.register_ttl_ms > 1 ? svc->s.register_ttl_ms / 2 : 0;
}

static void lifecycle_refresh(void *arg)
{
    micro_service *svc = arg;

    micro_ignore(lifecycle_register(svc)); /* logged; tried again */
    micro_ignore(micro_post(svc, lifecycle_interval(svc), lifecycle_refresh, svc));
}

/* ---- start --------------------------------------------------------------------------------- */

static int lifecycle_or(int value, int preset)
{
    return value ? value : preset;
}

/* How many to make room for at once, of those that are to be had. */
static uint64_t lifecycle_descriptors(const micro_service *svc)
{
    int conns = lifecycle_or(svc->s.max_conns, LIFECYCLE_CONNS);
    uint64_t want = conns < 0 ? UINT64_MAX : (uint64_t)conns + LIFECYCLE_FDS;
    uint64_t limit = micro__raise_fd_limit(conns < 0 ? 0 : want);

    want = want < limit ? want : limit;
    return want < LIFECYCLE_FD_ROOM ? want : LIFECYCLE_FD_ROOM;
}

static micro_err lifecycle_open_port(micro_service *svc, micro__listener *listener)
{
    const micro__settings *s = &svc->s;
    micro__port_opts opts = { .serve = micro__server_serve,
                              .arg = &svc->server,
                              .max_body = MICRO_MAX_BODY,
                              .max_conns = lifecycle_or(s->max_conns, LIFECYCLE_CONNS),
                              .idle_ms = lifecycle_or(s->idle_ms, LIFECYCLE_IDLE_MS) };
    int memory = lifecycle_or(s->max_memory, LIFECYCLE_MEMORY);

    if (s->max_body > 0 && (size_t)s->max_body < opts.max_body)
        opts.max_body = (size_t)s->max_body;
    if (memory > 0)
        opts.max_kept = (size_t)memory;
    if (opts.max_conns < 0)
        opts.max_conns = INT32_MAX;
    return micro__port_open(svc->engine, listener, &opts, &svc->port);
}

/* "host:low-high": the first port that is free. */
static micro_err lifecycle_bind_range(micro__listener *listener, micro_str address, bool *ranged)
{
    micro_str host = address, low, high;
    uint64_t from, to;
    micro_err err = MICRO_EBUSY;
    size_t colon = address.len;

    while (colon && address.ptr[colon - 1] != ':')
        colon--;
    low = micro__str_cut(micro__str(address.ptr + colon, address.len - colon), '-', &high);
    *ranged = colon && high.len && micro__parse_u64(low, &from) && micro__parse_u64(high, &to) &&
              from && from <= to && to <= UINT16_MAX;
    if (!*ranged)
        return MICRO_OK;
    host.len = colon - 1;
    for (; from <= to && err == MICRO_EBUSY; from++) {
        micro__addr at;
        char text[160];
        snprintf(text, sizeof text, "%.*s:%u", MICRO_STR_ARG(host), (unsigned)from);
        err = micro__addr_resolve(&at, micro_s(text));
        if (err == MICRO_OK)
            err = micro__listener_open(listener, &at);
    }
    return err;
}

static micro_err lifecycle_bind(micro_service *svc, micro__listener *listener)
{
    const char *address = svc->s.address && *svc->s.address ? svc->s.address : ":0";
    bool ranged = false;
    micro__addr at;
    micro_err err = lifecycle_bind_range(listener, micro_s(address), &ranged);

    if (!ranged) {
        err = micro__addr_resolve(&at, micro_s(address));
        if (err == MICRO_OK)
            err = micro__listener_open(listener, &at);
    }
    if (err == MICRO_EBUSY)
        return micro__service_stick(svc, err, "listen on %s: address already in use", address);
    if (err == MICRO_EINVAL || err == MICRO_ENOTFOUND)
        return micro__service_stick(svc, MICRO_EINVAL, "listen on %s: no such address", address);
    return err == MICRO_OK
               ? err
               : micro__service_stick(svc, err, "listen on %s: %s", address, micro_strerror(err));
}

static void lifecycle_deliver(void *arg, micro_sock *from, micro_msg *msg)
{
    micro_service *svc = arg;

    micro__server_deliver(&svc->server, svc->transport, from, msg);
}

static micro_err lifecycle_engine(micro_service *svc)
{
    micro_err err = micro__service_engine(svc);

    return lifecycle_fail(
        svc, err,
        err == MICRO_EINVAL
            ? "loops or max_threads differ from those of a service that runs already"
            : NULL);
}

/* The socket first: an address that is in use needs no engine, and who calls meanwhile waits and is
 * not refused. Then room for descriptors, before the engine has threads: see micro__fd_room. */
static micro_err lifecycle_listen_http(micro_service *svc)
{
    uint64_t descriptors = lifecycle_descriptors(svc);
    char why[256] = "";
    micro__listener listener;
    micro_err err = lifecycle_bind(svc, &listener);

    if (err != MICRO_OK)
        return err;
    micro__fd_room(listener.fd, descriptors);
    err = lifecycle_engine(svc);
    if (err != MICRO_OK) {
        micro__listener_close(&listener);
        return err;
    }
    err = lifecycle_open_port(svc, &listener);
    if (err != MICRO_OK)
        return lifecycle_fail(svc, err, NULL);
    err = micro__advertise(svc->s.advertise, micro__port_address(svc->port), svc->address, why);
    MICRO_LOG(MICRO_LOG_INFO, "Listening on %s", micro__port_address(svc->port));
    return lifecycle_fail(svc, err, why);
}

static micro_err lifecycle_listen(micro_service *svc)
{
    if (micro__transport_is_http(svc->transport))
        return lifecycle_listen_http(svc);
    micro_err err = lifecycle_engine(svc);
    if (err != MICRO_OK)
        return err;
    err = micro__transport_listen(svc->transport, svc->s.address ? svc->s.address : "",
                                  lifecycle_deliver, svc, &svc->listener);
    if (err == MICRO_OK)
        snprintf(svc->address, sizeof svc->address, "%s",
                 svc->s.advertise && *svc->s.advertise
                     ? svc->s.advertise
                     : svc->transport->ops->address(svc->transport, svc->listener));
    return lifecycle_fail(svc, err, NULL);
}

MICRO_PRIVATE uint64_t micro__service_deadline(const micro_service *svc)
{
    int drain = lifecycle_or(svc->s.drain_ms, LIFECYCLE_DRAIN_MS);

    return drain < 0 ? 0 : micro__now_ms() + (uint64_t)drain;
}

/* The engine stays: calls that were started go on, until the service is freed. */
static void lifecycle_close(micro_service *svc, uint64_t deadline)
{
    if (svc->listener)
        svc->transport->ops->unlisten(svc->transport, svc->listener);
    svc->listener = NULL;
    if (svc->port && !micro__port_close(svc->port, deadline))
        MICRO_LOG(MICRO_LOG_ERROR, "handlers did not end in time");
    else
        svc->port = NULL;
}

/* Whoever subscribes does so last at the start and ends first, so that handlers of events find
 * everything in place. */
static micro_err lifecycle_events(micro_service *svc)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    micro_err err = ctx ? micro__service_broker_connect(svc, ctx) : MICRO_ENOMEM;

    if (err == MICRO_OK)
        err = micro__service_subscribers_start(svc, ctx);
    if (err != MICRO_OK)
        lifecycle_fail(svc, err, micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    return err;
}

/* The broker goes last: what handlers have published is still sent. */
static void lifecycle_end(micro_service *svc, uint64_t deadline)
{
    if (!micro__service_subscribers_stop(svc, deadline)) {
        MICRO_LOG(MICRO_LOG_ERROR, "handlers of events did not end in time");
        svc->stuck = true;
    }
    lifecycle_close(svc, deadline);
    micro__service_broker_disconnect(svc, deadline);
}

static bool lifecycle_move(micro_service *svc, enum micro__service_state from,
                           enum micro__service_state to)
{
    micro__lock(&svc->lock);
    bool ok = svc->state == from;
    if (ok)
        svc->state = to;
    if (ok && to == MICRO__SERVICE_STOPPED)
        micro__cond_broadcast(&svc->stopped);
    micro__unlock(&svc->lock);
    return ok;
}

static micro_err lifecycle_start(micro_service *svc)
{
    micro_err err = micro__service_hooks(svc, MICRO_BEFORE_START);

    if (err != MICRO_OK)
        return lifecycle_fail(svc, err, "a hook before the start failed");
    err = lifecycle_listen(svc);
    if (err == MICRO_OK && !lifecycle_entry(svc))
        err = lifecycle_fail(svc, MICRO_ENOMEM, NULL);
    if (err == MICRO_OK)
        err = lifecycle_events(svc);
    if (err == MICRO_OK)
        err = lifecycle_register(svc);
    if (err != MICRO_OK) {
        lifecycle_end(svc, micro__service_deadline(svc));
        return err;
    }
    micro__life_open(svc->life);
    lifecycle_move(svc, MICRO__SERVICE_STARTING, MICRO__SERVICE_RUNNING);
    err = micro__service_hooks(svc, MICRO_AFTER_START);
    if (err != MICRO_OK) {
        lifecycle_fail(svc, err, "a hook after the start failed");
        micro_service_stop(svc);
    } else if (lifecycle_interval(svc) > 0 && svc->state == MICRO__SERVICE_RUNNING) {
        err = micro_post(svc, lifecycle_interval(svc), lifecycle_refresh, svc);
    }
    return err;
}

MICRO_API micro_err micro_service_start(micro_service *svc)
{
    if (!svc)
        return MICRO_ENOMEM;
    if (svc->error != MICRO_OK)
        return svc->error;
    if (!lifecycle_move(svc, MICRO__SERVICE_NEW, MICRO__SERVICE_STARTING))
        return MICRO_EBUSY;
    micro_err err = lifecycle_start(svc);
    if (err != MICRO_OK)
        lifecycle_move(svc, MICRO__SERVICE_STARTING, MICRO__SERVICE_STOPPED);
    return err;
}

/* ---- stop ---------------------------------------------------------------------------------- */

/* No posted function starts after this, and none runs: a registration that is being refreshed must
 * not come after the deregistration. One that does not end holds up the stop for so long only. */
static void lifecycle_shut_gate(micro_service *svc)
{
    micro__life_shut(svc->life, micro__service_deadline(svc));
}

static void lifecycle_ask(micro_service *svc)
{
    atomic_store(&svc->stop_asked, true);
    if (svc->stop.fd >= 0)
        micro__waker_set(&svc->stop);
}

MICRO_PRIVATE void micro__service_ask(micro_service *svc)
{
    micro__lock(&svc->lock);
    lifecycle_ask(svc);
    micro__unlock(&svc->lock);
}

/* True: this thread is to stop the service now. Else somebody does, or has, or there is nothing to
 * stop; a thread that may wait for the end does so. */
static bool lifecycle_claim(micro_service *svc)
{
    bool mine = false;

    micro__lock(&svc->lock);
    if (micro__engine_inside() || micro__server_inside()) { /* whoever runs the service does it */
        lifecycle_ask(svc);
    } else if (svc->state == MICRO__SERVICE_STOPPING) {
        while (!micro__thread_is_self(svc->stopper) && svc->state == MICRO__SERVICE_STOPPING)
            micro__cond_wait(&svc->stopped, &svc->lock, 0);
    } else if (svc->running && !micro__thread_is_self(svc->runner)) {
        lifecycle_ask(svc);
        while (svc->state != MICRO__SERVICE_STOPPED && svc->running)
            micro__cond_wait(&svc->stopped, &svc->lock, 0);
    } else if (svc->state == MICRO__SERVICE_RUNNING) {
        svc->state = MICRO__SERVICE_STOPPING;
        svc->stopper = micro__thread_self();
        mine = true;
    }
    micro__unlock(&svc->lock);
    return mine;
}

MICRO_API void micro_service_stop(micro_service *svc)
{
    if (!svc || !lifecycle_claim(svc))
        return;
    micro_err err = micro__service_hooks(svc, MICRO_BEFORE_STOP);
    if (err != MICRO_OK)
        lifecycle_fail(svc, err, "a hook before the stop failed");
    lifecycle_shut_gate(svc);
    lifecycle_deregister(svc);
    lifecycle_end(svc, micro__service_deadline(svc));
    err = micro__service_hooks(svc, MICRO_AFTER_STOP);
    if (err != MICRO_OK)
        lifecycle_fail(svc, err, "a hook after the stop failed");
    lifecycle_move(svc, MICRO__SERVICE_STOPPING, MICRO__SERVICE_STOPPED);
}

/* ---- run ----------------------------------------------------------------------------------- */

static void lifecycle_wait(micro_service *svc, int signals)
{
    const int fds[2] = { svc->stop.fd, signals };
    bool ready[2] = { false, false };
    micro_err err = MICRO_OK;

    while (err == MICRO_OK && !ready[0] && !ready[1] && !atomic_load(&svc->stop_asked))
        err = micro__fds_wait(fds, 2, ready, 0);
}

static void lifecycle_heard(void *arg)
{
    micro_service *svc = arg;

    atomic_store(&svc->stop_asked, true);
}

/* The same where this thread is the one that drives. */
static void lifecycle_drive(micro_service *svc, int signals)
{
    micro__source stop = { .fd = svc->stop.fd, .ready = lifecycle_heard, .arg = svc };
    micro__source signal = { .fd = signals, .ready = lifecycle_heard, .arg = svc };
    micro_err err = micro__engine_watch(svc->engine, &stop);

    if (err == MICRO_OK && signals >= 0)
        err = micro__engine_watch(svc->engine, &signal);
    if (err != MICRO_OK)
        lifecycle_fail(svc, err, NULL);
    while (err == MICRO_OK && !atomic_load(&svc->stop_asked))
        micro__engine_drive(svc->engine, MICRO_OFF);
    micro__engine_unwatch(svc->engine, &signal);
    micro__engine_unwatch(svc->engine, &stop);
}

#if MICRO_OMIT_THREADS

static void lifecycle_ready(void *arg)
{
    *(bool *)arg = true;
}

MICRO_PRIVATE micro_err micro__service_wait(micro_service *svc, int fd, uint64_t until)
{
    bool ready = false;
    micro__source s = { .fd = fd, .ready = lifecycle_ready, .arg = &ready };
    micro_err err = micro__service_engine(svc);

    if (err == MICRO_OK)
        err = micro__engine_watch(svc->engine, &s);
    while (err == MICRO_OK && !ready) {
        uint64_t now = micro__now_ms();
        if (until && now >= until)
            err = MICRO_ETIMEDOUT;
        else
            micro__engine_step(svc->engine, until ? (int)(until - now) : MICRO_OFF);
    }
    if (err == MICRO_OK || err == MICRO_ETIMEDOUT)
        micro__engine_unwatch(svc->engine, &s);
    return err;
}

#else

MICRO_PRIVATE micro_err micro__service_wait(micro_service *svc, int fd, uint64_t until)
{
    (void)svc;
    return micro__fd_wait(fd, MICRO__READ, until);
}

#endif

/* From here on run can be woken. EBUSY: the service runs already, or has run. */
static micro_err lifecycle_run_begin(micro_service *svc)
{
    micro_err err = MICRO_OK;

    micro__lock(&svc->lock);
    if (svc->state != MICRO__SERVICE_NEW || svc->running)
        err = MICRO_EBUSY;
    else if (!micro__waker_open(&svc->stop))
        err = MICRO_EIO;
    else
        svc->running = true;
    if (err == MICRO_OK)
        svc->runner = micro__thread_self();
    micro__unlock(&svc->lock);
    return err == MICRO_EIO ? lifecycle_fail(svc, err, "out of file descriptors") : err;
}

static void lifecycle_run_end(micro_service *svc)
{
    micro__lock(&svc->lock);
    svc->running = false;
    micro__waker_close(&svc->stop);
    micro__cond_broadcast(&svc->stopped);
    micro__unlock(&svc->lock);
}

static micro_err lifecycle_run(micro_service *svc)
{
    micro_err err = lifecycle_run_begin(svc);

    if (err != MICRO_OK)
        return err;
    int signals = micro__signals_catch();
    err = micro_service_start(svc);
    if (err == MICRO_OK && svc->state == MICRO__SERVICE_RUNNING) {
        if (micro__engine_threaded(svc->engine))
            lifecycle_wait(svc, signals);
        else
            lifecycle_drive(svc, signals);
    }
    micro_service_stop(svc);
    micro__signals_release(signals);
    lifecycle_run_end(svc);
    return err != MICRO_OK ? err : svc->error;
}

MICRO_API micro_err micro_service_run(micro_service *svc)
{
    if (!svc)
        return MICRO_ENOMEM;
    if (svc->error == MICRO_EHELP)
        return MICRO_EHELP;
    micro_err err = svc->error;
    if (err == MICRO_OK)
        err = lifecycle_run(svc);
    if (err != MICRO_OK)
        MICRO_LOG(MICRO_LOG_ERROR, "%s: %s", svc->s.name,
                  svc->why[0] ? svc->why : micro_strerror(err));
    return err;
}

/* ---- loops of the caller's own, tasks ------------------------------------------------------ */

/* A client that was never started is driven too, for its calls and for mdns. */
static bool lifecycle_polled(micro_service *svc)
{
    bool own_loop = svc && (MICRO_OMIT_THREADS || svc->s.loops < 0);

    if (own_loop && svc->state == MICRO__SERVICE_NEW && !svc->engine)
        micro_ignore(micro__service_engine(svc));
    return svc && svc->engine && svc->state != MICRO__SERVICE_STOPPED &&
           !micro__engine_threaded(svc->engine);
}

MICRO_API micro_err micro_poll(micro_service *svc, int timeout_ms)
{
    if (!svc)
        return MICRO_ENOMEM;
    if (!lifecycle_polled(svc))
        return svc->state == MICRO__SERVICE_RUNNING ? MICRO_EINVAL : MICRO_ECLOSED;
    micro_err err = micro__engine_step(svc->engine, timeout_ms);
    if (atomic_load(&svc->stop_asked)) {
        micro_service_stop(svc);
        return MICRO_ECLOSED;
    }
    return err;
}

MICRO_API int micro_poll_fd(micro_service *svc)
{
    return lifecycle_polled(svc) ? micro__engine_fd(svc->engine) : MICRO_OFF;
}

MICRO_API int micro_poll_timeout(micro_service *svc)
{
    return lifecycle_polled(svc) ? micro__engine_timeout(svc->engine) : MICRO_OFF;
}

MICRO_API micro_err micro_post(micro_service *svc, int delay_ms, void (*fn)(void *arg), void *arg)
{
    if (!svc)
        return MICRO_ENOMEM;
    if (!fn)
        return MICRO_EINVAL;
    micro__lock(&svc->lock);
    bool open = svc->engine && atomic_load(&svc->life->gate) & MICRO__GATE_OPEN;
    micro_err err = MICRO_ECLOSED;
    if (open)
        err = micro__life_post(svc->life, svc->engine, delay_ms, fn, arg);
    micro__unlock(&svc->lock);
    return err;
}
