/* SPDX-License-Identifier: MIT */
/* GET /metrics on a service's own port; tests/metrics.py has the format. */
#include "hello.h"
#include "raw.h"

typedef struct metrics_fixture {
    micro_registry *reg;
    micro_service *svc;
    int fd;
    char out[65536];
} metrics_fixture;

static bool metrics_start(metrics_fixture *f, const char *name, bool on)
{
    f->reg = micro_registry_memory_new();
    f->svc = hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = f->reg,
                                    .name = name, .version = "v\\1", .id = "x", .metrics = on));
    f->fd = f->svc ? raw_connect(micro_service_address(f->svc)) : -1;
    return CHECK(f->fd >= 0);
}

static void metrics_end(metrics_fixture *f)
{
    close(f->fd);
    micro_service_free(f->svc);
    micro_registry_free(f->reg);
}

static const char *metrics_ask(metrics_fixture *f, const char *line)
{
    char req[256];

    snprintf(req, sizeof req, "%s HTTP/1.1\r\nHost: x\r\n\r\n", line);
    raw_send(f->fd, req);
    return raw_reply(f->fd, f->out, sizeof f->out, 30000);
}

TEST(metrics_are_answered_where_they_are_on)
{
    metrics_fixture f;

    REQUIRE(metrics_start(&f, "a\"b", true));
    for (int i = 0; i < 2; i++) { /* the connection stays */
        const char *got = metrics_ask(&f, i ? "GET /metrics?x=1" : "GET /metrics");
        CHECK(strncmp(got, "HTTP/1.1 200 OK\r\n", 17) == 0);
        CHECK(strstr(got, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n") !=
              NULL);
        CHECK(strstr(got, "\nmicro_service_info{name=\"a\\\"b\",version=\"v\\\\1\",id=\"x\","
                          "library=\"") != NULL);
        CHECK(strstr(got, "\nmicro_requests_rejected_total 0\n") != NULL);
        CHECK(strstr(got, "\nmicro_requests_total{endpoint=\"Say.Hello\",outcome=\"ok\"} 0\n") !=
              NULL);
        CHECK(strstr(got, "Debug.") == NULL);
    }
    raw_send(f.fd, "POST /metrics HTTP/1.1\r\nContent-Type: application/json\r\n"
                   "Micro-Method: Say.Hello\r\nContent-Length: 0\r\n\r\n");
    CHECK(strstr(raw_reply(f.fd, f.out, sizeof f.out, 30000), "{\"msg\":\"Hello \"}\n") != NULL);
    CHECK(strstr(metrics_ask(&f, "GET /metrics"),
                 "\nmicro_requests_total{endpoint=\"Say.Hello\",outcome=\"ok\"} 1\n") != NULL);
    metrics_end(&f);
}

/* Anything else is a request as before: without a content type it is refused, and closes. */
TEST(metrics_are_nothing_else)
{
    static const char *const lines[] = { "GET /", "GET /metricsx", "PUT /metrics",
                                         "GET /x/metrics" };

    for (size_t i = 0; i < MICRO_COUNTOF(lines) + 1; i++) {
        metrics_fixture f;
        bool off = i == MICRO_COUNTOF(lines);
        NOTE("%s, %s", off ? "GET /metrics" : lines[i], off ? "off" : "on");
        REQUIRE(metrics_start(&f, "a", !off));
        CHECK(strstr(metrics_ask(&f, off ? "GET /metrics" : lines[i]),
                     "Unsupported Content-Type") != NULL);
        metrics_end(&f);
    }
}
