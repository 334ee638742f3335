/* SPDX-License-Identifier: MIT */
/* Flags, their environment, --help, and plug-ins by name. */
#include "failing.h"

#include "service/service.h"

typedef struct tflags {
    micro__settings s;
    micro__flag_input in;
    micro__arena arena;
    char why[MICRO__WHY_MAX];
    char *argv[16];
    char text[1024]; /* of argv */
} tflags;

/* Splits at blanks; "%20" would be too clever: no word has one inside. */
static micro_err tflags_read(tflags *f, const char *line)
{
    snprintf(f->text, sizeof f->text, "%s", line);
    f->in.argc = 0;
    for (char *word = strtok(f->text, " "); word; word = strtok(NULL, " "))
        f->argv[f->in.argc++] = word;
    f->in.argv = f->argv;
    return micro__flags_read(&f->s, &f->in, &f->arena, f->why);
}

static void tflags_begin(tflags *f)
{
    memset(f, 0, sizeof *f);
    f->s.log_level = -1;
    micro__arena_init(&f->arena, NULL, 0);
}

static const char *tflags_or(const char *text)
{
    return text ? text : "(null)";
}

/* What fn prints to stdout. */
static const char *tflags_printed(tflags *f, const char *line, micro_err want)
{
    static char out[8192];
    FILE *file = tmpfile();
    int saved = dup(1);

    fflush(stdout);
    dup2(fileno(file), 1);
    micro_err err = tflags_read(f, line);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    CHECK_EQ_INT(err, want);
    rewind(file);
    out[fread(out, 1, sizeof out - 1, file)] = 0;
    fclose(file);
    return out;
}

/* ---- values --------------------------------------------------------------------------------- */

TEST(flags_nothing_said)
{
    tflags f;

    tflags_begin(&f);
    f.s.name = "code";
    f.s.attempts = 7;
    CHECK_EQ_INT(tflags_read(&f, "prog"), MICRO_OK);
    CHECK_EQ_TEXT(f.s.name, "code");
    CHECK_EQ_INT(f.s.attempts, 7);
    CHECK_EQ_INT(f.s.log_level, -1);
    CHECK(!f.s.registry && !f.s.selector && !f.s.transport && !f.s.client);
    CHECK_EQ_UINT(f.in.nargs, 0);
    f.in.argc = 0;
    f.in.argv = NULL;
    CHECK_EQ_INT(micro__flags_read(&f.s, &f.in, &f.arena, f.why), MICRO_OK);
    micro__arena_free(&f.arena);
}

TEST(flags_every_form)
{
    static const char *const lines[] = {
        "prog --server_name x", "prog --server_name=x", "prog -server_name x", "prog -server_name=x"
    };

    for (size_t i = 0; i < MICRO_COUNTOF(lines); i++) {
        tflags f;
        tflags_begin(&f);
        NOTE("%s", lines[i]);
        CHECK_EQ_INT(tflags_read(&f, lines[i]), MICRO_OK);
        CHECK_EQ_TEXT(tflags_or(f.s.name), "x");
        CHECK(f.s.name != f.argv[f.in.argc - 1]); /* copied */
        micro__arena_free(&f.arena);
    }
}

