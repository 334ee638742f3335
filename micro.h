/* SPDX-License-Identifier: MIT
 *
 * micro.h - microservices in C, in two files. A service has a name, registers itself, is found by
 * name, is called by RPC in JSON or protobuf; it talks to go-micro programs of every generation.
 *     cc greeter.c micro.c -lpthread          C11 or C++17
 *
 * This header is the manual; what is not in it is not API. Sections 4 to 7 make a service.
 *
 *    1 Configuration    2 Version, errors    3 Strings, lists    4 Messages      5 Context
 *    6 Service          7 Calls              8 Async calls       9 Streams      10 Events
 *   11 Middleware      12 Choosing nodes    13 Registry         14 Broker       15 Transport
 *   16 Codecs, JSON    17 Flags, plug-ins   18 Running          19 Log, metrics, traces
 *   20 Memory          21 Toolkit           22 Machinery (not for reading)
 *
 * Rules that hold everywhere
 *  - You lend inputs for the duration of the call. What the library hands you lives in a micro_ctx
 *    and ends with it. Tables and objects named in options are kept. You free what you made.
 *  - 0 is success; negative is local (MICRO_E...); 100 to 999 was raised by a service. The text is
 *    in the ctx.
 *  - Every function takes NULL for its handle and then fails with MICRO_ENOMEM, since NULL is what
 *    `new` gives when memory is out. Hence no ladder of checks.
 *  - A micro_str made by the library has ptr[len] == 0 and is never NULL. Text may contain NUL: len
 *    counts, and micro_concat keeps it where printf stops.
 *  - 0 in an option (not in an argument) means "default"; MICRO_OFF switches a limit off. Times are
 *    milliseconds.
 *  - Callbacks run on library threads, or in micro_poll, no lock held. They may call anything but
 *    free of the object that called them; no exception and no longjmp leaves them.
 *  - Structures with `size_` grow at the end: macros fill it in C, `micro_call_opts o{};` in C++.
 *    Those that say so grow too; the others are frozen.
 *
 * A comment ends in [owner | errors | threads]. owner of what is returned: ctx, you, lib, or -.
 * errors, without MICRO_: `call` = those of micro_call, `sticky` = kept, returned by run and call.
 * threads: any; ctx = one thread at a time per ctx (or stream); setup = before run or start.
 */
#ifndef MICRO_H
#define MICRO_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef MICRO_CONFIG_H
#include MICRO_CONFIG_H /* your defines; micro.c reads it too */
#endif

/* ---- 1. Configuration --------------------------------------------------------------------------
 * For compiling micro.c, by -D or in the file that MICRO_CONFIG_H names. Nothing declared below
 * depends on them.
 *
 * Switches, 0 or 1, default 0:
 *   MICRO_OMIT_THREADS       no threads, no locks, no -lpthread: micro_poll drives all (section 18)
 *   MICRO_ENABLE_ZLIB        zlib instead of the built-in inflate and deflate (add -lz)
 *   MICRO_ENABLE_TEST_HOOKS  replaceable system calls, for the library's own tests
 *   MICRO_USE_POLL           poll() and plain POSIX calls where the system has better ones: epoll
 *                            (Linux) or kqueue (macOS, BSD); anything else gets them unasked
 *   MICRO_USE_KQUEUE         kqueue where it is not the system's own (add -lkqueue)
 *
 * Limits:
 *   MICRO_MAX_HEADER   16384 bytes of an HTTP head; more is 431
 *   MICRO_MAX_BODY   4194304 bytes of a message; more is 413; .max_body lowers it
 *   MICRO_MAX_DEPTH      128 nesting of JSON and protobuf, skipped members included
 *   MICRO_CONN_BUF     16384 read buffer and write buffer of a thread that serves
 *   MICRO_MAX_HEADERS    128 header lines of a message; more is 431
 *   MICRO_STREAM_BUF   65536 bytes of a stream with callbacks that wait to go out
 *   MICRO_ARENA_CHUNK   4096 */

#ifndef MICRO_LOG_MAX
#define MICRO_LOG_MAX 4 /* MICRO_LOG above this level compiles to nothing */
#endif

