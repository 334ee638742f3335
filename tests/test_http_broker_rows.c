/* SPDX-License-Identifier: MIT */
/* Events that come to the http broker many at once. */
#include "http_broker.h"

#include "service/service.h"

#define HTTPB_HEAD(method, target, version, line) \
    method " " target "id=%s HTTP/" version "\r\nHost: x\r\n" line

/* Heads that are the one before, to the byte, and heads that nearly are; all in one write. */
static const struct {
    const char *head; /* up to the length */
    const char *event;
    int status;
    bool delivered;
} httpb_together[] = {
    { HTTPB_HEAD("POST", "/?", "1.1", ""), "a", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.1", ""), "b", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.1", ""), "four", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.1", ""), "and seven", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.2", ""), "c", 200, true },
    { HTTPB_HEAD("POST", "/?i", "1.1", ""), "d", 200, false },
    { HTTPB_HEAD("POST", "/!", "1.1", ""), "e", 404, false },
    { HTTPB_HEAD("POSS", "/?", "1.1", ""), "f", 405, false },
    { HTTPB_HEAD("POST", "/?", "1.1", ""), "g", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.1", "Transfer-Encoding: chunked\r\n"), "h", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.1", "Transfer-Encoding: chunked\r\n"), "long", 200, true },
    { HTTPB_HEAD("POST", "/?", "1.1", "Connection: close\r\n"), "k", 200, true },
};

static size_t httpb_write(char *to, size_t size, size_t row, const char *id)
{
    char body[256], event[64];
    micro_buf text = { 0 };
    size_t n = (size_t)snprintf(to, size, httpb_together[row].head, id);
    int len = snprintf(event, sizeof event, "{\"id\":\"%s\"}", httpb_together[row].event);

    micro__base64_encode(&text, event, (size_t)len);
    len = snprintf(body, sizeof body,
                   "{\"Header\":{\":topic\":\"example.topic.pubsub.1\",\"Content-Type\":"
                   "\"application/json\"},\"Body\":\"%.*s\"}",
                   (int)text.len, text.ptr);
    micro__buf_free(&text);
    if (strstr(to, "chunked"))
        n += (size_t)snprintf(to + n, size - n, "\r\n3\r\n%.3s\r\n%x\r\n%s\r\n0\r\n\r\n", body,
                              (unsigned)len - 3, body + 3);
    else
        n += (size_t)snprintf(to + n, size - n, "Content-Length: %d\r\n\r\n%s", len, body);
    return n;
}

static void httpb_send_together(httpb_fixture *f, int fd)
{
    enum { ROWS = MICRO_COUNTOF(httpb_together) };
    char all[8192], reply[2048] = "";
    size_t n = 0;
    int had = events_count(&f->seen), want = had;

    for (size_t i = 0; i < ROWS; i++) {
        n += httpb_write(all + n, sizeof all - n, i, f->id);
        want += httpb_together[i].delivered;
    }
    raw_send(fd, all);
    for (size_t i = 0; i < ROWS; i++) {
        NOTE("row %zu", i);
        CHECK_EQ_INT(atoi(raw_reply(fd, reply, sizeof reply, 30000) + 9), httpb_together[i].status);
    }
    CHECK_EQ_INT(events_wait(&f->seen, want), want);
    for (size_t i = 0; i < ROWS; i++) { /* in any order, since handlers may run side by side */
        int times = 0;
        for (int k = had; k < want; k++)
            times += !strcmp(f->seen.ids[k], httpb_together[i].event);
        NOTE("row %zu", i);
        CHECK_EQ_INT(times, httpb_together[i].delivered);
    }
}

TEST(http_broker_tells_heads_apart_that_come_together)
{
    httpb_fixture f;

    REQUIRE(httpb_setup(&f, NULL));
    for (int warm = 0; warm < 2; warm++) {
        int fd = raw_connect(f.address);
        if (warm)
            httpb_warm(&f, fd);
        httpb_send_together(&f, fd);
        close(fd);
    }
    httpb_teardown(&f);
}

/* A subscription that ends itself when it has got so many. */
typedef struct httpb_until {
    micro_broker *broker;
    micro_sub *sub;
    int n, most;
} httpb_until;

static micro_err httpb_until_on(void *arg, micro_ctx *ctx, const char *topic, const micro_msg *msg)
{
    httpb_until *u = arg;

    (void)ctx, (void)topic, (void)msg;
    if (++u->n == u->most)
        micro_broker_unsubscribe(u->broker, u->sub);
    return MICRO_OK;
}

static const char httpb_raw[] = "{\"Header\":{\":topic\":\"example.raw\"},\"Body\":\"\"}";

/* A subscription of the broker's own kind, without a type; its node's id. */
static micro_sub *httpb_subscribe_raw(httpb_fixture *f, const micro_subscribe_opts *opts,
                                      micro_event_fn *fn, void *arg, char id[128])
{
    micro_sub *sub = NULL;
    micro_node node;
    char metadata[128];

    CHECK_EQ_INT(micro_broker_subscribe(micro_service_broker(f->sub), f->ctx, "example.raw", opts,
                                        fn, arg, &sub),
                 MICRO_OK);
    if (!httpb_node(f, "topic:example.raw", "ff.http.broadcast", &node, metadata))
        return NULL;
    snprintf(id, 128, "%s", node.id.ptr);
    return sub;
}

