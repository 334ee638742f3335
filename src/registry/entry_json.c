/* SPDX-License-Identifier: MIT */
/* Services as JSON and as a message.
 *
 * The JSON of 2018 writes everything, null for what is empty, and has address and port apart, which
 * no table can say of a micro_node: it has a writer of its own here, and is read through tables of
 * structs that have a port. micro_type_entry refers to both. Its rows describe the entry as it is
 * in memory: protobuf goes by them (the tags are those of go-micro's registry messages), and
 * canonical JSON. */
#include "registry.h"

/* ---- the entry as it is -----------------------------------------------------------------------*/

#define ENTRYJSON_TYPE(T, wire_name, rows) \
    { \
        sizeof(micro_type), sizeof(micro_field), (uint32_t)MICRO_COUNTOF(rows), wire_name, \
            sizeof(T), rows, 0 \
    }
/* A member that is a pointer to const, which the checked rows do not take. */
#define ENTRYJSON_TREE(T, m, tag) \
    { \
#m, &entryjson_desc_type, tag, (uint32_t)offsetof(T, m), 0, \
            (uint32_t)sizeof(micro_desc *), 0, MICRO_KIND_pointer, MICRO_PLAIN, 0, 0 \
    }

/* The rows paste the names of types and tables together. */
typedef micro_desc entryjson_desc;
typedef micro_endpoint entryjson_endpoint;
typedef micro_node entryjson_node;

static const micro_type entryjson_desc_type;
static const micro_field entryjson_desc_rows[] = {
    MICRO_FIELD(string, micro_desc, name, 1),
    MICRO_FIELD(string, micro_desc, type, 2),
    MICRO_REPEATED(message(entryjson_desc), micro_desc, values, 3),
};
static const micro_type entryjson_desc_type =
    ENTRYJSON_TYPE(micro_desc, "Value", entryjson_desc_rows);

static const micro_field entryjson_endpoint_rows[] = {
    MICRO_FIELD(string, micro_endpoint, name, 1),
    ENTRYJSON_TREE(micro_endpoint, request, 2),
    ENTRYJSON_TREE(micro_endpoint, response, 3),
    MICRO_MAP(micro_pair, micro_endpoint, metadata, 4),
};
static const micro_type entryjson_endpoint_type =
    ENTRYJSON_TYPE(micro_endpoint, "Endpoint", entryjson_endpoint_rows);

static const micro_field entryjson_node_rows[] = {
    MICRO_FIELD(string, micro_node, id, 1),
    MICRO_FIELD(string, micro_node, address, 2),
    MICRO_MAP(micro_pair, micro_node, metadata, 4),
};
static const micro_type entryjson_node_type =
    ENTRYJSON_TYPE(micro_node, "Node", entryjson_node_rows);

static micro_err entryjson_own_write(micro_ctx *ctx, const void *obj, micro_buf *out)
{
    return micro__entry_write(ctx, obj, out);
}

static micro_err entryjson_own_read(micro_ctx *ctx, char *text, size_t len, void *obj)
{
    return micro__entry_read(ctx, text, len, obj);
}

static const micro__type_own entryjson_own = { entryjson_own_write, entryjson_own_read };

static const micro_field entryjson_entry_rows[] = {
    MICRO_FIELD(string, micro_entry, name, 1),
    MICRO_FIELD(string, micro_entry, version, 2),
    MICRO_MAP(micro_pair, micro_entry, metadata, 3),
    MICRO_REPEATED(message(entryjson_endpoint), micro_entry, endpoints, 4),
    MICRO_REPEATED(message(entryjson_node), micro_entry, nodes, 5),
    { .sub = &entryjson_own }, /* not counted */
};
MICRO_API_DATA_ const micro_type micro_type_entry = {
    sizeof(micro_type), sizeof(micro_field), (uint32_t)MICRO_COUNTOF(entryjson_entry_rows) - 1,
    "Service",          sizeof(micro_entry), entryjson_entry_rows,
    MICRO__TYPE_OWN,
};

/* ---- writing ----------------------------------------------------------------------------------*/

static void entryjson_text(micro_buf *out, const char *head, micro_str value)
{
    micro__buf_text(out, head);
    micro__json_quote(out, value);
}