#ifndef MICRO_API /* `static` works with #include "micro.c" */
#define MICRO_API extern
#define MICRO_API_DATA_
#else
#define MICRO_API_DATA_ MICRO_API /* where the library defines its public data */
#endif
#if defined(__GNUC__)
#define MICRO_CHECKED __attribute__((warn_unused_result)) /* see micro_ignore */
#define MICRO_PRINTF_(fmt, first) __attribute__((format(printf, fmt, first)))
#define MICRO_INLINE_ static inline __attribute__((unused))
#else
#define MICRO_CHECKED
#define MICRO_PRINTF_(fmt, first)
#define MICRO_INLINE_ static inline
#endif
#ifdef __cplusplus
#define MICRO_DEFAULT_(value) = value
extern "C" {
#else
#define MICRO_DEFAULT_(value)
#endif
#define MICRO_SIZE_(T) uint32_t size_ MICRO_DEFAULT_((uint32_t)sizeof(T)) /* 0: as of 1.0 */

#define MICRO_COUNTOF(array) (sizeof(array) / sizeof((array)[0]))
#define MICRO_OFF (-1)

/* ---- 2. Version, errors ----------------------------------------------------------------------*/

#define MICRO_VERSION_MAJOR 0
#define MICRO_VERSION_MINOR 1
#define MICRO_VERSION_PATCH 0
#define MICRO_ABI 1 /* changes with a frozen structure or a signature; checked by service_new */

/* Of the library linked: "0.1.0". [lib | - | any] */
MICRO_API const char *micro_version(void);

typedef int micro_err;

#define MICRO_ERRORS_(X) \
    X(ENOMEM, -1, "out of memory")                X(EINVAL, -2, "invalid argument") \
    X(ENOTFOUND, -3, "not found")                 X(ENONODE, -4, "none available") \
    X(ETIMEDOUT, -5, "timed out")                 X(ECANCELED, -6, "canceled") \
    X(ECONNECT, -7, "cannot connect")             X(EIO, -8, "connection lost") \
    X(EPROTO, -9, "peer broke the protocol")      X(ECODEC, -10, "unsupported content type") \
    X(EFORMAT, -11, "malformed message")          X(ETOOBIG, -12, "over a limit") \
    X(EAGAIN, -13, "not now")                     X(EOS, -14, "end of stream") \
    X(EEXIST, -15, "already there")               X(EBUSY, -16, "address in use") \
    X(ECLOSED, -17, "closed")                     X(ENOSYS, -18, "not supported here") \
    X(EVERSION, -19, "micro.h and micro.c differ") \
    X(EUSAGE, -20, "wrong usage")                 X(EHELP, -21, "help or version was printed") \
    X(EREMOTE, -22, "remote error without a usual code") \
    X(EPLAIN, -23, "error sent as plain text")

#define MICRO_ERROR_(name, number, text) MICRO_##name = number,
enum micro_errors { MICRO_OK = 0, MICRO_ERRORS_(MICRO_ERROR_) };
#undef MICRO_ERROR_

/* A code's constant text: "timed out", "Bad Request". What happened in full is in
 * micro_ctx_strerror. [lib | - | any] */
MICRO_API const char *micro_strerror(micro_err err);

/* Says that an error does not matter: micro_ignore(micro_post(...)). [- | - | any] */
MICRO_INLINE_ void micro_ignore(micro_err err) { (void)err; }

/* ---- 3. Strings, lists -----------------------------------------------------------------------*/

typedef struct micro_str { const char *ptr; size_t len; } micro_str;
typedef struct micro_bytes { const uint8_t *ptr; size_t len; } micro_bytes;

/* printf("[" MICRO_STR_FMT "]", MICRO_STR_ARG(s)): for a str that is not terminated */
#define MICRO_STR_FMT "%.*s"
#define MICRO_STR_ARG(s) (int)(s).len, (s).ptr

/* Views a C string; NULL gives "". Folded by the compiler for literals. [- | - | any] */
MICRO_INLINE_ micro_str micro_s(const char *text)
{
    micro_str s = { text ? text : "", text ? strlen(text) : 0 };
    return s;
}

/* nocase: ASCII only. [- | - | any] */
MICRO_API bool micro_str_eq(micro_str a, micro_str b);
MICRO_API bool micro_str_eq_nocase(micro_str a, micro_str b);

/* A list of anything. To fill one, point it at an array of yours (.ptr, .len), or append. */
#define MICRO_LIST(T) struct { T *ptr; size_t len, cap; }
typedef MICRO_LIST(micro_str) micro_strs;
typedef MICRO_LIST(micro_bytes) micro_bytes_list;
typedef MICRO_LIST(bool) micro_bools;
typedef MICRO_LIST(int32_t) micro_int32s;
typedef MICRO_LIST(int64_t) micro_int64s;
typedef MICRO_LIST(uint32_t) micro_uint32s;
typedef MICRO_LIST(uint64_t) micro_uint64s;
typedef MICRO_LIST(float) micro_floats;
typedef MICRO_LIST(double) micro_doubles;

typedef struct micro_pair { micro_str key, value; } micro_pair;
typedef MICRO_LIST(micro_pair) micro_pairs; /* map<string, string>, metadata */

/* Appends a zeroed element and points at it; NULL when memory is out:
 *     int64_t *id = micro_append(ctx, &rsp->ids);
 *     if (id) *id = 7;
 * An array of yours in the list is copied first. Evaluates list twice. [ctx | - | ctx] */
#define micro_append(ctx, list) \
    (micro_list_grow_((ctx), (list), sizeof *(list)->ptr) ? (list)->ptr + (list)->len - 1 : NULL)

/* ---- 4. Messages -------------------------------------------------------------------------------
 * One constant table per struct drives JSON, protobuf, endpoint descriptions and the CLI. Its rows
 * read like .proto (p is the struct):
 *
 *   string name = 1;             MICRO_FIELD(string, p, name, 1)             micro_str name;
 *   address work = 2;            MICRO_FIELD(message(address), p, work, 2)   address work;
 *   person boss = 3;             MICRO_FIELD(pointer(person), p, boss, 3)    person *boss;
 *   colour eyes = 4;             MICRO_FIELD(enum(colour), p, eyes, 4)       colour eyes;
 *   optional int32 age = 5;      MICRO_OPTIONAL(int32, p, age, 5)            int32_t age;
 *                                                                            bool has_age;
 *   repeated string tags = 6;    MICRO_REPEATED(string, p, tags, 6)          micro_strs tags;
 *   map<string, string> m = 7;   MICRO_MAP(micro_pair, p, m, 7)              micro_pairs m;
 *   repeated float xs = 8;       MICRO_ARRAY(float, p, xs, 8)                float xs[9];
 *                                                                            size_t n_xs;
 *   string id = 9;               MICRO_CHARS(p, id, 9)                       char id[16];
 *   oneof pay {                                                              union {
 *     string card = 10;          MICRO_ONEOF(pay, string, p, card, 10)           micro_str card;
 *     int64 cash = 11;           MICRO_ONEOF(pay, int64, p, cash, 11)            int64_t cash;
 *   }                                                                        }; uint32_t which_pay;
 *
 * Kinds: double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64
 * bool string bytes enum(E) message(T) pointer(T). A member of another C type does not compile, and
 * the compiler names it. On the wire a member has its own name, less one trailing underscore
 * (class_). Zero fields are not written, absent ones are zero ("" for strings, NULL for pointers).
 * ARRAY and CHARS need no memory; what does not fit is MICRO_ETOOBIG. which_pay holds the tag. A
 * map's entry is a message with fields key = 1 and value = 2. Rarer things (another JSON name, zero
 * kept) are a row written out. */

typedef struct micro_field {
    const char *name;
    const void *sub;        /* micro_type or micro_enum */
    uint32_t tag, offset;
    uint32_t aux;           /* offset of has_, which_, n_ */
    uint32_t size, cap;     /* of one element; elements of an array */
    uint8_t kind, label, flags, spare_;
} micro_field;

enum micro_kind {
    MICRO_KIND_double = 1, MICRO_KIND_float, MICRO_KIND_int32, MICRO_KIND_int64, MICRO_KIND_uint32,
    MICRO_KIND_uint64, MICRO_KIND_sint32, MICRO_KIND_sint64, MICRO_KIND_fixed32, MICRO_KIND_fixed64,
    MICRO_KIND_sfixed32, MICRO_KIND_sfixed64, MICRO_KIND_bool, MICRO_KIND_string, MICRO_KIND_bytes,
    MICRO_KIND_enum, MICRO_KIND_message, MICRO_KIND_pointer, MICRO_KIND_chars
};
enum micro_label { MICRO_PLAIN, MICRO_HAS, MICRO_WHICH, MICRO_MANY, MICRO_ENTRIES, MICRO_FIXED };
enum micro_field_flags { MICRO_KEEP_ZERO = 1, MICRO_UNPACKED = 2, MICRO_INT_AS_TEXT = 4 };

typedef struct micro_type {
    uint16_t size_, field_size_; /* of micro_type, micro_field: both may grow */
    uint32_t nfields;
    const char *name;            /* as published, without package */
    size_t size;
    const micro_field *fields;
    uint32_t flags;
} micro_type;

typedef struct micro_enumerator { const char *name; int32_t number; } micro_enumerator;
typedef struct micro_enum {
    const char *name;
    const micro_enumerator *values;
    size_t len;
} micro_enum;

/* MICRO_TYPE(person, "Person", rows...) defines `const micro_type person_type`. MICRO_TYPE_DECL
 * goes into a header if several files use it, and before MICRO_TYPE if a type contains itself. */
#define MICRO_TYPE_DECL(T) extern const micro_type T##_type
#define MICRO_TYPE(T, wire_name, ...) \
    MICRO_TYPE_DECL(T); \
    static const micro_field T##_fields_[] = { __VA_ARGS__ }; \
    const micro_type T##_type = { sizeof(micro_type), sizeof(micro_field), \
        (uint32_t)MICRO_COUNTOF(T##_fields_), wire_name, sizeof(T), T##_fields_, 0 }

/* A message without fields. */
#define MICRO_TYPE_NONE(T, wire_name) \
    MICRO_TYPE_DECL(T); \
    const micro_type T##_type = { sizeof(micro_type), sizeof(micro_field), 0, wire_name, \
        sizeof(T), NULL, 0 }

/* MICRO_ENUM(colour, "Colour", { "RED", RED }, { "BLUE", BLUE }) defines `colour_enum`. */
#define MICRO_ENUM_DECL(E) extern const micro_enum E##_enum
#define MICRO_ENUM(E, wire_name, ...) \
    MICRO_ENUM_DECL(E); \
    static const micro_enumerator E##_values_[] = { __VA_ARGS__ }; \
    const micro_enum E##_enum = { wire_name, E##_values_, MICRO_COUNTOF(E##_values_) }

/* Ready-made: micro_empty; micro_bytes, the body as it is, in whatever content type; micro_value,
 * any JSON (section 16); micro_pair. */
typedef struct micro_empty { char unused_; } micro_empty;
typedef struct micro_value micro_value;
MICRO_API const micro_type micro_type_empty, micro_type_bytes, micro_type_value, micro_type_pair;

/* ---- 5. Context --------------------------------------------------------------------------------
 * Memory, deadline, metadata, values and last error of one piece of work. A handler is given one; a
 * client makes one and uses it for any number of calls. New and free are cheap (a free list). */

typedef struct micro_ctx micro_ctx;
typedef struct micro_service micro_service;

/* Without deadline. With svc NULL it serves memory, JSON, registries; calls on it fail. NULL when
 * memory is out. [you: micro_ctx_free | - | any] */
MICRO_API micro_ctx *micro_ctx_new(micro_service *svc);

/* Cancels and waits for what was started on it, closes its streams, ends all it holds. NULL is
 * fine. [- | - | ctx] */
MICRO_API void micro_ctx_free(micro_ctx *ctx);

/* Frees the memory taken from ctx since it was made (in a handler: since it began) and the error;
 * strings put into rsp before go too. Deadline, metadata, values, streams and running calls stay.
 * For loops, and for stream handlers between messages. [- | - | ctx] */
MICRO_API void micro_ctx_reset(micro_ctx *ctx);

/* Deadline = now + ms, for every further call; MICRO_OFF: none. left: 0 = over, MICRO_OFF = none.
 * [- | - | ctx] */
MICRO_API void micro_ctx_set_timeout(micro_ctx *ctx, int ms);
MICRO_API int micro_ctx_time_left(micro_ctx *ctx);

/* Ends a call that waits on ctx with MICRO_ECANCELED, now, and every later one. A handler's ctx is
 * canceled when its caller has gone; canceled() is also true past the deadline. [- | - | any] */
MICRO_API void micro_ctx_cancel(micro_ctx *ctx);
MICRO_API bool micro_ctx_canceled(micro_ctx *ctx);

/* Has fn called once, on cancel or at the deadline that ctx has now; a second one replaces the
 * first, NULL takes it back, after a fn that runs. So does the end of the handler. fn runs beside
 * the ctx's thread and leaves the ctx alone. [- | ENOMEM; EINVAL: ctx without a service | ctx] */
MICRO_API micro_err micro_ctx_on_cancel(micro_ctx *ctx, void (*fn)(void *arg), void *arg);

/* Metadata: text that travels with calls; keys compare without case. What came in with a
 * request goes on with calls made from its handler. get: "" when absent. set: copies, NULL deletes,
 * a control character is EINVAL. [ctx | sticky: returned by the next call on ctx | ctx] */
MICRO_API micro_str micro_metadata_get(micro_ctx *ctx, const char *key);
MICRO_API void micro_metadata_set(micro_ctx *ctx, const char *key, const char *value);
MICRO_API const micro_pairs *micro_metadata_all(micro_ctx *ctx);

/* Pointers of yours that go with a ctx; never on the wire. The key is an address of yours; get
 * gives NULL when absent. [you | sticky: ENOMEM, returned by the next call on ctx | ctx] */
MICRO_API void *micro_ctx_value(micro_ctx *ctx, const void *key);
MICRO_API void micro_ctx_set_value(micro_ctx *ctx, const void *key, void *value);

/* Memory of the ctx, never freed one by one; zeroed, aligned for anything. When it runs out: NULL
 * or "", and a handler's OK becomes a 500: no answer is half right. [ctx | - | ctx] */
MICRO_API void *micro_alloc(micro_ctx *ctx, size_t size);
MICRO_API micro_str micro_copy(micro_ctx *ctx, micro_str text);
MICRO_API micro_str micro_concat(micro_ctx *ctx, micro_str a, micro_str b); /* keeps NULs */
MICRO_API micro_str micro_format(micro_ctx *ctx, const char *fmt, ...) MICRO_PRINTF_(2, 3);
MICRO_API micro_str micro_vformat(micro_ctx *ctx, const char *fmt, va_list a) MICRO_PRINTF_(2, 0);
#define micro_new(ctx, T) ((T *)micro_alloc((ctx), sizeof(T)))

/* What is being served or called. Grows at the end. */
typedef struct micro_method micro_method;
typedef struct micro_node micro_node;
typedef struct micro_info {
    int stage;                 /* MICRO_WRAP_..., section 11; 0: nothing yet */
    int attempt;               /* from 1; 0 outside of one */
    bool async;                /* micro_next_run only starts it */
    const char *service;       /* serving: our name; calling: theirs */
    const char *endpoint;      /* "Say.Hello"; NULL for an event */
    const char *topic;         /* NULL for a call */
    const char *content_type;
    const char *peer;          /* "10.1.2.3:4567"; "" before a node is chosen */
    const micro_method *method;
    const micro_node *node;    /* NULL outside an attempt, or by address */
} micro_info;

/* info: in a handler the request's, else that of the last attempt made on ctx; never NULL. state is
 * what was registered with the handler. [lib | - | ctx] */
MICRO_API const micro_info *micro_ctx_info(micro_ctx *ctx);
MICRO_API micro_service *micro_ctx_service(micro_ctx *ctx);
MICRO_API void *micro_ctx_state(micro_ctx *ctx);

/* Leaves an error in ctx and returns what the handler shall return:
 *     return micro_fail(ctx, 400, "bad name %s", name);
 * code: 100 to 999, or 0 to send the bare text as a plain Go error does. The id is the service's
 * name; fail_id sets another. [- | code, EPLAIN for 0 | ctx] */
MICRO_API micro_err micro_fail(micro_ctx *ctx, int code, const char *fmt, ...) MICRO_PRINTF_(3, 4);
MICRO_API micro_err micro_fail_id(micro_ctx *ctx, const char *id, int code, const char *fmt, ...)
    MICRO_PRINTF_(4, 5);

/* The error of the last call as received, empty after success; and in one line for people. Never
 * NULL. [ctx | - | ctx] */
typedef struct micro_error { micro_str id; int code; micro_str detail, status; } micro_error;
MICRO_API const micro_error *micro_ctx_error(micro_ctx *ctx);
MICRO_API const char *micro_ctx_strerror(micro_ctx *ctx);

/* ---- 6. Service ------------------------------------------------------------------------------*/

typedef struct micro_registry micro_registry;
typedef struct micro_broker micro_broker;
typedef struct micro_transport micro_transport;
typedef struct micro_selector micro_selector;
typedef struct micro_codec micro_codec;
typedef struct micro_flag micro_flag;
typedef struct micro_plugin micro_plugin;
typedef struct micro_call_opts micro_call_opts;

/* Command line > environment > these > defaults. Strings are copied; tables and objects are kept
 * until micro_service_free and stay yours. */
typedef struct micro_service_opts {
    MICRO_SIZE_(micro_service_opts);
    uint32_t abi_ MICRO_DEFAULT_(MICRO_ABI);
    const char *name;              /* go.micro.srv.greeter; default go-server */
    const char *version;           /* 1.0.0 */
    const char *id;                /* node id is name-id; default random */
    const char *address;           /* host:port, host:low-high, unix:/path; default any free port */
    const char *advertise;         /* registered instead of address */
    const char *description;       /* for --help */
    const char *const *metadata;   /* of the node: "zone=eu", ..., NULL */
    int argc;                      /* as main got them; absent: environment only */
    char **argv;
    const micro_flag *flags;       /* yours, section 17 */
    size_t nflags;
    const micro_plugin *plugins;   /* more names for --registry and the like */
    size_t nplugins;
    const micro_codec *const *codecs; /* more content types */
    size_t ncodecs;
    micro_registry *registry;      /* mdns */
    micro_broker *broker;          /* http */
    micro_transport *transport;    /* http */
    micro_selector *selector;      /* cache */
    const micro_call_opts *call;   /* for every call that says nothing else */
    int register_ttl_ms;           /* the registry's own */
    int register_interval_ms;
    int pool_size;                 /* idle connections per node, 100 */
    int pool_idle_ms;              /* 30 000 */
    int pool_age_ms;               /* 60 000 */
    int loops;                     /* event loops, one per CPU; MICRO_OFF: micro_poll drives */
    int max_threads;               /* 256, see section 18. Both are the process's: the first to */
                                   /* start sets them, another that asks for else gets EINVAL */
    int max_conns;                 /* 20 000, then accepting pauses; raises RLIMIT_NOFILE (soft) */
    int max_requests;              /* running at once, then 503, tried elsewhere; no limit */
    int max_body;                  /* MICRO_MAX_BODY */
    int idle_ms;                   /* a silent connection is closed, 75 000; so is a stream whose */
                                   /* caller takes nothing of what waits for it */
    int drain_ms;                  /* stop waits for handlers, 30 000; 1: does not; OFF: for ever */
    bool metrics;                  /* answers GET /metrics, section 19 */
    bool trace;                    /* begins a W3C trace where there is none, section 19 */
    bool function;                 /* ends after one request or event (Debug.* does not count) */
    int max_memory;                /* bytes of requests half read and replies half sent, of all */
                                   /* connections and streams together, 268 435 456; more is 503, */
                                   /* and ends a stream */
} micro_service_opts;

/* C:   micro_service_new(.name = "greeter", .argc = argc, .argv = argv)
 * C++: micro_service_opts o{}; o.name = "greeter"; micro_service_create(&o)
 * NULL only when memory is out. Anything else that fails is kept: the first error sticks, later
 * calls and run return it. --help and --version print and leave MICRO_EHELP. Nothing is opened yet.
 * [you: micro_service_free | sticky EINVAL EUSAGE EVERSION EHELP | any] */
#define micro_service_new(...) \
    micro_service_create(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, __VA_ARGS__))
