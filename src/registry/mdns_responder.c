/* SPDX-License-Identifier: MIT */
/* What we say about our own nodes: probes, announcements, goodbyes, answers. Everything is said in
 * both domains, so that every generation of peers hears it. */
#include "mdns.h"

enum {
    MDNS_RESPONDER_PTR = 1,
    MDNS_RESPONDER_SRV = 2,
    MDNS_RESPONDER_IP = 4,
    MDNS_RESPONDER_TXT = 8,
    MDNS_RESPONDER_NODE = 14,
    MDNS_RESPONDER_ALL = 15,
    MDNS_RESPONDER_QUESTIONS = 16, /* looked at in a packet */
    MDNS_RESPONDER_LIST_PORT = 9999,
    MDNS_RESPONDER_ALLOWANCE = 1 << 20, /* bytes of answers a second */
    MDNS_RESPONDER_QUIET_MS = 1000      /* between multicasts of the same */
};

static const char *const mdns_responder_domains[] = { "local", "micro" };

/* How the question under way is answered. */
typedef struct mdns_responder_reply {
    micro__mdns_responder *r;
    const micro__dns_record *question;
    const char *domain;
    uint16_t id;
    bool plain, to_all;
    uint64_t now;
} mdns_responder_reply;

/* What an answer is about: a node, or the entry of a service in the list of services. */
typedef struct mdns_responder_subject {
    micro_str instance, service;
    micro_str txt;
    const micro__ip *ip;
    uint16_t port;
    uint32_t ttl;
} mdns_responder_subject;

