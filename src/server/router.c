/* SPDX-License-Identifier: MIT */
/* Which handler serves which method; and how they look in the registry. */
#include "server.h"

/* A streaming method has a handler of its own kind. */
static bool router_handled(const micro__route *r)
{
    bool streaming = r->method->flags & MICRO_STREAMING;

    return streaming ? r->stream && !r->invoke : r->invoke && r->fn && !r->stream;
}

static bool router_name_fits(const char *name)
{
    micro_str method, type = micro__str_cut(micro_s(name), '.', &method);

    return type.len && method.len && !memchr(method.ptr, '.', method.len);
}

static size_t router_slot(const micro__server *s, micro_str name)
{
    size_t mask = s->nindex - 1, i = (size_t)micro__str_hash(name) & mask;

    while (s->index[i] && !micro__str_is(name, s->routes[s->index[i] - 1].method->name))
        i = (i + 1) & mask;
    return i;
}

static bool router_grow(micro__server *s)
{
    if (s->nroutes == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8;
        micro__route *routes =
            micro__realloc(s->routes, s->cap * sizeof *routes, cap * sizeof *routes);
        if (!routes)
            return false;
        s->routes = routes;
        s->cap = cap;
    }
    if ((s->nroutes + 1) * 2 > s->nindex) {
        size_t n = s->nindex ? s->nindex * 2 : 16;
        uint32_t *index = micro__alloc_zero(n * sizeof *index);
        if (!index)
            return false;
        micro__free(s->index, s->nindex * sizeof *index);
        s->index = index;
        s->nindex = n;
        for (size_t i = 0; i < s->nroutes; i++)
            index[router_slot(s, micro_s(s->routes[i].method->name))] = (uint32_t)i + 1;
    }
    return true;
}

MICRO_PRIVATE micro_err micro__server_add(micro__server *s, const micro__route *route)
{
    const micro_method *m = route->method;

    if (!m || !m->name || !m->req || !m->rsp || !router_handled(route) ||
        !router_name_fits(m->name))
        return MICRO_EINVAL;
    if (micro__server_find(s, micro_s(m->name)))
        return MICRO_EEXIST;
    if (!router_grow(s))
        return MICRO_ENOMEM;
    micro__stats *stats = route->internal ? NULL : micro__stats_new();
    if (!stats && !route->internal)
        return MICRO_ENOMEM;
    s->routes[s->nroutes] = *route;
    s->routes[s->nroutes].stats = stats;
    s->index[router_slot(s, micro_s(m->name))] = (uint32_t)++s->nroutes;
    return MICRO_OK;
}

MICRO_PRIVATE micro__route *micro__server_find(const micro__server *s, micro_str name)
{
    if (!s->nindex)
        return NULL;
    uint32_t at = s->index[router_slot(s, name)];
    return at ? &s->routes[at - 1] : NULL;
}

MICRO_PRIVATE bool micro__server_has_type(const micro__server *s, micro_str type)
{
    for (size_t i = 0; i < s->nroutes; i++) {
        micro_str rest, have = micro__str_cut(micro_s(s->routes[i].method->name), '.', &rest);
        if (micro_str_eq(have, type))
            return true;
    }
    return false;
}

MICRO_PRIVATE void micro__server_free(micro__server *s)
{
    for (size_t i = 0; i < s->nroutes; i++)
        micro__stats_free(s->routes[i].stats);
    micro__free(s->routes, s->cap * sizeof *s->routes);
    micro__free(s->index, s->nindex * sizeof *s->index);
    s->routes = NULL;
    s->index = NULL;
    s->nroutes = s->cap = s->nindex = 0;
    micro__server_free_subscribers(s);
}

/* ---- endpoints ----------------------------------------------------------------------------- */

static bool router_metadata(const micro_method *m, micro__arena *a, micro_pairs *out)
{
    micro_str stream = micro_s(m->flags & MICRO_STREAMING ? "true" : "false");
    bool ok = micro__pairs_set(a, out, micro_s("stream"), stream);

    for (const char *const *p = m->metadata; ok && p && *p; p++) {
        micro_str value, key = micro__str_cut(micro_s(*p), '=', &value);
        ok = micro__pairs_set(a, out, key, value);
    }
    return ok;
}

static const micro_desc *router_describe(micro__arena *a, const micro_type *type, bool whole)
{
    return whole ? micro__type_describe_whole(a, type)
                 : micro__type_describe(a, type, MICRO__ENDPOINT_DEPTH);
}

static bool router_endpoint(const micro__route *r, micro__arena *a, bool whole, micro_endpoint *out)
{
    out->name = micro_s(r->method->name);
    out->request = router_describe(a, r->method->req, whole);
    out->response = router_describe(a, r->method->rsp, whole);
    return out->request && out->response && router_metadata(r->method, a, &out->metadata);
}

static void router_sort(micro_endpoints *list)
{
    for (size_t i = 1; i < list->len; i++)
        for (size_t k = i; k > 0 && micro__str_cmp(list->ptr[k].name, list->ptr[k - 1].name) < 0;
             k--) {
            micro_endpoint e = list->ptr[k];
            list->ptr[k] = list->ptr[k - 1];
            list->ptr[k - 1] = e;
        }
}

MICRO_PRIVATE bool micro__server_endpoints(const micro__server *s, micro__arena *a, bool whole,
                                           micro_endpoints *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < s->nroutes; i++) {
        if (s->routes[i].internal || s->routes[i].method->flags & MICRO_INTERNAL)
            continue;
        if (!micro__list_grow(a, out, sizeof *out->ptr) ||
            !router_endpoint(&s->routes[i], a, whole, &out->ptr[out->len - 1]))
            return false;
    }
    router_sort(out);
    return micro__server_subscriber_endpoints(s, a, out);
}
