/* SPDX-License-Identifier: MIT */
/* The browser in time: refreshing, expiry, questions; our own nodes; limits; memory running out. */
#include "mdns_browse.h"

/* ---- time -------------------------------------------------------------------------------------*/

/* Runs the clock up to until, noting the time of each question and event. */
static uint64_t browse_run(micro__mdns_browser *b, uint64_t now, uint64_t until, uint64_t *times,
                           int max)
{
    int n = 0, steps = 0;
    for (uint64_t due; (due = micro__mdns_browser_tick(b, now)) && due <= until; now = due) {
        if (!CHECK(due > now) || !CHECK(++steps < 10000))
            break;
        int before = browse_seen.asks + browse_seen.events;
        micro__mdns_browser_tick(b, due);
        if (browse_seen.asks + browse_seen.events > before && n < max)
            times[n++] = due;
    }
    while (n < max)
        times[n++] = 0;
    return until;
}

TEST(mdns_browser_refreshes_and_expires)
{
    static const uint32_t ttls[] = { 120, 6, 1 };
    for (size_t i = 0; i < MICRO_COUNTOF(ttls); i++) {
        micro__mdns_browser *b = browse_start("svc");
        browse_node n = browse_one;
        uint64_t times[8], life = ttls[i] * 1000, end = 1000 + life;
        n.ttl = ttls[i];
        NOTE("TTL %u", ttls[i]);
        browse_hear(b, &n, 1000);
        CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
        browse_run(b, 1000, end - 1, times, 8);
        CHECK_EQ_INT(browse_seen.asks, 4);
        CHECK_EQ_INT(browse_seen.events, 1);
        for (unsigned k = 0; k < 4; k++) { /* at 80, 85, 90, 95 %, at most 2 % later */
            CHECK(times[k] >= 1000 + life * (80 + 5 * k) / 100);
            CHECK(times[k] <= 1000 + life * (82 + 5 * k) / 100);
        }
        browse_log();
        CHECK_EQ_UINT(b->nodes, 1);
        browse_run(b, end - 1, end, times, 8);
        CHECK_EQ_TEXT(browse_log(), "delete svc 1 a 10.0.0.1:80\n");
        CHECK_EQ_UINT(b->nodes, 0);
        micro__mdns_browser_free(b);
    }
}

TEST(mdns_browser_answer_renews)
{
    micro__mdns_browser *b = browse_start("svc");
    uint64_t times[4], now = 1000;
    for (int i = 0; i < 10; i++) { /* every question answered: it never goes */
        browse_hear(b, &browse_one, now);
        browse_run(b, now, now + 99000, times, 4);
        CHECK_EQ_INT(browse_seen.asks, i + 1);
        now = times[0] + 1;
    }
    CHECK_EQ_INT(browse_seen.events, 1);
    micro__mdns_browser_free(b);

    b = browse_start(NULL); /* nobody watches: no question, and it goes without a word */
    browse_hear(b, &browse_one, 1000);
    browse_run(b, 1000, 1000000, times, 4);
    CHECK_EQ_INT(browse_seen.asks + browse_seen.events, 0);
    CHECK_EQ_UINT(b->nodes, 0);
    CHECK_EQ_UINT(b->services, 0);
    micro__mdns_browser_free(b);
}

