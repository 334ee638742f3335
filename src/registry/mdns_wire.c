/* SPDX-License-Identifier: MIT */
/* Reading and writing DNS packets, and IP addresses as text. Pure functions on lent memory. */
#include "mdns.h"

enum { MDNS_WIRE_HEADER = 12, MDNS_WIRE_JUMPS = 127, MDNS_WIRE_NAME_BYTES = 255 };

/* ---- reading ----------------------------------------------------------------------------------*/

static uint16_t mdns_wire_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t mdns_wire_u32(const uint8_t *p)
{
    return (uint32_t)mdns_wire_u16(p) << 16 | mdns_wire_u16(p + 2);
}

MICRO_PRIVATE bool micro__dns_open(micro__dns_reader *r, const void *data, size_t len)
{
    memset(r, 0, sizeof *r);
    if (len < MDNS_WIRE_HEADER)
        return false;
    r->data = data;
    r->len = len;
    r->pos = MDNS_WIRE_HEADER;
    r->id = mdns_wire_u16(r->data);
    r->flags = mdns_wire_u16(r->data + 2);
    for (size_t i = 0; i < 4; i++)
        r->left[i] = mdns_wire_u16(r->data + 4 + 2 * i);
    return true;
}

static bool mdns_wire_label_plain(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '.')
            return false;
    }
    return true;
}

/* Pointers lead towards the start only, so that a name ends. */
static bool mdns_wire_name(const micro__dns_reader *r, size_t *pos, micro__dns_name *out)
{
    size_t at = *pos, below = at, end = 0;
    bool plain = true;
    out->len = 0;
    for (int jumps = 0;;) {
        if (at >= r->len)
            return false;
        size_t c = r->data[at];
        if (c == 0)
            break;
        if ((c & 0xc0) == 0xc0) {
            if (at + 2 > r->len || ++jumps > MDNS_WIRE_JUMPS)
                return false;
            end = end ? end : at + 2;
            at = mdns_wire_u16(r->data + at) & 0x3fffu;
            if (at >= below)
                return false;
            below = at;
            continue;
        }
        if (c > 63 || c >= r->len - at || out->len + c + 3 > MDNS_WIRE_NAME_BYTES)
            return false;
        if (out->len)
            out->text[out->len++] = '.';
        memcpy(out->text + out->len, r->data + at + 1, c);
        out->len += c;
        plain = plain && mdns_wire_label_plain(r->data + at + 1, c);
        at += c + 1;
    }
    *pos = end ? end : at + 1;
    if (!plain || !micro__utf8_valid(out->text, out->len))
        out->len = 0;
    out->text[out->len] = '\0';
    return true;
}

/* Name, type and class, which questions and records begin with. */
static bool mdns_wire_start(micro__dns_reader *r, micro__dns_record *out)
{
    if (!mdns_wire_name(r, &r->pos, &out->name) || r->len - r->pos < 4)
        return false;
    out->type = mdns_wire_u16(r->data + r->pos);
    out->klass = mdns_wire_u16(r->data + r->pos + 2);
    r->pos += 4;
    return true;
}

static bool mdns_wire_damaged(micro__dns_reader *r)
{
    memset(r->left, 0, sizeof r->left);
    return false;
}

MICRO_PRIVATE bool micro__dns_question(micro__dns_reader *r, micro__dns_record *out)
{
    if (r->left[MICRO__DNS_QUESTION] == 0)
        return false;
    r->left[MICRO__DNS_QUESTION]--;
    out->section = MICRO__DNS_QUESTION;
    return mdns_wire_start(r, out) || mdns_wire_damaged(r);
}

/* What a type says of the content; false: it says something else. */
static bool mdns_wire_content(const micro__dns_reader *r, micro__dns_record *rec)
{
    size_t at = (size_t)(rec->data - r->data);
    switch (rec->type) {
    case MICRO__DNS_SRV:
        if (rec->len < 7)
            return false;
        rec->priority = mdns_wire_u16(rec->data);
        rec->weight = mdns_wire_u16(rec->data + 2);
        rec->port = mdns_wire_u16(rec->data + 4);
        at += 6;
        break;
    case MICRO__DNS_PTR:
        break;
    case MICRO__DNS_A:
    case MICRO__DNS_AAAA:
        rec->ip.v6 = rec->type == MICRO__DNS_AAAA;
        if (rec->len != (rec->ip.v6 ? 16u : 4u))
            return false;
        memset(rec->ip.bytes, 0, sizeof rec->ip.bytes);
        memcpy(rec->ip.bytes, rec->data, rec->len);
        return true;
    default:
        return true;
    }
    return mdns_wire_name(r, &at, &rec->target) && at == (size_t)(rec->data - r->data) + rec->len;
}

