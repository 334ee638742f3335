/* SPDX-License-Identifier: MIT */
/* Fuzzes the messages of a stream's connection, as a server and as a caller read them: in one piece
 * they are the same as in many. */
#include "net/pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct pipefuzz_sum {
    size_t messages, bytes;
    uint64_t hash;
    micro_err end;
} pipefuzz_sum;

static void pipefuzz_require(bool cond)
{
    if (!cond)
        abort();
}

/* All that is there. */
static void pipefuzz_take(micro__pipe *p, pipefuzz_sum *sum)
{
    static micro__piece m;

    while (sum->end == MICRO_OK || sum->end == MICRO_EAGAIN) {
        sum->end = micro__pipe_take(p, &m);
        if (sum->end != MICRO_OK)
            return;
        sum->messages++;
        sum->bytes += m.len;
        for (size_t i = 0; i < m.len; i++)
            sum->hash = (sum->hash ^ (unsigned char)m.body[i]) * 1099511628211u;
    }
}

static pipefuzz_sum pipefuzz_read(const uint8_t *data, size_t size, size_t step, bool serving)
{
    pipefuzz_sum sum = { .hash = 14695981039346656037u };
    micro__pipe p;
    int fds[2];

    pipefuzz_require(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    micro__pipe_init(&p, fds[0], serving, 65536);
    for (size_t at = 0; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        pipefuzz_require(write(fds[1], data + at, n) == (ssize_t)n);
        pipefuzz_take(&p, &sum);
    }
    close(fds[1]);
    pipefuzz_take(&p, &sum);
    pipefuzz_require(sum.end != MICRO_OK && sum.end != MICRO_EAGAIN);
    micro__pipe_free(&p);
    close(fds[0]);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 32768)
        return 0;
    for (int serving = 0; serving < 2; serving++) {
        pipefuzz_sum whole = pipefuzz_read(data, size, size ? size : 1, serving);
        pipefuzz_sum parts = pipefuzz_read(data, size, size / 16 + 1, serving);
        pipefuzz_require(whole.messages == parts.messages && whole.bytes == parts.bytes);
        pipefuzz_require(whole.hash == parts.hash);
    }
    return 0;
}
