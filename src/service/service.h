/* SPDX-License-Identifier: MIT */
/* The inside of a service: its settings, flags, and the parts that it wires together. */
#ifndef MICRO_SERVICE_H
#define MICRO_SERVICE_H

#include "../broker/broker.h"
#include "../client/client.h"
#include "../server/server.h"

/* ---- settings: what options, environment and command line came to -------------------------- */

/* Filled in from micro_service_opts, then by environment, then by command line. 0 = default,
 * MICRO_OFF = off, as in the options; strings live in the service's arena. */
typedef struct micro__settings {
    const char *name, *version, *id, *address, *advertise, *description;
    micro_pairs metadata; /* of the node */
    const char *registry, *registry_address, *selector, *transport,
        *transport_address; /* by name; NULL: the option or the default */
    const char *broker, *broker_address, *client, *server;
    int request_timeout_ms, attempts, pool_size, pool_age_ms; /* of the client_* flags */
    int register_ttl_ms, register_interval_ms;
    int loops, max_threads, max_conns, max_body, max_memory, idle_ms, drain_ms, pool_idle_ms;
    int log_level; /* -1: not asked for */
    bool metrics, trace;
} micro__settings;

/* ---- flags.c, flags_table.c, flags_help.c -----------------------------------------------------
 * One constant table a program part: it
 * parses the command line and the environment, prints --help, and makes the man page and the shell
 * completions. */

#define MICRO__WHY_MAX 256 /* bytes of every `why` below */

typedef enum micro__flag_kind {
    MICRO__FLAG_TEXT,    /* const char *; "" is the preset, or NULL */
    MICRO__FLAG_INT,     /* int; 0 becomes MICRO_OFF where zero_off is set, else it is an error */
    MICRO__FLAG_MS,      /* int; "5s", "250ms" */
    MICRO__FLAG_SECONDS, /* int in ms; a number of seconds, or a duration text */
    MICRO__FLAG_BOOL,    /* bool; --f, --f=false */
    MICRO__FLAG_PAIRS,   /* micro_pairs; k=v, repeated or (environment) separated by commas */
    MICRO__FLAG_LEVEL    /* int; none error warn info debug, or 0 to 4 */
} micro__flag_kind;

typedef struct micro__flag_row {
    const char *name, *env; /* env may be NULL */
    micro__flag_kind kind;
    bool zero_off;
    uint32_t offset;     /* in the structure that the table fills in */
    const char *preset;  /* default as --help shows it, NULL: none */
    const char *choices; /* what there is to choose from, for --help; NULL: anything */
    const char *help;
} micro__flag_row;

typedef struct micro__flag_table {
    const micro__flag_row *rows;
    size_t len;
} micro__flag_table;

/* The library's own flags, into a micro__settings. */
MICRO_PRIVATE const micro__flag_table micro__service_flags;
/* What no table knows: names that do not exist, addresses without their plug-in. EUSAGE with why.
 */
MICRO_PRIVATE micro_err micro__settings_check(const micro__settings *s, char *why);

/* Reads the environment into base. EUSAGE: a value that does not parse, why says which; ENOMEM.
 * Strings are copied into a. */
MICRO_PRIVATE micro_err micro__flags_env(const micro__flag_table *t, void *base, micro__arena *a,
                                         char *why);
/* Tries to take argv[*i] as a flag of the table: 1 taken (*i is advanced behind its value), 0 no
 * flag of it, < 0 EUSAGE or ENOMEM with why. */
MICRO_PRIVATE int micro__flags_take(const micro__flag_table *t, void *base, micro__arena *a,
                                    int argc, char **argv, int *i, char *why);
/* The same for the flags of a program: its variables are what they fill in. */
MICRO_PRIVATE micro_err micro__flags_user_env(const micro_flag *flags, size_t n, micro__arena *a,
                                              char *why);
MICRO_PRIVATE int micro__flags_user_take(const micro_flag *flags, size_t n, micro__arena *a,
                                         int argc, char **argv, int *i, char *why);
/* The flag that a word is, without its dashes and its value; len 0: it is none ("-", "--" too). */
MICRO_PRIVATE micro_str micro__flag_name(const char *word);
/* 'h': --help, -h; 'v': --version, -v; 0: neither. */
MICRO_PRIVATE char micro__flag_asks(const char *word);
/* Lines "   --name value  help (default: "x") [$ENV]", aligned; then --help and, if wanted,
 * --version. t may be NULL. */
MICRO_PRIVATE void micro__flags_help(micro_buf *out, const micro__flag_table *t,
                                     const micro_flag *user, size_t n, bool version);
MICRO_PRIVATE const char *micro__program_name(const char *argv0); /* its last part */

/* Everything a service does with argc/argv: environment first, then the command line; words that
 * are no flags are kept in args; "--" ends the flags. EHELP: --help, -h, --version or -v was
 * printed to stdout. EUSAGE: why says what is wrong. */
typedef struct micro__flag_input {
    int argc;
    char **argv; /* argv[0] is the program */
    const micro_flag *user;
    size_t nuser;
    bool command;      /* the micro command: flags end at the first word that is none, and
                          EHELP prints nothing */
    int used;          /* out: how many of argv were read */
    char asked;        /* out: as micro__flag_asks */
    const char **args; /* out, in the arena */
    size_t nargs;      /* out */
} micro__flag_input;
MICRO_PRIVATE micro_err micro__flags_read(micro__settings *s, micro__flag_input *in,
                                          micro__arena *a, char *why);