TEST(flags_every_flag_fills_its_member)
{
    tflags f;

    tflags_begin(&f);
    CHECK_EQ_INT(tflags_read(&f, "p --client_request_timeout 1m30s --client_retries 4 "
                                 "--client_pool_size 5 --client_pool_ttl 250ms --loops 2 "
                                 "--max_threads 9 --drain 1s"), MICRO_OK);
    CHECK_EQ_INT(f.s.request_timeout_ms, 90000);
    CHECK_EQ_INT(f.s.attempts, 4);
    CHECK_EQ_INT(f.s.pool_size, 5);
    CHECK_EQ_INT(f.s.pool_age_ms, 250);
    CHECK_EQ_INT(f.s.loops, 2);
    CHECK_EQ_INT(f.s.max_threads, 9);
    CHECK_EQ_INT(f.s.drain_ms, 1000);
    CHECK_EQ_INT(tflags_read(&f, "p --server_version v --server_id i --server_address a "
                                 "--server_advertise b --register_ttl 20 --register_interval 7"),
                 MICRO_OK);
    CHECK_EQ_TEXT(f.s.version, "v");
    CHECK_EQ_TEXT(f.s.id, "i");
    CHECK_EQ_TEXT(f.s.address, "a");
    CHECK_EQ_TEXT(f.s.advertise, "b");
    CHECK_EQ_INT(f.s.register_ttl_ms, 20000);
    CHECK_EQ_INT(f.s.register_interval_ms, 7000);
    CHECK_EQ_INT(tflags_read(&f, "p --broker http --broker_address c --registry r --selector s "
                                 "--registry_address d --transport t --transport_address e"),
                 MICRO_OK);
    CHECK_EQ_TEXT(f.s.broker, "http");
    CHECK_EQ_TEXT(f.s.broker_address, "c");
    CHECK_EQ_TEXT(f.s.registry, "r");
    CHECK_EQ_TEXT(f.s.registry_address, "d");
    CHECK_EQ_TEXT(f.s.selector, "s");
    CHECK_EQ_TEXT(f.s.transport, "t");
    CHECK_EQ_TEXT(f.s.transport_address, "e");
    CHECK_EQ_INT(tflags_read(&f, "p --client mucp --server rpc --log_level warn"), MICRO_OK);
    CHECK_EQ_TEXT(f.s.client, "mucp");
    CHECK_EQ_TEXT(f.s.server, "rpc");
    CHECK_EQ_INT(f.s.log_level, MICRO_LOG_WARN);
    micro__arena_free(&f.arena);
}

TEST(flags_zero_is_off)
{
    tflags f;

    tflags_begin(&f);
    CHECK_EQ_INT(tflags_read(&f, "p --client_request_timeout 0 --client_retries 0 --loops 0 "
                                 "--client_pool_size=0 --client_pool_ttl 0s --drain 0ms"),
                 MICRO_OK);
    CHECK_EQ_INT(f.s.request_timeout_ms, MICRO_OFF);
    CHECK_EQ_INT(f.s.attempts, MICRO_OFF);
    CHECK_EQ_INT(f.s.pool_size, MICRO_OFF);
    CHECK_EQ_INT(f.s.pool_age_ms, MICRO_OFF);
    CHECK_EQ_INT(f.s.loops, MICRO_OFF);
    CHECK_EQ_INT(f.s.drain_ms, MICRO_OFF);
    CHECK_EQ_INT(tflags_read(&f, "p --register_ttl 0 --register_interval 0 --log_level 0"),
                 MICRO_OK);
    CHECK_EQ_INT(f.s.register_ttl_ms, MICRO_OFF);
    CHECK_EQ_INT(f.s.register_interval_ms, MICRO_OFF);
    CHECK_EQ_INT(f.s.log_level, MICRO_LOG_NONE);
    micro__arena_free(&f.arena);
}

TEST(flags_levels_and_seconds)
{
    static const struct {
        const char *line;
        int level, ttl;
    } rows[] = {
        { "p --log_level none", 0, 0 },   { "p --log_level ERROR", 1, 0 },
        { "p --log_level info", 3, 0 },   { "p --log_level debug", 4, 0 },
        { "p --log_level 4", 4, 0 },      { "p --register_ttl 1", -1, 1000 },
        { "p --register_ttl 1m", -1, 60000 }, { "p --register_ttl=1500ms", -1, 1500 },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        tflags f;
        tflags_begin(&f);
        NOTE("%s", rows[i].line);
        CHECK_EQ_INT(tflags_read(&f, rows[i].line), MICRO_OK);
        CHECK_EQ_INT(f.s.log_level, rows[i].level);
        CHECK_EQ_INT(f.s.register_ttl_ms, rows[i].ttl);
        micro__arena_free(&f.arena);
    }
}

