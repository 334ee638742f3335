/* SPDX-License-Identifier: MIT */
/* The TXT payload of a node: JSON, deflated, in hex. */
#include "mdns.h"

typedef struct mdns_txt {
    micro_str service, version;
    micro_endpoints endpoints;
    micro_pairs metadata; /* of the node */
} mdns_txt;

/* ---- tables: what is empty is written null, as 2018 does --------------------------------------*/

#define MDNS_TXT_ROW(T, name, member, ctype, sub, kind, label) \
    { \
        name, sub, 0, (uint32_t)offsetof(T, member), 0, (uint32_t)sizeof(ctype), 0, \
            MICRO_KIND_##kind, label, MICRO_KEEP_ZERO, 0 \
    }
#define MDNS_TXT_TYPE(T, name, fields) \
    { \
        (uint16_t)sizeof(micro_type), (uint16_t)sizeof(micro_field), \
            (uint32_t)MICRO_COUNTOF(fields), name, sizeof(T), fields, 0 \
    }

static const micro_type mdns_txt_desc_type; /* contains itself */
static const micro_field mdns_txt_desc_fields[] = {
    MDNS_TXT_ROW(micro_desc, "name", name, micro_str, NULL, string, MICRO_PLAIN),
    MDNS_TXT_ROW(micro_desc, "type", type, micro_str, NULL, string, MICRO_PLAIN),
    MDNS_TXT_ROW(micro_desc, "values", values, micro_desc, &mdns_txt_desc_type, message,
                 MICRO_MANY),
};
static const micro_type mdns_txt_desc_type =
    MDNS_TXT_TYPE(micro_desc, "Value", mdns_txt_desc_fields);

static const micro_field mdns_txt_endpoint_fields[] = {
    MDNS_TXT_ROW(micro_endpoint, "name", name, micro_str, NULL, string, MICRO_PLAIN),
    MDNS_TXT_ROW(micro_endpoint, "request", request, micro_desc, &mdns_txt_desc_type, pointer,
                 MICRO_PLAIN),
    MDNS_TXT_ROW(micro_endpoint, "response", response, micro_desc, &mdns_txt_desc_type, pointer,
                 MICRO_PLAIN),
    MDNS_TXT_ROW(micro_endpoint, "metadata", metadata, micro_pair, &micro_type_pair, message,
                 MICRO_ENTRIES),
};
static const micro_type mdns_txt_endpoint_type =
    MDNS_TXT_TYPE(micro_endpoint, "Endpoint", mdns_txt_endpoint_fields);

static const micro_field mdns_txt_fields[] = {
    MDNS_TXT_ROW(mdns_txt, "Service", service, micro_str, NULL, string, MICRO_PLAIN),
    MDNS_TXT_ROW(mdns_txt, "Version", version, micro_str, NULL, string, MICRO_PLAIN),
    MDNS_TXT_ROW(mdns_txt, "Endpoints", endpoints, micro_endpoint, &mdns_txt_endpoint_type, message,
                 MICRO_MANY),
    MDNS_TXT_ROW(mdns_txt, "Metadata", metadata, micro_pair, &micro_type_pair, message,
                 MICRO_ENTRIES),
};
static const micro_type mdns_txt_type = MDNS_TXT_TYPE(mdns_txt, "TXT", mdns_txt_fields);

/* ---- writing ----------------------------------------------------------------------------------*/

/* A shallow copy whose tree ends below depth. */
static const micro_desc *mdns_txt_cut(micro__arena *a, const micro_desc *from, int depth)
{
    if (!from)
        return NULL;
    micro_desc *to = micro__arena_zero(a, sizeof *to);
    if (!to)
        return NULL;
    to->name = from->name;
    to->type = from->type;
    if (depth == 0 || from->values.len == 0)
        return to;
    to->values.ptr = micro__arena_zero(a, from->values.len * sizeof *to->values.ptr);
    if (!to->values.ptr)
        return NULL;
    to->values.len = from->values.len;
    for (size_t i = 0; i < to->values.len; i++) {
        const micro_desc *value = mdns_txt_cut(a, &from->values.ptr[i], depth - 1);
        if (!value)
            return NULL;
        to->values.ptr[i] = *value;
    }
    return to;
}

static int mdns_txt_depth(int level)
{
    switch (level) {
    case MICRO__MDNS_DEPTH2:
        return 2;
    case MICRO__MDNS_DEPTH1:
        return 1;
    case MICRO__MDNS_DEPTH0:
        return 0;
    default:
        return MICRO_MAX_DEPTH;
    }
}

static bool mdns_txt_sorted(micro__arena *a, micro_pairs *to, const micro_pairs *from)
{
    memset(to, 0, sizeof *to);
    for (size_t i = 0; i < from->len; i++) {
        if (!micro__pairs_add(a, to, from->ptr[i].key, from->ptr[i].value))
            return false;
    }
    micro__pairs_sort(to);
    return true;
}

