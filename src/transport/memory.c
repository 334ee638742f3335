/* SPDX-License-Identifier: MIT */
/* The memory transport: this process only. A request is handled on its caller's thread, so a
 * handler sees its deadline but nothing cuts it short. */
#include "transport.h"

typedef struct memnet_listener {
    struct memnet_listener *next;
    char address[64];
    micro_deliver_fn *deliver;
    void *arg;
    int running; /* deliveries under way: unlisten waits for them */
} memnet_listener;

/* One exchange at a time: the answer waits here until it is received. */
typedef struct memnet_sock {
    char address[64];
    micro_ctx *ctx; /* where the answer is copied to */
    micro_msg answer;
    bool answered;
} memnet_sock;

static struct {
    micro__mutex lock;
    micro__cond idle;
    unsigned serial;
    memnet_listener *list;
} memnet_all = { MICRO__MUTEX_INIT, MICRO__COND_INIT, 0, NULL };

static memnet_listener *memnet_find(const char *address)
{
    for (memnet_listener *l = memnet_all.list; l; l = l->next)
        if (!strcmp(l->address, address))
            return l;
    return NULL;
}

/* A port of 0, or no address at all, means: choose one. */
static micro_err memnet_listen(micro_transport *self, const char *address,
                               micro_deliver_fn *deliver, void *arg, micro_listener **out)
{
    micro_str host = { "", 0 };
    uint16_t port = 0;
    memnet_listener *l = micro__alloc_zero(sizeof *l);

    (void)self;
    if (!l)
        return MICRO_ENOMEM;
    bool chosen =
        !address || !*address || !micro__hostport_parse(micro_s(address), &host, &port) || !port;
    l->deliver = deliver;
    l->arg = arg;
    micro__lock(&memnet_all.lock);
    if (chosen)
        snprintf(l->address, sizeof l->address, "memory:%u", ++memnet_all.serial);
    else
        snprintf(l->address, sizeof l->address, "%s", address);
    bool taken = memnet_find(l->address) != NULL;
    if (!taken) {
        l->next = memnet_all.list;
        memnet_all.list = l;
    }
    micro__unlock(&memnet_all.lock);
    if (taken) {
        micro__free(l, sizeof *l);
        return MICRO_EBUSY;
    }
    *out = (micro_listener *)(void *)l;
    return MICRO_OK;
}

static const char *memnet_address(micro_transport *self, micro_listener *listener)
{
    (void)self;
    return ((memnet_listener *)(void *)listener)->address;
}

static void memnet_unlisten(micro_transport *self, micro_listener *listener)
{
    memnet_listener *l = (memnet_listener *)(void *)listener;

    (void)self;
    micro__lock(&memnet_all.lock);
    for (memnet_listener **p = &memnet_all.list; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            break;
        }
    while (l->running)
        micro__cond_wait(&memnet_all.idle, &memnet_all.lock, 0);
    micro__unlock(&memnet_all.lock);
    micro__free(l, sizeof *l);
}

static micro_err memnet_dial(micro_transport *self, micro_ctx *ctx, const char *address,
                             micro_sock **out)
{
    (void)self;
    micro__lock(&memnet_all.lock);
    bool there = memnet_find(address) != NULL;
    micro__unlock(&memnet_all.lock);
    if (!there)
        return micro__ctx_local(ctx, MICRO_ECONNECT, "connection error: nobody listens at %s",
                                address);
    memnet_sock *s = micro__alloc_zero(sizeof *s);
    if (!s)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    snprintf(s->address, sizeof s->address, "%s", address);
    *out = (micro_sock *)(void *)s;
    return MICRO_OK;
}

static bool memnet_copy(micro_ctx *ctx, micro_msg *to, const micro_msg *from)
{
    memset(to, 0, sizeof *to);
    to->body.ptr = (const uint8_t *)micro__arena_text(&ctx->arena, (const char *)from->body.ptr,
                                                      from->body.len);
    to->body.len = from->body.len;
    return to->body.ptr && micro__pairs_copy(&ctx->arena, &to->header, &from->header);
}

/* A request goes to the listener; what the handler answers comes back the same way, as a send on
 * the same sock. */
static micro_err memnet_send(micro_transport *self, micro_ctx *ctx, micro_sock *sock,
                             const micro_msg *msg)
{
    memnet_sock *s = (memnet_sock *)(void *)sock;
    micro_msg copy;

    (void)self;
    if (s->ctx) { /* the server's side */
        s->answered = memnet_copy(s->ctx, &s->answer, msg);
        return s->answered ? MICRO_OK : MICRO_ENOMEM;
    }
    if (!memnet_copy(ctx, &copy, msg))
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro__lock(&memnet_all.lock);
    memnet_listener *l = memnet_find(s->address);
    if (l)
        l->running++;
    micro__unlock(&memnet_all.lock);
    if (!l)
        return micro__ctx_local_id(ctx, "go.micro.client.transport", MICRO_EIO,
                                   "nobody listens at %s any more", s->address);
    s->ctx = ctx;
    s->answered = false;
    l->deliver(l->arg, sock, &copy);
    s->ctx = NULL;
    micro__lock(&memnet_all.lock);
    if (--l->running == 0)
        micro__cond_broadcast(&memnet_all.idle);
    micro__unlock(&memnet_all.lock);
    return MICRO_OK;
}

static micro_err memnet_recv(micro_transport *self, micro_ctx *ctx, micro_sock *sock,
                             micro_msg *out)
{
    memnet_sock *s = (memnet_sock *)(void *)sock;
    micro_err err = micro__ctx_check(ctx, ctx->deadline);

    (void)self;
    if (err == MICRO_ETIMEDOUT)
        return micro__ctx_local(ctx, err, "call timeout: context deadline exceeded");
    if (err != MICRO_OK)
        return micro__ctx_local(ctx, err, "call timeout: context canceled");
    if (!s->answered)
        return micro__ctx_local_id(ctx, "go.micro.client.transport", MICRO_EIO, "EOF");
    *out = s->answer;
    s->answered = false;
    return MICRO_OK;
}

static bool memnet_alive(micro_transport *self, micro_sock *sock)
{
    memnet_sock *s = (memnet_sock *)(void *)sock;

    (void)self;
    micro__lock(&memnet_all.lock);
    bool there = memnet_find(s->address) != NULL;
    micro__unlock(&memnet_all.lock);
    return there;
}

static void memnet_hangup(micro_transport *self, micro_sock *sock)
{
    (void)self;
    micro__free(sock, sizeof(memnet_sock));
}

static void memnet_free(micro_transport *self)
{
    micro__free(self, sizeof *self);
}

static const micro_transport_ops memnet_ops = {
    .size_ = sizeof(micro_transport_ops),
    .name = "memory",
    .listen = memnet_listen,
    .address = memnet_address,
    .unlisten = memnet_unlisten,
    .dial = memnet_dial,
    .send = memnet_send,
    .recv = memnet_recv,
    .alive = memnet_alive,
    .hangup = memnet_hangup,
    .free = memnet_free,
};

MICRO_API micro_transport *micro_transport_memory_new(void)
{
    micro_transport *t = micro__alloc(sizeof *t);

    if (t)
        t->ops = &memnet_ops;
    return t;
}