TEST(flags_wrong_lines)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        { "p --nope", "flag provided but not defined: -nope" },
        { "p -nope=3 x", "flag provided but not defined: -nope" },
        { "p ---x", "flag provided but not defined: --x" },
        { "p --server_name", "flag needs an argument: -server_name" },
        { "p x --client_retries", "flag needs an argument: -client_retries" },
        { "p --client_request_timeout x", "failed to parse client_request_timeout: x" },
        { "p --client_request_timeout=", "failed to parse client_request_timeout: " },
        { "p --client_request_timeout -1s", "failed to parse client_request_timeout: -1s" },
        { "p --client_pool_ttl 5", "failed to parse client_pool_ttl: 5" },
        { "p --client_pool_ttl 800h",
          "invalid value \"800h\" for flag -client_pool_ttl: longer than 24 days" },
        { "p --register_ttl 99999999999",
          "invalid value \"99999999999\" for flag -register_ttl: longer than 24 days" },
        { "p --register_ttl 1.5", "failed to parse register_ttl: 1.5" },
        { "p --client_retries x",
          "invalid value \"x\" for flag -client_retries: not a whole number, or too large" },
        { "p --client_retries 1x",
          "invalid value \"1x\" for flag -client_retries: not a whole number, or too large" },
        { "p --client_retries=-2", "invalid value \"-2\" for flag -client_retries: negative" },
        { "p --client_retries 2147483648",
          "invalid value \"2147483648\" for flag -client_retries: too large" },
        { "p --max_threads 0",
          "invalid value \"0\" for flag -max_threads: at least 1 is needed" },
        { "p --log_level loud", "invalid value \"loud\" for flag -log_level: none, error, warn, "
                                "info, debug, or 0 to 4" },
        { "p --server_metadata =x",
          "invalid value \"=x\" for flag -server_metadata: a key is missing" },
        { "p --server_metadata a=\001",
          "invalid value \"a=\001\" for flag -server_metadata: it holds a control character" },
        { "p --client grpc", "Client grpc not found; there is rpc, also called mucp" },
        { "p --server grpc", "Server grpc not found; there is rpc, also called mucp" },
        { "p --registry_address a", "registry_address needs a registry: give --registry too" },
        { "p --%s%n", "flag provided but not defined: -%s%n" },
        { "p --client_pool_ttl %s%n", "failed to parse client_pool_ttl: %s%n" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        tflags f;
        tflags_begin(&f);
        NOTE("%s", rows[i].line);
        CHECK_EQ_INT(tflags_read(&f, rows[i].line), MICRO_EUSAGE);
        CHECK_EQ_TEXT(f.why, rows[i].why);
        micro__arena_free(&f.arena);
    }
}

/* Texts of any length are cut in the message, never in memory. */
TEST(flags_long_values)
{
    static const char *const names[] = { "server_name", "client_retries", "client_pool_ttl",
                                         "log_level", "server_metadata", "server", "x" };
    static char word[70000];

    for (size_t i = 0; i < MICRO_COUNTOF(names); i++) {
        tflags f;
        tflags_begin(&f);
        int n = snprintf(word, sizeof word, "--%s=", names[i]);
        memset(word + n, 'y', sizeof word - 1 - (size_t)n);
        f.argv[0] = word;
        f.argv[1] = word;
        f.in.argc = 2;
        f.in.argv = f.argv;
        micro_err err = micro__flags_read(&f.s, &f.in, &f.arena, f.why);
        NOTE("%s", names[i]);
        CHECK_EQ_INT(err, i == 0 || i == 4 ? MICRO_OK : MICRO_EUSAGE);
        CHECK(strlen(f.why) < sizeof f.why);
        if (i == 0)
            CHECK_EQ_UINT(strlen(f.s.name), sizeof word - 1 - (size_t)n);
        memset(word + 2, 'z', sizeof word - 3);
        CHECK_EQ_INT(micro__flags_read(&f.s, &f.in, &f.arena, f.why), MICRO_EUSAGE);
        micro__arena_free(&f.arena);
    }
}

TEST(flags_words)
{
    tflags f;

    tflags_begin(&f);
    CHECK_EQ_INT(tflags_read(&f, "p a --server_name=x - b -- --server_id y --"), MICRO_OK);
    REQUIRE(f.in.nargs == 6);
    CHECK_EQ_TEXT(f.in.args[0], "a");
    CHECK_EQ_TEXT(f.in.args[1], "-");
    CHECK_EQ_TEXT(f.in.args[2], "b");
    CHECK_EQ_TEXT(f.in.args[3], "--server_id");
    CHECK_EQ_TEXT(f.in.args[4], "y");
    CHECK_EQ_TEXT(f.in.args[5], "--");
    CHECK(!f.s.id);
    CHECK_EQ_INT(tflags_read(&f, "p --server_name -h"), MICRO_OK); /* a value is a value */
    CHECK_EQ_TEXT(f.s.name, "-h");
    micro__arena_free(&f.arena);
}

