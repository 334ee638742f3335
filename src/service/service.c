/* SPDX-License-Identifier: MIT */
/* A service: made from options, flags and plug-ins; its handlers, hooks and calls. How it runs is
 * in lifecycle.c. */
#include "service.h"

#define SERVICE_POOL_SIZE 100
#define SERVICE_POOL_IDLE_MS 30000
#define SERVICE_POOL_AGE_MS 60000

static atomic_int service_count; /* the last to go gives back what the process keeps */

MICRO_PRIVATE micro_err micro__service_stick(micro_service *svc, micro_err err, const char *fmt,
                                             ...)
{
    va_list args;

    if (svc->error != MICRO_OK || err == MICRO_OK)
        return err;
    svc->error = err;
    va_start(args, fmt);
    vsnprintf(svc->why, sizeof svc->why, fmt, args);
    va_end(args);
    return err;
}

/* ---- making one ---------------------------------------------------------------------------- */

static const char *service_text(micro_service *svc, const char *text)
{
    return text ? micro__arena_text(&svc->arena, text, strlen(text)) : NULL;
}

static void service_metadata(micro_service *svc, const char *const *list)
{
    for (; list && *list; list++) {
        micro_str value, key = micro__str_cut(micro_s(*list), '=', &value);
        if (!key.len)
            micro__service_stick(svc, MICRO_EINVAL, "metadata \"%s\" is not key=value", *list);
        else if (!micro__pairs_set(&svc->arena, &svc->s.metadata, key, value))
            micro__service_stick(svc, MICRO_ENOMEM, "out of memory");
    }
}

static void service_settings(micro_service *svc)
{
    const micro_service_opts *o = &svc->o;
    micro__settings *s = &svc->s;

    s->name = service_text(svc, o->name);
    s->version = service_text(svc, o->version);
    s->id = service_text(svc, o->id);
    s->address = service_text(svc, o->address);
    s->advertise = service_text(svc, o->advertise);
    s->description = service_text(svc, o->description);
    service_metadata(svc, o->metadata);
    s->register_ttl_ms = o->register_ttl_ms;
    s->register_interval_ms = o->register_interval_ms;
    s->pool_size = o->pool_size;
    s->pool_idle_ms = o->pool_idle_ms;
    s->pool_age_ms = o->pool_age_ms;
    s->loops = o->loops;
    s->max_threads = o->max_threads;
    s->max_conns = o->max_conns;
    s->max_body = o->max_body;
    s->idle_ms = o->idle_ms;
    s->max_memory = o->max_memory;
    s->drain_ms = o->drain_ms;
    s->metrics = o->metrics;
    s->trace = o->trace;
    s->log_level = -1;
}

static void service_flags(micro_service *svc)
{
    micro__flag_input in = {
        .argc = svc->o.argc, .argv = svc->o.argv, .user = svc->o.flags, .nuser = svc->o.nflags
    };
    char why[256] = "";
    micro_err err = micro__flags_read(&svc->s, &in, &svc->arena, why);

    svc->args = in.args;
    svc->nargs = in.nargs;
    if (err != MICRO_OK)
        micro__service_stick(svc, err, "%s", why[0] ? why : micro_strerror(err));
    if (svc->s.log_level >= 0)
        micro__log_level(svc->s.log_level);
}

static const char *service_random_id(micro_service *svc)
{
    char text[37];

    if (!micro__random_uuid(text)) {
        micro__service_stick(svc, MICRO_EIO, "no random numbers for an id");
        return "";
    }
    return micro__arena_text(&svc->arena, text, 36);
}

static void service_defaults(micro_service *svc)
{
    micro__settings *s = &svc->s;

    if (!s->name || !*s->name)
        s->name = "go-server";
    if (!s->version || !*s->version)
        s->version = "1.0.0";
    if (!s->id || !*s->id)
        s->id = service_random_id(svc);
    if (!s->pool_size)
        s->pool_size = SERVICE_POOL_SIZE;
    if (!s->pool_idle_ms)
        s->pool_idle_ms = SERVICE_POOL_IDLE_MS;
    if (!s->pool_age_ms)
        s->pool_age_ms = SERVICE_POOL_AGE_MS;
    if (!s->id)
        micro__service_stick(svc, MICRO_ENOMEM, "out of memory");
}

