/* SPDX-License-Identifier: MIT */
/* civetweb, a thread a connection: civet PORT THREADS */
#include "rpc_cjson.h"
#include <civetweb.h>
#include <unistd.h>

static int civet_request(struct mg_connection *c, void *arg)
{
    char in[1024], out[512], reply[1024];
    long long len = mg_get_request_info(c)->content_length, got = 0;

    (void)arg;
    if (len < 0 || len > (long long)sizeof in)
        return 0;
    while (got < len) {
        int k = mg_read(c, in + got, (size_t)(len - got));
        if (k <= 0)
            return 0;
        got += k;
    }
    int n = peer_hello(in, (size_t)len, out, sizeof out);
    if (n < 0) {
        mg_send_http_error(c, 400, "bad");
        return 400;
    }
    int total = snprintf(reply, sizeof reply,
                         "HTTP/1.1 200 OK\r\nContent-Type: application/json-rpc\r\n"
                         "Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%s",
                         n, out);
    mg_write(c, reply, (size_t)total);
    return 200;
}

int main(int argc, char **argv)
{
    char at[64];

    if (argc < 3)
        return 2;
    snprintf(at, sizeof at, "127.0.0.1:%s", argv[1]);
    const char *options[] = {
        "listening_ports",       at,      "num_threads", argv[2], "enable_keep_alive", "yes",
        "keep_alive_timeout_ms", "60000", "tcp_nodelay", "1",     "connection_queue",  "4096",
        "listen_backlog",        "4096",  NULL
    };
    mg_init_library(0);
    struct mg_context *server = mg_start(NULL, NULL, options);
    if (!server)
        return 1;
    mg_set_request_handler(server, "/", civet_request, NULL);
    for (;;)
        pause();
}
