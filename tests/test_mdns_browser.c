/* SPDX-License-Identifier: MIT */
/* What the browser makes of packets, captured and made up, and of time. */
#include "registry/mdns.h"

#include "mdns_golden.h"

typedef struct browse { /* what the browser has asked and told, one line each */
    char log[16384];
    size_t len;
    int asks, events;
    const char *wanted; /* one name, "*", or NULL: nobody watches */
    bool deaf;          /* no memory for events */
} browse;

static browse browse_seen;
static micro__mdns_browser browse_it;

static void browse_line(const char *what, micro_str a, micro_str b, micro_str c, micro_str d)
{
    browse *s = &browse_seen;
    int n = snprintf(s->log + s->len, sizeof s->log - s->len, "%s %s %s %s %s\n", what, a.ptr,
                     b.ptr, c.ptr, d.ptr);
    s->len += (size_t)n < sizeof s->log - s->len ? (size_t)n : 0;
}

static void browse_ask(void *arg, micro_str name)
{
    browse *s = arg;
    s->asks++;
    if (s->len + 300 > sizeof s->log)
        return;
    s->len += (size_t)snprintf(s->log + s->len, 300, "ask %s\n", name.ptr);
}

static bool browse_wanted(void *arg, micro_str name)
{
    const char *wanted = ((browse *)arg)->wanted;
    return wanted && (!strcmp(wanted, "*") || (name.len && micro__str_is(name, wanted)));
}

static bool browse_tell(void *arg, enum micro_change what, const micro_entry *e)
{
    static const char *const words[] = { "create", "update", "delete" };
    browse *s = arg;
    if (s->deaf)
        return false;
    s->events++;
    if (e->nodes.len != 1)
        browse_line("broken", e->name, e->version, e->name, e->name);
    else
        browse_line(words[what], e->name, e->version, e->nodes.ptr[0].id, e->nodes.ptr[0].address);
    return true;
}

static const micro__mdns_browser_ops browse_ops = { browse_ask, browse_wanted, browse_tell };

static micro__mdns_browser *browse_start(const char *wanted)
{
    memset(&browse_seen, 0, sizeof browse_seen);
    browse_seen.wanted = wanted;
    CHECK(micro__mdns_browser_init(&browse_it, &browse_ops, &browse_seen));
    return &browse_it;
}

/* The log since it was last taken. */
static const char *browse_log(void)
{
    static char taken[sizeof browse_seen.log];
    memcpy(taken, browse_seen.log, browse_seen.len);
    taken[browse_seen.len] = '\0';
    browse_seen.len = 0;
    return taken;
}

/* One node in a packet; what is NULL or 0 is left out. */
typedef struct browse_node {
    const char *name, *version, *id, *address, *domain, *meta;
    uint32_t ttl;
    const char *as;    /* the service that the TXT names, if another */
    const char *parts; /* P, S, A, T in this order; default SAT */
} browse_node;

static void browse_part(micro__dns_writer *w, const browse_node *n, char part, micro_str owner,
                        micro_str txt)
{
    micro__ip ip = { { 0 }, false };
    micro_str host = { "", 0 };
    uint16_t srv[3] = { 10, 1, 0 };
    micro__dns_name service;
    micro__hostport_parse(micro_s(n->address), &host, &srv[2]);
    micro__ip_parse(&ip, host);
    micro__dns_join(&service, micro_s(n->name), micro_s(n->domain), micro_s(""));
    switch (part) {
    case 'P':
        micro__dns_ptr(w, micro__str(service.text, service.len), n->ttl, owner);
        break;
    case 'S':
        micro__dns_srv(w, MICRO__DNS_ANSWER, owner, n->ttl, srv, micro_s("vm"));
        break;
    case 'A':
        micro__dns_ip(w, micro_s("vm"), n->ttl, &ip);
        break;
    case '6': /* besides */
        micro__ip_parse(&ip, micro_s("fd00::6"));
        micro__dns_ip(w, micro_s("vm"), n->ttl, &ip);
        break;
    default:
        micro__dns_txt(w, MICRO__DNS_ANSWER, owner, n->ttl, txt);
        break;
    }
}

