/* SPDX-License-Identifier: MIT */
/* A call: its options, its attempts, and the node for each of them. */
#include "hedge.h"

#define CLIENT_TIMEOUT_MS 5000
#define CLIENT_ATTEMPTS 3
#define CLIENT_RETRY_BUDGET 10
#define CLIENT_EJECT_AFTER 5
#define CLIENT_BREAK_AFTER 20
#define CLIENT_EJECT_MS 1000

/* ---- options ------------------------------------------------------------------------------- */

#define CLIENT_TAKE(field) \
    do { \
        if (own->field) \
            to->field = own->field; \
    } while (0)

static void client_merge(micro_call_opts *to, const micro_call_opts *own)
{
    CLIENT_TAKE(timeout_ms);
    CLIENT_TAKE(dial_timeout_ms);
    CLIENT_TAKE(attempts);
    CLIENT_TAKE(idempotent);
    CLIENT_TAKE(content_type);
    CLIENT_TAKE(address);
    CLIENT_TAKE(version);
    CLIENT_TAKE(label);
    CLIENT_TAKE(listed);
    CLIENT_TAKE(strategy);
    CLIENT_TAKE(key);
    CLIENT_TAKE(retry_budget);
    CLIENT_TAKE(eject_after);
    CLIENT_TAKE(break_after);
    CLIENT_TAKE(eject_ms);
    CLIENT_TAKE(hedge_ms);
    if (own->filter || own->backoff || own->retry) { /* they share one arg, so they go together */
        to->filter = own->filter;
        to->backoff = own->backoff;
        to->retry = own->retry;
        to->arg = own->arg;
    }
}
#undef CLIENT_TAKE

static unsigned client_limit(int given, unsigned preset)
{
    return given == 0 ? preset : given < 0 ? 0 : (unsigned)given;
}

MICRO_PRIVATE micro_err micro__call_options(micro__call *k, const micro_call_opts *opts)
{
    micro_call_opts own;

    k->o = k->c->defaults;
    if (opts) {
        if (micro__opts_read(&own, sizeof own, opts, opts->size_) != MICRO_OK)
            return micro__ctx_local(k->ctx, MICRO_EVERSION, "micro_call_opts of a newer micro.h");
        client_merge(&k->o, &own);
    }
    if (!k->o.timeout_ms)
        k->o.timeout_ms = CLIENT_TIMEOUT_MS;
    if (!k->o.dial_timeout_ms)
        k->o.dial_timeout_ms = CLIENT_TIMEOUT_MS;
    if (!k->o.attempts)
        k->o.attempts = CLIENT_ATTEMPTS;
    if (!k->o.content_type)
        k->o.content_type = "application/json";
    if (!k->o.retry_budget)
        k->o.retry_budget = CLIENT_RETRY_BUDGET;
    k->limits.eject_after = client_limit(k->o.eject_after, CLIENT_EJECT_AFTER);
    k->limits.break_after = client_limit(k->o.break_after, CLIENT_BREAK_AFTER);
    k->limits.eject_ms = k->o.eject_ms > 0 ? k->o.eject_ms : CLIENT_EJECT_MS;
    k->o.idempotent |= (k->method->flags & MICRO_IDEMPOTENT) != 0;
    k->codec = micro__codec_find(k->c->codecs, k->c->ncodecs, micro_s(k->o.content_type));
    if (!k->codec)
        return micro__ctx_local(k->ctx, MICRO_ECODEC, "Unsupported Content-Type: %s",
                                k->o.content_type);
    return MICRO_OK;
}

/* ---- node ---------------------------------------------------------------------------------- */

/* Bare messages where the node says so, the 2018 envelope everywhere else: every generation answers
 * that. */
