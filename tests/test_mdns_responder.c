/* SPDX-License-Identifier: MIT */
/* What we say, compared with what peers were captured saying, and when. */
#include "registry/mdns.h"

#include "mdns_golden.h"

enum { ANSWERS_MAX = 64 };

typedef struct answers { /* what a responder has sent */
    size_t n;
    struct {
        bool to_all;
        size_t len;
        uint8_t data[MDNS_GOLDEN_PACKET];
    } packet[ANSWERS_MAX];
} answers;

static answers answers_sent;
static micro__mdns_responder answers_responder;

static void answers_send(void *arg, bool to_all, const void *data, size_t len)
{
    answers *s = arg;
    if (!CHECK(s->n < ANSWERS_MAX && len <= MDNS_GOLDEN_PACKET))
        return;
    s->packet[s->n].to_all = to_all;
    s->packet[s->n].len = len;
    memcpy(s->packet[s->n++].data, data, len);
}

static micro__mdns_responder *answers_start(void)
{
    answers_sent.n = 0;
    micro__mdns_responder_init(&answers_responder, "vm", answers_send, &answers_sent);
    return &answers_responder;
}

/* The node that a packet is about; its strings live in ctx. */
static bool answers_node(micro_ctx *ctx, const uint8_t *data, size_t len, micro_entry *e)
{
    static uint8_t zlib[MDNS_GOLDEN_PACKET];
    micro__dns_reader r;
    micro__dns_record rec;
    micro__ip ip = { { 0 }, false };
    unsigned port = 0;
    micro_str owner = { "", 0 };
    bool found = false;
    if (!micro__dns_open(&r, data, len))
        return false;
    while (micro__dns_next(&r, &rec)) {
        if (rec.type == MICRO__DNS_SRV) {
            port = rec.port;
            owner = micro_copy(ctx, micro__str(rec.name.text, rec.name.len - 6)); /* .local */
        } else if (rec.type == MICRO__DNS_A || rec.type == MICRO__DNS_AAAA) {
            ip = rec.ip;
        } else if (rec.type == MICRO__DNS_TXT) {
            size_t n = micro__mdns_txt_unhex(rec.data, rec.len, zlib);
            found = micro__mdns_txt_read(ctx, zlib, n, e, NULL) == MICRO_OK;
        }
    }
    char text[48];
    micro__ip_format(&ip, text);
    if (!found || !micro__dns_cut(&owner, e->name))
        return false;
    e->nodes.ptr[0].id = micro_copy(ctx, owner);
    e->nodes.ptr[0].address = micro_format(ctx, ip.v6 ? "[%s]:%u" : "%s:%u", text, port);
    return true;
}

/* Without reducing: our packets are some larger than those of peers, who deflate better. */
static micro__mdns_local *answers_put(micro__mdns_responder *r, const micro_entry *e, int ttl_ms,
                                      uint64_t now)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro__mdns_local *n = NULL;
    micro_err err = micro__mdns_local_new(ctx, r, MICRO__MDNS_FIT_MAX, e, e->nodes.ptr, ttl_ms, &n);
    if (!CHECK_EQ_INT(err, MICRO_OK))
        printf("%s\n", micro_ctx_strerror(ctx));
    else
        micro__mdns_local_put(r, n, now);
    micro_ctx_free(ctx);
    return micro__mdns_local_find(r, e->name, e->nodes.ptr[0].id);
}

/* Puts the node of a captured packet. */
static micro__mdns_local *answers_put_golden(micro__mdns_responder *r, const char *file)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entry e;
    size_t len = mdns_golden_hex(file, data);
    micro__mdns_local *n = NULL;
    if (CHECK(answers_node(ctx, data, len, &e)))
        n = answers_put(r, &e, 0, 1000);
    micro_ctx_free(ctx);
    return n;
}

/* Same flags, same questions, same records in the same order; a TXT is compared by what it says,
 * since theirs is deflated by another program. OTHER_ID: the id may differ; ECHO: and ours has the
 * question in front. */
enum { ANSWERS_EXACT, ANSWERS_OTHER_ID, ANSWERS_ECHO };

