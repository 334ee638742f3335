/* SPDX-License-Identifier: MIT */
/* Fuzzes the protobuf reader with the message of codec_rich.h. */
#include "fuzz_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rich r;
    micro_bytes once, twice;
    micro_str json;

    fuzz_begin();
    bool ok = fuzz_read_ok(micro__proto_read(&fuzz_ctx, &rich_type, data, size, &r));
    fuzz_rich(&r);
    if (ok) {
        fuzz_require(micro_proto_write(&fuzz_ctx, &rich_type, &r, &once) == MICRO_OK);
        fuzz_require(micro_proto_read(&fuzz_ctx, &rich_type, once, &r) == MICRO_OK);
        fuzz_rich(&r);
        fuzz_require(micro_proto_write(&fuzz_ctx, &rich_type, &r, &twice) == MICRO_OK);
        fuzz_require(once.len == twice.len && memcmp(once.ptr, twice.ptr, once.len) == 0);
        /* The canonical form has a way to write everything that protobuf holds. */
        micro_err err = micro_json_write(&fuzz_ctx, &rich_type, &r, MICRO_JSON_CANONICAL, &json);
        fuzz_require(err == MICRO_OK ||
                     err == MICRO_ETOOBIG); /* a list is a level of its own there */
        if (err == MICRO_OK)
            fuzz_require(micro_json_read(&fuzz_ctx, &rich_type, json, 0, &r) == MICRO_OK);
    }
    micro__arena_free(&fuzz_ctx.arena);
    return 0;
}
