/* SPDX-License-Identifier: MIT */
/* The whole port contract: what the library wants from an operating system. Only src/os includes
 * system headers. Functions return MICRO_OK or a negative micro_err unless said otherwise; none
 * raises SIGPIPE; every descriptor is close-on-exec and, for sockets, non-blocking. */
#ifndef MICRO_OS_H
#define MICRO_OS_H

#include "../base/atomic.h"
#include "../base/base.h"

/* ---- which system -------------------------------------------------------------------------- */

#define MICRO__POLLER_EPOLL 1
#define MICRO__POLLER_KQUEUE 2
#define MICRO__POLLER_POLL 3
#if MICRO_USE_POLL
#define MICRO__POLLER MICRO__POLLER_POLL
#elif MICRO_USE_KQUEUE || defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || \
    defined(__OpenBSD__) || defined(__DragonFly__)
#define MICRO__POLLER MICRO__POLLER_KQUEUE
#elif defined(__linux__)
#define MICRO__POLLER MICRO__POLLER_EPOLL
#else
#define MICRO__POLLER MICRO__POLLER_POLL
#endif
/* Linux's own calls (eventfd, accept4, ppoll) go with its poller: a build with another one has what
 * other systems have, and so can be tested here. */
#define MICRO__LINUX (MICRO__POLLER == MICRO__POLLER_EPOLL)

#if !MICRO_OMIT_THREADS
#include <pthread.h>
#endif

/* ---- time, random, process ----------------------------------------------------------------- */

MICRO_PRIVATE uint64_t micro__now_ms(void); /* monotonic; never 0 */
MICRO_PRIVATE uint64_t micro__now_us(void); /* the same clock */
MICRO_PRIVATE uint64_t micro__now_ns(void); /* the same clock */
/* The same clock as of the last tick of the system: up to 10 ms late, for a quarter of the price.
 */
MICRO_PRIVATE uint64_t micro__now_coarse_ms(void);
MICRO_PRIVATE int64_t micro__wall_seconds(void); /* since 1970 */
MICRO_PRIVATE void micro__sleep_us(int us);
MICRO_PRIVATE void micro__cpu_yield(void); /* who else is ready to run here goes first */
#if !MICRO_OMIT_THREADS
MICRO_PRIVATE int micro__cpu_count(void); /* usable by this process, at least 1 */
#endif
MICRO_PRIVATE bool micro__random(void *out, size_t len); /* for ids; false: the system has none */
MICRO_PRIVATE bool micro__random_uuid(char out[37]);     /* an id; the same */
MICRO_PRIVATE uint64_t micro__random_fast(void); /* for choices; per thread, no system call */
MICRO_PRIVATE void micro__host_name(char *out, size_t size); /* "localhost" if unknown */
/* Resident bytes and number of threads of this process; 0 where unknown. */
MICRO_PRIVATE void micro__process_usage(uint64_t *memory, uint64_t *threads);
/* Raises the soft limit of open files to n if the hard limit allows; returns the limit in force. */
MICRO_PRIVATE uint64_t micro__raise_fd_limit(uint64_t n);
/* Has the system make room for n open files at once, where it would do so little by little. fd is
 * any that is open. */
MICRO_PRIVATE void micro__fd_room(int fd, uint64_t n);
MICRO_PRIVATE const char *micro__env(const char *name); /* NULL: unset */
MICRO_PRIVATE bool micro__is_terminal(int fd);

/* ---- threads ------------------------------------------------------------------------------- */

#if !MICRO_OMIT_THREADS
typedef pthread_mutex_t micro__mutex;
typedef pthread_cond_t micro__cond; /* on the monotonic clock */
typedef pthread_t micro__thread_id;
#define MICRO__MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define MICRO__COND_INIT \
    PTHREAD_COND_INITIALIZER /* for waits without a deadline only: its clock is not ours */

MICRO_PRIVATE void micro__mutex_init(micro__mutex *m);
MICRO_PRIVATE void micro__mutex_destroy(micro__mutex *m);
static inline void micro__lock(micro__mutex *m)
{
    pthread_mutex_lock(m);
}
static inline void micro__unlock(micro__mutex *m)
{
    pthread_mutex_unlock(m);
}
MICRO_PRIVATE void micro__cond_init(micro__cond *c);
MICRO_PRIVATE void micro__cond_destroy(micro__cond *c);
static inline void micro__cond_signal(micro__cond *c)
{
    pthread_cond_signal(c);
}
static inline void micro__cond_broadcast(micro__cond *c)
{
    pthread_cond_broadcast(c);
}
/* False: deadline (micro__now_ms clock, 0: none) has passed. Spurious wake-ups happen. */
MICRO_PRIVATE bool micro__cond_wait(micro__cond *c, micro__mutex *m, uint64_t deadline);
/* stack: bytes, rounded up to what the system wants; 0: the system's default. All signals are
 * blocked in it but those of faults. */