/* A flag overrides an option; what a flag made belongs to the service. */
static void service_plugins(micro_service *svc)
{
    const micro_service_opts *o = &svc->o;
    const micro__settings *s = &svc->s;
    char why[256] = "out of memory";

    svc->registry = s->registry ? NULL : o->registry;
    svc->own_registry = !svc->registry;
    if (!svc->registry)
        svc->registry = micro__plugin_registry(
            o->plugins, o->nplugins, s->registry ? s->registry : "mdns", s->registry_address, why);
    svc->transport = s->transport ? NULL : o->transport;
    svc->own_transport = !svc->transport;
    if (svc->registry && !svc->transport)
        svc->transport =
            micro__plugin_transport(o->plugins, o->nplugins, s->transport ? s->transport : "http",
                                    s->transport_address, why);
    svc->selector = s->selector ? NULL : o->selector;
    svc->own_selector = !svc->selector;
    if (svc->registry && svc->transport && !svc->selector)
        svc->selector = micro__plugin_selector(
            o->plugins, o->nplugins, s->selector ? s->selector : "cache", svc->registry, why);
    svc->broker = s->broker || s->broker_address ? NULL : o->broker;
    svc->own_broker = !svc->broker;
    if (svc->registry && svc->transport && svc->selector && !svc->broker)
        svc->broker = micro__plugin_broker(o->plugins, o->nplugins, s->broker ? s->broker : "http",
                                           s->broker_address, why);
    if (!svc->registry || !svc->transport || !svc->selector || !svc->broker)
        micro__service_stick(svc, MICRO_EUSAGE, "%s", why);
}

static void service_client(micro_service *svc)
{
    const micro__settings *s = &svc->s;
    micro__pool_opts pool = { s->pool_size, s->pool_idle_ms, s->pool_age_ms };
    micro__client *c = &svc->client;

    if (!svc->transport || !svc->selector)
        return;
    c->name = s->name;
    c->selector = svc->selector;
    c->transport = svc->transport;
    c->codecs = svc->o.codecs;
    c->ncodecs = svc->o.ncodecs;
    c->trace = s->trace;
    c->defaults = svc->call;
    c->engine = micro__service_engine_of;
    if (s->request_timeout_ms)
        c->defaults.timeout_ms = s->request_timeout_ms;
    if (s->attempts)
        c->defaults.attempts = s->attempts;
    if (micro__plugin_strategy(s->selector))
        c->defaults.strategy = micro__plugin_strategy(s->selector);
    c->wraps = &svc->wraps;
    c->pool_opts = pool;
    c->pool = micro__pool_new(svc->transport, &pool);
    if (!c->pool)
        micro__service_stick(svc, MICRO_ENOMEM, "out of memory");
}

static void service_server(micro_service *svc)
{
    svc->server.svc = svc;
    svc->server.name = svc->s.name;
    svc->server.version = svc->s.version;
    svc->server.id = svc->s.id;
    svc->server.metrics = svc->s.metrics;
    svc->server.trace = svc->s.trace;
    svc->server.codecs = svc->o.codecs;
    svc->server.ncodecs = svc->o.ncodecs;
    svc->server.wraps = &svc->wraps;
    svc->server.max_requests = svc->o.max_requests;
    svc->server.once = svc->o.function;
    svc->server.ended = micro__service_ask;
    svc->server.started = micro__wall_seconds();
    if (micro__server_add_debug(&svc->server) != MICRO_OK)
        micro__service_stick(svc, MICRO_ENOMEM, "out of memory");
}

static void service_options(micro_service *svc, const micro_service_opts *opts)
{
    if (!opts)
        return;
    if (opts->abi_ != MICRO_ABI ||
        micro__opts_read(&svc->o, sizeof svc->o, opts, opts->size_) != MICRO_OK) {
        memset(&svc->o, 0, sizeof svc->o);
        micro__service_stick(svc, MICRO_EVERSION, "micro.h of the program and micro.c differ");
        return;
    }
    if (svc->o.call &&
        micro__opts_read(&svc->call, sizeof svc->call, svc->o.call, svc->o.call->size_) != MICRO_OK)
        micro__service_stick(svc, MICRO_EVERSION, "micro_call_opts of a newer micro.h");
}

