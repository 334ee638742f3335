/* SPDX-License-Identifier: MIT */
/* Socket addresses: from text, to text, by name. */
#include "sys.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/un.h>

#define ADDR_IFACES 64

_Static_assert(sizeof(struct sockaddr_in6) <= 128 && sizeof(struct sockaddr_un) <= 128,
               "micro__addr is too small");

MICRO_PRIVATE int micro__addr_family(const micro__addr *a)
{
    return a->len >= sizeof(sa_family_t) ? micro__addr_sys_const(a)->sa_family : AF_UNSPEC;
}

static void addr_set4(micro__addr *out, const struct in_addr *ip, uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = *ip };
    memset(out, 0, sizeof *out);
    memcpy(out->u.bytes, &in, sizeof in);
    out->len = sizeof in;
}

static void addr_set6(micro__addr *out, const struct in6_addr *ip, uint16_t port, unsigned scope)
{
    struct sockaddr_in6 in = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *ip, .sin6_scope_id = scope
    };
    memset(out, 0, sizeof *out);
    memcpy(out->u.bytes, &in, sizeof in);
    out->len = sizeof in;
}

/* "eth0" or "2" behind the % of an address that means something on one link only; 0: no such
 * interface. */
static unsigned addr_scope(const char *text)
{
    uint64_t number;
    if (micro__parse_u64(micro_s(text), &number))
        return number <= UINT32_MAX ? (unsigned)number : 0;
    return if_nametoindex(text);
}

/* A terminated copy; false: too long, empty, or a NUL inside. */
static bool addr_text(micro_str s, char *out, size_t size)
{
    if (!s.len || s.len >= size || memchr(s.ptr, '\0', s.len))
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

MICRO_PRIVATE bool micro__addr_literal(micro__addr *out, micro_str host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    if (!addr_text(host, text, sizeof text))
        return false;
    struct in_addr ip4;
    if (inet_pton(AF_INET, text, &ip4) == 1) {
        addr_set4(out, &ip4, port);
        return true;
    }
    unsigned scope = 0;
    char *percent = strchr(text, '%');
    if (percent) {
        *percent = '\0';
        scope = addr_scope(percent + 1);
        if (!scope)
            return false;
    }
    struct in6_addr ip6;
    if (inet_pton(AF_INET6, text, &ip6) != 1)
        return false;
    addr_set6(out, &ip6, port, scope);
    return true;
}

static micro_err addr_unix(micro__addr *out, micro_str path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    if (!addr_text(path, un.sun_path, sizeof un.sun_path))
        return MICRO_EINVAL;
    memset(out, 0, sizeof *out);
    memcpy(out->u.bytes, &un, sizeof un);
    out->len = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return MICRO_OK;
}

/* Asks the system's resolver. Of several addresses an IPv4 one is taken: a server on "localhost"
 * listens there. */
static micro_err addr_lookup(micro__addr *out, micro_str host, uint16_t port)
{
    char name[256];
    if (!addr_text(host, name, sizeof name))
        return MICRO_EINVAL;
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
    int status = getaddrinfo(name, NULL, &hints, &found);
    if (status != 0)
        return status == EAI_MEMORY ? MICRO_ENOMEM : MICRO_ENOTFOUND;
    micro_err err = MICRO_ENOTFOUND;
    for (const struct addrinfo *i = found; i; i = i->ai_next) {
        if (i->ai_family == AF_INET && i->ai_addrlen >= sizeof(struct sockaddr_in)) {
            struct sockaddr_in in;
            memcpy(&in, i->ai_addr, sizeof in);
            addr_set4(out, &in.sin_addr, port);
            err = MICRO_OK;
            break;
        }
        if (err != MICRO_OK && i->ai_family == AF_INET6 &&
            i->ai_addrlen >= sizeof(struct sockaddr_in6)) {
            struct sockaddr_in6 in;
            memcpy(&in, i->ai_addr, sizeof in);
            addr_set6(out, &in.sin6_addr, port, in.sin6_scope_id);
            err = MICRO_OK;
        }
    }
    freeaddrinfo(found);
    return err;
}

MICRO_PRIVATE micro_err micro__addr_resolve(micro__addr *out, micro_str address)
{
    static const char scheme[] = "unix:";
    if (micro__str_starts(address, scheme))
        return addr_unix(
            out, micro__str(address.ptr + sizeof scheme - 1, address.len - (sizeof scheme - 1)));
    micro_str host;
    uint16_t port;
    if (!micro__hostport_parse(address, &host, &port))
        return MICRO_EINVAL;
    if (!host.len) {
        /* IPv4 too; a listener falls back where there is no IPv6 */
        addr_set6(out, &in6addr_any, port, 0);
        return MICRO_OK;
    }
    if (micro__addr_literal(out, host, port))
        return MICRO_OK;
    return addr_lookup(out, host, port);
}

MICRO_PRIVATE const char *micro__addr_path(const micro__addr *a)
{
    const size_t start = offsetof(struct sockaddr_un, sun_path);
    if (micro__addr_family(a) != AF_UNIX || a->len <= start)
        return "";
    return (const char *)a->u.bytes +
           start; /* an address is zeroed before it is filled, and longer than any path */
}

/* inet_ntop does it with printf, whose code nothing else needs at the start of a service: 128 KB of
 * its memory. */
static void addr_text4(const uint8_t ip[4], char out[INET_ADDRSTRLEN])
{
    for (int i = 0; i < 4; i++) {
        char digits[20];
        size_t n = micro__format_u64(digits, ip[i]);
        memcpy(out, digits, n);
        out[n] = i < 3 ? '.' : '\0';
        out += n + 1;
    }
}

static void addr_format6(const micro__addr *a, char out[128])
{
    struct sockaddr_in6 in;
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1] = "", name[IF_NAMESIZE];
    memcpy(&in, a->u.bytes, sizeof in);
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) /* how an IPv4 peer of an IPv6 listener appears */
        addr_text4(in.sin6_addr.s6_addr + 12, text);
    else
        inet_ntop(AF_INET6, &in.sin6_addr, text, INET6_ADDRSTRLEN);
    size_t len = strlen(text);
    if (in.sin6_scope_id && if_indextoname(in.sin6_scope_id, name))
        snprintf(text + len, sizeof text - len, "%%%s", name);
    else if (in.sin6_scope_id)
        snprintf(text + len, sizeof text - len, "%%%u", (unsigned)in.sin6_scope_id);
    micro__hostport_format(out, 128, micro_s(text), ntohs(in.sin6_port));
}

