/* SPDX-License-Identifier: MIT */
/* Does what deflate_zlib.py asks for: reads an operation (i or d), a limit and bytes, answers with
 * an error code and bytes, until its input ends. Numbers have 32 bits, lowest byte first. */
#include "base/base.h"

#include <stdlib.h>

static bool get_number(uint32_t *v)
{
    uint8_t b[4];

    if (fread(b, 1, 4, stdin) != 4)
        return false;
    *v = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return true;
}

static void put_number(uint32_t v)
{
    for (int shift = 0; shift < 32; shift += 8)
        putchar((int)(v >> shift & 0xff));
}

int main(void)
{
    uint32_t operation, max, len;

    while (get_number(&operation) && get_number(&max) && get_number(&len)) {
        uint8_t *in = malloc(len ? len : 1); /* exact, so that reading beyond the end is seen */
        micro_buf out = { 0 };
        if (!in || fread(in, 1, len, stdin) != len)
            return 1;
        micro_err err = operation == 'i' ? micro__zlib_inflate(in, len, max, &out)
                                         : micro__zlib_deflate(in, len, &out);
        put_number((uint32_t)-err);
        put_number((uint32_t)out.len);
        if (out.len)
            fwrite(out.ptr, 1, out.len, stdout);
        fflush(stdout);
        free(in);
        micro__buf_free(&out);
    }
    return 0;
}
