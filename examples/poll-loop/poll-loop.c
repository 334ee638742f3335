/* SPDX-License-Identifier: MIT */
/* A service inside the program's own loop around poll(). Lines typed in become the text that
 * others read (Board.Read) and write (Board.Write); a clock beside them counts seconds. The end of
 * the input or a signal ends it. */
#define _POSIX_C_SOURCE 200809L
#include "micro.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Handlers run inside micro_poll, on the thread that calls it: no lock is needed. */
typedef struct { char text[256]; int64_t seconds; } board;

MICRO_TYPE(board, "Board", MICRO_CHARS(board, text, 1), MICRO_FIELD(int64, board, seconds, 2));
MICRO_METHOD(board_read, "Board.Read", micro_empty, board);
MICRO_METHOD(board_write, "Board.Write", board, board);

static volatile sig_atomic_t ended;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static micro_err read_board(micro_ctx *ctx, const micro_empty *req, board *rsp)
{
    const board *b = micro_ctx_state(ctx);

    (void)req;
    *rsp = *b;
    return MICRO_OK;
}

static micro_err write_board(micro_ctx *ctx, const board *req, board *rsp)
{
    board *b = micro_ctx_state(ctx);

    memcpy(b->text, req->text, sizeof b->text);
    *rsp = *b;
    return MICRO_OK;
}

/* False: the end of the input. */
static bool type_in(board *b)
{
    char line[sizeof b->text] = { 0 };
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);

    if (n > 0) {
        line[strcspn(line, "\n")] = 0;
        memcpy(b->text, line, sizeof line);
    }
    return n > 0 || (n < 0 && errno == EINTR);
}

static int64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The program's loop: the library is one descriptor and one time-out among others. */
static micro_err loop(micro_service *svc, board *b)
{
    int64_t start = clock_ms();

    while (!ended) {
        struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                                { .fd = micro_poll_fd(svc), .events = POLLIN } };
        int wait = (int)(1000 - (clock_ms() - start) % 1000); /* until the next second */
        int due = micro_poll_timeout(svc);

        if (due != MICRO_OFF && due < wait)
            wait = due;
        if (poll(fds, 2, wait) < 0 && errno != EINTR)
            return MICRO_EIO;
        b->seconds = (clock_ms() - start) / 1000;
        if (fds[0].revents && !type_in(b))
            return MICRO_OK;
        micro_err err = micro_poll(svc, 0); /* 0: does what is due, does not wait */
        if (err != MICRO_OK && err != MICRO_EAGAIN)
            return err;
    }
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    static board b;
    struct sigaction action = { .sa_handler = end };
    micro_service *svc = micro_service_new(.name = "go.micro.srv.board", .loops = MICRO_OFF,
                                           .argc = argc, .argv = argv);

    board_read_handle(svc, read_board, &b);
    board_write_handle(svc, write_board, &b);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    micro_err err = micro_service_start(svc);
    if (err == MICRO_OK)
        err = loop(svc, &b);
    else if (err != MICRO_EHELP)
        fprintf(stderr, "poll-loop: %s\n", micro_strerror(err));
    micro_service_stop(svc); /* says goodbye */
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
