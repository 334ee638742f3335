/* SPDX-License-Identifier: MIT */
/* DNS packets: captured ones, written ones, hostile ones; names and IP addresses. */
#include "registry/mdns.h"

#include "mdns_golden.h"

static micro_str wire_str(const micro__dns_name *name)
{
    return micro__str(name->text, name->len);
}

TEST(mdns_wire_reads_answer)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    size_t len = mdns_golden_hex("mdns-get-answer.hex", data);
    micro__dns_reader r;
    micro__dns_record rec;
    REQUIRE(micro__dns_open(&r, data, len));
    CHECK_EQ_UINT(r.flags, 0x8400);
    CHECK_EQ_UINT(r.id, 0);
    REQUIRE(micro__dns_next(&r, &rec));
    CHECK_EQ_UINT(rec.type, MICRO__DNS_PTR);
    CHECK_EQ_INT(rec.section, MICRO__DNS_ANSWER);
    CHECK_EQ_UINT(rec.ttl, 120);
    CHECK_EQ_UINT(rec.klass, 1);
    CHECK_EQ_STR(wire_str(&rec.name), "go.micro.srv.greeter.local");
    CHECK_EQ_STR(wire_str(&rec.target), "go.micro.srv.greeter-aaaa-1.go.micro.srv.greeter.local");
    REQUIRE(micro__dns_next(&r, &rec));
    CHECK_EQ_UINT(rec.type, MICRO__DNS_SRV);
    CHECK_EQ_UINT(rec.priority, 10);
    CHECK_EQ_UINT(rec.weight, 1);
    CHECK_EQ_UINT(rec.port, 9601);
    CHECK_EQ_STR(wire_str(&rec.target), "vm");
    REQUIRE(micro__dns_next(&r, &rec));
    CHECK_EQ_UINT(rec.type, MICRO__DNS_A);
    CHECK_EQ_STR(wire_str(&rec.name), "vm");
    char ip[48];
    micro__ip_format(&rec.ip, ip);
    CHECK_EQ_TEXT(ip, "127.0.0.1");
    REQUIRE(micro__dns_next(&r, &rec));
    CHECK_EQ_UINT(rec.type, MICRO__DNS_TXT);
    CHECK_EQ_UINT(rec.len, 430);
    CHECK_EQ_STR(wire_str(&rec.name), "go.micro.srv.greeter-aaaa-1.go.micro.srv.greeter.local");
    CHECK(!micro__dns_next(&r, &rec));
    CHECK_EQ_UINT(r.pos, len);
}

TEST(mdns_wire_reads_probe_and_question)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    micro__dns_reader r;
    micro__dns_record rec;
    size_t len = mdns_golden_hex("mdns-probe.hex", data);
    REQUIRE(micro__dns_open(&r, data, len));
    CHECK_EQ_UINT(r.id, 0xaa9c);
    REQUIRE(micro__dns_question(&r, &rec));
    CHECK_EQ_STR(wire_str(&rec.name), "go.micro.srv.greeter-aaaa-1.go.micro.srv.greeter.local");
    CHECK_EQ_UINT(rec.type, MICRO__DNS_PTR);
    CHECK(!micro__dns_question(&r, &rec));
    REQUIRE(micro__dns_next(&r, &rec));
    CHECK_EQ_INT(rec.section, MICRO__DNS_AUTHORITY);
    CHECK_EQ_UINT(rec.priority, 0);
    CHECK_EQ_UINT(rec.weight, 0);
    REQUIRE(micro__dns_next(&r, &rec));
    CHECK_EQ_UINT(rec.type, MICRO__DNS_TXT);
    CHECK(!micro__dns_next(&r, &rec));

    len = mdns_golden_hex("later-v4.11-mdns-list-answer.hex", data);
    REQUIRE(micro__dns_open(&r, data, len));
    REQUIRE(micro__dns_next(&r, &rec)); /* over the question that is echoed */
    CHECK_EQ_STR(wire_str(&rec.name), "_services.micro");
    CHECK_EQ_STR(wire_str(&rec.target), "micro.http.broker._services.micro");
}

