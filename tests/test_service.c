/* SPDX-License-Identifier: MIT */
/* The life of a service: options, hooks, run and signals, posted functions, a loop of the caller's
 * own. */
#include "hello.h"
#include "net/net.h"
#include "os/os.h"
#include "raw.h"

#include <pthread.h>
#include <signal.h>

/* ---- hooks and order --------------------------------------------------------------------------
 */

#define SERVICE_MARK(text) ((void *)(uintptr_t)(text))

static char service_order[256];

static micro_err service_note(micro_service *svc, void *arg)
{
    (void)svc;
    strcat(service_order, arg);
    return MICRO_OK;
}

static micro_err service_refuse(micro_service *svc, void *arg)
{
    (void)svc;
    strcat(service_order, arg);
    return MICRO_EIO;
}

TEST(service_hooks_run_in_order)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0");

    micro_service_on(svc, MICRO_AFTER_STOP, service_note, SERVICE_MARK("F"));
    micro_service_on(svc, MICRO_BEFORE_START, service_note, SERVICE_MARK("a"));
    micro_service_on(svc, MICRO_BEFORE_START, service_note, SERVICE_MARK("b"));
    micro_service_on(svc, MICRO_AFTER_START, service_note, SERVICE_MARK("c"));
    micro_service_on(svc, MICRO_BEFORE_STOP, service_refuse, SERVICE_MARK("d"));
    micro_service_on(svc, MICRO_BEFORE_STOP, service_note, SERVICE_MARK("e"));
    CHECK_EQ_INT(micro_service_start(svc), MICRO_OK);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_EBUSY);
    micro_service_stop(svc);
    CHECK_EQ_TEXT(service_order, "abcdeF");
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EIO);
    micro_service_free(svc);
    micro_registry_free(reg);
}

TEST(service_hook_before_start_aborts)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0");

    micro_service_on(svc, MICRO_BEFORE_START, service_refuse, SERVICE_MARK("x"));
    micro_service_on(svc, MICRO_BEFORE_START, service_note, SERVICE_MARK("y"));
    CHECK_EQ_INT(micro_service_start(svc), MICRO_EIO);
    CHECK_EQ_TEXT(service_order, "x");
    CHECK_EQ_TEXT(micro_service_address(svc), "");
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* ---- what sticks ------------------------------------------------------------------------------
 */

TEST(service_first_error_sticks)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.registry = reg);
    micro_method bad = hello_say_method;

    bad.name = "NoDot";
    hello_say_handle(svc, hello_on_say, NULL);
    hello_say_handle(svc, hello_on_say, NULL);
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EEXIST);
    micro_service_handle(svc, &bad, hello_say_invoke_, (micro_fn *)hello_on_say, NULL);
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EEXIST);
    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    CHECK_EQ_INT(micro_service_run(svc), MICRO_EEXIST);
    CHECK_EQ_INT(micro_service_exit_code(svc, MICRO_OK), 1);
    micro_service_free(svc);
    micro_registry_free(reg);
}

TEST(service_null_everywhere)
{
    CHECK_EQ_INT(micro_service_run(NULL), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_service_start(NULL), MICRO_ENOMEM);
    micro_service_stop(NULL);
    micro_service_free(NULL);
    CHECK_EQ_INT(micro_service_error(NULL), MICRO_ENOMEM);
    CHECK_EQ_TEXT(micro_service_name(NULL), "");
    CHECK_EQ_TEXT(micro_service_address(NULL), "");
    CHECK_EQ_UINT(micro_service_args(NULL, NULL), 0);
    CHECK_EQ_INT(micro_service_exit_code(NULL, MICRO_OK), 0);
    CHECK_EQ_INT(micro_service_exit_code(NULL, MICRO_EUSAGE), 2);
    CHECK_EQ_INT(micro_service_exit_code(NULL, MICRO_EHELP), 0);
    CHECK_EQ_INT(micro_service_exit_code(NULL, MICRO_EIO), 1);
    micro_service_on(NULL, MICRO_AFTER_START, service_note, NULL);
    micro_service_handle(NULL, &hello_say_method, hello_say_invoke_, (micro_fn *)hello_on_say,
                         NULL);
    CHECK(micro_service_registry(NULL) == NULL);
    CHECK_EQ_INT(micro_poll(NULL, 0), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_post(NULL, 0, NULL, NULL), MICRO_ENOMEM);
    micro_ctx_free(NULL);
}