MICRO_API micro_service *micro_service_create(const micro_service_opts *opts);

/* Options in place, in C: say_hello_with(..., MICRO_OPTS(micro_call_opts, .timeout_ms = 200)) */
#define MICRO_OPTS(T, ...) (&(T){ .size_ = (uint32_t)sizeof(T), __VA_ARGS__ })

/* Registers, serves until SIGINT, SIGTERM or stop, then deregisters, lets handlers finish, closes.
 * Logs its own failure. Once. [- | the first that stuck, EBUSY, a hook's | any] */
MICRO_API MICRO_CHECKED micro_err micro_service_run(micro_service *svc);

/* The halves of run, for programs with a main loop; signals are left alone. stop waits drain_ms at
 * most, then cancels what still runs and waits for it, 1 s for requests and 200 ms for events; in a
 * callback it only asks. Not for signal handlers. A client needs neither.
 * [- | as run | any] */
MICRO_API MICRO_CHECKED micro_err micro_service_start(micro_service *svc);
MICRO_API void micro_service_stop(micro_service *svc);

/* Stops first, if need be. Free its contexts before. [- | - | any, last] */
MICRO_API void micro_service_free(micro_service *svc);

/* For main: 0 after OK and EHELP, 2 after wrong usage, else 1. An error of the service's own counts
 * before err; svc NULL: err alone. [- | - | any] */
MICRO_API int micro_service_exit_code(micro_service *svc, micro_err err);

/* error: the one that stuck. address: as registered, "" before start. args: the words that are no
 * flags, and their count. [lib | - | any] */
MICRO_API micro_err micro_service_error(micro_service *svc);
MICRO_API const char *micro_service_name(micro_service *svc);
MICRO_API const char *micro_service_address(micro_service *svc);
MICRO_API size_t micro_service_args(micro_service *svc, const char *const **args);

/* Hooks, in the order given. An error before start aborts; at stop all run. [- | sticky | setup] */
enum micro_moment { MICRO_BEFORE_START, MICRO_AFTER_START, MICRO_BEFORE_STOP, MICRO_AFTER_STOP };
MICRO_API void micro_service_on(micro_service *svc, enum micro_moment when,
                                micro_err (*fn)(micro_service *svc, void *arg), void *arg);

/* ---- 7. Calls ----------------------------------------------------------------------------------
 * A method is declared once, by those who serve it and those who call it:
 *
 *     MICRO_METHOD(say_hello, "Say.Hello", hello_req, hello_rsp);
 *
 * and that defines, typed, so that swapped or foreign arguments do not pass:
 *
 *     micro_err say_hello(ctx, service, &req, &rsp);                     call and wait
 *     micro_err say_hello_with(ctx, service, &req, &rsp, opts);
 *     void say_hello_start(ctx, service, &req, done, arg);               section 8
 *     void say_hello_start_with(ctx, service, &req, opts, done, arg);
 *     size_t say_hello_start_all(ctx, service, &req, opts, done, arg);   every node
 *     void say_hello_handle(svc, handler, state);                        serve
 *         micro_err handler(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp);
 *     const micro_method say_hello_method;
 *
 * Generated code is the same macro. service NULL: the default that a .proto, or METHOD_EX, gave.
 * A method known only at run time is a micro_method of yours, of micro_value or micro_bytes. */

#define MICRO_METHOD(id, wire_name, Req, Rsp) MICRO_METHOD_EX(id, wire_name, Req, Rsp, NULL, 0)
#define MICRO_METHOD_EX(id, wire_name, Req, Rsp, service, flags) \
    MICRO_METHOD_(id, wire_name, Req, Rsp, service, flags) /* section 22 */

enum micro_method_flags {
    MICRO_IDEMPOTENT = 1,          /* may be executed twice: safe to try again */
    MICRO_STREAMING = 2,           /* section 9 */
    MICRO_INTERNAL = 4             /* served, not listed */
};
struct micro_method {
    MICRO_SIZE_(micro_method);
    uint32_t flags;
    const char *name;              /* "Say.Hello" */
    const micro_type *req, *rsp;
    const char *service;           /* default, or NULL */
    const char *const *metadata;   /* of the endpoint: "key=value", ..., NULL */
};

struct micro_call_opts {
    MICRO_SIZE_(micro_call_opts);
    int timeout_ms;                /* all attempts together, 5000; the ctx's deadline bounds it */
    int dial_timeout_ms;           /* 5000 */
    int attempts;                  /* in all, 3; only if surely not executed, or idempotent */
    bool idempotent;
    const char *content_type;      /* application/json; application/protobuf */
    const char *address;           /* host:port: no look-up */
    const char *version;           /* nodes of this version only */
    const char *label;             /* nodes with this metadata only, "key=value" */
    bool listed;                   /* nodes that registered the endpoint only */
    const struct micro_strategy *strategy; /* section 12; random */
    const char *key;               /* for micro_strategy_hash: same key, same node */
    bool (*filter)(void *arg, const micro_node *node); /* asked for every node on every call */
    int (*backoff)(void *arg, int attempt); /* ms before attempt 2...; 10, 100, 1000, jittered */
    bool (*retry)(void *arg, micro_ctx *ctx, micro_err err, int attempt); /* last word */
    void *arg;                     /* of the three, which must not wait for anything: a loop may */
                                   /* stand still meanwhile */
    int retry_budget;              /* further attempts, % of a service's calls, 10; 100 may be */
                                   /* spent ahead, one a second always; refused ones are free */
    int eject_after;               /* failures of a node in a row, 5: see section 12 */
    int break_after;               /* calls in a row that a node did not answer, 20: the same */
    int eject_ms;                  /* until the first trial, 1000; then double, to 30 000 */
    int hedge_ms;                  /* idempotent and no answer by then: another node is asked too */
                                   /* and the first answer counts; not with MICRO_WRAP_CALL; off */
};