MICRO_PRIVATE bool micro__thread_start(micro__thread_id *id, size_t stack, void *(*fn)(void *),
                                       void *arg);
static inline micro__thread_id micro__thread_self(void)
{
    return pthread_self();
}
static inline bool micro__thread_is_self(micro__thread_id id)
{
    return pthread_equal(id, pthread_self()) != 0;
}
static inline void micro__thread_join(micro__thread_id id)
{
    pthread_join(id, NULL);
}

#else /* one thread: nothing to lock, nobody to wake or to wait for */

typedef char micro__mutex, micro__cond, micro__thread_id;
#define MICRO__MUTEX_INIT 0
#define MICRO__COND_INIT 0

static inline void micro__mutex_init(micro__mutex *m)
{
    *m = MICRO__MUTEX_INIT;
}
static inline void micro__mutex_destroy(micro__mutex *m)
{
    (void)m;
}
static inline void micro__lock(micro__mutex *m)
{
    (void)m;
}
static inline void micro__unlock(micro__mutex *m)
{
    (void)m;
}
static inline void micro__cond_init(micro__cond *c)
{
    *c = MICRO__COND_INIT;
}
static inline void micro__cond_destroy(micro__cond *c)
{
    (void)c;
}
static inline void micro__cond_signal(micro__cond *c)
{
    (void)c;
}
static inline void micro__cond_broadcast(micro__cond *c)
{
    (void)c;
}
/* What is waited for cannot come: sleeps until deadline, which there must be, and is false. */
MICRO_PRIVATE bool micro__cond_wait(micro__cond *c, micro__mutex *m, uint64_t deadline);
static inline bool micro__thread_start(micro__thread_id *id, size_t stack, void *(*fn)(void *),
                                       void *arg)
{
    (void)id, (void)stack, (void)fn, (void)arg;
    return false;
}
static inline void micro__thread_join(micro__thread_id id)
{
    (void)id;
}
static inline micro__thread_id micro__thread_self(void)
{
    return 0;
}
static inline bool micro__thread_is_self(micro__thread_id id)
{
    return id == 0;
}
#endif

/* ---- signals ------------------------------------------------------------------------------- */

/* Catches SIGINT and SIGTERM, each only if the program has not; the descriptor (-1: failed) becomes
 * readable with the first one, for all who catch. The last to release it puts things back. */
MICRO_PRIVATE int micro__signals_catch(void);
MICRO_PRIVATE void micro__signals_release(int fd); /* -1: nothing */

/* ---- sockets ------------------------------------------------------------------------------- */

typedef struct micro__addr { /* a socket address, opaque outside src/os */
    union {
        uint64_t align_[16];
        unsigned char bytes[128];
    } u;
    uint32_t len;
} micro__addr;

/* "1.2.3.4", "::1", port. False: not an IP literal. */
MICRO_PRIVATE bool micro__addr_literal(micro__addr *out, micro_str host, uint16_t port);
/* host:port, literal or name (this one may block in the system's resolver), or unix:/path; ":port"
 * is "::". EINVAL malformed, ENOTFOUND unknown host, ENOMEM. */
MICRO_PRIVATE micro_err micro__addr_resolve(micro__addr *out, micro_str address);
/* "1.2.3.4:80", "[::1]:80", "unix:/path"; out holds 128 bytes. */
MICRO_PRIVATE void micro__addr_format(const micro__addr *a, char out[128]);
MICRO_PRIVATE uint16_t micro__addr_port(const micro__addr *a);
/* A connection to `to` comes to whoever listens at bound on this machine. */
MICRO_PRIVATE bool micro__addr_reaches(const micro__addr *to, const micro__addr *bound);
/* The same IP, or both have none. */
MICRO_PRIVATE bool micro__addr_same_host(const micro__addr *a, const micro__addr *b);

/* *fd listens; *bound is what the system chose. A stale unix socket file is replaced; "::" takes
 * IPv4 too and is 0.0.0.0 where there is no IPv6. EBUSY: in use; EINVAL: not with this address;
 * ENOMEM; EIO. */
MICRO_PRIVATE micro_err micro__sock_listen(const micro__addr *want, int backlog, int *fd,
                                           micro__addr *bound);
/* Removes the file of a unix listener, once that is closed; a file that somebody else listens on
 * stays. Any address may be passed. */
MICRO_PRIVATE void micro__sock_unlink(const micro__addr *bound);
/* The next connection, TCP_NODELAY set; peer may be NULL. EAGAIN: none; ENOMEM: out of descriptors
 * or memory; EIO: try the next; ECLOSED: this listener is no more. */