static void browse_write(micro__dns_writer *w, const browse_node *from)
{
    browse_node n = *from;
    n.domain = n.domain ? n.domain : "local";
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_pair pair = { micro_s("k"), micro_s(n.meta) };
    micro_node node = { .id = micro_s(n.id) };
    micro_entry e = { .name = micro_s(n.as ? n.as : n.name), .version = micro_s(n.version) };
    micro_buf txt = { 0 };
    micro__dns_name owner;
    node.metadata.ptr = &pair;
    node.metadata.len = 1;
    CHECK_EQ_INT(micro__mdns_txt_write(ctx, &e, &node, MICRO__MDNS_FULL, &txt), MICRO_OK);
    CHECK(micro__dns_join(&owner, micro_s(n.id), micro_s(n.name), micro_s(n.domain)));
    for (const char *p = n.parts ? n.parts : "SAT"; *p; p++)
        browse_part(w, &n, *p, micro__str(owner.text, owner.len), micro__str(txt.ptr, txt.len));
    micro__buf_free(&txt);
    micro_ctx_free(ctx);
}

static void browse_hear(micro__mdns_browser *b, const browse_node *n, uint64_t now)
{
    uint8_t packet[MICRO__DNS_PACKET_MAX];
    micro__dns_writer w;
    micro__dns_begin(&w, packet, sizeof packet, 0, 0x8000);
    browse_write(&w, n);
    micro__mdns_browser_hear(b, packet, micro__dns_end(&w), now);
}

static const browse_node browse_one = { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, 0, 0 };

/* ---- captured ---------------------------------------------------------------------------------*/

static void browse_packet(void *arg, const mdns_golden_packet *p)
{
    micro__mdns_browser_tick(arg, 1000 + p->ms);
    micro__mdns_browser_hear(arg, p->data, p->len, 1000 + p->ms);
}

/* How many lines of the log start so. */
static int browse_count(const char *log, const char *with)
{
    int n = 0;
    for (const char *at = log; (at = strstr(at, with)); at++)
        n += at == log || at[-1] == '\n';
    return n;
}

TEST(mdns_browser_captured_lifecycles)
{
    static const char *const files[] = {
        "mdns-greeter-lifecycle.txt",
        "later-v2.9-mdns-lifecycle.txt",
        "later-v6.10-mdns-lifecycle.txt",
        "later-v4.11-mdns-ipv6.txt",
    };
    for (size_t i = 0; i < MICRO_COUNTOF(files); i++) {
        micro__mdns_browser *b = browse_start("*");
        NOTE("%s", files[i]);
        CHECK(mdns_golden_each(files[i], browse_packet, b) >= 10);
        const char *log = browse_log();
        CHECK_EQ_INT(browse_count(log, "create go.micro.srv.greeter "), 1);
        CHECK_EQ_INT(browse_count(log, "delete go.micro.srv.greeter "), 1);
        CHECK_EQ_INT(browse_seen.events, 2);
        CHECK_EQ_UINT(b->nodes, 0);
        micro__mdns_browser_free(b);
    }
}

TEST(mdns_browser_captured_ipv6)
{
    micro__mdns_browser *b = browse_start("*");
    mdns_golden_each("later-v4.11-mdns-ipv6.txt", browse_packet, b);
    CHECK(strstr(browse_log(),
                 "create go.micro.srv.greeter latest go.micro.srv.greeter-l1 [::1]:9751\n") !=
          NULL);
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_captured_crowds)
{
    micro__mdns_browser *b = browse_start("*");
    CHECK_EQ_INT(mdns_golden_each("later-mdns-five-generations.txt", browse_packet, b), 30);
    const char *log = browse_log();
    CHECK_EQ_INT(browse_count(log, "create go.micro.srv.greeter latest go.micro.srv.greeter-g"), 5);
    CHECK_EQ_INT(browse_count(log, "update"), 0);
    micro__mdns_browser_free(b);

    b = browse_start("*");
    mdns_golden_each("mdns-multi-version-and-topics.txt", browse_packet, b);
    log = browse_log();
    CHECK_EQ_INT(browse_count(log, "create go.micro.srv.greeter 1.0.0 "), 2);
    CHECK_EQ_INT(browse_count(log, "create go.micro.srv.greeter 2.0.0 "), 1);
    CHECK_EQ_INT(browse_count(log, "create go.micro.srv.pubsub 1.0.0 "), 1);
    CHECK_EQ_INT(browse_count(log, "create topic:example.topic.pubsub."), 2);
    CHECK_EQ_INT(browse_count(log, "create"), browse_count(log, "delete"));
    CHECK_EQ_UINT(b->nodes, 0);
    micro__mdns_browser_free(b);

    b = browse_start(NULL); /* nobody watches: it is known all the same */
    mdns_golden_each("later-mdns-list-and-get.txt", browse_packet, b);
    CHECK_EQ_INT(browse_seen.events, 0);
    CHECK(micro__mdns_browser_service(b, micro_s("go.micro.srv.greeter"), false) != NULL);
    micro__mdns_browser_free(b);
}