/* 100 nodes of a service whose time comes at the same moment: one question. */
TEST(mdns_browser_asks_once_for_all)
{
    micro__mdns_browser *b = browse_start("svc");
    uint64_t times[64];
    for (int i = 0; i < 100; i++) {
        char id[16];
        browse_node n = browse_one;
        snprintf(id, sizeof id, "n%d", i);
        n.id = id;
        browse_hear(b, &n, 1000);
    }
    CHECK_EQ_INT(browse_seen.events, 100);
    browse_run(b, 1000, 1000 + 120 * 830, times, 64); /* 80 to 83 %: 3.6 s, a second apart */
    CHECK(browse_seen.asks >= 1 && browse_seen.asks <= 4);
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_watch_asks)
{
    micro__mdns_browser *b = browse_start("svc");
    uint64_t times[10];
    CHECK(micro__mdns_browser_watch(b, micro_s("svc"), 1000));
    micro__mdns_browser_tick(b, 1000);
    CHECK_EQ_TEXT(browse_log(), "ask svc\n");
    browse_run(b, 1000, 400000, times, 10); /* nothing answers */
    static const uint64_t want[] = { 1, 3, 7, 15, 31, 63, 127, 191, 255, 319 };
    for (size_t i = 0; i < 10; i++)
        CHECK_EQ_UINT(times[i], 1000 + want[i] * 1000);
    browse_seen.wanted = NULL; /* unwatched */
    browse_seen.asks = 0;
    browse_run(b, 400000, 900000, times, 10);
    CHECK_EQ_INT(browse_seen.asks, 0);
    CHECK_EQ_UINT(b->services, 0);
    micro__mdns_browser_free(b);

    b = browse_start("svc");
    CHECK(micro__mdns_browser_watch(b, micro_s("svc"), 1000));
    micro__mdns_browser_tick(b, 1000);
    browse_hear(b, &browse_one, 1001);
    browse_run(b, 1000, 90000, times, 4); /* after three the TTL takes over */
    CHECK_EQ_UINT(times[0], 2000);
    CHECK_EQ_UINT(times[1], 4000);
    CHECK_EQ_UINT(times[2], 0);
    micro__mdns_browser_again(b, 90000); /* the network has changed */
    browse_run(b, 90000, 90001, times, 1);
    micro__mdns_browser_free(b);
}

/* A watched service that has lost its nodes is asked for again. */
TEST(mdns_browser_watch_goes_on)
{
    micro__mdns_browser *b = browse_start("svc");
    uint64_t times[3];
    browse_hear(b, &browse_one, 1000);
    browse_node n = browse_one;
    n.ttl = 0;
    browse_hear(b, &n, 2000);
    CHECK_EQ_UINT(b->nodes, 0);
    browse_run(b, 2000, 400000, times, 3);
    CHECK(times[0] > 0 && times[1] == times[0] + 64000 && times[2] == times[1] + 64000);
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_everything)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    micro__mdns_browser *b = browse_start("*");
    uint64_t times[4];
    CHECK(micro__mdns_browser_watch(b, micro_s(""), 1000));
    micro__mdns_browser_tick(b, 1000);
    CHECK_EQ_TEXT(browse_log(), "ask _services\n");
    size_t len = mdns_golden_hex("mdns-list-answer.hex", data);
    micro__mdns_hear(b, data, len, 1010);
    CHECK_EQ_TEXT(browse_log(), "ask go.micro.srv.greeter\n");
    len = mdns_golden_hex("mdns-get-answer.hex", data);
    micro__mdns_hear(b, data, len, 1020);
    CHECK_EQ_TEXT(browse_log(), "create go.micro.srv.greeter 1.0.0 go.micro.srv.greeter-aaaa-1 "
                                "127.0.0.1:9601\n");
    browse_run(b, 1020, 90000, times, 4); /* the list is asked for on and on */
    CHECK_EQ_UINT(times[0], 2000);
    CHECK_EQ_UINT(times[3], 16000);
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_list)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    micro__mdns_browser *b = browse_start(NULL);
    micro__mdns_service *list = micro__mdns_browser_service(b, micro_s("_services"), true);
    REQUIRE(list != NULL);
    list->users = 1;
    size_t len = mdns_golden_hex("later-v6.10-mdns-list-answer.hex", data);
    micro__mdns_hear(b, data, len, 1000);
    micro__mdns_service *s = micro__mdns_browser_service(b, micro_s("go.micro.srv.greeter"), false);
    REQUIRE(s != NULL);
    CHECK_EQ_UINT(s->listed, 1000);
    CHECK_EQ_UINT(list->listed, 1000);
    CHECK_EQ_UINT(b->nodes, 0);
    CHECK_EQ_UINT(b->services, 2);
    len = mdns_golden_hex("mdns-announce.hex", data); /* names no service of the list */
    micro__mdns_hear(b, data, len, 1500);
    CHECK_EQ_UINT(b->services, 2);
    CHECK_EQ_UINT(s->listed, 1000);
    list->users = 0;
    micro__mdns_browser_free(b);
}

/* ---- our own ----------------------------------------------------------------------------------*/

static void browse_unsent(void *arg, bool to_all, const void *data, size_t len)
{
    (void)arg;
    (void)to_all;
    (void)data;
    (void)len;
}

