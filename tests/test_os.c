/* SPDX-License-Identifier: MIT */
/* The operating system's side: clocks, threads, signals, addresses, waiting, the poller. */
#include "os_help.h"
#include "harness.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* ---- clocks, random numbers, the process ---------------------------------------------------- */

TEST(os_clocks)
{
    uint64_t ms = micro__now_ms(), us = micro__now_us();
    CHECK(ms > 0);
    CHECK(us / 1000 >= ms);
    uint64_t before = micro__now_us();
    usleep(20000);
    CHECK(micro__now_us() - before >= 20000);
    CHECK(micro__now_ms() >= ms + 20);
    CHECK(micro__wall_seconds() > INT64_C(1500000000));
}

TEST(os_random)
{
    uint8_t a[64] = { 0 }, b[64] = { 0 }, *large = calloc(1, 100000);
    REQUIRE(large != NULL);
    CHECK(micro__random(a, sizeof a) && micro__random(b, sizeof b));
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(micro__random(a, 0));
    CHECK(micro__random(large, 100000)); /* more than one system call gives */
    int zeros = 0;
    for (int i = 0; i < 100000; i++)
        zeros += large[i] == 0;
    CHECK(zeros < 1000);
    free(large);
}

static void *os_random_thread(void *arg)
{
    *(uint64_t *)arg = micro__random_fast();
    return NULL;
}

TEST_OF_THREADS(own, os_random_fast)
{
    uint64_t or_all = 0, and_all = UINT64_MAX, first[2], last = 0;
    int buckets[8] = { 0 };
    for (int i = 0; i < 8000; i++) {
        uint64_t v = micro__random_fast();
        CHECK(v != last);
        or_all |= v;
        and_all &= v;
        buckets[v % 8]++;
        last = v;
    }
    CHECK(or_all == UINT64_MAX && and_all == 0);
    for (int i = 0; i < 8; i++)
        CHECK(buckets[i] > 700 && buckets[i] < 1300); /* 10 standard deviations */
    for (int i = 0; i < 2; i++) {
        micro__thread_id id;
        REQUIRE(micro__thread_start(&id, 0, os_random_thread, &first[i]));
        micro__thread_join(id);
    }
    CHECK(first[0] != first[1]);
}

TEST(os_process)
{
    char name[256] = "", tiny[3] = "xx";
    micro__host_name(name, sizeof name);
    CHECK(name[0] != '\0');
    micro__host_name(tiny, sizeof tiny);
    CHECK_EQ_MEM(tiny, strlen(tiny), name, strlen(name) < 2 ? strlen(name) : 2);
#if !MICRO_OMIT_THREADS
    CHECK(micro__cpu_count() >= 1);
#endif

    uint64_t memory, threads;
    micro__process_usage(&memory, &threads);
    CHECK(memory > 10000 && memory < UINT64_C(1) << 44);
    CHECK(threads >= 1 && threads < 100);

    setenv("MICRO_TEST_VARIABLE", "x", 1);
    CHECK_EQ_TEXT(micro__env("MICRO_TEST_VARIABLE"), "x");
    unsetenv("MICRO_TEST_VARIABLE");
    CHECK(micro__env("MICRO_TEST_VARIABLE") == NULL);
}