static void answers_same(const uint8_t *want, size_t want_len, size_t at, int how)
{
    micro__dns_reader a, b;
    micro__dns_record x, y;
    micro_ctx *ctx = micro_ctx_new(NULL);
    if (!CHECK(at < answers_sent.n))
        goto end;
    const uint8_t *got = answers_sent.packet[at].data;
    size_t len = answers_sent.packet[at].len;
    if (!CHECK(micro__dns_open(&a, want, want_len)) || !CHECK(micro__dns_open(&b, got, len)))
        goto end;
    CHECK_EQ_UINT(b.flags, a.flags);
    CHECK_EQ_MEM(b.left + 1, 6, a.left + 1, 6);
    CHECK_EQ_UINT(b.left[0], how == ANSWERS_ECHO ? 1 : a.left[0]);
    if (how == ANSWERS_EXACT)
        CHECK_EQ_UINT(b.id, a.id);
    while (micro__dns_question(&a, &x)) {
        CHECK(micro__dns_question(&b, &y));
        CHECK_EQ_TEXT(y.name.text, x.name.text);
        CHECK_EQ_UINT(y.type, x.type);
        CHECK_EQ_UINT(y.klass, x.klass);
    }
    while (micro__dns_next(&a, &x)) {
        if (!CHECK(micro__dns_next(&b, &y)))
            break;
        CHECK_EQ_TEXT(y.name.text, x.name.text);
        CHECK_EQ_UINT(y.type, x.type);
        CHECK_EQ_UINT(y.klass, x.klass);
        CHECK_EQ_UINT(y.ttl, x.ttl);
        CHECK_EQ_INT(y.section, x.section);
        if (x.type == MICRO__DNS_PTR || x.type == MICRO__DNS_SRV)
            CHECK_EQ_TEXT(y.target.text, x.target.text);
        if (x.type == MICRO__DNS_SRV)
            CHECK_EQ_MEM(y.data, 6, x.data, 6);
        else if (x.type == MICRO__DNS_A || x.type == MICRO__DNS_AAAA)
            CHECK_EQ_MEM(y.data, y.len, x.data, x.len);
    }
    micro_entry e, f;
    if (answers_node(ctx, want, want_len, &e) && CHECK(answers_node(ctx, got, len, &f))) {
        CHECK_EQ_UINT(micro__facts_hash(&f), micro__facts_hash(&e));
        CHECK_EQ_UINT(micro__node_hash(f.nodes.ptr), micro__node_hash(e.nodes.ptr));
    }
end:
    micro_ctx_free(ctx);
}

static void answers_same_golden(const char *file, size_t at, int how)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    size_t len = mdns_golden_hex(file, data);
    NOTE("%s", file);
    answers_same(data, len, at, how);
}

/* Hears a question; returns the number of answers. */
static size_t answers_ask(micro__mdns_responder *r, const char *name, uint16_t type, uint16_t klass,
                          bool plain, uint64_t now)
{
    uint8_t data[512];
    micro__dns_writer w;
    answers_sent.n = 0;
    micro__dns_begin(&w, data, sizeof data, 0x1234, 0);
    micro__dns_ask(&w, micro_s(name), type, klass);
    micro__mdns_responder_hear(r, data, micro__dns_end(&w), plain, now);
    return answers_sent.n;
}

/* "PTR SRV A TXT" of a packet, a question as "?" in front. */
static const char *answers_types(size_t at)
{
    static char text[400];
    micro__dns_reader r;
    micro__dns_record rec;
    size_t n = 0;
    text[0] = '\0';
    if (at >= answers_sent.n ||
        !micro__dns_open(&r, answers_sent.packet[at].data, answers_sent.packet[at].len))
        return "nothing";
    while (micro__dns_question(&r, &rec))
        n += (size_t)snprintf(text + n, sizeof text - n, "? ");
    while (micro__dns_next(&r, &rec) && n + 8 < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ",
                              rec.type == MICRO__DNS_PTR    ? "PTR"
                              : rec.type == MICRO__DNS_SRV  ? "SRV"
                              : rec.type == MICRO__DNS_A    ? "A"
                              : rec.type == MICRO__DNS_AAAA ? "AAAA"
                                                            : "TXT");
    if (n)
        text[n - 1] = '\0';
    return text;
}

/* ---- as peers ---------------------------------------------------------------------------------*/

