/* SPDX-License-Identifier: MIT */
/* What we have heard of everybody's nodes: kept until its TTL is over, asked for again before that
 * where somebody watches, told as changes. What nobody here has asked for is kept too, up to a
 * quarter of the room, so that a first look-up finds it. */
#include "mdns.h"

enum {
    MDNS_BROWSER_NODES = 4096,
    MDNS_BROWSER_SERVICES = 4096,
    MDNS_BROWSER_WEIGHT = 4 << 20,    /* bytes, descriptions counted inflated */
    MDNS_BROWSER_TTL = 4500,          /* seconds; longer ones are cut */
    MDNS_BROWSER_PAUSE_MS = 500,      /* between questions for one service */
    MDNS_BROWSER_FORGET_MS = 10000,   /* a service without nodes that nobody asks for */
    MDNS_BROWSER_SLOWEST_MS = 64000,  /* between questions for what is watched and not there */
    MDNS_BROWSER_BURIED = 256,        /* nodes remembered behind their goodbye, for so long: */
    MDNS_BROWSER_BURIED_MS = 100,     /* what came by another socket is read later */
    MDNS_BROWSER_BURIED_OWN_MS = 2000 /* what we multicast comes back to us */
};

MICRO_PRIVATE bool micro__mdns_browser_init(micro__mdns_browser *b,
                                            const micro__mdns_browser_ops *ops, void *arg)
{
    memset(b, 0, offsetof(micro__mdns_browser, heard));
    b->ops = ops;
    b->arg = arg;
    b->scratch = micro_ctx_new(NULL);
    return b->scratch != NULL;
}

/* ---- services ---------------------------------------------------------------------------------*/

