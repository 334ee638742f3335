/* SPDX-License-Identifier: MIT */
/* libmicrohttpd, one internal thread with epoll: mhd PORT */
#include "rpc_cjson.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct body {
    size_t len;
    char bytes[1024];
} body;

static enum MHD_Result mhd_reply(struct MHD_Connection *c, const body *b)
{
    char out[512] = "bad\n";
    int n = peer_hello(b->bytes, b->len, out, sizeof out);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(n < 0 ? 4 : (size_t)n, out, MHD_RESPMEM_MUST_COPY);

    MHD_add_response_header(r, "Content-Type", "application/json-rpc");
    enum MHD_Result result = MHD_queue_response(c, n < 0 ? 400 : 200, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result mhd_request(void *arg, struct MHD_Connection *c, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *len, void **state)
{
    body *b = *state;

    (void)arg;
    (void)url;
    (void)method;
    (void)version;
    if (!b) {
        *state = calloc(1, sizeof *b);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*len == 0)
        return mhd_reply(c, b);
    if (b->len + *len > sizeof b->bytes)
        return MHD_NO;
    memcpy(b->bytes + b->len, data, *len);
    b->len += *len;
    *len = 0;
    return MHD_YES;
}

static void mhd_done(void *arg, struct MHD_Connection *c, void **state,
                     enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)c;
    (void)why;
    free(*state);
    *state = NULL;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, (unsigned short)port, NULL, NULL,
                          mhd_request, NULL, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_NOTIFY_COMPLETED,
                          mhd_done, NULL, MHD_OPTION_CONNECTION_LIMIT, 20000u,
                          MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_END))
        return 1;
    for (;;)
        pause();
}
