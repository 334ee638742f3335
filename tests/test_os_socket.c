/* SPDX-License-Identifier: MIT */
/* Sockets: listening, connecting, moving bytes, and what the system may do meanwhile. */
#include "os_help.h"
#include "harness.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

static micro_err sock_listen_at(const char *address, int *fd, micro__addr *bound)
{
    micro__addr want;
    micro_err err = micro__addr_resolve(&want, micro_s(address));
    return err == MICRO_OK ? micro__sock_listen(&want, 16, fd, bound) : err;
}

/* A connection over 127.0.0.1: [0] has connected, [1] was accepted. */
static bool sock_pair(int pair[2])
{
    micro__addr bound;
    int listener;
    char why[128];
    if (sock_listen_at("127.0.0.1:0", &listener, &bound) != MICRO_OK)
        return false;
    bool ok = os_connect(&bound, micro__now_ms() + 5000, &pair[0], why) == MICRO_OK &&
              micro__fd_wait(listener, MICRO__READ, micro__now_ms() + 5000) == MICRO_OK &&
              micro__sock_accept(listener, &pair[1], NULL) == MICRO_OK;
    micro__fd_close(listener);
    return ok;
}

static void sock_check_flags(int fd, bool tcp)
{
    int on = 0;
    socklen_t len = sizeof on;
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    if (tcp) {
        CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0);
        CHECK(on != 0);
    }
}

static int sock_open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* An address of this process's own, and the path in it. */
static const char *sock_path(char address[64], const char *what)
{
    snprintf(address, 64, "unix:/tmp/micro-test-os-%d%s.sock", (int)getpid(), what);
    return strchr(address, '/');
}

/* ---- listening and connecting --------------------------------------------------------------- */