static micro_err client_protocol(micro__call *k)
{
    micro_str protocol =
        k->node ? micro__pairs_get(&k->node->metadata, "protocol") : micro__str("", 0);

    if (micro__str_is(protocol, "grpc"))
        return micro__ctx_local(k->ctx, MICRO_ECODEC,
                                "node %.*s speaks grpc, which is not supported",
                                MICRO_STR_ARG(k->node->id));
    micro_str type = micro_s(k->o.content_type);
    k->wire = protocol.len && !micro__str_ends(type, "-rpc") ? MICRO__WIRE_BARE
                                                             : micro__codec_envelope(type);
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__call_select(micro__call *k, const micro_nodes **nodes)
{
    micro_err err = micro__selector_select(k->c->selector, k->ctx, k->service, nodes);

    if (err == MICRO_ENOTFOUND) /* as go-micro's client puts it */
        return micro__ctx_local(k->ctx, err, "none available");
    return err;
}

MICRO_PRIVATE micro__filter micro__call_filter(const micro__call *k)
{
    const micro_call_opts *o = &k->o;

    return (micro__filter){ o->version, o->label, o->listed ? k->method->name : NULL,
                            o->filter,  o->arg,   k->limits.eject_after ? &k->limits : NULL };
}

static micro_err client_no_node(micro__call *k, micro_err err)
{
    if (err != MICRO_ENONODE)
        return micro__ctx_local(k->ctx, err, "out of memory");
    return micro__ctx_local(k->ctx, err,
                            k->limits.eject_after && micro__select_shut(k->nodes, &k->limits)
                                ? "circuit breaker is open"
                                : "none available");
}

static micro_err client_address(micro__call *k)
{
    if (k->node->address.len >= sizeof k->address)
        return micro__ctx_local(k->ctx, MICRO_EINVAL, "node %.*s: address too long",
                                MICRO_STR_ARG(k->node->id));
    memcpy(k->address, k->node->address.ptr, k->node->address.len);
    k->address[k->node->address.len] = 0;
    return client_protocol(k);
}

/* The node's health knows of this call until unchoose. */
static void client_count(micro__call *k, micro__nodeset *set)
{
    k->set = set;
    if (!set)
        return;
    k->health = set->health[k->last];
    atomic_fetch_add_explicit(&k->health->running, 1, memory_order_relaxed);
}

static micro_err client_pick(micro__call *k)
{
    const micro_call_opts *o = &k->o;
    micro__filter filter = micro__call_filter(k);
    micro_err err = micro__call_select(k, &k->nodes);

    if (err != MICRO_OK)
        return err;
    uint64_t turn = micro__select_turn(k->nodes, o->strategy);
    err = micro__select_pick(k->nodes, &filter, o->strategy, k->service, o->key, turn, k->attempt,
                             &k->last, &k->node);
    if (err != MICRO_OK)
        return client_no_node(k, err);
    client_count(k, micro__nodeset_of(k->nodes));
    return client_address(k);
}

static micro_err client_only(micro__call *k)
{
    k->node = k->only;
    client_count(k, k->only_of);
    return client_address(k);
}

static micro_err client_direct(micro__call *k)
{
    if (strlen(k->o.address) >= sizeof k->address)
        return micro__ctx_local(k->ctx, MICRO_EINVAL, "address too long");
    snprintf(k->address, sizeof k->address, "%s", k->o.address);
    return client_protocol(k);
}

MICRO_PRIVATE micro_err micro__call_choose(micro__call *k)
{
    k->node = NULL;
    k->nodes = NULL;
    k->health = NULL;
    k->outcome = k->only ? client_only(k) : k->o.address ? client_direct(k) : client_pick(k);
    k->tried = k->outcome != MICRO_OK;
    if (k->attempt == 1 && k->outcome == MICRO_OK)
        micro__budget_earn(&k->c->budgets, k->service, k->o.retry_budget);
    return k->outcome;
}

MICRO_PRIVATE void micro__call_unchoose(micro__call *k)
{
    if (k->health) {
        bool stale = k->outcome == MICRO_EIO && k->untouched; /* an idle connection was closed */
        atomic_fetch_sub_explicit(&k->health->running, 1, memory_order_relaxed);
        if (k->tried && !stale)
            micro__health_mark(k->set, k->last, k->service, k->outcome, &k->limits);
    }
    if (k->node && k->tried)
        micro__selector_mark(k->c->selector, k->service, k->node, k->outcome);
    if (k->nodes)
        micro__selector_release(k->c->selector, k->nodes);
    k->node = NULL;
    k->nodes = NULL;
    k->health = NULL;
}

/* ---- middleware ---------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__call_describe(const micro__call *k, enum micro_wrap stage, bool async,
                                        micro_info *out)
{
    memset(out, 0, sizeof *out);
    out->stage = (int)stage;
    out->async = async;
    out->service = k->service;
    out->endpoint = k->method->name;
    out->content_type = k->o.content_type;
    out->peer = "";
    out->method = k->method;
    if (stage == MICRO_WRAP_CALL) {
        out->attempt = k->attempt;
        out->peer = k->address;
        out->node = k->node;
    }
}

typedef struct client_passage {
    micro__call *k;
    micro_err (*run)(micro__call *k);
} client_passage;

/* Every run begins anew. */
static micro_err client_inside(micro__chain *chain)
{
    const client_passage *p = chain->arg;
    micro__call *k = p->k;

    micro__ctx_clear_error(k->ctx);
    if (k->rsp) /* a stream has none */
        micro__type_zero(k->method->rsp, k->rsp);
    micro_err err = micro__ctx_sticky(k->ctx);
    return err == MICRO_OK ? p->run(k) : err;
}

/* run, inside the middleware of a stage if there is any. */
static micro_err client_through(micro__call *k, enum micro_wrap stage,
                                micro_err (*run)(micro__call *k))
{
    client_passage p = { k, run };
    micro_info info;
    micro__chain chain = { .wraps = k->c->wraps,
                           .ctx = k->ctx,
                           .info = &info,
                           .req = k->req,
                           .rsp = k->rsp,
                           .end = client_inside,
                           .arg = &p };

    if (!micro__wrapped(k->c->wraps, stage))
        return run(k);
    micro__call_describe(k, stage, false, &info);
    return micro__chain_run(&chain);
}

/* ---- attempts ------------------------------------------------------------------------------ */

MICRO_PRIVATE uint64_t micro__call_dial_until(const micro__call *k)
{
    int ms = k->o.dial_timeout_ms;
    uint64_t until = ms < 0 ? 0 : micro__now_ms() + (uint64_t)ms;

    return until && (!k->deadline || until < k->deadline) ? until : k->deadline;
}

static micro_err client_dial(micro__call *k, micro__link **link, int *fd)
{
    k->ctx->deadline = micro__call_dial_until(k);
    micro_err err = link ? micro__pool_dial(k->c->pool, k->ctx, k->address, link)
                         : micro__transport_http_open(k->ctx, k->address, fd);
    k->ctx->deadline = k->deadline;
    return err;
}

MICRO_PRIVATE micro_err micro__call_dial(micro__call *k, int *fd)
{
    if (micro__transport_is_http(k->c->transport))
        return client_dial(k, NULL, fd);
    return micro__ctx_local(k->ctx, MICRO_ENOSYS, "transport %s does not carry streams",
                            k->c->transport->ops->name);
}

/* What was lent for the call only is copied: the info may be asked for after it. */
MICRO_PRIVATE void micro__call_info(micro__call *k)
{
    micro_info *info = &k->ctx->info;

    if (micro__stage_serves(info->stage))
        return; /* a handler's stays what it was asked */
    info->stage = MICRO_WRAP_CALL;
    info->attempt = k->attempt;
    info->service = micro_copy(k->ctx, micro_s(k->service)).ptr;
    info->endpoint = k->method->name;
    info->content_type = micro_copy(k->ctx, micro_s(k->o.content_type)).ptr;
    info->method = k->method;
    info->peer = micro_copy(k->ctx, micro_s(k->address)).ptr;
}

static micro_err client_exchange(micro__call *k)
{
    bool ours = micro__transport_is_http(k->c->transport); /* it gives way by itself */
    bool keep = false;

    if (!ours)
        micro_block_begin();
    micro__link *link = micro__pool_take(k->c->pool, k->address);
    micro_err err = link ? MICRO_OK : client_dial(k, &link, NULL);
    if (err == MICRO_OK) {
        err = micro__call_exchange(k, link, &keep);
        micro__pool_give(k->c->pool, link, k->address, keep);
    }
    if (!ours)
        micro_block_end();
    return err;
}

static micro_err client_try(micro__call *k)
{
    k->untouched = true;
    k->tried = true;
    k->outcome = k->run ? k->run(k) : client_exchange(k);
    return k->outcome;
}

static micro_err client_attempt(micro__call *k)
{
    micro_err err = micro__call_choose(k);

    k->untouched = true;
    if (err == MICRO_OK) {
        micro__call_info(k);
        err = client_through(k, MICRO_WRAP_CALL, client_try);
    }
    micro__call_unchoose(k);
    return err;
}

/* Faults that another try may not meet, where a second execution does no harm. */
MICRO_PRIVATE bool micro__call_passing(micro_err err)
{
    switch (err) {
    case MICRO_ETIMEDOUT:
    case MICRO_ECONNECT:
    case MICRO_EIO:
    case MICRO_EPROTO:
    case 408:
    case 429:
        return true;
    default:
        return err >= 500 && err < 600;
    }
}

/* Without proof that nothing was executed, only what may be executed twice is tried again. */
MICRO_PRIVATE bool micro__call_again(micro__call *k, micro_err err)
{
    if (k->attempt >= k->o.attempts || err == MICRO_ECANCELED ||
        micro__ctx_check(k->ctx, k->deadline) != MICRO_OK)
        return false;
    bool unseen = err == MICRO_ECONNECT || (k->untouched && err == MICRO_EIO);
    bool safe = k->untouched && (err == MICRO_ETIMEDOUT || err == 503);
    if (k->o.retry ? !k->o.retry(k->o.arg, k->ctx, err, k->attempt)
                   : !unseen && !safe && !(k->o.idempotent && micro__call_passing(err)))
        return false;
    return unseen || micro__budget_take(&k->c->budgets, k->service, k->o.retry_budget);
}

/* 10, 100, 1000 ms, each less up to a half by chance. < 0: no time is left for it. */
MICRO_PRIVATE int micro__call_backoff(micro__call *k)
{
    int ms = 10;

    for (int i = 1; i < k->attempt && ms < 1000; i++)
        ms *= 10;
    ms -= (int)(micro__random_fast() % (uint64_t)(ms / 2 + 1));
    if (k->o.backoff)
        ms = k->o.backoff(k->o.arg, k->attempt + 1);
    if (ms < 0)
        ms = 0;
    return k->deadline && micro__now_ms() + (uint64_t)ms >= k->deadline ? -1 : ms;
}

MICRO_PRIVATE micro_err micro__call_over(micro__call *k)
{
    micro_err err = micro__ctx_check(k->ctx, k->deadline);

    if (err == MICRO_ETIMEDOUT)
        return micro__ctx_local(k->ctx, err, "context deadline exceeded");
    return err == MICRO_OK ? err : micro__ctx_local(k->ctx, err, "context canceled");
}

static void client_pause(micro__call *k, int ms)
{
    if (ms <= 0)
        return;
    micro_block_begin();
    micro__ctx_sleep(k->ctx, ms);
    micro_block_end();
}

MICRO_PRIVATE micro_err micro__call_attempts(micro__call *k)
{
    for (k->attempt = 1;; k->attempt++) {
        micro_err err = micro__call_over(k);
        if (err != MICRO_OK)
            return err;
        err = client_attempt(k);
        if (err == MICRO_OK || !micro__call_again(k, err))
            return err;
        int ms = micro__call_backoff(k);
        if (ms < 0)
            return err;
        client_pause(k, ms);
    }
}

MICRO_PRIVATE micro_err micro__call_resolve(micro__call *k, micro__addr *to)
{
    micro_err err = micro__http_resolve(to, k->address);

    if (err == MICRO_OK)
        return err;
    return err == MICRO_EINVAL
               ? micro__ctx_local(k->ctx, err, "malformed address %s", k->address)
               : micro__ctx_local(k->ctx, MICRO_ECONNECT,
                                  "connection error: dial tcp: lookup %s: no such host",
                                  k->address);
}

static micro_err client_run(micro__call *k)
{
    micro_ctx *ctx = k->ctx;

    k->own = ctx->deadline;
    k->deadline = micro__ctx_until(ctx, k->o.timeout_ms);
    ctx->deadline = k->deadline;
    micro_err err = micro__hedge_wanted(k) ? micro__call_hedged(k) : micro__call_attempts(k);
    ctx->deadline = k->own;
    return err;
}

MICRO_PRIVATE micro_err micro__call_run(micro__call *k)
{
    return client_through(k, MICRO_WRAP_CLIENT, client_run);
}

MICRO_PRIVATE micro_err micro__client_call(micro__client *c, micro_ctx *ctx, const char *service,
                                           const micro_method *method, const void *req, void *rsp,
                                           const micro_call_opts *opts)
{
    micro__call k = { .c = c,
                      .ctx = ctx,
                      .service = service,
                      .method = method,
                      .req = req,
                      .rsp = rsp,
                      .last = SIZE_MAX };

    micro__user_waits();
    micro__ctx_clear_error(ctx);
    micro__type_zero(method->rsp, rsp);
    micro_err err = micro__call_options(&k, opts);
    if (err == MICRO_OK)
        err = micro__call_run(&k);
    if (err == MICRO_OK)
        micro__ctx_clear_error(ctx); /* of an attempt before */
    else
        micro__type_zero(method->rsp, rsp);
    return err;
}
