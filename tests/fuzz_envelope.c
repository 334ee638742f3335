/* SPDX-License-Identifier: MIT */
/* Fuzzes the envelopes and the error object. The first byte of an input says which: 'j' a JSON-RPC
 * request, 'k' a reply, 'p' a PROTO-RPC request, 'q' a reply, 'e' an error. */
#include "fuzz_codec.h"

/* A piece of the input, or of the ctx, or constant; to be looked at from end to end. */
static void fuzz_piece(micro_str s)
{
    uint64_t hash = micro__str_hash(s);

    fuzz_require(s.ptr != NULL && hash == micro__str_hash(s));
}

static void fuzz_pieces(micro_err err, const micro__envelope *e, const char *in, size_t size)
{
    fuzz_piece(e->id);
    if (!fuzz_read_ok(err))
        return;
    fuzz_piece(e->method);
    fuzz_piece(e->error);
    fuzz_require(micro__utf8_valid(e->method.ptr, e->method.len));
    fuzz_require(e->failed || e->error.len == 0);
    fuzz_require(!e->body || (e->body >= in && e->body + e->body_len <= in + size));
    fuzz_require(e->body || e->body_len == 0);
}

/* The body that was found can be given to the codecs. */
static void fuzz_body(const micro__envelope *e, bool json)
{
    static rich r;
    const char *type = json ? "application/json" : "application/protobuf";
    const micro_codec *c = micro__codec_find(NULL, 0, micro_s(type));

    micro__codec_decode(c, &fuzz_ctx, &rich_type, e->body, e->body_len, &r);
    fuzz_rich(&r);
}

static void fuzz_json(char *in, size_t size, bool reply)
{
    micro__envelope e;
    bool probe = micro__jsonrpc_probe(in, size);
    micro_err err = reply ? micro__jsonrpc_read_reply(&fuzz_ctx, in, size, &e)
                          : micro__jsonrpc_read_request(&fuzz_ctx, in, size, &e);

    fuzz_pieces(err, &e, in, size);
    if (err == MICRO_OK && !reply && !e.problem &&
        micro__json_skip(e.id.ptr, e.id.ptr + e.id.len)) {
        micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
        micro__jsonrpc_error(&out, e.id, e.method); /* the reply carries the id as it was */
        micro__envelope back;
        fuzz_require(micro__jsonrpc_read_reply(&fuzz_ctx, out.ptr, out.len, &back) == MICRO_OK);
        fuzz_require(micro_str_eq(back.id, e.id) && back.failed &&
                     micro_str_eq(back.error, e.method));
        micro__buf_free(&out);
    }
    (void)probe;
    if (err == MICRO_OK && e.body)
        fuzz_body(&e, true);
}

static void fuzz_protorpc(char *in, size_t size, bool reply)
{
    micro__envelope e;
    micro_err err = reply ? micro__protorpc_read_reply(&fuzz_ctx, in, size, &e)
                          : micro__protorpc_read_request(&fuzz_ctx, in, size, &e);

    fuzz_pieces(err, &e, in, size);
    if (err == MICRO_OK && e.body)
        fuzz_body(&e, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *in = malloc(size); /* nothing behind it, and none of it is to change while it is read */
    fuzz_require(in != NULL);
    memcpy(in, data + 1, size - 1);
    fuzz_begin();
    if (data[0] == 'p' || data[0] == 'q')
        fuzz_protorpc(in, size - 1, data[0] == 'q');
    else if (data[0] == 'e')
        micro_ignore(micro__error_read(&fuzz_ctx, micro__str(in, size - 1)));
    else
        fuzz_json(in, size - 1, data[0] == 'k');
    micro__arena_free(&fuzz_ctx.arena);
    free(in);
    return 0;
}