TEST(sock_listen_and_connect)
{
    char unix_address[64];
    const char *path = sock_path(unix_address, "");
    const struct {
        const char *address, *bound; /* what bound begins with */
    } rows[] = {
        { "127.0.0.1:0", "127.0.0.1:" },
        { "[::1]:0", "[::1]:" },
        { ":0", "[::]:" },
        { "0.0.0.0:0", "0.0.0.0:" },
        { unix_address, unix_address },
    };
    int before = sock_open_fds();
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__addr bound, peer;
        int listener, client, server;
        char text[128], why[128] = "x";
        bool tcp = strncmp(rows[i].address, "unix", 4) != 0;
        NOTE("%s", rows[i].address);
        unlink(path);
        REQUIRE(sock_listen_at(rows[i].address, &listener, &bound) == MICRO_OK);
        sock_check_flags(listener, false);
        micro__addr_format(&bound, text);
        CHECK(strncmp(text, rows[i].bound, strlen(rows[i].bound)) == 0);
        CHECK_EQ_INT(micro__addr_port(&bound) != 0, tcp);
        CHECK_EQ_INT(micro__sock_accept(listener, &server, &peer), MICRO_EAGAIN);

        REQUIRE(os_connect(&bound, micro__now_ms() + 5000, &client, why) == MICRO_OK);
        CHECK_EQ_TEXT(why, "");
        CHECK_EQ_INT(micro__fd_wait(listener, MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
        REQUIRE(micro__sock_accept(listener, &server, &peer) == MICRO_OK);
        sock_check_flags(client, tcp);
        sock_check_flags(server, tcp);
        micro__addr_format(&peer, text);
        CHECK(strncmp(text, tcp ? i == 1 ? "[::1]:" : "127.0.0.1:" : "unix:", 5) == 0);
        micro__fd_close(client);
        micro__fd_close(server);
        micro__fd_close(listener);
        micro__sock_unlink(&bound);
        CHECK(!tcp || micro__addr_port(&peer) != 0);
    }
    CHECK(access(path, F_OK) != 0);
    CHECK_EQ_INT(sock_open_fds(), before);
}

/* A wildcard listener takes IPv4 and IPv6. */
TEST(sock_wildcard_is_both)
{
    micro__addr bound, to;
    int listener, client;
    char why[128];
    REQUIRE(sock_listen_at(":0", &listener, &bound) == MICRO_OK);
    static const char *const hosts[] = { "127.0.0.1", "::1" };
    for (int i = 0; i < 2; i++) {
        REQUIRE(micro__addr_literal(&to, micro_s(hosts[i]), micro__addr_port(&bound)));
        CHECK_EQ_INT(os_connect(&to, micro__now_ms() + 5000, &client, why), MICRO_OK);
        micro__fd_close(client);
    }
    micro__fd_close(listener);
}

TEST(sock_listen_refused)
{
    static const char *const unusable[] = { "203.0.113.1:0", "[2001:db8::1]:0",
                                            "unix:/no/such/folder/x" };
    micro__addr bound, again;
    int fd, other, before = sock_open_fds();
    for (size_t i = 0; i < MICRO_COUNTOF(unusable); i++) {
        NOTE("%s", unusable[i]);
        CHECK_EQ_INT(sock_listen_at(unusable[i], &fd, &bound), MICRO_EINVAL);
        CHECK_EQ_INT(fd, -1);
    }
    REQUIRE(sock_listen_at("127.0.0.1:0", &fd, &bound) == MICRO_OK);
    CHECK_EQ_INT(micro__sock_listen(&bound, 8, &other, &again), MICRO_EBUSY);
    micro__fd_close(fd);
    CHECK_EQ_INT(micro__sock_listen(&bound, 8, &fd, &again), MICRO_OK); /* free again at once */
    micro__fd_close(fd);
    CHECK_EQ_INT(sock_open_fds(), before);
}

/* A port whose last connections the server closed, which linger, can be listened on again. */
TEST(sock_listen_after_connections)
{
    micro__addr bound, again;
    int listener, client, server;
    char why[128], byte;
    REQUIRE(sock_listen_at("127.0.0.1:0", &listener, &bound) == MICRO_OK);
    REQUIRE(os_connect(&bound, micro__now_ms() + 5000, &client, why) == MICRO_OK);
    REQUIRE(micro__fd_wait(listener, MICRO__READ, micro__now_ms() + 5000) == MICRO_OK);
    REQUIRE(micro__sock_accept(listener, &server, NULL) == MICRO_OK);
    micro__fd_close(server);
    CHECK_EQ_INT(micro__fd_wait(client, MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
    CHECK_EQ_INT(micro__sock_recv(client, &byte, 1), 0);
    micro__fd_close(client);
    micro__fd_close(listener);
    CHECK_EQ_INT(micro__sock_listen(&bound, 8, &listener, &again), MICRO_OK);
    micro__fd_close(listener);
}

/* Told by the addresses of both ends: over one of this machine's own they are the same. */
TEST(sock_is_near)
{
    static const char *const at[] = { "127.0.0.1:0", "unix:/tmp/micro-test-os-near.sock" };
    micro__addr bound, here, there;

    for (size_t i = 0; i < MICRO_COUNTOF(at); i++) {
        int listener, fd;
        char why[128];
        NOTE("%s", at[i]);
        REQUIRE(sock_listen_at(at[i], &listener, &bound) == MICRO_OK);
        REQUIRE(os_connect(&bound, micro__now_ms() + 5000, &fd, why) == MICRO_OK);
        CHECK(micro__sock_is_near(fd));
        CHECK(!micro__sock_is_near(listener));
        micro__fd_close(fd);
        micro__fd_close(listener);
        micro__sock_unlink(&bound);
    }
    REQUIRE(micro__addr_literal(&here, micro_s("10.0.0.1"), 9000));
    REQUIRE(micro__addr_literal(&there, micro_s("10.0.0.1"), 1));
    CHECK(micro__addr_same_host(&here, &there));
    REQUIRE(micro__addr_literal(&there, micro_s("10.0.0.2"), 9000));
    CHECK(!micro__addr_same_host(&here, &there));
    REQUIRE(micro__addr_literal(&there, micro_s("::ffff:10.0.0.1"), 9000));
    CHECK(micro__addr_same_host(&here, &there));
    REQUIRE(micro__addr_literal(&there, micro_s("fe80::1"), 9000));
    CHECK(!micro__addr_same_host(&here, &there));
}

/* The file of a listener that is gone is replaced; one that is in use, or is no socket, stays. */
TEST(sock_unix_files)
{
    char address[64];
    const char *path = sock_path(address, "-file");
    micro__addr bound;
    int fd, other;
    struct stat st;
    unlink(path);
    REQUIRE(sock_listen_at(address, &fd, &bound) == MICRO_OK);
    CHECK_EQ_INT(sock_listen_at(address, &other, &bound), MICRO_EBUSY);
    micro__sock_unlink(&bound);
    CHECK(stat(path, &st) == 0);
    micro__fd_close(fd); /* as after a crash */
    REQUIRE(sock_listen_at(address, &fd, &bound) == MICRO_OK);
    micro__fd_close(fd);
    micro__sock_unlink(&bound);
    CHECK(stat(path, &st) != 0);

    FILE *f = fopen(path, "w");
    REQUIRE(f != NULL);
    fclose(f);
    CHECK_EQ_INT(sock_listen_at(address, &other, &bound), MICRO_EBUSY);
    REQUIRE(micro__addr_resolve(&bound, micro_s(address)) == MICRO_OK);
    micro__sock_unlink(&bound);
    CHECK(stat(path, &st) == 0);
    unlink(path);

    REQUIRE(micro__addr_resolve(&bound, micro_s("127.0.0.1:80")) == MICRO_OK);
    micro__sock_unlink(&bound); /* nothing to do */
}

TEST(sock_connect_refused)
{
    micro__addr bound;
    int fd, client;
    char why[128];
    REQUIRE(sock_listen_at("127.0.0.1:0", &fd, &bound) == MICRO_OK);
    micro__fd_close(fd);
    CHECK_EQ_INT(os_connect(&bound, 0, &client, why), MICRO_ECONNECT);
    CHECK_EQ_TEXT(why, "connection refused");
    CHECK_EQ_INT(client, -1);
    REQUIRE(micro__addr_resolve(&bound, micro_s("unix:/no/such/file")) == MICRO_OK);
    CHECK_EQ_INT(os_connect(&bound, 0, &client, why), MICRO_ECONNECT);
    CHECK_EQ_TEXT(why, "no such file or directory");
}

/* ---- moving bytes --------------------------------------------------------------------------- */

/* Whether they are copied together or not. */
TEST(sock_two_parts_of_any_length)
{
    char all[2064], got[sizeof all];
    int pair[2];
    REQUIRE(sock_pair(pair));
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)(i % 251);
    for (size_t n = 2040; n <= sizeof all; n++) {
        const size_t firsts[] = { 1, n / 2, n - 1 };
        for (size_t i = 0; i < MICRO_COUNTOF(firsts); i++) {
            size_t first = firsts[i], have = 0;
            NOTE("%zu bytes and %zu", first, n - first);
            CHECK_EQ_INT(micro__sock_send2(pair[0], all, first, all + first, n - first), (long)n);
            while (have < n &&
                   micro__fd_wait(pair[1], MICRO__READ, micro__now_ms() + 5000) == MICRO_OK)
                have += (size_t)micro__sock_recv(pair[1], got + have, n - have);
            CHECK_EQ_MEM(got, have, all, n);
        }
    }
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
}

TEST(sock_bytes)
{
    int pair[2];
    char buf[16] = "";
    REQUIRE(sock_pair(pair));
    CHECK_EQ_INT(micro__sock_recv(pair[1], buf, sizeof buf), MICRO_EAGAIN);
    CHECK(micro__sock_quiet(pair[1]));
    CHECK_EQ_INT(micro__sock_send(pair[0], "abc", 3), 3);
    CHECK_EQ_INT(micro__sock_send2(pair[0], "de", 2, "fgh", 3), 5);
    CHECK_EQ_INT(micro__sock_send2(pair[0], "", 0, "ij", 2), 2);
    CHECK_EQ_INT(micro__sock_send2(pair[0], "kl", 2, NULL, 0), 2);
    CHECK_EQ_INT(micro__fd_wait(pair[1], MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
    CHECK(!micro__sock_quiet(pair[1])); /* looks without taking */
    size_t got = 0;
    while (got < 12 && micro__fd_wait(pair[1], MICRO__READ, micro__now_ms() + 5000) == MICRO_OK)
        got += (size_t)micro__sock_recv(pair[1], buf + got, sizeof buf - got);
    CHECK_EQ_MEM(buf, got, "abcdefghijkl", 12);

    shutdown(pair[0], SHUT_WR);
    CHECK_EQ_INT(micro__fd_wait(pair[1], MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
    CHECK(!micro__sock_quiet(pair[1]));
    CHECK_EQ_INT(micro__sock_recv(pair[1], buf, sizeof buf), 0);
    CHECK_EQ_INT(micro__sock_send(pair[1], "x", 1), 1); /* the other way is still open */
    micro__sock_shutdown(pair[1]);
    CHECK_EQ_INT(micro__sock_send(pair[1], "x", 1), MICRO_EIO);
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
}

/* A connection that is gone is an error, and SIGPIPE, which would end this process, is not raised.
 * */
TEST(sock_lost)
{
    static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    int pair[2];
    char byte;
    REQUIRE(sock_pair(pair));
    setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    micro__fd_close(pair[0]);
    CHECK_EQ_INT(micro__fd_wait(pair[1], MICRO__READ, micro__now_ms() + 5000), MICRO_OK);
    CHECK_EQ_INT(micro__sock_recv(pair[1], &byte, 1), MICRO_EIO);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_INT(micro__sock_send(pair[1], "x", 1), MICRO_EIO);
        CHECK_EQ_INT(micro__sock_send2(pair[1], "x", 1, "y", 1), MICRO_EIO);
    }
    micro__fd_close(pair[1]);
}

TEST(sock_full)
{
    static char block[65536];
    int pair[2];
    long n = 0;
    REQUIRE(sock_pair(pair));
    for (int i = 0; i < 10000 && n >= 0; i++)
        n = i % 2 ? micro__sock_send(pair[0], block, sizeof block)
                  : micro__sock_send2(pair[0], block, 1, block, sizeof block);
    CHECK_EQ_INT(n, MICRO_EAGAIN);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__WRITE, 1), MICRO_ETIMEDOUT);
    micro__fd_close(pair[1]);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__WRITE, micro__now_ms() + 5000), MICRO_OK);
    micro__fd_close(pair[0]);
}

/* shutdown makes an accept on a listener end for good. */
TEST(sock_accept_closed)
{
    micro__addr bound;
    int listener, fd;
    REQUIRE(sock_listen_at("127.0.0.1:0", &listener, &bound) == MICRO_OK);
    micro__sock_shutdown(listener);
    CHECK_EQ_INT(micro__sock_accept(listener, &fd, NULL), MICRO_ECLOSED);
    micro__fd_close(listener);
    CHECK_EQ_INT(micro__sock_accept(listener, &fd, NULL), MICRO_ECLOSED);
}

#if MICRO_ENABLE_TEST_HOOKS

/* ---- what the system may answer ------------------------------------------------------------- */

static int sock_error, sock_times; /* the next calls fail so often with that */

static bool sock_fails(void)
{
    if (sock_times == 0)
        return false;
    sock_times--;
    errno = sock_error;
    return true;
}

static ssize_t sock_hook_recv(int fd, void *data, size_t size, int flags)
{
    return sock_fails() ? -1 : recv(fd, data, size, flags);
}
static ssize_t sock_hook_send(int fd, const void *data, size_t size, int flags)
{
    return sock_fails() ? -1 : send(fd, data, size, flags);
}
static ssize_t sock_hook_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return sock_fails() ? -1 : sendmsg(fd, message, flags);
}
static ssize_t sock_hook_recvmsg(int fd, struct msghdr *message, int flags)
{
    return sock_fails() ? -1 : recvmsg(fd, message, flags);
}
static ssize_t sock_hook_sendto(int fd, const void *data, size_t size, int flags,
                                const struct sockaddr *to, socklen_t len)
{
    return sock_fails() ? -1 : sendto(fd, data, size, flags, to, len);
}
static int sock_hook_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
    return sock_fails() ? -1 : accept4(fd, from, len, flags);
}
static int sock_hook_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    return sock_fails() ? -1 : connect(fd, to, len);
}
static int sock_hook_socket(int family, int type, int protocol)
{
    return sock_fails() ? -1 : socket(family, type, protocol);
}
static int sock_hook_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    return sock_fails() ? -1 : poll(fds, n, timeout);
}

