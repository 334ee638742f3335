/* SPDX-License-Identifier: MIT */
/* What the fuzzers of the codecs share. */
#ifndef FUZZ_CODEC_H
#define FUZZ_CODEC_H

#include "codec/codec.h"

#include <stdlib.h>

#include "codec_rich.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static micro_ctx fuzz_ctx;

static inline void fuzz_begin(void)
{
    memset(&fuzz_ctx, 0, sizeof fuzz_ctx);
    micro__arena_init(&fuzz_ctx.arena, NULL, 0);
    micro__ctx_init(&fuzz_ctx, NULL);
}

static inline void fuzz_require(bool fact)
{
    if (!fact)
        abort();
}

/* What a read may end with. */
static inline bool fuzz_read_ok(micro_err err)
{
    fuzz_require(err == MICRO_OK || err == MICRO_EFORMAT || err == MICRO_ETOOBIG ||
                 err == MICRO_EINVAL);
    return err == MICRO_OK;
}

/* Text is never NULL, ends in a NUL and is UTF-8. */
static inline void fuzz_text(micro_str s)
{
    fuzz_require(s.ptr != NULL && s.ptr[s.len] == 0 && micro__utf8_valid(s.ptr, s.len));
}

static inline void fuzz_rich(const rich *r)
{
    fuzz_text(r->p_string);
    fuzz_text(r->o_string);
    fuzz_text(r->class_);
    fuzz_text(r->p_part.part_name);
    for (size_t i = 0; i < r->r_string.len; i++)
        fuzz_text(r->r_string.ptr[i]);
    for (size_t i = 0; i < r->m_si.len; i++)
        fuzz_text(r->m_si.ptr[i].key);
    for (size_t i = 0; i < 3; i++)
        fuzz_text(r->a_string[i]);
    fuzz_require(memchr(r->c_text, 0, sizeof r->c_text) != NULL);
    fuzz_require(r->p_bytes.ptr != NULL && r->n_a_int32 <= 3);
    if (r->which_pick == 55)
        fuzz_text(r->u_string);
}

#endif