TEST(os_fd_limit)
{
    struct rlimit limit = { 0 };
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t hard = limit.rlim_max;
    limit.rlim_cur = 64;
    REQUIRE(hard >= 100 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_EQ_UINT(micro__raise_fd_limit(10), 64);
    CHECK_EQ_UINT(micro__raise_fd_limit(100), 100);
    getrlimit(RLIMIT_NOFILE, &limit);
    CHECK_EQ_UINT(limit.rlim_cur, 100);
    if (hard < 1000000000) /* as much as is allowed */
        CHECK_EQ_UINT(micro__raise_fd_limit(hard + 1), hard);
    CHECK(micro__raise_fd_limit(100) >= 100);
}

/* ---- threads -------------------------------------------------------------------------------- */

typedef struct os_shared {
    micro__mutex lock;
    micro__cond cond;
    bool said;
    sigset_t blocked;
} os_shared;

static void *os_speaker(void *arg)
{
    os_shared *s = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
    micro__lock(&s->lock);
    s->said = true;
    micro__cond_signal(&s->cond);
    micro__unlock(&s->lock);
    return NULL;
}

TEST_OF_THREADS(own, os_threads)
{
    static const size_t stacks[] = { 0, 1, 100000, 1 << 20 };
    for (size_t i = 0; i < MICRO_COUNTOF(stacks); i++) {
        os_shared s = { .said = false };
        sigset_t before, after;
        micro__thread_id id;
        NOTE("stack %zu", stacks[i]);
        micro__mutex_init(&s.lock);
        micro__cond_init(&s.cond);
        pthread_sigmask(SIG_SETMASK, NULL, &before);
        micro__lock(&s.lock);
        REQUIRE(micro__thread_start(&id, stacks[i], os_speaker, &s));
        while (!s.said)
            CHECK(micro__cond_wait(&s.cond, &s.lock, i % 2 ? micro__now_ms() + 60000 : 0));
        micro__unlock(&s.lock);
        micro__thread_join(id);
        pthread_sigmask(SIG_SETMASK, NULL, &after);
        for (int number = 1; number < 31; number++)
            CHECK_EQ_INT(sigismember(&after, number), sigismember(&before, number));
        static const int blocked[] = {
            SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM, SIGUSR1, SIGCHLD
        };
        for (size_t k = 0; k < MICRO_COUNTOF(blocked); k++)
            CHECK(sigismember(&s.blocked, blocked[k]) == 1);
        CHECK(sigismember(&s.blocked, SIGSEGV) == 0 && sigismember(&s.blocked, SIGABRT) == 0);
        micro__cond_destroy(&s.cond);
        micro__mutex_destroy(&s.lock);
    }
}

TEST(os_cond_deadline)
{
    micro__mutex lock = MICRO__MUTEX_INIT;
    micro__cond cond;
    micro__cond_init(&cond);
    micro__lock(&lock);
    CHECK(!micro__cond_wait(&cond, &lock, 1)); /* long past */
    uint64_t deadline = micro__now_ms() + 30;
    while (micro__cond_wait(&cond, &lock, deadline))
        CHECK(micro__now_ms() < deadline + 60000);
    CHECK(micro__now_ms() >= deadline);
    micro__unlock(&lock);
    micro__cond_destroy(&cond);
}

/* ---- signals -------------------------------------------------------------------------------- */

static bool os_readable(int fd)
{
    return micro__fd_wait(fd, MICRO__READ, 1) == MICRO_OK;
}

static void (*os_disposition(int number))(int)
{
    struct sigaction now;
    sigaction(number, NULL, &now);
    return now.sa_handler;
}

TEST(os_signals)
{
    for (int round = 0; round < 2; round++) { /* it can be done again */
        int fd = micro__signals_catch();
        REQUIRE(fd >= 0);
        CHECK_EQ_INT(micro__signals_catch(), fd); /* by a second one */
        CHECK(!os_readable(fd));
        errno = 12345;
        raise(round ? SIGTERM : SIGINT);
        CHECK_EQ_INT(errno, 12345);
        CHECK(os_readable(fd));
        raise(SIGTERM); /* a second one harms nobody */
        CHECK(os_readable(fd));
#if MICRO__LINUX
        uint64_t most = UINT64_MAX - 3; /* nor one too many, for which there is no room */
        CHECK_EQ_INT(write(fd, &most, sizeof most), sizeof most);
        errno = 12345;
        raise(SIGTERM);
        CHECK_EQ_INT(errno, 12345);
#endif
        micro__signals_release(fd);
        CHECK(os_disposition(SIGINT) != SIG_DFL && os_readable(fd));
        micro__signals_release(fd);
        CHECK(os_disposition(SIGINT) == SIG_DFL && os_disposition(SIGTERM) == SIG_DFL);
        CHECK_EQ_INT(fcntl(fd, F_GETFD), -1);
    }
    micro__signals_release(-1);
    CHECK(os_disposition(SIGINT) == SIG_DFL);
}

static volatile sig_atomic_t os_programs_signals;
static void os_programs_handler(int number)
{
    (void)number;
    os_programs_signals++;
}

TEST(os_signals_of_the_program)
{
    struct sigaction action = { .sa_handler = os_programs_handler };
    sigaction(SIGTERM, &action, NULL);
    signal(SIGINT, SIG_IGN); /* as a shell does for what runs in the background */
    int fd = micro__signals_catch();
    REQUIRE(fd >= 0);
    raise(SIGTERM);
    raise(SIGINT);
    CHECK_EQ_INT(os_programs_signals, 1);
    CHECK(!os_readable(fd));
    micro__signals_release(fd);
    CHECK(os_disposition(SIGTERM) == os_programs_handler && os_disposition(SIGINT) == SIG_IGN);

    signal(SIGINT, SIG_DFL);
    fd = micro__signals_catch();
    REQUIRE(fd >= 0);
    signal(SIGINT, os_programs_handler); /* set while we caught it: it stays */
    micro__signals_release(fd);
    CHECK(os_disposition(SIGINT) == os_programs_handler);
}

/* ---- addresses ------------------------------------------------------------------------------ */

TEST(os_addr_literal)
{
    static const struct {
        const char *host, *text; /* NULL: refused */
    } rows[] = {
        { "127.0.0.1", "127.0.0.1:80" },
        { "255.255.255.255", "255.255.255.255:80" },
        { "::1", "[::1]:80" },
        { "::", "[::]:80" },
        { "FE80::1", "[fe80::1]:80" },
        { "::ffff:1.2.3.4", "1.2.3.4:80" },
        { "fe80::1%lo", "[fe80::1%lo]:80" },
        { "fe80::1%1", "[fe80::1%lo]:80" },
        { "fe80::1%4294967295", "[fe80::1%4294967295]:80" },
        { "fe80::1%4294967296", NULL },
        { "fe80::1%nosuchinterface", NULL },
        { "fe80::1%", NULL },
        { "", NULL },
        { "localhost", NULL },
        { "1.2.3", NULL },
        { "1.2.3.4.5", NULL },
        { "1.2.3.256", NULL },
        { "1.2.3.4 ", NULL },
        { "[::1]", NULL },
        { "::1::", NULL },
        { "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee", NULL },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__addr a;
        char text[128];
        NOTE("%s", rows[i].host);
        bool good = micro__addr_literal(&a, micro_s(rows[i].host), 80);
        CHECK_EQ_INT(good, rows[i].text != NULL);
        if (!good || !rows[i].text)
            continue;
        micro__addr_format(&a, text);
        CHECK_EQ_TEXT(text, rows[i].text);
        CHECK_EQ_INT(micro__addr_port(&a), 80);
    }
    micro__addr a;
    CHECK(!micro__addr_literal(&a, micro__str("1.2.3.4\0", 8), 80));
}

TEST(os_addr_resolve)
{
    static const struct {
        const char *address;
        micro_err err;
        const char *text;
    } rows[] = {
        { "1.2.3.4:80", MICRO_OK, "1.2.3.4:80" },
        { "[::1]:80", MICRO_OK, "[::1]:80" },
        { ":80", MICRO_OK, "[::]:80" },
        { "1.2.3.4", MICRO_OK, "1.2.3.4:0" },
        { "localhost:80", MICRO_OK, "127.0.0.1:80" },
        { "unix:/tmp/x", MICRO_OK, "unix:/tmp/x" },
        { "unix:", MICRO_EINVAL, NULL },
        { "1.2.3.4:65536", MICRO_EINVAL, NULL },
        { "1.2.3.4:x", MICRO_EINVAL, NULL },
        { "[::1:80", MICRO_EINVAL, NULL },
        { "no-such-host.invalid:80", MICRO_ENOTFOUND, NULL },
    };
    micro__addr a;
    char text[400];
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%s", rows[i].address);
        micro_err err = micro__addr_resolve(&a, micro_s(rows[i].address));
        CHECK_EQ_INT(err, rows[i].err);
        if (err == MICRO_OK && rows[i].text) {
            micro__addr_format(&a, text);
            CHECK_EQ_TEXT(text, rows[i].text);
        }
    }
    /* 107 bytes and a NUL are all there is room for */
    snprintf(text, sizeof text, "unix:/%0106d", 1);
    CHECK_EQ_INT(micro__addr_resolve(&a, micro_s(text)), MICRO_OK);
    char back[128];
    micro__addr_format(&a, back);
    CHECK_EQ_TEXT(back, text);
    CHECK_EQ_INT(micro__addr_port(&a), 0);
    snprintf(text, sizeof text, "unix:/%0107d", 1);
    CHECK_EQ_INT(micro__addr_resolve(&a, micro_s(text)), MICRO_EINVAL);
    snprintf(text, sizeof text, "%0300d:80", 1);
    CHECK_EQ_INT(micro__addr_resolve(&a, micro_s(text)), MICRO_EINVAL);
    CHECK_EQ_INT(micro__addr_resolve(&a, micro__str("unix:/a\0b", 9)), MICRO_EINVAL);

    micro__addr empty = { .len = 0 };
    micro__addr_format(&empty, back);
    CHECK_EQ_TEXT(back, "");
}