MICRO_PRIVATE bool micro__dns_next(micro__dns_reader *r, micro__dns_record *out)
{
    while (micro__dns_question(r, out))
        continue;
    for (;;) {
        out->section = MICRO__DNS_ANSWER;
        while (out->section < MICRO__DNS_ADDITIONAL && r->left[out->section] == 0)
            out->section++;
        if (r->left[out->section] == 0)
            return false;
        r->left[out->section]--;
        if (!mdns_wire_start(r, out) || r->len - r->pos < 6)
            return mdns_wire_damaged(r);
        out->ttl = mdns_wire_u32(r->data + r->pos);
        out->len = mdns_wire_u16(r->data + r->pos + 4);
        r->pos += 6;
        if (r->len - r->pos < out->len)
            return mdns_wire_damaged(r);
        out->data = r->data + r->pos;
        r->pos += out->len;
        out->target.len = 0;
        if (mdns_wire_content(r, out))
            return true;
    }
}

/* ---- writing ----------------------------------------------------------------------------------*/

MICRO_PRIVATE void micro__dns_begin(micro__dns_writer *w, void *out, size_t cap, uint16_t id,
                                    uint16_t flags)
{
    memset(w, 0, sizeof *w);
    w->out = out;
    w->cap = cap;
    w->failed = cap < MDNS_WIRE_HEADER;
    if (w->failed)
        return;
    memset(w->out, 0, MDNS_WIRE_HEADER);
    w->out[0] = (uint8_t)(id >> 8);
    w->out[1] = (uint8_t)id;
    w->out[2] = (uint8_t)(flags >> 8);
    w->out[3] = (uint8_t)flags;
    w->len = MDNS_WIRE_HEADER;
}

static void mdns_wire_put(micro__dns_writer *w, const void *data, size_t len)
{
    if (w->failed || w->cap - w->len < len) {
        w->failed = true;
        return;
    }
    if (len)
        memcpy(w->out + w->len, data, len);
    w->len += len;
}

static void mdns_wire_put16(micro__dns_writer *w, unsigned v)
{
    uint8_t bytes[2] = { (uint8_t)(v >> 8), (uint8_t)v };
    mdns_wire_put(w, bytes, sizeof bytes);
}

/* Whether the name written at an offset is this one. */
static bool mdns_wire_same(const micro__dns_writer *w, size_t at, micro_str name)
{
    for (;;) {
        while ((w->out[at] & 0xc0) == 0xc0)
            at = mdns_wire_u16(w->out + at) & 0x3fffu;
        size_t c = w->out[at];
        if (c == 0 || name.len == 0)
            return c == 0 && name.len == 0;
        micro_str rest, label = micro__str_cut(name, '.', &rest);
        if (label.len != c || memcmp(label.ptr, w->out + at + 1, c) != 0)
            return false;
        name = rest;
        at += c + 1;
    }
}

static void mdns_wire_put_name(micro__dns_writer *w, micro_str name)
{
    if (w->failed || micro__dns_name_problem(name)) {
        w->failed = true;
        return;
    }
    size_t known = w->nseen; /* tails of this very name are not complete yet */
    while (name.len) {
        for (size_t i = 0; i < known; i++) {
            if (mdns_wire_same(w, w->seen[i], name)) {
                mdns_wire_put16(w, 0xc000u | w->seen[i]);
                return;
            }
        }
        if (w->nseen < MICRO_COUNTOF(w->seen) && w->len < 0x4000)
            w->seen[w->nseen++] = (uint16_t)w->len;
        micro_str label = micro__str_cut(name, '.', &name);
        uint8_t c = (uint8_t)label.len;
        mdns_wire_put(w, &c, 1);
        mdns_wire_put(w, label.ptr, label.len);
    }
    mdns_wire_put(w, "", 1);
}

MICRO_PRIVATE void micro__dns_ask(micro__dns_writer *w, micro_str name, uint16_t type,
                                  uint16_t klass)
{
    w->counts[MICRO__DNS_QUESTION]++;
    mdns_wire_put_name(w, name);
    mdns_wire_put16(w, type);
    mdns_wire_put16(w, klass);
}

