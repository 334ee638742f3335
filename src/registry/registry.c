/* SPDX-License-Identifier: MIT */
/* The public registry functions (checks in front of a plug-in's ops) and the model all registries
 * share: copying, merging, sorting and checking of entries. */
#include "registry.h"

/* ---- wrappers ---------------------------------------------------------------------------------*/

/* A table longer than ours was made for a later library; what it sets beyond our end cannot be
 * honoured. */
static bool registry_ops_foreign(const micro_registry_ops *ops)
{
    const unsigned char *bytes = (const unsigned char *)ops;
    for (size_t i = sizeof *ops; i < ops->size_; i++) {
        if (bytes[i])
            return true;
    }
    return false;
}

static micro_err registry_begin(micro_registry *reg, micro_ctx *ctx)
{
    if (!ctx)
        return MICRO_ENOMEM;
    micro__ctx_clear_error(ctx);
    if (!reg)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "no registry");
    if (reg->ops && reg->ops->size_ > sizeof *reg->ops && registry_ops_foreign(reg->ops))
        return micro__ctx_local(ctx, MICRO_EVERSION, "the registry was made for a later version");
    return MICRO_OK;
}

static const char *registry_op_name(const micro_registry *reg)
{
    bool named = MICRO__OP_SET(reg->ops, micro_registry_ops, name);
    return named ? reg->ops->name : "unnamed";
}

static micro_err registry_nosys(micro_registry *reg, micro_ctx *ctx, const char *op)
{
    return micro__ctx_local(ctx, MICRO_ENOSYS, "registry %s does not support %s",
                            registry_op_name(reg), op);
}

/* Whatever a plug-in left in ctx: an error has a text, success has none. */
static micro_err registry_end(micro_ctx *ctx, micro_err err)
{
    if (!err)
        micro__ctx_clear_error(ctx);
    else if (ctx->error.detail.len == 0)
        micro__ctx_local(ctx, err, "%s", micro_strerror(err));
    return err;
}

static micro_err registry_change(micro_registry *reg, micro_ctx *ctx, const micro_entry *entry,
                                 const char *problem)
{
    micro_err err = registry_begin(reg, ctx);
    if (err)
        return err;
    if (!entry || entry->name.len == 0)
        problem = "a service needs a name";
    return problem ? micro__ctx_local(ctx, MICRO_EINVAL, "%s", problem) : MICRO_OK;
}

MICRO_API micro_err micro_registry_put(micro_registry *reg, micro_ctx *ctx,
                                       const micro_entry *entry, int ttl_ms)
{
    micro_err err = registry_change(reg, ctx, entry, entry ? micro__entry_problem(entry) : NULL);
    if (err)
        return err;
    if (!MICRO__OP_SET(reg->ops, micro_registry_ops, put))
        return registry_nosys(reg, ctx, "put");
    return registry_end(ctx, reg->ops->put(reg, ctx, entry, ttl_ms));
}

MICRO_API micro_err micro_registry_del(micro_registry *reg, micro_ctx *ctx,
                                       const micro_entry *entry)
{
    micro_err err = registry_change(reg, ctx, entry, NULL);
    if (err)
        return err;
    if (!MICRO__OP_SET(reg->ops, micro_registry_ops, del))
        return registry_nosys(reg, ctx, "del");
    return registry_end(ctx, reg->ops->del(reg, ctx, entry));
}

static micro_err registry_ask(micro_registry *reg, micro_ctx *ctx, const char *name,
                              micro_entries *out, bool first)
{
    if (out)
        memset(out, 0, sizeof *out);
    micro_err err = registry_begin(reg, ctx);
    if (err)
        return err;
    if (!name || !*name || !out)
        return micro__ctx_local(ctx, MICRO_EINVAL, "%s",
                                out ? "a service needs a name" : "no place for entries");
    if (first && MICRO__OP_SET(reg->ops, micro_registry_ops, first))
        err = reg->ops->first(reg, ctx, name, out);
    else if (MICRO__OP_SET(reg->ops, micro_registry_ops, get))
        err = reg->ops->get(reg, ctx, name, out);
    else
        return registry_nosys(reg, ctx, "get");
    if (!err && out->len == 0) /* some registries say "no such service" with an empty list */
        err = MICRO_ENOTFOUND;
    if (err)
        memset(out, 0, sizeof *out);
    return registry_end(ctx, err);
}

