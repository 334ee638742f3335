/* SPDX-License-Identifier: MIT */
/* Text: strings, UTF-8, numbers, durations, encodings, host:port, error texts, the log. */
#include "failing.h"

#include "base/base.h"

/* ---- str ------------------------------------------------------------------------------------- */

TEST(str_equal_with_and_without_case)
{
    char a[64], b[64];
    int wrong = 0;

    CHECK(micro_str_eq(micro_s(""), micro__str(NULL, 0)));
    CHECK(micro_str_eq_nocase(micro__str(NULL, 0), micro_s("")));
    CHECK(!micro_str_eq(micro_s("a"), micro_s("A")));
    CHECK(micro__str_is(micro__str("abc", 2), "ab"));
    CHECK(micro__str_is_nocase(micro_s("MICRO-Id"), "Micro-ID"));
    /* every pair of bytes, at every place of every length up to 20 */
    for (unsigned x = 0; x < 256; x++) {
        for (unsigned y = 0; y < 256; y++) {
            size_t len = 1 + (x * 7 + y) % 20, at = (x + y) % len;
            memset(a, 'k', sizeof a);
            memset(b, 'K', sizeof b);
            a[at] = (char)x;
            b[at] = (char)y;
            bool same = micro__lower((char)x) == micro__lower((char)y);
            wrong += micro_str_eq_nocase(micro__str(a, len), micro__str(b, len)) != same;
            memset(b, 'k', sizeof b);
            b[at] = (char)y;
            wrong += micro_str_eq(micro__str(a, len), micro__str(b, len)) != (x == y);
        }
    }
    CHECK_EQ_INT(wrong, 0);
    CHECK(!micro_str_eq_nocase(micro_s("@[`{"), micro_s("`{@[")));
}

TEST(str_pieces)
{
    micro_str rest, s = micro_s("a=b=c");

    CHECK(micro__str_starts(s, "a=") && micro__str_starts(s, "") && !micro__str_starts(s, "b"));
    CHECK(!micro__str_starts(micro_s("a"), "ab"));
    CHECK(micro__str_ends(s, "=c") && micro__str_ends(s, "") && !micro__str_ends(s, "b"));
    CHECK(!micro__str_ends(micro_s("a"), "ba"));
    CHECK_EQ_STR(micro__str_cut(s, '=', &rest), "a");
    CHECK_EQ_STR(rest, "b=c");
    CHECK_EQ_STR(micro__str_cut(s, 'c', &rest), "a=b=");
    CHECK_EQ_STR(rest, "");
    CHECK_EQ_STR(micro__str_cut(s, '?', &rest), "a=b=c");
    CHECK_EQ_STR(rest, "");
    CHECK_EQ_STR(micro__str_cut(micro__str(NULL, 0), '?', &rest), "");
    CHECK_EQ_STR(micro__str_cut(s, '=', &s), "a");
    CHECK_EQ_STR(s, "b=c");
    CHECK_EQ_STR(micro__str_trim(micro_s(" \t a b\t ")), "a b");
    CHECK_EQ_STR(micro__str_trim(micro_s(" \t ")), "");
    CHECK_EQ_STR(micro__str_trim(micro_s("\n")), "\n");
}

