/* SPDX-License-Identifier: MIT */
/* One attempt of an asynchronous call, from its request to what the reply says. */
#include "hedge.h"

static micro__shot *shot_of(micro__exchange *x)
{
    return (micro__shot *)(void *)((char *)x - offsetof(micro__shot, x));
}

static micro_err shot_reply(micro__exchange *x, micro__http_reader *r)
{
    micro__call *k = shot_of(x)->k;

    k->untouched = false;
    return micro__call_http_reply(k, r);
}

/* The words of a blocking call for the same failures. */
static micro_err shot_failure(micro_ctx *ctx, const micro__exchange *x, micro_err err)
{
    switch (err) {
    case MICRO_ECONNECT:
        return micro__ctx_local(ctx, err, "connection error: dial tcp %s: connect: %s", x->address,
                                x->why);
    case MICRO_ETIMEDOUT:
        return micro__ctx_local(ctx, err, "call timeout: context deadline exceeded");
    case MICRO_ECANCELED:
        return micro__ctx_local(ctx, err, "call timeout: context canceled");
    case MICRO_ENOMEM:
        return micro__ctx_local(ctx, err, "out of memory");
    default:
        return micro__ctx_local_id(ctx, "go.micro.client.transport", err, "%s",
                                   x->problem ? x->problem
                                   : x->any   ? "unexpected EOF"
                                              : "EOF");
    }
}

MICRO_PRIVATE void micro__shot_clear(micro__shot *s)
{
    if (s->out)
        micro__pool_buf_give(s->k->c->pool, s->out);
    s->out = NULL;
}

static void shot_done(micro__loop *l, micro__exchange *x, micro_err err)
{
    micro__shot *s = shot_of(x);

    s->active = false;
    if (err != MICRO_OK && !x->replied) {
        s->k->untouched = x->untouched;
        if (!s->mute)
            err = shot_failure(x->ctx, x, err);
    }
    s->k->outcome = err;
    micro__shot_clear(s);
    s->done(l, s, err);
}

static micro_err shot_request(micro__shot *s, uint64_t id)
{
    micro__call *k = s->k;
    micro__exchange *x = &s->x;
    micro_pairs header;

    s->out = micro__pool_buf(k->c->pool);
    if (!s->out || !micro__call_headers(k, id, &header))
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    micro__call_wrap(k, k->message, s->out);
    x->body_len = s->out->len;
    micro__http_request(s->out, k->address, &header, x->body_len);
    if (s->out->failed)
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    x->body = s->out->ptr;
    x->head = s->out->ptr + x->body_len;
    x->head_len = s->out->len - x->body_len;
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__shot_fire(micro__loop *l, micro__shot *s)
{
    micro__call *k = s->k;
    micro__exchange *x = &s->x;
    micro_err err = shot_request(s, ++l->lines.serial);

    if (err != MICRO_OK) {
        micro__shot_clear(s);
        return err;
    }
    x->ctx = k->ctx;
    x->address = k->address;
    x->until = k->deadline;
    x->dial_until = micro__call_dial_until(k);
    x->pool_size = k->c->pool_opts.size;
    x->idle_ms = k->c->pool_opts.idle_ms;
    x->age_ms = k->c->pool_opts.age_ms;
    x->reply = shot_reply;
    x->done = shot_done;
    s->active = true;
    micro__exchange_start(l, x);
    return MICRO_OK;
}
