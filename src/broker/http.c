/* SPDX-License-Identifier: MIT */
/* The http broker's life: connected, its subscriptions registered and kept so, disconnected. */
#include "http.h"

#define HTTP_TTL_MS 60000 /* of a registration */
#define HTTP_INTERVAL_MS 30000
#define HTTP_REGISTRY_MS 2000 /* a registry that does not answer must not hold up the end */
#define HTTP_FLUSH_MS 5000    /* what was published has so long to go out at the end, at most */
#define HTTP_LAST_MS 200      /* and so long when no time is left: for what is taken at once */
#define HTTP_DRAIN_MS 1000
#define HTTP_CONNS 20000
#define HTTP_KEPT (256u << 20) /* of events that have come in part, all together */
#define HTTP_IDLE_MS 75000
#define HTTP_LABEL_MAX 63 /* of a part of a DNS name */

static micro__http_broker *httpbroker_of(micro_broker *base)
{
    return (micro__http_broker *)base;
}

static micro__http_sub *httpbroker_sub_of(micro_sub *s)
{
    return (micro__http_sub *)s;
}

MICRO_PRIVATE micro_err micro__http_begin(micro__http_broker *b)
{
    micro__lock(&b->lock);
    bool open = b->connected && !b->closing;
    b->busy += open;
    micro__unlock(&b->lock);
    return open ? MICRO_OK : MICRO_ECLOSED;
}

MICRO_PRIVATE void micro__http_end(micro__http_broker *b)
{
    micro__lock(&b->lock);
    b->busy--;
    micro__cond_broadcast(&b->changed);
    micro__unlock(&b->lock);
}

/* ---- connect, disconnect ------------------------------------------------------------------- */

/* With the lock. */
static micro_err httpbroker_open(micro__http_broker *b, micro_service *svc, micro__engine *e)
{
    static const micro__pipelines_opts out = { .what = "events",
                                               .max_bytes = MICRO_MAX_BODY,
                                               .dial_ms = 5000,
                                               .ack_ms = 30000,
                                               .idle_ms = 30000 };

    b->svc = svc;
    b->engine = e;
    b->registry = micro_service_registry(svc);
    b->life = micro__life_new();
    b->selector = micro__selector_cache_whole(b->registry);
    b->out = micro__pipelines_new(e, &out);
    if (b->life && b->selector && b->out) {
        micro__life_open(b->life);
        return MICRO_OK;
    }
    micro__pipelines_close(b->out, 0);
    micro_selector_free(b->selector);
    if (b->life)
        micro__life_drop(b->life);
    b->life = NULL;
    b->selector = NULL;
    b->out = NULL;
    return MICRO_ENOMEM;
}

static micro_err httpbroker_connect(micro_broker *base, micro_ctx *ctx, micro_service *svc)
{
    micro__http_broker *b = httpbroker_of(base);
    micro__engine *e;
    micro_err err = micro__service_engine_of(svc, &e);

    if (err != MICRO_OK)
        return err;
    micro__lock(&b->lock);
    if (b->closing)
        err = MICRO_EBUSY;
    else if (!b->connected)
        err = httpbroker_open(b, svc, e);
    else if (b->registry != micro_service_registry(svc) || b->engine != e)
        err = MICRO_EINVAL; /* they would go with the service that they are of */
    b->connected += err == MICRO_OK;
    micro__unlock(&b->lock);
    return err != MICRO_EINVAL ? err
                               : micro__ctx_local(ctx, err,
                                                  "services that share a broker need one registry, "
                                                  "and loops of the same kind");
}

/* Where nobody subscribes any more, who still publishes to us would only be served to no end. */
static bool httpbroker_unlisten(micro__http_broker *b, uint64_t deadline)
{
    return b->subs ? micro__port_close(b->port, deadline) : micro__port_shut(b->port, deadline);
}

/* What is left of subscriptions nobody ended hears nothing any more. */
static void httpbroker_close(micro__http_broker *b, int flush_ms)
{
    micro__life_shut(b->life, 0);
    micro__life_drop(b->life);
    b->life = NULL;
    if (b->port && httpbroker_unlisten(b, micro__now_ms() + HTTP_DRAIN_MS))
        b->port = NULL;
    micro_registry_unwatch(b->registry, b->watch); /* its callback looks at what goes now */
    micro__pipeline_counts sent =
        micro__pipelines_close(b->out, micro__now_ms() + (uint64_t)flush_ms);
    if (sent.lost || sent.refused)
        MICRO_LOG(MICRO_LOG_WARN, "%llu deliveries of events, %llu lost, %llu refused",
                  (unsigned long long)sent.taken, (unsigned long long)sent.lost,
                  (unsigned long long)sent.refused);
    micro__http_forget(b); /* and with the topics what they hold of the selector */
    micro_selector_free(b->selector);
    b->out = NULL;
    b->watch = NULL;
    b->selector = NULL;
    b->watching = b->refreshing = b->asking = false;
}