/* Sorted by key, as Go writes maps. False: out of memory. */
static bool entryjson_metadata(micro__arena *a, micro_buf *out, const micro_pairs *m)
{
    micro__buf_text(out, ",\"metadata\":");
    if (m->len == 0) {
        micro__buf_text(out, "null");
        return true;
    }
    micro_pairs sorted = { NULL, m->len, m->len };
    sorted.ptr = micro__arena_take(a, m->len * sizeof *sorted.ptr);
    if (!sorted.ptr)
        return false;
    memcpy(sorted.ptr, m->ptr, m->len * sizeof *sorted.ptr);
    micro__pairs_sort(&sorted);
    for (size_t i = 0; i < sorted.len; i++) {
        micro__buf_byte(out, i ? ',' : '{');
        micro__json_quote(out, sorted.ptr[i].key);
        entryjson_text(out, ":", sorted.ptr[i].value);
    }
    micro__buf_byte(out, '}');
    return true;
}

static void entryjson_write_desc(micro_buf *out, const micro_desc *d, int depth)
{
    if (!d) {
        micro__buf_text(out, "null");
        return;
    }
    entryjson_text(out, "{\"name\":", d->name);
    entryjson_text(out, ",\"type\":", d->type);
    micro__buf_text(out, ",\"values\":");
    size_t n = depth < MICRO_MAX_DEPTH ? d->values.len : 0;
    for (size_t i = 0; i < n; i++) {
        micro__buf_byte(out, i ? ',' : '[');
        entryjson_write_desc(out, &d->values.ptr[i], depth + 1);
    }
    micro__buf_text(out, n ? "]}" : "null}");
}

static bool entryjson_write_endpoint(micro__arena *a, micro_buf *out, const micro_endpoint *e)
{
    entryjson_text(out, "{\"name\":", e->name);
    micro__buf_text(out, ",\"request\":");
    entryjson_write_desc(out, e->request, 0);
    micro__buf_text(out, ",\"response\":");
    entryjson_write_desc(out, e->response, 0);
    bool ok = entryjson_metadata(a, out, &e->metadata);
    micro__buf_byte(out, '}');
    return ok;
}

/* host:port as it must be for joining to give the same text again; else all of it and port 0. */
static micro_str entryjson_split(micro_str address, uint64_t *port)
{
    size_t colon = address.len;
    while (colon && address.ptr[colon - 1] != ':')
        colon--;
    *port = 0;
    if (colon < 2 || colon == address.len || address.ptr[colon] == '0')
        return address;
    micro_str host = micro__str(address.ptr, colon - 1);
    bool plain = !memchr(host.ptr, ':', host.len);
    bool bracketed = host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    micro_str digits = micro__str(address.ptr + colon, address.len - colon);
    if ((!plain && !bracketed) || !micro__parse_u64(digits, port) || *port > 65535) {
        *port = 0;
        return address;
    }
    return host;
}

static bool entryjson_write_node(micro__arena *a, micro_buf *out, const micro_node *node)
{
    uint64_t port;
    micro_str host = entryjson_split(node->address, &port);
    entryjson_text(out, "{\"id\":", node->id);
    entryjson_text(out, ",\"address\":", host);
    micro__buf_text(out, ",\"port\":");
    micro__buf_u64(out, port);
    bool ok = entryjson_metadata(a, out, &node->metadata);
    micro__buf_byte(out, '}');
    return ok;
}

MICRO_PRIVATE micro_err micro__entry_write(micro_ctx *ctx, const micro_entry *e, micro_buf *out)
{
    size_t start = out->len;
    entryjson_text(out, "{\"name\":", e->name);
    entryjson_text(out, ",\"version\":", e->version);
    bool ok = entryjson_metadata(&ctx->arena, out, &e->metadata);
    micro__buf_text(out, ",\"endpoints\":");
    for (size_t i = 0; ok && i < e->endpoints.len; i++) {
        micro__buf_byte(out, i ? ',' : '[');
        ok = entryjson_write_endpoint(&ctx->arena, out, &e->endpoints.ptr[i]);
    }
    micro__buf_text(out, e->endpoints.len ? "],\"nodes\":" : "null,\"nodes\":");
    for (size_t i = 0; ok && i < e->nodes.len; i++) {
        micro__buf_byte(out, i ? ',' : '[');
        ok = entryjson_write_node(&ctx->arena, out, &e->nodes.ptr[i]);
    }
    micro__buf_text(out, e->nodes.len ? "]}" : "null}");
    if (ok && !out->failed)
        return MICRO_OK;
    out->len = start;
    micro_err err = ok && out->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
    return micro__ctx_local(ctx, err, "%s", micro_strerror(err));
}

