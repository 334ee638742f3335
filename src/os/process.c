/* SPDX-License-Identifier: MIT */
/* Clocks, random numbers, and what a process knows of itself and its machine. */
#include "sys.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

MICRO_PRIVATE uint64_t micro__now_ns(void)
{
    struct timespec t;
    MICRO__SYS(clock_gettime)(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

MICRO_PRIVATE uint64_t micro__now_us(void)
{
    return micro__now_ns() / 1000u;
}

MICRO_PRIVATE uint64_t micro__now_ms(void)
{
    uint64_t ms = micro__now_us() / 1000u;
    return ms ? ms : 1;
}

MICRO_PRIVATE uint64_t micro__now_coarse_ms(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec t;
    if (MICRO__SYS(clock_gettime)(CLOCK_MONOTONIC_COARSE, &t) == 0) {
        uint64_t ms = (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
        return ms ? ms : 1;
    }
#endif
    return micro__now_ms();
}

MICRO_PRIVATE int64_t micro__wall_seconds(void)
{
    return (int64_t)time(NULL);
}

MICRO_PRIVATE void micro__sleep_us(int us)
{
    struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

    nanosleep(&t, NULL);
}

MICRO_PRIVATE void micro__cpu_yield(void)
{
    sched_yield();
}

/* ---- random numbers ------------------------------------------------------------------------- */

/* Reads a small file, or as much as fits; 0: not there. */
static size_t process_read_file(const char *path, void *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, (char *)out + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    return got;
}

MICRO_PRIVATE bool micro__random(void *out, size_t len)
{
    size_t got = 0;
#ifdef SYS_getrandom
    while (got < len) {
        long n = syscall(SYS_getrandom, (char *)out + got, len - got, 0u);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
#endif
    return got == len ||
           process_read_file("/dev/urandom", (char *)out + got, len - got) == len - got;
}

MICRO_PRIVATE bool micro__random_uuid(char out[37])
{
    uint8_t random[16];

    if (!micro__random(random, sizeof random))
        return false;
    micro__uuid_format(out, random);
    return true;
}

static MICRO__THREAD_LOCAL uint64_t process_random_state; /* 0: not seeded */

MICRO_PRIVATE uint64_t micro__random_fast(void)
{
    uint64_t x = process_random_state;
    if (MICRO__RARE(!x)) {
        if (!micro__random(&x, sizeof x))
            x = micro__now_us() ^ (uint64_t)(uintptr_t)&process_random_state;
        x |= 1;
    }
    /* Vigna's xorshift64*: a shift register, and a multiplication that scrambles the low bits */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    process_random_state = x;
    return x * UINT64_C(2685821657736338717);
}

/* ---- the process and its machine ------------------------------------------------------------ */

#if !MICRO_OMIT_THREADS
MICRO_PRIVATE int micro__cpu_count(void)
{
#if defined(__linux__)
    cpu_set_t few;
    if (sched_getaffinity(0, sizeof few, &few) == 0) {
        int n = CPU_COUNT(&few);
        if (n > 0)
            return n;
    }
#endif
    long n =
        sysconf(_SC_NPROCESSORS_ONLN); /* also where there are more than fit into a cpu_set_t */
    return n < 1 ? 1 : n > 65536 ? 65536 : (int)n;
}
#endif

MICRO_PRIVATE void micro__host_name(char *out, size_t size)
{
    if (!size)
        return;
    char name[256];
    if (gethostname(name, sizeof name) < 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0'; /* a name that was cut need not be terminated */
    const char *text = name[0] ? name : "localhost";
    size_t n = strlen(text) < size ? strlen(text) : size - 1; /* what does not fit is cut */
    memcpy(out, text, n);
    out[n] = '\0';
}

/* A field of /proc/self/stat; 1 is the one behind the name, which may hold anything. */
static uint64_t process_stat_field(micro_str text, int field)
{
    for (int i = 1; i < field; i++)
        micro__str_cut(text, ' ', &text);
    uint64_t value;
    return micro__parse_u64(micro__str_cut(text, ' ', &text), &value) ? value : 0;
}

/* Resident bytes, exactly; 0: the kernel is too old to tell. What the stat file says may be off by
 * hundreds of pages a processor, which is more than a small service has. */
static uint64_t process_rss(void)
{
    char text[1024];
    size_t len = process_read_file("/proc/self/smaps_rollup", text, sizeof text);
    micro_str line, rest = micro__str(text, len);
    uint64_t kilobytes = 0;
    while (rest.len) {
        line = micro__str_cut(rest, '\n', &rest);
        if (!micro__str_starts(line, "Rss:"))
            continue;
        micro__str_cut(line, ' ', &line);
        micro__parse_u64(micro__str_cut(micro__str_trim(line), ' ', &line), &kilobytes);
        break;
    }
    return kilobytes * 1024;
}

MICRO_PRIVATE void micro__process_usage(uint64_t *memory, uint64_t *threads)
{
    *threads = 0;
    *memory = process_rss();
    char text[1024];
    size_t len = process_read_file("/proc/self/stat", text, sizeof text);
    size_t name_end = len;
    while (name_end && text[name_end - 1] != ')')
        name_end--;
    if (!name_end || name_end + 1 >= len)
        return;
    long page = sysconf(_SC_PAGESIZE);
    micro_str fields = micro__str(text + name_end + 1, len - name_end - 1);
    *threads = process_stat_field(fields, 18);
    if (!*memory)
        *memory = process_stat_field(fields, 22) * (uint64_t)(page > 0 ? page : 4096);
}

MICRO_PRIVATE uint64_t micro__raise_fd_limit(uint64_t n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    if (before == RLIM_INFINITY)
        return UINT64_MAX;
    if ((uint64_t)before < n) {
        bool allowed = limit.rlim_max == RLIM_INFINITY || n <= (uint64_t)limit.rlim_max;
        limit.rlim_cur = allowed ? (rlim_t)n : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = before;
    }
    return (uint64_t)limit.rlim_cur;
}

MICRO_PRIVATE const char *micro__env(const char *name)
{
    return getenv(name);
}

MICRO_PRIVATE bool micro__is_terminal(int fd)
{
    return isatty(fd) == 1;
}
