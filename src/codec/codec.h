/* SPDX-License-Identifier: MIT */
/* Messages to bytes and back: JSON, protobuf, untyped values, and the two envelopes of 2018. Pure
 * functions; base only. */
#ifndef MICRO_CODEC_H
#define MICRO_CODEC_H

#include "../base/ctx.h"

/* ---- type.c, check.c, describe.c: walking a table ------------------------------------------- */

/* What micro_type.flags holds for the ready-made types; tables of users have 0. */
enum micro__type_flags {
    MICRO__TYPE_RAW = 1 << 16, /* micro_bytes: the bytes as they are */
    MICRO__TYPE_ANY = 1 << 17, /* micro_value */
    MICRO__TYPE_OWN = 1 << 18  /* JSON that no table can say: see micro__type_own */
};

/* The sub of one more row, behind the last, of a type with that flag: how its JSON is written (not
 * with MICRO_JSON_CANONICAL) and read. As micro__json_write and micro__json_read, of one object. */
typedef struct micro__type_own {
    micro_err (*write)(micro_ctx *ctx, const void *obj, micro_buf *out);
    micro_err (*read)(micro_ctx *ctx, char *text, size_t len, void *obj);
} micro__type_own;

/* The i-th row. Rows may be longer than this version knows. */
static inline const micro_field *micro__type_field(const micro_type *type, uint32_t i)
{
    const char *rows = (const char *)type->fields;
    return (const micro_field *)(const void *)(rows + (size_t)i * type->field_size_);
}

/* Zero and "" for every member, nested messages included: what rsp is before decoding and after an
 * error. In a oneof everything is zero. */
MICRO_PRIVATE void micro__type_zero(const micro_type *type, void *obj);
/* Checks a table, and those it refers to, for programmer's errors (duplicate names or tags,
 * overlap, a map entry without key and value); NULL: sound, else what is wrong. */
MICRO_PRIVATE const char *micro__type_check(const micro_type *type);
/* Go-micro's Value tree of a type: the message is at depth 0, its members at 1 and theirs at 2, and
 * nothing stands below max_depth or 2; NULL: out of memory. */
MICRO_PRIVATE const micro_desc *micro__type_describe(micro__arena *a, const micro_type *type,
                                                     int max_depth);
/* The same with all there is below, maps with their types too; a type within itself is not opened
 * again. */
MICRO_PRIVATE const micro_desc *micro__type_describe_whole(micro__arena *a, const micro_type *type);

/* ---- json_read.c, json_write.c, json_text.c, value.c -------------------------------------------
 * Reading is in place: text[0..len) may be overwritten, strings point into it and are terminated
 * where their quote stood, so it must live as long as obj. text[len] must be a byte that may be
 * written (it is put back). On error obj is zero and ctx's error says where ("lines[2].price:
 * number expected"); the result is EFORMAT, ETOOBIG or ENOMEM. Memory comes from ctx. */
MICRO_PRIVATE micro_err micro__json_read(micro_ctx *ctx, const micro_type *type, char *text,
                                         size_t len, unsigned flags, void *obj);
/* Appends to out; no newline. EINVAL: a table or value that cannot be written (NaN, a bad oneof),
 * ENOMEM, ETOOBIG (depth, out->max). On error out is as it was. */
MICRO_PRIVATE micro_err micro__json_write(micro_ctx *ctx, const micro_type *type, const void *obj,
                                          unsigned flags, micro_buf *out);
/* A quoted JSON string as Go's encoder writes it: <, >, & and U+2028, U+2029 escaped, invalid UTF-8
 * as U+FFFD. */
MICRO_PRIVATE void micro__json_quote(micro_buf *out, micro_str s);
/* The end of the JSON value that starts at p (white space in front is skipped); NULL: malformed or
 * too deep. Strings are not checked for UTF-8. Nothing at or behind end is touched. */
MICRO_PRIVATE const char *micro__json_skip(const char *p, const char *end);
/* Copies JSON with other white space: indent NULL = compact, else one indent per level and line
 * ends. The text has been checked. */
MICRO_PRIVATE void micro__json_indent(micro_buf *out, micro_str json, const char *indent);

/* ---- proto_read.c, proto_write.c ---------------------------------------------------------------
 * Strings are copied into ctx (they need a terminator); bytes point into data. Errors as for JSON;
 * EINVAL also when reading: a micro_value has no protobuf form. */
MICRO_PRIVATE micro_err micro__proto_read(micro_ctx *ctx, const micro_type *type,
                                          const uint8_t *data, size_t len, void *obj);
MICRO_PRIVATE micro_err micro__proto_write(micro_ctx *ctx, const micro_type *type, const void *obj,
                                           micro_buf *out);

/* ---- error_json.c --------------------------------------------------------------------------- */

/* {"id":..,"code":..,"detail":..,"status":..}, all four, no newline. */
MICRO_PRIVATE void micro__error_write(micro_buf *out, const micro_error *e);
/* The text of an error as a peer sent it: the JSON object (unknown members and other member order
 * accepted) or bare text, which gives id "" and code 0. Fills ctx's error and returns what
 * micro_call shall return: the code, or EREMOTE; ENOMEM if there is no memory to read it. */
MICRO_PRIVATE micro_err micro__error_read(micro_ctx *ctx, micro_str text);