static int httpbroker_flush(int drain_ms)
{
    if (drain_ms < 0 || drain_ms > HTTP_FLUSH_MS)
        return HTTP_FLUSH_MS;
    return drain_ms < HTTP_LAST_MS ? HTTP_LAST_MS : drain_ms;
}

static void httpbroker_disconnect(micro_broker *base, int drain_ms)
{
    micro__http_broker *b = httpbroker_of(base);

    micro__lock(&b->lock);
    b->closing = b->connected == 1;
    bool last = b->closing;
    while (last && b->busy && micro__engine_pause(b->engine, &b->lock, &b->changed))
        ;
    micro__unlock(&b->lock);
    if (last)
        httpbroker_close(b, httpbroker_flush(drain_ms));
    micro__lock(&b->lock);
    b->connected--;
    b->closing = false;
    micro__unlock(&b->lock);
}

/* ---- registration -------------------------------------------------------------------------- */

MICRO_PRIVATE bool micro__http_names(micro_ctx *ctx, const char *topic,
                                     const char *names[MICRO__HTTP_NAMES])
{
    micro_str own = micro_concat(ctx, micro_s(MICRO__HTTP_TOPIC), micro_s(topic));

    names[0] = own.ptr;
    names[1] = MICRO__HTTP_SHARED_OLD;
    names[2] = MICRO__HTTP_SHARED;
    return own.len != 0;
}

static bool httpbroker_metadata(micro__arena *a, const char *topic, bool shared, micro_pairs *m)
{
    return (!shared || micro__pairs_add(a, m, micro_s("broker"), micro_s("http"))) &&
           micro__pairs_add(a, m, micro_s("secure"), micro_s("false")) &&
           (!shared || micro__pairs_add(a, m, micro_s("topic"), micro_s(topic)));
}

/* Under one of its names; put false: takes it back. */
static micro_err httpbroker_register_as(micro__http_broker *b, micro_ctx *ctx,
                                        const micro__http_sub *s, const char *name, bool shared,
                                        bool put)
{
    micro_node node = { .id = micro_s(s->ids[shared]), .address = micro_s(b->address) };
    micro_entry e = { .name = micro_s(name) };

    e.version = micro_s(s->base.queue ? s->base.queue : MICRO__HTTP_BROADCAST);
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    node.version = e.version;
    if (!httpbroker_metadata(&ctx->arena, s->base.topic, shared, &node.metadata))
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    return put ? micro_registry_put(b->registry, ctx, &e, HTTP_TTL_MS)
               : micro_registry_del(b->registry, ctx, &e);
}

/* A topic that cannot be a name of the registry is still found under the shared ones. */
static micro_err httpbroker_register(micro__http_broker *b, micro_ctx *ctx,
                                     const micro__http_sub *s, bool put)
{
    micro__mark mark = micro__arena_mark(&ctx->arena);
    const char *names[MICRO__HTTP_NAMES];
    micro_err err = MICRO_OK;
    size_t done = 0;

    if (!micro__http_names(ctx, s->base.topic, names))
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    for (size_t i = 0; i < MICRO__HTTP_NAMES; i++) {
        micro_err own = httpbroker_register_as(b, ctx, s, names[i], i > 0, put);
        if (own != MICRO_OK)
            MICRO_LOG(MICRO_LOG_WARN, "%s: %s", names[i], micro_ctx_strerror(ctx));
        done += own == MICRO_OK;
        err = own != MICRO_OK ? own : err;
    }
    if (done)
        micro__arena_rewind(&ctx->arena, mark);
    return done ? MICRO_OK : err;
}

static void httpbroker_deregister(micro__http_broker *b, micro__http_sub *s)
{
    micro_ctx *ctx = micro_ctx_new(NULL);

    micro__lock(&b->lock);
    s->gone = true;
    micro__unlock(&b->lock);
    micro_ctx_set_timeout(ctx, HTTP_REGISTRY_MS);
    if (ctx)
        micro_ignore(httpbroker_register(b, ctx, s, false)); /* logged */
    micro_ctx_free(ctx);
}

/* All subscriptions, held. NULL: out of memory. */
static micro_sub **httpbroker_hold_all(micro__http_broker *b, size_t *n, size_t *size)
{
    size_t count = 0;

    micro__lock(&b->lock);
    for (micro_sub *s = b->subs; s; s = s->next)
        count++;
    *size = (count + 1) * sizeof(micro_sub *);
    micro_sub **list = (micro_sub **)micro__alloc(*size);
    *n = 0;
    for (micro_sub *s = b->subs; s && list; s = s->next) {
        micro__sub_hold(s);
        list[(*n)++] = s;
    }
    micro__unlock(&b->lock);
    return list;
}

