/* SPDX-License-Identifier: MIT */
/* Lets a script use the mdns registry of one process: commands come as lines on stdin, each is
 * answered by any number of `node` lines and one that starts with `ok` or `error`.
 *
 *   put NAME VERSION ID ADDRESS TTL_MS [KEY=VALUE]...   TTL_MS 0: the registry's own
 *   big NAME VERSION ID ADDRESS ENDPOINTS               a node with so many endpoints
 *   del NAME ID
 *   get NAME    first NAME    list                      ok MICROSECONDS
 *   watch NAME  watch *  unwatch                        event WHAT NAME VERSION ID ADDRESS
 *   nest NAME                                           a watch whose callback gets NAME
 *   timeout MS                                          of the look-ups that follow
 *   cancel MS   starve N                                the next is canceled, short of memory
 *   swap                                                another registry, and back
 *   sleep MS    free    new    quit */
#include "micro.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { DRIVER_WORDS = 64 };

static micro_registry *driver_registry, *driver_other;
static micro_watch *driver_watch;
static micro_ctx *driver_ctx;
static micro_service *driver_polled; /* only to be polled */
static int driver_timeout_ms, driver_cancel_ms;

static const char *driver_nested; /* what a callback looks up; NULL: nothing */

static atomic_long driver_memory = -1; /* allocations left; negative: any number */
static long driver_starve_after = -1;

static void *driver_realloc(void *arg, void *old, size_t old_size, size_t new_size)
{
    (void)arg;
    (void)old_size;
    if (new_size == 0) {
        free(old);
        return NULL;
    }
    long left = atomic_load(&driver_memory);
    while (left > 0 && !atomic_compare_exchange_weak(&driver_memory, &left, left - 1))
        continue;
    return left == 0 ? NULL : realloc(old, new_size);
}

static long long driver_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Waits for a command (ms < 0), or so long. A library without threads is driven meanwhile. */
static void driver_wait(int ms)
{
    long long until = driver_now_us() + ms * 1000LL;
    struct pollfd input = { .fd = ms < 0 ? STDIN_FILENO : -1, .events = POLLIN };
    while (micro_poll(driver_polled, 0) != MICRO_ECLOSED) {
        if (ms < 0 ? poll(&input, 1, 2) > 0 : driver_now_us() >= until)
            return;
        if (ms >= 0)
            poll(NULL, 0, 2);
    }
    poll(&input, 1, ms);
}

static void driver_result(micro_err err, long long since)
{
    if (err)
        printf("error %d %s: %s\n", err, micro_strerror(err), micro_ctx_strerror(driver_ctx));
    else
        printf("ok %lld\n", driver_now_us() - since);
    fflush(stdout);
}

static void driver_print(const micro_entries *list)
{
    for (size_t i = 0; i < list->len; i++) {
        const micro_entry *e = &list->ptr[i];
        if (e->nodes.len == 0)
            printf("service %s\n", e->name.ptr);
        for (size_t k = 0; k < e->nodes.len; k++) {
            const micro_node *n = &e->nodes.ptr[k];
            printf("node %s %s %s %s endpoints=%zu", e->name.ptr, e->version.ptr, n->id.ptr,
                   n->address.ptr, e->endpoints.len);
            for (size_t m = 0; m < n->metadata.len; m++)
                printf(" %s=%s", n->metadata.ptr[m].key.ptr, n->metadata.ptr[m].value.ptr);
            printf("\n");
        }
    }
}

static void driver_event(void *arg, enum micro_change what, const micro_entry *e)
{
    static const char *const words[] = { "create", "update", "delete" };
    (void)arg;
    for (size_t i = 0; i < e->nodes.len; i++)
        printf("event %s %s %s %s %s\n", words[what], e->name.ptr, e->version.ptr,
               e->nodes.ptr[i].id.ptr, e->nodes.ptr[i].address.ptr);
    if (driver_nested) {
        micro_ctx *ctx = micro_ctx_new(NULL);
        micro_entries found = { NULL, 0, 0 };
        micro_err err = micro_registry_get(driver_registry, ctx, driver_nested, &found);
        printf("event nested %d %zu\n", err, found.len);
        micro_ctx_free(ctx);
    }
    fflush(stdout);
}