TEST(str_order_and_hash)
{
    static const char *const sorted[] = { "", "A", "AA", "B", "a", "a\x80", "aa", "\xff" };
    size_t n = MICRO_COUNTOF(sorted);
    static uint64_t seen[100000];
    int collisions = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int c = micro__str_cmp(micro_s(sorted[i]), micro_s(sorted[k]));
            CHECK((c > 0) - (c < 0) == (i < k) * -1 + (i > k) * 1 ||
                  (strcmp(sorted[i], "a\x80") == 0 || strcmp(sorted[k], "a\x80") == 0));
        }
    CHECK(micro__str_cmp(micro_s("a\x80"), micro_s("aa")) > 0); /* bytes, not chars */
    CHECK(micro__str_cmp(micro__str("a\0b", 3), micro__str("a\0c", 3)) < 0);

    for (unsigned i = 0; i < 100000; i++) { /* no two alike in 17 low bits more than by chance */
        char text[24];
        snprintf(text, sizeof text, "10.0.%u.%u:8080", i / 256, i % 256);
        uint64_t h = micro__str_hash(micro_s(text));
        CHECK(i % 10000 || h == micro__str_hash(micro__str(text, strlen(text))));
        collisions += seen[h % 100000] != 0;
        seen[h % 100000] = h;
    }
    CHECK(collisions > 35000 && collisions < 39000); /* 1/e */
    CHECK(micro__str_hash(micro_s("")) != micro__str_hash(micro__str("\0", 1)));
    CHECK(micro__str_hash(micro__str("\0", 1)) != micro__str_hash(micro__str("\0\0", 2)));
}

/* By the table of RFC 3629. */
static bool text_utf8(const uint8_t *p, size_t len)
{
    while (len) {
        size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        uint32_t v = n == 1 ? p[0] : p[0] & (0x7fu >> n);
        if ((p[0] >= 0x80 && p[0] < 0xc0) || p[0] >= 0xf8 || n > len)
            return false;
        for (size_t i = 1; i < n; i++) {
            if (p[i] >> 6 != 2)
                return false;
            v = v << 6 | (p[i] & 0x3f);
        }
        if ((n == 2 && v < 0x80) || (n == 3 && v < 0x800) || (n == 4 && v < 0x10000) ||
            v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
            return false;
        p += n;
        len -= n;
    }
    return true;
}

TEST(utf8_every_short_sequence)
{
    static const uint8_t edge[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                    0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff };
    int wrong = 0, valid = 0;
    uint8_t b[4];

    for (unsigned first = 0; first < 65536; first++) {
        b[0] = (uint8_t)(first >> 8);
        b[1] = (uint8_t)first;
        wrong += micro__utf8_valid((char *)b, 2) != text_utf8(b, 2);
        for (size_t i = 0; i < sizeof edge; i++) {
            b[2] = edge[i];
            wrong += micro__utf8_valid((char *)b, 3) != text_utf8(b, 3);
            for (size_t k = 0; k < sizeof edge; k++) {
                b[3] = edge[k];
                wrong += micro__utf8_valid((char *)b, 4) != text_utf8(b, 4);
                valid += text_utf8(b, 4);
            }
        }
    }
    CHECK_EQ_INT(wrong, 0);
    CHECK(valid > 1000);
    CHECK(micro__utf8_valid("", 0) && micro__utf8_valid(NULL, 0));
    CHECK(micro__utf8_valid("\0", 1));
}

TEST(utf8_every_length_and_place)
{
    char text[40];
    int wrong = 0;

    for (size_t len = 1; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            char *exact = malloc(len);
            memset(exact, 'a', len);
            wrong += !micro__utf8_valid(exact, len);
            exact[at] = (char)0x80;
            wrong += micro__utf8_valid(exact, len);
            exact[at] = (char)0xc3; /* complete only if its second byte is there */
            if (at + 1 < len)
                exact[at + 1] = (char)0xa9;
            wrong += micro__utf8_valid(exact, len) != (at + 1 < len);
            free(exact);
        }
    }
    CHECK_EQ_INT(wrong, 0);
    snprintf(text, sizeof text, "%s",
             "gr\xc3\xbc\xc3\x9f dich, \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x8c\x8d");
    CHECK(micro__utf8_valid(text, strlen(text)));
    CHECK(!micro__utf8_valid(text, strlen(text) - 1));
}

/* ---- whole numbers and durations ------------------------------------------------------------- */