TEST(flags_of_a_command)
{
    tflags f;

    tflags_begin(&f);
    f.in.command = true;
    CHECK_EQ_INT(tflags_read(&f, "p --server_name x call --nope"), MICRO_OK);
    CHECK_EQ_INT(f.in.used, 3);
    CHECK_EQ_UINT(f.in.nargs, 0);
    CHECK_EQ_INT(tflags_read(&f, "p -- call"), MICRO_OK);
    CHECK_EQ_INT(f.in.used, 2);
    CHECK_EQ_TEXT(tflags_printed(&f, "p -h call", MICRO_EHELP), "");
    CHECK_EQ_INT(f.in.asked, 'h');
    CHECK_EQ_TEXT(tflags_printed(&f, "p --version", MICRO_EHELP), "");
    CHECK_EQ_INT(f.in.asked, 'v');
    micro__arena_free(&f.arena);
}

/* ---- environment ---------------------------------------------------------------------------- */

TEST(flags_precedence)
{
    tflags f;

    tflags_begin(&f);
    f.s.name = "code";
    f.s.attempts = 7;
    setenv("MICRO_SERVER_NAME", "env", 1);
    setenv("MICRO_CLIENT_RETRIES", "5", 1);
    CHECK_EQ_INT(tflags_read(&f, "p"), MICRO_OK);
    CHECK_EQ_TEXT(f.s.name, "env");
    CHECK_EQ_INT(f.s.attempts, 5);
    CHECK_EQ_INT(tflags_read(&f, "p --server_name line --client_retries=2"), MICRO_OK);
    CHECK_EQ_TEXT(f.s.name, "line");
    CHECK_EQ_INT(f.s.attempts, 2);
    f.in.argc = 0;
    CHECK_EQ_INT(micro__flags_read(&f.s, &f.in, &f.arena, f.why), MICRO_OK);
    CHECK_EQ_TEXT(f.s.name, "env"); /* without a command line, the environment alone */
    micro__arena_free(&f.arena);
}

