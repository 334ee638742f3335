/* SPDX-License-Identifier: MIT */
/* The address that others are to call: chosen among this machine's when the service listens on all
 * of them. */
#include "net.h"

#define ADVERTISE_MAX 64

enum { ADVERTISE_PRIVATE, ADVERTISE_GLOBAL, ADVERTISE_SHARED, ADVERTISE_LINK, ADVERTISE_NONE };

static int advertise_rank(const micro__iface *i)
{
    const uint8_t *ip = i->ip;

    if (i->v6 || i->loopback || !ip[0] || ip[0] == 127)
        return ADVERTISE_NONE;
    if (ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168))
        return ADVERTISE_PRIVATE;
    if (ip[0] == 100 && (ip[1] & 0xc0) == 64)
        return ADVERTISE_SHARED;
    return ip[0] == 169 && ip[1] == 254 ? ADVERTISE_LINK : ADVERTISE_GLOBAL;
}

/* A second, ordinary address on the loopback interface counts: that is how a machine without a
 * network is set up. */
static int advertise_rank_any(micro__iface i)
{
    i.loopback = false;
    return advertise_rank(&i);
}

static const char *advertise_host(micro__iface *list)
{
    size_t n = micro__ifaces(list, ADVERTISE_MAX);
    int best = ADVERTISE_NONE;
    const char *host = NULL;

    for (size_t i = 0; i < n; i++) {
        int rank = advertise_rank_any(list[i]);
        if (rank < best) {
            best = rank;
            host = list[i].text;
        }
    }
    if (host)
        return host;
    MICRO_LOG(MICRO_LOG_WARN, "no address but the loopback one: others cannot reach this service");
    return "127.0.0.1";
}

static bool advertise_wildcard(micro_str host)
{
    return !host.len || micro__str_is(host, "0.0.0.0") || micro__str_is(host, "::");
}

MICRO_PRIVATE micro_err micro__advertise(const char *advertise, const char *bound, char out[128],
                                         char *why)
{
    micro__iface list[ADVERTISE_MAX];
    micro_str host, given = { "", 0 };
    uint16_t port, wanted = 0;

    if (!strncmp(bound, "unix:", 5) && !(advertise && *advertise)) {
        snprintf(out, 128, "%s", bound);
        return MICRO_OK;
    }
    if (!micro__hostport_parse(micro_s(bound), &host, &port))
        host = micro_s(bound), port = 0;
    if (advertise && *advertise) {
        if (!micro__hostport_parse(micro_s(advertise), &given, &wanted)) {
            snprintf(why, 256, "malformed address to advertise: %s", advertise);
            return MICRO_EUSAGE;
        }
        if (given.len)
            host = given;
        if (wanted)
            port = wanted;
    }
    if (advertise_wildcard(host))
        host = micro_s(advertise_host(list));
    micro__hostport_format(out, 128, host, port);
    return MICRO_OK;
}