/* ---- reading ----------------------------------------------------------------------------------*/

typedef struct entryjson_node_2018 {
    micro_str id, address;
    int64_t port;
    micro_pairs metadata;
} entryjson_node_2018;

typedef struct entryjson_entry_2018 {
    micro_str name, version;
    micro_pairs metadata;
    micro_endpoints endpoints;
    MICRO_LIST(entryjson_node_2018) nodes;
} entryjson_entry_2018;

static const micro_field entryjson_node_2018_rows[] = {
    MICRO_FIELD(string, entryjson_node_2018, id, 1),
    MICRO_FIELD(string, entryjson_node_2018, address, 2),
    MICRO_FIELD(int64, entryjson_node_2018, port, 3),
    MICRO_MAP(micro_pair, entryjson_node_2018, metadata, 4),
};
static const micro_type entryjson_node_2018_type =
    ENTRYJSON_TYPE(entryjson_node_2018, "Node", entryjson_node_2018_rows);

static const micro_field entryjson_entry_2018_rows[] = {
    MICRO_FIELD(string, entryjson_entry_2018, name, 1),
    MICRO_FIELD(string, entryjson_entry_2018, version, 2),
    MICRO_MAP(micro_pair, entryjson_entry_2018, metadata, 3),
    MICRO_REPEATED(message(entryjson_endpoint), entryjson_entry_2018, endpoints, 4),
    MICRO_REPEATED(message(entryjson_node_2018), entryjson_entry_2018, nodes, 5),
};
static const micro_type entryjson_entry_2018_type =
    ENTRYJSON_TYPE(entryjson_entry_2018, "Service", entryjson_entry_2018_rows);

/* An address with its port; later generations have written it there already. */
static micro_str entryjson_join(micro__arena *a, micro_str host, int64_t port)
{
    const char *colon = host.len ? memchr(host.ptr, ':', host.len) : NULL;
    size_t behind = colon ? host.len - (size_t)(colon - host.ptr) - 1 : 0;
    bool one = colon && !memchr(colon + 1, ':', behind);
    if (port == 0 || one)
        return host;
    bool bare = colon && host.ptr[0] != '[';
    char *text = micro__arena_take(a, host.len + 2 + 1 + 20 + 1);
    if (!text)
        return micro__str(NULL, 0);
    int len = snprintf(text, host.len + 24, "%s" MICRO_STR_FMT "%s:%d", bare ? "[" : "",
                       MICRO_STR_ARG(host), bare ? "]" : "", (int)port);
    return micro__str(text, (size_t)len);
}

static micro_err entryjson_nodes(micro_ctx *ctx, const entryjson_entry_2018 *from, micro_entry *out)
{
    size_t n = from->nodes.len;
    out->nodes.ptr = n ? micro__arena_zero(&ctx->arena, n * sizeof *out->nodes.ptr) : NULL;
    if (n && !out->nodes.ptr)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "%s", micro_strerror(MICRO_ENOMEM));
    out->nodes.len = out->nodes.cap = n;
    for (size_t i = 0; i < n; i++) {
        const entryjson_node_2018 *node = &from->nodes.ptr[i];
        if (node->port < 0 || node->port > 65535)
            return micro__ctx_local(ctx, MICRO_EFORMAT, "nodes[%zu].port: not a port", i);
        micro_node *to = &out->nodes.ptr[i];
        to->id = node->id;
        to->version = from->version;
        to->metadata = node->metadata;
        to->address = entryjson_join(&ctx->arena, node->address, node->port);
        if (!to->address.ptr)
            return micro__ctx_local(ctx, MICRO_ENOMEM, "%s", micro_strerror(MICRO_ENOMEM));
    }
    return MICRO_OK;
}

MICRO_PRIVATE micro_err micro__entry_read(micro_ctx *ctx, char *text, size_t len, micro_entry *out)
{
    entryjson_entry_2018 read;
    micro__type_zero(&micro_type_entry, out);
    micro_err err = micro__json_read(ctx, &entryjson_entry_2018_type, text, len, 0, &read);
    if (err)
        return err;
    out->name = read.name;
    out->version = read.version;
    out->metadata = read.metadata;
    out->endpoints = read.endpoints;
    err = entryjson_nodes(ctx, &read, out);
    if (err)
        micro__type_zero(&micro_type_entry, out);
    return err;
}

#undef ENTRYJSON_TYPE
#undef ENTRYJSON_TREE
