/* SPDX-License-Identifier: MIT */
/* The micro command: its table of commands and what they share. */
#ifndef MICRO_CLI_H
#define MICRO_CLI_H

#include "../registry/registry.h"
#include "../service/service.h"

/* Exit codes. */
enum {
    MICRO__CLI_OK = 0,
    MICRO__CLI_FAILED = 1,    /* the service raised an error, a node is not healthy, the rest */
    MICRO__CLI_USAGE = 2,     /* command, flag, environment, arguments */
    MICRO__CLI_MISSING = 3,   /* no such service, node or endpoint */
    MICRO__CLI_UNREACHED = 4, /* time-out, refused, lost */
    MICRO__CLI_HELP = -1      /* inside only: a command's help is wanted */
};

/* What the flags of commands fill in. */
typedef struct micro__cli_opts {
    const char *address, *content_type, *queue;
    micro_pairs header;
    int timeout_ms;
    bool json;
} micro__cli_opts;

typedef struct micro__cli {
    micro__arena arena;     /* of flags and arguments */
    micro__settings settings;
    micro__cli_opts opts;
    micro_buf out;          /* for stdout */
    const char **args;      /* of the command */
    size_t nargs;
    int global_argc;        /* the program and the global flags: what svc gets */
    char **global_argv;
    micro_service *svc;     /* NULL before micro__cli_online */
    micro_ctx *ctx;
    bool terminal;          /* stdout is one */
} micro__cli;

typedef struct micro__cli_command micro__cli_command;
struct micro__cli_command {
    const char *name, *alias;        /* alias may be NULL */
    const char *args, *help, *more;  /* args as in USAGE; more: a paragraph for the man page */
    const micro__flag_table *flags;  /* NULL: none */
    int (*run)(micro__cli *cli);     /* NULL: a group */
    const micro__cli_command *sub;
    size_t nsub;
    bool names_service;              /* the first argument is a service: for completion */
    bool names_method;               /* the second is a method */
    bool hidden;                     /* not in help */
};

/* ---- cli.c ---------------------------------------------------------------------------------- */

/* Makes svc and ctx, for commands that ask a registry or a service; an exit code. */
MICRO_PRIVATE int micro__cli_online(micro__cli *cli);

/* ---- commands.c: the one table -------------------------------------------------------------- */

MICRO_PRIVATE const micro__cli_command micro__cli_root; /* sub: the commands */
MICRO_PRIVATE const micro__cli_command *micro__cli_find(const micro__cli_command *in,
                                                        const char *name); /* NULL: none */

/* ---- help.c --------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__cli_app_help(micro_buf *out);
/* path: as it was typed, "micro registry list". */
MICRO_PRIVATE void micro__cli_command_help(micro_buf *out, const char *path,
                                           const micro__cli_command *c);

/* ---- output.c ------------------------------------------------------------------------------- */

/* Text for people on stderr with a line end; returns code. */
MICRO_PRIVATE int micro__cli_fail(int code, const char *fmt, ...) MICRO_PRINTF_(2, 3);
MICRO_PRIVATE int micro__cli_code(micro_ctx *ctx, micro_err err); /* exit code of a failed call */
/* The error of ctx as go-micro prints it: the object as JSON, or the text of a plain one. */
MICRO_PRIVATE void micro__cli_error(micro_buf *out, micro_ctx *ctx);
/* Writes out to stdout and empties it; false: it could not be written, or memory ran out. */
MICRO_PRIVATE bool micro__cli_flush(micro__cli *cli);
/* Text from the network: what would steer a terminal becomes '?'. */
MICRO_PRIVATE void micro__cli_text(micro_buf *out, micro_str text);
MICRO_PRIVATE void micro__cli_pairs(micro_buf *out, const micro_pairs *pairs); /* k=v,k2=v2 */
MICRO_PRIVATE void micro__cli_duration(micro_buf *out, uint64_t ns);           /* 1h2m3s, 1.5ms */
/* All arguments from the i-th on, joined with a space, in memory of cli; NULL: out of memory. */
MICRO_PRIVATE char *micro__cli_join(micro__cli *cli, size_t i);

/* Columns: joined by tabs, or, on a terminal, aligned; one value a line where that is too wide. */
typedef struct micro__cli_table {
    const char *const *heads;
    const char *const *gaps;         /* behind each column but the last: its tabs */
    size_t columns;
    micro_strs cells;                /* row after row */
} micro__cli_table;
MICRO_PRIVATE void micro__cli_cell(micro__cli *cli, micro__cli_table *t, const micro_buf *text);
MICRO_PRIVATE void micro__cli_table_write(micro__cli *cli, const micro__cli_table *t);

/* ---- syntax.c ------------------------------------------------------------------------------- */

