/* SPDX-License-Identifier: MIT */
/* The log: levels, hook, the default sink, threads. */
#include "harness.h"

#include "base/base.h"

#include <pthread.h>
#include <time.h>

typedef struct log_seen {
    int calls, level, line;
    size_t len;
    char text[1024], file[64];
} log_seen;

static void log_catch(void *arg, int level, const char *file, int line, const char *text,
                      size_t len)
{
    log_seen *seen = arg;

    seen->calls++;
    seen->level = level;
    seen->line = line;
    seen->len = len;
    snprintf(seen->text, sizeof seen->text, "%s", text);
    snprintf(seen->file, sizeof seen->file, "%s", file);
}

static int log_evaluated;

static int log_count(void)
{
    return ++log_evaluated;
}

TEST(log_levels)
{
    log_seen seen = { 0 };

    CHECK(micro__log_on(MICRO_LOG_ERROR) && !micro__log_on(MICRO_LOG_WARN));
    micro_log_set(MICRO_LOG_INFO, log_catch, &seen);
    for (int level = -1; level < 7; level++)
        micro_log(level, "f.c", level, "level %d", level);
    CHECK_EQ_INT(seen.calls, 3);
    CHECK_EQ_INT(seen.level, MICRO_LOG_INFO);
    CHECK_EQ_TEXT(seen.text, "level 3");
    CHECK_EQ_INT(seen.line, 3);
    CHECK_EQ_TEXT(seen.file, "f.c");
    micro_log_set(MICRO_LOG_NONE, log_catch, &seen);
    micro_log(MICRO_LOG_ERROR, "f.c", 1, "no");
    CHECK_EQ_INT(seen.calls, 3);
    CHECK(!micro__log_on(MICRO_LOG_ERROR) && !micro__log_on(MICRO_LOG_NONE));
    micro_log_set(MICRO_LOG_DEBUG, log_catch, &seen);
    MICRO_LOG(MICRO_LOG_DEBUG, "%d nodes", log_count());
    MICRO_LOG(MICRO_LOG_MAX + 1, "%d", log_count()); /* compiled to nothing */
    CHECK_EQ_TEXT(seen.text, "1 nodes");
    CHECK_EQ_INT(log_evaluated, 1);
    CHECK_EQ_TEXT(seen.file, __FILE__);
}

TEST(log_line_is_limited)
{
    log_seen seen = { 0 };
    static char text[2000];

    micro_log_set(MICRO_LOG_ERROR, log_catch, &seen);
    for (size_t len = 500; len < 530; len++) {
        memset(text, 'x', len);
        text[len] = 0;
        micro_log(MICRO_LOG_ERROR, "f.c", 1, "%s", text);
        CHECK_EQ_UINT(seen.len, len < 511 ? len : 511);
        CHECK_EQ_UINT(strlen(seen.text), seen.len);
    }
    micro_log(MICRO_LOG_ERROR, "f.c", 1, "%s", "");
    CHECK_EQ_UINT(seen.len, 0);
}

/* What the default sink writes to stderr. */
static size_t log_capture(char *out, size_t size, const char *file, const char *text)
{
    FILE *f = tmpfile();
    int saved = dup(2);

    if (!CHECK(f != NULL && saved >= 0))
        return 0;
    dup2(fileno(f), 2);
    micro_log(MICRO_LOG_ERROR, file, 12, "%s", text);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = 0;
    fclose(f);
    return n;
}

TEST(log_default_is_one_line)
{
    char out[2000], text[600], want[64], now[64];
    time_t before = time(NULL);

    size_t n = log_capture(out, sizeof out, "src/net/some.c", "a\nb\x1b[31m\tc");
    if (!CHECK(n > 26))
        return;
    CHECK_EQ_TEXT(out + 24, " ERROR some.c:12: a b [31m c\n");
    /* the time is now, in UTC */
    for (int second = 0; second < 5; second++) {
        time_t t = before + second;
        strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S.", gmtime(&t));
        if (!strncmp(now, out, 20))
            snprintf(want, sizeof want, "%.20s", now);
    }
    CHECK_EQ_MEM(out, 20, want, 20);
    CHECK(out[23] == 'Z');

    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = 0;
    n = log_capture(out, sizeof out, NULL, text);
    CHECK(n > 511 && n < 600 && strchr(out, '\n') == out + n - 1);
    n = log_capture(out, sizeof out,
                    "a-file-with-a-name-that-is-much-longer-than-any-name-should-be.c", text);
    CHECK(n > 511 && strchr(out, '\n') == out + n - 1);
    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    CHECK_EQ_UINT(log_capture(out, sizeof out, "f.c", "x"), 0);
}

static atomic_int log_mixed, log_seen_by[2];

/* The two hooks have different arguments: a call with the other's is a mix. */
static void log_first(void *arg, int level, const char *file, int line, const char *text,
                      size_t len)
{
    (void)level, (void)file, (void)line, (void)text, (void)len;
    log_mixed += arg != &log_seen_by[0];
    log_seen_by[0]++;
}

static void log_second(void *arg, int level, const char *file, int line, const char *text,
                       size_t len)
{
    (void)level, (void)file, (void)line, (void)text, (void)len;
    log_mixed += arg != &log_seen_by[1];
    log_seen_by[1]++;
}

static void *log_thread(void *arg)
{
    for (int i = 0; i < 20000; i++)
        micro_log(MICRO_LOG_ERROR, "f.c", i, "%d", i);
    return arg;
}

TEST_OF_THREADS(own, log_by_threads_while_it_is_set)
{
    pthread_t threads[2];

    micro_log_set(MICRO_LOG_ERROR, log_first, &log_seen_by[0]);
    for (int i = 0; i < 2; i++)
        CHECK_EQ_INT(pthread_create(&threads[i], NULL, log_thread, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        micro_log_set(MICRO_LOG_ERROR, log_second, &log_seen_by[1]);
        micro_log_set(MICRO_LOG_ERROR, log_first, &log_seen_by[0]);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ_INT(log_mixed, 0);
    CHECK_EQ_INT(log_seen_by[0] + log_seen_by[1], 40000);
}