TEST(num_whole)
{
    static const struct {
        const char *text;
        bool u_ok;
        uint64_t u;
        bool i_ok;
        int64_t i;
    } rows[] = {
        { "0", true, 0, true, 0 },
        { "7", true, 7, true, 7 },
        { "007", true, 7, true, 7 },
        { "-0", false, 0, true, 0 },
        { "-1", false, 0, true, -1 },
        { "9223372036854775807", true, INT64_MAX, true, INT64_MAX },
        { "9223372036854775808", true, (uint64_t)INT64_MAX + 1, false, 0 },
        { "-9223372036854775808", false, 0, true, INT64_MIN },
        { "-9223372036854775809", false, 0, false, 0 },
        { "18446744073709551615", true, UINT64_MAX, false, 0 },
        { "18446744073709551616", false, 0, false, 0 },
        { "99999999999999999999", false, 0, false, 0 },
        { "000000000000000000000000000012", true, 12, true, 12 },
        { "", false, 0, false, 0 },
        { "-", false, 0, false, 0 },
        { "+1", false, 0, false, 0 },
        { " 1", false, 0, false, 0 },
        { "1 ", false, 0, false, 0 },
        { "1.0", false, 0, false, 0 },
        { "0x1", false, 0, false, 0 },
        { "--1", false, 0, false, 0 },
        { "/", false, 0, false, 0 },
        { ":", false, 0, false, 0 },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        uint64_t u = 0;
        int64_t v = 0;
        NOTE("%s", rows[i].text);
        CHECK_EQ_INT(micro__parse_u64(micro_s(rows[i].text), &u), rows[i].u_ok);
        CHECK(!rows[i].u_ok || u == rows[i].u);
        CHECK_EQ_INT(micro__parse_i64(micro_s(rows[i].text), &v), rows[i].i_ok);
        CHECK(!rows[i].i_ok || v == rows[i].i);
    }
}

TEST(num_write_every_length)
{
    int wrong = 0;
    uint64_t v = 1;

    for (int digits = 0; digits < 20; digits++, v *= 10) {
        uint64_t cases[] = { v - 1, v, v + 1, v * 7 / 3, v / 3, UINT64_MAX - v };
        for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
            char got[20], want[24];
            size_t len = micro__format_u64(got, cases[i]);
            snprintf(want, sizeof want, "%llu", (unsigned long long)cases[i]);
            wrong += len != strlen(want) || memcmp(got, want, len) != 0;
        }
    }
    for (unsigned i = 0; i < 20000; i++) {
        char got[20], want[24];
        size_t len = micro__format_u64(got, i);
        snprintf(want, sizeof want, "%u", i);
        wrong += len != strlen(want) || memcmp(got, want, len) != 0;
    }
    CHECK_EQ_INT(wrong, 0);
}

TEST(num_duration)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        /* -1: refused */
        { "0", 0 },
        { "+0", 0 },
        { "5s", 5000 },
        { "+5s", 5000 },
        { "250ms", 250 },
        { "1m30s", 90000 },
        { "1h30m", 5400000 },
        { "1.5s", 1500 },
        { ".5s", 500 },
        { "1.s", 1000 },
        { "0s", 0 },
        { "1ns", 1 },
        { "1us", 1 },
        { "1\xc2\xb5s", 1 },
        { "1\xce\xbcs", 1 },
        { "1000us", 1 },
        { "1001us", 2 },
        { "1000001ns", 2 },
        { "0.0015s", 2 },
        { "100h", 360000000 },
        { "1h1m1s1ms1us1ns", 3661002 },
        { "0.000000000001s", 0 },
        { "1.0000000000000000009s", 1000 },
        { "1.123456789123456789123456789s", 1124 },
        { "0.5h", 1800000 },
        { "5s5s", 10000 },
        { "9223372036854775807ns", 9223372036855 },
        { "9223372036854775808ns", -1 },
        { "9223372036854775806ns1ns", 9223372036855 },
        { "9223372036854775807ns1ns", -1 },
        { "2562047h47m16.854775807s", 9223372036855 },
        { "2562047h47m16.854775808s", -1 },
        { "2562048h", -1 },
        { "99999999999999999999s", -1 },
        { "", -1 },
        { "+", -1 },
        { "-5s", -1 },
        { "-0", -1 },
        { "5", -1 },
        { "5 s", -1 },
        { " 5s", -1 },
        { "5s ", -1 },
        { "s", -1 },
        { ".s", -1 },
        { ".", -1 },
        { "5d", -1 },
        { "5S", -1 },
        { "5sec", -1 },
        { "1.5", -1 },
        { "1..5s", -1 },
        { "1s2", -1 },
        { "+-1s", -1 },
        { "1e3s", -1 },
        { "0x1s", -1 },
        { "5m s", -1 },
        { "00", -1 },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        int64_t ms = -1;
        NOTE("%s", rows[i].text);
        CHECK_EQ_INT(micro__parse_duration(micro_s(rows[i].text), &ms), rows[i].ms >= 0);
        CHECK(rows[i].ms < 0 || ms == rows[i].ms);
    }
}