MICRO_API micro_err micro_registry_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                                       micro_entries *out)
{
    return registry_ask(reg, ctx, name, out, false);
}

MICRO_PRIVATE micro_err micro__registry_first(micro_registry *reg, micro_ctx *ctx, const char *name,
                                              micro_entries *out)
{
    return registry_ask(reg, ctx, name, out, true);
}

MICRO_API micro_err micro_registry_list(micro_registry *reg, micro_ctx *ctx, micro_entries *out)
{
    if (out)
        memset(out, 0, sizeof *out);
    micro_err err = registry_begin(reg, ctx);
    if (err)
        return err;
    if (!out)
        return micro__ctx_local(ctx, MICRO_EINVAL, "no place for entries");
    if (!MICRO__OP_SET(reg->ops, micro_registry_ops, list))
        return registry_nosys(reg, ctx, "list");
    err = reg->ops->list(reg, ctx, out);
    if (err)
        memset(out, 0, sizeof *out);
    return registry_end(ctx, err);
}

MICRO_API micro_err micro_registry_watch(micro_registry *reg, const char *name, micro_watch_fn *fn,
                                         void *arg, micro_watch **out)
{
    if (out)
        *out = NULL;
    if (!reg)
        return MICRO_ENOMEM;
    if (!fn || !out || (name && !*name))
        return MICRO_EINVAL;
    if (reg->ops && reg->ops->size_ > sizeof *reg->ops && registry_ops_foreign(reg->ops))
        return MICRO_EVERSION;
    if (!MICRO__OP_SET(reg->ops, micro_registry_ops, watch) ||
        !MICRO__OP_SET(reg->ops, micro_registry_ops, unwatch))
        return MICRO_ENOSYS;
    return reg->ops->watch(reg, name, fn, arg, out);
}

MICRO_API void micro_registry_unwatch(micro_registry *reg, micro_watch *watch)
{
    if (reg && watch && MICRO__OP_SET(reg->ops, micro_registry_ops, unwatch))
        reg->ops->unwatch(reg, watch);
}

MICRO_API void micro_registry_free(micro_registry *reg)
{
    if (reg && MICRO__OP_SET(reg->ops, micro_registry_ops, free))
        reg->ops->free(reg);
}

/* ---- copying ----------------------------------------------------------------------------------*/

static bool registry_copy_str(micro__arena *a, micro_str *to, micro_str from)
{
    to->ptr = micro__arena_text(a, from.len ? from.ptr : "", from.len);
    to->len = to->ptr ? from.len : 0;
    return to->ptr != NULL;
}

/* An array of n zeroed elements; NULL for none. ok turns false when memory is out. */
static void *registry_array(micro__arena *a, size_t n, size_t size, bool *ok)
{
    if (n == 0)
        return NULL;
    void *p = n > SIZE_MAX / size ? NULL : micro__arena_zero(a, n * size);
    *ok = *ok && p;
    return p;
}

/* Values deeper than any description that a peer makes are left out. */
static bool registry_copy_desc(micro__arena *a, micro_desc *to, const micro_desc *from, int depth)
{
    memset(to, 0, sizeof *to);
    bool ok =
        registry_copy_str(a, &to->name, from->name) && registry_copy_str(a, &to->type, from->type);
    if (!ok || depth >= MICRO_MAX_DEPTH)
        return ok;
    to->values.ptr = registry_array(a, from->values.len, sizeof *to->values.ptr, &ok);
    if (ok)
        to->values.len = to->values.cap = from->values.len;
    for (size_t i = 0; ok && i < to->values.len; i++)
        ok = registry_copy_desc(a, &to->values.ptr[i], &from->values.ptr[i], depth + 1);
    return ok;
}

MICRO_PRIVATE bool micro__desc_copy(micro__arena *a, micro_desc *to, const micro_desc *from)
{
    return registry_copy_desc(a, to, from, 0);
}

static const micro_desc *registry_copy_tree(micro__arena *a, const micro_desc *from, bool *ok)
{
    micro_desc *to = from ? registry_array(a, 1, sizeof *to, ok) : NULL;
    if (to)
        *ok = *ok && micro__desc_copy(a, to, from);
    return to;
}

