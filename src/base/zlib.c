/* SPDX-License-Identifier: MIT */
/* zlib streams by zlib itself, for those who link it anyway (MICRO_ENABLE_ZLIB). */
#include "base.h"

#if MICRO_ENABLE_ZLIB

#define ZLIB_CONST
#include <zlib.h> /* amalgamate: keep */

/* The size goes in front of a block, because zlib does not say it when it frees. */
typedef union zlib_block {
    size_t size;
    long double align_;
} zlib_block;

static voidpf zlib_alloc(voidpf arg, uInt items, uInt size)
{
    size_t n = (size_t)items * size;

    (void)arg;
    if (size && n / size != items)
        return Z_NULL;
    zlib_block *b = (zlib_block *)micro__alloc(sizeof *b + n);
    if (!b)
        return Z_NULL;
    b->size = sizeof *b + n;
    return b + 1;
}

static void zlib_release(voidpf arg, voidpf block)
{
    zlib_block *b = (zlib_block *)block - 1;

    (void)arg;
    micro__free(b, b->size);
}

static void zlib_prepare(z_stream *z, const uint8_t *in, size_t len)
{
    memset(z, 0, sizeof *z);
    z->zalloc = zlib_alloc;
    z->zfree = zlib_release;
    z->next_in = in;
    z->avail_in = (uInt)len;
}

static micro_err zlib_error(const micro_buf *out)
{
    return out->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
}

/* The next piece of output: its place, and its size in avail_out. */
static bool zlib_room(z_stream *z, micro_buf *out, size_t n)
{
    char *to = micro__buf_room(out, n);

    z->next_out = (Bytef *)to;
    z->avail_out = (uInt)n;
    return to != NULL;
}

MICRO_PRIVATE micro_err micro__zlib_inflate(const uint8_t *in, size_t len, size_t max,
                                            micro_buf *out)
{
    size_t start = out->len;
    micro_err err = MICRO_OK;
    int result = Z_OK;
    z_stream z;

    if (out->failed)
        return zlib_error(out);
    if (len > UINT32_MAX)
        return MICRO_ETOOBIG;
    zlib_prepare(&z, in, len);
    if (inflateInit(&z) != Z_OK)
        return MICRO_ENOMEM;
    char over; /* one byte more than allowed shows what is too big */
    while (!err && result == Z_OK) {
        size_t left = max - (out->len - start);
        size_t n = left < 4096 ? left : 4096;
        if (n == 0) {
            z.next_out = (Bytef *)&over;
            z.avail_out = 1;
        } else if (!zlib_room(&z, out, n)) {
            err = zlib_error(out);
            break;
        }
        result = inflate(&z, Z_NO_FLUSH);
        if (n == 0 && z.avail_out == 0)
            err = MICRO_ETOOBIG;
        else if (n)
            out->len += n - z.avail_out;
    }
    if (!err && (result != Z_STREAM_END || z.avail_in))
        err = result == Z_MEM_ERROR ? MICRO_ENOMEM : MICRO_EFORMAT;
    inflateEnd(&z);
    if (err && !out->failed)
        out->len = start;
    return err;
}

MICRO_PRIVATE micro_err micro__zlib_deflate(const uint8_t *in, size_t len, micro_buf *out)
{
    int result = Z_OK;
    z_stream z;

    if (len > UINT32_MAX)
        return MICRO_ETOOBIG;
    zlib_prepare(&z, in, len);
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK)
        return MICRO_ENOMEM;
    while (result == Z_OK) {
        uint8_t piece[1024]; /* a limited buffer need not have room for a whole one */
        z.next_out = piece;
        z.avail_out = sizeof piece;
        result = deflate(&z, Z_FINISH);
        micro__buf_add(out, piece, sizeof piece - z.avail_out);
    }
    deflateEnd(&z);
    return out->failed ? zlib_error(out) : result == Z_STREAM_END ? MICRO_OK : MICRO_ENOMEM;
}

#endif
