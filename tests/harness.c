/* SPDX-License-Identifier: MIT */
/* The test program's main and what harness.h declares.
 *     unit [--list] [--here] [--one-by-one] [--timeout SECONDS] [FILTER...]
 * A filter is part of a test's name or file; --here runs tests in this process, for a debugger;
 * --one-by-one runs none beside another. */
#include "harness.h"

#include <signal.h>
#include <stdarg.h>

static harness_test *harness_first;
static char harness_row[200];
static atomic_int harness_checks, harness_failures;

void harness_add(harness_test *t)
{
    harness_test **at = &harness_first;

    while (*at) { /* by file and line, whatever the linker's order is */
        int order = strcmp((*at)->file, t->file);
        if (order > 0 || (order == 0 && (*at)->line > t->line))
            break;
        at = &(*at)->next;
    }
    t->next = *at;
    *at = t;
}

void harness_note(const char *fmt, ...)
{
    va_list a;

    va_start(a, fmt);
    vsnprintf(harness_row, sizeof harness_row, fmt, a);
    va_end(a);
}

MICRO_PRINTF_(4, 5)
static bool harness_result(const char *file, int line, bool ok, const char *fmt, ...)
{
    char text[1024];
    va_list a;

    atomic_fetch_add(&harness_checks, 1);
    if (ok)
        return true;
    atomic_fetch_add(&harness_failures, 1);
    va_start(a, fmt);
    vsnprintf(text, sizeof text, fmt, a);
    va_end(a);
    printf("%s:%d: %s%s%s%s\n", file, line, text, harness_row[0] ? " (" : "", harness_row,
           harness_row[0] ? ")" : "");
    return false;
}

bool harness_check(const char *file, int line, const char *what, bool ok)
{
    return harness_result(file, line, ok, "%s", what);
}

bool harness_int(const char *file, int line, const char *what, long long got, long long want)
{
    return harness_result(file, line, got == want, "%s is %lld, not %lld", what, got, want);
}

bool harness_uint(const char *file, int line, const char *what, unsigned long long got,
                  unsigned long long want)
{
    return harness_result(file, line, got == want, "%s is %llu, not %llu", what, got, want);
}

bool harness_double(const char *file, int line, const char *what, double got, double want)
{
    bool same = memcmp(&got, &want, sizeof got) == 0; /* tells 0 from -0, and takes NaN */

    return harness_result(file, line, same, "%s is %.17g, not %.17g", what, got, want);
}

/* Bytes as they can be shown: printable ones as they are, others as \xNN. */
static const char *harness_quote(char out[400], const void *data, size_t len)
{
    const unsigned char *p = data;
    size_t n = 0;

    if (!p)
        return "NULL";
    for (size_t i = 0; i < len && n < 380; i++)
        n += (size_t)snprintf(out + n, 400 - n, p[i] >= 32 && p[i] < 127 ? "%c" : "\\x%02x", p[i]);
    snprintf(out + n, 400 - n, "%s", n >= 380 ? "..." : "");
    return out;
}

bool harness_mem(const char *file, int line, const char *what, const void *got, size_t got_len,
                 const void *want, size_t want_len)
{
    char a[400], b[400];
    bool same = got_len == want_len && (got_len == 0 || (got && !memcmp(got, want, got_len)));

    if (same)
        return harness_result(file, line, true, "%s", what);
    return harness_result(file, line, false, "%s is [%s] (%zu bytes), not [%s] (%zu bytes)", what,
                          harness_quote(a, got, got_len), got_len, harness_quote(b, want, want_len),
                          want_len);
}

bool harness_str(const char *file, int line, const char *what, micro_str got, const char *want)
{
    return harness_mem(file, line, what, got.ptr, got.len, want, strlen(want));
}

bool harness_text(const char *file, int line, const char *what, const char *got, const char *want)
{
    if (!got || !want)
        return harness_result(file, line, got == want, "%s is %s", what, got ? got : "NULL");
    return harness_mem(file, line, what, got, strlen(got), want, strlen(want));
}