static void sock_fail(int error, int times)
{
    sock_error = error;
    sock_times = times;
}

TEST(sock_interrupted)
{
    int pair[2], listener, fd, client;
    micro__addr bound;
    char byte = 0, why[128];
    static const char large[4096];
    REQUIRE(sock_pair(pair));
    REQUIRE(sock_listen_at("127.0.0.1:0", &listener, &bound) == MICRO_OK);
    micro__sys.recv = sock_hook_recv;
    micro__sys.send = sock_hook_send;
    micro__sys.sendmsg = sock_hook_sendmsg;
    micro__sys.accept4 = sock_hook_accept4;
    micro__sys.poll = sock_hook_poll;
    sock_fail(EINTR, 3);
    CHECK_EQ_INT(micro__sock_send(pair[0], "x", 1), 1);
    sock_fail(EINTR, 3);
    CHECK_EQ_INT(micro__sock_send2(pair[0], "x", 1, "y", 1), 2);
    sock_fail(EINTR, 3);
    CHECK_EQ_INT(micro__sock_send2(pair[0], "x", 1, large, sizeof large), 1 + sizeof large);
    sock_fail(EINTR, 3);
    CHECK_EQ_INT(micro__fd_wait(pair[1], MICRO__READ, 0), MICRO_OK);
    sock_fail(EINTR, 3);
    CHECK_EQ_INT(micro__sock_recv(pair[1], &byte, 1), 1);
    CHECK_EQ_INT(byte, 'x');
    sock_fail(EINTR, 3);
    CHECK(!micro__sock_quiet(pair[1]));
    REQUIRE(os_connect(&bound, micro__now_ms() + 5000, &client, why) == MICRO_OK);
    sock_fail(EINTR, 3);
    REQUIRE(micro__fd_wait(listener, MICRO__READ, 0) == MICRO_OK);
    sock_fail(EINTR, 3);
    CHECK_EQ_INT(micro__sock_accept(listener, &fd, NULL), MICRO_OK);
    CHECK_EQ_INT(sock_times, 0);
    micro__fd_close(fd);
    sock_fail(ECONNRESET, 3);
    CHECK_EQ_INT(micro__sock_recv(pair[1], &byte, 1), MICRO_EIO);
    CHECK(!micro__sock_quiet(pair[1]));
    CHECK_EQ_INT(micro__sock_send(pair[1], &byte, 1), MICRO_EIO);
    sock_fail(ENOMEM, 1);
    CHECK_EQ_INT(micro__fd_wait(pair[1], MICRO__READ, 0), MICRO_EIO);
    micro__fd_close(client);
    micro__fd_close(listener);
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
}