/* Calls and waits; others run on meanwhile, also if this is a handler's thread (where micro_poll
 * drives, nothing else runs until it returns). rsp is written in full: zero and "" after an error;
 * what it points to lives in ctx. Local failures fill ctx's error as go-micro's client does (id
 * go.micro.client, 408 for ETIMEDOUT). [ctx | ENOTFOUND ENONODE ETIMEDOUT ECANCELED ECONNECT EIO
 * EPROTO ECODEC EFORMAT ETOOBIG EREMOTE ENOMEM ECLOSED EINVAL, what stuck, or 100 to 999 from the
 * service | ctx] */
MICRO_API MICRO_CHECKED micro_err micro_call(micro_ctx *ctx, const char *service,
                                             const micro_method *method, const void *req, void *rsp,
                                             const micro_call_opts *opts);

/* Serves a method (kept). fn is yours, of any type; invoke knows how to call it. rsp is zeroed;
 * both live in ctx. Handlers run in parallel and may block. A negative result becomes a 500, a
 * positive one sends ctx's error if it has that code, else the bare code.
 * [- | sticky EEXIST EINVAL ENOMEM | setup] */
typedef void micro_fn(void);
typedef micro_err micro_invoke_fn(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp);
MICRO_API void micro_service_handle(micro_service *svc, const micro_method *method,
                                    micro_invoke_fn *invoke, micro_fn *fn, void *state);

/* ---- 8. Async calls ----------------------------------------------------------------------------
 *     static void done(micro_ctx *ctx, micro_err err, const hello_rsp *rsp, void *arg);
 *
 *     say_hello_start(ctx, "greeter", &req, done, arg);    any number of times
 *     err = micro_ctx_wait(ctx);                           until all have completed
 *
 * No thread waits for the answers. Each call has a child of ctx: deadline, metadata and values as
 * they were at the start, cancel shared, memory and error its own. It ends when done returns: copy
 * out what is to stay, not into the parent's memory. Completions of one ctx run one at a time and
 * share data without locks, but beside the code that started them, until that waits. What a handler
 * started and did not wait for is canceled when it returns; its reply goes out after the last. */

/* Starts a call; req is encoded before it returns, the method is kept. All failures come through
 * done, which runs once, also after cancel, never inside start (except, on the parent, where the
 * call cannot begin: no memory, no service, what stuck, EINVAL). rsp is NULL unless err is OK.
 * [child | by done: call | ctx] */
typedef void micro_done_fn(micro_ctx *child, micro_err err, micro_fn *fn, const void *rsp,
                           void *arg);
MICRO_API void micro_call_start(micro_ctx *ctx, const char *service, const micro_method *method,
                                const void *req, const micro_call_opts *opts, micro_done_fn *done,
                                micro_fn *fn, void *arg);

/* Scatter and gather: a call to each node of the service that the options let through, all at
 * once; done runs for each, and its ctx's info says with which peer; gather with micro_ctx_wait.
 * A further attempt goes to the same node. Those that other calls pass over (section 12) are asked
 * too. Waits here only for a name that is not known yet.
 * Returns how many calls were started; none: done has run once, on the parent. Several services:
 * start a call each.
 * [child | by done: call | ctx] */
MICRO_API size_t micro_call_start_all(micro_ctx *ctx, const char *service,
                                      const micro_method *method, const void *req,
                                      const micro_call_opts *opts, micro_done_fn *done,
                                      micro_fn *fn, void *arg);

/* Waits until the calls and callback streams of ctx have ended, at most until its deadline. Where
 * micro_poll drives, it drives meanwhile, and in a callback or handler fails with EBUSY.
 * [- | EBUSY; ETIMEDOUT, ECANCELED: some go on | ctx, not in a completion of it] */
MICRO_API MICRO_CHECKED micro_err micro_ctx_wait(micro_ctx *ctx);

/* ---- 9. Streams --------------------------------------------------------------------------------
 * MICRO_STREAM(chat, "Chat.Talk", line, reply) defines, typed:
 *
 *     micro_err chat(ctx, service, &st);  chat_with(ctx, service, &st, opts);        open
 *     micro_err chat_send_req(st, &line);     micro_err chat_recv_rsp(st, &reply);   caller's two
 *     micro_err chat_recv_req(st, &line);     micro_err chat_send_rsp(st, &reply);   handler's two
 *     void chat_handle(svc, handler, state);                                         serve
 *         micro_err handler(micro_ctx *ctx, micro_stream *st);
 *     void chat_on_req(st, message, end, arg);  void chat_on_rsp(st, ...);           callbacks
 *         void message(micro_ctx *ctx, micro_stream *st, const line *msg, void *arg);
 *
 * Straight line: the handler loops over recv and send, holds a thread, and ends the stream by
 * returning: OK (or the EOS that recv gave it) is a good end, an error reaches the caller's recv.
 * Callbacks: the handler calls on_req and returns; the stream lives on without a thread. The caller
 * has both forms too. Where micro_poll drives, a straight-line handler keeps all else waiting, and
 * a caller that waits for a service of its own thread drives it meanwhile; two on one thread that
 * wait for each other get EBUSY.
 *
 * A handler's ctx has no deadline, and is canceled when its caller is gone without having ended
 * the stream. Callers of 2018 end by closing: that is a good end; a broken connection cancels. */

#define MICRO_STREAM(id, wire_name, Req, Rsp) MICRO_STREAM_EX(id, wire_name, Req, Rsp, NULL, 0)
#define MICRO_STREAM_EX(id, wire_name, Req, Rsp, service, flags) \
    MICRO_STREAM_(id, wire_name, Req, Rsp, service, flags)

typedef struct micro_stream micro_stream;

/* Opens a stream to one node, over a connection of its own. It belongs to ctx and is closed with
 * it. The timeout covers opening only. [ctx | call; ENOSYS: not with this transport | ctx] */
MICRO_API MICRO_CHECKED micro_err micro_stream_open(micro_ctx *ctx, const char *service,
                                                    const micro_method *method,
                                                    const micro_call_opts *opts,
                                                    micro_stream **out);

/* send waits while the peer is slow; recv waits for the next message, which lives until the next
 * recv, and leaves zero on error. Both until ctx's deadline: after ETIMEDOUT recv may be tried
 * again, as after EFORMAT, and send not. Errors of send are only returned, those of recv are in ctx
 * too. [stream | EOS: the peer ended well; ECLOSED; EBUSY: see above; else as call | one sends, one
 * receives] */
MICRO_API MICRO_CHECKED micro_err micro_stream_send(micro_stream *st, const void *msg);
MICRO_API MICRO_CHECKED micro_err micro_stream_recv(micro_stream *st, void *msg);

/* Caller: no more from here, recv goes on. [- | ENOSYS: 2018 peers, and those called by address,
 * know only close; ECLOSED; as send | as send] */
MICRO_API MICRO_CHECKED micro_err micro_stream_end(micro_stream *st);

/* Ends it both ways. A handler's caller is told EOS for OK, else the error; a handler is told EOS
 * for OK, else its ctx is canceled. A caller's st is gone after that, and whoever waits in it gets
 * ECLOSED. Not needed where a handler returns or a ctx is freed. [- | - | any] */
MICRO_API void micro_stream_close(micro_stream *st, micro_err err);

/* Hands the stream to callbacks: one at a time, in order, on a loop. What they get or allocate from
 * ctx ends when they return (a caller's is a child of the one that it was opened on). send then
 * never waits and any one thread may use it: beyond MICRO_STREAM_BUF it is EAGAIN and takes
 * nothing, room tells when it will again, and message is not called meanwhile, so that one answer
 * to each message is always taken. end is last (EOS: ended well, and a handler may still send in
 * it); st is valid until it returns. message and end may be NULL.
 * [- | by end: also EINVAL for a second time | handler, or who opened it] */
typedef void micro_message_fn(micro_ctx *ctx, micro_stream *st, micro_fn *fn, const void *msg,
                              void *arg);
typedef void micro_room_fn(micro_ctx *ctx, micro_stream *st, void *arg);
typedef void micro_end_fn(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg);
MICRO_API void micro_stream_on(micro_stream *st, micro_message_fn *message, micro_fn *fn,
                               micro_end_fn *end, void *arg);
MICRO_API void micro_stream_on_room(micro_stream *st, micro_room_fn *room); /* before on */

/* Serves a streaming method (kept). [- | sticky EEXIST EINVAL ENOMEM | setup] */
typedef micro_err micro_stream_fn(micro_ctx *ctx, micro_stream *st);
MICRO_API void micro_service_handle_stream(micro_service *svc, const micro_method *method,
                                           micro_stream_fn *fn, void *state);

/* ---- 10. Events ---------------------------------------------------------------------------------
 * MICRO_TOPIC(greetings, "go.micro.topic.greetings", greeting) defines, typed:
 *
 *     micro_err greetings_publish(ctx, &msg);             greetings_publish_with(ctx, &msg, opts)
 *     void greetings_subscribe(svc, handler, state);      greetings_subscribe_with(..., opts)
 *         micro_err handler(micro_ctx *ctx, const greeting *msg);
 *
 * MICRO_OK from the handler acknowledges; an error asks the broker to deliver again, where it can
 * (http and memory cannot: at most once). Metadata of the event is in ctx, its topic in
 * micro_ctx_info. An event outlives its publisher: nobody cancels the ctx but the end of a stop. */

