/* SPDX-License-Identifier: MIT */
/* The one table of commands: parsing, help, man page and shell completions read it. */
#include "cli.h"

#define COMMANDS_FLAG(name, kind, member, choices, help) \
    { name, NULL, MICRO__FLAG_##kind, true, (uint32_t)offsetof(micro__cli_opts, member), NULL, \
      choices, help }
#define COMMANDS_TABLE(rows) { rows, MICRO_COUNTOF(rows) }
#define COMMANDS_GROUP(list) .sub = (list), .nsub = MICRO_COUNTOF(list)

static const micro__flag_row commands_call_rows[] = {
    COMMANDS_FLAG("address", TEXT, address, NULL, "Call this node, host:port, without a look-up"),
    COMMANDS_FLAG("timeout", MS, timeout_ms, NULL, "Time for the call, such as 500ms; 0: no limit"),
    COMMANDS_FLAG("header", PAIRS, header, NULL, "Metadata to send, key=value; may be repeated"),
    COMMANDS_FLAG("content_type", TEXT, content_type,
                  "application/json, application/protobuf, application/octet-stream",
                  "Type of the bodies; what is not JSON is passed on as it is"),
    COMMANDS_FLAG("json", BOOL, json, NULL, "Print the reply on one line, an error as JSON"),
};
static const micro__flag_row commands_stream_rows[] = {
    COMMANDS_FLAG("address", TEXT, address, NULL, "Call this node, host:port, without a look-up"),
    COMMANDS_FLAG("timeout", MS, timeout_ms, NULL,
                  "Time to open it, and without a message after the end of input; 0: no limit"),
    COMMANDS_FLAG("header", PAIRS, header, NULL, "Metadata to send, key=value; may be repeated"),
    COMMANDS_FLAG("json", BOOL, json, NULL, "Print each message on one line, an error as JSON"),
};
static const micro__flag_table commands_stream_flags = COMMANDS_TABLE(commands_stream_rows);
static const micro__flag_row commands_publish_rows[] = {
    COMMANDS_FLAG("header", PAIRS, header, NULL, "Metadata to send, key=value; may be repeated"),
    COMMANDS_FLAG("content_type", TEXT, content_type,
                  "application/json, application/protobuf, application/octet-stream",
                  "Type of the message; what is not JSON is passed on as it is"),
};
static const micro__flag_row commands_subscribe_rows[] = {
    COMMANDS_FLAG("queue", TEXT, queue, NULL, "Share the events with others of this queue"),
};
static const micro__flag_row commands_json_rows[] = {
    COMMANDS_FLAG("json", BOOL, json, NULL, "Print JSON"),
};
static const micro__flag_row commands_watch_rows[] = {
    COMMANDS_FLAG("timeout", MS, timeout_ms, NULL, "End after this time, such as 10s; 0: never"),
    COMMANDS_FLAG("json", BOOL, json, NULL, "Print JSON, an object a line"),
};
static const micro__flag_table commands_watch_flags = COMMANDS_TABLE(commands_watch_rows);
static const micro__flag_table commands_call_flags = COMMANDS_TABLE(commands_call_rows);
static const micro__flag_table commands_publish_flags = COMMANDS_TABLE(commands_publish_rows);
static const micro__flag_table commands_subscribe_flags = COMMANDS_TABLE(commands_subscribe_rows);
static const micro__flag_table commands_json_flags = COMMANDS_TABLE(commands_json_rows);

static const micro__cli_command commands_list[] = {
    { .name = "services", .help = "List services in registry", .flags = &commands_json_flags,
      .run = micro__cli_list,
      .more = "Prints the names of all services, sorted, one on a line." },
};
static const micro__cli_command commands_register[] = {
    { .name = "service", .args = "JSON...", .help = "Register a service with JSON definition",
      .run = micro__cli_register,
      .more = "The definition is an object with name, version and nodes, each with id, address and "
              "port. On mdns a registration lives in the process that made it: the command stays "
              "until it is interrupted." },
};
static const micro__cli_command commands_deregister[] = {
    { .name = "service", .args = "JSON...", .help = "Deregister a service with JSON definition",
      .run = micro__cli_deregister,
      .more = "The definition is that of register; the ids of its nodes count." },
};
static const micro__cli_command commands_get[] = {
    { .name = "service", .args = "NAME", .help = "Get service from registry",
      .flags = &commands_json_flags, .run = micro__cli_get, .names_service = true,
      .more = "Prints versions, nodes, and the endpoints of the first version with their types." },
};

#define COMMANDS_LIST \
    { .name = "list", .help = "List items in registry", COMMANDS_GROUP(commands_list) }
#define COMMANDS_REGISTER \
    { .name = "register", .help = "Register an item in the registry", \
      COMMANDS_GROUP(commands_register) }