static micro_str mdns_browser_copy(char **at, micro_str s)
{
    micro_str copy = { *at, s.len };
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    (*at)[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

MICRO_PRIVATE micro__mdns_service *micro__mdns_browser_service(micro__mdns_browser *b,
                                                               micro_str name, bool make)
{
    uint64_t hash = micro__str_hash(name);
    micro__mdns_service **bucket = &b->by_name[hash % MICRO__MDNS_BUCKETS];
    for (micro__mdns_service *s = *bucket; s; s = s->chain) {
        if (s->hash == hash && micro_str_eq(s->name, name))
            return s;
    }
    size_t size = sizeof(micro__mdns_service) + name.len + 1;
    micro__mdns_service *s = make ? micro__alloc_zero(size) : NULL;
    if (!s)
        return NULL;
    char *at = (char *)(s + 1);
    s->name = mdns_browser_copy(&at, name);
    s->hash = hash;
    s->size = size;
    s->chain = *bucket;
    *bucket = s;
    b->services++;
    return s;
}

static void mdns_browser_due(micro__mdns_browser *b, uint64_t at)
{
    if (at && (!b->due || at < b->due))
        b->due = at;
}

MICRO_PRIVATE void micro__mdns_browser_ask(micro__mdns_browser *b, micro__mdns_service *s,
                                           uint64_t now)
{
    s->asked = now;
    mdns_browser_due(b, now + MDNS_BROWSER_FORGET_MS);
    b->ops->ask(b->arg, s->name);
}

static bool mdns_browser_is_list(const micro__mdns_service *s)
{
    return micro__str_is(s->name, MICRO__MDNS_LIST);
}

static bool mdns_browser_wanted(const micro__mdns_browser *b, const micro__mdns_service *s)
{
    micro_str everything = { "", 0 };
    return s->users || b->ops->wanted(b->arg, mdns_browser_is_list(s) ? everything : s->name);
}

/* ---- nodes ------------------------------------------------------------------------------------*/

static micro__mdns_node *mdns_browser_find(const micro__mdns_browser *b, micro_str key)
{
    uint64_t hash = micro__str_hash(key);
    micro__mdns_node *n = b->by_key[hash % MICRO__MDNS_BUCKETS];
    while (n && !(n->hash == hash && micro_str_eq(n->key, key)))
        n = n->chain;
    return n;
}

/* The same for a name that somebody else brings up: there is a limit. */
static micro__mdns_service *mdns_browser_told(micro__mdns_browser *b, micro_str name)
{
    return micro__mdns_browser_service(b, name, b->services < MDNS_BROWSER_SERVICES);
}

/* key: ID.SERVICE */
static micro__mdns_node *mdns_browser_node_new(micro__mdns_service *s, micro_str key,
                                               micro_str address, micro_bytes zlib)
{
    size_t size = sizeof(micro__mdns_node) + 2 * key.len + address.len + zlib.len + 3;
    micro__mdns_node *n = s ? micro__alloc_zero(size) : NULL;
    if (!n)
        return NULL;
    char *at = (char *)(n + 1);
    n->key = mdns_browser_copy(&at, key);
    n->id = mdns_browser_copy(&at, micro__str(key.ptr, key.len - s->name.len - 1));
    n->address = mdns_browser_copy(&at, address);
    n->zlib.ptr = (const uint8_t *)at;
    n->zlib.len = zlib.len;
    memcpy(at, zlib.ptr, zlib.len);
    n->hash = micro__str_hash(key);
    n->size = n->weight = size;
    n->service = s;
    return n;
}

static void mdns_browser_link(micro__mdns_browser *b, micro__mdns_node *n)
{
    micro__mdns_node **bucket = &b->by_key[n->hash % MICRO__MDNS_BUCKETS];
    n->chain = *bucket;
    *bucket = n;
    n->next = n->service->nodes;
    n->service->nodes = n;
    b->nodes++;
    b->weight += n->weight;
    mdns_browser_due(b, n->due);
}

static void mdns_browser_unlink(micro__mdns_browser *b, micro__mdns_node *n)
{
    micro__mdns_node **at = &b->by_key[n->hash % MICRO__MDNS_BUCKETS];
    while (*at != n)
        at = &(*at)->chain;
    *at = n->chain;
    at = &n->service->nodes;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    b->nodes--;
    b->weight -= n->weight;
}

MICRO_PRIVATE micro__mdns_node *micro__mdns_node_copy(micro__arena *a, const micro__mdns_node *node)
{
    micro__mdns_node *n = micro__arena_take(a, node->size);
    if (!n)
        return NULL;
    memcpy(n, node, node->size);
    n->key.ptr = (char *)n + (node->key.ptr - (const char *)node);
    n->id.ptr = (char *)n + (node->id.ptr - (const char *)node);
    n->address.ptr = (char *)n + (node->address.ptr - (const char *)node);
    n->zlib.ptr = (uint8_t *)n + (node->zlib.ptr - (const uint8_t *)node);
    n->next = n->chain = NULL;
    n->service = NULL;
    return n;
}

MICRO_PRIVATE micro_err micro__mdns_node_entry(micro_ctx *ctx, const micro__mdns_node *node,
                                               micro_entry *out)
{
    micro_err err = micro__mdns_txt_read(ctx, node->zlib.ptr, node->zlib.len, out, NULL);
    if (err)
        return err;
    out->nodes.ptr[0].id = node->id;
    out->nodes.ptr[0].address = node->address;
    return MICRO_OK;
}

/* False: no memory for it, and then nothing has been told. */
static bool mdns_browser_tell(micro__mdns_browser *b, enum micro_change what,
                              const micro__mdns_node *n)
{
    micro_entry e;
    if (!b->ops->wanted(b->arg, n->service->name))
        return true;
    bool ok = micro__mdns_node_entry(b->scratch, n, &e) == MICRO_OK &&
              b->ops->tell(b->arg, what, &e, n->size + n->weight);
    micro_ctx_reset(b->scratch);
    return ok;
}

/* Nodes that go are let go of, told or not. */
static void mdns_browser_take_out(micro__mdns_browser *b, micro__mdns_node *n)
{
    if (!mdns_browser_tell(b, MICRO_DELETED, n))
        MICRO_LOG(MICRO_LOG_WARN, "mdns: out of memory, nobody was told that %s has gone",
                  n->key.ptr);
    mdns_browser_unlink(b, n);
}

static void mdns_browser_drop(micro__mdns_browser *b, micro__mdns_node *n)
{
    mdns_browser_take_out(b, n);
    micro__free(n, n->size);
}

/* Forgets those buried whose time is over, and all beyond a number. */
static void mdns_browser_exhume(micro__mdns_browser *b, size_t most, uint64_t now)
{
    size_t kept = 0;
    for (micro__mdns_node **at = &b->buried; *at;) {
        micro__mdns_node *n = *at;
        if (n->expires > now && kept < most) {
            mdns_browser_due(b, n->expires);
            at = &n->next;
            kept++;
            continue;
        }
        *at = n->next;
        micro__free(n, n->size);
    }
    b->nburied = kept;
}

/* A goodbye. */
static void mdns_browser_bury(micro__mdns_browser *b, micro__mdns_node *n, uint64_t now)
{
    mdns_browser_take_out(b, n);
    if (b->nburied >= MDNS_BROWSER_BURIED)
        mdns_browser_exhume(b, MDNS_BROWSER_BURIED - 1, now);
    n->expires = now + (n->local ? MDNS_BROWSER_BURIED_OWN_MS : MDNS_BROWSER_BURIED_MS);
    n->service = NULL;
    n->next = b->buried;
    b->buried = n;
    b->nburied++;
    mdns_browser_due(b, n->expires);
}

static bool mdns_browser_same(const micro__mdns_node *n, micro_str address, micro_bytes zlib)
{
    return micro_str_eq(n->address, address) && n->zlib.len == zlib.len &&
           memcmp(n->zlib.ptr, zlib.ptr, zlib.len) == 0;
}

static bool mdns_browser_buried(const micro__mdns_browser *b, micro_str key, micro_str address,
                                micro_bytes zlib, uint64_t now)
{
    const micro__mdns_node *n = b->buried;
    while (n &&
           !(n->expires > now && micro_str_eq(n->key, key) && mdns_browser_same(n, address, zlib)))
        n = n->next;
    return n != NULL;
}

/* Asked again at 80, 85, 90 and 95 % of its time, a little later by chance, so that not all ask at
 * once; gone at 100 %. */
static void mdns_browser_schedule(micro__mdns_node *n)
{
    uint64_t life = n->expires - n->heard;
    n->due = n->expires;
    if (n->stage < 4)
        n->due = n->heard + life * (80u + 5u * n->stage) / 100 +
                 life * (micro__random_fast() % 2000) / 100000;
}

static void mdns_browser_renew(micro__mdns_browser *b, micro__mdns_node *n, uint32_t ttl,
                               uint64_t now)
{
    n->ttl = ttl < MDNS_BROWSER_TTL ? ttl : MDNS_BROWSER_TTL;
    n->heard = now;
    n->expires = now + n->ttl * UINT64_C(1000);
    n->stage = 0;
    mdns_browser_schedule(n);
    mdns_browser_due(b, n->due);
}

/* Of the nodes that nobody wants, the one that would go first. */
static micro__mdns_node *mdns_browser_least(micro__mdns_browser *b)
{
    micro__mdns_node *least = NULL;
    for (size_t i = 0; i < MICRO__MDNS_BUCKETS; i++) {
        for (micro__mdns_service *s = b->by_name[i]; s; s = s->chain) {
            if (!s->nodes || mdns_browser_wanted(b, s))
                continue;
            for (micro__mdns_node *n = s->nodes; n; n = n->next) {
                if (!n->local && (!least || n->expires < least->expires))
                    least = n;
            }
        }
    }
    return least;
}

/* Makes room; false: there is none for this. */
static bool mdns_browser_room(micro__mdns_browser *b, const micro__mdns_service *s, size_t weight)
{
    bool wanted = mdns_browser_wanted(b, s);
    size_t part = wanted ? 1 : 4;
    if (b->nodes < MDNS_BROWSER_NODES / part && b->weight + weight <= MDNS_BROWSER_WEIGHT / part)
        return true;
    while (wanted && (b->nodes >= MDNS_BROWSER_NODES || b->weight + weight > MDNS_BROWSER_WEIGHT)) {
        micro__mdns_node *least = mdns_browser_least(b);
        if (!least)
            return false;
        mdns_browser_drop(b, least);
    }
    return wanted;
}

static bool mdns_browser_same_version(micro__mdns_browser *b, const micro__mdns_node *x,
                                      const micro__mdns_node *y)
{
    micro_entry a, c;
    bool same = micro__mdns_node_entry(b->scratch, x, &a) == MICRO_OK &&
                micro__mdns_node_entry(b->scratch, y, &c) == MICRO_OK &&
                micro_str_eq(a.version, c.version);
    micro_ctx_reset(b->scratch);
    return same;
}

/* Puts n in the place of what was known under its name; false: no memory. */
static bool mdns_browser_replace(micro__mdns_browser *b, micro__mdns_node *n)
{
    micro__mdns_node *old = mdns_browser_find(b, n->key);
    enum micro_change what = MICRO_CREATED;
    if (old && (old->service != n->service || !mdns_browser_same_version(b, old, n))) {
        mdns_browser_drop(b, old);
        old = NULL;
    } else if (old) {
        what = MICRO_UPDATED;
    }
    if (!mdns_browser_tell(b, what, n))
        return false;
    if (old) {
        mdns_browser_unlink(b, old);
        micro__free(old, old->size);
    }
    mdns_browser_link(b, n);
    b->found = true;
    return true;
}

/* ---- what is heard ----------------------------------------------------------------------------*/

MICRO_PRIVATE bool micro__mdns_browser_known(micro__mdns_browser *b, micro_str key,
                                             micro_str address, micro_bytes zlib, uint32_t ttl,
                                             uint64_t now)
{
    micro__mdns_node *n = mdns_browser_find(b, key);
    if (!n)
        return mdns_browser_buried(b, key, address, zlib, now);
    if (!n->local && !mdns_browser_same(n, address, zlib))
        return false;
    if (!n->local)
        mdns_browser_renew(b, n, ttl, now);
    return true;
}

MICRO_PRIVATE void micro__mdns_browser_learn(micro__mdns_browser *b, micro_str key,
                                             micro_str service, micro_str address, micro_bytes zlib,
                                             size_t inflated, uint32_t ttl, uint64_t now)
{
    micro__mdns_service *s = mdns_browser_told(b, service);
    micro__mdns_node *n = mdns_browser_node_new(s, key, address, zlib);
    mdns_browser_due(b, now + MDNS_BROWSER_FORGET_MS); /* the service, if n is not taken in */
    if (!n)
        return;
    n->weight += inflated;
    mdns_browser_renew(b, n, ttl, now);
    if (!mdns_browser_room(b, s, n->weight) || !mdns_browser_replace(b, n))
        micro__free(n, n->size);
}

MICRO_PRIVATE void micro__mdns_browser_gone(micro__mdns_browser *b, micro_str key, uint64_t now)
{
    micro__mdns_node *n = mdns_browser_find(b, key);
    if (n && !n->local)
        mdns_browser_bury(b, n, now);
}

MICRO_PRIVATE void micro__mdns_browser_listed(micro__mdns_browser *b, micro_str name, uint64_t now)
{
    micro__mdns_service *list = micro__mdns_browser_service(b, micro_s(MICRO__MDNS_LIST), false);
    micro__mdns_service *s = mdns_browser_told(b, name);
    if (list)
        list->listed = now;
    if (!s)
        return;
    s->listed = now;
    mdns_browser_due(b, now + MDNS_BROWSER_FORGET_MS);
    if (!s->asked && b->ops->wanted(b->arg, micro_s("")))
        micro__mdns_browser_ask(b, s, now);
}

/* ---- our own nodes ----------------------------------------------------------------------------*/

MICRO_PRIVATE bool micro__mdns_browser_put(micro__mdns_browser *b, const micro__mdns_local *own,
                                           uint64_t now)
{
    char ip[48], address[64];
    micro__dns_name key;
    micro_str service = micro_s(own->service), where = { address, 0 }, txt = micro_s(own->txt);
    size_t ip_len = micro__ip_format(&own->ip, ip);
    where.len = micro__hostport_format(address, sizeof address, micro__str(ip, ip_len), own->port);
    micro_bytes zlib = { b->zlib, txt.len / 2 };
    if (txt.len / 2 > sizeof b->zlib || !micro__hex_decode(b->zlib, txt.ptr, txt.len) ||
        !micro__dns_join(&key, micro_s(own->id), service, micro_s("")))
        return false;
    micro__mdns_node *n = mdns_browser_node_new(micro__mdns_browser_service(b, service, true),
                                                micro__str(key.text, key.len), where, zlib);
    if (!n)
        return false;
    n->local = true;
    n->heard = now;
    n->weight = 0; /* what this process says is not bounded by what others may make it keep */
    if (mdns_browser_replace(b, n))
        return true;
    micro__free(n, n->size);
    return false;
}

MICRO_PRIVATE void micro__mdns_browser_del(micro__mdns_browser *b, micro_str service, micro_str id,
                                           uint64_t now)
{
    micro__dns_name key;
    if (!micro__dns_join(&key, id, service, micro_s("")))
        return;
    micro__mdns_node *n = mdns_browser_find(b, micro__str(key.text, key.len));
    if (n && n->local)
        mdns_browser_bury(b, n, now);
}

/* ---- time -------------------------------------------------------------------------------------*/

MICRO_PRIVATE bool micro__mdns_browser_watch(micro__mdns_browser *b, micro_str name, uint64_t now)
{
    micro_str list = micro_s(MICRO__MDNS_LIST);
    micro__mdns_service *s = micro__mdns_browser_service(b, name.len ? name : list, true);
    if (!s)
        return false;
    s->asks = 0;
    s->ask_at = now;
    mdns_browser_due(b, now);
    return true;
}

MICRO_PRIVATE void micro__mdns_browser_again(micro__mdns_browser *b, uint64_t now)
{
    for (size_t i = 0; i < MICRO__MDNS_BUCKETS; i++) {
        for (micro__mdns_service *s = b->by_name[i]; s; s = s->chain) {
            if (!s->users && !mdns_browser_wanted(b, s))
                continue;
            s->asks = 0;
            s->ask_at = now;
            mdns_browser_due(b, now);
        }
    }
}

/* A refresh is a question for the service, which all its nodes answer: one is enough. */
static void mdns_browser_refresh(micro__mdns_browser *b, micro__mdns_node *n, uint64_t now)
{
    uint64_t rest = n->ttl * UINT64_C(1000) / 40;
    micro__mdns_service *s = n->service;
    n->stage++;
    mdns_browser_schedule(n);
    if ((!s->asked || now - s->asked >= (rest < 1000 ? rest : 1000)) && mdns_browser_wanted(b, s))
        micro__mdns_browser_ask(b, s, now);
}

static void mdns_browser_age(micro__mdns_browser *b, micro__mdns_service *s, uint64_t now)
{
    for (micro__mdns_node *n = s->nodes, *next; n; n = next) {
        next = n->next;
        if (n->local)
            continue;
        if (n->expires <= now) {
            mdns_browser_drop(b, n);
            continue;
        }
        if (n->due <= now)
            mdns_browser_refresh(b, n, now);
        mdns_browser_due(b, n->due);
    }
}

/* What is watched is asked for at 0, 1 and 3 s, and then, doubling, while there is nothing; the
 * list of services for as long as somebody watches everything, since nothing announces entries. */
static void mdns_browser_question(micro__mdns_browser *b, micro__mdns_service *s, uint64_t now)
{
    if (!s->ask_at || s->ask_at > now)
        return;
    s->ask_at = 0;
    if (!mdns_browser_wanted(b, s))
        return;
    bool just_now = s->asked && now - s->asked < MDNS_BROWSER_PAUSE_MS; /* by a look-up */
    if (!just_now)
        micro__mdns_browser_ask(b, s, now);
    if (s->asks >= 2 && s->nodes)
        return;
    uint64_t pause = s->asks < 6 ? UINT64_C(1000) << s->asks : MDNS_BROWSER_SLOWEST_MS;
    s->asks++;
    s->ask_at = now + pause;
}

/* Whether a service may be forgotten; what has lost its nodes but is watched is asked for again. */
static bool mdns_browser_idle(micro__mdns_browser *b, micro__mdns_service *s, uint64_t now)
{
    if (s->nodes || s->users || s->ask_at)
        return false;
    uint64_t last = s->asked > s->listed ? s->asked : s->listed;
    if (now - last >= MDNS_BROWSER_FORGET_MS) {
        if (!mdns_browser_wanted(b, s))
            return true;
        s->ask_at = now + MDNS_BROWSER_SLOWEST_MS;
        s->asks = 6;
        return false;
    }
    mdns_browser_due(b, last + MDNS_BROWSER_FORGET_MS);
    return false;
}

MICRO_PRIVATE uint64_t micro__mdns_browser_tick(micro__mdns_browser *b, uint64_t now)
{
    if (!b->due || now < b->due)
        return b->due;
    b->due = 0;
    mdns_browser_exhume(b, MDNS_BROWSER_BURIED, now);
    for (size_t i = 0; i < MICRO__MDNS_BUCKETS; i++) {
        for (micro__mdns_service **at = &b->by_name[i]; *at;) {
            micro__mdns_service *s = *at;
            mdns_browser_age(b, s, now);
            mdns_browser_question(b, s, now);
            if (mdns_browser_idle(b, s, now)) {
                *at = s->chain;
                micro__free(s, s->size);
                b->services--;
                continue;
            }
            mdns_browser_due(b, s->ask_at);
            at = &s->chain;
        }
    }
    return b->due;
}

MICRO_PRIVATE void micro__mdns_browser_free(micro__mdns_browser *b)
{
    mdns_browser_exhume(b, 0, 0);
    for (size_t i = 0; i < MICRO__MDNS_BUCKETS; i++) {
        for (micro__mdns_service *s; (s = b->by_name[i]);) {
            for (micro__mdns_node *n; (n = s->nodes);) {
                s->nodes = n->next;
                micro__free(n, n->size);
            }
            b->by_name[i] = s->chain;
            micro__free(s, s->size);
        }
    }
    micro_ctx_free(b->scratch);
    b->scratch = NULL;
}