#define MICRO_TOPIC(id, topic, T) MICRO_TOPIC_(id, topic, T)

typedef struct micro_publish_opts {
    MICRO_SIZE_(micro_publish_opts);
    const char *content_type;      /* application/json; application/protobuf */
    const char *key;               /* for brokers that partition */
} micro_publish_opts;

typedef struct micro_subscribe_opts {
    MICRO_SIZE_(micro_subscribe_opts);
    const char *queue;             /* of those that share a queue, one gets the event */
    bool internal;                 /* not listed as an endpoint */
    int max_running;               /* events handled at once, .max_threads / 4; 1: in order */
} micro_subscribe_opts;

/* Hands the event to the broker; OK is not delivery. Waits only to find out who subscribes, and
 * while subscribers that keep taking events have no room for more. [- | ENOTFOUND: nobody
 * subscribes; EAGAIN: none of them has room; ECONNECT: none can be reached; EIO EFORMAT ECODEC
 * ETOOBIG ETIMEDOUT ECANCELED EINVAL ENOMEM, what stuck | ctx] */
MICRO_API MICRO_CHECKED micro_err micro_publish(micro_ctx *ctx, const char *topic,
                                                const micro_type *type, const void *msg,
                                                const micro_publish_opts *opts);

/* Subscribes for the life of the service; type is kept, strings are copied. Handlers run in
 * parallel and may block. For less, micro_broker_subscribe. [- | sticky EINVAL ENOMEM | setup] */
typedef micro_err micro_receive_fn(micro_ctx *ctx, micro_fn *fn, const void *msg);
MICRO_API void micro_service_subscribe(micro_service *svc, const char *topic,
                                       const micro_type *type, micro_receive_fn *receive,
                                       micro_fn *fn, void *state,
                                       const micro_subscribe_opts *opts);

/* ---- 11. Middleware ----------------------------------------------------------------------------
 * One type for four places. It may look, change metadata, refuse with micro_fail, run the rest more
 * than once, or answer by itself: that is also how a client is replaced in a test. First registered
 * is outermost. Streams have neither req nor rsp, events no rsp, attempts of a started call no req.
 *
 *     static micro_err log_calls(micro_ctx *ctx, const micro_info *info, const void *req,
 *                                void *rsp, micro_next *next, void *arg)
 *     {
 *         micro_err err = micro_next_run(next, ctx);
 *         MICRO_LOG(MICRO_LOG_INFO, "%s: %d", info->topic ? info->topic : info->endpoint, err);
 *         return err;
 *     }
 *     micro_service_wrap(svc, MICRO_WRAP_CLIENT | MICRO_WRAP_HANDLER, log_calls, NULL); */

enum micro_wrap {
    MICRO_WRAP_CLIENT = 1,         /* a whole call, the opening of a stream, a publish */
    MICRO_WRAP_CALL = 2,           /* one attempt at one node, info->node and peer */
    MICRO_WRAP_HANDLER = 4,        /* every request that is served, Debug.* too */
    MICRO_WRAP_SUBSCRIBER = 8
};
typedef struct micro_next micro_next;
typedef micro_err micro_middleware(micro_ctx *ctx, const micro_info *info, const void *req,
                                   void *rsp, micro_next *next, void *arg);

/* The rest of the chain, on the ctx that the middleware was given; each run of a whole call has the
 * time-out of a call. Where info->async, OK says that it will be started when the chain returns,
 * which happens once; an error returned after that is the result, and nothing is started.
 * [- | its own; EINVAL: another ctx, or started already | ctx] */
MICRO_API MICRO_CHECKED micro_err micro_next_run(micro_next *next, micro_ctx *ctx);

/* Has fn see, and change, the result of the next run before whoever called does: the only way to
 * see the end of an asynchronous call; good for the others too. Of a stream it is that of the
 * opening, or what its handler returned. One a middleware, the last; innermost first, where
 * completions run. rsp as it is then. Before next_run. [- | - | ctx] */
typedef micro_err micro_after_fn(micro_ctx *ctx, const micro_info *info, micro_err result,
                                 void *rsp, void *arg);
MICRO_API void micro_next_after(micro_next *next, micro_after_fn *fn, void *arg);

/* places: MICRO_WRAP_... or-ed. fn is called by many threads at once.
 * [- | sticky ENOMEM EINVAL | setup] */
MICRO_API void micro_service_wrap(micro_service *svc, unsigned places, micro_middleware *fn,
                                  void *arg);

/* ---- 12. Choosing nodes ------------------------------------------------------------------------
 * The selector keeps an immutable, counted set of nodes per service; the strategy names one by its
 * index. Nothing is copied and nothing locked in between: nanoseconds, however many nodes.
 *
 * A node that fails .eject_after calls in a row, with an error of 500 and up or without an answer,
 * is passed over while others are left (MICRO_OFF: never). One of these that has not answered
 * .break_after calls in a row is not called though none be left, and the call fails at once with
 * MICRO_ENONODE: a circuit breaker. After .eject_ms one call is let through as a trial; with each
 * that fails that time doubles, and any other answer ends it. So a service's own errors are never
 * hidden behind ours, and a node that hangs costs no time-outs. The library remembers this of nodes
 * that built-in selectors choose from. */

struct micro_node {
    micro_str id, address;         /* host:port */
    micro_str version;             /* of its service; the library fills it in */
    micro_pairs metadata;
};

typedef struct micro_nodes {       /* grows at the end */
    const micro_node *const *ptr;
    size_t len;
    uint64_t hash;                 /* differs when the set does */
    const struct micro_endpoints *const *endpoints; /* of each node; NULL: not known */
    const void *lib_;              /* NULL in sets of yours */
    bool stale;                    /* the registry does not answer: this was known last */
} micro_nodes;

typedef struct micro_pick {        /* what a strategy may go by; grows at the end */
    const char *service, *key;     /* key: of the options, or NULL */
    const micro_nodes *nodes;      /* after filters; at least one */
    uint64_t turn;                 /* picks for this service so far */
    uint64_t random;               /* fresh bits */
    int attempt;                   /* from 1 */
    size_t last;                   /* the attempt before; SIZE_MAX: none, or set changed */
    const void *lib_;
} micro_pick;

/* Constant, or first in a struct that holds its state. pick must not block; it is called by many
 * threads at once; an index >= len means none. */
typedef struct micro_strategy {
    MICRO_SIZE_(micro_strategy);
    const char *name;
    size_t (*pick)(const struct micro_strategy *self, const micro_pick *from);
} micro_strategy;

/* This process's calls in progress to that node; 0 in sets of yours. [- | - | in pick] */
MICRO_API uint32_t micro_pick_running(const micro_pick *from, size_t index);

/* Built in. least_calls: the node with the fewest calls in progress; two_choices: the better of two
 * at random, which spares many callers from choosing the same. hash: .key's node, the same in every
 * process as long as it is there; when nodes come and go only their keys move; no key: random. A
 * further attempt goes to another node, with hash to the next in the key's order.
 * [lib | - | any] */
MICRO_API const micro_strategy micro_strategy_random, micro_strategy_round_robin,
    micro_strategy_least_calls, micro_strategy_two_choices, micro_strategy_hash;

/* select waits only for a name not known yet; release returns what it gave. mark: how an attempt
 * ended. reset: forget what was marked and cached; NULL: all. */
typedef struct micro_selector_ops {
    MICRO_SIZE_(micro_selector_ops);
    const char *name;
    micro_err (*select)(micro_selector *, micro_ctx *, const char *service,
                        const micro_nodes **out);
    void (*release)(micro_selector *, const micro_nodes *);
    void (*mark)(micro_selector *, const char *service, const micro_node *, micro_err result);
    void (*reset)(micro_selector *, const char *service);
    void (*free)(micro_selector *);
} micro_selector_ops;
struct micro_selector { const micro_selector_ops *ops; };

/* cache: watched, asked again after ttl_ms (60 000); while the registry does not answer, what was
 * known last does, marked stale, with a line in the log. blacklist: 3 failures in a row, out for
 * 30 s. static: these addresses, or with none the service's name as its address. reg is kept.
 * [you: micro_selector_free | NULL: ENOMEM | any; free last] */
MICRO_API micro_selector *micro_selector_cache_new(micro_registry *reg, int ttl_ms);
MICRO_API micro_selector *micro_selector_blacklist_new(micro_registry *reg);
MICRO_API micro_selector *micro_selector_static_new(const char *const *addresses, size_t n);
MICRO_API void micro_selector_free(micro_selector *sel);

/* ---- 13. Registry ------------------------------------------------------------------------------
 * A registry of yours is a struct whose first member is micro_registry. Ops are called from any
 * thread at once; one that is NULL is MICRO_ENOSYS; without watch the cache asks again by TTL. */

typedef struct micro_desc micro_desc;
typedef MICRO_LIST(micro_desc) micro_descs;
struct micro_desc { micro_str name, type; micro_descs values; }; /* go-micro's Value */

typedef struct micro_endpoint {
    micro_str name;
    const micro_desc *request, *response; /* NULL: none */
    micro_pairs metadata;
} micro_endpoint;
typedef struct micro_endpoints { micro_endpoint *ptr; size_t len, cap; } micro_endpoints;
typedef MICRO_LIST(micro_node) micro_node_list;

typedef struct micro_entry {       /* one version of a service; new facts go into metadata */
    micro_str name, version;
    micro_pairs metadata;
    micro_endpoints endpoints;
    micro_node_list nodes;
} micro_entry;
typedef MICRO_LIST(micro_entry) micro_entries;
MICRO_API const micro_type micro_type_entry; /* registry JSON: written as 2018 does, all read */

enum micro_change { MICRO_CREATED, MICRO_UPDATED, MICRO_DELETED };
typedef void micro_watch_fn(void *arg, enum micro_change what, const micro_entry *entry);
typedef struct micro_watch micro_watch;

