/* SPDX-License-Identifier: MIT */
/* What the browser makes of packets, captured and made up. */
#include "mdns_browse.h"

/* ---- captured ---------------------------------------------------------------------------------*/

static void browse_packet(void *arg, const mdns_golden_packet *p)
{
    micro__mdns_browser_tick(arg, 1000 + p->ms);
    micro__mdns_hear(arg, p->data, p->len, 1000 + p->ms);
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

/* What was sent before a goodbye and is read behind it, from another socket, is no news; what says
 * something else is. */
TEST(mdns_browser_goodbye_and_stragglers)
{
    micro__mdns_browser *b = browse_start("svc");
    browse_node n = browse_one, bye = browse_one, moved = browse_one;
    bye.ttl = 0;
    moved.address = "10.0.0.1:81";
    browse_hear(b, &n, 1000);
    browse_hear(b, &bye, 2000);
    browse_log();
    browse_hear(b, &n, 2099);
    CHECK_EQ_TEXT(browse_log(), "");
    browse_hear(b, &moved, 2099);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:81\n");
    moved.ttl = 0;
    browse_hear(b, &moved, 2100);
    browse_log();
    browse_hear(b, &n, 2100);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\n");
    for (int i = 0; i < 1000; i++) { /* a crowd that comes and goes */
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        n.id = bye.id = id;
        browse_hear(b, &n, 3000);
        browse_hear(b, &bye, 3000);
    }
    CHECK_EQ_UINT(b->nodes, 1);
    CHECK_EQ_UINT(b->nburied, 256);
    micro__mdns_browser_tick(b, 3100);
    CHECK_EQ_UINT(b->nburied, 0);
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
    micro__mdns_hear(b, packet, micro__dns_end(&w), 1000);
    CHECK_EQ_TEXT(browse_log(), "create svc 1 a 10.0.0.1:80\ncreate svc 1 b 10.0.0.2:81\n");
    micro__mdns_browser_free(b);
}

TEST(mdns_browser_passes_over)
{
    static const browse_node rows[] = {
        { "svc", "", "a", "10.0.0.1:80", "local", "x", 120, NULL, NULL, false },
        { "svc", "1", "a", "10.0.0.1:80", "example", "x", 120, NULL, NULL, false },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "other", NULL, false },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "SVC", NULL, false },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "vc", NULL, false },
        { "svc", "1", "a", "10.0.0.1:80", "local", "x", 120, "a.svc", NULL, false },
        { "_services", "1", "a", "10.0.0.1:80", "local", "x", 120, NULL, NULL, false },
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
        micro__mdns_hear(b, packet, micro__dns_end(&w), 1000);
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
    micro__mdns_hear(b, packet, micro__dns_end(&w), 1000);
    CHECK_EQ_UINT(b->nodes, 0);
    browse_hear(b, &browse_one, 1000);
    CHECK_EQ_UINT(b->nodes, 1);
    micro__mdns_browser_free(b);
}
