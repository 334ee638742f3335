/* SPDX-License-Identifier: MIT */
/* The micro command from inside: with every allocation failing in turn, and its smaller parts. What
 * commands print is tested by tests/cli.py. */
#include "failing.h"

#include "toolkit/cli.h"

#define TCLI_NODE \
    "{\"id\":\"foo-1\",\"address\":\"127.0.0.1\",\"port\":1,\"metadata\":{\"k\":\"v\"}}"
#define TCLI_VALUE "{\"name\":\"R\",\"type\":\"R\",\"values\":[{\"name\":\"aB\",\"type\":\"int\"}]}"

/* Puts a service into the memory registry, which is the whole process's. */
static micro_registry *tcli_registry(void)
{
    static const char text[] =
        "{\"name\":\"foo\",\"version\":\"1\",\"nodes\":[" TCLI_NODE "],\"endpoints\":["
        "{\"name\":\"A.B\",\"request\":" TCLI_VALUE ",\"response\":" TCLI_VALUE ","
        "\"metadata\":{\"stream\":\"false\"}}]}";
    char copy[sizeof text];
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entry e;

    memcpy(copy, text, sizeof text);
    CHECK_EQ_INT(micro__entry_read(ctx, copy, sizeof text - 1, &e), MICRO_OK);
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    micro_ctx_free(ctx);
    return reg;
}

/* Runs the command; stdout is kept, stderr thrown away. */
static int tcli_main(int argc, char **argv, char *out, size_t size)
{
    FILE *file = tmpfile(), *nothing = fopen("/dev/null", "w");
    int saved[2] = { dup(1), dup(2) };

    fflush(stdout);
    dup2(fileno(file), 1);
    dup2(fileno(nothing), 2);
    int code = micro_cli_main(argc, argv);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
    rewind(file);
    out[fread(out, 1, size - 1, file)] = 0;
    fclose(file);
    fclose(nothing);
    return code;
}

static int tcli_run(const char *line, char *out, size_t size)
{
    char words[512], *argv[16];
    int argc = 0;

    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return tcli_main(argc, argv, out, size);
}

/* What runs out of memory says so and ends with 1, or 3 where it looks like nobody there; it leaks
 * nothing, and never prints half of a result as a whole one. */
TEST(cli_out_of_memory)
{
    static const char *const lines[] = {
        "micro --registry memory list services",
        "micro --registry memory list services --json",
        "micro --registry memory get service foo",
        "micro --registry memory get service --json foo",
        "micro --registry memory health foo",
        "micro --registry memory stats --json foo",
        "micro --registry=memory call --header a=b --address 127.0.0.1:1 foo A.B {\"a\":1}",
        "micro --help",
        "micro help registry list",
        "micro man",
        "micro completion bash",
        "micro version",
    };
    static char whole[65536], out[65536];
    micro_registry *reg = tcli_registry();

    for (size_t i = 0; i < MICRO_COUNTOF(lines); i++) {
        int want = tcli_run(lines[i], whole, sizeof whole);
        bool done = false;
        for (size_t at = 1; at < 400 && !done; at++) {
            failing_begin(at);
            int code = tcli_run(lines[i], out, sizeof out);
            done = failing_end();
            NOTE("%s, request %d", lines[i], (int)at);
            CHECK(code >= 0 && code <= 4);
            if (done || code == 0)
                CHECK_EQ_TEXT(out, whole);
            if (done)
                CHECK_EQ_INT(code, want);
        }
        CHECK(done);
    }
    micro_registry_free(reg);
}

TEST(cli_without_arguments)
{
    static char help[8192], out[8192];
    char *argv[] = { NULL };

    CHECK_EQ_INT(tcli_run("micro help", help, sizeof help), 0);
    CHECK_EQ_INT(tcli_main(0, NULL, out, sizeof out), 0);
    CHECK_EQ_TEXT(out, help);
    CHECK_EQ_INT(tcli_main(0, argv, out, sizeof out), 0);
    CHECK_EQ_TEXT(out, help);
}

TEST(cli_durations)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {
        { 0, "0s" }, { 1, "1ns" }, { 999, "999ns" }, { 1000, "1\xc2\xb5s" },
        { 1500, "1.5\xc2\xb5s" }, { 1234567, "1.234567ms" }, { 20000000, "20ms" },
        { 999999999, "999.999999ms" }, { 1000000000, "1s" }, { 1500000000, "1.5s" },
        { 61000000000, "1m1s" }, { 3605000000000, "1h0m5s" }, { 3600000000001, "1h0m0.000000001s" },
        { UINT64_MAX, "5124095h34m33.709551615s" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
        micro__cli_duration(&out, rows[i].ns);
        CHECK_EQ_STR(micro__str(out.ptr, out.len), rows[i].text);
        micro__buf_free(&out);
    }
}

TEST(cli_texts_from_the_network)
{
    static const char text[] = "a\x1b[1m\n\x7f\xc2\x9b\xc3\xa9\xc2";
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };

    micro__cli_text(&out, micro__str(text, sizeof text - 1));
    CHECK_EQ_STR(micro__str(out.ptr, out.len), "a?[1m???\xc3\xa9\xc2");
    micro__buf_free(&out);
}

/* Whatever a text holds: the same verdict as the library's own reader has on well-formed UTF-8. */
TEST(cli_syntax_agrees_with_the_reader)
{
    static const char bits[] = "{}[]:,\"\\u0a1-+.eEtruefalsn \t\x01";
    uint64_t seed = 88172645463325252u;
    unsigned valid = 0;

    for (int round = 0; round < 200000; round++) {
        char text[12], why[MICRO__WHY_MAX];
        size_t len = 0;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        for (uint64_t r = seed; len < 1 + seed % 11; r = r * 6364136223846793005u + 1)
            text[len++] = bits[(r >> 33) % (sizeof bits - 1)];
        const char *end = micro__json_skip(text, text + len);
        while (end && end < text + len && strchr(" \t\r\n", *end))
            end++;
        bool ours = micro__cli_syntax(micro__str(text, len), why);
        if (ours != (end == text + len)) {
            NOTE("%.*s", (int)len, text);
            CHECK(ours == (end == text + len));
        }
        CHECK(ours == !why[0]);
        valid += ours;
    }
    CHECK(valid > 100);
}