TEST(mdns_browser_own_nodes)
{
    static micro__mdns_responder r;
    micro__mdns_browser *b = browse_start("svc");
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro__mdns_local *own = NULL;
    micro_node node = { .id = micro_s("a"), .address = micro_s("10.0.0.9:90") };
    micro_entry e = { .name = micro_s("svc"), .version = micro_s("own") };
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    uint64_t times[2];
    micro__mdns_responder_init(&r, "vm", browse_unsent, NULL);
    REQUIRE(micro__mdns_local_new(ctx, &r, 1452, &e, &node, 1000, &own) == MICRO_OK);
    browse_hear(b, &browse_one, 1000); /* somebody else had the name */
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
    CHECK(micro__mdns_browser_put(b, own, 1500));
    CHECK_EQ_TEXT(browse_log(), "delete svc 1 a 10.0.0.1:80\ncreate svc own a 10.0.0.9:90\n");
    CHECK(b->found);
    browse_node n = browse_one; /* nobody else speaks for it any more */
    browse_hear(b, &n, 2000);
    n.ttl = 0;
    browse_hear(b, &n, 2000);
    CHECK_EQ_TEXT(browse_log(), "");
    browse_run(b, 2000, 10000000, times, 2);
    CHECK_EQ_TEXT(browse_log(), "");
    CHECK_EQ_UINT(b->nodes, 1);
    CHECK(micro__mdns_node_lives(b->by_name[micro__str_hash(e.name) % MICRO__MDNS_BUCKETS]->nodes,
                                 UINT64_MAX));
    micro__mdns_browser_del(b, micro_s("svc"), micro_s("other"), 3000);
    CHECK_EQ_TEXT(browse_log(), "");
    micro__mdns_browser_del(b, micro_s("svc"), micro_s("a"), 3000);
    CHECK_EQ_TEXT(browse_log(), "delete svc own a 10.0.0.9:90\n");
    n.version = "own"; /* our own announcement, back from the network */
    n.address = "10.0.0.9:90";
    n.ttl = 120;
    n.bare = true;
    browse_hear(b, &n, 4999);
    CHECK_EQ_TEXT(browse_log(), "");
    browse_hear(b, &n, 5000);
    CHECK_EQ_TEXT(browse_log(), "create svc own a 10.0.0.9:90\n");
    n.ttl = 0;
    browse_hear(b, &n, 5000);
    browse_log();
    browse_hear(b, &browse_one, 3000);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
    micro__mdns_browser_del(b, micro_s("svc"), micro_s("a"), 3000); /* not ours to delete */
    CHECK_EQ_TEXT(browse_log(), "");
    micro__mdns_local_free(own);
    micro_ctx_free(ctx);
    micro__mdns_browser_free(b);
}

/* ---- limits -----------------------------------------------------------------------------------*/

static void browse_flood(micro__mdns_browser *b, const char *service, int n)
{
    for (int i = 0; i < n; i++) {
        char id[16];
        browse_node node = browse_one;
        snprintf(id, sizeof id, "n%d", i);
        node.name = service;
        node.id = id;
        node.ttl = UINT32_MAX;
        browse_hear(b, &node, 1000);
    }
}

TEST(mdns_browser_caps)
{
    micro__mdns_browser *b = browse_start("svc");
    browse_flood(b, "noise", 1500);
    CHECK_EQ_UINT(b->nodes, 1024); /* a quarter for what nobody wants */
    browse_flood(b, "svc", 4200);
    CHECK_EQ_UINT(b->nodes, 4096); /* the rest, and in the place of noise */
    CHECK_EQ_INT(browse_seen.events, 4096);
    micro__mdns_service *noise = micro__mdns_browser_service(b, micro_s("noise"), false);
    CHECK(!noise || !noise->nodes);
    browse_hear(b, &browse_one, 1000);
    CHECK_EQ_UINT(b->nodes, 4096);
    CHECK(b->weight <= 4 << 20);
    uint64_t times[1]; /* all is gone after the longest TTL */
    browse_seen.wanted = NULL;
    browse_run(b, 1000, 4502 * UINT64_C(1000), times, 1);
    CHECK_EQ_UINT(b->nodes, 0);
    CHECK_EQ_UINT(b->weight, 0);
    CHECK_EQ_UINT(b->services, 0);
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_caps_services)
{
    micro__mdns_browser *b = browse_start(NULL);
    for (int i = 0; i < 5000; i++) {
        uint8_t packet[512];
        char name[40];
        micro__dns_writer w;
        snprintf(name, sizeof name, "s%d._services.local", i);
        micro__dns_begin(&w, packet, sizeof packet, 0, 0x8400);
        micro__dns_ptr(&w, micro_s("_services.local"), 120, micro_s(name));
        micro__mdns_hear(b, packet, micro__dns_end(&w), 1000);
    }
    CHECK_EQ_UINT(b->services, 4096);
    CHECK(micro__mdns_browser_service(b, micro_s("mine"), true) != NULL); /* ours to ask for */
    uint64_t times[1];
    browse_run(b, 1000, 12000, times, 1);
    CHECK_EQ_UINT(b->services, 0);
    micro__mdns_browser_free(b);
}