MICRO_PRIVATE void micro__mdns_responder_init(micro__mdns_responder *r, const char *host,
                                              micro__mdns_send_fn *send, void *arg)
{
    micro_str name = micro_s(host);
    r->nodes = NULL;
    r->send = send;
    r->arg = arg;
    r->allowance = MDNS_RESPONDER_ALLOWANCE;
    r->allowance_at = 0;
    r->enumerated = 0;
    while (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    if (micro__dns_name_problem(name))
        name = micro_s("localhost");
    memcpy(r->host, name.ptr, name.len);
    r->host[name.len] = '\0';
}

MICRO_PRIVATE void micro__mdns_local_free(micro__mdns_local *n)
{
    if (!n)
        return;
    micro__strfree(n->service);
    micro__strfree(n->id);
    micro__strfree(n->txt);
    micro__free(n, sizeof *n);
}

MICRO_PRIVATE void micro__mdns_responder_free(micro__mdns_responder *r)
{
    for (micro__mdns_local *n; (n = r->nodes);) {
        r->nodes = n->next;
        micro__mdns_local_free(n);
    }
}

/* ---- packets ----------------------------------------------------------------------------------*/

/* The order counts: Go readers tie an address to the SRV before it. */
static void mdns_responder_records(micro__dns_writer *w, const micro__mdns_responder *r,
                                   const mdns_responder_subject *s, const char *domain, int parts)
{
    const uint16_t srv[3] = { 10, 1, s->port };
    micro__dns_name service, instance;
    if (!micro__dns_join(&service, s->service, micro_s(domain), micro_s("")) ||
        !micro__dns_join(&instance, s->instance, s->service, micro_s(domain))) {
        w->failed = true;
        return;
    }
    micro_str name = micro__str(instance.text, instance.len), host = micro_s(r->host);
    if (parts & MDNS_RESPONDER_PTR)
        micro__dns_ptr(w, micro__str(service.text, service.len), s->ttl, name);
    if (parts & MDNS_RESPONDER_SRV)
        micro__dns_srv(w, MICRO__DNS_ANSWER, name, s->ttl, srv, host);
    if (parts & MDNS_RESPONDER_IP)
        micro__dns_ip(w, parts & MDNS_RESPONDER_SRV ? host : name, s->ttl, s->ip);
    if (parts & MDNS_RESPONDER_TXT)
        micro__dns_txt(w, MICRO__DNS_ANSWER, name, s->ttl, s->txt);
}

static mdns_responder_subject mdns_responder_node(const micro__mdns_local *n)
{
    mdns_responder_subject s = {
        .instance = micro_s(n->id),
        .service = micro_s(n->service),
        .txt = micro_s(n->txt),
        .ip = &n->ip,
        .port = n->port,
        .ttl = n->ttl,
    };
    return s;
}

static mdns_responder_subject mdns_responder_list_entry(const micro__mdns_local *n)
{
    static const micro__ip nowhere = { { 0 }, false };
    mdns_responder_subject s = {
        .instance = micro_s(n->service),
        .service = micro_s(MICRO__MDNS_LIST),
        .txt = micro_s(""),
        .ip = &nowhere,
        .port = MDNS_RESPONDER_LIST_PORT,
        .ttl = n->ttl,
    };
    return s;
}

static void mdns_responder_say(micro__mdns_responder *r, micro__dns_writer *w, bool to_all)
{
    size_t len = micro__dns_end(w);
    if (len)
        r->send(r->arg, to_all, r->packet, len);
}

static void mdns_responder_probe(micro__mdns_responder *r, const micro__mdns_local *n)
{
    const uint16_t srv[3] = { 0, 0, n->port };
    for (size_t i = 0; i < MICRO_COUNTOF(mdns_responder_domains); i++) {
        micro__dns_name instance;
        micro__dns_writer w;
        micro_str domain = micro_s(mdns_responder_domains[i]);
        if (!micro__dns_join(&instance, micro_s(n->id), micro_s(n->service), domain))
            continue;
        micro_str name = micro__str(instance.text, instance.len);
        micro__dns_begin(&w, r->packet, sizeof r->packet, n->probe_id, 0);
        micro__dns_ask(&w, name, MICRO__DNS_PTR, MICRO__DNS_IN);
        micro__dns_srv(&w, MICRO__DNS_AUTHORITY, name, n->ttl, srv, micro_s(r->host));
        micro__dns_txt(&w, MICRO__DNS_AUTHORITY, name, n->ttl, micro_s(n->txt));
        mdns_responder_say(r, &w, true);
    }
}

static void mdns_responder_announce(micro__mdns_responder *r, const micro__mdns_local *n,
                                    uint32_t ttl)
{
    mdns_responder_subject s = mdns_responder_node(n);
    s.ttl = ttl;
    for (size_t i = 0; i < MICRO_COUNTOF(mdns_responder_domains); i++) {
        micro__dns_writer w;
        micro__dns_begin(&w, r->packet, sizeof r->packet, 0, MICRO__DNS_RESPONSE);
        mdns_responder_records(&w, r, &s, mdns_responder_domains[i], MDNS_RESPONDER_NODE);
        mdns_responder_say(r, &w, true);
    }
}

/* ---- nodes ------------------------------------------------------------------------------------*/

/* The size of the largest packet about a node: an answer with the question in front. */
static size_t mdns_responder_size(const micro__mdns_responder *r, const micro__mdns_local *n)
{
    uint8_t packet[MICRO__DNS_PACKET_MAX];
    mdns_responder_subject s = mdns_responder_node(n);
    micro__dns_writer w;
    micro__dns_name service;
    if (!micro__dns_join(&service, s.service, micro_s(mdns_responder_domains[0]), micro_s("")))
        return 0;
    micro__dns_begin(&w, packet, sizeof packet, 0, 0);
    micro__dns_ask(&w, micro__str(service.text, service.len), MICRO__DNS_PTR, MICRO__DNS_IN);
    mdns_responder_records(&w, r, &s, mdns_responder_domains[0], MDNS_RESPONDER_ALL);
    return micro__dns_end(&w);
}

/* Finds the fullest description that fits. */
static micro_err mdns_responder_describe(micro_ctx *ctx, const micro__mdns_responder *r, size_t fit,
                                         const micro_entry *e, const micro_node *node,
                                         micro__mdns_local *n)
{
    for (int level = MICRO__MDNS_FULL; level < MICRO__MDNS_LEVELS; level++) {
        micro_buf txt = { 0 };
        micro_err err = micro__mdns_txt_write(ctx, e, node, level, &txt);
        micro__strfree(n->txt);
        n->txt = NULL;
        if (!err) {
            micro__buf_byte(&txt, '\0');
            n->txt = txt.failed ? NULL : micro__strdup(txt.ptr);
            err = n->txt ? MICRO_OK : MICRO_ENOMEM;
        }
        micro__buf_free(&txt);
        if (err && err != MICRO_ETOOBIG)
            return err;
        size_t size = err ? 0 : mdns_responder_size(r, n);
        if (level == MICRO__MDNS_NAMES)
            fit = MICRO__MDNS_FIT_MAX;
        if (size && size <= fit)
            return MICRO_OK;
    }
    return MICRO_ETOOBIG;
}

/* Names and address; NULL: sound. */
static const char *mdns_responder_problem(const micro_entry *e, const micro_node *node,
                                          micro__mdns_local *n)
{
    micro__dns_name name;
    micro_str host;
    if (e->version.len == 0)
        return "has no version, and watchers pass over such nodes";
    if (!micro__dns_join(&name, node->id, e->name, micro_s(mdns_responder_domains[0])))
        return "has a name that is longer than a DNS name may be";
    const char *problem = micro__dns_name_problem(node->id);
    if (!problem)
        problem = micro__dns_name_problem(e->name);
    if (!problem)
        problem = micro__dns_name_problem(micro__str(name.text, name.len));
    if (problem)
        return problem;
    if (!micro__hostport_parse(node->address, &host, &n->port) || n->port == 0 ||
        !micro__ip_parse(&n->ip, host) || micro__ip_unset(&n->ip))
        return "has an address that is not IP:port";
    return NULL;
}

MICRO_PRIVATE micro_err micro__mdns_local_new(micro_ctx *ctx, const micro__mdns_responder *r,
                                              size_t fit, const micro_entry *e,
                                              const micro_node *node, int ttl_ms,
                                              micro__mdns_local **out)
{
    micro__mdns_local *n = micro__alloc_zero(sizeof *n);
    micro_ctx *scratch = n ? micro_ctx_new(NULL) : NULL;
    micro_err err = MICRO_ENOMEM;
    const char *problem = scratch ? mdns_responder_problem(e, node, n) : NULL;
    if (!scratch)
        goto fail;
    if (problem) {
        err = micro__ctx_local(ctx, MICRO_EINVAL, "mdns: node %s of %s %s", node->id.ptr,
                               e->name.ptr, problem);
        goto fail;
    }
    n->service = micro__strdup(e->name.ptr);
    n->id = micro__strdup(node->id.ptr);
    n->ttl = ttl_ms > 0 ? (uint32_t)ttl_ms / 1000u + (ttl_ms % 1000 != 0) : MICRO__MDNS_TTL;
    if (!n->service || !n->id)
        goto fail;
    err = mdns_responder_describe(scratch, r, fit, e, node, n);
    if (err == MICRO_ETOOBIG)
        micro__ctx_local(ctx, err,
                         "mdns: the names and metadata of node %s take more than the %u "
                         "bytes of a packet",
                         n->id, MICRO__MDNS_FIT_MAX);
    else if (err)
        micro__ctx_local(ctx, err, "mdns: node %s: %s", n->id,
                         err == MICRO_ENOMEM ? micro_strerror(err) : micro_ctx_strerror(scratch));
    if (err)
        goto fail;
    n->probes = n->announcements = 3;
    n->probe_id = (uint16_t)micro__random_fast();
    micro_ctx_free(scratch);
    *out = n;
    return MICRO_OK;
fail:
    micro_ctx_free(scratch);
    micro__mdns_local_free(n);
    return err;
}

MICRO_PRIVATE micro__mdns_local *micro__mdns_local_find(micro__mdns_responder *r, micro_str service,
                                                        micro_str id)
{
    micro__mdns_local *n = r->nodes;
    while (n && !(micro__str_is(service, n->service) && micro__str_is(id, n->id)))
        n = n->next;
    return n;
}

static void mdns_responder_unlink(micro__mdns_responder *r, micro__mdns_local *n)
{
    micro__mdns_local **at = &r->nodes;
    while (*at && *at != n)
        at = &(*at)->next;
    if (*at)
        *at = n->next;
}

static bool mdns_responder_same(const micro__mdns_local *a, const micro__mdns_local *b)
{
    return a->port == b->port && a->ip.v6 == b->ip.v6 &&
           memcmp(a->ip.bytes, b->ip.bytes, sizeof a->ip.bytes) == 0 && strcmp(a->txt, b->txt) == 0;
}

MICRO_PRIVATE bool micro__mdns_local_put(micro__mdns_responder *r, micro__mdns_local *n,
                                         uint64_t now)
{
    micro__mdns_local *old = micro__mdns_local_find(r, micro_s(n->service), micro_s(n->id));
    if (old && mdns_responder_same(old, n)) {
        old->owner = n->owner;
        old->ttl = n->ttl;
        if (!old->due && now - old->shown >= MDNS_RESPONDER_QUIET_MS) {
            old->announcements = 1;
            old->due = now;
        }
        micro__mdns_local_free(n);
        return false;
    }
    if (old) {
        micro__mdns_local_del(r, old);
        n->probes = 0; /* the name has been ours */
    }
    n->due = now;
    n->next = r->nodes;
    r->nodes = n;
    return true;
}

MICRO_PRIVATE void micro__mdns_local_del(micro__mdns_responder *r, micro__mdns_local *n)
{
    mdns_responder_announce(r, n, 0);
    mdns_responder_unlink(r, n);
    micro__mdns_local_free(n);
}

MICRO_PRIVATE void micro__mdns_responder_again(micro__mdns_responder *r, uint64_t now)
{
    for (micro__mdns_local *n = r->nodes; n; n = n->next) {
        n->announcements = 3;
        n->due = n->probes ? n->due : now;
    }
}

/* Three probes with pauses below 250 ms, announcements at 0, 1 and 3 s, as peers do. */
static void mdns_responder_next(micro__mdns_responder *r, micro__mdns_local *n, uint64_t now)
{
    if (n->probes > 0) {
        n->probes--;
        mdns_responder_probe(r, n);
        n->due = now + micro__random_fast() % 250;
        return;
    }
    mdns_responder_announce(r, n, n->ttl);
    n->shown = now;
    n->announcements--;
    n->due = n->announcements > 0 ? now + (n->announcements == 2 ? 1000 : 2000) : 0;
}

MICRO_PRIVATE uint64_t micro__mdns_responder_tick(micro__mdns_responder *r, uint64_t now)
{
    uint64_t due = 0;
    for (micro__mdns_local *n = r->nodes; n; n = n->next) {
        if (n->due && n->due <= now)
            mdns_responder_next(r, n, now);
        if (n->due && (!due || n->due < due))
            due = n->due;
    }
    return due;
}

/* ---- answers ----------------------------------------------------------------------------------*/

/* Answers may be larger than questions, and the sender's address may be a lie. */
static bool mdns_responder_affords(micro__mdns_responder *r, size_t len, uint64_t now)
{
    uint64_t earned = (now - r->allowance_at) * (MDNS_RESPONDER_ALLOWANCE / 1000);
    r->allowance_at = now;
    r->allowance += earned;
    if (r->allowance > MDNS_RESPONDER_ALLOWANCE)
        r->allowance = MDNS_RESPONDER_ALLOWANCE;
    if (r->allowance < len)
        return false;
    r->allowance -= len;
    return true;
}

static void mdns_responder_begin(const mdns_responder_reply *reply, micro__dns_writer *w)
{
    micro__mdns_responder *r = reply->r;
    const micro__dns_record *q = reply->question;
    micro__dns_begin(w, r->packet, sizeof r->packet, reply->plain ? reply->id : 0,
                     MICRO__DNS_RESPONSE | MICRO__DNS_AUTHENTIC);
    if (reply->plain) /* peers of 2.9 and later drop answers without it */
        micro__dns_ask(w, micro__str(q->name.text, q->name.len), q->type, q->klass);
}

static void mdns_responder_end(const mdns_responder_reply *reply, micro__dns_writer *w)
{
    if (mdns_responder_affords(reply->r, w->len, reply->now))
        mdns_responder_say(reply->r, w, reply->to_all);
}

/* shown: when all of this was multicast last; a second's rest between two of the same. */
static void mdns_responder_answer(const mdns_responder_reply *reply,
                                  const mdns_responder_subject *s, int parts, uint64_t *shown)
{
    micro__dns_writer w;
    if (reply->to_all && *shown && reply->now - *shown < MDNS_RESPONDER_QUIET_MS)
        return;
    mdns_responder_begin(reply, &w);
    mdns_responder_records(&w, reply->r, s, reply->domain, parts);
    mdns_responder_end(reply, &w);
    if (reply->to_all && (parts & MDNS_RESPONDER_NODE) == MDNS_RESPONDER_NODE)
        *shown = reply->now;
}

/* Which records answer a question about an instance. */
static int mdns_responder_parts(uint16_t type, bool v6)
{
    switch (type) {
    case MICRO__DNS_ANY:
        return MDNS_RESPONDER_NODE;
    case MICRO__DNS_SRV:
        return MDNS_RESPONDER_SRV | MDNS_RESPONDER_IP;
    case MICRO__DNS_TXT:
        return MDNS_RESPONDER_TXT;
    case MICRO__DNS_A:
        return v6 ? 0 : MDNS_RESPONDER_IP;
    case MICRO__DNS_AAAA:
        return v6 ? MDNS_RESPONDER_IP : 0;
    default:
        return 0;
    }
}

/* name: that of the question without the domain. */
static void mdns_responder_ask(const mdns_responder_reply *reply, micro_str name,
                               const mdns_responder_subject *s, uint64_t *shown)
{
    uint16_t type = reply->question->type;
    int parts = 0;
    if (micro_str_eq_nocase(name, s->service))
        parts = type == MICRO__DNS_PTR || type == MICRO__DNS_ANY ? MDNS_RESPONDER_ALL : 0;
    else if (micro__dns_cut(&name, s->service) && micro_str_eq_nocase(name, s->instance))
        parts = mdns_responder_parts(type, s->ip->v6);
    if (parts)
        mdns_responder_answer(reply, s, parts, shown);
}

static bool mdns_responder_first(const micro__mdns_responder *r, const micro__mdns_local *n)
{
    const micro__mdns_local *other = r->nodes;
    while (other != n && strcmp(other->service, n->service) != 0)
        other = other->next;
    return other == n;
}

/* DNS-SD's list of what there is: the services, and the list of services itself. */
static void mdns_responder_enumerate(const mdns_responder_reply *reply, micro_str asked)
{
    micro__mdns_responder *r = reply->r;
    micro__dns_writer w;
    micro__dns_name name;
    micro_str domain = micro_s(reply->domain);
    if (reply->to_all && r->enumerated && reply->now - r->enumerated < MDNS_RESPONDER_QUIET_MS)
        return;
    mdns_responder_begin(reply, &w);
    if (micro__dns_join(&name, micro_s(MICRO__MDNS_LIST), domain, micro_s("")))
        micro__dns_ptr(&w, asked, MICRO__MDNS_TTL, micro__str(name.text, name.len));
    for (const micro__mdns_local *n = r->nodes; n; n = n->next) {
        if (!mdns_responder_first(r, n) ||
            !micro__dns_join(&name, micro_s(n->service), domain, micro_s("")))
            continue;
        if (w.len + name.len > MICRO__MDNS_FIT6 - 32) { /* goes on in another packet */
            mdns_responder_end(reply, &w);
            mdns_responder_begin(reply, &w);
        }
        micro__dns_ptr(&w, asked, n->ttl, micro__str(name.text, name.len));
    }
    mdns_responder_end(reply, &w);
    if (reply->to_all)
        r->enumerated = reply->now;
}

/* Every address that a node of ours has. */
static void mdns_responder_host(const mdns_responder_reply *reply)
{
    micro__dns_writer w;
    bool v6 = reply->question->type == MICRO__DNS_AAAA;
    unsigned found = 0;
    mdns_responder_begin(reply, &w);
    for (const micro__mdns_local *n = reply->r->nodes; n && found < 8; n = n->next) {
        const micro__mdns_local *other = reply->r->nodes;
        while (other != n && memcmp(&other->ip, &n->ip, sizeof n->ip) != 0)
            other = other->next;
        if (n->ip.v6 == v6 && other == n) {
            micro__dns_ip(&w, micro_s(reply->r->host), n->ttl, &n->ip);
            found++;
        }
    }
    if (found)
        mdns_responder_end(reply, &w);
}

static void mdns_responder_question(mdns_responder_reply *reply)
{
    static const char enumeration[] = "_services._dns-sd._udp";
    micro__mdns_responder *r = reply->r;
    const micro__dns_record *q = reply->question;
    micro_str name = micro__str(q->name.text, q->name.len);
    bool host = q->type == MICRO__DNS_A || q->type == MICRO__DNS_AAAA;
    if (host && reply->plain && micro__str_is_nocase(name, r->host)) {
        mdns_responder_host(reply);
        return;
    }
    for (size_t i = 0; i < MICRO_COUNTOF(mdns_responder_domains); i++) {
        reply->domain = mdns_responder_domains[i];
        micro_str bare = name;
        if (!micro__dns_cut(&bare, micro_s(reply->domain)))
            continue;
        micro_str entry = bare;
        bool all = q->type == MICRO__DNS_PTR || q->type == MICRO__DNS_ANY;
        bool list = micro__str_is_nocase(bare, MICRO__MDNS_LIST) ||
                    micro__dns_cut(&entry, micro_s(MICRO__MDNS_LIST));
        if (all && r->nodes && micro__str_is_nocase(bare, enumeration))
            mdns_responder_enumerate(reply, name);
        for (micro__mdns_local *n = r->nodes; n; n = n->next) {
            mdns_responder_subject s = mdns_responder_node(n);
            mdns_responder_ask(reply, bare, &s, &n->shown);
            if (!list || !mdns_responder_first(r, n))
                continue;
            s = mdns_responder_list_entry(n);
            mdns_responder_ask(reply, bare, &s, &n->listed);
        }
    }
}

MICRO_PRIVATE void micro__mdns_responder_hear(micro__mdns_responder *r, const uint8_t *data,
                                              size_t len, bool plain, uint64_t now)
{
    micro__dns_reader reader;
    micro__dns_record q;
    if (!micro__dns_open(&reader, data, len) ||
        (reader.flags & (MICRO__DNS_RESPONSE | MICRO__DNS_NOT_PLAIN)))
        return;
    mdns_responder_reply reply = {
        .r = r, .question = &q, .id = reader.id, .plain = plain, .now = now
    };
    for (int i = 0; i < MDNS_RESPONDER_QUESTIONS && micro__dns_question(&reader, &q); i++) {
        unsigned klass = q.klass & ~(unsigned)MICRO__DNS_TOP_BIT;
        if (klass != MICRO__DNS_IN && klass != MICRO__DNS_ANY)
            continue;
        reply.to_all = !plain && !(q.klass & MICRO__DNS_TOP_BIT);
        mdns_responder_question(&reply);
    }
}