TEST(service_header_of_another_version)
{
    struct {
        micro_service_opts o;
        int more;
    } longer = { { 0 }, 1 };

    longer.o.size_ = sizeof longer;
    longer.o.abi_ = MICRO_ABI;
    micro_service *svc = micro_service_create(&longer.o);
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EVERSION);
    micro_service_free(svc);
    longer.o.size_ = 0;
    longer.o.abi_ = MICRO_ABI + 1;
    svc = micro_service_create(&longer.o);
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EVERSION);
    micro_service_free(svc);
}

/* ---- addresses --------------------------------------------------------------------------------
 */

TEST(service_listens_where_it_is_told)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *a =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg));
    char range[64];

    REQUIRE(a != NULL);
    int port = atoi(strrchr(micro_service_address(a), ':') + 1);
    snprintf(range, sizeof range, "127.0.0.1:%d-%d", port, port + 20);
    micro_service *b = micro_service_new(.registry = reg, .address = range);
    CHECK_EQ_INT(micro_service_start(b), MICRO_OK);
    CHECK(atoi(strrchr(micro_service_address(b), ':') + 1) > port);
    micro_service *c = micro_service_new(.registry = reg, .address = micro_service_address(a));
    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    CHECK_EQ_INT(micro_service_run(c), MICRO_EBUSY);
    micro_service *d = micro_service_new(.registry = reg, .address = "not an address:1");
    CHECK_EQ_INT(micro_service_run(d), MICRO_EINVAL);
    micro_service *e =
        micro_service_new(.registry = reg, .address = "127.0.0.1:0", .advertise = "10.1.2.3:99");
    CHECK_EQ_INT(micro_service_start(e), MICRO_OK);
    CHECK_EQ_TEXT(micro_service_address(e), "10.1.2.3:99");
    micro_service_free(e);
    micro_service_free(d);
    micro_service_free(c);
    micro_service_free(b);
    micro_service_free(a);
    micro_registry_free(reg);
}

/* The address is looked after first: no thread, and no descriptor, of a service that cannot have
 * it. */
TEST(service_at_a_taken_address_starts_nothing)
{
    micro_registry *reg = micro_registry_memory_new();
    micro__listener taken;
    micro__addr at;
    char text[128];
    uint64_t memory, before, after;

    REQUIRE(micro__addr_resolve(&at, micro_s("127.0.0.1:0")) == MICRO_OK);
    REQUIRE(micro__listener_open(&taken, &at) == MICRO_OK);
    micro__addr_format(&taken.bound, text);
    micro__process_usage(&memory, &before);
    micro_service *svc = micro_service_new(.registry = reg, .address = text);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_EBUSY);
    micro__process_usage(&memory, &after);
    CHECK_EQ_UINT(after, before);
    int fd = micro__fd_reserve();
    CHECK_EQ_INT(fd, taken.fd + 1);
    micro__fd_close(fd);
    micro_service_free(svc);
    micro__listener_close(&taken);
    micro_registry_free(reg);
}