/* The records that a packet has, written again, with pointers in the same places. */
static size_t wire_rewrite(const uint8_t *data, size_t len, uint8_t *out, size_t cap)
{
    micro__dns_reader r;
    micro__dns_record rec;
    micro__dns_writer w;
    if (!CHECK(micro__dns_open(&r, data, len)))
        return 0;
    micro__dns_begin(&w, out, cap, r.id, r.flags);
    while (micro__dns_question(&r, &rec))
        micro__dns_ask(&w, wire_str(&rec.name), rec.type, rec.klass);
    while (micro__dns_next(&r, &rec)) {
        char text[4096];
        size_t n = 0;
        const uint16_t srv[3] = { rec.priority, rec.weight, rec.port };
        micro_str name = wire_str(&rec.name);
        switch (rec.type) {
        case MICRO__DNS_PTR:
            micro__dns_ptr(&w, name, rec.ttl, wire_str(&rec.target));
            break;
        case MICRO__DNS_SRV:
            micro__dns_srv(&w, rec.section, name, rec.ttl, srv, wire_str(&rec.target));
            break;
        case MICRO__DNS_TXT:
            for (size_t i = 0; i < rec.len; i += 1u + rec.data[i]) {
                memcpy(text + n, rec.data + i + 1, rec.data[i]);
                n += rec.data[i];
            }
            micro__dns_txt(&w, rec.section, name, rec.ttl, micro__str(text, n));
            break;
        default:
            micro__dns_ip(&w, name, rec.ttl, &rec.ip);
        }
    }
    return micro__dns_end(&w);
}

TEST(mdns_wire_writes_as_peers_do)
{
    static const char *const packets[] = {
        "mdns-get-answer.hex",
        "mdns-get-answer-large.hex",
        "mdns-list-answer.hex",
        "mdns-get-query.hex",
        "mdns-list-query.hex",
        "mdns-topic-get-answer.hex",
        "later-v4.11-mdns-get-answer.hex",
        "later-v4.11-mdns-list-answer.hex",
        "later-v6.10-mdns-get-answer.hex",
    };
    static uint8_t data[MDNS_GOLDEN_PACKET], out[MDNS_GOLDEN_PACKET];
    for (size_t i = 0; i < MICRO_COUNTOF(packets); i++) {
        NOTE("%s", packets[i]);
        size_t len = mdns_golden_hex(packets[i], data);
        size_t n = wire_rewrite(data, len, out, sizeof out);
        CHECK_EQ_MEM(out, n, data, len);
        for (size_t cap = 0; cap < len; cap++) /* no room is no packet */
            CHECK_EQ_UINT(wire_rewrite(data, len, out, cap), 0);
    }
}

/* Reads all there is; returns how many records that was. */
static size_t wire_drain(const uint8_t *data, size_t len)
{
    /* exactly as long as it says, so that a sanitizer sees a byte too many */
    uint8_t *copy = malloc(len ? len : 1);
    micro__dns_reader r;
    micro__dns_record rec;
    size_t n = 0;
    memcpy(copy, data, len);
    if (micro__dns_open(&r, copy, len)) {
        while (micro__dns_question(&r, &rec))
            n++;
        while (micro__dns_next(&r, &rec))
            n++;
    }
    free(copy);
    return n;
}

TEST(mdns_wire_truncated_anywhere)
{
    static uint8_t data[MDNS_GOLDEN_PACKET];
    size_t len = mdns_golden_hex("later-v4.11-mdns-get-answer.hex", data);
    CHECK_EQ_UINT(wire_drain(data, len), 5);
    for (size_t cut = 0; cut < len; cut++)
        CHECK(wire_drain(data, cut) < 5);
}

TEST(mdns_wire_hostile)
{
    static const struct {
        const char *what, *hex;
        size_t records;
    } rows[] = {
        { "pointer to itself", "000084000000000100000000 c00c 000c 0001 00000078 0000", 0 },
        { "two pointers to each other",
          "000084000000000100000000 c00e c00c 000c 0001 00000078 0000", 0 },
        { "pointer forwards", "000084000000000100000000 c020 000c 0001 00000078 0000", 0 },
        { "pointer into the header is odd but ends",
          "000084000000000100000000 c004 0001 0001 00000078 0004 7f000001", 1 },
        { "reserved label types", "000084000000000100000000 40 0001 0001 00000078 0000", 0 },
        { "a label longer than the packet", "000084000000000100000000 3f61", 0 },
        { "content longer than the packet",
          "000084000000000100000000 00 0010 0001 00000078 ffff 00", 0 },
        { "counts that lie", "00008400ffffffffffffffff", 0 },
        { "an A of three bytes is passed over",
          "000084000000000200000000 00 0001 0001 00000078 0003 7f0000"
          "00 0001 0001 00000078 0004 7f000001",
          1 },
        { "an SRV without target is passed over",
          "000084000000000100000000 00 0021 0001 00000078 0006 000a00010050", 0 },
        { "an SRV whose target ends too early is passed over",
          "000084000000000100000000 00 0021 0001 00000078 0008 000a00010050 0000", 0 },
        { "a PTR that runs into the next record is passed over",
          "000084000000000100000000 00 000c 0001 00000078 0001 0361626300", 0 },
        { "unknown types are there", "000084000000000100000000 00 00ff 0001 00000078 0001 99", 1 },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        uint8_t data[256];
        char hex[512];
        size_t n = 0;
        for (const char *p = rows[i].hex; *p; p++) {
            if (*p != ' ')
                hex[n++] = *p;
        }
        hex[n] = '\0';
        NOTE("%s", rows[i].what);
        n = mdns_golden_unhex(hex, data, sizeof data);
        CHECK_EQ_UINT(wire_drain(data, n), rows[i].records);
    }
}