/* Every flag of the library has its variable, and reads it. */
TEST(flags_every_variable)
{
    const micro__flag_table *t = &micro__service_flags;
    char name[64];

    for (size_t i = 0; i < t->len; i++) {
        tflags f;
        tflags_begin(&f);
        snprintf(name, sizeof name, "MICRO_%s", t->rows[i].name);
        for (char *p = name; *p; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
        NOTE("%s", name);
        REQUIRE(t->rows[i].env);
        CHECK_EQ_TEXT(t->rows[i].env, name);
        setenv(name, "?", 1);
        CHECK_EQ_INT(micro__flags_env(t, &f.s, &f.arena, f.why),
                     t->rows[i].kind == MICRO__FLAG_TEXT || t->rows[i].kind == MICRO__FLAG_PAIRS
                         ? MICRO_OK
                         : MICRO_EUSAGE);
        unsetenv(name);
        micro__arena_free(&f.arena);
    }
}

TEST(flags_empty_variables_are_set)
{
    tflags f;

    tflags_begin(&f);
    f.s.name = f.s.advertise = f.s.registry = f.s.registry_address = "code";
    setenv("MICRO_SERVER_NAME", "", 1);
    setenv("MICRO_SERVER_ADVERTISE", "", 1);
    setenv("MICRO_REGISTRY", "", 1);
    setenv("MICRO_REGISTRY_ADDRESS", "", 1);
    setenv("MICRO_SERVER_METADATA", "", 1);
    CHECK_EQ_INT(tflags_read(&f, "p"), MICRO_OK);
    CHECK(!f.s.name && !f.s.advertise && !f.s.registry_address);
    CHECK_EQ_TEXT(tflags_or(f.s.registry), "mdns");
    setenv("MICRO_CLIENT_RETRIES", "", 1);
    CHECK_EQ_INT(tflags_read(&f, "p"), MICRO_EUSAGE);
    CHECK_EQ_TEXT(f.why, "could not parse  as int value for flag client_retries: not a whole "
                         "number, or too large");
    unsetenv("MICRO_CLIENT_RETRIES");
    setenv("MICRO_CLIENT_POOL_TTL", "", 1);
    CHECK_EQ_INT(tflags_read(&f, "p --client_pool_ttl=1s"), MICRO_EUSAGE);
    CHECK_EQ_TEXT(f.why, "failed to parse client_pool_ttl: ");
    micro__arena_free(&f.arena);
}

TEST(flags_metadata)
{
    tflags f;

    tflags_begin(&f);
    micro__pairs_set(&f.arena, &f.s.metadata, micro_s("zone"), micro_s("code"));
    micro__pairs_set(&f.arena, &f.s.metadata, micro_s("code"), micro_s("stays"));
    setenv("MICRO_SERVER_METADATA", "zone=env, rack = 7 ,,plain", 1);
    CHECK_EQ_INT(tflags_read(&f, "p --server_metadata zone=a=b,c --server_metadata x="), MICRO_OK);
    CHECK_EQ_UINT(f.s.metadata.len, 5);
    CHECK_EQ_STR(micro__pairs_get(&f.s.metadata, "zone"), "a=b,c");
    CHECK_EQ_STR(micro__pairs_get(&f.s.metadata, "code"), "stays");
    CHECK_EQ_STR(micro__pairs_get(&f.s.metadata, "rack "), " 7");
    CHECK(micro__pairs_find(&f.s.metadata, micro_s("plain")) != NULL);
    CHECK(micro__pairs_find(&f.s.metadata, micro_s("x")) != NULL);
    setenv("MICRO_SERVER_METADATA", "a=b,=c", 1);
    CHECK_EQ_INT(tflags_read(&f, "p"), MICRO_EUSAGE);
    CHECK_EQ_TEXT(f.why, "could not parse a=b,=c as key=value value for flag server_metadata: "
                         "a key is missing");
    micro__arena_free(&f.arena);
}

/* ---- a program's own ------------------------------------------------------------------------ */

typedef struct tflags_own {
    const char *queue;
    int size, pause;
    bool fast;
} tflags_own;

#define TFLAGS_OWN(own) \
    { \
        { .name = "queue", .env = "T_QUEUE", .help = "share events", .text = &(own).queue }, \
        { .name = "size", .env = "T_SIZE", .help = "how many", .number = &(own).size }, \
        { .name = "pause", .env = "T_PAUSE", .help = "between", .ms = &(own).pause }, \
        { .name = "fast", .env = "T_FAST", .help = "no pause", .on = &(own).fast }, \
        { .name = "server_id", .help = "shadows", .number = &(own).size }, \
    }

TEST(flags_own)
{
    tflags_own own = { "q0", 3, 1500, false };
    const micro_flag list[] = TFLAGS_OWN(own);
    tflags f;

    tflags_begin(&f);
    f.in.user = list;
    f.in.nuser = MICRO_COUNTOF(list);
    CHECK_EQ_INT(tflags_read(&f, "p"), MICRO_OK);
    CHECK_EQ_TEXT(own.queue, "q0");
    CHECK_EQ_INT(own.pause, 1500);
    setenv("T_QUEUE", "", 1);
    setenv("T_SIZE", "-4", 1);
    setenv("T_PAUSE", "2s", 1);
    setenv("T_FAST", "True", 1);
    CHECK_EQ_INT(tflags_read(&f, "p"), MICRO_OK);
    CHECK_EQ_TEXT(own.queue, "");
    CHECK_EQ_INT(own.size, -4);
    CHECK_EQ_INT(own.pause, 2000);
    CHECK(own.fast);
    CHECK_EQ_INT(tflags_read(&f, "p --queue=a -size 0 --pause 0 --fast=false word"), MICRO_OK);
    CHECK_EQ_TEXT(own.queue, "a");
    CHECK_EQ_INT(own.size, 0); /* not a limit: 0 is 0 */
    CHECK_EQ_INT(own.pause, 0);
    CHECK(!own.fast);
    CHECK_EQ_INT(tflags_read(&f, "p --fast word"), MICRO_OK);
    CHECK(own.fast);
    CHECK_EQ_UINT(f.in.nargs, 1);
    CHECK_EQ_INT(tflags_read(&f, "p --server_id 11"), MICRO_OK);
    CHECK_EQ_INT(own.size, 11);
    CHECK(!f.s.id);
    micro__arena_free(&f.arena);
}

TEST(flags_own_wrong)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        { "p --size x", "invalid value \"x\" for flag -size: not a whole number, or too large" },
        { "p --pause 5", "failed to parse pause: 5" },
        { "p --fast=maybe", "invalid value \"maybe\" for flag -fast: neither true nor false" },
        { "p --queue", "flag needs an argument: -queue" },
        { "p --empty 1", "flag -empty fills in nothing" },
    };
    tflags_own own = { NULL, 0, 0, false };
    const micro_flag empty = { .name = "empty" };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_flag list[] = TFLAGS_OWN(own);
        tflags f;
        tflags_begin(&f);
        list[4] = empty;
        f.in.user = list;
        f.in.nuser = MICRO_COUNTOF(list);
        NOTE("%s", rows[i].line);
        CHECK_EQ_INT(tflags_read(&f, rows[i].line), MICRO_EUSAGE);
        CHECK_EQ_TEXT(f.why, rows[i].why);
        micro__arena_free(&f.arena);
    }
}