/* Prints what was asked for, to stdout. */
MICRO_PRIVATE void micro__flags_answer(const micro__settings *s, const micro__flag_input *in);

/* ---- plugins.c: names to constructors ---------------------------------------------------------
 */

/* NULL with why filled in: unknown name ("Registry X not found"), an address where there is none,
 * or out of memory. plugins are looked at first. */
MICRO_PRIVATE micro_registry *micro__plugin_registry(const micro_plugin *plugins, size_t n,
                                                     const char *name, const char *address,
                                                     char *why);
MICRO_PRIVATE micro_broker *micro__plugin_broker(const micro_plugin *plugins, size_t n,
                                                 const char *name, const char *address, char *why);
MICRO_PRIVATE micro_transport *micro__plugin_transport(const micro_plugin *plugins, size_t n,
                                                       const char *name, const char *address,
                                                       char *why);
MICRO_PRIVATE micro_selector *micro__plugin_selector(const micro_plugin *plugins, size_t n,
                                                     const char *name, micro_registry *registry,
                                                     char *why);
/* Some selectors by name are the cache with another strategy, which is the client's default then:
 * roundrobin. NULL: none. */
MICRO_PRIVATE const micro_strategy *micro__plugin_strategy(const char *selector);
/* Whether the four can be made, without making them: OK, or EUSAGE with why. */
MICRO_PRIVATE micro_err micro__plugins_check(const micro_plugin *plugins, size_t n,
                                             const micro__settings *s, char *why);

/* ---- service.c, lifecycle.c, events.c ------------------------------------------------------ */

typedef struct micro__hook {
    struct micro__hook *next;
    enum micro_moment when;
    micro_err (*fn)(micro_service *svc, void *arg);
    void *arg;
} micro__hook;

enum micro__service_state {
    MICRO__SERVICE_NEW,
    MICRO__SERVICE_STARTING,
    MICRO__SERVICE_RUNNING,
    MICRO__SERVICE_STOPPING,
    MICRO__SERVICE_STOPPED
};

struct micro_service {
    micro__arena arena; /* settings, arguments, hooks, the registered entry */
    micro__settings s;
    micro_service_opts o; /* as given; its strings are not used after creation */
    micro_call_opts call;
    micro_err error; /* the first that stuck */
    char why[256];   /* its text */
    const char **args;
    size_t nargs;
    micro__hook *hooks, **hooks_end;
    micro_registry *registry;
    micro_broker *broker;
    micro_transport *transport;
    micro_selector *selector;
    bool own_registry, own_broker, own_transport, own_selector;
    micro__wraps wraps;
    micro__client client;
    micro__server server;
    micro__mutex lock; /* of state */
    enum micro__service_state state;
    micro__cond stopped;              /* state has become STOPPED */
    micro__thread_id runner, stopper; /* valid while run is in progress; while STOPPING */
    bool running;                     /* run is in progress */
    atomic_bool stop_asked;
    micro__waker stop; /* wakes run; not open: nobody waits */
    micro__life *life;
    micro__engine *engine;
    int connects;             /* of the broker, that are to be undone */
    bool stuck;               /* an event's handler has not ended */
    micro__port *port;        /* http */
    micro_listener *listener; /* other transports */
    micro_entry entry;        /* as registered */
    micro_node node;
    char address[128]; /* as registered */
};

/* Opens svc->engine, unless it is: by the first who needs it, a server or an asynchronous call;
 * kept to the end. */
MICRO_PRIVATE micro_err micro__service_engine(micro_service *svc);
/* Whether a call or an event can be made on ctx; why not is in it. */
MICRO_PRIVATE micro_err micro__service_ready(micro_ctx *ctx);
/* Whoever runs the service shall stop it. */
MICRO_PRIVATE void micro__service_ask(micro_service *svc);
/* Keeps the first error; returns err. */
MICRO_PRIVATE micro_err micro__service_stick(micro_service *svc, micro_err err, const char *fmt,
                                             ...) MICRO_PRINTF_(3, 4);
MICRO_PRIVATE micro_err micro__service_hooks(micro_service *svc, enum micro_moment when);
/* True, and what is noted: it is too late for that. */
MICRO_PRIVATE bool micro__service_setup_over(micro_service *svc, const char *what);

/* When a stop that begins now gives up waiting; 0: never. */
MICRO_PRIVATE uint64_t micro__service_deadline(const micro_service *svc);
MICRO_PRIVATE void micro__service_broker_disconnect(micro_service *svc, uint64_t deadline);
MICRO_PRIVATE micro_err micro__service_subscribers_start(micro_service *svc, micro_ctx *ctx);
MICRO_PRIVATE bool micro__service_subscribers_stop(micro_service *svc, uint64_t deadline);
/* Waits for fd to be readable, at most until then (0: for ever), while everything else of the
 * library goes on: MICRO_OK, ETIMEDOUT, else it cannot wait. */
MICRO_PRIVATE micro_err micro__service_wait(micro_service *svc, int fd, uint64_t until);

#endif
