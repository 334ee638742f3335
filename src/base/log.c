/* SPDX-License-Identifier: MIT */
/* The log: a level, a hook, and a default that writes lines to stderr. */
#include "ctx.h"

#include <time.h>

#define LOG_MAX 512
#define LOG_FIELDS 256

static struct {
    atomic_int level;
    atomic_flag lock; /* of the two below, held for two loads or stores */
    micro_log_fn *fn;
    void *arg;
} log_state = { MICRO_LOG_ERROR, ATOMIC_FLAG_INIT, NULL, NULL };

static MICRO__THREAD_LOCAL const micro_ctx *log_ctx; /* of the handler that runs; NULL: none */

MICRO_PRIVATE const micro_ctx *micro__log_scope(const micro_ctx *ctx)
{
    const micro_ctx *before = log_ctx;

    log_ctx = ctx;
    return before;
}

static void log_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&log_state.lock, memory_order_acquire))
        ;
}

static void log_unlock(void)
{
    atomic_flag_clear_explicit(&log_state.lock, memory_order_release);
}

MICRO_API void micro_log_set(int level, micro_log_fn *fn, void *arg)
{
    log_lock();
    log_state.fn = fn;
    log_state.arg = arg;
    atomic_store_explicit(&log_state.level, level, memory_order_relaxed);
    log_unlock();
}

MICRO_PRIVATE void micro__log_level(int level)
{
    atomic_store_explicit(&log_state.level, level, memory_order_relaxed);
}

MICRO_PRIVATE bool micro__log_on(int level)
{
    return level > MICRO_LOG_NONE &&
           level <= atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

/* Year, month and day of a number of days since 1970-01-01; gmtime is not safe among threads.
 * Years begin in March here, so that the odd day is the last. */
static void log_date(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468; /* since 0000-03-01 */
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t m = (5 * doy + 2) / 153;

    *day = (int)(doy - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static size_t log_stamp(char *out, size_t size)
{
    struct timespec now = { 0, 0 };
    int year, month, day;

    timespec_get(&now, TIME_UTC);
    int64_t seconds = (int64_t)now.tv_sec;
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    int rest = (int)(seconds - days * 86400);
    log_date(days, &year, &month, &day);
    int n = snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
                     rest / 3600, rest / 60 % 60, rest % 60, (int)(now.tv_nsec / 1000000));
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* One line, whatever the text holds, in one write: lines of several threads do not mix. */
static void log_default(int level, const char *file, int line, const char *text, size_t len)
{
    static const char names[][6] = { "ERROR", "WARN", "INFO", "DEBUG" };
    const char *base = file ? file : "";
    char out[LOG_MAX + 128];
    size_t at = log_stamp(out, 40);

    for (const char *p = base; *p; p++)
        if (*p == '/' || *p == '\\')
            base = p + 1;
    const char *name = names[(level > MICRO_LOG_DEBUG ? MICRO_LOG_DEBUG : level) - 1];
    int n = snprintf(out + at, 80, " %s %.40s:%d: ", name, base, line);
    at += n > 0 && n < 80 ? (size_t)n : 0;
    for (size_t i = 0; i < len; i++)
        out[at++] = micro__is_control(text[i]) ? ' ' : text[i];
    out[at++] = '\n';
    fwrite(out, 1, at, stderr);
}

/* " endpoint=Say.Hello trace=..." or " topic=...", as far as there is such a thing. */
static size_t log_fields(char out[LOG_FIELDS])
{
    const micro_info *info = log_ctx ? &log_ctx->info : NULL;
    const char *endpoint = info && info->endpoint ? info->endpoint : "";
    const char *topic = info && info->topic ? info->topic : "";
    micro_str trace = micro_s("");
    size_t len = 0;

    if (log_ctx)
        trace = micro__pairs_get(&log_ctx->metadata, "traceparent");
    if (*endpoint)
        len = (size_t)snprintf(out, LOG_FIELDS / 2, " endpoint=%.100s", endpoint);
    else if (*topic)
        len = (size_t)snprintf(out, LOG_FIELDS / 2, " topic=%.100s", topic);
    if (trace.len >= 35) /* 2 digits of version, then 32 of the trace's id */
        len += (size_t)snprintf(out + len, LOG_FIELDS / 2, " trace=%.32s", trace.ptr + 3);
    return len;
}

/* A text that is too long is cut, not its fields. */
MICRO_API void micro_log(int level, const char *file, int line, const char *fmt, ...)
{
    char text[LOG_MAX], fields[LOG_FIELDS];
    va_list args;

    if (!micro__log_on(level))
        return;
    size_t nfields = log_fields(fields);
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text - nfields, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof text - nfields ? (size_t)n : sizeof text - nfields - 1;
    memcpy(text + len, fields, nfields);
    len += nfields;
    text[len] = 0;
    log_lock();
    micro_log_fn *fn = log_state.fn;
    void *arg = log_state.arg;
    log_unlock();
    if (fn)
        fn(arg, level, file, line, text, len);
    else
        log_default(level, file, line, text, len);
}
