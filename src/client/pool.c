/* SPDX-License-Identifier: MIT */
/* Idle connections by address, newest first; and the buffers that calls encode in. */
#include "client.h"
#include "../transport/transport.h"

#define POOL_SWEEP_MS 5000u
#define POOL_BUFS 256       /* kept */
#define POOL_BUF_MAX 65536u /* a bigger one is not */

typedef struct micro__host {
    struct micro__host *next;
    micro__link *idle; /* newest first */
    int n;
    char address[128];
} micro__host;

typedef struct pool_buf {
    micro_buf buf; /* first */
    struct pool_buf *next;
} pool_buf;

struct micro__pool {
    micro_transport *transport;
    micro__pool_opts o;
    micro__mutex lock;
    micro__host *hosts[64];
    uint64_t swept;
    pool_buf *bufs;
    int nbufs;
};

MICRO_PRIVATE micro__pool *micro__pool_new(micro_transport *transport, const micro__pool_opts *opts)
{
    micro__pool *p = micro__alloc_zero(sizeof *p);

    if (!p)
        return NULL;
    p->transport = transport;
    p->o = *opts;
    micro__mutex_init(&p->lock);
    return p;
}

static void pool_close_all(micro__pool *p, micro__link *k)
{
    while (k) {
        micro__link *next = k->next;
        micro__transport_hangup(p->transport, k->sock);
        micro__free(k, sizeof *k);
        k = next;
    }
}

MICRO_PRIVATE void micro__pool_free(micro__pool *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < MICRO_COUNTOF(p->hosts); i++)
        while (p->hosts[i]) {
            micro__host *h = p->hosts[i];
            p->hosts[i] = h->next;
            pool_close_all(p, h->idle);
            micro__free(h, sizeof *h);
        }
    while (p->bufs) {
        pool_buf *b = p->bufs;
        p->bufs = b->next;
        micro__buf_free(&b->buf);
        micro__free(b, sizeof *b);
    }
    micro__mutex_destroy(&p->lock);
    micro__free(p, sizeof *p);
}

/* ---- under the lock ------------------------------------------------------------------------ */

static micro__host *pool_host(micro__pool *p, const char *address, bool make)
{
    micro__host **at = &p->hosts[micro__str_hash(micro_s(address)) % MICRO_COUNTOF(p->hosts)];

    for (micro__host *h = *at; h; h = h->next)
        if (!strcmp(h->address, address))
            return h;
    if (!make || strlen(address) >= sizeof(*at)->address)
        return NULL;
    micro__host *h = micro__alloc_zero(sizeof *h);
    if (!h)
        return NULL;
    snprintf(h->address, sizeof h->address, "%s", address);
    h->next = *at;
    *at = h;
    return h;
}

static bool pool_expired(const micro__pool *p, const micro__link *k, uint64_t now)
{
    return (p->o.idle_ms >= 0 && now - k->idle_since > (uint64_t)p->o.idle_ms) ||
           (p->o.age_ms >= 0 && now - k->made > (uint64_t)p->o.age_ms);
}

/* Takes the expired ones out and puts them before *dead. */
static void pool_sweep_host(micro__pool *p, micro__host *h, uint64_t now, micro__link **dead)
{
    for (micro__link **at = &h->idle; *at;) {
        micro__link *k = *at;
        if (pool_expired(p, k, now)) {
            *at = k->next;
            h->n--;
            k->next = *dead;
            *dead = k;
        } else {
            at = &k->next;
        }
    }
}

/* Nodes that are never called again would keep their connections and their entry. */
static void pool_sweep(micro__pool *p, uint64_t now, micro__link **dead)
{
    if (now - p->swept < POOL_SWEEP_MS)
        return;
    p->swept = now;
    for (size_t i = 0; i < MICRO_COUNTOF(p->hosts); i++)
        for (micro__host **at = &p->hosts[i]; *at;) {
            micro__host *h = *at;
            pool_sweep_host(p, h, now, dead);
            if (h->n) {
                at = &h->next;
                continue;
            }
            *at = h->next;
            micro__free(h, sizeof *h);
        }
}

/* ---- taking and giving --------------------------------------------------------------------- */

static micro__link *pool_newest(micro__pool *p, const char *address)
{
    micro__link *dead = NULL, *k = NULL;

    micro__lock(&p->lock);
    micro__host *h = pool_host(p, address, false);
    if (h) {
        pool_sweep_host(p, h, micro__now_coarse_ms(), &dead);
        k = h->idle;
        if (k) {
            h->idle = k->next;
            h->n--;
        }
    }
    micro__unlock(&p->lock);
    pool_close_all(p, dead);
    return k;
}

MICRO_PRIVATE micro__link *micro__pool_take(micro__pool *p, const char *address)
{
    micro__link *k;

    while ((k = pool_newest(p, address)) != NULL) {
        k->next = NULL;
        if (micro__transport_alive(p->transport, k->sock))
            return k;
        pool_close_all(p, k);
    }
    return NULL;
}

MICRO_PRIVATE micro_err micro__pool_dial(micro__pool *p, micro_ctx *ctx, const char *address,
                                         micro__link **out)
{
    micro__link *k = micro__alloc_zero(sizeof *k);

    if (!k)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro_err err = micro__transport_dial(p->transport, ctx, address, &k->sock);
    if (err != MICRO_OK) {
        micro__free(k, sizeof *k);
        return err;
    }
    k->made = micro__now_coarse_ms();
    *out = k;
    return MICRO_OK;
}

MICRO_PRIVATE void micro__pool_give(micro__pool *p, micro__link *k, const char *address, bool keep)
{
    micro__link *dead = NULL;

    if (keep && p->o.size > 0) {
        micro__lock(&p->lock);
        k->idle_since = micro__now_coarse_ms();
        pool_sweep(p, k->idle_since, &dead);
        micro__host *h = pool_host(p, address, true);
        keep = h && h->n < p->o.size;
        if (keep) {
            k->next = h->idle;
            h->idle = k;
            h->n++;
        }
        micro__unlock(&p->lock);
        if (keep)
            k = NULL;
    }
    pool_close_all(p, dead);
    if (k) {
        k->next = NULL;
        pool_close_all(p, k);
    }
}

/* ---- buffers ------------------------------------------------------------------------------- */

MICRO_PRIVATE micro_buf *micro__pool_buf(micro__pool *p)
{
    micro__lock(&p->lock);
    pool_buf *b = p->bufs;
    if (b) {
        p->bufs = b->next;
        p->nbufs--;
    }
    micro__unlock(&p->lock);
    if (!b)
        b = micro__alloc_zero(sizeof *b);
    if (!b)
        return NULL;
    b->buf.len = 0;
    b->buf.failed = b->buf.toobig = false;
    return &b->buf;
}

MICRO_PRIVATE void micro__pool_buf_give(micro__pool *p, micro_buf *buf)
{
    pool_buf *b = (pool_buf *)(void *)buf;

    micro__lock(&p->lock);
    bool keep = buf->cap <= POOL_BUF_MAX && !buf->failed && p->nbufs < POOL_BUFS;
    if (keep) {
        b->next = p->bufs;
        p->bufs = b;
        p->nbufs++;
    }
    micro__unlock(&p->lock);
    if (!keep) {
        micro__buf_free(buf);
        micro__free(b, sizeof *b);
    }
}