static uint64_t text_seed = 88172645463325252u;

static uint64_t text_random(void)
{
    text_seed ^= text_seed << 13;
    text_seed ^= text_seed >> 7;
    text_seed ^= text_seed << 17;
    return text_seed * 0x2545f4914f6cdd1du;
}

/* ---- encodings ------------------------------------------------------------------------------- */

TEST(base64_rows)
{
    static const struct {
        const char *text, *data;
    } rows[] = {
        /* NULL: refused */
        { "", "" },
        { "Zg==", "f" },
        { "Zm8=", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYg==", "foob" },
        { "Zm9vYmE=", "fooba" },
        { "Zm9vYmFy", "foobar" },
        { "Zg", "f" },
        { "Zm8", "fo" },
        { "-_-_", "\xfb\xff\xbf" },
        { "+/+/", "\xfb\xff\xbf" },
        { "+/-_", "\xfb\xff\xbf" },
        { "Zm9v\r\nYmFy\n", "foobar" },
        { "Zg=\n=", "f" },
        { "\n", "" },
        { "Z", NULL },
        { "Zm9vY", NULL },
        { "=", NULL },
        { "====", NULL },
        { "Zg=", NULL },
        { "Zm8==", NULL },
        { "Zm9v=", NULL },
        { "Zm9v====", NULL },
        { "Zg===", NULL },
        { "Zg==Zg==", NULL },
        { "Z=g=", NULL },
        { "Zm9 v", NULL },
        { "Zm9v!", NULL },
        { "Zm\x80v", NULL },
        { "Zm9v\"", NULL },
        { "Zg==x", NULL },
        { "*m9v", NULL },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        const char *data = rows[i].data ? rows[i].data : "";
        size_t len = strlen(rows[i].text), n = 99;
        uint8_t *out = malloc(len * 3 / 4 + 1);
        char *in = malloc(len + 1); /* decoded in place, too */
        NOTE("%s", rows[i].text);
        CHECK_EQ_INT(micro__base64_decode(rows[i].text, len, out, &n), rows[i].data != NULL);
        CHECK_EQ_MEM(out, n, data, strlen(data));
        memcpy(in, rows[i].text, len);
        CHECK_EQ_INT(micro__base64_decode(in, len, (uint8_t *)in, &n), rows[i].data != NULL);
        CHECK_EQ_MEM(in, n, data, strlen(data));
        free(out);
        free(in);
    }
}

TEST(base64_round_trip)
{
    uint8_t data[300], back[400];
    micro_buf b = { 0 };
    size_t n;

    micro__base64_encode(&b, NULL, 0);
    CHECK(b.len == 0 && !b.failed);
    for (size_t len = 0; len < sizeof data; len++) {
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)text_random();
        b.len = 0;
        micro__base64_encode(&b, data, len);
        CHECK_EQ_UINT(b.len, (len + 2) / 3 * 4);
        CHECK(micro__base64_decode(b.ptr, b.len, back, &n));
        CHECK_EQ_MEM(back, n, data, len);
    }
    b.len = 0;
    micro__base64_encode(&b, "\xfb\xff\xbf", 3);
    CHECK_EQ_MEM(b.ptr, b.len, "+/+/", 4);
    micro__buf_free(&b);
    b.max = 3;
    micro__base64_encode(&b, "a", 1);
    CHECK(b.failed && b.toobig && b.len == 0);
    micro__buf_free(&b);
}