typedef struct micro_registry_ops {
    MICRO_SIZE_(micro_registry_ops);
    const char *name;
    micro_err (*put)(micro_registry *, micro_ctx *, const micro_entry *, int ttl_ms);
    micro_err (*del)(micro_registry *, micro_ctx *, const micro_entry *);
    micro_err (*get)(micro_registry *, micro_ctx *, const char *name, micro_entries *out);
    micro_err (*first)(micro_registry *, micro_ctx *, const char *name, micro_entries *out);
    micro_err (*list)(micro_registry *, micro_ctx *, micro_entries *out);
    micro_err (*watch)(micro_registry *, const char *name, micro_watch_fn *, void *arg,
                       micro_watch **out);
    void (*unwatch)(micro_registry *, micro_watch *);
    void (*free)(micro_registry *);
} micro_registry_ops;
struct micro_registry { const micro_registry_ops *ops; };

/* put: again = refresh. del: the nodes named. list: names are enough. watch: NULL = every name.
 * get: an entry a version, ENOTFOUND for none. first (an op only; NULL: get is used) may return as
 * soon as one node is known, where get waits for all; what comes later is told by watch.
 * The entry ends with the callback. unwatch: no callback starts after it; it waits for one that
 * runs, unless called by that one.
 * [out: ctx, watch: you, unwatch | ENOTFOUND ENOSYS ETIMEDOUT EIO ENOMEM | any] */
MICRO_API MICRO_CHECKED micro_err micro_registry_put(micro_registry *reg, micro_ctx *ctx,
                                                     const micro_entry *entry, int ttl_ms);
MICRO_API MICRO_CHECKED micro_err micro_registry_del(micro_registry *reg, micro_ctx *ctx,
                                                     const micro_entry *entry);
MICRO_API MICRO_CHECKED micro_err micro_registry_get(micro_registry *reg, micro_ctx *ctx,
                                                     const char *name, micro_entries *out);
MICRO_API MICRO_CHECKED micro_err micro_registry_list(micro_registry *reg, micro_ctx *ctx,
                                                      micro_entries *out);
MICRO_API MICRO_CHECKED micro_err micro_registry_watch(micro_registry *reg, const char *name,
                                                       micro_watch_fn *fn, void *arg,
                                                       micro_watch **out);
MICRO_API void micro_registry_unwatch(micro_registry *reg, micro_watch *watch);

/* mdns shares the process's one responder; memory is this process, and all of them share one map.
 * [you: micro_registry_free | NULL: ENOMEM | any; free last] */
MICRO_API micro_registry *micro_registry_mdns_new(void);
MICRO_API micro_registry *micro_registry_memory_new(void);
MICRO_API void micro_registry_free(micro_registry *reg);
MICRO_API micro_registry *micro_service_registry(micro_service *svc); /* in use. [lib | - | any] */

/* ---- 14. Broker --------------------------------------------------------------------------------
 * A broker of yours is a struct whose first member is micro_broker. Ops are called from any thread
 * at once; one that is NULL is MICRO_ENOSYS. */

typedef struct micro_msg { micro_pairs header; micro_bytes body; } micro_msg;
typedef micro_err micro_event_fn(void *arg, micro_ctx *ctx, const char *topic,
                                 const micro_msg *msg);
typedef struct micro_sub micro_sub;

/* connect: before anything else; once more for a further service that shares it, and disconnect as
 * often. drain_ms: what is left of the service's; OFF: no limit. disconnect: what was published is
 * sent for so long; http waits so long for answers too, 200 ms at least and 5 s at most.
 * unsubscribe: takes no more; what was taken is handled for so long, then canceled; ETIMEDOUT if a
 * handler runs even so, and the subscription ends with it. In that subscription's own callback it
 * waits for nothing, and what waits is dropped. */
typedef struct micro_broker_ops {
    MICRO_SIZE_(micro_broker_ops);
    const char *name;
    micro_err (*connect)(micro_broker *, micro_ctx *, micro_service *);
    void (*disconnect)(micro_broker *, int drain_ms);
    micro_err (*publish)(micro_broker *, micro_ctx *, const char *topic, const micro_msg *,
                         const micro_publish_opts *);
    micro_err (*subscribe)(micro_broker *, micro_ctx *, const char *topic,
                           const micro_subscribe_opts *, micro_event_fn *, void *arg,
                           micro_sub **out);
    micro_err (*unsubscribe)(micro_broker *, micro_sub *, int drain_ms);
    const char *(*address)(micro_broker *); /* where it listens, or is; may be NULL */
    void (*free)(micro_broker *);
} micro_broker_ops;
struct micro_broker { const micro_broker_ops *ops; };

/* A raw subscription, at any time between start and stop of ctx's service; a client's is connected
 * by it. OK from event = ack; the event's ctx, topic and message end with the callback.
 * unsubscribe: no callback starts after it; it waits for those that run, unless called by one.
 * [sub: you, unsubscribe | ENOSYS ECONNECT EIO EBUSY EINVAL ENOMEM, the registry's | any] */
MICRO_API MICRO_CHECKED micro_err micro_broker_subscribe(micro_broker *broker, micro_ctx *ctx,
                                                         const char *topic,
                                                         const micro_subscribe_opts *opts,
                                                         micro_event_fn *event, void *arg,
                                                         micro_sub **out);
MICRO_API void micro_broker_unsubscribe(micro_broker *broker, micro_sub *sub);

/* http: point to point over the registry; each process listens at address (host:port, NULL: any
 * free port) for what its subscriptions get. memory: this process; handlers run where their own
 * service's do. Services that share an http broker share a registry, and micro_poll drives all of
 * them or none: else the start of the second is EINVAL.
 * [you: micro_broker_free | NULL: ENOMEM | any; free last] */
MICRO_API micro_broker *micro_broker_http_new(const char *address);
MICRO_API micro_broker *micro_broker_memory_new(void);
MICRO_API void micro_broker_free(micro_broker *broker);
MICRO_API micro_broker *micro_service_broker(micro_service *svc); /* in use. [lib | - | any] */

/* ---- 15. Transport -----------------------------------------------------------------------------
 * Whole messages between two ends. The ops block, until the ctx's deadline at most. send: an error
 * says that the peer cannot have the whole message. deliver may be called from any thread; the
 * answer is a send on `from` before deliver returns; msg lives as long and may be overwritten. */

typedef struct micro_listener micro_listener;
typedef struct micro_sock micro_sock;
typedef void micro_deliver_fn(void *arg, micro_sock *from, micro_msg *msg);

typedef struct micro_transport_ops {
    MICRO_SIZE_(micro_transport_ops);
    const char *name;
    micro_err (*listen)(micro_transport *, const char *address, micro_deliver_fn *, void *arg,
                        micro_listener **out);
    const char *(*address)(micro_transport *, micro_listener *); /* what to register */
    void (*unlisten)(micro_transport *, micro_listener *);
    micro_err (*dial)(micro_transport *, micro_ctx *, const char *address, micro_sock **out);
    micro_err (*send)(micro_transport *, micro_ctx *, micro_sock *, const micro_msg *);
    micro_err (*recv)(micro_transport *, micro_ctx *, micro_sock *, micro_msg *out);
    bool (*alive)(micro_transport *, micro_sock *); /* idle and good for another exchange */
    void (*hangup)(micro_transport *, micro_sock *);
    void (*free)(micro_transport *);
} micro_transport_ops;
struct micro_transport { const micro_transport_ops *ops; };

/* [you: micro_transport_free | NULL: ENOMEM | any; free last] */
MICRO_API micro_transport *micro_transport_http_new(void);
MICRO_API micro_transport *micro_transport_memory_new(void);
MICRO_API void micro_transport_free(micro_transport *transport);

/* ---- 16. Codecs, JSON --------------------------------------------------------------------------
 * A codec is constant and knows bodies only; envelopes are the library's. in lives in the ctx and
 * may be overwritten. It must not wait for anything, since a loop may stand still meanwhile. Built
 * in: JSON, protobuf, bytes. */

typedef struct micro_buf micro_buf;
struct micro_codec {
    MICRO_SIZE_(micro_codec);
    const char *content_type;
    micro_err (*encode)(const micro_codec *, micro_ctx *, const micro_type *, const void *obj,
                        micro_buf *out);
    micro_err (*decode)(const micro_codec *, micro_ctx *, const micro_type *, char *in, size_t len,
                        void *obj);
};

/* For encode; running out sticks in the buffer. [- | - | ctx] */
MICRO_API void micro_buf_add(micro_buf *buf, const void *data, size_t len);

/* A message as text or bytes, and back. After an error ctx says where ("lines[2].price: number
 * expected") and the output is zero. [ctx | EFORMAT ETOOBIG ENOMEM | ctx] */
enum micro_json_flags { MICRO_JSON_CANONICAL = 1 /* proto3's, not Go's */, MICRO_JSON_PRETTY = 2 };
MICRO_API MICRO_CHECKED micro_err micro_json_write(micro_ctx *ctx, const micro_type *type,
                                                   const void *obj, unsigned flags, micro_str *out);
MICRO_API MICRO_CHECKED micro_err micro_json_read(micro_ctx *ctx, const micro_type *type,
                                                  micro_str text, unsigned flags, void *obj);
MICRO_API MICRO_CHECKED micro_err micro_proto_write(micro_ctx *ctx, const micro_type *type,
                                                    const void *obj, micro_bytes *out);
MICRO_API MICRO_CHECKED micro_err micro_proto_read(micro_ctx *ctx, const micro_type *type,
                                                   micro_bytes data, void *obj);

/* JSON without a table, as a message of its own (micro_type_value). */
enum micro_value_kind {
    MICRO_VALUE_NULL, MICRO_VALUE_BOOL, MICRO_VALUE_INT, MICRO_VALUE_UINT, MICRO_VALUE_DOUBLE,
    MICRO_VALUE_TEXT, MICRO_VALUE_ARRAY, MICRO_VALUE_OBJECT
};
typedef MICRO_LIST(micro_value) micro_values;
struct micro_value {
    enum micro_value_kind kind;    /* an integer that fits stays one */
    micro_str name;                /* in an object */
    union { bool on; int64_t i; uint64_t u; double d; micro_str text; micro_values items; } as;
};

