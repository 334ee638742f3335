/* SPDX-License-Identifier: MIT */
/* Events of a service: its broker, what it publishes, and its subscribers. */
#include "service.h"

/* ---- broker -------------------------------------------------------------------------------- */

MICRO_API micro_broker *micro_service_broker(micro_service *svc)
{
    return svc ? svc->broker : NULL;
}

/* By the start, or by the first who needs it. Two at once both connect: that is counted. */
MICRO_PRIVATE micro_err micro__service_broker_connect(micro_service *svc, micro_ctx *ctx)
{
    micro__lock(&svc->lock);
    bool connected = svc->connects > 0;
    micro__unlock(&svc->lock);
    micro_err err = connected ? MICRO_OK : micro__broker_connect(svc->broker, ctx, svc);
    if (connected || err != MICRO_OK)
        return err;
    micro__lock(&svc->lock);
    svc->connects++;
    micro__unlock(&svc->lock);
    return MICRO_OK;
}

/* Of the time that the end has (0: no limit), as brokers are told it. */
static int events_left(uint64_t deadline)
{
    uint64_t now = micro__now_ms();

    return !deadline ? MICRO_OFF : deadline > now ? (int)(deadline - now) : 0;
}

MICRO_PRIVATE void micro__service_broker_disconnect(micro_service *svc, uint64_t deadline)
{
    micro__lock(&svc->lock);
    int n = svc->connects;
    svc->connects = 0;
    micro__unlock(&svc->lock);
    while (n-- > 0)
        micro__broker_disconnect(svc->broker, events_left(deadline));
}

/* ---- publish ------------------------------------------------------------------------------- */

static micro_err events_checks(micro_ctx *ctx, const char *topic, const micro_type *type,
                               const void *msg)
{
    micro_err err = micro__service_ready(ctx);

    if (err == MICRO_OK && (!topic || !*topic || !type || !msg))
        err = micro__ctx_local(ctx, MICRO_EINVAL, "publication without a topic or a message");
    return err;
}

/* One publication, inside its middleware. */
typedef struct events_publication {
    const char *topic;
    const micro_type *type;
    const micro_publish_opts *opts;
} events_publication;

static micro_err events_send(micro_ctx *ctx, const events_publication *p, const void *msg)
{
    micro_service *svc = ctx->svc;
    micro_buf *body = micro__pool_buf(svc->client.pool);
    micro_msg out = { { NULL, 0, 0 }, { NULL, 0 } };

    if (!body)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro_err err =
        micro__client_message(&svc->client, ctx, p->topic, p->type, msg, p->opts, body, &out);
    if (err == MICRO_OK)
        err = micro__service_broker_connect(svc, ctx);
    if (err == MICRO_OK)
        err = micro__broker_publish(svc->broker, ctx, p->topic, &out, p->opts);
    micro__pool_buf_give(svc->client.pool, body);
    return err;
}

static micro_err events_inside(micro__chain *chain)
{
    micro__ctx_clear_error(chain->ctx);
    micro_err err = micro__ctx_sticky(chain->ctx);
    return err == MICRO_OK ? events_send(chain->ctx, chain->arg, chain->req) : err;
}

static micro_err events_publish(micro_ctx *ctx, events_publication *p, const void *msg)
{
    const micro__wraps *wraps = &ctx->svc->wraps;
    const micro_info info = { .stage = MICRO_WRAP_CLIENT,
                              .service = "",
                              .topic = p->topic,
                              .content_type =
                                  p->opts->content_type ? p->opts->content_type : MICRO__EVENT_TYPE,
                              .peer = "" };
    micro__chain chain = {
        .wraps = wraps, .ctx = ctx, .info = &info, .req = msg, .end = events_inside, .arg = p
    };
    micro_err err = micro__ctx_check(ctx, ctx->deadline);

    if (err != MICRO_OK)
        return micro__ctx_local(ctx, err, "%s", micro_strerror(err));
    return micro__wrapped(wraps, MICRO_WRAP_CLIENT) ? micro__chain_run(&chain)
                                                    : events_send(ctx, p, msg);
}

