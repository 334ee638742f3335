/* SPDX-License-Identifier: MIT */
/* The library's own flags: what every program has. */
#include "service.h"

#define FLAGS_AT(member) (uint32_t)offsetof(micro__settings, member)
#define FLAGS_TEXT(name, env, member, help) \
    { name, "MICRO_" env, MICRO__FLAG_TEXT, false, FLAGS_AT(member), NULL, NULL, help }
#define FLAGS_NAME(name, env, preset, choices, help) \
    { #name, "MICRO_" env, MICRO__FLAG_TEXT, false, FLAGS_AT(name), preset, choices, help }
#define FLAGS_LIMIT(kind, name, env, member, preset, help) \
    { name, "MICRO_" env, MICRO__FLAG_##kind, true, FLAGS_AT(member), preset, NULL, help }

static const micro__flag_row flags_rows[] = {
    FLAGS_NAME(client, "CLIENT", "rpc", "rpc, mucp", "Client, under either name"),
    FLAGS_LIMIT(MS, "client_request_timeout", "CLIENT_REQUEST_TIMEOUT", request_timeout_ms, "5s",
                "Time for a call, all attempts together; 0: no limit"),
    FLAGS_LIMIT(INT, "client_retries", "CLIENT_RETRIES", attempts, "3",
                "Attempts that a call has in all; 0: one"),
    FLAGS_LIMIT(INT, "client_pool_size", "CLIENT_POOL_SIZE", pool_size, "100",
                "Idle connections kept for a node; 0: none"),
    FLAGS_LIMIT(MS, "client_pool_ttl", "CLIENT_POOL_TTL", pool_age_ms, "1m",
                "Age at which an idle connection is closed; 0: no limit"),
    FLAGS_TEXT("server_name", "SERVER_NAME", name, "Name of the service"),
    FLAGS_TEXT("server_version", "SERVER_VERSION", version, "Version of the service"),
    FLAGS_TEXT("server_id", "SERVER_ID", id, "The node is registered as name-id; else random"),
    FLAGS_TEXT("server_address", "SERVER_ADDRESS", address,
               "Where to listen, host:port; else any free port"),
    FLAGS_TEXT("server_advertise", "SERVER_ADVERTISE", advertise,
               "What to register instead of the address listened on"),
    { "server_metadata", "MICRO_SERVER_METADATA", MICRO__FLAG_PAIRS, false, FLAGS_AT(metadata),
      NULL, NULL, "Metadata of the node, key=value; may be repeated" },
    FLAGS_NAME(broker, "BROKER", "http", "http, memory", "Broker for pub/sub"),
    FLAGS_TEXT("broker_address", "BROKER_ADDRESS", broker_address,
               "Where the broker is, separated by commas; http: where to listen for events"),
    FLAGS_NAME(registry, "REGISTRY", "mdns", "mdns, memory", "Registry for discovery"),
    FLAGS_TEXT("registry_address", "REGISTRY_ADDRESS", registry_address,
               "Where the registry is, separated by commas; needs --registry"),
    FLAGS_NAME(selector, "SELECTOR", "cache", "cache, random, roundrobin, blacklist, static",
               "What chooses among nodes"),
    FLAGS_NAME(server, "SERVER", "rpc", "rpc, mucp", "Server, under either name"),
    FLAGS_NAME(transport, "TRANSPORT", "http", "http, memory", "Transport of messages"),
    FLAGS_TEXT("transport_address", "TRANSPORT_ADDRESS", transport_address,
               "Where the transport is, separated by commas"),
    FLAGS_LIMIT(SECONDS, "register_ttl", "REGISTER_TTL", register_ttl_ms, NULL,
                "Seconds until a registration expires; 0: the registry's own"),
    FLAGS_LIMIT(SECONDS, "register_interval", "REGISTER_INTERVAL", register_interval_ms, NULL,
                "Seconds between registrations; 0: only one; else half of register_ttl"),
    { "log_level", "MICRO_LOG_LEVEL", MICRO__FLAG_LEVEL, false, FLAGS_AT(log_level), "error",
      "none, error, warn, info, debug", "What is logged" },
    { "metrics", "MICRO_METRICS", MICRO__FLAG_BOOL, false, FLAGS_AT(metrics), NULL, NULL,
      "Answer GET /metrics, for Prometheus" },
    { "trace", "MICRO_TRACE", MICRO__FLAG_BOOL, false, FLAGS_AT(trace), NULL, NULL,
      "Begin a W3C trace where a request or a call has none" },
    FLAGS_LIMIT(INT, "loops", "LOOPS", loops, NULL,
                "Event loops; 0: no threads; else one for a processor"),
    { "max_threads", "MICRO_MAX_THREADS", MICRO__FLAG_INT, false, FLAGS_AT(max_threads), "256",
      NULL, "Threads at most" },
    FLAGS_LIMIT(MS, "drain", "DRAIN", drain_ms, "30s",
                "Time that handlers have to finish at the end; 0: no limit"),
};

MICRO_PRIVATE_DEF const micro__flag_table micro__service_flags = {
    flags_rows, MICRO_COUNTOF(flags_rows)
};

static bool flags_is_rpc(const char *name)
{
    return !name || strcmp(name, "rpc") == 0 || strcmp(name, "mucp") == 0;
}

static micro_err flags_unknown(const char *kind, const char *name, const char *known, char *why)
{
    snprintf(why, MICRO__WHY_MAX, "%s %.100s not found; there is %s", kind, name, known);
    return MICRO_EUSAGE;
}

MICRO_PRIVATE micro_err micro__settings_check(const micro__settings *s, char *why)
{
    if (!flags_is_rpc(s->client))
        return flags_unknown("Client", s->client, "rpc, also called mucp", why);
    if (!flags_is_rpc(s->server))
        return flags_unknown("Server", s->server, "rpc, also called mucp", why);
    if (s->registry_address && !s->registry) {
        snprintf(why, MICRO__WHY_MAX, "registry_address needs a registry: give --registry too");
        return MICRO_EUSAGE;
    }
    return MICRO_OK;
}
