/* SPDX-License-Identifier: MIT */
/* A registry of one's own, a text file that the processes of a machine share. Without watch, the
 * selector asks again from time to time.
 *     custom-registry                                          serves, by services.txt
 *     custom-registry NAME                                     calls it
 *     custom-registry --registry=file --registry_address=PATH  another file */
#define _DEFAULT_SOURCE /* flock, strsep */
#include "micro.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct file_registry {
    micro_registry base; /* first */
    char path[];
} file_registry;

/* A line: the second at which it expires (0: never), a space, a service with one node in JSON. */
typedef struct file_line { const char *text; micro_entry entry; } file_line;

/* Opens the file, locked until it is closed (LOCK_SH to read, LOCK_EX to change), and reads it. */
static FILE *file_load(micro_registry *reg, micro_ctx *ctx, int lock, char **text)
{
    FILE *f = fopen(((file_registry *)reg)->path, "a+");
    struct stat st = { 0 };

    micro_block_begin(); /* others are served while this thread waits for the lock */
    bool ok = f && flock(fileno(f), lock) == 0 && fstat(fileno(f), &st) == 0 &&
              fseek(f, 0, SEEK_SET) == 0;
    micro_block_end();
    *text = ok ? micro_alloc(ctx, (size_t)st.st_size + 1) : NULL;
    if (*text && fread(*text, 1, (size_t)st.st_size, f) == (size_t)st.st_size)
        return f;
    if (f)
        fclose(f);
    return NULL;
}

/* The next line that has not expired; what is no line of ours is passed over. */
static bool file_next(micro_ctx *ctx, char **text, file_line *out)
{
    char *line, *json;

    while ((line = strsep(text, "\n")) != NULL) {
        long long expires = strtoll(line, &json, 10);
        out->text = line;
        if ((expires == 0 || expires > (long long)time(NULL)) &&
            micro_json_read(ctx, &micro_type_entry, micro_s(json), 0, &out->entry) == MICRO_OK &&
            out->entry.nodes.len == 1)
            return true;
    }
    return false;
}

/* Writes the file anew: without the nodes of entry, then with them if they are to be there. */
static micro_err file_change(micro_registry *reg, micro_ctx *ctx, const micro_entry *entry,
                             bool put, int ttl_ms)
{
    char *text;
    file_line line;
    long long expires = ttl_ms > 0 ? (long long)time(NULL) + (ttl_ms + 999) / 1000 : 0;
    FILE *f = file_load(reg, ctx, LOCK_EX, &text);
    micro_err err = f && ftruncate(fileno(f), 0) == 0 ? MICRO_OK : MICRO_EIO;

    while (err == MICRO_OK && file_next(ctx, &text, &line)) {
        bool gone = false;
        for (size_t i = 0; i < entry->nodes.len; i++)
            gone = gone || micro_str_eq(line.entry.nodes.ptr[0].id, entry->nodes.ptr[i].id);
        if (!gone && fprintf(f, "%s\n", line.text) < 0)
            err = MICRO_EIO;
    }
    for (size_t i = 0; put && i < entry->nodes.len && err == MICRO_OK; i++) {
        micro_entry one = *entry;
        micro_str json;
        one.nodes.ptr = &entry->nodes.ptr[i];
        one.nodes.len = 1;
        err = micro_json_write(ctx, &micro_type_entry, &one, 0, &json);
        if (err == MICRO_OK && fprintf(f, "%lld %s\n", expires, json.ptr) < 0)
            err = MICRO_EIO;
    }
    if (f && fclose(f) && err == MICRO_OK)
        err = MICRO_EIO;
    return err;
}

static micro_err file_put(micro_registry *reg, micro_ctx *ctx, const micro_entry *entry, int ttl_ms)
{
    return file_change(reg, ctx, entry, true, ttl_ms);
}

static micro_err file_del(micro_registry *reg, micro_ctx *ctx, const micro_entry *entry)
{
    return file_change(reg, ctx, entry, false, 0);
}

/* One entry a version: the nodes of several lines come together. */
static micro_err file_merge(micro_ctx *ctx, micro_entries *out, const micro_entry *entry)
{
    for (size_t i = 0; i < out->len; i++) {
        micro_entry *same = &out->ptr[i];
        if (!micro_str_eq(same->name, entry->name) || !micro_str_eq(same->version, entry->version))
            continue;
        micro_node *node = micro_append(ctx, &same->nodes);
        if (node)
            *node = entry->nodes.ptr[0];
        return node ? MICRO_OK : MICRO_ENOMEM;
    }
    micro_entry *first = micro_append(ctx, out);
    if (first)
        *first = *entry;
    return first ? MICRO_OK : MICRO_ENOMEM;
}

static micro_err file_get(micro_registry *reg, micro_ctx *ctx, const char *name, micro_entries *out)
{
    file_line line;
    char *text;
    FILE *f = file_load(reg, ctx, LOCK_SH, &text);
    micro_err err = f ? MICRO_OK : MICRO_EIO;

    while (err == MICRO_OK && file_next(ctx, &text, &line))
        if (!name || micro_str_eq(line.entry.name, micro_s(name)))
            err = file_merge(ctx, out, &line.entry);
    if (f)
        fclose(f);
    return err == MICRO_OK && name && out->len == 0 ? MICRO_ENOTFOUND : err;
}

static micro_err file_list(micro_registry *reg, micro_ctx *ctx, micro_entries *out)
{
    return file_get(reg, ctx, NULL, out);
}

static void file_free(micro_registry *reg)
{
    free(reg);
}

static micro_registry *file_registry_new(const char *address)
{
    static const micro_registry_ops ops = { .size_ = sizeof ops, .name = "file", .put = file_put,
                                            .del = file_del, .get = file_get, .list = file_list,
                                            .free = file_free };
    const char *path = address ? address : "services.txt";
    file_registry *reg = malloc(sizeof *reg + strlen(path) + 1);

    if (reg) {
        reg->base.ops = &ops;
        strcpy(reg->path, path);
    }
    return (micro_registry *)reg;
}

typedef struct { micro_str text; } note;

MICRO_TYPE(note, "Note", MICRO_FIELD(string, note, text, 1));
MICRO_METHOD(note_echo, "Note.Echo", note, note);

static micro_err echo(micro_ctx *ctx, const note *req, note *rsp)
{
    rsp->text = micro_concat(ctx, req->text, micro_s(", found in a file"));
    return MICRO_OK;
}

static micro_err call(micro_service *svc, const char *text)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    note req = { micro_s(text) }, rsp;
    micro_err err = note_echo(ctx, "go.micro.srv.note", &req, &rsp);

    if (err != MICRO_EHELP)
        fprintf(err ? stderr : stdout, "%s\n", err ? micro_ctx_strerror(ctx) : rsp.text.ptr);
    micro_ctx_free(ctx);
    return err;
}

int main(int argc, char **argv)
{
    const micro_plugin plugins[] = { { .name = "file", .registry = file_registry_new } };
    micro_registry *file = file_registry_new(NULL);
    micro_service *svc = micro_service_new(.name = "go.micro.srv.note", .argc = argc, .argv = argv,
                                           .registry = file, .plugins = plugins, .nplugins = 1);
    const char *const *args;
    micro_err err;

    if (micro_service_args(svc, &args) > 0) {
        err = call(svc, args[0]);
    } else {
        note_echo_handle(svc, echo, NULL);
        err = micro_service_run(svc);
    }
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    micro_registry_free(file);
    return status;
}