static bool mdns_txt_reduce(micro__arena *a, micro_endpoint *to, const micro_endpoint *from,
                            int level)
{
    to->name = from->name;
    if (level == MICRO__MDNS_NAMES)
        return true;
    int depth = mdns_txt_depth(level);
    to->request = mdns_txt_cut(a, from->request, depth);
    to->response = mdns_txt_cut(a, from->response, depth);
    return (to->request || !from->request) && (to->response || !from->response) &&
           mdns_txt_sorted(a, &to->metadata, &from->metadata);
}

MICRO_PRIVATE micro_err micro__mdns_txt_json(micro_ctx *ctx, const micro_entry *e,
                                             const micro_node *node, int level, micro_buf *out)
{
    micro__arena *a = &ctx->arena;
    mdns_txt txt = { .service = e->name, .version = e->version };
    bool ok = mdns_txt_sorted(a, &txt.metadata, &node->metadata);
    size_t n = e->endpoints.len;
    if (ok && n) {
        txt.endpoints.ptr = micro__arena_zero(a, n * sizeof *txt.endpoints.ptr);
        ok = txt.endpoints.ptr != NULL;
        txt.endpoints.len = n;
    }
    for (size_t i = 0; ok && i < n; i++)
        ok = mdns_txt_reduce(a, &txt.endpoints.ptr[i], &e->endpoints.ptr[i], level);
    return ok ? micro__json_write(ctx, &mdns_txt_type, &txt, 0, out) : MICRO_ENOMEM;
}

MICRO_PRIVATE micro_err micro__mdns_txt_write(micro_ctx *ctx, const micro_entry *e,
                                              const micro_node *node, int level, micro_buf *out)
{
    micro_buf json = { .max = MICRO__MDNS_INFLATE_MAX }, zlib = { 0 };
    micro_err err = micro__mdns_txt_json(ctx, e, node, level, &json);
    if (!err && json.failed)
        err = json.toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
    if (!err)
        err = micro__zlib_deflate((const uint8_t *)json.ptr, json.len, &zlib);
    if (!err) {
        char *hex = micro__buf_room(out, 2 * zlib.len);
        if (hex) {
            micro__hex_encode(hex, zlib.ptr, zlib.len);
            out->len += 2 * zlib.len;
        }
        err = out->failed ? MICRO_ENOMEM : MICRO_OK;
    }
    micro__buf_free(&zlib);
    micro__buf_free(&json);
    return err;
}

/* ---- reading ----------------------------------------------------------------------------------*/

static int mdns_txt_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* By hand rather than from a joined copy, since strings may have any length, odd ones too. */
MICRO_PRIVATE size_t micro__mdns_txt_unhex(const uint8_t *record, size_t len, uint8_t *out)
{
    size_t digits = 0;
    for (size_t at = 0; at < len;) {
        size_t c = record[at++];
        if (c > len - at)
            return 0;
        for (; c > 0; c--, at++, digits++) {
            int digit = mdns_txt_digit(record[at]);
            if (digit < 0)
                return 0;
            if (digits % 2)
                out[digits / 2] = (uint8_t)(out[digits / 2] | digit);
            else
                out[digits / 2] = (uint8_t)(digit << 4);
        }
    }
    return digits % 2 ? 0 : digits / 2;
}

MICRO_PRIVATE micro_err micro__mdns_txt_read(micro_ctx *ctx, const uint8_t *zlib, size_t len,
                                             micro_entry *out, size_t *inflated)
{
    micro_buf json = { 0 };
    mdns_txt txt;
    memset(out, 0, sizeof *out);
    micro_err err = micro__zlib_inflate(zlib, len, MICRO__MDNS_INFLATE_MAX, &json);
    if (inflated)
        *inflated = json.len;
    char *text = err ? NULL : micro__arena_text(&ctx->arena, json.ptr, json.len);
    if (!err)
        err = text ? micro__json_read(ctx, &mdns_txt_type, text, json.len, 0, &txt) : MICRO_ENOMEM;
    micro_node *node = err ? NULL : micro__arena_zero(&ctx->arena, sizeof *node);
    if (node) {
        out->name = txt.service;
        out->version = node->version = txt.version;
        out->endpoints = txt.endpoints;
        node->metadata = txt.metadata;
        node->id = node->address = micro__str("", 0);
        out->nodes.ptr = node;
        out->nodes.len = 1;
    }
    micro__buf_free(&json);
    return err ? err : node ? MICRO_OK : MICRO_ENOMEM;
}

#undef MDNS_TXT_ROW
#undef MDNS_TXT_TYPE
