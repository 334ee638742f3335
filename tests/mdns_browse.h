/* SPDX-License-Identifier: MIT */
/* A browser that logs what it asks and tells, and packets about one node to feed it with. */
#ifndef MDNS_BROWSE_H
#define MDNS_BROWSE_H

#include "registry/mdns.h"

#include "mdns_golden.h"

typedef struct browse { /* what the browser has asked and told, one line each */
    char log[16384];
    size_t len;
    int asks, events;
    const char *wanted; /* one name, "*", or NULL: nobody watches */
    bool deaf;          /* no memory for events */
} browse;

static browse browse_seen;
static micro__mdns_browser browse_it;

static inline void browse_line(const char *what, micro_str a, micro_str b, micro_str c, micro_str d)
{
    browse *s = &browse_seen;
    int n = snprintf(s->log + s->len, sizeof s->log - s->len, "%s %s %s %s %s\n", what, a.ptr,
                     b.ptr, c.ptr, d.ptr);
    s->len += (size_t)n < sizeof s->log - s->len ? (size_t)n : 0;
}

static inline void browse_ask(void *arg, micro_str name)
{
    browse *s = arg;
    s->asks++;
    if (s->len + 300 > sizeof s->log)
        return;
    s->len += (size_t)snprintf(s->log + s->len, 300, "ask %s\n", name.ptr);
}

static inline bool browse_wanted(void *arg, micro_str name)
{
    const char *wanted = ((browse *)arg)->wanted;
    return wanted && (!strcmp(wanted, "*") || (name.len && micro__str_is(name, wanted)));
}

static inline bool browse_tell(void *arg, enum micro_change what, const micro_entry *e,
                               size_t weight)
{
    static const char *const words[] = { "create", "update", "delete" };
    browse *s = arg;
    CHECK(weight > 0);
    if (s->deaf)
        return false;
    s->events++;
    if (e->nodes.len != 1)
        browse_line("broken", e->name, e->version, e->name, e->name);
    else
        browse_line(words[what], e->name, e->version, e->nodes.ptr[0].id, e->nodes.ptr[0].address);
    return true;
}

static const micro__mdns_browser_ops browse_ops = { browse_ask, browse_wanted, browse_tell };

static inline micro__mdns_browser *browse_start(const char *wanted)
{
    memset(&browse_seen, 0, sizeof browse_seen);
    browse_seen.wanted = wanted;
    CHECK(micro__mdns_browser_init(&browse_it, &browse_ops, &browse_seen));
    return &browse_it;
}

/* The log since it was last taken. */
static inline const char *browse_log(void)
{
    static char taken[sizeof browse_seen.log];
    memcpy(taken, browse_seen.log, browse_seen.len);
    taken[browse_seen.len] = '\0';
    browse_seen.len = 0;
    return taken;
}

/* One node in a packet; what is NULL or 0 is left out. */
typedef struct browse_node {
    const char *name, *version, *id, *address, *domain, *meta;
    uint32_t ttl;
    const char *as;    /* the service that the TXT names, if another */
    const char *parts; /* P, S, A, T in this order; default SAT */
    bool bare;         /* no metadata */
} browse_node;

static inline void browse_part(micro__dns_writer *w, const browse_node *n, char part,
                               micro_str owner, micro_str txt)
{
    micro__ip ip = { { 0 }, false };
    micro_str host = { "", 0 };
    uint16_t srv[3] = { 10, 1, 0 };
    micro__dns_name service;
    micro__hostport_parse(micro_s(n->address), &host, &srv[2]);
    micro__ip_parse(&ip, host);
    micro__dns_join(&service, micro_s(n->name), micro_s(n->domain), micro_s(""));
    switch (part) {
    case 'P':
        micro__dns_ptr(w, micro__str(service.text, service.len), n->ttl, owner);
        break;
    case 'S':
        micro__dns_srv(w, MICRO__DNS_ANSWER, owner, n->ttl, srv, micro_s("vm"));
        break;
    case 'A':
        micro__dns_ip(w, micro_s("vm"), n->ttl, &ip);
        break;
    case '6': /* besides */
        micro__ip_parse(&ip, micro_s("fd00::6"));
        micro__dns_ip(w, micro_s("vm"), n->ttl, &ip);
        break;
    default:
        micro__dns_txt(w, MICRO__DNS_ANSWER, owner, n->ttl, txt);
        break;
    }
}

static inline void browse_write(micro__dns_writer *w, const browse_node *from)
{
    browse_node n = *from;
    n.domain = n.domain ? n.domain : "local";
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_pair pair = { micro_s("k"), micro_s(n.meta) };
    micro_node node = { .id = micro_s(n.id) };
    micro_entry e = { .name = micro_s(n.as ? n.as : n.name), .version = micro_s(n.version) };
    micro_buf txt = { 0 };
    micro__dns_name owner;
    node.metadata.ptr = &pair;
    node.metadata.len = !n.bare;
    CHECK_EQ_INT(micro__mdns_txt_write(ctx, &e, &node, MICRO__MDNS_FULL, &txt), MICRO_OK);
    CHECK(micro__dns_join(&owner, micro_s(n.id), micro_s(n.name), micro_s(n.domain)));
    for (const char *p = n.parts ? n.parts : "SAT"; *p; p++)
        browse_part(w, &n, *p, micro__str(owner.text, owner.len), micro__str(txt.ptr, txt.len));
    micro__buf_free(&txt);
    micro_ctx_free(ctx);
}

static inline void browse_hear(micro__mdns_browser *b, const browse_node *n, uint64_t now)
{
    uint8_t packet[MICRO__DNS_PACKET_MAX];
    micro__dns_writer w;
    micro__dns_begin(&w, packet, sizeof packet, 0, 0x8000);
    browse_write(&w, n);
    micro__mdns_hear(b, packet, micro__dns_end(&w), now);
}

static const browse_node browse_one = { "svc", "1", "a", "10.0.0.1:80", "local", "x",
                                        120,   0,   0,   false };

#endif
