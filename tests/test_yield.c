/* SPDX-License-Identifier: MIT */
/* Giving the processor away before a wait: how often it is tried, and for whom. */
#include "hello.h"
#include "raw.h"
#include "harness.h"

/* Waits until it is tried again. */
static int yield_gap(micro__yield_score *y)
{
    int n = 0;

    while (!micro__yield_due(y))
        n++;
    return n;
}

TEST(yield_is_tried_as_long_as_it_pays)
{
    micro__yield_score y = { 0 };

    for (int i = 0; i < 100; i++) {
        CHECK_EQ_INT(yield_gap(&y), 0);
        micro__yield_learn(&y, 10, 1);
    }
}

TEST(yield_is_tried_less_and_less_while_it_does_not)
{
    micro__yield_score y = { 0 };
    int waits = 0;

    for (int want = 1; want < 1024; want = 2 * want + 1) {
        micro__yield_learn(&y, 0, 0);
        CHECK_EQ_INT(yield_gap(&y), want);
    }
    for (int i = 0; i < 3; i++) {
        micro__yield_learn(&y, 0, 0);
        waits += yield_gap(&y) + 1;
    }
    CHECK_EQ_INT(waits, 3 * 1024);
    for (int want = 31; want; want = want == 31 ? 3 : want / 2) { /* and soon again once it does */
        micro__yield_learn(&y, 0, 1);
        CHECK_EQ_INT(yield_gap(&y), want);
    }
    micro__yield_learn(&y, 0, 1);
    CHECK_EQ_INT(yield_gap(&y), 0);
}

/* Others have computed meanwhile: waiting would have been better, though the answer was there. */
TEST(yield_that_takes_long_does_not_pay)
{
    micro__yield_score y = { 0 };

    micro__yield_learn(&y, 3000, 1);
    CHECK_EQ_INT(yield_gap(&y), 1);
    micro__yield_learn(&y, 3000, 2);
    CHECK_EQ_INT(yield_gap(&y), 3);
    micro__yield_learn(&y, 3000, 64); /* of many that answered each had its time */
    CHECK_EQ_INT(yield_gap(&y), 1);
}

/* ---- a read before the wait ------------------------------------------------------------------ */

#if MICRO_ENABLE_TEST_HOOKS

#define YIELD_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n"

static size_t yield_reads;

/* A peer that always has one byte more. */
static ssize_t yield_recv(int fd, void *data, size_t size, int flags)
{
    (void)fd;
    if (flags & MSG_PEEK || !size)
        return 0;
    *(char *)data = yield_reads < sizeof YIELD_HEAD - 1 ? YIELD_HEAD[yield_reads] : 'x';
    yield_reads++;
    return 1;
}

static int yield_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    (void)n, (void)timeout;
    fds[0].revents = POLLIN;
    return 1;
}

TEST(yield_keeps_to_the_deadline)
{
    char address[32];
    int listener = raw_listen(address);
    micro_service *svc = micro_service_new(.name = "caller");
    micro_ctx *ctx = micro_ctx_new(svc);
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;

    REQUIRE(listener >= 0);
    micro__sys.recv = yield_recv;
    micro__sys.poll = yield_poll;
    CHECK_EQ_INT(hello_say_with(ctx, "go.micro.srv.greeter", &req, &rsp,
                                MICRO_OPTS(micro_call_opts, .address = address, .timeout_ms = 1000,
                                           .attempts = 1)),
                 MICRO_ETIMEDOUT);
    micro__sys.recv = recv;
    micro__sys.poll = poll;
    CHECK(yield_reads > sizeof YIELD_HEAD);
    close(listener);
    micro_ctx_free(ctx);
    micro_service_free(svc);
}

#endif