/* Whether a text is one JSON value; if not, why says so in encoding/json's words. */
MICRO_PRIVATE bool micro__cli_syntax(micro_str text, char *why);

/* ---- lookup.c ------------------------------------------------------------------------------- */

/* The versions of the service named by the first argument, sorted; else an exit code. */
MICRO_PRIVATE int micro__cli_lookup(micro__cli *cli, const char *missing, micro_entries *out);
/* Asks every node of that service, version by version: ask adds rows to the tables, two at most,
 * of which those behind the first are left out where they are empty. Exit code. */
typedef bool micro__cli_ask_fn(micro__cli *cli, const micro_node *node, micro__cli_table *tables);
MICRO_PRIVATE int micro__cli_survey(micro__cli *cli, const micro__cli_table *frames, size_t n,
                                    micro__cli_ask_fn *ask);
/* Calls a Debug method of a node; err is in cli->ctx. */
MICRO_PRIVATE micro_err micro__cli_debug(micro__cli *cli, const micro_node *node,
                                         const char *method, micro_value *rsp);
/* Whether the node says "ok"; status is what it says, or the error. */
MICRO_PRIVATE bool micro__cli_health_of(micro__cli *cli, const micro_node *node, micro_buf *status);
/* The service as the node itself describes it, with the whole of its types; false: it does not. */
MICRO_PRIVATE bool micro__cli_whole(micro__cli *cli, const micro_node *node, micro_entry *out);

/* ---- cmd_get.c, cmd_stats.c: what describe shows too ---------------------------------------- */

MICRO_PRIVATE void micro__cli_endpoints(micro_buf *out, const micro_endpoints *list);
/* A number of an answer; absent: 0. Of canonical JSON also texts, since its 64-bit numbers are. */
MICRO_PRIVATE uint64_t micro__cli_number(const micro_value *rsp, const char *name);
MICRO_PRIVATE void micro__cli_memory(micro_buf *out, uint64_t bytes);    /* 1.50mb */
MICRO_PRIVATE void micro__cli_seconds(micro_buf *out, uint64_t seconds); /* 1h2m3s */
/* ,"started":... and all other members of an answer to Debug.Stats. */
MICRO_PRIVATE void micro__cli_stats_json(micro_buf *out, const micro_value *rsp);
/* A table of endpoints, and the rows of a node for it. */
MICRO_PRIVATE micro__cli_table micro__cli_stats_table(void);
MICRO_PRIVATE void micro__cli_stats_rows(micro__cli *cli, const micro_node *node,
                                         const micro_value *rsp, micro__cli_table *table);

/* ---- cmd_call.c: what call, stream and the commands of events share -------------------------- */

MICRO_PRIVATE bool micro__cli_is_json(const micro__cli *cli);     /* bodies are JSON */
MICRO_PRIVATE int micro__cli_content_type(const micro__cli *cli); /* an exit code */
MICRO_PRIVATE int micro__cli_header(micro__cli *cli);             /* into ctx; an exit code */
/* What is wrong with the command line, an exit code; the body is in *body. */
MICRO_PRIVATE int micro__cli_call_arguments(micro__cli *cli, const char **body);
MICRO_PRIVATE bool micro__cli_call_object(micro_str text, char *why); /* a JSON object */
/* A message that came, into out; an error ("error DOING SERVICE.METHOD: ..."), and its code. */
MICRO_PRIVATE int micro__cli_call_reply(micro__cli *cli, micro_bytes rsp);
MICRO_PRIVATE int micro__cli_call_error(micro__cli *cli, const char *doing, micro_err err);

/* ---- commands ------------------------------------------------------------------------------- */

MICRO_PRIVATE int micro__cli_list(micro__cli *cli);
MICRO_PRIVATE int micro__cli_get(micro__cli *cli);
MICRO_PRIVATE int micro__cli_call(micro__cli *cli);
MICRO_PRIVATE int micro__cli_stream(micro__cli *cli);
MICRO_PRIVATE int micro__cli_publish(micro__cli *cli);
MICRO_PRIVATE int micro__cli_subscribe(micro__cli *cli);
MICRO_PRIVATE int micro__cli_health(micro__cli *cli);
MICRO_PRIVATE int micro__cli_stats(micro__cli *cli);
MICRO_PRIVATE int micro__cli_describe(micro__cli *cli);
MICRO_PRIVATE int micro__cli_watch(micro__cli *cli);
MICRO_PRIVATE int micro__cli_register(micro__cli *cli);
MICRO_PRIVATE int micro__cli_deregister(micro__cli *cli);
MICRO_PRIVATE int micro__cli_help(micro__cli *cli);
MICRO_PRIVATE int micro__cli_version(micro__cli *cli);
MICRO_PRIVATE int micro__cli_man(micro__cli *cli);
MICRO_PRIVATE int micro__cli_completion(micro__cli *cli);

#endif