/* Up to the length of the content, which is filled in by mdns_wire_record_end. */
static size_t mdns_wire_record(micro__dns_writer *w, int section, micro_str name, uint16_t type,
                               uint32_t ttl)
{
    w->counts[section]++;
    mdns_wire_put_name(w, name);
    mdns_wire_put16(w, type);
    mdns_wire_put16(w, MICRO__DNS_IN);
    mdns_wire_put16(w, ttl >> 16);
    mdns_wire_put16(w, ttl & 0xffffu);
    mdns_wire_put16(w, 0);
    return w->len;
}

static void mdns_wire_record_end(micro__dns_writer *w, size_t at)
{
    if (w->failed)
        return;
    size_t len = w->len - at;
    w->out[at - 2] = (uint8_t)(len >> 8);
    w->out[at - 1] = (uint8_t)len;
}

MICRO_PRIVATE void micro__dns_ptr(micro__dns_writer *w, micro_str name, uint32_t ttl,
                                  micro_str target)
{
    size_t at = mdns_wire_record(w, MICRO__DNS_ANSWER, name, MICRO__DNS_PTR, ttl);
    mdns_wire_put_name(w, target);
    mdns_wire_record_end(w, at);
}

MICRO_PRIVATE void micro__dns_srv(micro__dns_writer *w, int section, micro_str name, uint32_t ttl,
                                  const uint16_t priority_weight_port[3], micro_str target)
{
    size_t at = mdns_wire_record(w, section, name, MICRO__DNS_SRV, ttl);
    for (size_t i = 0; i < 3; i++)
        mdns_wire_put16(w, priority_weight_port[i]);
    mdns_wire_put_name(w, target);
    mdns_wire_record_end(w, at);
}

MICRO_PRIVATE void micro__dns_ip(micro__dns_writer *w, micro_str name, uint32_t ttl,
                                 const micro__ip *ip)
{
    uint16_t type = ip->v6 ? MICRO__DNS_AAAA : MICRO__DNS_A;
    size_t at = mdns_wire_record(w, MICRO__DNS_ANSWER, name, type, ttl);
    mdns_wire_put(w, ip->bytes, ip->v6 ? 16 : 4);
    mdns_wire_record_end(w, at);
}

MICRO_PRIVATE void micro__dns_txt(micro__dns_writer *w, int section, micro_str name, uint32_t ttl,
                                  micro_str payload)
{
    size_t at = mdns_wire_record(w, section, name, MICRO__DNS_TXT, ttl);
    while (payload.len) {
        uint8_t c = (uint8_t)(payload.len < 255 ? payload.len : 255);
        mdns_wire_put(w, &c, 1);
        mdns_wire_put(w, payload.ptr, c);
        payload = micro__str(payload.ptr + c, payload.len - c);
    }
    mdns_wire_record_end(w, at);
}

MICRO_PRIVATE size_t micro__dns_end(micro__dns_writer *w)
{
    if (w->failed)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        w->out[4 + 2 * i] = (uint8_t)(w->counts[i] >> 8);
        w->out[5 + 2 * i] = (uint8_t)w->counts[i];
    }
    return w->len;
}

/* ---- names ------------------------------------------------------------------------------------*/

MICRO_PRIVATE const char *micro__dns_name_problem(micro_str name)
{
    if (name.len + 2 > MDNS_WIRE_NAME_BYTES)
        return "is longer than a DNS name may be";
    if (!micro__utf8_valid(name.ptr, name.len))
        return "is not plain text";
    do {
        bool last = !memchr(name.ptr, '.', name.len);
        micro_str label = micro__str_cut(name, '.', &name);
        if (label.len == 0 || (!last && name.len == 0))
            return "has an empty part between dots";
        if (label.len > 63)
            return "has more than 63 bytes between dots";
        if (!mdns_wire_label_plain((const uint8_t *)label.ptr, label.len))
            return "is not plain text";
    } while (name.len);
    return NULL;
}

MICRO_PRIVATE bool micro__dns_join(micro__dns_name *out, micro_str a, micro_str b, micro_str c)
{
    const micro_str parts[] = { a, b, c };
    out->len = 0;
    for (size_t i = 0; i < MICRO_COUNTOF(parts); i++) {
        if (parts[i].len == 0)
            continue;
        if (parts[i].len + 2 > sizeof out->text - out->len)
            return false;
        if (out->len)
            out->text[out->len++] = '.';
        memcpy(out->text + out->len, parts[i].ptr, parts[i].len);
        out->len += parts[i].len;
    }
    out->text[out->len] = '\0';
    return true;
}