MICRO_PRIVATE void micro__addr_format(const micro__addr *a, char out[128])
{
    int family = micro__addr_family(a);
    out[0] = '\0';
    if (family == AF_INET) {
        struct sockaddr_in in;
        uint8_t ip[4];
        char text[INET_ADDRSTRLEN];
        memcpy(&in, a->u.bytes, sizeof in);
        memcpy(ip, &in.sin_addr, sizeof ip);
        addr_text4(ip, text);
        micro__hostport_format(out, 128, micro_s(text), ntohs(in.sin_port));
    } else if (family == AF_INET6) {
        addr_format6(a, out);
    } else if (family == AF_UNIX) {
        snprintf(out, 128, "unix:%s", micro__addr_path(a));
    }
}

MICRO_PRIVATE uint16_t micro__addr_port(const micro__addr *a)
{
    if (micro__addr_family(a) == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a->u.bytes, sizeof in);
        return ntohs(in.sin_port);
    }
    if (micro__addr_family(a) == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, a->u.bytes, sizeof in);
        return ntohs(in.sin6_port);
    }
    return 0;
}

/* ---- addresses of this machine ------------------------------------------------------------- */

/* The IP of an address: its length, 4 or 16; 0: it has none. */
static size_t addr_ip(const micro__addr *a, uint8_t ip[16])
{
    if (micro__addr_family(a) == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a->u.bytes, sizeof in);
        memcpy(ip, &in.sin_addr, 4);
        return 4;
    }
    if (micro__addr_family(a) != AF_INET6)
        return 0;
    struct sockaddr_in6 in;
    memcpy(&in, a->u.bytes, sizeof in);
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);
    memcpy(ip, in.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    return mapped ? 4 : 16;
}

static bool addr_is_any(const uint8_t *ip, size_t len)
{
    static const uint8_t zero[16] = { 0 };
    return memcmp(ip, zero, len) == 0;
}

static bool addr_is_ours(const uint8_t *ip, size_t len)
{
    micro__iface list[ADDR_IFACES];
    size_t n = micro__ifaces(list, ADDR_IFACES);
    if (len == 4 && ip[0] == 127)
        return true;
    for (size_t i = 0; i < n; i++)
        if (list[i].v6 == (len == 16) && memcmp(list[i].ip, ip, len) == 0)
            return true;
    return false;
}

MICRO_PRIVATE bool micro__addr_reaches(const micro__addr *to, const micro__addr *bound)
{
    uint8_t to_ip[16], ip[16];
    size_t to_len = addr_ip(to, to_ip), len = addr_ip(bound, ip);
    if (!len || !to_len)
        return micro__addr_path(to)[0] && !strcmp(micro__addr_path(to), micro__addr_path(bound));
    if (micro__addr_port(to) != micro__addr_port(bound))
        return false;
    if (addr_is_any(ip, len)) /* that of IPv6 takes both */
        return (len == 16 || to_len == 4) &&
               (addr_is_any(to_ip, to_len) || addr_is_ours(to_ip, to_len));
    return len == to_len && memcmp(to_ip, ip, len) == 0;
}

MICRO_PRIVATE bool micro__addr_same_host(const micro__addr *a, const micro__addr *b)
{
    uint8_t ip_a[16], ip_b[16];
    size_t len_a = addr_ip(a, ip_a), len_b = addr_ip(b, ip_b);
    return len_a == len_b && memcmp(ip_a, ip_b, len_a) == 0;
}

#undef ADDR_IFACES