/* NAME VERSION ID ADDRESS, then metadata or a number of endpoints */
static micro_err driver_register(char **words, int n, int endpoints, int ttl_ms)
{
    micro_entry e = { .name = micro_s(words[0]), .version = micro_s(words[1]) };
    micro_node node = { .id = micro_s(words[2]), .address = micro_s(words[3]) };
    micro_desc field = { .name = micro_s("name"), .type = micro_s("string") };
    micro_desc message = { .name = micro_s("Request"), .type = micro_s("Request") };
    message.values.ptr = &field;
    message.values.len = 1;
    for (int i = 0; i < n; i++) {
        micro_pair *pair = micro_append(driver_ctx, &node.metadata);
        char *eq = strchr(words[5 + i], '=');
        if (!pair || !eq)
            return MICRO_EUSAGE;
        *eq = '\0';
        pair->key = micro_s(words[5 + i]);
        pair->value = micro_s(eq + 1);
    }
    for (int i = 0; i < endpoints; i++) {
        micro_endpoint *endpoint = micro_append(driver_ctx, &e.endpoints);
        if (!endpoint)
            return MICRO_ENOMEM;
        endpoint->name = micro_format(driver_ctx, "Handler%d.Method%d", i, i * 7919 % 1000);
        endpoint->request = endpoint->response = &message;
    }
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    return micro_registry_put(driver_registry, driver_ctx, &e, ttl_ms);
}

static micro_err driver_put(char **words, int n)
{
    return driver_register(words, n - 5, 0, atoi(words[4]));
}

static micro_err driver_big(char **words, int n)
{
    (void)n;
    return driver_register(words, 0, atoi(words[4]), 0);
}

static micro_err driver_del(char **words, int n)
{
    (void)n;
    micro_entry e = { .name = micro_s(words[0]) };
    micro_node node = { .id = micro_s(words[1]) };
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    return micro_registry_del(driver_registry, driver_ctx, &e);
}

static void *driver_canceler(void *arg)
{
    poll(NULL, 0, driver_cancel_ms);
    micro_ctx_cancel(arg);
    return NULL;
}

typedef micro_err driver_op(micro_registry *, micro_ctx *, const char *, micro_entries *);

static micro_err driver_look(driver_op *op, const char *name)
{
    micro_entries found = { NULL, 0, 0 };
    pthread_t thread;
    bool cancel =
        driver_cancel_ms && pthread_create(&thread, NULL, driver_canceler, driver_ctx) == 0;
    micro_err err = op ? op(driver_registry, driver_ctx, name, &found)
                       : micro_registry_list(driver_registry, driver_ctx, &found);
    if (cancel)
        pthread_join(thread, NULL);
    driver_cancel_ms = 0;
    driver_print(&found);
    return err;
}

static micro_err driver_get(char **words, int n)
{
    (void)n;
    return driver_look(micro_registry_get, words[0]);
}

static micro_err driver_first(char **words, int n)
{
    (void)n;
    return driver_look(driver_registry->ops->first, words[0]);
}

static micro_err driver_list(char **words, int n)
{
    (void)words;
    (void)n;
    return driver_look(NULL, NULL);
}

static micro_err driver_watch_start(char **words, int n)
{
    (void)n;
    const char *name = strcmp(words[0], "*") ? words[0] : NULL;
    return micro_registry_watch(driver_registry, name, driver_event, NULL, &driver_watch);
}

static micro_err driver_nest(char **words, int n)
{
    static char name[256];
    snprintf(name, sizeof name, "%s", words[0]);
    driver_nested = name;
    return driver_watch_start(words, n);
}

static micro_err driver_unwatch(char **words, int n)
{
    (void)words;
    (void)n;
    micro_registry_unwatch(driver_registry, driver_watch);
    driver_watch = NULL;
    return MICRO_OK;
}