/* Runs a test in this process; the exit code it deserves. */
static int harness_here(const harness_test *t)
{
    atomic_store(&harness_checks, 0);
    atomic_store(&harness_failures, 0);
    harness_row[0] = '\0';
    t->fn();
    harness_row[0] = '\0';
    if (atomic_load(&harness_checks) == 0)
        harness_check(t->file, t->line, "no check was made", false);
    return atomic_load(&harness_failures) ? 1 : 0;
}

static bool harness_wanted(const harness_test *t, char **filters)
{
    if (!*filters)
        return true;
    for (; *filters; filters++)
        if (strstr(t->name, *filters) || strstr(t->file, *filters))
            return true;
    return false;
}

/* ---- tests side by side ---------------------------------------------------------------------- */

enum { HARNESS_JOBS = 3 }; /* at most: most tests wait for something most of the time */

static struct {
    const harness_test *t;
    pid_t pid;
} harness_jobs[HARNESS_JOBS];
static int harness_jobs_max = HARNESS_JOBS, harness_running, harness_passed, harness_failed;

static void harness_count(const harness_test *t, bool passed)
{
    if (!passed)
        printf("FAIL  %s\n", t->name);
    *(passed ? &harness_passed : &harness_failed) += 1;
}

static bool harness_ended(const harness_test *t, pid_t pid, int status)
{
    kill(-pid, SIGKILL); /* whatever it has started and left behind */
    if (WIFSIGNALED(status))
        printf("%s:%d: ended by signal %d%s\n", t->file, t->line, WTERMSIG(status),
               WTERMSIG(status) == SIGALRM ? ", out of time" : "");
    else if (WEXITSTATUS(status) > 1)
        printf("%s:%d: exit code %d\n", t->file, t->line, WEXITSTATUS(status));
    return status == 0;
}

static void harness_wait(void)
{
    int status = 0, i = 0;
    pid_t pid = wait(&status);

    while (i < harness_running && harness_jobs[i].pid != pid)
        i++;
    if (i == harness_running)
        return;
    harness_count(harness_jobs[i].t, harness_ended(harness_jobs[i].t, pid, status));
    harness_jobs[i] = harness_jobs[--harness_running];
}

/* Runs a test in a child. exit() there lets leak checkers speak. */
static void harness_fork(const harness_test *t, unsigned seconds)
{
    while (harness_running == harness_jobs_max)
        harness_wait();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        alarm(seconds);
        exit(harness_here(t));
    }
    if (pid < 0) {
        printf("%s:%d: cannot start a process\n", t->file, t->line);
        harness_count(t, false);
        return;
    }
    harness_jobs[harness_running].t = t;
    harness_jobs[harness_running++].pid = pid;
}

int main(int argc, char **argv)
{
    bool list = false, here = false;
    unsigned seconds = 180;
    int i = 1;

    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash loses no line */
    for (; i < argc && argv[i][0] == '-'; i++) {
        list |= !strcmp(argv[i], "--list");
        here |= !strcmp(argv[i], "--here");
        if (!strcmp(argv[i], "--one-by-one"))
            harness_jobs_max = 1;
        if (!strcmp(argv[i], "--timeout") && i + 1 < argc)
            seconds = (unsigned)strtoul(argv[++i], NULL, 10);
    }
    for (harness_test *t = harness_first; t; t = t->next) {
        if (!harness_wanted(t, argv + i))
            continue;
        if (list)
            printf("%s %s:%d\n", t->name, t->file, t->line);
        else if (here)
            harness_count(t, harness_here(t) == 0);
        else
            harness_fork(t, seconds);
    }
    while (harness_running)
        harness_wait();
    if (list)
        return 0;
    printf("%d passed, %d failed\n", harness_passed, harness_failed);
    return harness_failed || !harness_passed;
}