/* ---- changes ----------------------------------------------------------------------------------*/

TEST(mdns_browser_changes)
{
    micro__mdns_browser *b = browse_start("svc");
    browse_node n = browse_one;
    browse_hear(b, &n, 1000);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
    browse_hear(b, &n, 2000);
    n.domain = "micro";
    browse_hear(b, &n, 2000);
    CHECK_EQ_TEXT(browse_log(), ""); /* the same, told again, also in the other domain */
    n.address = "10.0.0.1:81";
    browse_hear(b, &n, 3000);
    CHECK_EQ_TEXT(browse_log(), "update svc 1 a 10.0.0.1:81\n");
    n.meta = "y";
    browse_hear(b, &n, 4000);
    CHECK_EQ_TEXT(browse_log(), "update svc 1 a 10.0.0.1:81\n");
    n.version = "2";
    browse_hear(b, &n, 5000);
    CHECK_EQ_TEXT(browse_log(), "delete svc 1 a 10.0.0.1:81\ncreate svc 2 a 10.0.0.1:81\n");
    n.id = "b";
    browse_hear(b, &n, 6000);
    CHECK_EQ_TEXT(browse_log(), "create svc 2 b 10.0.0.1:81\n");
    CHECK_EQ_UINT(b->nodes, 2);
    n.ttl = 0;
    browse_hear(b, &n, 7000);
    CHECK_EQ_TEXT(browse_log(), "delete svc 2 b 10.0.0.1:81\n");
    browse_hear(b, &n, 7000);
    CHECK_EQ_TEXT(browse_log(), "");
    n.id = "a";
    n.parts = "P"; /* of others it is the PTR that goes */
    browse_hear(b, &n, 8000);
    CHECK_EQ_TEXT(browse_log(), "delete svc 2 a 10.0.0.1:81\n");
    n.name = "other";
    n.ttl = 120;
    n.parts = NULL;
    browse_hear(b, &n, 9000);
    CHECK_EQ_TEXT(browse_log(), ""); /* kept, but nobody watches it */
    CHECK_EQ_UINT(b->nodes, 1);
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_order_and_addresses)
{
    static const struct {
        const char *parts, *address, *log;
    } rows[] = {
        { "SAT", "10.0.0.1:80", "create svc 1 a 10.0.0.1:80\n" },
        { "PSAT", "10.0.0.1:80", "create svc 1 a 10.0.0.1:80\n" },
        { "TSA", "10.0.0.1:80", "create svc 1 a 10.0.0.1:80\n" },
        { "ST6A", "10.0.0.1:80", "create svc 1 a 10.0.0.1:80\n" },
        { "SA6T", "10.0.0.1:80", "create svc 1 a 10.0.0.1:80\n" },
        { "S6T", "10.0.0.1:80", "create svc 1 a [fd00::6]:80\n" },
        { "SAT", "[fe80::7]:80", "create svc 1 a [fe80::7]:80\n" },
        { "AST", "10.0.0.1:80", "" }, /* an address belongs to the SRV before it */
        { "SA", "10.0.0.1:80", "" },
        { "ST", "10.0.0.1:80", "" },
        { "AT", "10.0.0.1:80", "" },
        { "P", "10.0.0.1:80", "" },
        { "SAT", "0.0.0.0:80", "" },
        { "SAT", "[::]:80", "" },
        { "SAT", "10.0.0.1:0", "" },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__mdns_browser *b = browse_start("*");
        browse_node n = browse_one;
        n.parts = rows[i].parts;
        n.address = rows[i].address;
        NOTE("%s %s", rows[i].parts, rows[i].address);
        browse_hear(b, &n, 1000);
        CHECK_EQ_TEXT(browse_log(), rows[i].log);
        micro__mdns_browser_free(b);
    }
}