TEST(sock_accept_errors)
{
    static const struct {
        int error;
        micro_err err;
    } rows[] = {
        { EMFILE, MICRO_ENOMEM },   { ENFILE, MICRO_ENOMEM },    { ENOBUFS, MICRO_ENOMEM },
        { ENOMEM, MICRO_ENOMEM },   { ECONNABORTED, MICRO_EIO }, { EPROTO, MICRO_EIO },
        { ENETUNREACH, MICRO_EIO }, { EPERM, MICRO_EIO },        { EAGAIN, MICRO_EAGAIN },
        { EBADF, MICRO_ECLOSED },
    };
    micro__addr bound;
    int listener, fd;
    REQUIRE(sock_listen_at("127.0.0.1:0", &listener, &bound) == MICRO_OK);
    micro__sys.accept4 = sock_hook_accept4;
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("errno %d", rows[i].error);
        sock_fail(rows[i].error, 1);
        CHECK_EQ_INT(micro__sock_accept(listener, &fd, NULL), rows[i].err);
        CHECK_EQ_INT(fd, -1);
    }
    micro__fd_close(listener);
}

static int sock_hook_poll_early(struct pollfd *fds, nfds_t n, int timeout)
{
    return sock_fails() ? 0 : poll(fds, n, timeout);
}