/* get: a MICRO_VALUE_NULL when absent, never NULL. add: a new member; name NULL: a new item; NULL
 * when memory is out; fill it in before the next add to the same object, which may move it.
 * [ctx | - | ctx] */
MICRO_API const micro_value *micro_value_get(const micro_value *object, const char *name);
MICRO_API micro_value *micro_value_add(micro_ctx *ctx, micro_value *to, const char *name);

/* ---- 17. Flags, plug-ins -----------------------------------------------------------------------
 * In both, the one pointer that is set says what it is. */

struct micro_flag {                /* the variable pointed at holds the default */
    const char *name, *env, *help; /* --name; env may be NULL */
    const char **text;             /* lives as long as the service */
    int *number;
    int *ms;                       /* 5s, 250ms, 1m30s */
    bool *on;
};

struct micro_plugin {              /* what --registry=name makes; address may be NULL */
    const char *name;
    micro_registry *(*registry)(const char *address);
    micro_broker *(*broker)(const char *address);
    micro_transport *(*transport)(const char *address);
    micro_selector *(*selector)(micro_registry *registry);
};

/* ---- 18. Running -------------------------------------------------------------------------------
 * By itself: micro_service_run, or start and stop. In a loop of yours: .loops = MICRO_OFF, start,
 * then micro_poll when micro_poll_fd is readable or micro_poll_timeout has passed; run is then a
 * loop around micro_poll. While a handler or a blocking call waits there, nothing else is done;
 * only a call to a service that the calling thread polls itself is served at once, 16 deep at most.
 * So what is called must not call back; calls that are started (section 8) run side by side.
 * With MICRO_OMIT_THREADS it is always so, whatever .loops says. Then polling one service, or a
 * client that was never started, drives all there is in the process, mdns included; a program that
 * only makes blocking calls need not poll.
 * A handler that waits holds one of .max_threads threads. Half of them serve anything; the others
 * are kept for calls made by handlers, step by step, so that handlers which wait for calls into
 * their own service do not take all: requests wait for a thread then, and the log says so once.
 * After fork, only exec. */

/* This thread will wait for something outside the library: its loop goes on at once, driven by
 * another thread. Unsaid, that happens after a few milliseconds, and at once for a handler that was
 * found blocking before. Calls of this library say so themselves. Pairs nest. [- | - | any] */
MICRO_API void micro_block_begin(void);
MICRO_API void micro_block_end(void);

/* One step: waits at most timeout_ms (MICRO_OFF: for ever) for something to do, and does it.
 * [- | EAGAIN: nothing was due; ECLOSED: stopped | one thread] */
MICRO_API micro_err micro_poll(micro_service *svc, int timeout_ms);

/* What to wait for; MICRO_OFF: no such thing (a system with poll only has no descriptor: call
 * micro_poll now and then). [lib | - | one thread] */
MICRO_API int micro_poll_fd(micro_service *svc);
MICRO_API int micro_poll_timeout(micro_service *svc);

/* Runs fn on a loop in delay_ms; not if the service stops first. [- | ENOMEM ECLOSED | any] */
MICRO_API MICRO_CHECKED micro_err micro_post(micro_service *svc, int delay_ms,
                                             void (*fn)(void *arg), void *arg);

/* ---- 19. Log, metrics, traces ------------------------------------------------------------------
 * Metrics: each endpoint counts its requests, their errors by kind (client: 400 to 499, server:
 * 500 to 599, other), those that run, and how long they took, from whole request to whole reply. A
 * stream is one request, from its opening to its end. Topics count how their events were handled.
 * It costs two looks at the clock, or one (of events that came together, the next one's time begins
 * where the one before ended), and no lock. Debug.Stats, and so `micro stats`, tells them. With
 * .metrics (--metrics), GET /metrics on the service's own port gives them to Prometheus:
 *     micro_requests_total{endpoint,outcome}    micro_requests_running{endpoint}
 *     micro_request_duration_seconds{endpoint}  micro_requests_rejected_total (came to no endpoint)
 *     micro_service_info{name,version,id}       process_... (start, memory, threads)
 *
 * W3C trace context (traceparent, tracestate) is metadata: what came in goes on with every call
 * made from the handler, with a new parent for each; what is not valid is dropped, and what you set
 * goes out as it is. With .trace (--trace), requests and calls without a trace begin one; otherwise
 * none is invented.
 *
 * Lines that a handler logs end in " endpoint=..." and, within a trace, " trace=ID". Write your own
 * facts as key=value too, and the log is structured. */

enum micro_log_level {
    MICRO_LOG_NONE, MICRO_LOG_ERROR, MICRO_LOG_WARN, MICRO_LOG_INFO, MICRO_LOG_DEBUG
};
typedef void micro_log_fn(void *arg, int level, const char *file, int line, const char *text,
                          size_t len);

/* Process-wide. Default: errors, a line each on stderr; fn NULL: stderr. [- | - | any] */
MICRO_API void micro_log_set(int level, micro_log_fn *fn, void *arg);

/* MICRO_LOG(MICRO_LOG_INFO, "%d nodes", n). At most 512 bytes a line. [- | - | any] */
MICRO_API void micro_log(int level, const char *file, int line, const char *fmt, ...)
    MICRO_PRINTF_(4, 5);
#define MICRO_LOG(level, ...) \
    ((level) <= MICRO_LOG_MAX ? micro_log((level), __FILE__, __LINE__, __VA_ARGS__) : (void)0)

/* ---- 20. Memory ------------------------------------------------------------------------------*/

/* One function for everything: old NULL allocates, new_size 0 frees; old_size was asked for.
 * Process-wide, before anything else. [- | - | setup] */
typedef void *micro_realloc_fn(void *arg, void *old, size_t old_size, size_t new_size);
MICRO_API void micro_allocator_set(micro_realloc_fn *fn, void *arg);

/* The same out of one array of yours; malloc is never called. peak: the most ever in use.
 * [- | - | setup; peak: any] */
MICRO_API void micro_pool_use(void *memory, size_t size);
MICRO_API size_t micro_pool_peak(void);

/* ---- 21. Toolkit -----------------------------------------------------------------------------*/

/* The `micro` command: micro_cli.c is a main around it. [exit code | - | one thread] */
MICRO_API int micro_cli_main(int argc, char **argv);

/* ---- 22. Machinery -----------------------------------------------------------------------------
 * What the macros above are made of. Names that end in _ are not for you. */

MICRO_API bool micro_list_grow_(micro_ctx *ctx, void *list, size_t element_size);

#define micro_empty_type micro_type_empty /* what pasting _type gives */
#define micro_bytes_type micro_type_bytes
#define micro_value_type micro_type_value
#define micro_pair_type micro_type_pair
#define micro_entry_type micro_type_entry