TEST(mdns_browser_two_nodes_in_a_message)
{
    micro__mdns_browser *b = browse_start("*");
    uint8_t packet[MICRO__DNS_PACKET_MAX];
    micro__dns_writer w;
    browse_node n = browse_one;
    micro__dns_begin(&w, packet, sizeof packet, 0, 0x8400);
    browse_write(&w, &n);
    n.id = "b";
    n.address = "10.0.0.2:81";
    browse_write(&w, &n); /* same host name, another address */
    micro__mdns_browser_hear(b, packet, micro__dns_end(&w), 1000);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\ncreate svc 1 b 10.0.0.2:81\n");
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_passes_over)
{
    static const browse_node rows[] = {
        { "svc", "", "a", "10.0.0.1:80", "local", "x", 120, NULL, NULL },
        { "svc", "1", "a", "10.0.0.1:80", "example", "x", 120, NULL, NULL },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "other", NULL },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "SVC", NULL },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "vc", NULL },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "a.svc", NULL },
        { "_services", "1", "a", "10.0.0.1:80", "local", "x", 120, NULL, NULL },
    };
    micro__mdns_browser *b = browse_start("*");
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("row %zu", i);
        browse_hear(b, &rows[i], 1000);
        CHECK_EQ_TEXT(browse_log(), "");
        CHECK_EQ_UINT(b->nodes, 0);
    }
    uint8_t packet[MICRO__DNS_PACKET_MAX];
    static const uint16_t flags[] = { 0x0000, 0x8200, 0x8800, 0x8003, 0xf800 };
    for (size_t i = 0; i < MICRO_COUNTOF(flags); i++) { /* questions, TC, opcodes, rcodes */
        micro__dns_writer w;
        micro__dns_begin(&w, packet, sizeof packet, 0, flags[i]);
        browse_write(&w, &browse_one);
        micro__mdns_browser_hear(b, packet, micro__dns_end(&w), 1000);
        CHECK_EQ_UINT(b->nodes, 0);
    }
    micro__dns_writer w; /* a TXT of somebody else */
    const uint16_t srv[3] = { 0, 0, 631 };
    micro__ip ip = { { 10, 0, 0, 1 }, false };
    micro__dns_begin(&w, packet, sizeof packet, 0, 0x8400);
    micro__dns_srv(&w, MICRO__DNS_ANSWER, micro_s("printer._ipp._tcp.local"), 120, srv,
                   micro_s("vm.local"));
    micro__dns_ip(&w, micro_s("vm.local"), 120, &ip);
    micro__dns_txt(&w, MICRO__DNS_ANSWER, micro_s("printer._ipp._tcp.local"), 120,
                   micro_s("txtvers=1"));
    micro__mdns_browser_hear(b, packet, micro__dns_end(&w), 1000);
    CHECK_EQ_UINT(b->nodes, 0);
    browse_hear(b, &browse_one, 1000);
    CHECK_EQ_UINT(b->nodes, 1);
    micro__mdns_browser_free(b);
}

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
    micro__mdns_browser_hear(b, data, len, 1010);
    CHECK_EQ_TEXT(browse_log(), "ask go.micro.srv.greeter\n");
    len = mdns_golden_hex("mdns-get-answer.hex", data);
    micro__mdns_browser_hear(b, data, len, 1020);
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
    micro__mdns_browser_hear(b, data, len, 1000);
    micro__mdns_service *s = micro__mdns_browser_service(b, micro_s("go.micro.srv.greeter"), false);
    REQUIRE(s != NULL);
    CHECK_EQ_UINT(s->listed, 1000);
    CHECK_EQ_UINT(list->listed, 1000);
    CHECK_EQ_UINT(b->nodes, 0);
    CHECK_EQ_UINT(b->services, 2);
    len = mdns_golden_hex("mdns-announce.hex", data); /* names no service of the list */
    micro__mdns_browser_hear(b, data, len, 1500);
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
    micro__mdns_browser_del(b, micro_s("svc"), micro_s("other"));
    CHECK_EQ_TEXT(browse_log(), "");
    micro__mdns_browser_del(b, micro_s("svc"), micro_s("a"));
    CHECK_EQ_TEXT(browse_log(), "delete svc own a 10.0.0.9:90\n");
    browse_hear(b, &browse_one, 3000);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
    micro__mdns_browser_del(b, micro_s("svc"), micro_s("a")); /* not ours to delete */
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
    uint64_t times[1]; /* all is gone in a day */
    browse_seen.wanted = NULL;
    browse_run(b, 1000, 86401 * UINT64_C(1000), times, 1);
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
        micro__mdns_browser_hear(b, packet, micro__dns_end(&w), 1000);
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
                micro__mdns_browser_hear(&browse_it, packets[i], lens[i], 1000);
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

/* A watcher that cannot be told of a node: it is not known either, and comes with the next packet. */
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
