/* SPDX-License-Identifier: MIT */
/* GET /metrics: what was counted, in Prometheus' text format 0.0.4. */
#include "server.h"

#define METRICS_FIRST_OCTAVE 6 /* bounds begin at 64 us: below it there is little to tell apart */

static bool metrics_asked(const micro__http_head *head)
{
    bool reads = micro__str_is(head->method, "GET") || micro__str_is(head->method, "HEAD");

    return reads && (micro__str_is(head->target, "/metrics") ||
                     micro__str_starts(head->target, "/metrics?"));
}

static void metrics_family(micro_buf *b, const char *name, const char *type, const char *help)
{
    micro__buf_format(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* What can be registered has no control characters. */
static void metrics_label(micro_buf *b, const char *name, const char *value)
{
    micro__buf_format(b, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            micro__buf_byte(b, '\\');
        micro__buf_byte(b, *value);
    }
    micro__buf_byte(b, '"');
}

/* name{endpoint="...", and what else the caller has to say. */
static void metrics_series(micro_buf *b, const char *name, const char *endpoint)
{
    micro__buf_format(b, "%s{", name);
    metrics_label(b, "endpoint", endpoint);
}

static void metrics_value(micro_buf *b, const char *before, uint64_t value)
{
    micro__buf_text(b, before);
    micro__buf_u64(b, value);
    micro__buf_byte(b, '\n');
}

static void metrics_seconds(micro_buf *b, uint64_t ns)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(ns / 1000000000),
                     (unsigned long long)(ns % 1000000000));

    while (text[n - 1] == '0' && text[n - 2] != '.')
        n--;
    micro__buf_add(b, text, (size_t)n);
}

/* ---- endpoints ----------------------------------------------------------------------------- */

static void metrics_requests(void *arg, const char *endpoint, const micro__stats_sum *sum)
{
    micro_buf *b = arg;
    static const char *const outcomes[MICRO__DONE_COUNT] = { "ok", "client_error", "server_error",
                                                             "other_error" };

    for (size_t i = 0; i < MICRO__DONE_COUNT; i++) {
        metrics_series(b, "micro_requests_total", endpoint);
        micro__buf_byte(b, ',');
        metrics_label(b, "outcome", outcomes[i]);
        metrics_value(b, "} ", sum->outcomes[i]);
    }
}

static void metrics_running(void *arg, const char *endpoint, const micro__stats_sum *sum)
{
    micro_buf *b = arg;
    metrics_series(b, "micro_requests_running", endpoint);
    metrics_value(b, "} ", sum->running);
}

/* One bound for each doubling: four would be a hundred series for an endpoint. */
static void metrics_duration(void *arg, const char *endpoint, const micro__stats_sum *sum)
{
    micro_buf *b = arg;
    uint64_t below = 0;
    size_t bucket = 0;

    for (unsigned octave = METRICS_FIRST_OCTAVE; octave <= MICRO__STATS_OCTAVES; octave++) {
        for (; bucket < (size_t)(octave - 1) * 4; bucket++)
            below += sum->buckets[bucket];
        metrics_series(b, "micro_request_duration_seconds_bucket", endpoint);
        micro__buf_text(b, ",le=\"");
        metrics_seconds(b, (UINT64_C(1) << octave) * 1000);
        metrics_value(b, "\"} ", below);
    }
    metrics_series(b, "micro_request_duration_seconds_bucket", endpoint);
    metrics_value(b, ",le=\"+Inf\"} ", sum->requests);
    metrics_series(b, "micro_request_duration_seconds_sum", endpoint);
    micro__buf_text(b, "} ");
    metrics_seconds(b, sum->time_ns);
    micro__buf_byte(b, '\n');
    metrics_series(b, "micro_request_duration_seconds_count", endpoint);
    metrics_value(b, "} ", sum->requests);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void metrics_service(const micro__server *s, micro_buf *b)
{
    metrics_family(b, "micro_service_info", "gauge", "Always 1; which service this is.");
    micro__buf_text(b, "micro_service_info{");
    metrics_label(b, "name", s->name);
    micro__buf_byte(b, ',');
    metrics_label(b, "version", s->version);
    micro__buf_byte(b, ',');
    metrics_label(b, "id", s->id);
    micro__buf_byte(b, ',');
    metrics_label(b, "library", micro_version());
    micro__buf_text(b, "} 1\n");
}

static void metrics_process(const micro__server *s, micro_buf *b)
{
    uint64_t memory, threads;

    micro__process_usage(&memory, &threads);
    metrics_family(b, "process_start_time_seconds", "gauge", "Start, in seconds since 1970.");
    metrics_value(b, "process_start_time_seconds ", (uint64_t)s->started);
    metrics_family(b, "process_resident_memory_bytes", "gauge", "Resident memory.");
    metrics_value(b, "process_resident_memory_bytes ", memory);
    metrics_family(b, "process_threads", "gauge", "Threads.");
    metrics_value(b, "process_threads ", threads);
}

MICRO_PRIVATE bool micro__server_metrics(micro__server *s, const micro__http_head *head,
                                         micro__reply *reply)
{
    micro_buf *b = reply->body;

    if (!s->metrics || !metrics_asked(head))
        return false;
    reply->content_type = micro_s("text/plain; version=0.0.4; charset=utf-8");
    metrics_service(s, b);
    metrics_family(b, "micro_requests_total", "counter",
                   "Requests that have ended, by endpoint and outcome.");
    micro__server_counted(s, metrics_requests, b);
    metrics_family(b, "micro_requests_running", "gauge", "Requests being served.");
    micro__server_counted(s, metrics_running, b);
    metrics_family(b, "micro_request_duration_seconds", "histogram",
                   "Time from a whole request to its whole reply.");
    micro__server_counted(s, metrics_duration, b);
    metrics_family(b, "micro_requests_rejected_total", "counter",
                   "Requests that came to no endpoint.");
    metrics_value(b, "micro_requests_rejected_total ",
                  atomic_load_explicit(&s->rejected, memory_order_relaxed));
    metrics_process(s, b);
    return true;
}