MICRO_API micro_err micro_publish(micro_ctx *ctx, const char *topic, const micro_type *type,
                                  const void *msg, const micro_publish_opts *opts)
{
    micro_publish_opts o = { 0 };

    if (!ctx)
        return MICRO_ENOMEM;
    micro__ctx_clear_error(ctx);
    micro_err err = events_checks(ctx, topic, type, msg);
    if (err != MICRO_OK)
        return err;
    if (opts && micro__opts_read(&o, sizeof o, opts, opts->size_) != MICRO_OK)
        return micro__ctx_local(ctx, MICRO_EVERSION, "micro_publish_opts of a newer micro.h");
    events_publication p = { topic, type, &o };
    return events_publish(ctx, &p, msg);
}

/* ---- subscribers --------------------------------------------------------------------------- */

static const char *events_problem(const micro_type *type, const micro_subscribe_opts *opts,
                                  micro_subscribe_opts *o)
{
    if (opts && micro__opts_read(o, sizeof *o, opts, opts->size_) != MICRO_OK)
        return "micro_subscribe_opts of a newer micro.h";
    if (o->max_running < 0 && o->max_running != MICRO_OFF)
        return "max_running is negative";
    return type ? micro__type_check(type) : NULL;
}

MICRO_API void micro_service_subscribe(micro_service *svc, const char *topic,
                                       const micro_type *type, micro_receive_fn *receive,
                                       micro_fn *fn, void *state, const micro_subscribe_opts *opts)
{
    micro_subscribe_opts o = { 0 };

    if (!svc || micro__service_setup_over(svc, "a subscriber was added"))
        return;
    const char *name = topic && *topic ? topic : "(no topic)";
    const char *problem = events_problem(type, opts, &o);
    if (problem) {
        micro__service_stick(svc, MICRO_EINVAL, "subscriber of %s: %s", name, problem);
        return;
    }
    const micro__subscriber s = { .type = type,
                                  .receive = receive,
                                  .fn = fn,
                                  .state = state,
                                  .queue = (char *)(uintptr_t)o.queue,
                                  .internal = o.internal,
                                  .max_running = o.max_running };
    micro_err err = micro__server_subscribe(&svc->server, topic, &s);
    if (err == MICRO_EINVAL)
        micro__service_stick(svc, err, "subscriber of %s: without topic, type or handler", name);
    else if (err != MICRO_OK)
        micro__service_stick(svc, err, "out of memory");
}

MICRO_PRIVATE micro_err micro__service_subscribers_start(micro_service *svc, micro_ctx *ctx)
{
    micro_err err = MICRO_OK;

    for (micro__subscriber *s = svc->server.subscribers; s && err == MICRO_OK; s = s->next) {
        const micro_subscribe_opts o = { .size_ = sizeof o,
                                         .queue = s->queue,
                                         .internal = s->internal,
                                         .max_running = s->max_running };
        err = micro__broker_subscribe(svc->broker, ctx, s->topic, &o, micro__subscriber_event, s,
                                      &s->sub);
        if (err == MICRO_OK)
            MICRO_LOG(MICRO_LOG_INFO, "Subscribing to topic: %s", s->topic);
        else
            s->sub = NULL;
    }
    return err;
}

/* What was taken is still handled; true: all of it has ended by the deadline (0: none). */
MICRO_PRIVATE bool micro__service_subscribers_stop(micro_service *svc, uint64_t deadline)
{
    bool ended = true;

    for (micro__subscriber *s = svc->server.subscribers; s; s = s->next) {
        if (s->sub && micro__broker_unsubscribe(svc->broker, s->sub, events_left(deadline)) ==
                          MICRO_ETIMEDOUT)
            ended = false;
        s->sub = NULL;
    }
    return ended;
}