MICRO_PRIVATE bool micro__dns_cut(micro_str *name, micro_str suffix)
{
    if (name->len < suffix.len + 2)
        return false;
    size_t left = name->len - suffix.len;
    if (name->ptr[left - 1] != '.' ||
        !micro_str_eq_nocase(micro__str(name->ptr + left, suffix.len), suffix))
        return false;
    name->len = left - 1;
    return true;
}

/* ---- IP addresses -----------------------------------------------------------------------------*/

static bool mdns_wire_ip4(uint8_t out[4], micro_str text)
{
    for (int i = 0; i < 4; i++) {
        uint64_t v;
        bool last = !memchr(text.ptr, '.', text.len);
        micro_str part = micro__str_cut(text, '.', &text);
        if (last != (i == 3) || part.len == 0 || part.len > 3 || !micro__parse_u64(part, &v) ||
            v > 255 || (part.len > 1 && part.ptr[0] == '0'))
            return false;
        out[i] = (uint8_t)v;
    }
    return true;
}

/* Up to four hex digits at p; the number of digits. */
static size_t mdns_wire_group(const char *p, const char *end, unsigned *out)
{
    size_t n = 0;
    *out = 0;
    for (; n < 4 && p + n < end; n++) {
        char c = micro__lower(p[n]);
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *out = *out << 4 | (unsigned)(c - 'a' + 10);
        else
            break;
    }
    return n;
}

static bool mdns_wire_ip6(uint8_t out[16], micro_str text)
{
    uint8_t bytes[16] = { 0 };
    size_t n = 0, gap = SIZE_MAX;
    const char *p = text.ptr, *end = p + text.len;
    if (text.len >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }
    while (p < end) {
        unsigned v;
        size_t digits = mdns_wire_group(p, end, &v);
        if (digits == 0)
            return false;
        if (p + digits < end && p[digits] == '.') {
            if (n > 12 || !mdns_wire_ip4(bytes + n, micro__str(p, (size_t)(end - p))))
                return false;
            n += 4;
            break;
        }
        if (n > 14)
            return false;
        bytes[n++] = (uint8_t)(v >> 8);
        bytes[n++] = (uint8_t)v;
        p += digits;
        if (p == end)
            break;
        if (*p++ != ':' || p == end)
            return false;
        if (*p == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = n;
            p++;
        }
    }
    if (gap == SIZE_MAX ? n != 16 : n > 14)
        return false;
    if (gap == SIZE_MAX)
        gap = n;
    memset(out, 0, 16);
    memcpy(out, bytes, gap);
    memcpy(out + 16 - (n - gap), bytes + gap, n - gap);
    return true;
}

MICRO_PRIVATE bool micro__ip_parse(micro__ip *out, micro_str text)
{
    memset(out, 0, sizeof *out);
    out->v6 = memchr(text.ptr, ':', text.len) != NULL;
    return out->v6 ? mdns_wire_ip6(out->bytes, text) : mdns_wire_ip4(out->bytes, text);
}

/* The longest run of zero groups, at least two of them (RFC 5952); *len 0: none. */
static size_t mdns_wire_zeros(const uint8_t *b, size_t *len)
{
    size_t best = 0, start = 0;
    *len = 0;
    for (size_t i = 0; i < 8; i++) {
        if (b[2 * i] || b[2 * i + 1]) {
            start = i + 1;
        } else if (i + 1 - start > *len && i > start) {
            best = start;
            *len = i + 1 - start;
        }
    }
    return best;
}

MICRO_PRIVATE size_t micro__ip_format(const micro__ip *ip, char out[48])
{
    const uint8_t *b = ip->bytes;
    if (!ip->v6)
        return (size_t)snprintf(out, 48, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    size_t skip, at = mdns_wire_zeros(b, &skip), n = 0;
    for (size_t i = 0; i < 8; i++) {
        if (skip && i == at) {
            n += (size_t)snprintf(out + n, 48 - n, i + skip == 8 ? "::" : ":");
            i += skip - 1;
        } else {
            n += (size_t)snprintf(out + n, 48 - n, "%s%x", i ? ":" : "", mdns_wire_u16(b + 2 * i));
        }
    }
    return n;
}

MICRO_PRIVATE bool micro__ip_unset(const micro__ip *ip)
{
    static const uint8_t zero[16] = { 0 };
    return memcmp(ip->bytes, zero, sizeof zero) == 0;
}
