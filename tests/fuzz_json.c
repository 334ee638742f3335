/* SPDX-License-Identifier: MIT */
/* Fuzzes the JSON reader. The first byte of an input says what it is read as: 'v' a micro_value,
 * 's' a value to be skipped, anything else the message of codec_rich.h. */
#include "fuzz_codec.h"

/* A copy with the one byte behind it that the reader may write to. */
static char *fuzz_copy(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    fuzz_require(text != NULL);
    if (size)
        memcpy(text, data, size);
    text[size] = '#';
    return text;
}

/* What was read can be written; read back and written again it is the same. */
static void fuzz_stable(const micro_type *type, void *obj, unsigned flags)
{
    micro_str once, twice;
    micro_err err = micro_json_write(&fuzz_ctx, type, obj, flags, &once);

    if (err == MICRO_EINVAL) /* a NaN that came as text */
        return;
    fuzz_require(err == MICRO_OK);
    const char *end = micro__json_skip(once.ptr, once.ptr + once.len);
    fuzz_require(end == once.ptr + once.len);
    fuzz_require(micro_json_read(&fuzz_ctx, type, once, 0, obj) == MICRO_OK);
    fuzz_require(micro_json_write(&fuzz_ctx, type, obj, flags, &twice) == MICRO_OK);
    fuzz_require(micro_str_eq(once, twice));
}

static void fuzz_message(char *text, size_t size)
{
    static rich r;

    if (!fuzz_read_ok(micro__json_read(&fuzz_ctx, &rich_type, text, size, 0, &r))) {
        fuzz_rich(&r);
        return;
    }
    fuzz_rich(&r);
    fuzz_stable(&rich_type, &r, 0);
    fuzz_stable(&rich_type, &r, MICRO_JSON_CANONICAL);
}

static void fuzz_value(char *text, size_t size)
{
    micro_value v;
    const char *end = micro__json_skip(text, text + size);
    bool ok = fuzz_read_ok(micro__json_read(&fuzz_ctx, &micro_type_value, text, size, 0, &v));

    fuzz_require(v.name.ptr != NULL);
    if (!ok)
        return;
    fuzz_require(end != NULL); /* what is read whole can also be skipped */
    if (v.kind == MICRO_VALUE_TEXT)
        fuzz_text(v.as.text);
    fuzz_stable(&micro_type_value, &v, 0);
    fuzz_stable(&micro_type_value, &v, MICRO_JSON_PRETTY);
}

/* What can be skipped can be made compact, and that again changes nothing. */
static void fuzz_skip(const char *text, size_t size)
{
    micro_buf compact = { NULL, 0, 0, 0, false, false, 0 }, again = compact;
    const char *end = micro__json_skip(text, text + size);

    if (!end)
        return;
    fuzz_require(end > text && end <= text + size);
    micro__json_indent(&compact, micro__str(text, (size_t)(end - text)), NULL);
    fuzz_require(micro__json_skip(compact.ptr, compact.ptr + compact.len) ==
                 compact.ptr + compact.len);
    micro__json_indent(&again, micro__str(compact.ptr, compact.len), NULL);
    fuzz_require(again.len == compact.len && memcmp(again.ptr, compact.ptr, again.len) == 0);
    micro__buf_free(&compact);
    micro__buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = fuzz_copy(data + 1, size - 1);
    fuzz_begin();
    if (data[0] == 'v')
        fuzz_value(text, size - 1);
    else if (data[0] == 's')
        fuzz_skip((const char *)data + 1, size - 1);
    else
        fuzz_message(text, size - 1);
    fuzz_require(text[size - 1] == '#');
    micro__arena_free(&fuzz_ctx.arena);
    free(text);
    return 0;
}