TEST(mdns_responder_lifecycle_as_captured)
{
    micro__mdns_responder *r = answers_start();
    micro__mdns_local *n = answers_put_golden(r, "mdns-announce.hex");
    REQUIRE(n != NULL);
    uint64_t now = 1000;
    for (int i = 0; i < 3; i++) { /* probes, one a domain, with a pause below 250 ms */
        answers_sent.n = 0;
        uint64_t due = micro__mdns_responder_tick(r, now);
        CHECK_EQ_UINT(answers_sent.n, 2);
        answers_same_golden("mdns-probe.hex", 0, ANSWERS_OTHER_ID);
        CHECK(answers_sent.packet[0].to_all && answers_sent.packet[1].to_all);
        CHECK(due >= now && due < now + 250);
        now = due;
    }
    static const uint64_t pauses[] = { 1000, 2000, 0 };
    for (int i = 0; i < 3; i++) { /* announcements at 0, 1 and 3 s */
        answers_sent.n = 0;
        uint64_t due = micro__mdns_responder_tick(r, now);
        CHECK_EQ_UINT(answers_sent.n, 2);
        answers_same_golden("mdns-announce.hex", 0, ANSWERS_EXACT);
        CHECK_EQ_UINT(due, pauses[i] ? now + pauses[i] : 0);
        now = due;
    }
    answers_sent.n = 0;
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, 100000), 0);
    CHECK_EQ_UINT(answers_sent.n, 0);
    micro__mdns_local_del(r, n);
    CHECK_EQ_UINT(answers_sent.n, 2);
    answers_same_golden("mdns-goodbye.hex", 0, ANSWERS_EXACT);
    CHECK(r->nodes == NULL);
    micro__mdns_responder_free(r);
}

TEST(mdns_responder_lifecycle_as_later)
{
    micro__mdns_responder *r = answers_start();
    micro__mdns_local *n = answers_put_golden(r, "later-v6.10-mdns-announce.hex");
    REQUIRE(n != NULL);
    n->probes = 1;
    micro__mdns_responder_tick(r, 1000);
    answers_same_golden("later-v6.10-mdns-probe.hex", 1, ANSWERS_OTHER_ID);
    answers_sent.n = 0;
    micro__mdns_responder_tick(r, 2000);
    answers_same_golden("later-v6.10-mdns-announce.hex", 1, ANSWERS_EXACT);
    answers_sent.n = 0;
    micro__mdns_local_del(r, n);
    answers_same_golden("later-v6.10-mdns-goodbye.hex", 1, ANSWERS_EXACT);
    micro__mdns_responder_free(r);
}

TEST(mdns_responder_answers_as_captured)
{
    static const struct {
        const char *node, *answer;
        bool echoes; /* the peer that was captured does, as we always do */
    } rows[] = {
        { "mdns-get-answer.hex", "mdns-get-answer.hex", false },
        { "mdns-get-answer-large.hex", "mdns-get-answer-large.hex", false },
        { "mdns-topic-get-answer.hex", "mdns-topic-get-answer.hex", false },
        { "later-v1.18-mdns-get-answer.hex", "later-v1.18-mdns-get-answer.hex", false },
        { "later-v4.11-mdns-get-answer.hex", "later-v4.11-mdns-get-answer.hex", true },
        { "later-v6.10-mdns-get-answer.hex", "later-v6.10-mdns-get-answer.hex", true },
        { "mdns-get-answer.hex", "mdns-list-answer.hex", false },
        { "later-v6.10-mdns-get-answer.hex", "later-v6.10-mdns-list-answer.hex", true },
    };
    static uint8_t want[MDNS_GOLDEN_PACKET];
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__mdns_responder *r = answers_start();
        REQUIRE(answers_put_golden(r, rows[i].node) != NULL);
        size_t len = mdns_golden_hex(rows[i].answer, want);
        micro__dns_reader reader;
        micro__dns_record rec;
        REQUIRE(micro__dns_open(&reader, want, len));
        REQUIRE(micro__dns_next(&reader, &rec));
        NOTE("%s, node of %s", rows[i].answer, rows[i].node);
        CHECK_EQ_UINT(answers_ask(r, rec.name.text, MICRO__DNS_PTR, 1, true, 2000), 1);
        CHECK(!answers_sent.packet[0].to_all);
        answers_same(want, len, 0, rows[i].echoes ? ANSWERS_OTHER_ID : ANSWERS_ECHO);
        CHECK_EQ_TEXT(answers_types(0), "? PTR SRV A TXT");
        micro__mdns_responder_free(r);
    }
}