/* Pointers, each to the one before, as the content of a first record, and a second whose name
 * begins at their end: followed for as long as a name can have use for it. */
TEST(mdns_wire_pointer_chain_is_bounded)
{
    static const size_t chains[] = { 1, 126, 127, 128, 7000 };
    for (size_t k = 0; k < MICRO_COUNTOF(chains); k++) {
        size_t chain = chains[k];
        static uint8_t data[16384];
        uint8_t first[] = { 0, 0, 99, 0, 1, 0, 0, 0, 0, 0, 0 };
        size_t n = 12, len = 1 + 2 * (chain - 1);
        memset(data, 0, sizeof data);
        data[2] = 0x84;
        data[7] = 2; /* answers */
        first[9] = (uint8_t)(len >> 8);
        first[10] = (uint8_t)len;
        memcpy(data + n, first, sizeof first);
        n += sizeof first;
        size_t to = n;
        n++; /* a root label */
        for (size_t i = 0; i < chain; i++) {
            data[n] = (uint8_t)(0xc0 | to >> 8);
            data[n + 1] = (uint8_t)to;
            to = n;
            n += 2;
        }
        NOTE("%zu pointers", chain);
        CHECK_EQ_UINT(wire_drain(data, n + 10), chain <= 127 ? 2 : 1);
    }
}

TEST(mdns_wire_odd_names_are_empty)
{
    static const struct {
        const char *label;
        size_t len;
        const char *read;
    } rows[] = {
        { "greeter", 7, "greeter" }, { "a.b", 3, "" },    { "a\0b", 3, "" },
        { "\x1b[2J", 4, "" },        { "\xff", 1, "" },   { "é", 2, "é" },
        { "topic:x", 7, "topic:x" }, { "A b", 3, "A b" }, { "\x7f", 1, "" },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        uint8_t data[64] = { 0, 0, 0x84, 0, 0, 1 };
        size_t n = 12;
        micro__dns_reader r;
        micro__dns_record q;
        data[n++] = (uint8_t)rows[i].len;
        memcpy(data + n, rows[i].label, rows[i].len);
        n += rows[i].len + 1; /* the root */
        n += 4;
        NOTE("label %zu", i);
        REQUIRE(micro__dns_open(&r, data, n));
        CHECK(micro__dns_question(&r, &q));
        CHECK_EQ_STR(wire_str(&q.name), rows[i].read);
    }
}

TEST(mdns_wire_longest_name)
{
    char name[256];
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 64 == 63 ? '.' : 'x';
    for (size_t len = 250; len <= 255; len++) {
        uint8_t data[600];
        micro__dns_writer w;
        micro__dns_reader r;
        micro__dns_record q;
        name[len - 1] = 'x';
        micro_str s = { name, len };
        NOTE("%zu bytes", len);
        CHECK_EQ_INT(micro__dns_name_problem(s) == NULL, len <= 253);
        micro__dns_begin(&w, data, sizeof data, 1, 0);
        micro__dns_ask(&w, s, MICRO__DNS_PTR, 1);
        size_t n = micro__dns_end(&w);
        CHECK_EQ_INT(n != 0, len <= 253);
        if (n == 0)
            continue;
        REQUIRE(micro__dns_open(&r, data, n));
        CHECK(micro__dns_question(&r, &q));
        CHECK_EQ_MEM(q.name.text, q.name.len, name, len);
        data[n - 5] = 1; /* the root label becomes one byte: a name of 256 bytes and more */
        data[n - 4] = 'x';
        data[n - 3] = 0;
        REQUIRE(micro__dns_open(&r, data, n));
        if (len == 253)
            CHECK(!micro__dns_question(&r, &q));
    }
}