TEST(hex_and_uuid)
{
    uint8_t random[16], data[4];
    char text[40];

    for (size_t i = 0; i < 16; i++)
        random[i] = (uint8_t)(0xf0 + i);
    micro__hex_encode(text, "\x00\x9f\xa5\xff", 4);
    CHECK_EQ_MEM(text, 8, "009fa5ff", 8);
    CHECK(micro__hex_decode(data, "009FaAff", 8));
    CHECK_EQ_MEM(data, 4, "\x00\x9f\xaa\xff", 4);
    CHECK(micro__hex_decode(data, "", 0));
    static const char *const bad[] = {
        "0", "0g", "g0", "00 0", "-1", "0x", "@@", "``", "//", "::"
    };
    for (size_t i = 0; i < MICRO_COUNTOF(bad); i++)
        CHECK(!micro__hex_decode(data, bad[i], strlen(bad[i])));
    micro__uuid_format(text, random);
    CHECK_EQ_TEXT(text, "f0f1f2f3-f4f5-46f7-b8f9-fafbfcfdfeff");
    memset(random, 0, sizeof random);
    micro__uuid_format(text, random);
    CHECK_EQ_TEXT(text, "00000000-0000-4000-8000-000000000000");
}

TEST(hostport_rows)
{
    static const struct {
        const char *text, *host;
        int port;
        const char *back;
    } rows[] = {
        { "localhost:8080", "localhost", 8080, "localhost:8080" },
        { "10.0.0.1:1", "10.0.0.1", 1, "10.0.0.1:1" },
        { ":65535", "", 65535, ":65535" },
        { "host", "host", 0, "host:0" },
        { "host:0", "host", 0, "host:0" },
        { "[::1]:80", "::1", 80, "[::1]:80" },
        { "[::1]", "::1", 0, "[::1]:0" },
        { "[fe80::1%eth0]:80", "fe80::1%eth0", 80, "[fe80::1%eth0]:80" },
        { "[::ffff:1.2.3.4]:5", "::ffff:1.2.3.4", 5, "[::ffff:1.2.3.4]:5" },
        { "my_host-1.local:00080", "my_host-1.local", 80, "my_host-1.local:80" },
        { "", NULL, 0, "" },
        { "host:", NULL, 0, "" },
        { ":", NULL, 0, "" },
        { "host:65536", NULL, 0, "" },
        { "host:99999", NULL, 0, "" },
        { "host:000080", NULL, 0, "" },
        { "host:-1", NULL, 0, "" },
        { "host:+1", NULL, 0, "" },
        { "host:8o", NULL, 0, "" },
        { "host: 80", NULL, 0, "" },
        { "ho st:80", NULL, 0, "" },
        { "::1", NULL, 0, "" },
        { "::1:80", NULL, 0, "" },
        { "a:1:2", NULL, 0, "" },
        { "[::1", NULL, 0, "" },
        { "[]:80", NULL, 0, "" },
        { "[host]:80", NULL, 0, "" },
        { "[::1]80", NULL, 0, "" },
        { "[::1]:", NULL, 0, "" },
        { "[::1]:x", NULL, 0, "" },
        { "[::1%]:80", NULL, 0, "" },
        { "[::1]]:80", NULL, 0, "" },
        { "[[::1]:80", NULL, 0, "" },
        { "[::g]:80", NULL, 0, "" },
        { "[", NULL, 0, "" },
        { "]", NULL, 0, "" },
        { "user@host:80", NULL, 0, "" },
        { "http://host", NULL, 0, "" },
        { "host/path:80", NULL, 0, "" },
        { "host\n:80", NULL, 0, "" },
        { "[::1%a b]:80", NULL, 0, "" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_str host = micro_s("?");
        uint16_t port = 9;
        char out[64];
        NOTE("%s", rows[i].text);
        CHECK_EQ_INT(micro__hostport_parse(micro_s(rows[i].text), &host, &port),
                     rows[i].host != NULL);
        if (!rows[i].host)
            continue;
        size_t len = strlen(rows[i].back);
        CHECK_EQ_STR(host, rows[i].host);
        CHECK_EQ_INT(port, rows[i].port);
        CHECK_EQ_UINT(micro__hostport_format(out, len + 1, host, port), len);
        CHECK_EQ_TEXT(out, rows[i].back);
        CHECK_EQ_UINT(micro__hostport_format(out, len, host, port), 0); /* a byte too small */
    }
    micro_str host;
    uint16_t port;
    CHECK(!micro__hostport_parse(micro__str("a\0b:80", 6), &host, &port));
}

/* ---- errors ---------------------------------------------------------------------------------- */

TEST(error_texts)
{
    CHECK_EQ_TEXT(micro_version(), "0.1.0");
    CHECK_EQ_TEXT(micro_strerror(MICRO_OK), "no error");
    CHECK_EQ_TEXT(micro_strerror(MICRO_ETIMEDOUT), "timed out");
    CHECK_EQ_TEXT(micro_strerror(MICRO_EPLAIN), "error sent as plain text");
    CHECK_EQ_TEXT(micro_strerror(400), "Bad Request");
    CHECK_EQ_TEXT(micro_strerror(511), "Network Authentication Required");
    CHECK_EQ_TEXT(micro_strerror(599), "error raised by the service");
    CHECK_EQ_TEXT(micro_strerror(1000), "unknown error");
    CHECK_EQ_TEXT(micro_strerror(-1000), "unknown error");
    CHECK_EQ_TEXT(micro__status_text(418), "I'm a teapot");
    CHECK_EQ_TEXT(micro__status_text(408), "Request Timeout");
    CHECK_EQ_TEXT(micro__status_text(306), "");
    CHECK_EQ_TEXT(micro__status_text(-5), "");
    int known = 0;
    for (int code = 0; code < 1000; code++)
        known += *micro__status_text(code) != 0;
    CHECK_EQ_INT(known, 62);               /* as many as net/http has */
    for (int code = -23; code < 0; code++) /* each has texts of its own */
        for (int other = -23; other < code; other++)
            CHECK(strcmp(micro_strerror(code), micro_strerror(other)) != 0);
}

TEST(query_values)
{
    static const struct {
        const char *query, *value;
    } rows[] = {
        { "id=a", "a" },
        { "x=1&id=b&id=c", "b" },
        { "id=a%2Fb+c%2B", "a/b c+" },
        { "id=", "" },
        { "id", "" },
        { "", "" },
        { "ids=a", "" },
        { "id=%", "" },
        { "id=%2", "" },
        { "id=%zz", "" },
        { "id=12345678901", "12345678901" },
        { "id=123456789012", "" },
        { "id=%41%42%43", "ABC" },
    };
    char out[12];

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%s", rows[i].query);
        micro__query_get(micro_s(rows[i].query), "id", out, sizeof out);
        CHECK_EQ_TEXT(out, rows[i].value);
    }
}

TEST(query_quoting_and_back)
{
    char all[256], back[1024];
    micro_buf b = { 0 };

    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = 0;
    micro__buf_text(&b, "id=");
    micro__query_quote(&b, micro_s(all));
    REQUIRE(!b.failed);
    for (size_t i = 3; i < b.len; i++) {
        char low = micro__lower(b.ptr[i]);
        CHECK((low >= 'a' && low <= 'z') || micro__is_digit(low) || strchr("-_.~%", low) != NULL);
    }
    micro__query_get(micro__str(b.ptr, b.len), "id", back, sizeof back);
    CHECK_EQ_TEXT(back, all);
    micro__buf_free(&b);
}