static bool registry_copy_endpoint(micro__arena *a, micro_endpoint *to, const micro_endpoint *from)
{
    bool ok = registry_copy_str(a, &to->name, from->name) &&
              micro__pairs_copy(a, &to->metadata, &from->metadata);
    to->request = registry_copy_tree(a, from->request, &ok);
    to->response = registry_copy_tree(a, from->response, &ok);
    return ok;
}

static bool registry_copy_endpoints(micro__arena *a, micro_endpoints *to,
                                    const micro_endpoints *from)
{
    bool ok = true;
    memset(to, 0, sizeof *to);
    to->ptr = registry_array(a, from->len, sizeof *to->ptr, &ok);
    if (ok)
        to->len = to->cap = from->len;
    for (size_t i = 0; ok && i < to->len; i++)
        ok = registry_copy_endpoint(a, &to->ptr[i], &from->ptr[i]);
    return ok;
}

static bool registry_copy_node(micro__arena *a, micro_node *to, const micro_node *from,
                               micro_str version)
{
    memset(to, 0, sizeof *to);
    to->version = version;
    return registry_copy_str(a, &to->id, from->id) &&
           registry_copy_str(a, &to->address, from->address) &&
           micro__pairs_copy(a, &to->metadata, &from->metadata);
}

MICRO_PRIVATE bool micro__node_copy(micro__arena *a, micro_node *to, const micro_node *from)
{
    micro_str version;
    return registry_copy_str(a, &version, from->version) &&
           registry_copy_node(a, to, from, version);
}

MICRO_PRIVATE bool micro__entry_copy(micro__arena *a, micro_entry *to, const micro_entry *from)
{
    memset(to, 0, sizeof *to);
    bool ok = registry_copy_str(a, &to->name, from->name) &&
              registry_copy_str(a, &to->version, from->version) &&
              micro__pairs_copy(a, &to->metadata, &from->metadata) &&
              registry_copy_endpoints(a, &to->endpoints, &from->endpoints);
    if (ok)
        to->nodes.ptr = registry_array(a, from->nodes.len, sizeof *to->nodes.ptr, &ok);
    if (ok)
        to->nodes.len = to->nodes.cap = from->nodes.len;
    for (size_t i = 0; ok && i < to->nodes.len; i++)
        ok = registry_copy_node(a, &to->nodes.ptr[i], &from->nodes.ptr[i], to->version);
    return ok;
}

/* ---- hashing ------------------------------------------------------------------------------------
 */

/* Order does not count: metadata is a map. */
static uint64_t registry_hash_pairs(uint64_t h, const micro_pairs *m)
{
    uint64_t sum = m->len;
    for (size_t i = 0; i < m->len; i++)
        sum += micro__hash_mix(micro__str_hash(m->ptr[i].key), micro__str_hash(m->ptr[i].value));
    return micro__hash_mix(h, sum);
}

static uint64_t registry_hash_desc(uint64_t h, const micro_desc *d, int depth)
{
    if (!d || depth >= MICRO_MAX_DEPTH)
        return micro__hash_mix(h, 0);
    h = micro__hash_mix(h, micro__str_hash(d->name));
    h = micro__hash_mix(h, micro__str_hash(d->type));
    for (size_t i = 0; i < d->values.len; i++)
        h = registry_hash_desc(h, &d->values.ptr[i], depth + 1);
    return micro__hash_mix(h, d->values.len);
}

MICRO_PRIVATE uint64_t micro__endpoints_hash(const micro_endpoints *list)
{
    uint64_t h = list->len;
    for (size_t i = 0; i < list->len; i++) {
        const micro_endpoint *e = &list->ptr[i];
        h = micro__hash_mix(h, micro__str_hash(e->name));
        h = registry_hash_desc(h, e->request, 0);
        h = registry_hash_desc(h, e->response, 0);
        h = registry_hash_pairs(h, &e->metadata);
    }
    return h;
}

MICRO_PRIVATE uint64_t micro__facts_hash(const micro_entry *e)
{
    uint64_t h = micro__hash_mix(micro__str_hash(e->name), micro__str_hash(e->version));
    return micro__hash_mix(registry_hash_pairs(h, &e->metadata),
                           micro__endpoints_hash(&e->endpoints));
}

MICRO_PRIVATE uint64_t micro__node_hash(const micro_node *node)
{
    uint64_t h = micro__hash_mix(micro__str_hash(node->id), micro__str_hash(node->address));
    return registry_hash_pairs(h, &node->metadata);
}