/* ---- waiting -------------------------------------------------------------------------------- */

TEST(os_fd_wait)
{
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, 1), MICRO_ETIMEDOUT);
    uint64_t deadline = micro__now_ms() + 20;
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, deadline), MICRO_ETIMEDOUT);
    CHECK(micro__now_ms() >= deadline);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__WRITE, 0), MICRO_OK);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ | MICRO__WRITE, 0), MICRO_OK);
    CHECK_EQ_INT(write(pair[1], "x", 1), 1);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, 1), MICRO_OK); /* late, but ready */
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, 0), MICRO_OK);
    micro__fd_close(pair[1]);
    CHECK_EQ_INT(read(pair[0], &(char){ 0 }, 1), 1);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, 0), MICRO_OK); /* the end is to be read */
    micro__fd_close(pair[0]);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, 0), MICRO_EIO);
    micro__fd_close(-1);
}

TEST(os_fds_wait)
{
    enum { MANY = 40 };
    micro__waker wakers[MANY];
    int fds[MANY];
    bool ready[MANY];
    for (int i = 0; i < MANY; i++) {
        REQUIRE(micro__waker_open(&wakers[i]));
        fds[i] = wakers[i].fd;
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        CHECK(fcntl(wakers[i].in, F_GETFD) & FD_CLOEXEC);
    }
    static const size_t counts[] = { 1, 2, 16, 17, MANY };
    for (size_t k = 0; k < MICRO_COUNTOF(counts); k++) {
        size_t n = counts[k];
        NOTE("%zu of them", n);
        memset(ready, 1, sizeof ready);
        CHECK_EQ_INT(micro__fds_wait(fds, n, ready, 1), MICRO_ETIMEDOUT);
        for (size_t i = 0; i < n; i++)
            CHECK(!ready[i]);
        micro__waker_set(&wakers[n - 1]);
        for (int i = 0; i < 10000; i++) /* more than there is room for */
            micro__waker_set(&wakers[n - 1]);
        CHECK_EQ_INT(micro__fds_wait(fds, n, ready, 0), MICRO_OK);
        for (size_t i = 0; i < n; i++)
            CHECK_EQ_INT(ready[i], i == n - 1);
        micro__waker_clear(&wakers[n - 1]);
        micro__waker_clear(&wakers[n - 1]); /* nothing to clear: does not wait */
        CHECK_EQ_INT(micro__fds_wait(fds, n, ready, 1), MICRO_ETIMEDOUT);
    }
    CHECK_EQ_INT(micro__fds_wait(fds, 0, ready, micro__now_ms() + 5), MICRO_ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        micro__waker_close(&wakers[i]);
    micro__waker_close(&wakers[0]);
}

TEST(os_fd_reserve)
{
    int fd = micro__fd_reserve();
    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    micro__fd_close(fd);
}

/* ---- the poller ----------------------------------------------------------------------------- */

static void *os_waker_thread(void *arg)
{
    usleep(20000);
    micro__poller_wake(arg);
    return NULL;
}

TEST_OF_THREADS(own, os_poller_wake)
{
    micro__poller p;
    micro__event events[4];
    REQUIRE(micro__poller_open(&p) == MICRO_OK);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    bool known = p.fd >= 0; /* poll has no descriptor that stands for others */
    CHECK_EQ_INT(known, MICRO__POLLER != MICRO__POLLER_POLL);
    CHECK(!known || !os_readable(p.fd));
    micro__poller_wake(&p); /* before the wait */
    micro__poller_wake(&p);
    CHECK(!known || os_readable(p.fd));
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, -1), 0);
    CHECK(!known || !os_readable(p.fd)); /* several wake-ups are one */
    micro__thread_id id;
    REQUIRE(micro__thread_start(&id, 0, os_waker_thread, &p));
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, -1), 0);
    micro__thread_join(id);
    micro__poller_close(&p);
    CHECK_EQ_INT(p.fd, -1);
    micro__poller_close(&p);
}