MICRO_PRIVATE micro_err micro__sock_accept(int listener, int *fd, micro__addr *peer);
/* Begins to connect; a wildcard address is this machine. MICRO_OK: connected; EAGAIN: wait until it
 * is writable, then end; ECONNECT: refused, unreachable (why: errno's text). Failure closes it. */
MICRO_PRIVATE micro_err micro__sock_connect_begin(const micro__addr *to, int *fd, char why[128]);
MICRO_PRIVATE micro_err micro__sock_connect_end(int *fd, char why[128]);
/* The peer of a connection is on this machine, as far as its address tells. */
MICRO_PRIVATE bool micro__sock_is_near(int fd);
/* >= 0 bytes moved (recv: 0 = end of stream); EAGAIN: would block; EIO: connection lost. */
MICRO_PRIVATE long micro__sock_send(int fd, const void *data, size_t len);
MICRO_PRIVATE long micro__sock_send2(int fd, const void *a, size_t alen, const void *b,
                                     size_t blen); /* one system call */
MICRO_PRIVATE long micro__sock_recv(int fd, void *data, size_t len);
/* What a read would find, which is left there: > 0 bytes, 0 the end of the stream, EAGAIN, EIO. */
MICRO_PRIVATE long micro__sock_peek(int fd);
/* An idle connection: true if the peer has neither closed it nor sent anything. */
MICRO_PRIVATE bool micro__sock_quiet(int fd);
enum { MICRO__READ = 1, MICRO__WRITE = 2 };
/* Waits for one descriptor until deadline (0: for ever): MICRO_OK, ETIMEDOUT, EIO. */
MICRO_PRIVATE micro_err micro__fd_wait(int fd, int what, uint64_t deadline);
#if !MICRO_OMIT_THREADS
MICRO_PRIVATE bool micro__fd_ready(int fd, int what, int us); /* waits so long at most */
#endif
/* Of any descriptor, waiting: > 0 bytes, 0 the end, EIO. */
MICRO_PRIVATE long micro__fd_read(int fd, void *data, size_t len);
MICRO_PRIVATE bool micro__sock_peer(int fd, micro__addr *out); /* where it leads to */
/* They lead to each other. Of sockets with a path that is not known: false. */
MICRO_PRIVATE bool micro__sock_are_ends(int a, int b);
MICRO_PRIVATE void micro__sock_probe(int fd);    /* a silent peer too, so that its end is noticed */
MICRO_PRIVATE void micro__sock_end(int fd);      /* ours: the peer reads to the end */
MICRO_PRIVATE void micro__sock_shutdown(int fd); /* both ways: wakes whoever waits for it */
MICRO_PRIVATE void micro__fd_close(int fd);      /* -1 is fine */
/* A descriptor that holds a place for the day when none is left. -1: none. */
MICRO_PRIVATE int micro__fd_reserve(void);

/* ---- interfaces and multicast (mDNS) ------------------------------------------------------- */

typedef struct micro__iface {
    unsigned index;
    bool loopback, multicast, v6;
    uint8_t ip[16]; /* 4 bytes used for IPv4 */
    char text[64];  /* of ip */
    char name[32];
} micro__iface;

/* Addresses of interfaces that are up, at most max; returns how many were written. */
MICRO_PRIVATE size_t micro__ifaces(micro__iface *out, size_t max);

/* A UDP socket bound to the wildcard address and port (0: any), address (and, where sharing needs
 * it, port) reuse set, multicast loop on, TTL 255 unless ttl says otherwise (0 = 255). v6: IPv6
 * only. */
MICRO_PRIVATE micro_err micro__udp_open(bool v6, uint16_t port, int ttl, int *fd);
/* Joins 224.0.0.251 or ff02::fb on the interface. EEXIST: already joined. */
MICRO_PRIVATE micro_err micro__udp_join(int fd, bool v6, const micro__iface *on);
/* Sends to the group, port 5353, over the interface (NULL: the system's route). */
MICRO_PRIVATE micro_err micro__udp_multicast(int fd, bool v6, const micro__iface *over,
                                             const void *data, size_t len);
MICRO_PRIVATE micro_err micro__udp_send(int fd, const micro__addr *to, const void *data,
                                        size_t len);
/* >= 0 bytes; EAGAIN none; EIO; from and iface index (0 unknown) are filled in. A datagram longer
 * than size is cut: returns ETOOBIG. */
MICRO_PRIVATE long micro__udp_recv(int fd, void *data, size_t size, micro__addr *from,
                                   unsigned *iface);

/* ---- poller -------------------------------------------------------------------------------- */