/* ---- help ----------------------------------------------------------------------------------- */

TEST(flags_help_text)
{
    tflags_own own = { "q0", 3, 1500, true };
    const micro_flag list[] = TFLAGS_OWN(own);
    tflags f;

    tflags_begin(&f);
    f.s.name = "go.micro.srv.x";
    f.s.version = "2.1";
    f.s.description = "does things";
    f.in.user = list;
    f.in.nuser = MICRO_COUNTOF(list);
    setenv("MICRO_CLIENT_RETRIES", "wrong", 1); /* help comes first */
    const char *out = tflags_printed(&f, "/usr/bin/prog word --help --nope", MICRO_EHELP);
    const char *head = "NAME:\n   go.micro.srv.x - does things\n\n"
                       "USAGE:\n   prog [global options] [arguments...]\n\n"
                       "VERSION:\n   2.1\n\n"
                       "GLOBAL OPTIONS:\n"
                       "   --queue value                   share events (default: \"q0\") "
                       "[$T_QUEUE]\n"
                       "   --size value                    how many (default: 3) [$T_SIZE]\n"
                       "   --pause value                   between (default: \"1500ms\") "
                       "[$T_PAUSE]\n"
                       "   --fast                          no pause (default: \"true\") "
                       "[$T_FAST]\n";
    CHECK(strncmp(out, head, strlen(head)) == 0);
    const char *tail = "   --help, -h                      show help\n"
                       "   --version, -v                   print the version\n";
    CHECK(strlen(out) > strlen(tail) && strcmp(out + strlen(out) - strlen(tail), tail) == 0);
    for (size_t i = 0; i < micro__service_flags.len; i++) {
        char flag[80];
        snprintf(flag, sizeof flag, "\n   --%s ", micro__service_flags.rows[i].name);
        const char *at = strstr(out, flag);
        NOTE("%s", flag);
        if (CHECK(at != NULL))
            CHECK(strstr(at + 1, flag) == NULL); /* once, shadowed ones too */
    }
    CHECK_EQ_TEXT(tflags_printed(&f, "prog -v", MICRO_EHELP), "go.micro.srv.x version 2.1\n");
    f.s.name = f.s.version = f.s.description = NULL;
    CHECK_EQ_TEXT(tflags_printed(&f, "./prog --version", MICRO_EHELP), "prog version 1.0.0\n");
    micro__arena_free(&f.arena);
}

/* ---- plug-ins ------------------------------------------------------------------------------- */

static const char *tflags_plugin_address;

static micro_registry *tflags_plugin_registry(const char *address)
{
    tflags_plugin_address = address;
    return micro_registry_memory_new();
}

static micro_selector *tflags_plugin_selector(micro_registry *registry)
{
    (void)registry;
    return NULL;
}

TEST(plugins_by_name)
{
    static const char *const selectors[] = { "cache",      "default",   "random",
                                             "roundrobin", "blacklist", "static" };
    char why[MICRO__WHY_MAX] = "";
    micro_registry *reg = micro__plugin_registry(NULL, 0, "memory", NULL, why);
    micro_transport *http = micro__plugin_transport(NULL, 0, "http", "ignored", why);
    micro_transport *memory = micro__plugin_transport(NULL, 0, "memory", NULL, why);

    CHECK(reg && http && memory);
    for (size_t i = 0; i < MICRO_COUNTOF(selectors); i++) {
        micro_selector *sel = micro__plugin_selector(NULL, 0, selectors[i], reg, why);
        NOTE("%s", selectors[i]);
        CHECK(sel != NULL);
        micro_selector_free(sel);
    }
    CHECK(micro__plugin_strategy("roundrobin") == &micro_strategy_round_robin);
    CHECK(!micro__plugin_strategy("random") && !micro__plugin_strategy(NULL));
    micro_transport_free(http);
    micro_transport_free(memory);
    micro_registry_free(reg);
}