TEST(service_over_a_unix_socket)
{
    micro_registry *reg = micro_registry_memory_new();
    char path[64];
    const hello_msg req = { micro_s("Unix") };
    hello_answer rsp;

    snprintf(path, sizeof path, "unix:/tmp/micro-test-%d.sock", (int)getpid());
    micro_service *svc = hello_start(
        MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .address = path));
    REQUIRE(svc != NULL);
    micro_ctx *ctx = micro_ctx_new(svc);
    CHECK_EQ_INT(hello_say_with(ctx, "x", &req, &rsp, MICRO_OPTS(micro_call_opts, .address = path)),
                 MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "Hello Unix");
    micro_ctx_free(ctx);
    micro_service_free(svc);
    CHECK(access(path + 5, F_OK) != 0);
    micro_registry_free(reg);
}

TEST(service_registers_what_it_is)
{
    micro_registry *reg = micro_registry_memory_new();
    const char *meta[] = { "zone=eu", "a=b=c", NULL };
    micro_service *svc =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .id = "n1",
                               .version = "2.1.0", .metadata = meta));
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries list;

    REQUIRE(svc != NULL);
    REQUIRE(micro_registry_get(reg, ctx, "go.micro.srv.greeter", &list) == MICRO_OK);
    REQUIRE(list.len == 1 && list.ptr[0].nodes.len == 1 && list.ptr[0].endpoints.len == 6);
    const micro_node *node = &list.ptr[0].nodes.ptr[0];
    CHECK_EQ_STR(list.ptr[0].version, "2.1.0");
    CHECK_EQ_STR(node->id, "go.micro.srv.greeter-n1");
    CHECK_EQ_STR(node->address, micro_service_address(svc));
    const char *want[][2] = { { "zone", "eu" },        { "a", "b=c" },       { "protocol", "mucp" },
                              { "transport", "http" }, { "broker", "http" }, { "server", "mucp" },
                              { "registry", "memory" } };
    for (size_t i = 0; i < MICRO_COUNTOF(want); i++) {
        bool found = false;
        NOTE("%s", want[i][0]);
        for (size_t k = 0; k < node->metadata.len; k++)
            found |= micro_str_eq(node->metadata.ptr[k].key, micro_s(want[i][0])) &&
                     micro_str_eq(node->metadata.ptr[k].value, micro_s(want[i][1]));
        CHECK(found);
    }
    CHECK_EQ_STR(list.ptr[0].endpoints.ptr[0].name, "Say.Hello");
    CHECK_EQ_STR(list.ptr[0].endpoints.ptr[0].request->name, "Request");
    micro_service_stop(svc);
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "go.micro.srv.greeter", &list), MICRO_ENOTFOUND);
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* ---- run and signals --------------------------------------------------------------------------
 */

static micro_err service_signal(micro_service *svc, void *arg)
{
    (void)svc;
    kill(getpid(), *(int *)arg);
    return MICRO_OK;
}

TEST(service_run_ends_with_a_signal)
{
    int signals[] = { SIGTERM, SIGINT };

    for (size_t i = 0; i < 2; i++) {
        micro_registry *reg = micro_registry_memory_new();
        micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0");
        NOTE("signal %d", signals[i]);
        micro_service_on(svc, MICRO_AFTER_START, service_signal, &signals[i]);
        CHECK_EQ_INT(micro_service_run(svc), MICRO_OK);
        CHECK_EQ_INT(micro_service_exit_code(svc, MICRO_OK), 0);
        micro_service_free(svc);
        micro_registry_free(reg);
    }
}

static void service_stop_it(void *arg)
{
    micro_service_stop(arg);
}

static micro_err service_post_stop(micro_service *svc, void *arg)
{
    (void)arg;
    return micro_post(svc, 20, service_stop_it, svc);
}

TEST(service_stop_from_a_callback_and_another_thread)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0");

    micro_service_on(svc, MICRO_AFTER_START, service_post_stop, NULL);
    CHECK_EQ_INT(micro_service_run(svc), MICRO_OK);
    micro_service_free(svc);
    micro_registry_free(reg);
}

static micro_err service_stop_hook(micro_service *svc, void *arg)
{
    (void)arg;
    micro_service_stop(svc);
    return MICRO_OK;
}