MICRO_API micro_service *micro_service_create(const micro_service_opts *opts)
{
    micro_service *svc = micro__alloc_zero(sizeof *svc);

    if (!svc)
        return NULL;
    svc->life = micro__life_new();
    if (!svc->life) {
        micro__free(svc, sizeof *svc);
        return NULL;
    }
    atomic_fetch_add(&service_count, 1);
    micro__arena_init(&svc->arena, NULL, 0);
    micro__mutex_init(&svc->lock);
    micro__cond_init(&svc->stopped);
    svc->hooks_end = &svc->hooks;
    svc->stop.fd = svc->stop.in = -1;
    service_options(svc, opts);
    service_settings(svc);
    service_flags(svc);
    service_defaults(svc);
    if (svc->error == MICRO_OK)
        service_plugins(svc);
    service_client(svc);
    service_server(svc);
    if (svc->arena.failed)
        micro__service_stick(svc, MICRO_ENOMEM, "out of memory");
    return svc;
}

MICRO_API void micro_service_free(micro_service *svc)
{
    if (!svc)
        return;
    micro_service_stop(svc);
    micro__service_broker_disconnect(svc, micro__service_deadline(svc));
    if (svc->port || svc->stuck)
        return; /* a handler did not end in time and still uses it: a leak is better than a crash */
    if (svc->own_broker)
        micro_broker_free(svc->broker);
    if (svc->engine)
        micro__engine_close(svc->engine);
    micro__pool_free(svc->client.pool);
    if (svc->own_selector)
        micro_selector_free(svc->selector);
    if (svc->own_transport)
        micro_transport_free(svc->transport);
    if (svc->own_registry)
        micro_registry_free(svc->registry);
    micro__server_free(&svc->server);
    micro__life_drop(svc->life);
    micro__cond_destroy(&svc->stopped);
    micro__mutex_destroy(&svc->lock);
    micro__arena_free(&svc->arena);
    micro__free(svc, sizeof *svc);
    if (atomic_fetch_sub(&service_count, 1) == 1)
        micro__ctx_spare_free();
}

/* ---- what a program asks of it ------------------------------------------------------------- */

MICRO_API micro_err micro_service_error(micro_service *svc)
{
    return svc ? svc->error : MICRO_ENOMEM;
}

MICRO_API const char *micro_service_name(micro_service *svc)
{
    return svc ? svc->s.name : "";
}

MICRO_API const char *micro_service_address(micro_service *svc)
{
    return svc ? svc->address : "";
}

MICRO_API size_t micro_service_args(micro_service *svc, const char *const **args)
{
    static const char *const none[] = { NULL };

    if (args)
        *args = svc && svc->args ? svc->args : none;
    return svc ? svc->nargs : 0;
}

MICRO_API micro_registry *micro_service_registry(micro_service *svc)
{
    return svc ? svc->registry : NULL;
}

MICRO_API int micro_service_exit_code(micro_service *svc, micro_err err)
{
    if (svc && svc->error != MICRO_OK)
        err = svc->error;
    if (err == MICRO_OK || err == MICRO_EHELP)
        return 0;
    return err == MICRO_EUSAGE ? 2 : 1;
}

/* ---- handlers and hooks -------------------------------------------------------------------- */

MICRO_PRIVATE bool micro__service_setup_over(micro_service *svc, const char *what)
{
    if (svc->state == MICRO__SERVICE_NEW || svc->state == MICRO__SERVICE_STARTING)
        return false;
    micro__service_stick(svc, MICRO_EINVAL, "%s after the service was started", what);
    return true;
}

/* Faults in a table are found when it is first put to use, not in the middle of a call. */
static const char *service_type_problem(const micro_method *m)
{
    const char *problem = m && m->req ? micro__type_check(m->req) : NULL;

    return problem || !m || !m->rsp ? problem : micro__type_check(m->rsp);
}

