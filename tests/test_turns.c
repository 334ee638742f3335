/* SPDX-License-Identifier: MIT */
/* Nobody keeps the others of a loop waiting: neither a connection with more and more requests, nor
 * a function that posts itself. The test drives the loop, so the order of things is certain. */
#include "hello.h"
#include "raw.h"

#define TURNS_FLOOD 1000 /* requests that are there at once, and functions at most */

MICRO_METHOD(turns_count, "Turns.Count", hello_msg, hello_answer);

static struct {
    micro_registry *reg;
    micro_service *svc;
    int handled, posts; /* so far */
    int seen_after; /* what was handled or had run when the other one's turn came; -1: not yet */
} turns;

static micro_err turns_on_count(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    (void)ctx;
    if (micro_str_eq(req->name, micro_s("other")))
        turns.seen_after = turns.handled + turns.posts;
    else
        turns.handled++;
    rsp->msg = micro_s("counted");
    return MICRO_OK;
}

static void turns_request(int fd, const char *name)
{
    char body[64];

    snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
    raw_post(fd, "Micro-Method: Turns.Count\r\n", body);
}

static bool turns_setup(void)
{
    turns.handled = turns.posts = 0;
    turns.seen_after = -1;
    turns.reg = micro_registry_memory_new();
    turns.svc = micro_service_new(.name = "turns", .registry = turns.reg, .address = "127.0.0.1:0",
                                  .loops = MICRO_OFF);
    turns_count_handle(turns.svc, turns_on_count, NULL);
    return CHECK_EQ_INT(micro_service_start(turns.svc), MICRO_OK);
}

static void turns_teardown(void)
{
    micro_service_free(turns.svc);
    micro_registry_free(turns.reg);
}

static void turns_poll_until(const int *what, int at_least)
{
    long long until = raw_ms() + 20000;

    while (*what < at_least && raw_ms() < until)
        micro_ignore(micro_poll(turns.svc, 10));
}

TEST(turns_of_a_connection_that_pipelines)
{
    REQUIRE(turns_setup());
    int many = raw_connect(micro_service_address(turns.svc));
    int other = raw_connect(micro_service_address(turns.svc));
    for (int i = 0; i < TURNS_FLOOD; i++)
        turns_request(many, "many");
    turns_request(other, "other");
    turns_poll_until(&turns.handled, TURNS_FLOOD);
    CHECK_EQ_INT(turns.handled, TURNS_FLOOD); /* none is lost in between */
    CHECK(turns.seen_after >= 0 && turns.seen_after < TURNS_FLOOD / 2);
    close(many);
    close(other);
    turns_teardown();
}

/* The peer has ended its side: what it sent before is served all the same, turn after turn. */
TEST(turns_after_the_end_of_a_stream)
{
    char *out = malloc(TURNS_FLOOD * 128);
    bool closed;
    int replies = 0;

    REQUIRE(turns_setup());
    int many = raw_connect(micro_service_address(turns.svc));
    for (int i = 0; i < TURNS_FLOOD; i++)
        turns_request(many, "many");
    shutdown(many, SHUT_WR);
    turns_poll_until(&turns.handled, TURNS_FLOOD);
    for (int i = 0; i < 10; i++)
        micro_ignore(micro_poll(turns.svc, 1));
    raw_read(many, out, TURNS_FLOOD * 128 - 1, 30000, &closed);
    CHECK(closed);
    for (char *at = out; (at = strstr(at, "counted")) != NULL; at++)
        replies++;
    CHECK_EQ_INT(replies, TURNS_FLOOD);
    close(many);
    turns_teardown();
    free(out);
}

static void turns_post_again(void *arg)
{
    if (++turns.posts < TURNS_FLOOD)
        micro_ignore(micro_post(turns.svc, 0, turns_post_again, arg));
}

TEST(turns_of_a_function_that_posts_itself)
{
    REQUIRE(turns_setup());
    int other = raw_connect(micro_service_address(turns.svc));
    turns_request(other, "other");
    micro_ignore(micro_post(turns.svc, 0, turns_post_again, NULL));
    turns_poll_until(&turns.posts, TURNS_FLOOD);
    CHECK_EQ_INT(turns.posts, TURNS_FLOOD);
    CHECK(turns.seen_after >= 0 && turns.seen_after < TURNS_FLOOD / 2);
    close(other);
    turns_teardown();
}