TEST(service_stop_from_a_hook)
{
    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    enum micro_moment moments[] = { MICRO_AFTER_START, MICRO_BEFORE_STOP, MICRO_AFTER_STOP };

    for (size_t i = 0; i < MICRO_COUNTOF(moments); i++) {
        micro_registry *reg = micro_registry_memory_new();
        micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0");
        NOTE("moment %zu", i);
        micro_service_on(svc, moments[i], service_stop_hook, NULL);
        micro_service_on(svc, MICRO_AFTER_START, service_post_stop, NULL);
        micro_err err = micro_service_run(svc);
        CHECK(err == MICRO_OK ||
              (i == 0 && err == MICRO_ECLOSED)); /* nothing can be posted any more */
        micro_service_free(svc);
        micro_registry_free(reg);
    }
}

static void *service_stop_later(void *arg)
{
    raw_sleep(50);
    micro_service_stop(arg);
    return NULL;
}

TEST_OF_THREADS(own, service_stop_from_another_thread_ends_run)
{
    for (int loops = -1; loops <= 1; loops++) {
        micro_registry *reg = micro_registry_memory_new();
        micro_service *svc =
            micro_service_new(.registry = reg, .address = "127.0.0.1:0", .loops = loops);
        pthread_t t;
        NOTE("loops %d", loops);
        pthread_create(&t, NULL, service_stop_later, svc);
        CHECK_EQ_INT(micro_service_run(svc), MICRO_OK);
        pthread_join(t, NULL);
        micro_service_free(svc);
        micro_registry_free(reg);
    }
}

static micro_err service_counts(micro_service *svc, void *arg)
{
    (void)svc;
    atomic_fetch_add((atomic_int *)arg, 1);
    return MICRO_OK;
}

TEST_OF_THREADS(own, service_signal_ends_all_that_run)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc[3];
    pthread_t t[3];
    void *err;
    atomic_int running = 0;

    for (int i = 0; i < 3; i++) {
        svc[i] = micro_service_new(.registry = reg, .address = "127.0.0.1:0");
        micro_service_on(svc[i], MICRO_AFTER_START, service_counts, &running);
        pthread_create(&t[i], NULL, hello_run, svc[i]);
    }
    CHECK_EQ_INT(raw_until(&running, 3), 3);
    kill(getpid(), SIGTERM);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &err);
        CHECK_EQ_INT((intptr_t)err, MICRO_OK);
        micro_service_free(svc[i]);
    }
    micro_registry_free(reg);
}

static micro_err service_on_stop(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    (void)req;
    micro_service_stop(micro_ctx_service(ctx));
    rsp->msg = micro_s("stopping");
    return MICRO_OK;
}

/* The handler runs on the thread of its caller, which the end would have to wait for. */
TEST_OF_THREADS(own, service_stop_from_a_handler_over_memory)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_transport *memory = micro_transport_memory_new();
    micro_service *svc = micro_service_new(.name = "s", .registry = reg, .transport = memory);
    micro_service *client = micro_service_new(.registry = reg, .transport = memory);
    micro_ctx *ctx = micro_ctx_new(client);
    hello_msg req = { micro_s("x") };
    hello_answer rsp;
    atomic_int running = 0;
    pthread_t t;
    void *err;

    hello_say_handle(svc, service_on_stop, NULL);
    micro_service_on(svc, MICRO_AFTER_START, service_counts, &running);
    pthread_create(&t, NULL, hello_run, svc);
    CHECK_EQ_INT(raw_until(&running, 1), 1);
    CHECK_EQ_INT(hello_say(ctx, "s", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "stopping");
    pthread_join(t, &err);
    CHECK_EQ_INT((intptr_t)err, MICRO_OK);
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_service_free(svc);
    micro_transport_free(memory);
    micro_registry_free(reg);
}