/* No packet with the response bit is ever answered, whatever questions it has. */
TEST(mdns_responder_leaves_responses_alone)
{
    static const char *const files[] = {
        "mdns-get-answer.hex",
        "mdns-list-answer.hex",
        "mdns-announce.hex",
        "later-v4.11-mdns-get-answer.hex",
        "later-v4.11-mdns-list-answer.hex",
        "later-v6.10-mdns-get-answer.hex",
        "later-v6.10-mdns-list-answer.hex",
    };
    static uint8_t data[MDNS_GOLDEN_PACKET];
    micro__mdns_responder *r = answers_start();
    REQUIRE(answers_put_golden(r, "later-v4.11-mdns-get-answer.hex") != NULL);
    for (size_t i = 0; i < MICRO_COUNTOF(files); i++) {
        size_t len = mdns_golden_hex(files[i], data);
        NOTE("%s", files[i]);
        micro__mdns_responder_hear(r, data, len, true, 2000);
        micro__mdns_responder_hear(r, data, len, false, 3000);
        CHECK_EQ_UINT(answers_sent.n, 0);
    }
    size_t len = mdns_golden_hex("mdns-get-query.hex", data);
    micro__mdns_responder_hear(r, data, len, true, 2000);
    CHECK_EQ_UINT(answers_sent.n, 1); /* it does answer */
    static const uint8_t flags[][2] = { { 0x80, 0 }, { 0x08, 0 }, { 0x78, 0 }, { 2, 0 }, { 0, 3 } };
    for (size_t i = 0; i < MICRO_COUNTOF(flags); i++) { /* QR, opcodes, TC, rcode */
        answers_sent.n = 0;
        data[2] = flags[i][0];
        data[3] = flags[i][1];
        micro__mdns_responder_hear(r, data, len, true, 2000);
        CHECK_EQ_UINT(answers_sent.n, 0);
    }
    micro__mdns_responder_free(r);
}

/* ---- questions --------------------------------------------------------------------------------*/

static micro_entry answers_entry(micro_node *node, const char *name, const char *id,
                                 const char *address)
{
    micro_entry e = { .name = micro_s(name), .version = micro_s("1.0.0") };
    memset(node, 0, sizeof *node);
    node->id = micro_s(id);
    node->address = micro_s(address);
    e.nodes.ptr = node;
    e.nodes.len = 1;
    return e;
}