#define COMMANDS_DEREGISTER \
    { .name = "deregister", .help = "Deregister an item in the registry", \
      COMMANDS_GROUP(commands_deregister) }
#define COMMANDS_GET \
    { .name = "get", .help = "Get item from registry", COMMANDS_GROUP(commands_get) }

static const micro__cli_command commands_registry[] = {
    COMMANDS_LIST, COMMANDS_REGISTER, COMMANDS_DEREGISTER, COMMANDS_GET
};

static const micro__cli_command commands_all[] = {
    { .name = "registry", .help = "Query registry", COMMANDS_GROUP(commands_registry) },
    { .name = "query", .alias = "call", .args = "SERVICE METHOD [JSON...]",
      .help = "Query a service method using rpc", .flags = &commands_call_flags,
      .run = micro__cli_call, .names_service = true, .names_method = true,
      .more = "The arguments behind METHOD are joined to the request, {} if there is none. The "
              "reply is printed with its numbers and the order of its members untouched." },
    { .name = "stream", .args = "SERVICE METHOD [JSON...]",
      .help = "Create a service stream", .flags = &commands_stream_flags,
      .run = micro__cli_stream, .names_service = true, .names_method = true,
      .more = "Sends the arguments behind METHOD as the first message, {} if there is none, and "
              "then each line of standard input, and prints what comes. When that input ends, it "
              "ends its side, or, with a node of 2018, only stops to send; it goes on until the "
              "service ends the stream, or nothing has come for the time of --timeout." },
    { .name = "publish", .args = "TOPIC JSON...", .help = "Publish an event to a topic",
      .flags = &commands_publish_flags, .run = micro__cli_publish,
      .more = "The arguments behind TOPIC are joined to the event. The exit code is 3 if nobody "
              "subscribes to the topic." },
    { .name = "subscribe", .args = "TOPIC", .help = "Print the events of a topic",
      .flags = &commands_subscribe_flags, .run = micro__cli_subscribe,
      .more = "One line an event, until the command is interrupted: a JSON message as it is, any "
              "other as {\"content_type\":TYPE,\"base64\":MESSAGE}." },
    { .name = "health", .args = "NAME", .help = "Query the health of a service",
      .flags = &commands_json_flags, .run = micro__cli_health, .names_service = true,
      .more = "Asks every node for Debug.Health. The exit code is 1 if any is not healthy; those "
              "without such a method are not." },
    { .name = "stats", .args = "NAME", .help = "Query the stats of a service",
      .flags = &commands_json_flags, .run = micro__cli_stats, .names_service = true,
      .more = "Asks every node for Debug.Stats. Nodes with this library also tell of each endpoint "
              "how many requests it had, how many failed, how many run, and within which time 50, "
              "90 and 99 of 100 ended." },
    { .name = "describe", .args = "NAME", .help = "Describe a service in full",
      .flags = &commands_json_flags, .run = micro__cli_describe, .names_service = true,
      .more = "Prints every version with its nodes, their health and stats, and its endpoints with "
              "their types: all of them where a node with this library answers, else what the "
              "registry has. The exit code is that of health." },
    { .name = "watch", .args = "[NAME]", .help = "Watch services in registry",
      .flags = &commands_watch_flags, .run = micro__cli_watch, .names_service = true,
      .more = "Prints a line for each node that comes, changes or goes (create, update, delete), "
              "of one service or of all, until it is interrupted. On mdns it begins with the "
              "nodes that are there." },
    COMMANDS_LIST,
    COMMANDS_REGISTER,
    COMMANDS_DEREGISTER,
    COMMANDS_GET,
    { .name = "completion", .args = "bash|zsh", .help = "Print a completion script for a shell",
      .run = micro__cli_completion,
      .more = "In bash: eval \"$(micro completion bash)\". In zsh: write it to a file _micro in a "
              "folder of $fpath." },
    { .name = "man", .help = "Print the man page", .run = micro__cli_man, .hidden = true },
    { .name = "version", .help = "Print the version", .run = micro__cli_version },
    { .name = "help", .alias = "h", .args = "[COMMAND...]",
      .help = "Shows a list of commands or help for one command", .run = micro__cli_help },
};

MICRO_PRIVATE_DEF const micro__cli_command micro__cli_root = {
    .name = "micro", .help = "A microservices toolkit", COMMANDS_GROUP(commands_all)
};

MICRO_PRIVATE const micro__cli_command *micro__cli_find(const micro__cli_command *in,
                                                        const char *name)
{
    for (size_t i = 0; i < in->nsub; i++) {
        const micro__cli_command *c = &in->sub[i];
        if (strcmp(c->name, name) == 0 || (c->alias && strcmp(c->alias, name) == 0))
            return c;
    }
    return NULL;
}
