/* SPDX-License-Identifier: MIT */
/* Captured mDNS packets, for the tests of the mdns registry. */
#ifndef MDNS_GOLDEN_H
#define MDNS_GOLDEN_H

#include "harness.h"

enum { MDNS_GOLDEN_PACKET = 9000 };

/* The text of tests/golden/mdns/NAME; yours to free. NULL is a failed check. */
static inline char *mdns_golden_text(const char *name)
{
    char path[512];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*sgolden/mdns/%s", slash ? (int)(slash + 1 - __FILE__) : 0,
             __FILE__, name);
    FILE *f = fopen(path, "rb");
    if (!CHECK(f != NULL))
        return NULL;
    fseek(f, 0, SEEK_END);
    size_t len = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(len + 1);
    if (CHECK(text && fread(text, 1, len, f) == len))
        text[len] = '\0';
    fclose(f);
    return text;
}

/* Hex up to the end of the line; the number of bytes. */
static inline size_t mdns_golden_unhex(const char *hex, uint8_t *out, size_t max)
{
    size_t n = 0;
    unsigned v;
    char two[3] = { 0 };
    while (n < max && hex[0] > ' ' && hex[1] > ' ') {
        two[0] = hex[0];
        two[1] = hex[1];
        if (sscanf(two, "%2x", &v) != 1)
            break;
        out[n++] = (uint8_t)v;
        hex += 2;
    }
    return n;
}

/* The bytes of a .hex file. */
static inline size_t mdns_golden_hex(const char *name, uint8_t out[MDNS_GOLDEN_PACKET])
{
    char *text = mdns_golden_text(name);
    size_t n = text ? mdns_golden_unhex(text, out, MDNS_GOLDEN_PACKET) : 0;
    free(text);
    return n;
}

typedef struct mdns_golden_packet {
    int number;
    unsigned ms;    /* since the first */
    bool to_all;    /* to the group */
    bool from_mdns; /* from port 5353 */
    const uint8_t *data;
    size_t len;
} mdns_golden_packet;

/* Calls fn for every packet of a .txt file; returns how many there were. */
static inline int mdns_golden_each(const char *name,
                                   void (*fn)(void *arg, const mdns_golden_packet *p), void *arg)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    char *text = mdns_golden_text(name), from[64], to[64];
    int n = 0;
    for (const char *at = text; at && (at = strstr(at, "packet ")); at++) {
        mdns_golden_packet p = { 0 };
        unsigned s, ms;
        if (sscanf(at, "packet %d t=%u.%us %63s -> %63s", &p.number, &s, &ms, from, to) != 5)
            continue;
        const char *hex = strstr(at, "\n  hex: ");
        if (!CHECK(hex != NULL))
            break;
        p.ms = s * 1000 + ms;
        p.to_all = !strcmp(to, "224.0.0.251:5353");
        p.from_mdns = strstr(from, ":5353") != NULL;
        p.len = mdns_golden_unhex(hex + 8, data, sizeof data);
        p.data = data;
        fn(arg, &p);
        n++;
    }
    free(text);
    return n;
}

#endif