TEST(mdns_responder_questions)
{
    static const struct {
        const char *name;
        uint16_t type;
        const char *types; /* NULL: no answer */
    } rows[] = {
        { "my.svc.local", MICRO__DNS_PTR, "? PTR SRV A TXT" },
        { "my.svc.micro", MICRO__DNS_ANY, "? PTR SRV A TXT" },
        { "My.SVC.Local", MICRO__DNS_PTR, "? PTR SRV A TXT" },
        { "my.svc.local", MICRO__DNS_SRV, NULL },
        { "my.svc.example", MICRO__DNS_PTR, NULL },
        { "my.svc", MICRO__DNS_PTR, NULL },
        { "svc.local", MICRO__DNS_PTR, NULL },
        { "x.my.svc.local", MICRO__DNS_ANY, NULL },
        { "a.1.my.svc.local", MICRO__DNS_ANY, "? SRV A TXT" },
        { "a.1.my.svc.micro", MICRO__DNS_SRV, "? SRV A" },
        { "a.1.my.svc.local", MICRO__DNS_TXT, "? TXT" },
        { "a.1.my.svc.local", MICRO__DNS_A, "? A" },
        { "a.1.my.svc.local", MICRO__DNS_AAAA, NULL },
        { "a.1.my.svc.local", MICRO__DNS_PTR, NULL }, /* what a probe asks */
        { "_services.local", MICRO__DNS_PTR, "? PTR SRV A TXT" },
        { "_services.micro", MICRO__DNS_ANY, "? PTR SRV A TXT" },
        { "my.svc._services.local", MICRO__DNS_ANY, "? SRV A TXT" },
        { "_services._dns-sd._udp.local", MICRO__DNS_PTR, "? PTR PTR PTR" },
        { "_services._dns-sd._udp.micro", MICRO__DNS_ANY, "? PTR PTR PTR" },
        { "_services._dns-sd._udp.local", MICRO__DNS_TXT, NULL },
        { "vm", MICRO__DNS_A, "? A" },
        { "VM", MICRO__DNS_AAAA, "? AAAA" },
        { "vm", MICRO__DNS_ANY, NULL },
        { "vm.local", MICRO__DNS_A, NULL }, /* somebody else's */
        { "b.other.local", MICRO__DNS_AAAA, "? AAAA" },
        { "b.other.local", MICRO__DNS_A, NULL },
        { "other.micro", MICRO__DNS_PTR, "? PTR SRV AAAA TXT" },
    };
    micro__mdns_responder *r = answers_start();
    micro_node node;
    micro_entry e = answers_entry(&node, "my.svc", "a.1", "10.1.2.3:80");
    REQUIRE(answers_put(r, &e, 0, 1000));
    e = answers_entry(&node, "other", "b", "[fe80::1]:81");
    REQUIRE(answers_put(r, &e, 0, 1000));
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%s %u", rows[i].name, rows[i].type);
        size_t n = answers_ask(r, rows[i].name, rows[i].type, 1, true, 2000);
        size_t want = rows[i].types != NULL;
        if (rows[i].types && !strncmp(rows[i].name, "_services.", 10) &&
            rows[i].name[10] != '_') /* an entry a packet */
            want = 2;
        CHECK_EQ_UINT(n, want);
        if (!n)
            continue;
        CHECK_EQ_TEXT(answers_types(0), rows[i].types);
        micro__dns_reader reader;
        micro__dns_record q;
        REQUIRE(micro__dns_open(&reader, answers_sent.packet[0].data, answers_sent.packet[0].len));
        CHECK_EQ_UINT(reader.id, 0x1234);
        CHECK_EQ_UINT(reader.flags, 0x8400);
        CHECK(micro__dns_question(&reader, &q));
        CHECK_EQ_TEXT(q.name.text, rows[i].name); /* as it was asked */
    }
    CHECK_EQ_UINT(answers_ask(r, "my.svc.local", MICRO__DNS_PTR, 255, true, 2000), 1);
    CHECK_EQ_UINT(answers_ask(r, "my.svc.local", MICRO__DNS_PTR, 3, true, 2000), 0);
    micro__mdns_responder_free(r);
    answers_start();
    CHECK_EQ_UINT(answers_ask(r, "_services._dns-sd._udp.local", MICRO__DNS_PTR, 1, true, 2000), 0);
}

/* A question from port 5353 is answered to all, without the question (a peer of 2018 would answer
 * that), not more than once a second; with the top bit of the class to the asker alone. */
TEST(mdns_responder_multicast_answers)
{
    micro__mdns_responder *r = answers_start();
    micro_node node;
    micro_entry e = answers_entry(&node, "svc", "a", "10.1.2.3:80");
    REQUIRE(answers_put(r, &e, 0, 1000));
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, false, 2000), 1);
    CHECK(answers_sent.packet[0].to_all);
    CHECK_EQ_TEXT(answers_types(0), "PTR SRV A TXT");
    CHECK_EQ_MEM(answers_sent.packet[0].data, 4, "\0\0\x84\0", 4);
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, false, 2999), 0);
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, true, 2999), 1);
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, false, 3000), 1);
    CHECK_EQ_UINT(answers_ask(r, "_services.local", MICRO__DNS_PTR, 1, false, 3000), 1);
    CHECK_EQ_UINT(answers_ask(r, "_services.local", MICRO__DNS_PTR, 1, false, 3001), 0);
    CHECK_EQ_UINT(answers_ask(r, "_services._dns-sd._udp.local", MICRO__DNS_PTR, 1, false, 3000),
                  1);
    CHECK(answers_sent.packet[0].to_all);
    CHECK_EQ_UINT(answers_ask(r, "_services._dns-sd._udp.local", MICRO__DNS_PTR, 1, false, 3001),
                  0);
    CHECK_EQ_UINT(answers_ask(r, "a.svc.local", MICRO__DNS_TXT, 1, false, 5000), 1);
    CHECK_EQ_UINT(answers_ask(r, "a.svc.local", MICRO__DNS_SRV, 1, false, 5001), 1);
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 0x8001, false, 5002), 1);
    CHECK(!answers_sent.packet[0].to_all);
    CHECK_EQ_TEXT(answers_types(0), "PTR SRV A TXT");
    CHECK_EQ_UINT(answers_ask(r, "vm", MICRO__DNS_A, 1, false, 9000), 0);
    micro__mdns_responder_free(r);
}

