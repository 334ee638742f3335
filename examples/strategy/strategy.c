/* SPDX-License-Identifier: MIT */
/* Sharding by key: notes are kept in the memory of any number of nodes, each of them a process of
 * this program. Nobody knows where a note is: the same key always leads to the same node, as long
 * as that is there, and if a node comes or goes most keys stay where they were.
 *
 *     strategy                  a node
 *     strategy put KEY TEXT     keeps TEXT; says where
 *     strategy get KEY          says TEXT and where it is */
#include "micro.h"
#include <pthread.h>
#include <stdio.h>

#define NOTES "go.micro.srv.notes"

typedef struct { char key[64], text[256]; } note; /* fixed sizes: there is nothing to free */
typedef struct { micro_str node; char text[256]; } place;

MICRO_TYPE(note, "Note", MICRO_CHARS(note, key, 1), MICRO_CHARS(note, text, 2));
MICRO_TYPE(place, "Place", MICRO_FIELD(string, place, node, 1), MICRO_CHARS(place, text, 2));
MICRO_METHOD(notes_put, "Notes.Put", note, place);
MICRO_METHOD(notes_get, "Notes.Get", note, place);

/* ---- a node ---------------------------------------------------------------------------------- */

typedef struct {
    pthread_mutex_t lock; /* handlers run in parallel */
    note notes[1000];
    size_t n;
} shelf;

/* The place of a key, or the first free one. */
static note *find(shelf *s, const char *key)
{
    size_t i = 0;

    while (i < s->n && strcmp(s->notes[i].key, key) != 0)
        i++;
    return i < MICRO_COUNTOF(s->notes) ? &s->notes[i] : NULL;
}

static micro_err put(micro_ctx *ctx, const note *req, place *rsp)
{
    shelf *s = micro_ctx_state(ctx);

    pthread_mutex_lock(&s->lock);
    note *at = find(s, req->key);
    if (at == &s->notes[s->n])
        s->n++;
    if (at)
        *at = *req;
    pthread_mutex_unlock(&s->lock);
    if (!at)
        return micro_fail(ctx, 507, "the shelf is full");
    rsp->node = micro_s(micro_service_address(micro_ctx_service(ctx)));
    return MICRO_OK;
}

static micro_err get(micro_ctx *ctx, const note *req, place *rsp)
{
    shelf *s = micro_ctx_state(ctx);

    pthread_mutex_lock(&s->lock);
    const note *at = find(s, req->key);
    bool there = at && at < s->notes + s->n;
    if (there)
        memcpy(rsp->text, at->text, sizeof rsp->text);
    pthread_mutex_unlock(&s->lock);
    if (!there)
        return micro_fail(ctx, 404, "no note %s", req->key);
    rsp->node = micro_s(micro_service_address(micro_ctx_service(ctx)));
    return MICRO_OK;
}

/* ---- who asks -------------------------------------------------------------------------------- */

/* A call takes the first node that answers to a name, but a key belongs to one of them all: a
 * program that has just started hears of all first. */
static micro_err hear_of_all(micro_service *svc, micro_ctx *ctx)
{
    micro_entries all;

    return micro_registry_get(micro_service_registry(svc), ctx, NOTES, &all);
}

static micro_err ask(micro_service *svc, const char *const *args, size_t nargs)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    bool putting = nargs == 3 && strcmp(args[0], "put") == 0;
    micro_err err = MICRO_EUSAGE;
    note req = { "", "" };
    place rsp;

    if (putting || (nargs == 2 && strcmp(args[0], "get") == 0)) {
        /* This line is what the example is about. */
        const micro_call_opts *sharded =
            MICRO_OPTS(micro_call_opts, .strategy = &micro_strategy_hash, .key = args[1]);

        snprintf(req.key, sizeof req.key, "%s", args[1]);
        snprintf(req.text, sizeof req.text, "%s", putting ? args[2] : "");
        err = hear_of_all(svc, ctx);
        if (err == MICRO_OK)
            err = putting ? notes_put_with(ctx, NOTES, &req, &rsp, sharded)
                          : notes_get_with(ctx, NOTES, &req, &rsp, sharded);
    }
    if (err == MICRO_EUSAGE)
        fprintf(stderr, "usage: strategy [put KEY TEXT | get KEY]\n");
    else if (err != MICRO_OK)
        fprintf(stderr, "strategy: %s\n", micro_ctx_strerror(ctx));
    else
        printf("%s%s%s\n", rsp.text, putting ? "" : " at ", rsp.node.ptr);
    micro_ctx_free(ctx);
    return err;
}

int main(int argc, char **argv)
{
    static shelf kept = { .lock = PTHREAD_MUTEX_INITIALIZER };
    micro_service *svc = micro_service_new(.name = NOTES, .argc = argc, .argv = argv);
    const char *const *args;
    size_t nargs = micro_service_args(svc, &args);
    micro_err err;

    if (nargs > 0) {
        err = ask(svc, args, nargs);
    } else {
        notes_put_handle(svc, put, &kept);
        notes_get_handle(svc, get, &kept);
        err = micro_service_run(svc);
    }
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