TEST(mdns_wire_name_problems)
{
    static const struct {
        const char *name;
        bool ok;
    } rows[] = {
        { "greeter", true },
        { "go.micro.srv.greeter", true },
        { "topic:foo", true },
        { "", false },
        { ".", false },
        { "a..b", false },
        { ".a", false },
        { "a.", false },
        { "a\tb", false },
        { "a\xff"
          "b",
          false },
        { "a b", true },
        { "0123456789012345678901234567890123456789012345678901234567890123", false },
        { "012345678901234567890123456789012345678901234567890123456789012.x", true },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%s", rows[i].name);
        CHECK_EQ_INT(micro__dns_name_problem(micro_s(rows[i].name)) == NULL, rows[i].ok);
    }
}

TEST(mdns_wire_join_and_cut)
{
    micro__dns_name name;
    CHECK(micro__dns_join(&name, micro_s("id"), micro_s("svc"), micro_s("local")));
    CHECK_EQ_STR(wire_str(&name), "id.svc.local");
    CHECK(micro__dns_join(&name, micro_s("svc"), micro_s("local"), micro_s("")));
    CHECK_EQ_STR(wire_str(&name), "svc.local");
    char big[300];
    memset(big, 'x', sizeof big);
    CHECK(!micro__dns_join(&name, micro__str(big, 200), micro__str(big, 60), micro_s("local")));

    micro_str s = micro_s("go.micro.Local");
    CHECK(micro__dns_cut(&s, micro_s("local")));
    CHECK_EQ_UINT(s.len, 8);
    CHECK(!micro__dns_cut(&s, micro_s("go")));
    s = micro_s("local");
    CHECK(!micro__dns_cut(&s, micro_s("local")));
    s = micro_s("xlocal");
    CHECK(!micro__dns_cut(&s, micro_s("local")));
    s = micro_s(".local");
    CHECK(!micro__dns_cut(&s, micro_s("local")));
}

TEST(mdns_wire_ip)
{
    static const struct {
        const char *text, *out; /* out NULL: not an address; "": as text */
    } rows[] = {
        { "127.0.0.1", "" },
        { "0.0.0.0", "" },
        { "255.255.255.255", "" },
        { "256.0.0.1", NULL },
        { "1.2.3", NULL },
        { "1.2.3.4.5", NULL },
        { "1.2.3.", NULL },
        { "1..2.3", NULL },
        { "01.2.3.4", NULL },
        { "1.2.3.4 ", NULL },
        { "-1.2.3.4", NULL },
        { "", NULL },
        { "localhost", NULL },
        { "::", "" },
        { "::1", "" },
        { "1::", "" },
        { "fe80::1", "" },
        { "fe80::1%eth0", NULL },
        { "2001:db8::8:800:200c:417a", "" },
        { "2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a" },
        { "1:2:3:4:5:6:7:8", "" },
        { "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
        { "1:0:0:0:2:0:0:3", "1::2:0:0:3" },
        { "1:0:2:3:4:5:6:7", "" },
        { "::ffff:1.2.3.4", "::ffff:102:304" },
        { "::1.2.3.4", "::102:304" },
        { "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
        { "1:2:3:4:5:6:7:1.2.3.4", NULL },
        { "1:2:3:4:5:6:7", NULL },
        { "1:2:3:4:5:6:7:8:9", NULL },
        { "1:2:3:4:5:6:7:8::", NULL },
        { "1::2::3", NULL },
        { ":::", NULL },
        { "1:::2", NULL },
        { ":1", NULL },
        { "1:", NULL },
        { "12345::", NULL },
        { "g::", NULL },
        { "::1.2.3", NULL },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__ip ip;
        char out[48];
        NOTE("%s", rows[i].text);
        if (!CHECK_EQ_INT(micro__ip_parse(&ip, micro_s(rows[i].text)), rows[i].out != NULL) ||
            !rows[i].out)
            continue;
        size_t n = micro__ip_format(&ip, out);
        CHECK_EQ_TEXT(out, *rows[i].out ? rows[i].out : rows[i].text);
        CHECK_EQ_UINT(n, strlen(out));
        bool unset = !strcmp(rows[i].text, "0.0.0.0") || !strcmp(rows[i].text, "::");
        CHECK_EQ_INT(micro__ip_unset(&ip), unset);
    }
}