TEST(mdns_responder_nodes_are_not_joined)
{
    micro__mdns_responder *r = answers_start();
    micro_node node;
    for (int i = 0; i < 5; i++) {
        char id[16], address[24];
        snprintf(id, sizeof id, "n%d", i);
        snprintf(address, sizeof address, "10.0.0.%d:80", i + 1);
        micro_entry e = answers_entry(&node, i < 3 ? "svc" : "other", id, address);
        REQUIRE(answers_put(r, &e, 0, 1000));
    }
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, true, 2000), 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ_TEXT(answers_types(i), "? PTR SRV A TXT");
    CHECK_EQ_UINT(answers_ask(r, "_services.micro", MICRO__DNS_PTR, 1, true, 2000), 2);
    CHECK_EQ_UINT(answers_ask(r, "vm", MICRO__DNS_A, 1, true, 2000), 1);
    CHECK_EQ_TEXT(answers_types(0), "? A A A A A");
    micro__mdns_local_del(r, micro__mdns_local_find(r, micro_s("other"), micro_s("n3")));
    CHECK_EQ_UINT(answers_ask(r, "_services.micro", MICRO__DNS_PTR, 1, true, 2000), 2);
    micro__mdns_local_del(r, micro__mdns_local_find(r, micro_s("other"), micro_s("n4")));
    CHECK_EQ_UINT(answers_ask(r, "_services.micro", MICRO__DNS_PTR, 1, true, 2000), 1);
    micro__mdns_responder_free(r);
}

/* 100 services of long names: the enumeration goes on in further packets. */
TEST(mdns_responder_enumeration_is_split)
{
    micro__mdns_responder *r = answers_start();
    micro_node node;
    size_t services = 0;
    for (int i = 0; i < 100; i++) {
        char name[80];
        snprintf(name, sizeof name, "a.service.of.a.rather.long.name.number.%d", i);
        micro_entry e = answers_entry(&node, name, "n", "10.0.0.1:80");
        REQUIRE(answers_put(r, &e, 0, 1000));
    }
    size_t n = answers_ask(r, "_services._dns-sd._udp.local", MICRO__DNS_PTR, 1, true, 2000);
    CHECK(n > 1);
    for (size_t i = 0; i < n; i++) {
        micro__dns_reader reader;
        CHECK(answers_sent.packet[i].len <= MICRO__MDNS_FIT6);
        REQUIRE(micro__dns_open(&reader, answers_sent.packet[i].data, answers_sent.packet[i].len));
        services += reader.left[MICRO__DNS_ANSWER];
    }
    CHECK_EQ_UINT(services, 101);
    micro__mdns_responder_free(r);
}

TEST(mdns_responder_is_no_amplifier)
{
    micro__mdns_responder *r = answers_start();
    micro_node node;
    micro_entry e = answers_entry(&node, "svc", "a", "10.1.2.3:80");
    REQUIRE(answers_put(r, &e, 0, 1000));
    size_t bytes = 0;
    for (int i = 0; i < 20000; i++) {
        if (answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, true, 2000))
            bytes += answers_sent.packet[0].len;
    }
    CHECK(bytes <= 1 << 20);
    CHECK(bytes > 1000000);
    CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, true, 2100), 1);
    micro__mdns_responder_free(r);
}

/* ---- put --------------------------------------------------------------------------------------*/