/* A system that wakes too early: the deadline counts. */
TEST(sock_wait_woken_early)
{
    int pair[2];
    REQUIRE(sock_pair(pair));
    CHECK_EQ_INT(micro__sock_send(pair[0], "x", 1), 1);
    micro__sys.poll = sock_hook_poll_early;
    sock_fail(0, 3);
    CHECK_EQ_INT(micro__fd_wait(pair[1], MICRO__READ, micro__now_ms() + 60000), MICRO_OK);
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
}

static bool sock_pending;
static int sock_hook_connect_slow(int fd, const struct sockaddr *to, socklen_t len)
{
    if (sock_pending) {
        errno = EINPROGRESS;
        return -1;
    }
    return connect(fd, to, len);
}
static int sock_hook_poll_idle(struct pollfd *fds, nfds_t n, int timeout)
{
    (void)fds;
    return poll(NULL, n * 0, timeout);
}

/* Binds our end to the port that it connects to, as the kernel does now and then. */
static int sock_hook_connect_self(int fd, const struct sockaddr *to, socklen_t len)
{
    return bind(fd, to, len) < 0 ? -1 : connect(fd, to, len);
}

TEST(sock_connect_errors)
{
    micro__addr bound;
    int listener, fd, before = sock_open_fds();
    char why[128];
    REQUIRE(sock_listen_at("127.0.0.1:0", &listener, &bound) == MICRO_OK);
    micro__sys.connect = sock_hook_connect;
    micro__sys.socket = sock_hook_socket;
    sock_fail(EMFILE, 1);
    CHECK_EQ_INT(os_connect(&bound, 0, &fd, why), MICRO_ECONNECT);
    CHECK_EQ_TEXT(why, "too many open files");
    CHECK_EQ_INT(fd, -1);
    sock_fail(EMFILE, 1);
    CHECK_EQ_INT(sock_listen_at("127.0.0.1:0", &fd, &bound), MICRO_ENOMEM);
    sock_fail(EAFNOSUPPORT, 1); /* no IPv6: the wildcard is that of IPv4 */
    REQUIRE(sock_listen_at(":0", &fd, &bound) == MICRO_OK);
    micro__addr_format(&bound, why);
    CHECK(strncmp(why, "0.0.0.0:", 8) == 0);
    micro__fd_close(fd);

    micro__sys.connect = sock_hook_connect_slow;
    micro__sys.poll = sock_hook_poll_idle;
    sock_pending = true;
    CHECK_EQ_INT(os_connect(&bound, micro__now_ms() + 10, &fd, why), MICRO_ETIMEDOUT);
    CHECK_EQ_INT(fd, -1);

    micro__sys.connect = sock_hook_connect_self;
    micro__sys.poll = poll;
    micro__fd_close(listener);
    REQUIRE(sock_listen_at("127.0.0.1:0", &listener, &bound) == MICRO_OK);
    micro__fd_close(listener);
    CHECK_EQ_INT(os_connect(&bound, 0, &fd, why), MICRO_ECONNECT);
    CHECK_EQ_TEXT(why, "connection refused");
    CHECK_EQ_INT(sock_open_fds(), before);
}

