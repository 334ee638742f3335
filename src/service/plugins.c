/* SPDX-License-Identifier: MIT */
/* Names to constructors: the only place that knows what is built in. */
#include "service.h"

typedef enum plugins_kind {
    PLUGINS_REGISTRY,
    PLUGINS_BROKER,
    PLUGINS_TRANSPORT,
    PLUGINS_SELECTOR
} plugins_kind;

static const char *const plugins_kind_names[] = { "Registry", "Broker", "Transport", "Selector" };

static micro_registry *plugins_mdns(const char *address)
{
    (void)address;
    return micro_registry_mdns_new();
}

static micro_registry *plugins_memory_registry(const char *address)
{
    (void)address;
    return micro_registry_memory_new();
}

static micro_broker *plugins_memory_broker(const char *address)
{
    (void)address; /* it is in this process */
    return micro_broker_memory_new();
}

static micro_transport *plugins_http(const char *address)
{
    (void)address; /* a service has its own, and a node's is in the registry */
    return micro_transport_http_new();
}

static micro_transport *plugins_memory_transport(const char *address)
{
    (void)address;
    return micro_transport_memory_new();
}

static micro_selector *plugins_cache(micro_registry *registry)
{
    return micro_selector_cache_new(registry, 0);
}

static micro_selector *plugins_static(micro_registry *registry)
{
    (void)registry;
    return micro_selector_static_new(NULL, 0);
}

static const micro_plugin plugins_built_in[] = {
    { .name = "mdns", .registry = plugins_mdns },
    { .name = "memory", .registry = plugins_memory_registry },
    { .name = "http", .broker = micro_broker_http_new },
    { .name = "memory", .broker = plugins_memory_broker },
    { .name = "http", .transport = plugins_http },
    { .name = "memory", .transport = plugins_memory_transport },
    { .name = "cache", .selector = plugins_cache },
    { .name = "default", .selector = plugins_cache },
    { .name = "random", .selector = plugins_cache },
    { .name = "roundrobin", .selector = plugins_cache },
    { .name = "blacklist", .selector = micro_selector_blacklist_new },
    { .name = "static", .selector = plugins_static },
};

static bool plugins_is(const micro_plugin *p, plugins_kind kind, const char *name)
{
    bool has = kind == PLUGINS_REGISTRY    ? p->registry != NULL
               : kind == PLUGINS_BROKER    ? p->broker != NULL
               : kind == PLUGINS_TRANSPORT ? p->transport != NULL
                                           : p->selector != NULL;
    return has && p->name && strcmp(p->name, name) == 0;
}

/* NULL with why filled in. The registries that are built in have no address. */
static const micro_plugin *plugins_find(const micro_plugin *plugins, size_t n, plugins_kind kind,
                                        const char *name, const char *address, char *why)
{
    for (size_t i = 0; i < n; i++)
        if (plugins_is(&plugins[i], kind, name))
            return &plugins[i];
    for (size_t i = 0; i < MICRO_COUNTOF(plugins_built_in); i++) {
        if (!plugins_is(&plugins_built_in[i], kind, name))
            continue;
        if (kind != PLUGINS_REGISTRY || !address)
            return &plugins_built_in[i];
        snprintf(why, MICRO__WHY_MAX, "registry %s has no address: leave out registry_address",
                 name);
        return NULL;
    }
    snprintf(why, MICRO__WHY_MAX, "%s %.100s not found", plugins_kind_names[kind], name);
    return NULL;
}

static void plugins_made(const void *made, const char *name, char *why)
{
    if (!made)
        snprintf(why, MICRO__WHY_MAX, "%.100s: out of memory", name);
}

MICRO_PRIVATE micro_registry *micro__plugin_registry(const micro_plugin *plugins, size_t n,
                                                     const char *name, const char *address,
                                                     char *why)
{
    const micro_plugin *p = plugins_find(plugins, n, PLUGINS_REGISTRY, name, address, why);
    micro_registry *made = p ? p->registry(address) : NULL;

    if (p)
        plugins_made(made, name, why);
    return made;
}

MICRO_PRIVATE micro_broker *micro__plugin_broker(const micro_plugin *plugins, size_t n,
                                                 const char *name, const char *address, char *why)
{
    const micro_plugin *p = plugins_find(plugins, n, PLUGINS_BROKER, name, NULL, why);
    micro_broker *made = p ? p->broker(address) : NULL;

    if (p)
        plugins_made(made, name, why);
    return made;
}

MICRO_PRIVATE micro_transport *micro__plugin_transport(const micro_plugin *plugins, size_t n,
                                                       const char *name, const char *address,
                                                       char *why)
{
    const micro_plugin *p = plugins_find(plugins, n, PLUGINS_TRANSPORT, name, address, why);
    micro_transport *made = p ? p->transport(address) : NULL;

    if (p)
        plugins_made(made, name, why);
    return made;
}

MICRO_PRIVATE micro_selector *micro__plugin_selector(const micro_plugin *plugins, size_t n,
                                                     const char *name, micro_registry *registry,
                                                     char *why)
{
    const micro_plugin *p = plugins_find(plugins, n, PLUGINS_SELECTOR, name, NULL, why);
    micro_selector *made = p ? p->selector(registry) : NULL;

    if (p)
        plugins_made(made, name, why);
    return made;
}

MICRO_PRIVATE const micro_strategy *micro__plugin_strategy(const char *selector)
{
    bool turns = selector && strcmp(selector, "roundrobin") == 0;

    return turns ? &micro_strategy_round_robin : NULL;
}

MICRO_PRIVATE micro_err micro__plugins_check(const micro_plugin *plugins, size_t n,
                                             const micro__settings *s, char *why)
{
    bool found =
        (!s->registry ||
         plugins_find(plugins, n, PLUGINS_REGISTRY, s->registry, s->registry_address, why)) &&
        (!s->broker || plugins_find(plugins, n, PLUGINS_BROKER, s->broker, NULL, why)) &&
        (!s->transport || plugins_find(plugins, n, PLUGINS_TRANSPORT, s->transport, NULL, why)) &&
        (!s->selector || plugins_find(plugins, n, PLUGINS_SELECTOR, s->selector, NULL, why));

    return found ? MICRO_OK : MICRO_EUSAGE;
}