static micro_err service_run_twice(micro_service *svc, void *arg)
{
    pthread_t t;
    void *err;

    pthread_create(&t, NULL, hello_run, svc);
    pthread_join(t, &err);
    *(micro_err *)arg = (micro_err)(intptr_t)err;
    return MICRO_OK;
}

TEST(service_runs_once)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.registry = reg, .address = "127.0.0.1:0");
    micro_err second = MICRO_OK;

    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    micro_service_on(svc, MICRO_AFTER_START, service_run_twice, &second);
    micro_service_on(svc, MICRO_AFTER_START, service_post_stop, NULL);
    CHECK_EQ_INT(micro_service_run(svc), MICRO_OK); /* the second run does not stop the first */
    CHECK_EQ_INT(second, MICRO_EBUSY);
    CHECK_EQ_INT(micro_service_run(svc), MICRO_EBUSY);
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* ---- posted functions -------------------------------------------------------------------------
 */

static atomic_int service_ticks;

static void service_tick(void *arg)
{
    (void)arg;
    atomic_fetch_add(&service_ticks, 1);
}

TEST(service_post_runs_once_and_not_after_the_stop)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg));

    REQUIRE(svc != NULL);
    for (int i = 0; i < 100; i++)
        CHECK_EQ_INT(micro_post(svc, i % 20, service_tick, NULL), MICRO_OK);
    CHECK_EQ_INT(micro_post(svc, 60000, service_tick, NULL), MICRO_OK);
    CHECK_EQ_INT(micro_post(svc, 0, NULL, NULL), MICRO_EINVAL);
    for (int i = 0; i < 200 && atomic_load(&service_ticks) < 100; i++)
        raw_sleep(5);
    CHECK_EQ_INT(atomic_load(&service_ticks), 100);
    micro_service_stop(svc);
    CHECK_EQ_INT(micro_post(svc, 0, service_tick, NULL), MICRO_ECLOSED);
    micro_service_free(svc);
    micro_registry_free(reg);
    CHECK_EQ_INT(atomic_load(&service_ticks), 100);
}

/* ---- two services, one engine -----------------------------------------------------------------
 */

TEST(service_two_share_the_engine)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *a =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .loops = 2));
    micro_service *b = hello_start(
        MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .name = "b"));
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/micro-test-%d.sock", (int)getpid());
    micro_service *c = micro_service_new(.registry = reg, .address = path, .loops = 3);
    const hello_msg req = { micro_s("x") };
    hello_answer rsp;

    REQUIRE(a && b);
    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    CHECK_EQ_INT(micro_service_start(c), MICRO_EINVAL);
    CHECK(access(path + 5, F_OK) != 0); /* given back */
    micro_ctx *ctx = micro_ctx_new(b);
    CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
    micro_service_stop(a);
    CHECK_EQ_INT(hello_say(ctx, "b", &req, &rsp), MICRO_OK);
    CHECK(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp) != MICRO_OK);
    micro_ctx_free(ctx);
    micro_service_free(c);
    micro_service_free(b);
    micro_service_free(a);
    micro_registry_free(reg);
}

/* ---- a loop of the caller's own ---------------------------------------------------------------
 */