#define MICRO_METHOD_(id, wire_name, Req, Rsp, service, flags) \
    static const micro_method id##_method = { (uint32_t)sizeof(micro_method), flags, wire_name, \
        &Req##_type, &Rsp##_type, service, NULL }; \
    MICRO_INLINE_ MICRO_CHECKED micro_err id(micro_ctx *ctx_, const char *service_, \
                                             const Req *req_, Rsp *rsp_) \
    { return micro_call(ctx_, service_, &id##_method, req_, rsp_, NULL); } \
    MICRO_INLINE_ MICRO_CHECKED micro_err id##_with(micro_ctx *ctx_, const char *service_, \
                                                    const Req *req_, Rsp *rsp_, \
                                                    const micro_call_opts *opts_) \
    { return micro_call(ctx_, service_, &id##_method, req_, rsp_, opts_); } \
    MICRO_INLINE_ void id##_done_(micro_ctx *ctx_, micro_err err_, micro_fn *fn_, \
                                  const void *rsp_, void *arg_) \
    { ((void (*)(micro_ctx *, micro_err, const Rsp *, void *))fn_)(ctx_, err_, (const Rsp *)rsp_, \
                                                                   arg_); } \
    MICRO_INLINE_ void id##_start_with(micro_ctx *ctx_, const char *service_, const Req *req_, \
                                       const micro_call_opts *opts_, \
                                       void (*done_)(micro_ctx *, micro_err, const Rsp *, void *), \
                                       void *arg_) \
    { micro_call_start(ctx_, service_, &id##_method, req_, opts_, id##_done_, (micro_fn *)done_, \
                       arg_); } \
    MICRO_INLINE_ void id##_start(micro_ctx *ctx_, const char *service_, const Req *req_, \
                                  void (*done_)(micro_ctx *, micro_err, const Rsp *, void *), \
                                  void *arg_) \
    { id##_start_with(ctx_, service_, req_, NULL, done_, arg_); } \
    MICRO_INLINE_ size_t id##_start_all(micro_ctx *ctx_, const char *service_, const Req *req_, \
                                        const micro_call_opts *opts_, \
                                        void (*done_)(micro_ctx *, micro_err, const Rsp *, \
                                                      void *), \
                                        void *arg_) \
    { return micro_call_start_all(ctx_, service_, &id##_method, req_, opts_, id##_done_, \
                                  (micro_fn *)done_, arg_); } \
    MICRO_INLINE_ micro_err id##_invoke_(micro_ctx *ctx_, micro_fn *fn_, const void *req_, \
                                         void *rsp_) \
    { return ((micro_err (*)(micro_ctx *, const Req *, Rsp *))fn_)(ctx_, (const Req *)req_, \
                                                                   (Rsp *)rsp_); } \
    MICRO_INLINE_ void id##_handle(micro_service *svc_, \
                                   micro_err (*fn_)(micro_ctx *, const Req *, Rsp *), \
                                   void *state_) \
    { micro_service_handle(svc_, &id##_method, id##_invoke_, (micro_fn *)fn_, state_); } \
    MICRO_ASSERT_(sizeof #id > 1, "eats the semicolon")

#define MICRO_STREAM_(id, wire_name, Req, Rsp, service, flags) \
    static const micro_method id##_method = { (uint32_t)sizeof(micro_method), \
        (flags) | MICRO_STREAMING, wire_name, &Req##_type, &Rsp##_type, service, NULL }; \
    MICRO_INLINE_ MICRO_CHECKED micro_err id(micro_ctx *ctx_, const char *service_, \
                                             micro_stream **out_) \
    { return micro_stream_open(ctx_, service_, &id##_method, NULL, out_); } \
    MICRO_INLINE_ MICRO_CHECKED micro_err id##_with(micro_ctx *ctx_, const char *service_, \
                                                    micro_stream **out_, \
                                                    const micro_call_opts *opts_) \
    { return micro_stream_open(ctx_, service_, &id##_method, opts_, out_); } \
    MICRO_INLINE_ void id##_handle(micro_service *svc_, micro_stream_fn *fn_, void *state_) \
    { micro_service_handle_stream(svc_, &id##_method, fn_, state_); } \
    MICRO_STREAM_SIDE_(id, req, Req) \
    MICRO_STREAM_SIDE_(id, rsp, Rsp) \
    MICRO_ASSERT_(sizeof #id > 1, "eats the semicolon")

#define MICRO_STREAM_SIDE_(id, side, T) \
    MICRO_INLINE_ MICRO_CHECKED micro_err id##_send_##side(micro_stream *st_, const T *msg_) \
    { return micro_stream_send(st_, msg_); } \
    MICRO_INLINE_ MICRO_CHECKED micro_err id##_recv_##side(micro_stream *st_, T *msg_) \
    { return micro_stream_recv(st_, msg_); } \
    MICRO_INLINE_ void id##_message_##side##_(micro_ctx *ctx_, micro_stream *st_, micro_fn *fn_, \
                                              const void *msg_, void *arg_) \
    { ((void (*)(micro_ctx *, micro_stream *, const T *, void *))fn_)(ctx_, st_, (const T *)msg_, \
                                                                      arg_); } \
    MICRO_INLINE_ void id##_on_##side(micro_stream *st_, \
                                      void (*fn_)(micro_ctx *, micro_stream *, const T *, void *), \
                                      micro_end_fn *end_, void *arg_) \
    { micro_stream_on(st_, fn_ ? id##_message_##side##_ : NULL, (micro_fn *)fn_, end_, arg_); }

#define MICRO_TOPIC_(id, topic, T) \
    MICRO_INLINE_ MICRO_CHECKED micro_err id##_publish(micro_ctx *ctx_, const T *msg_) \
    { return micro_publish(ctx_, topic, &T##_type, msg_, NULL); } \
    MICRO_INLINE_ MICRO_CHECKED micro_err id##_publish_with(micro_ctx *ctx_, const T *msg_, \
                                                            const micro_publish_opts *opts_) \
    { return micro_publish(ctx_, topic, &T##_type, msg_, opts_); } \
    MICRO_INLINE_ micro_err id##_receive_(micro_ctx *ctx_, micro_fn *fn_, const void *msg_) \
    { return ((micro_err (*)(micro_ctx *, const T *))fn_)(ctx_, (const T *)msg_); } \
    MICRO_INLINE_ void id##_subscribe_with(micro_service *svc_, \
                                           micro_err (*fn_)(micro_ctx *, const T *), void *state_, \
                                           const micro_subscribe_opts *opts_) \
    { micro_service_subscribe(svc_, topic, &T##_type, id##_receive_, (micro_fn *)fn_, state_, \
                              opts_); } \
    MICRO_INLINE_ void id##_subscribe(micro_service *svc_, \
                                      micro_err (*fn_)(micro_ctx *, const T *), void *state_) \
    { id##_subscribe_with(svc_, fn_, state_, NULL); } \
    MICRO_ASSERT_(sizeof #id > 1, "eats the semicolon")

/* The rows of a table: kind by pasting, member type checked at compile time. */
#define MICRO_FIELD(kind, T, m, tag) \
    MICRO_ROW_(T, m, tag, MICRO_SUB_##kind, 0, MICRO_C_##kind, 0, MICRO_KIND_##kind, MICRO_PLAIN, \
               m, MICRO_C_##kind *)
#define MICRO_OPTIONAL(kind, T, m, tag) \
    MICRO_ROW_(T, m, tag, MICRO_SUB_##kind, MICRO_AUX_(T, has_##m, bool), MICRO_C_##kind, 0, \
               MICRO_KIND_##kind, MICRO_HAS, m, MICRO_C_##kind *)
#define MICRO_ONEOF(one, kind, T, m, tag) \
    MICRO_ROW_(T, m, tag, MICRO_SUB_##kind, MICRO_AUX_(T, which_##one, uint32_t), MICRO_C_##kind, \
               0, MICRO_KIND_##kind, MICRO_WHICH, m, MICRO_C_##kind *)
#define MICRO_REPEATED(kind, T, m, tag) \
    MICRO_ROW_(T, m, tag, MICRO_SUB_##kind, 0, MICRO_C_##kind, 0, MICRO_KIND_##kind, MICRO_MANY, \
               m.ptr, MICRO_C_##kind **)
#define MICRO_MAP(entry, T, m, tag) \
    MICRO_ROW_(T, m, tag, &entry##_type, 0, entry, 0, MICRO_KIND_message, MICRO_ENTRIES, m.ptr, \
               entry **)
#define MICRO_ARRAY(kind, T, m, tag) \
    MICRO_ROW_(T, m, tag, MICRO_SUB_##kind, MICRO_AUX_(T, n_##m, size_t), MICRO_C_##kind, \
               MICRO_LEN_(T, m), MICRO_KIND_##kind, MICRO_FIXED, m, \
               MICRO_C_##kind(*)[MICRO_LEN_(T, m)])
#define MICRO_CHARS(T, m, tag) \
    MICRO_ROW_(T, m, tag, NULL, 0, char, MICRO_LEN_(T, m), MICRO_KIND_chars, MICRO_PLAIN, m, \
               char(*)[MICRO_LEN_(T, m)])

#define MICRO_ROW_(T, m, tag, sub, aux, ctype, cap, kind, label, part, want) \
    { #m, sub, tag, (uint32_t)offsetof(T, m) + MICRO_MUST_(T, part, want, MICRO_QUOTE_(ctype)), \
      aux, (uint32_t)sizeof(ctype), (uint32_t)(cap), kind, label, 0, 0 }
#define MICRO_AUX_(T, m, want) \
    ((uint32_t)offsetof(T, m) + MICRO_MUST_(T, m, want *, MICRO_QUOTE_(want)))
#define MICRO_LEN_(T, m) (sizeof(((T *)0)->m) / sizeof(((T *)0)->m[0]))
#define MICRO_QUOTE_(x) MICRO_QUOTE2_(x)
#define MICRO_QUOTE2_(x) #x

#ifdef __cplusplus
} /* extern "C" */
#define MICRO_ASSERT_(ok, text) static_assert(ok, text)
template <class Have, class Need> struct micro_same_ { static constexpr bool value = false; };
template <class T> struct micro_same_<T, T> { static constexpr bool value = true; };
template <bool Fits, class Have, class Need> struct micro_must_ {
    static_assert(Fits, "micro: a member does not fit its field kind: see Have and Need");
    static constexpr uint32_t zero = 0;
};
#define MICRO_MUST_(T, m, want, text) \
    (micro_must_<micro_same_<decltype(&((T *)0)->m), want>::value, decltype(&((T *)0)->m), \
                 want>::zero)
#else
#define MICRO_ASSERT_(ok, text) _Static_assert(ok, text)
#define MICRO_MUST_(T, m, want, text) \
    ((uint32_t)(0 * sizeof(struct { \
        _Static_assert(_Generic(&((T *)0)->m, want: 1, default: 0), \
                       "micro: " #T "." #m " does not fit its field kind, which needs " text); \
        int unused_; \
    })))
#endif

#define MICRO_C_double double
#define MICRO_C_float float
#define MICRO_C_int32 int32_t
#define MICRO_C_int64 int64_t
#define MICRO_C_uint32 uint32_t
#define MICRO_C_uint64 uint64_t
#define MICRO_C_sint32 int32_t
#define MICRO_C_sint64 int64_t
#define MICRO_C_fixed32 uint32_t
#define MICRO_C_fixed64 uint64_t
#define MICRO_C_sfixed32 int32_t
#define MICRO_C_sfixed64 int64_t
#define MICRO_C_bool bool
#define MICRO_C__Bool bool /* what bool becomes on its way through a macro of yours */
#define MICRO_C_string micro_str
#define MICRO_C_bytes micro_bytes
#define MICRO_C_enum(E) E
#define MICRO_C_message(T) T
#define MICRO_C_pointer(T) T *

#define MICRO_SUB_double NULL
#define MICRO_SUB_float NULL
#define MICRO_SUB_int32 NULL
#define MICRO_SUB_int64 NULL
#define MICRO_SUB_uint32 NULL
#define MICRO_SUB_uint64 NULL
#define MICRO_SUB_sint32 NULL
#define MICRO_SUB_sint64 NULL
#define MICRO_SUB_fixed32 NULL
#define MICRO_SUB_fixed64 NULL
#define MICRO_SUB_sfixed32 NULL
#define MICRO_SUB_sfixed64 NULL
#define MICRO_SUB_bool NULL
#define MICRO_SUB__Bool NULL
#define MICRO_SUB_string NULL
#define MICRO_SUB_bytes NULL
#define MICRO_SUB_enum(E) &E##_enum
#define MICRO_SUB_message(T) &T##_type
#define MICRO_SUB_pointer(T) &T##_type

#define MICRO_KIND__Bool MICRO_KIND_bool
#define MICRO_KIND_enum(E) MICRO_KIND_enum
#define MICRO_KIND_message(T) MICRO_KIND_message
#define MICRO_KIND_pointer(T) MICRO_KIND_pointer

#endif /* MICRO_H */