/* One that is unsubscribed at this moment must not come back. */
static void httpbroker_refresh_one(micro__http_broker *b, micro__http_sub *s)
{
    micro_ctx *ctx = micro_ctx_new(NULL);

    micro_ctx_set_timeout(ctx, HTTP_REGISTRY_MS);
    micro__lock(&b->lock);
    bool gone = s->gone;
    micro__unlock(&b->lock);
    if (ctx && !gone)
        micro_ignore(httpbroker_register(b, ctx, s, true)); /* logged; tried again */
    micro__lock(&b->lock);
    bool went = !gone && s->gone;
    micro__unlock(&b->lock);
    if (ctx && went)
        micro_ignore(httpbroker_register(b, ctx, s, false));
    micro_ctx_free(ctx);
}

static void httpbroker_refresh(void *arg)
{
    micro__http_broker *b = arg;
    size_t n, size;
    micro_sub **list = httpbroker_hold_all(b, &n, &size);

    for (size_t i = 0; i < n; i++) {
        httpbroker_refresh_one(b, httpbroker_sub_of(list[i]));
        micro__sub_drop(list[i]);
    }
    micro__free(list, size);
    micro_ignore(micro__life_post(b->life, b->engine, HTTP_INTERVAL_MS, httpbroker_refresh, b));
}

/* ---- subscribe ----------------------------------------------------------------------------- */

static micro_err httpbroker_bind(micro__http_broker *b, micro__port **port, char address[128],
                                 char *why)
{
    static const char any[] = ":0";
    const char *at = b->listen && *b->listen ? b->listen : any;
    micro__port_opts o = { .serve = micro__http_receive,
                           .arg = b,
                           .max_body = MICRO_MAX_BODY,
                           .max_kept = HTTP_KEPT,
                           .max_conns = HTTP_CONNS,
                           .idle_ms = HTTP_IDLE_MS,
                           .goes_on = true,
                           .heads_stay = true,
                           .forget = micro__http_receive_forget };
    micro__listener s;
    micro__addr addr;
    micro_err err = micro__addr_resolve(&addr, micro_s(at));

    if (err == MICRO_OK)
        err = micro__listener_open(&s, &addr);
    if (err == MICRO_OK)
        err = micro__port_open(b->engine, &s, &o, port);
    if (err == MICRO_OK)
        return micro__advertise(NULL, micro__port_address(*port), address, why);
    if (err == MICRO_ENOTFOUND)
        err = MICRO_EINVAL;
    snprintf(why, 256, "broker: listen on %s: %s", at,
             err == MICRO_EINVAL ? "no such address" : micro_strerror(err));
    return err;
}

/* With the first subscription. Nothing is done with the lock held that could wait. */
static micro_err httpbroker_listen(micro__http_broker *b, micro_ctx *ctx)
{
    char address[128], why[256] = "";
    micro__port *port = NULL;

    micro__lock(&b->lock);
    bool open = b->port != NULL;
    micro__unlock(&b->lock);
    micro_err err = open ? MICRO_OK : httpbroker_bind(b, &port, address, why);
    if (err != MICRO_OK)
        return micro__ctx_local(ctx, err, "%s", why);
    micro__lock(&b->lock);
    if (port && !b->port) {
        b->port = port;
        memcpy(b->address, address, sizeof address);
        port = NULL;
    }
    micro__unlock(&b->lock);
    if (port) /* somebody else was faster */
        micro__port_close(port, micro__now_ms());
    return MICRO_OK;
}

static void httpbroker_sub_free(micro_sub *base)
{
    micro__http_sub *s = httpbroker_sub_of(base);

    micro__strfree(s->ids[0]);
    micro__strfree(s->ids[1]);
    micro__sub_release(base);
    micro__free(s, sizeof *s);
}

/* The id ends in the UUID; the topic in front of it is for people, and is cut where the whole would
 * not be a name of the DNS. */
static bool httpbroker_ids(micro__http_broker *b, micro__http_sub *s, const char *topic)
{
    const char *dot = strrchr(topic, '.');
    size_t n = strlen(topic), label = dot ? strlen(dot + 1) : n, room = HTTP_LABEL_MAX - 37;
    char text[256];

    if (!micro__random_uuid(s->uuid) || (!b->uuid[0] && !micro__random_uuid(b->uuid)))
        return false;
    snprintf(text, sizeof text, "broker-%s.%s", b->uuid, s->uuid);
    s->ids[0] = micro__strdup(text);
    n -= label > room ? label - room : 0;
    snprintf(text, sizeof text, "%.*s-%s", n < 200 ? (int)n : 0, topic, s->uuid);
    s->ids[1] = micro__strdup(text);
    return s->ids[0] && s->ids[1];
}

