/* SPDX-License-Identifier: MIT */
/* Reads mDNS messages: which nodes are there, changed or gone, which services are listed. */
#include "mdns.h"

enum { MDNS_HEAR_RECORDS = 512 }; /* looked at in a message */

typedef struct mdns_hear_message {
    micro__mdns_heard *heard;
    size_t n;
} mdns_hear_message;

static bool mdns_hear_domain(micro_str *name)
{
    return micro__dns_cut(name, micro_s("local")) || micro__dns_cut(name, micro_s("micro"));
}

/* The place of an instance; NULL: the message has too many, or the name is not one of ours. */
static micro__mdns_heard *mdns_hear_place(mdns_hear_message *m, const micro__dns_name *owner)
{
    micro_str name = { owner->text, owner->len };
    for (size_t i = 0; i < m->n; i++) {
        micro__mdns_heard *h = &m->heard[i];
        if (micro_str_eq(name, micro__str(h->owner.text, h->owner.len)))
            return h;
    }
    if (m->n == MICRO__MDNS_HEARD || !mdns_hear_domain(&name))
        return NULL;
    micro__mdns_heard *h = &m->heard[m->n++];
    memset(h, 0, sizeof *h);
    h->owner = *owner;
    h->ttl = UINT32_MAX;
    return h;
}

static void mdns_hear_ttl(micro__mdns_heard *h, uint32_t ttl)
{
    if (ttl == 0)
        h->gone = true;
    else if (ttl < h->ttl)
        h->ttl = ttl;
}

/* An address belongs to the last instance before it that named its host; IPv4 is preferred. */
static void mdns_hear_ip(mdns_hear_message *m, const micro__dns_record *rec)
{
    micro_str name = { rec->name.text, rec->name.len };
    for (size_t i = m->n; i-- > 0;) {
        micro__mdns_heard *h = &m->heard[i];
        if (!h->port || !micro_str_eq_nocase(name, micro__str(h->host.text, h->host.len)))
            continue;
        if (!h->has_ip || (h->ip.v6 && !rec->ip.v6))
            h->ip = rec->ip;
        h->has_ip = true;
        return;
    }
}

/* An entry of the list of services, or the goodbye of a responder that says it of the PTR alone. */
static void mdns_hear_ptr(micro__mdns_browser *b, mdns_hear_message *m,
                          const micro__dns_record *rec, uint64_t now)
{
    micro_str list = { rec->name.text, rec->name.len };
    micro_str name = { rec->target.text, rec->target.len };
    micro__mdns_heard *h = rec->ttl == 0 ? mdns_hear_place(m, &rec->target) : NULL;
    if (h)
        h->gone = true;
    if (rec->ttl && mdns_hear_domain(&list) && micro__str_is_nocase(list, MICRO__MDNS_LIST) &&
        mdns_hear_domain(&name) && micro__dns_cut(&name, list))
        micro__mdns_browser_listed(b, name, now);
}

static void mdns_hear_record(micro__mdns_browser *b, mdns_hear_message *m,
                             const micro__dns_record *rec, uint64_t now)
{
    bool srv = rec->type == MICRO__DNS_SRV;
    if (rec->type == MICRO__DNS_PTR)
        mdns_hear_ptr(b, m, rec, now);
    if (rec->type == MICRO__DNS_A || rec->type == MICRO__DNS_AAAA)
        mdns_hear_ip(m, rec);
    if (!srv && rec->type != MICRO__DNS_TXT)
        return;
    micro__mdns_heard *h = mdns_hear_place(m, &rec->name);
    if (!h)
        return;
    mdns_hear_ttl(h, rec->ttl);
    if (srv) {
        h->host = rec->target;
        h->port = rec->port;
    } else {
        h->txt = rec->data;
        h->txt_len = rec->len;
        h->has_txt = true;
    }
}

/* The name in the TXT says where the service's name begins in the key, and which letters are meant:
 * it is compared as it is. */
static bool mdns_hear_fits(const micro_entry *e, micro_str key)
{
    micro_str id = key;
    return e->version.len && !micro__dns_name_problem(e->name) && micro__dns_cut(&id, e->name) &&
           micro_str_eq(e->name, micro__str(key.ptr + id.len + 1, key.len - id.len - 1));
}

static void mdns_hear_node(micro__mdns_browser *b, const micro__mdns_heard *h, uint64_t now)
{
    micro_str key = { h->owner.text, h->owner.len }, in_list;
    if (!mdns_hear_domain(&key))
        return;
    in_list = key;
    if (micro__dns_cut(&in_list, micro_s(MICRO__MDNS_LIST)))
        return;
    if (h->gone) {
        micro__mdns_browser_gone(b, key, now);
        return;
    }
    if (!h->port || !h->has_ip || !h->has_txt || micro__ip_unset(&h->ip))
        return;
    char ip[48], text[64];
    size_t ip_len = micro__ip_format(&h->ip, ip), inflated;
    micro_str address = { text, 0 };
    address.len = micro__hostport_format(text, sizeof text, micro__str(ip, ip_len), h->port);
    micro_bytes zlib = { b->zlib, micro__mdns_txt_unhex(h->txt, h->txt_len, b->zlib) };
    if (zlib.len == 0 || micro__mdns_browser_known(b, key, address, zlib, h->ttl, now))
        return;
    micro_entry e;
    micro_ctx *ctx = micro_ctx_new(NULL);
    if (ctx && !micro__mdns_txt_read(ctx, zlib.ptr, zlib.len, &e, &inflated) &&
        mdns_hear_fits(&e, key))
        micro__mdns_browser_learn(b, key, e.name, address, zlib, inflated, h->ttl, now);
    micro_ctx_free(ctx);
}

MICRO_PRIVATE void micro__mdns_hear(micro__mdns_browser *b, const uint8_t *data, size_t len,
                                    uint64_t now)
{
    micro__dns_reader reader;
    micro__dns_record rec;
    mdns_hear_message m = { b->heard, 0 };
    if (!micro__dns_open(&reader, data, len) || !(reader.flags & MICRO__DNS_RESPONSE) ||
        (reader.flags & MICRO__DNS_NOT_PLAIN))
        return;
    for (int i = 0; i < MDNS_HEAR_RECORDS && micro__dns_next(&reader, &rec); i++) {
        unsigned klass = rec.klass & ~(unsigned)MICRO__DNS_TOP_BIT;
        if (rec.section != MICRO__DNS_AUTHORITY && klass == MICRO__DNS_IN)
            mdns_hear_record(b, &m, &rec, now);
    }
    for (size_t i = 0; i < m.n; i++)
        mdns_hear_node(b, &m.heard[i], now);
}