static bool os_poller_pair(micro__poller *p, int pair[2], void *data)
{
    return CHECK_EQ_INT(micro__poller_open(p), MICRO_OK) &&
           CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) &&
           CHECK(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0) &&
           CHECK_EQ_INT(micro__poller_add(p, pair[0], data), MICRO_OK);
}

/* That it can be written is told by some from the start. */
static void os_poller_quiet(micro__poller *p, const void *data)
{
    micro__event events[4];
    int n = micro__poller_wait(p, events, 4, 0);
    CHECK(n == 0 || (n == 1 && events[0].data == data && events[0].what == MICRO__OUT));
    CHECK_EQ_INT(micro__poller_wait(p, events, 4, 0), 0);
}

TEST(os_poller_edges)
{
    micro__poller p;
    micro__event events[4];
    int pair[2], data;
    char buf[8];
    REQUIRE(os_poller_pair(&p, pair, &data));
    os_poller_quiet(&p, &data);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_INT(micro__sock_send(pair[1], "abc", 3), 3);
        REQUIRE(micro__poller_wait(&p, events, 4, 1000) == 1);
        CHECK(events[0].data == &data);
        CHECK_EQ_UINT(events[0].what & ~(unsigned)MICRO__OUT, MICRO__IN);
        CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0); /* though it has not been read */
        CHECK_EQ_INT(micro__sock_send(pair[1], "d", 1), 1);
        micro__poller_rearm(&p, pair[0], &data, MICRO__IN);
        REQUIRE(micro__poller_wait(&p, events, 4, 1000) == 1);
        CHECK_EQ_INT(micro__sock_recv(pair[0], buf, sizeof buf), 4);
        micro__poller_rearm(&p, pair[0], &data, MICRO__IN);
        CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    }
    micro__poller_del(&p, pair[0]);
    micro__poller_del(&p, pair[0]);
    CHECK_EQ_INT(micro__sock_send(pair[1], "x", 1), 1);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], &data), MICRO_OK);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 1);
    micro__poller_del(&p, pair[0]);
    micro__fd_close(pair[0]);
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], &data), MICRO_EIO);
    micro__fd_close(pair[1]);
    micro__poller_close(&p);
}