TEST(service_polled_by_the_program)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg,
                               .loops = MICRO_OFF, .drain_ms = 500));
    char out[4096];

    REQUIRE(svc != NULL);
    CHECK_EQ_INT(micro_poll_fd(svc) >= 0, MICRO__POLLER != MICRO__POLLER_POLL);
    CHECK_EQ_INT(micro_post(svc, 10, service_tick, NULL), MICRO_OK);
    int fd = raw_connect(micro_service_address(svc));
    raw_post(fd, "Micro-Method: Say.Hello\r\n", "{\"name\":\"p\"}");
    bool answered = false;
    for (int i = 0; i < 100 && !(answered && atomic_load(&service_ticks)); i++) {
        struct pollfd p[2] = { { .fd = micro_poll_fd(svc), .events = POLLIN },
                               { .fd = fd, .events = POLLIN } };
        int due = micro_poll_timeout(svc);
        int most = p[0].fd >= 0 ? 100 : 10; /* without a descriptor, now and then */
        poll(p, answered ? 1 : 2, due < 0 || due > most ? most : due);
        micro_err err = micro_poll(svc, 0);
        CHECK(err == MICRO_OK || err == MICRO_EAGAIN);
        if (p[1].revents && !answered) {
            raw_reply(fd, out, sizeof out, 100);
            answered = true;
        }
    }
    CHECK(answered && strstr(out, "{\"msg\":\"Hello p\"}") != NULL);
    CHECK_EQ_INT(atomic_load(&service_ticks), 1);
    close(fd);
    micro_service_stop(svc);
    CHECK_EQ_INT(micro_poll(svc, 0), MICRO_ECLOSED);
    CHECK_EQ_INT(micro_poll_fd(svc), MICRO_OFF);
    micro_service_free(svc);
    micro_registry_free(reg);
}

TEST(service_polled_runs_and_ends_with_a_signal)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        micro_service_new(.registry = reg, .address = "127.0.0.1:0", .loops = MICRO_OFF);
    int sig = SIGTERM;

    micro_service_on(svc, MICRO_AFTER_START, service_signal, &sig);
    CHECK_EQ_INT(micro_service_run(svc), MICRO_OK);
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static size_t service_live, service_calls;

static void *service_counting(void *arg, void *old, size_t old_size, size_t new_size)
{
    (void)arg;
    __atomic_fetch_add(&service_calls, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&service_live, new_size - old_size, __ATOMIC_RELAXED);
    if (new_size)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

TEST(service_idle_connections_hold_no_buffers)
{
    enum { COUNT = 200 };
    static int fds[COUNT];
    char out[4096];

    micro_allocator_set(service_counting, NULL);
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .loops = 1));
    size_t before = 0;
    REQUIRE(svc != NULL);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = raw_connect(micro_service_address(svc));
        raw_post(fds[i], "Micro-Method: Say.Hello\r\n", "{\"name\":\"p\"}");
        CHECK(strstr(raw_reply(fds[i], out, sizeof out, 30000), "Hello p") != NULL);
        raw_sleep(i ? 0 : 20);
        if (i == 0)
            before = __atomic_load_n(&service_live, __ATOMIC_RELAXED);
    }
    raw_sleep(20);
    size_t each = (__atomic_load_n(&service_live, __ATOMIC_RELAXED) - before) / (COUNT - 1);
    NOTE("%zu bytes a connection", each);
    CHECK(each > 0 && each <= 256);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    micro_service_free(svc);
    micro_registry_free(reg);
    CHECK_EQ_UINT(service_live, 0);
}

TEST(service_calls_allocate_nothing_in_steady_state)
{
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;
    const char *types[] = { "application/json", "application/protobuf" };

    micro_allocator_set(service_counting, NULL);
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .loops = 1));
    micro_service *client = micro_service_new(.registry = reg, .name = "client");
    micro_ctx *ctx = micro_ctx_new(client);
    REQUIRE(svc != NULL);
    for (size_t k = 0; k < 2; k++) {
        size_t before = 0;
        NOTE("%s", types[k]);
        for (int i = 0; i < 2100; i++) {
            if (i == 100)
                before = __atomic_load_n(&service_calls, __ATOMIC_RELAXED);
            micro_ctx_reset(ctx);
            if (!CHECK_EQ_INT(hello_say_with(ctx, "go.micro.srv.greeter", &req, &rsp,
                                             MICRO_OPTS(micro_call_opts, .content_type = types[k])),
                              MICRO_OK))
                break;
        }
        CHECK_EQ_UINT(__atomic_load_n(&service_calls, __ATOMIC_RELAXED) - before, 0);
    }
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_service_free(svc);
    micro_registry_free(reg);
}