/* n events in one write. */
static void httpb_send_raw(int fd, const char *id, int n)
{
    char all[8192] = "", reply[2048];
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += httpb_request(all + len, sizeof all - len, id, httpb_raw);
    raw_send(fd, all);
    for (int i = 0; i < n; i++)
        CHECK(!strncmp(raw_reply(fd, reply, sizeof reply, 30000), "HTTP/1.1 200 ", 13));
}

/* Events that came together with the last one have no handler any more; they are answered. */
TEST(http_broker_handler_unsubscribes_amid_events)
{
    const micro_subscribe_opts one = { .size_ = sizeof one, .max_running = 1 };
    httpb_until u = { .most = 23 };
    httpb_fixture f;
    char id[128];

    REQUIRE(httpb_setup(&f, NULL));
    u.broker = micro_service_broker(f.sub);
    u.sub = httpb_subscribe_raw(&f, &one, httpb_until_on, &u, id);
    REQUIRE(u.sub != NULL);
    int fd = raw_connect(f.address);
    for (int i = 0; i < 20; i++)
        httpb_send_raw(fd, id, 1);
    httpb_send_raw(fd, id, 8);
    httpb_send_raw(fd, id, 2);
    close(fd);
    httpb_teardown(&f);
    CHECK_EQ_INT(u.n, 23);
}

/* ---- times --------------------------------------------------------------------------------- */

static micro_err httpb_late(void *arg, micro_ctx *ctx, const char *topic, const micro_msg *msg)
{
    (void)ctx, (void)topic, (void)msg;
    if (atomic_load((atomic_bool *)arg))
        raw_sleep(1000);
    return MICRO_OK;
}

static uint64_t httpb_time_ms(const httpb_fixture *f)
{
    micro__stats_sum sum;

    micro__stats_read(f->sub->server.subscribers->stats, &sum);
    return sum.time_ns / 1000000;
}

/* Of events that came together one's time begins where another one's ended; but what came between
 * them and was not that is nobody's but its own. */
TEST(http_broker_events_that_come_together_have_their_own_times)
{
    char all[2048];
    atomic_bool slow = false;
    httpb_fixture f;
    char id[128];

    REQUIRE(httpb_setup(&f, NULL));
    micro_sub *sub = httpb_subscribe_raw(&f, NULL, httpb_late, &slow, id);
    REQUIRE(sub != NULL);
    int fd = raw_connect(f.address);
    httpb_warm(&f, fd);
    for (int i = 0; i < 20; i++)
        httpb_send_raw(fd, id, 1);
    CHECK_EQ_INT(events_wait(&f.seen, 20), 20);
    uint64_t before = httpb_time_ms(&f);
    size_t n = httpb_write(all, sizeof all, 0, f.id);
    n += httpb_request(all + n, sizeof all - n, id, httpb_raw);
    httpb_write(all + n, sizeof all - n, 0, f.id);
    atomic_store(&slow, true);
    raw_send(fd, all);
    CHECK_EQ_INT(events_wait(&f.seen, 22), 22);
    micro_broker_unsubscribe(micro_service_broker(f.sub), sub);
    CHECK(httpb_time_ms(&f) - before < 900);
    close(fd);
    httpb_teardown(&f);
}

/* It is too big for each of them, and for the same reason. */
TEST(http_broker_tells_two_that_it_is_too_big)
{
    static char bytes[MICRO_MAX_BODY];
    const micro_bytes big = { (const uint8_t *)bytes, sizeof bytes };
    atomic_bool slow = false;
    httpb_fixture f;
    micro_sub *sub;

    REQUIRE(httpb_setup(&f, NULL));
    REQUIRE(micro_broker_subscribe(micro_service_broker(f.sub), f.ctx, "example.topic.pubsub.1",
                                   NULL, httpb_late, &slow, &sub) == MICRO_OK);
    CHECK_EQ_INT(micro_publish(f.ctx, "example.topic.pubsub.1", &micro_type_bytes, &big, NULL),
                 MICRO_ETOOBIG);
    micro_broker_unsubscribe(micro_service_broker(f.sub), sub);
    httpb_teardown(&f);
}

/* Who publishes may go without waiting for an answer: the event is handled all the same. */
TEST(http_broker_handles_what_a_gone_publisher_sent)
{
    char request[1024];
    httpb_fixture f;

    REQUIRE(httpb_setup(&f, NULL));
    int fd = raw_connect(f.address);
    httpb_warm(&f, fd);
    atomic_store(&f.seen.sleep_ms, 100);
    httpb_write(request, sizeof request, 0, f.id);
    raw_send(fd, request);
    close(fd);
    CHECK_EQ_INT(events_wait(&f.seen, 21), 21);
    CHECK(!f.seen.canceled);
    httpb_teardown(&f);
}