TEST(sock_udp_interrupted)
{
    micro__addr to, from;
    unsigned iface;
    int fd;
    char byte;
    REQUIRE(micro__udp_open(false, 0, 0, &fd) == MICRO_OK);
    micro__sys.sendto = sock_hook_sendto;
    micro__sys.recvmsg = sock_hook_recvmsg;
    REQUIRE(micro__addr_literal(&to, micro_s("127.0.0.1"), 9));
    sock_fail(EINTR, 2);
    CHECK_EQ_INT(micro__udp_send(fd, &to, "x", 1), MICRO_OK);
    sock_fail(EMSGSIZE, 1);
    CHECK_EQ_INT(micro__udp_send(fd, &to, "x", 1), MICRO_ETOOBIG);
    sock_fail(EINTR, 2);
    CHECK_EQ_INT(micro__udp_recv(fd, &byte, 1, &from, &iface), MICRO_EAGAIN);
    sock_fail(EBADF, 1);
    CHECK_EQ_INT(micro__udp_recv(fd, &byte, 1, &from, &iface), MICRO_EIO);
    micro__fd_close(fd);
}

#if MICRO__LINUX
static int sock_hook_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    return sock_fails() ? -1 : epoll_wait(fd, events, max, timeout);
}
static int sock_hook_epoll_ctl(int fd, int what, int on, struct epoll_event *event)
{
    return sock_fails() ? -1 : epoll_ctl(fd, what, on, event);
}