/* The other side has ended: it is told once, also while what came before has not been read. */
TEST(os_poller_ends)
{
    micro__poller p;
    micro__event events[4];
    int pair[2], data;
    char buf[8];
    REQUIRE(os_poller_pair(&p, pair, &data));
    os_poller_quiet(&p, &data);
    micro__poller_wake(&p); /* together with an event */
    shutdown(pair[1], SHUT_WR);
    REQUIRE(micro__poller_wait(&p, events, 4, 1000) == 1);
    CHECK(events[0].what & MICRO__HUP);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    CHECK_EQ_INT(micro__sock_recv(pair[0], buf, sizeof buf), 0);
    micro__fd_close(pair[1]); /* now both ways are closed */
    int n = micro__poller_wait(&p, events, 4, 1000);
    CHECK(n == 0 || (n == 1 && events[0].what & MICRO__HUP));
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    micro__poller_del(&p, pair[0]);
    micro__fd_close(pair[0]);
    micro__poller_close(&p);

    REQUIRE(os_poller_pair(&p, pair, &data));
    CHECK_EQ_INT(micro__sock_send(pair[1], "abc", 3), 3);
    micro__fd_close(pair[1]);
    REQUIRE(micro__poller_wait(&p, events, 4, 1000) == 1);
    CHECK(events[0].what & MICRO__IN && events[0].what & MICRO__HUP);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    CHECK_EQ_INT(micro__sock_recv(pair[0], buf, sizeof buf), 3);
    CHECK_EQ_INT(micro__sock_recv(pair[0], buf, sizeof buf), 0);
    micro__poller_del(&p, pair[0]);
    micro__fd_close(pair[0]);
    micro__poller_close(&p);
}