static void service_add(micro_service *svc, const micro__route *route)
{
    const micro_method *method = route->method;

    if (!svc || micro__service_setup_over(svc, "a handler was added"))
        return;
    const char *problem = service_type_problem(method);
    if (problem) {
        micro__service_stick(svc, MICRO_EINVAL, "%s", problem);
        return;
    }
    micro_err err = micro__server_add(&svc->server, route);
    const char *name = method && method->name ? method->name : "(no name)";
    if (err == MICRO_EEXIST)
        micro__service_stick(svc, err, "rpc: service already defined: %s", name);
    else if (err == MICRO_EINVAL)
        micro__service_stick(svc, err, "method %s: not Type.Method, or without types or handler",
                             name);
    else if (err != MICRO_OK)
        micro__service_stick(svc, err, "out of memory");
}

MICRO_API void micro_service_wrap(micro_service *svc, unsigned places, micro_middleware *fn,
                                  void *arg)
{
    const unsigned all =
        MICRO_WRAP_CLIENT | MICRO_WRAP_CALL | MICRO_WRAP_HANDLER | MICRO_WRAP_SUBSCRIBER;

    if (!svc || micro__service_setup_over(svc, "middleware was added"))
        return;
    if (!fn || !places || places & ~all)
        micro__service_stick(svc, MICRO_EINVAL, "middleware without function or place");
    else if (!micro__wraps_add(&svc->wraps, &svc->arena, places, fn, arg))
        micro__service_stick(svc, MICRO_ENOMEM, "out of memory");
}

MICRO_API void micro_service_handle(micro_service *svc, const micro_method *method,
                                    micro_invoke_fn *invoke, micro_fn *fn, void *state)
{
    const micro__route route = { .method = method, .invoke = invoke, .fn = fn, .state = state };

    service_add(svc, &route);
}

MICRO_API void micro_service_handle_stream(micro_service *svc, const micro_method *method,
                                           micro_stream_fn *fn, void *state)
{
    const micro__route route = { .method = method, .stream = fn, .state = state };

    service_add(svc, &route);
}

MICRO_API void micro_service_on(micro_service *svc, enum micro_moment when,
                                micro_err (*fn)(micro_service *svc, void *arg), void *arg)
{
    if (!svc || micro__service_setup_over(svc, "a hook was added"))
        return;
    micro__hook *h = fn ? micro__arena_zero(&svc->arena, sizeof *h) : NULL;
    if (!h) {
        micro__service_stick(svc, fn ? MICRO_ENOMEM : MICRO_EINVAL,
                             fn ? "out of memory" : "hook without function");
        return;
    }
    h->when = when;
    h->fn = fn;
    h->arg = arg;
    *svc->hooks_end = h;
    svc->hooks_end = &h->next;
}

MICRO_PRIVATE micro_err micro__service_hooks(micro_service *svc, enum micro_moment when)
{
    bool stopping = when == MICRO_BEFORE_STOP || when == MICRO_AFTER_STOP;
    micro_err first = MICRO_OK;

    for (micro__hook *h = svc->hooks; h; h = h->next) {
        if (h->when != when)
            continue;
        micro_err err = h->fn(svc, h->arg);
        if (err != MICRO_OK && first == MICRO_OK)
            first = err;
        if (err != MICRO_OK && !stopping)
            break;
    }
    return first;
}

/* ---- calls --------------------------------------------------------------------------------- */

MICRO_PRIVATE micro_err micro__service_ready(micro_ctx *ctx)
{
    const micro_service *svc = ctx->svc;

    if (!svc)
        return micro__ctx_local(ctx, MICRO_EINVAL, "this ctx was made without a service");
    if (svc->error != MICRO_OK)
        return micro__ctx_local(ctx, svc->error, "%s", svc->why);
    return micro__ctx_sticky(ctx);
}

static micro_err service_call_checks(micro_ctx *ctx, const char *service,
                                     const micro_method *method)
{
    micro_err err = micro__service_ready(ctx);

    if (err == MICRO_OK && (!service || !method->name || !method->req || !method->rsp))
        err = micro__ctx_local(ctx, MICRO_EINVAL, "call without a service or a whole method");
    return err;
}