/* ---- memory -----------------------------------------------------------------------------------*/

static struct {
    long left; /* allocations until one fails; negative: never */
    long used; /* bytes */
} browse_memory = { -1, 0 };

static void *browse_realloc(void *arg, void *old, size_t old_size, size_t new_size)
{
    (void)arg;
    if (new_size == 0) {
        free(old);
        browse_memory.used -= (long)old_size;
        return NULL;
    }
    if (browse_memory.left == 0)
        return NULL;
    if (browse_memory.left > 0)
        browse_memory.left--;
    void *p = realloc(old, new_size);
    if (p)
        browse_memory.used += (long)new_size - (long)old_size;
    return p;
}

/* The whole of a node's life with memory running out at every place. */
TEST(mdns_browser_out_of_memory)
{
    static uint8_t packets[4][2048];
    size_t lens[4];
    browse_node n = browse_one;
    micro_allocator_set(browse_realloc, NULL);
    for (size_t i = 0; i < 4; i++) {
        micro__dns_writer w;
        n.meta = i == 1 ? "y" : "x";
        n.version = i == 2 ? "2" : "1";
        n.ttl = i == 3 ? 0 : 120;
        micro__dns_begin(&w, packets[i], sizeof packets[i], 0, 0x8000);
        browse_write(&w, &n);
        lens[i] = micro__dns_end(&w);
    }
    micro__ctx_spare_free();
    int failures = 0;
    for (long fail = 0; fail < 200; fail++) {
        memset(&browse_seen, 0, sizeof browse_seen);
        browse_seen.wanted = "*";
        long before = browse_memory.used;
        browse_memory.left = fail;
        if (micro__mdns_browser_init(&browse_it, &browse_ops, &browse_seen)) {
            for (size_t i = 0; i < 4; i++)
                micro__mdns_hear(&browse_it, packets[i], lens[i], 1000);
            micro__mdns_browser_tick(&browse_it, 20000);
            CHECK_EQ_UINT(browse_it.nodes, 0); /* the goodbye works without memory */
            micro__mdns_browser_free(&browse_it);
        }
        failures += browse_memory.left == 0;
        bool done = browse_memory.left > 0;
        browse_memory.left = -1;
        micro__ctx_spare_free();
        CHECK_EQ_INT(browse_memory.used, before);
        if (done)
            break;
    }
    CHECK(failures > 10 && failures < 199);
}

/* A node that a watcher cannot be told of is not known either; it comes with the next packet. */
TEST(mdns_browser_not_told_is_not_known)
{
    micro__mdns_browser *b = browse_start("svc");
    browse_seen.deaf = true;
    browse_hear(b, &browse_one, 1000);
    CHECK_EQ_UINT(b->nodes, 0);
    CHECK(!b->found);
    browse_seen.deaf = false;
    browse_hear(b, &browse_one, 2000);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
    browse_node n = browse_one;
    n.meta = "y";
    browse_seen.deaf = true;
    browse_hear(b, &n, 3000);
    browse_seen.deaf = false;
    browse_hear(b, &n, 4000);
    CHECK_EQ_TEXT(browse_log(), "update svc 1 a 10.0.0.1:80\n");
    micro__mdns_browser_free(b);
}

TEST(mdns_registry_opens_nothing_by_itself)
{
    micro_registry *a = micro_registry_mdns_new(), *b = micro_registry_mdns_new();
    REQUIRE(a && b);
    CHECK_EQ_TEXT(a->ops->name, "mdns");
    int fd = dup(0);
    CHECK(fd >= 0 && fd < 20); /* no sockets below it */
    close(fd);
    micro_registry_free(a);
    micro_registry_free(b);
}