/* Writing falls short, and goes on when the other side has read: together with what came from there
 * it is one event. */
TEST(os_poller_writes)
{
    static char block[65536];
    micro__poller p;
    micro__event events[4];
    int pair[2], data;
    REQUIRE(os_poller_pair(&p, pair, &data));
    os_poller_quiet(&p, &data);
    for (int round = 0; round < 3; round++) {
        NOTE("round %d", round);
        long n = 0;
        for (int i = 0; i < 10000 && n >= 0; i++)
            n = micro__sock_send(pair[0], block, sizeof block);
        CHECK_EQ_INT(n, MICRO_EAGAIN);
        micro__poller_rearm(&p, pair[0], &data, MICRO__OUT);
        CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
        while (micro__fd_wait(pair[1], MICRO__READ, 1) == MICRO_OK)
            CHECK(micro__sock_recv(pair[1], block, sizeof block) > 0);
        CHECK_EQ_INT(micro__sock_send(pair[1], "a", 1), 1);
        REQUIRE(micro__poller_wait(&p, events, 4, 1000) == 1);
        CHECK_EQ_UINT(events[0].what, MICRO__IN | MICRO__OUT);
        CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
        CHECK_EQ_INT(micro__sock_recv(pair[0], block, sizeof block), 1);
        micro__poller_rearm(&p, pair[0], &data, MICRO__IN);
    }
    CHECK_EQ_INT(micro__poller_wait(&p, events, 4, 0), 0);
    micro__poller_del(&p, pair[0]);
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
    micro__poller_close(&p);
}

TEST(os_poller_many)
{
    enum { PAIRS = 200, BATCH = 7 };
    static int pairs[PAIRS][2];
    static bool seen[PAIRS];
    micro__poller p;
    micro__event events[BATCH];
    REQUIRE(micro__poller_open(&p) == MICRO_OK);
    for (int i = 0; i < PAIRS; i++) {
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
        REQUIRE(micro__poller_add(&p, pairs[i][0], &pairs[i]) == MICRO_OK);
        CHECK_EQ_INT(micro__sock_send(pairs[i][1], "x", 1), 1);
    }
    int count = 0;
    for (int rounds = 0; count < PAIRS && rounds < PAIRS; rounds++) {
        int n = micro__poller_wait(&p, events, BATCH, 1000);
        CHECK(n > 0 && n <= BATCH);
        for (int k = 0; k < n; k++) {
            ptrdiff_t i = (int(*)[2])events[k].data - pairs;
            CHECK(!seen[i]);
            seen[i] = true;
            count++;
        }
    }
    CHECK_EQ_INT(count, PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        micro__poller_del(&p, pairs[i][0]);
        micro__fd_close(pairs[i][0]);
        micro__fd_close(pairs[i][1]);
    }
    micro__poller_close(&p);
}

TEST(os_poller_listener)
{
    micro__poller p[2];
    micro__event events[4];
    micro__addr want, bound;
    int listener, client[2], server, data;
    char why[128];
    REQUIRE(micro__addr_resolve(&want, micro_s("127.0.0.1:0")) == MICRO_OK);
    REQUIRE(micro__sock_listen(&want, 8, &listener, &bound) == MICRO_OK);
    for (int i = 0; i < 2; i++) {
        REQUIRE(micro__poller_open(&p[i]) == MICRO_OK);
        REQUIRE(micro__poller_add_listener(&p[i], listener, &data) == MICRO_OK);
        REQUIRE(os_connect(&bound, 0, &client[i], why) == MICRO_OK);
    }
    for (int i = 0; i < 2; i++) {
        for (int again = 0; again < 2; again++) { /* as long as there is one to accept */
            REQUIRE(micro__poller_wait(&p[i], events, 4, 1000) == 1);
            CHECK(events[0].data == &data);
            CHECK_EQ_UINT(events[0].what, MICRO__IN);
        }
        CHECK_EQ_INT(micro__sock_accept(listener, &server, NULL), MICRO_OK);
        micro__fd_close(server);
        micro__fd_close(client[i]);
    }
    CHECK_EQ_INT(micro__poller_wait(&p[0], events, 4, 0), 0);
    micro__fd_close(listener);
    micro__poller_close(&p[0]);
    micro__poller_close(&p[1]);
}