TEST(sock_poller_errors)
{
    micro__poller p;
    micro__event events[2];
    int pair[2], before = sock_open_fds();
    micro__sys.epoll_ctl = sock_hook_epoll_ctl;
    micro__sys.epoll_wait = sock_hook_epoll_wait;
    sock_fail(ENOSPC, 1);
    CHECK_EQ_INT(micro__poller_open(&p), MICRO_ENOMEM);
    CHECK_EQ_INT(sock_open_fds(), before);
    REQUIRE(micro__poller_open(&p) == MICRO_OK);
    REQUIRE(sock_pair(pair));
    sock_fail(ENOSPC, 1);
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], NULL), MICRO_ENOMEM);
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], NULL), MICRO_OK);
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], NULL), MICRO_EEXIST);
    sock_fail(EINTR, 1);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 2, -1), 0);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 2, -1), 1);
    CHECK(events[0].data == NULL);
    micro__poller_close(&p);
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
}
#elif MICRO__POLLER == MICRO__POLLER_POLL
TEST(sock_poller_errors)
{
    micro__poller p;
    micro__event events[2];
    int pair[2];
    REQUIRE(micro__poller_open(&p) == MICRO_OK);
    REQUIRE(sock_pair(pair));
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], NULL), MICRO_OK);
    CHECK_EQ_INT(micro__poller_add(&p, pair[0], NULL), MICRO_EEXIST);
    micro__sys.poll = sock_hook_poll;
    sock_fail(EINTR, 1);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 2, -1), 0);
    CHECK_EQ_INT(micro__sock_send(pair[1], "x", 1), 1);
    CHECK_EQ_INT(micro__fd_wait(pair[0], MICRO__READ, 0), MICRO_OK);
    CHECK_EQ_INT(micro__poller_wait(&p, events, 2, -1), 1);
    CHECK(events[0].data == NULL);
    micro__poller_close(&p);
    micro__fd_close(pair[0]);
    micro__fd_close(pair[1]);
}
#endif
#endif