/* ---- codec.c: content types ----------------------------------------------------------------- */

typedef enum micro__wire {
    MICRO__WIRE_BARE,    /* the body is the message; routing in Micro-* headers */
    MICRO__WIRE_JSONRPC, /* the 2018 JSON-RPC 1.0 envelope */
    MICRO__WIRE_PROTORPC /* the 2018 PROTO-RPC envelope */
} micro__wire;

/* Body codecs: built in are application/json, application/json-rpc (JSON); application/protobuf,
 * application/proto-rpc, application/octet-stream (protobuf; with micro_type_bytes the raw bytes).
 * extra (n of them) are looked at first. Parameters behind ';' are not accepted (peers do not
 * either). NULL: unsupported. */
MICRO_PRIVATE const micro_codec *micro__codec_find(const micro_codec *const *extra, size_t n,
                                                   micro_str content_type);
/* The envelope that a content type has when no Micro-* header is there; BARE if it has none. */
MICRO_PRIVATE micro__wire micro__codec_envelope(micro_str content_type);
/* Encodes and decodes by codec; micro_type_bytes moves the body as it is, micro_type_empty writes
 * an empty message. Decoding is in place as for JSON; in NULL is a message without members. Errors
 * are in ctx; after one out is as it was, and obj is zero. No newline is written. */
MICRO_PRIVATE micro_err micro__codec_encode(const micro_codec *c, micro_ctx *ctx,
                                            const micro_type *type, const void *obj,
                                            micro_buf *out);
MICRO_PRIVATE micro_err micro__codec_decode(const micro_codec *c, micro_ctx *ctx,
                                            const micro_type *type, char *in, size_t len,
                                            void *obj);

/* ---- jsonrpc.c, protorpc.c: envelopes ----------------------------------------------------------
 * Readers point into in and change nothing in it (a string with escapes is copied into ctx), so the
 * strings they find are not terminated. The body they find is then decoded by its codec. */
typedef struct micro__envelope {
    micro_str method; /* request: "Say.Hello"; reply: may be "" */
    micro_str id;     /* JSON: the raw token, "null" if absent; proto: 8 bytes of seq, or "" */
    bool has_id;      /* false: member absent */
    bool failed;      /* reply: there is an error (its text may have been "") */
    micro_str error;  /* reply: its text, "" if none; raw JSON if it was no string */
    char *body;       /* params[0], result, second frame; NULL if absent, null, or empty array */
    size_t body_len;
    const char *problem; /* request: NULL, or why the call (not the connection) fails */
} micro__envelope;

/* Requests. MICRO_OK: env is filled in, problem may be set (params missing or no array). EFORMAT,
 * ENOMEM, ETOOBIG: the envelope cannot be read (ctx's error says why; env->id holds the id if it
 * was read). A PROTO-RPC request without a message frame is an empty message. */
MICRO_PRIVATE micro_err micro__jsonrpc_read_request(micro_ctx *ctx, char *in, size_t len,
                                                    micro__envelope *env);
MICRO_PRIVATE micro_err micro__protorpc_read_request(micro_ctx *ctx, char *in, size_t len,
                                                     micro__envelope *env);
/* Replies. Ids of both kinds ("" too), an empty header frame and error of any JSON type are
 * accepted. */
MICRO_PRIVATE micro_err micro__jsonrpc_read_reply(micro_ctx *ctx, char *in, size_t len,
                                                  micro__envelope *env);
MICRO_PRIVATE micro_err micro__protorpc_read_reply(micro_ctx *ctx, char *in, size_t len,
                                                   micro__envelope *env);

/* The text is plainly an envelope: an object with method (a string), params (an array) and id.
 * Nothing is changed. */
MICRO_PRIVATE bool micro__jsonrpc_probe(const char *in, size_t len);

/* Writers work around the body: begin, then the codec appends the message, then end. The value
 * returned by begin is handed to end. JSON: {"method":M,"params":[BODY],"id":ID}\n and
 * {"id":ID,"result":BODY,"error":null}\n; proto: two frames (end fills in the length). An id of ""
 * is written as null, or as a seq of 0. Failure sticks in out. */
MICRO_PRIVATE size_t micro__jsonrpc_request_begin(micro_buf *out, micro_str method);
MICRO_PRIVATE void micro__jsonrpc_request_end(micro_buf *out, size_t at, uint64_t id);
MICRO_PRIVATE size_t micro__jsonrpc_reply_begin(micro_buf *out, micro_str id);
MICRO_PRIVATE void micro__jsonrpc_reply_end(micro_buf *out, size_t at);
/* {"id":ID,"result":{},"error":"text"}\n */
MICRO_PRIVATE void micro__jsonrpc_error(micro_buf *out, micro_str id, micro_str text);
MICRO_PRIVATE size_t micro__protorpc_request_begin(micro_buf *out, micro_str method, uint64_t seq);
MICRO_PRIVATE void micro__protorpc_request_end(micro_buf *out, size_t at);
MICRO_PRIVATE size_t micro__protorpc_reply_begin(micro_buf *out, micro_str method, micro_str id);
MICRO_PRIVATE void micro__protorpc_reply_end(micro_buf *out, size_t at);
MICRO_PRIVATE void micro__protorpc_error(micro_buf *out, micro_str method, micro_str id,
                                         micro_str text);

#endif