static void httpbroker_unlink(micro__http_broker *b, micro_sub *s)
{
    micro__lock(&b->lock);
    micro__sub_unlink(&b->subs, s);
    micro__unlock(&b->lock);
}

/* It can hear before it is found. */
static micro_err httpbroker_join(micro__http_broker *b, micro_ctx *ctx, micro__http_sub *s)
{
    micro__lock(&b->lock);
    s->base.next = b->subs;
    b->subs = &s->base;
    bool refresh = !b->refreshing;
    b->refreshing = true;
    micro__unlock(&b->lock);
    micro_err err = httpbroker_register(b, ctx, s, true);
    if (refresh)
        micro_ignore(micro__life_post(b->life, b->engine, HTTP_INTERVAL_MS, httpbroker_refresh, b));
    return err;
}

static micro_err httpbroker_subscribe_open(micro__http_broker *b, micro_ctx *ctx, const char *topic,
                                           const micro_subscribe_opts *opts, micro_event_fn *event,
                                           void *arg, micro_sub **out)
{
    micro_err err = httpbroker_listen(b, ctx);
    micro__http_sub *s = err == MICRO_OK ? micro__alloc_zero(sizeof *s) : NULL;

    if (!s)
        return err != MICRO_OK ? err : MICRO_ENOMEM;
    s->base.free = httpbroker_sub_free;
    err = micro__sub_init(&s->base, ctx->svc, b->engine, topic, opts, event, arg);
    if (err == MICRO_OK && !httpbroker_ids(b, s, topic))
        err = MICRO_ENOMEM;
    if (err == MICRO_OK) {
        err = httpbroker_join(b, ctx, s);
        if (err != MICRO_OK)
            httpbroker_unlink(b, &s->base);
    }
    if (err == MICRO_OK)
        *out = &s->base;
    else
        micro_ignore(micro__sub_end(&s->base, 0));
    return err;
}

static micro_err httpbroker_subscribe(micro_broker *base, micro_ctx *ctx, const char *topic,
                                      const micro_subscribe_opts *opts, micro_event_fn *event,
                                      void *arg, micro_sub **out)
{
    micro__http_broker *b = httpbroker_of(base);
    micro_err err = micro__http_begin(b);

    if (err != MICRO_OK)
        return err;
    err = httpbroker_subscribe_open(b, ctx, topic, opts, event, arg, out);
    micro__http_end(b);
    return err;
}

static micro_err httpbroker_unsubscribe(micro_broker *base, micro_sub *sub, int drain_ms)
{
    micro__http_broker *b = httpbroker_of(base);

    if (micro__http_begin(b) == MICRO_OK) {
        httpbroker_deregister(b, httpbroker_sub_of(sub));
        micro__http_end(b);
    }
    httpbroker_unlink(b, sub);
    return micro__sub_end(sub, drain_ms);
}

/* ---- the broker ---------------------------------------------------------------------------- */

static const char *httpbroker_address(micro_broker *base)
{
    micro__http_broker *b = httpbroker_of(base);

    micro__lock(&b->lock);
    const char *address = b->address; /* set once */
    micro__unlock(&b->lock);
    return address;
}

static void httpbroker_free(micro_broker *base)
{
    micro__http_broker *b = httpbroker_of(base);

    if (b->port)
        return; /* an event is still being handled: a leak is better than a crash */
    micro__strfree(b->listen);
    micro__cond_destroy(&b->changed);
    micro__mutex_destroy(&b->lock);
    micro__free(b, sizeof *b);
}

static const micro_broker_ops httpbroker_ops = {
    .size_ = sizeof(micro_broker_ops),
    .name = "http",
    .connect = httpbroker_connect,
    .disconnect = httpbroker_disconnect,
    .publish = micro__http_publish,
    .subscribe = httpbroker_subscribe,
    .unsubscribe = httpbroker_unsubscribe,
    .address = httpbroker_address,
    .free = httpbroker_free,
};

MICRO_API micro_broker *micro_broker_http_new(const char *address)
{
    micro__http_broker *b = micro__alloc_zero(sizeof *b);

    if (!b)
        return NULL;
    b->base.ops = &httpbroker_ops;
    b->listen = micro__strdup(address);
    if (address && !b->listen) {
        micro__free(b, sizeof *b);
        return NULL;
    }
    micro__mutex_init(&b->lock);
    micro__cond_init(&b->changed);
    return &b->base;
}