TEST(mdns_responder_put_again)
{
    micro__mdns_responder *r = answers_start();
    micro_pair pair = { micro_s("k"), micro_s("1") };
    micro_node node;
    micro_entry e = answers_entry(&node, "svc", "a", "10.1.2.3:80");
    node.metadata.ptr = &pair;
    node.metadata.len = 1;
    micro__mdns_local *n = answers_put(r, &e, 0, 1000);
    REQUIRE(n != NULL);
    CHECK_EQ_UINT(n->ttl, 120);
    uint64_t now = 1000;
    while (now) { /* probes and announcements */
        uint64_t due = micro__mdns_responder_tick(r, now);
        answers_sent.n = 0;
        if (!due)
            break;
        now = due;
    }
    answers_put(r, &e, 0, now + 999);
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, now + 999), 0);
    CHECK_EQ_UINT(answers_sent.n, 0); /* unchanged, and shown just now */
    now += 1000;
    answers_put(r, &e, 2500, now); /* one announcement, with the new TTL */
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, now), 0);
    CHECK_EQ_UINT(answers_sent.n, 2);
    CHECK_EQ_UINT(n->ttl, 3);
    CHECK(n == r->nodes && !n->next);

    now += 5000;
    answers_sent.n = 0;
    pair.value = micro_s("2"); /* changed: a goodbye to what was, then announcements, no probes */
    answers_put(r, &e, 0, now);
    CHECK_EQ_UINT(answers_sent.n, 2);
    CHECK_EQ_TEXT(answers_types(0), "SRV A TXT");
    micro__dns_reader reader;
    micro__dns_record rec;
    REQUIRE(micro__dns_open(&reader, answers_sent.packet[1].data, answers_sent.packet[1].len));
    REQUIRE(micro__dns_next(&reader, &rec));
    CHECK_EQ_UINT(rec.ttl, 0);
    answers_sent.n = 0;
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, now), now + 1000);
    CHECK_EQ_UINT(answers_sent.n, 2);
    CHECK_EQ_MEM(answers_sent.packet[0].data, 4, "\0\0\x80\0", 4);
    CHECK(r->nodes && !r->nodes->next);

    answers_sent.n = 0;
    micro__mdns_responder_again(r, now + 10); /* another network: announced three times again */
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, now + 10), now + 1010);
    CHECK_EQ_UINT(answers_sent.n, 2);
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, now + 1010), now + 3010);
    CHECK_EQ_UINT(micro__mdns_responder_tick(r, now + 3010), 0);
    micro__mdns_responder_free(r);
}

TEST(mdns_responder_record_ttl)
{
    static const struct {
        int ms;
        unsigned ttl;
    } rows[] = { { 0, 120 },    { -1, 120 },           { 1, 1 }, { 1000, 1 }, { 1001, 2 },
                 { 60000, 60 }, { INT32_MAX, 2147484 } };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__mdns_responder *r = answers_start();
        micro_node node;
        micro_entry e = answers_entry(&node, "svc", "a", "10.1.2.3:80");
        micro__mdns_local *n = answers_put(r, &e, rows[i].ms, 1);
        if (CHECK(n != NULL))
            CHECK_EQ_UINT(n->ttl, rows[i].ttl);
        micro__mdns_responder_free(r);
    }
}

TEST(mdns_responder_refuses)
{
    static const struct {
        const char *name, *version, *id, *address;
        bool ok;
    } rows[] = {
        { "svc", "1", "a", "10.1.2.3:80", true },
        { "svc", "1", "a", "[::1]:80", true },
        { "svc", "", "a", "10.1.2.3:80", false },
        { "svc", "1", "a", "localhost:80", false },
        { "svc", "1", "a", "10.1.2.3", false },
        { "svc", "1", "a", "10.1.2.3:0", false },
        { "svc", "1", "a", "0.0.0.0:80", false },
        { "svc", "1", "a", "[::]:80", false },
        { "svc", "1", "a", "unix:/tmp/x", false },
        { "svc", "1", "a", "", false },
        { "svc", "1", "a..b", "10.1.2.3:80", false },
        { "svc.", "1", "a", "10.1.2.3:80", false },
        { "svc", "1", "0123456789012345678901234567890123456789012345678901234567890123",
          "10.1.2.3:80", false },
    };
    micro__mdns_responder *r = answers_start();
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_ctx *ctx = micro_ctx_new(NULL);
        micro__mdns_local *n = NULL;
        micro_node node;
        micro_entry e = answers_entry(&node, rows[i].name, rows[i].id, rows[i].address);
        e.version = micro_s(rows[i].version);
        NOTE("%s %s %s %s", rows[i].name, rows[i].version, rows[i].id, rows[i].address);
        CHECK_EQ_INT(micro__mdns_local_new(ctx, r, 1452, &e, &node, 0, &n),
                     rows[i].ok ? MICRO_OK : MICRO_EINVAL);
        CHECK_EQ_INT(strstr(micro_ctx_strerror(ctx), "mdns: node") != NULL, !rows[i].ok);
        micro__mdns_local_free(n);
        micro_ctx_free(ctx);
    }
    char longest[300];
    memset(longest, 'x', sizeof longest);
    for (size_t i = 30; i < sizeof longest; i += 30)
        longest[i] = '.';
    longest[240] = '\0';
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro__mdns_local *n = NULL;
    micro_node node;
    micro_entry e = answers_entry(&node, "svc.of.a.name", longest, "10.1.2.3:80");
    CHECK_EQ_INT(micro__mdns_local_new(ctx, r, 1452, &e, &node, 0, &n), MICRO_EINVAL);
    micro_ctx_free(ctx);
}