MICRO_API micro_err micro_call(micro_ctx *ctx, const char *service, const micro_method *method,
                               const void *req, void *rsp, const micro_call_opts *opts)
{
    if (!ctx)
        return MICRO_ENOMEM;
    if (!method || !req || !rsp)
        return micro__ctx_local(ctx, MICRO_EINVAL,
                                "call without a method, a request or a place for the reply");
    if (!service)
        service = method->service;
    micro_err err = service_call_checks(ctx, service, method);
    if (err != MICRO_OK) {
        if (method->rsp)
            micro__type_zero(method->rsp, rsp);
        return err;
    }
    return micro__client_call(&ctx->svc->client, ctx, service, method, req, rsp, opts);
}

MICRO_PRIVATE micro_err micro__service_engine(micro_service *svc)
{
    micro_err err = MICRO_OK;

    micro__lock(&svc->lock);
    if (!svc->engine)
        err = micro__engine_open(svc->s.loops >= 0, svc->s.loops, svc->s.max_threads, &svc->engine);
    micro__unlock(&svc->lock);
    return err;
}

MICRO_PRIVATE micro_err micro__service_engine_of(micro_service *svc, micro__engine **out)
{
    micro_err err = micro__service_engine(svc);

    *out = svc->engine;
    return err;
}

static micro_err service_start_checks(micro_ctx *ctx, const char *service,
                                      const micro_method *method, const void *req)
{
    if (!method || !req)
        return micro__ctx_local(ctx, MICRO_EINVAL, "call without a method or a request");
    micro_err err = service_call_checks(ctx, service ? service : method->service, method);
    if (err != MICRO_OK)
        return err;
    err = micro__service_engine(ctx->svc);
    return err == MICRO_OK ? err : micro__ctx_local(ctx, err, "%s", micro_strerror(err));
}

MICRO_API micro_err micro_ctx_on_cancel(micro_ctx *ctx, void (*fn)(void *arg), void *arg)
{
    if (!ctx)
        return MICRO_ENOMEM;
    micro__ctx_disarm(ctx);
    if (!fn)
        return MICRO_OK;
    if (!ctx->svc)
        return micro__ctx_local(ctx, MICRO_EINVAL, "this ctx was made without a service");
    micro_err err = micro__service_engine(ctx->svc);
    if (err != MICRO_OK)
        return micro__ctx_local(ctx, err, "%s", micro_strerror(err));
    return micro__ctx_arm(ctx, ctx->svc->engine, fn, arg);
}

MICRO_API void micro_call_start(micro_ctx *ctx, const char *service, const micro_method *method,
                                const void *req, const micro_call_opts *opts, micro_done_fn *done,
                                micro_fn *fn, void *arg)
{
    micro_err err = ctx ? service_start_checks(ctx, service, method, req) : MICRO_ENOMEM;

    if (err == MICRO_OK)
        micro__client_start(&ctx->svc->client, ctx->svc->engine, ctx,
                            service ? service : method->service, method, req, opts, NULL, 0, done,
                            fn, arg);
    else
        done(ctx, err, fn, NULL, arg);
}

MICRO_API size_t micro_call_start_all(micro_ctx *ctx, const char *service,
                                      const micro_method *method, const void *req,
                                      const micro_call_opts *opts, micro_done_fn *done,
                                      micro_fn *fn, void *arg)
{
    micro_err err = ctx ? service_start_checks(ctx, service, method, req) : MICRO_ENOMEM;

    if (err == MICRO_OK)
        return micro__client_start_all(&ctx->svc->client, ctx->svc->engine, ctx,
                                       service ? service : method->service, method, req, opts, done,
                                       fn, arg);
    done(ctx, err, fn, NULL, arg);
    return 0;
}

MICRO_API micro_err micro_stream_open(micro_ctx *ctx, const char *service,
                                      const micro_method *method, const micro_call_opts *opts,
                                      micro_stream **out)
{
    if (out)
        *out = NULL;
    if (!ctx)
        return MICRO_ENOMEM;
    if (!method || !out)
        return micro__ctx_local(ctx, MICRO_EINVAL, "stream without a method or a place for it");
    if (!service)
        service = method->service;
    micro_err err = service_call_checks(ctx, service, method);
    if (err != MICRO_OK)
        return err;
    return micro__client_open(&ctx->svc->client, ctx, service, method, opts, out);
}