static micro_err driver_timeout(char **words, int n)
{
    (void)n;
    driver_timeout_ms = atoi(words[0]);
    return MICRO_OK;
}

static micro_err driver_cancel(char **words, int n)
{
    (void)n;
    driver_cancel_ms = atoi(words[0]);
    return MICRO_OK;
}

static micro_err driver_starve(char **words, int n)
{
    (void)n;
    driver_starve_after = atol(words[0]);
    return MICRO_OK;
}

static micro_err driver_pause(char **words, int n)
{
    (void)n;
    driver_wait(atoi(words[0]));
    return MICRO_OK;
}

static micro_err driver_free(char **words, int n)
{
    driver_unwatch(words, n);
    micro_registry_free(driver_registry);
    driver_registry = NULL;
    return MICRO_OK;
}

static micro_err driver_new(char **words, int n)
{
    (void)words;
    (void)n;
    driver_registry = micro_registry_mdns_new();
    return driver_registry ? MICRO_OK : MICRO_ENOMEM;
}

static micro_err driver_swap(char **words, int n)
{
    (void)words;
    (void)n;
    micro_registry *now = driver_other ? driver_other : micro_registry_mdns_new();
    driver_other = driver_registry;
    driver_registry = now;
    return now ? MICRO_OK : MICRO_ENOMEM;
}

static const struct {
    const char *name;
    int least, most;
    micro_err (*fn)(char **words, int n);
} driver_commands[] = {
    { "put", 5, DRIVER_WORDS, driver_put },
    { "big", 5, 5, driver_big },
    { "del", 2, 2, driver_del },
    { "get", 1, 1, driver_get },
    { "first", 1, 1, driver_first },
    { "list", 0, 0, driver_list },
    { "watch", 1, 1, driver_watch_start },
    { "nest", 1, 1, driver_nest },
    { "unwatch", 0, 0, driver_unwatch },
    { "timeout", 1, 1, driver_timeout },
    { "cancel", 1, 1, driver_cancel },
    { "starve", 1, 1, driver_starve },
    { "sleep", 1, 1, driver_pause },
    { "free", 0, 0, driver_free },
    { "new", 0, 0, driver_new },
    { "swap", 0, 0, driver_swap },
};

static micro_err driver_do(char **words, int n)
{
    for (size_t i = 0; i < MICRO_COUNTOF(driver_commands); i++) {
        if (!strcmp(words[0], driver_commands[i].name))
            return n - 1 < driver_commands[i].least || n - 1 > driver_commands[i].most
                       ? MICRO_EUSAGE
                       : driver_commands[i].fn(words + 1, n - 1);
    }
    return MICRO_EUSAGE;
}

int main(void)
{
    static char line[65536];
    micro_allocator_set(driver_realloc, NULL);
    micro_registry *none = micro_registry_memory_new();
    driver_polled = micro_service_new(.registry = none);
    driver_registry = micro_registry_mdns_new();
    while (driver_wait(-1), fgets(line, sizeof line, stdin)) {
        char *words[DRIVER_WORDS];
        int n = 0;
        for (char *w = strtok(line, " \n"); w && n < DRIVER_WORDS; w = strtok(NULL, " \n"))
            words[n++] = w;
        if (n == 0)
            continue;
        if (!strcmp(words[0], "quit"))
            break;
        driver_ctx = micro_ctx_new(NULL);
        if (driver_timeout_ms)
            micro_ctx_set_timeout(driver_ctx, driver_timeout_ms);
        atomic_store(&driver_memory, driver_starve_after);
        driver_starve_after = -1;
        long long since = driver_now_us();
        micro_err err = driver_do(words, n);
        atomic_store(&driver_memory, -1);
        driver_result(err, since);
        micro_ctx_free(driver_ctx);
    }
    driver_free(NULL, 0);
    micro_registry_free(driver_other);
    micro_service_free(driver_polled);
    micro_registry_free(none);
    return 0;
}