TEST(plugins_not_found)
{
    static const micro_plugin own[] = {
        { .name = "mine", .registry = tflags_plugin_registry },
        { .name = "mdns", .registry = tflags_plugin_registry },
        { .name = "none", .selector = tflags_plugin_selector },
    };
    char why[MICRO__WHY_MAX] = "";

    CHECK(!micro__plugin_registry(NULL, 0, "http", NULL, why)); /* a transport */
    CHECK_EQ_TEXT(why, "Registry http not found");
    CHECK(!micro__plugin_transport(own, 3, "mine", NULL, why));
    CHECK_EQ_TEXT(why, "Transport mine not found");
    CHECK(!micro__plugin_selector(NULL, 0, "best", NULL, why));
    CHECK_EQ_TEXT(why, "Selector best not found");
    CHECK(!micro__plugin_registry(NULL, 0, "mdns", "1.2.3.4", why));
    CHECK_EQ_TEXT(why, "registry mdns has no address: leave out registry_address");
    CHECK(!micro__plugin_selector(own, 3, "none", NULL, why));
    CHECK_EQ_TEXT(why, "none: out of memory");
    micro_registry *reg = micro__plugin_registry(own, 3, "mdns", "1.2.3.4", why); /* ours first */
    CHECK(reg != NULL);
    CHECK_EQ_TEXT(tflags_plugin_address, "1.2.3.4");
    micro_registry_free(reg);
}

/* The strategy is the client's, and the flag comes before the code. */
TEST(plugins_round_robin_reaches_the_client)
{
    char program[] = "p", flag[] = "--selector=roundrobin";
    char *argv[] = { program, flag, NULL };
    const micro_call_opts call = { .size_ = sizeof call, .strategy = &micro_strategy_random };
    micro_service *svc = micro_service_new(.argc = 2, .argv = argv, .call = &call);
    micro_service *plain = micro_service_new(.argc = 1, .argv = argv, .call = &call);

    CHECK_EQ_INT(micro_service_error(svc), MICRO_OK);
    CHECK(svc->client.defaults.strategy == &micro_strategy_round_robin);
    CHECK(plain->client.defaults.strategy == &micro_strategy_random);
    micro_service_free(svc);
    micro_service_free(plain);
}

TEST(plugins_checked_before_use)
{
    static const struct {
        micro__settings s;
        const char *why; /* NULL: fine */
    } rows[] = {
        { { .registry = NULL }, NULL },
        { { .registry = "memory", .transport = "memory", .selector = "static" }, NULL },
        { { .registry = "consul" }, "Registry consul not found" },
        { { .transport = "nats" }, "Transport nats not found" },
        { { .selector = "best" }, "Selector best not found" },
        { { .registry = "mdns", .registry_address = "x" },
          "registry mdns has no address: leave out registry_address" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        char why[MICRO__WHY_MAX] = "";
        micro_err err = micro__plugins_check(NULL, 0, &rows[i].s, why);
        NOTE("row %d", (int)i);
        CHECK_EQ_INT(err, rows[i].why ? MICRO_EUSAGE : MICRO_OK);
        if (rows[i].why)
            CHECK_EQ_TEXT(why, rows[i].why);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

TEST(flags_out_of_memory)
{
    tflags_own own = { NULL, 0, 0, false };
    const micro_flag list[] = TFLAGS_OWN(own);
    size_t failed = 0;
    bool done = false;
    static char big[6000];

    memset(big, 'b', sizeof big - 1);
    setenv("MICRO_SERVER_NAME", big, 1);
    setenv("MICRO_SERVER_METADATA", "a=b,c=d", 1);
    for (size_t at = 1; at < 100 && !done; at++) {
        tflags f;
        tflags_begin(&f);
        f.in.user = list;
        f.in.nuser = MICRO_COUNTOF(list);
        failing_begin(at);
        micro_err err = tflags_read(&f, "p a b --queue=x --server_metadata k=v -- c");
        micro__arena_free(&f.arena);
        done = failing_end();
        NOTE("request %d", (int)at);
        CHECK_EQ_INT(err, done ? MICRO_OK : MICRO_ENOMEM);
        failed += !done;
    }
    CHECK(done && failed > 0);
}