/* Decision 23: whole, then without the depths, then names, then in fragments, then not at all. */
TEST(mdns_responder_reduces)
{
    static const struct {
        int endpoints;
        bool values; /* what is left */
        size_t most;
    } rows[] = {
        { 5, true, 1452 },
        { 40, false, 1452 },
        { 120, false, 8192 },
        { 3000, false, 0 },
    };
    static micro_desc fields[30], message;
    micro__mdns_responder *r = answers_start();
    for (size_t i = 0; i < 30; i++) {
        static char names[30][16];
        snprintf(names[i], sizeof names[i], "field_%zu", i * i * 37);
        fields[i].name = fields[i].type = micro_s(names[i]);
    }
    message.name = message.type = micro_s("Request");
    message.values.ptr = fields;
    message.values.len = 30;
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_ctx *ctx = micro_ctx_new(NULL), *other = micro_ctx_new(NULL);
        micro__mdns_local *n = NULL;
        micro_node node;
        micro_entry e = answers_entry(&node, "svc", "a", "10.1.2.3:80"), back;
        NOTE("%d endpoints", rows[i].endpoints);
        for (int k = 0; k < rows[i].endpoints; k++) {
            micro_endpoint *endpoint = micro_append(ctx, &e.endpoints);
            REQUIRE(endpoint != NULL);
            endpoint->name = micro_format(ctx, "Handler%x.Method%x", k * 7919, k * 104729);
            endpoint->request = endpoint->response = &message;
        }
        micro_err err = micro__mdns_local_new(other, r, MICRO__MDNS_FIT6, &e, &node, 0, &n);
        CHECK_EQ_INT(err, rows[i].most ? MICRO_OK : MICRO_ETOOBIG);
        if (!err) {
            micro__mdns_local_put(r, n, 1000);
            CHECK_EQ_UINT(answers_ask(r, "svc.local", MICRO__DNS_PTR, 1, true, 2000), 1);
            CHECK(answers_sent.packet[0].len <= rows[i].most);
            REQUIRE(answers_node(other, answers_sent.packet[0].data, answers_sent.packet[0].len,
                                 &back));
            CHECK_EQ_UINT(back.endpoints.len, (size_t)rows[i].endpoints);
            const micro_desc *request = back.endpoints.ptr[0].request;
            CHECK_EQ_INT(request && request->values.len == 30, rows[i].values);
            micro__mdns_local_del(r, n);
        } else {
            CHECK(strstr(micro_ctx_strerror(other), "8192") != NULL);
        }
        micro_ctx_free(ctx);
        micro_ctx_free(other);
    }
    micro__mdns_responder_free(r);
}

TEST(mdns_responder_host_names)
{
    static const char *const rows[][2] = {
        { "vm", "vm" },         { "vm.example.org.", "vm.example.org" },
        { "", "localhost" },    { "a..b", "localhost" },
        { "...", "localhost" },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__mdns_responder_init(&answers_responder, rows[i][0], answers_send, &answers_sent);
        CHECK_EQ_TEXT(answers_responder.host, rows[i][1]);
    }
}
