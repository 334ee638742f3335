/* SPDX-License-Identifier: MIT */
/* Structures with `size_` as they come from programs that were compiled against another micro.h. */
#include "base.h"

MICRO_PRIVATE micro_err micro__opts_read(void *to, size_t size, const void *from,
                                         uint32_t from_size)
{
    size_t n = from_size ? from_size : size;
    const char *tail = (const char *)from;

    for (size_t i = size; i < n; i++)
        if (tail[i])
            return MICRO_EVERSION; /* something was set that this library does not know */
    memset(to, 0, size);
    memcpy(to, from, n < size ? n : size);
    return MICRO_OK;
}