/* ---- merging, sorting, checking ---------------------------------------------------------------*/

MICRO_PRIVATE micro_node *micro__entry_node(const micro_entry *e, micro_str id)
{
    for (size_t i = 0; i < e->nodes.len; i++) {
        if (micro_str_eq(e->nodes.ptr[i].id, id))
            return &e->nodes.ptr[i];
    }
    return NULL;
}

MICRO_PRIVATE bool micro__entries_merge(micro__arena *a, micro_entries *list, const micro_entry *e)
{
    micro_entry *to = NULL;
    for (size_t i = 0; i < list->len && !to; i++) {
        if (micro_str_eq(list->ptr[i].version, e->version) &&
            micro_str_eq(list->ptr[i].name, e->name))
            to = &list->ptr[i];
    }
    if (!to) {
        if (!micro__list_grow(a, list, sizeof *list->ptr))
            return false;
        if (micro__entry_copy(a, &list->ptr[list->len - 1], e))
            return true;
        list->len--;
        return false;
    }
    for (size_t i = 0; i < e->nodes.len; i++) {
        micro_node copy;
        if (!registry_copy_node(a, &copy, &e->nodes.ptr[i], to->version))
            return false;
        micro_node *node = micro__entry_node(to, copy.id);
        if (!node) {
            if (!micro__list_grow(a, &to->nodes, sizeof *node))
                return false;
            node = &to->nodes.ptr[to->nodes.len - 1];
        }
        *node = copy;
    }
    return true;
}

static int registry_entry_cmp(const void *a, const void *b)
{
    const micro_entry *x = a, *y = b;
    int order = micro__str_cmp(x->name, y->name);
    return order ? order : micro__str_cmp(x->version, y->version);
}

static int registry_node_cmp(const void *a, const void *b)
{
    return micro__str_cmp(((const micro_node *)a)->id, ((const micro_node *)b)->id);
}

static void registry_sift(char *base, size_t size, size_t root, size_t n,
                          int (*cmp)(const void *, const void *))
{
    char tmp[sizeof(micro_entry) > sizeof(micro_node) ? sizeof(micro_entry) : sizeof(micro_node)];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && cmp(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (cmp(base + root * size, base + child * size) >= 0)
            return;
        memcpy(tmp, base + root * size, size);
        memcpy(base + root * size, base + child * size, size);
        memcpy(base + child * size, tmp, size);
    }
}

/* Heap sort: qsort may take memory from malloc, and peers choose how many elements there are. */
static void registry_sort(void *list, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
    char *base = list;
    char tmp[sizeof(micro_entry) > sizeof(micro_node) ? sizeof(micro_entry) : sizeof(micro_node)];
    for (size_t i = n / 2; i-- > 0;)
        registry_sift(base, size, i, n, cmp);
    while (n-- > 1) {
        memcpy(tmp, base, size);
        memcpy(base, base + n * size, size);
        memcpy(base + n * size, tmp, size);
        registry_sift(base, size, 0, n, cmp);
    }
}

MICRO_PRIVATE void micro__entries_sort(micro_entries *list)
{
    if (list->len)
        registry_sort(list->ptr, list->len, sizeof *list->ptr, registry_entry_cmp);
    for (size_t i = 0; i < list->len; i++) {
        micro_node_list *nodes = &list->ptr[i].nodes;
        if (nodes->len)
            registry_sort(nodes->ptr, nodes->len, sizeof *nodes->ptr, registry_node_cmp);
    }
}

/* Names and addresses travel in headers, DNS labels and lines of text: no control characters there.
 */
static bool registry_text_ok(micro_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return micro__utf8_valid(s.ptr, s.len);
}

MICRO_PRIVATE const char *micro__entry_problem(const micro_entry *e)
{
    if (e->name.len == 0)
        return "a service needs a name";
    if (!registry_text_ok(e->name) || !registry_text_ok(e->version))
        return "a service's name or version is not plain text";
    if (e->nodes.len == 0)
        return "at least one node is required";
    for (size_t i = 0; i < e->nodes.len; i++) {
        const micro_node *node = &e->nodes.ptr[i];
        if (node->id.len == 0)
            return "a node needs an id";
        if (node->address.len == 0)
            return "a node needs an address";
        if (!registry_text_ok(node->id) || !registry_text_ok(node->address))
            return "a node's id or address is not plain text";
    }
    return NULL;
}