enum {
    MICRO__IN = 1,
    MICRO__OUT = 2,
    MICRO__HUP = 4
}; /* HUP: the peer has ended its side, or an error */
typedef struct micro__event {
    void *data;
    unsigned what;
} micro__event;
/* Wakes a thread that waits for several descriptors: see micro__fds_wait. */
typedef struct micro__waker {
    int fd; /* readable once it was set, until it is cleared; -1: not open */
    int in; /* what is written to: the same, or the other end of a pipe */
} micro__waker;

typedef struct micro__poller { /* one a loop */
    int fd; /* readable when something is due: for micro_poll_fd; -1: there is no such thing */
    micro__waker wake;
#if MICRO__POLLER == MICRO__POLLER_POLL
    struct micro__pollset *set;
#endif
} micro__poller;

MICRO_PRIVATE micro_err micro__poller_open(micro__poller *p);
MICRO_PRIVATE void micro__poller_close(micro__poller *p);
/* Edge-triggered, to be read and, when asked for, to be written: what a descriptor is ready for is
 * reported once, and again when there is news. poll knows no news, only what is, and kqueue has
 * news of every byte that goes out: with them, what was reported is not looked for until
 * micro__poller_rearm says that it was used up. Hence whoever owns the descriptor reads until a
 * read does not fill its buffer, writes until a write falls short, and then rearms that side. If it
 * was not used up after all it is reported at once: nothing is lost, at worst something is told
 * twice. HUP is told once. One event a descriptor and wait. */
MICRO_PRIVATE micro_err micro__poller_add(micro__poller *p, int fd, void *data);
/* Level-triggered, for a listener watched by several pollers: not all of them are woken, where the
 * system can do that. For anything that is only read. */
MICRO_PRIVATE micro_err micro__poller_add_listener(micro__poller *p, int fd, void *data);
/* Before the descriptor is closed. */
MICRO_PRIVATE void micro__poller_del(micro__poller *p, int fd);
/* MICRO__IN: all has been read; MICRO__OUT: a write has fallen short, or a connection is to come
 * about. data as it was added. By the thread that waits. Nothing at all with epoll, which tells
 * both from the start. */
#if MICRO__POLLER != MICRO__POLLER_EPOLL
MICRO_PRIVATE void micro__poller_rearm(micro__poller *p, int fd, void *data, unsigned what);
#else
static inline void micro__poller_rearm(micro__poller *p, int fd, void *data, unsigned what)
{
    (void)p, (void)fd, (void)data, (void)what;
}
#endif
/* From any thread: the wait under way, or the next one, returns. Wake-ups themselves are not
 * reported as events. */
MICRO_PRIVATE void micro__poller_wake(micro__poller *p);
/* timeout_ms < 0: for ever. Returns the number of events, 0 for none, interrupted or woken. */
MICRO_PRIVATE int micro__poller_wait(micro__poller *p, micro__event *out, int max, int timeout_ms);

MICRO_PRIVATE bool micro__waker_open(micro__waker *w); /* false: failed, and w is closed */
MICRO_PRIVATE void micro__waker_close(micro__waker *w);
MICRO_PRIVATE void micro__waker_set(const micro__waker *w); /* in signal handlers too */
MICRO_PRIVATE void micro__waker_clear(const micro__waker *w);
/* Waits until one of n descriptors is readable or deadline (0: none); ready[i] says which. */
MICRO_PRIVATE micro_err micro__fds_wait(const int *fds, size_t n, bool *ready, uint64_t deadline);

/* ---- test hooks: every system call that may fail at any time goes through here ------------- */

#if MICRO_ENABLE_TEST_HOOKS
#include <poll.h>
#if MICRO__LINUX
#include <sys/epoll.h>
#endif
#include <sys/socket.h>
#include <time.h>

typedef struct micro__sys_table {
    ssize_t (*recv)(int fd, void *data, size_t size, int flags);
    ssize_t (*send)(int fd, const void *data, size_t size, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    ssize_t (*sendto)(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
                      socklen_t len);
    int (*accept4)(int fd, struct sockaddr *from, socklen_t *len, int flags);
    int (*connect)(int fd, const struct sockaddr *to, socklen_t len);
    int (*socket)(int family, int type, int protocol);
    int (*poll)(struct pollfd *fds, nfds_t n, int timeout);
#if MICRO__LINUX
    int (*epoll_wait)(int fd, struct epoll_event *events, int max, int timeout);
    int (*epoll_ctl)(int fd, int what, int on, struct epoll_event *event);
#endif
    int (*clock_gettime)(clockid_t clock, struct timespec *out);
} micro__sys_table;

MICRO_PRIVATE micro__sys_table micro__sys; /* change it while no thread of the library runs */
#endif

#endif
