/* SPDX-License-Identifier: MIT */
/* Writing heads. */
#include "net.h"

MICRO_PRIVATE void micro__http_header(micro_buf *out, micro_str name, micro_str value)
{
    if (!micro__http_token(name)) /* metadata may have any name; here it could be another line */
        return;
    char *p =
        value.len > SIZE_MAX - 4 - name.len ? NULL : micro__buf_room(out, name.len + value.len + 4);
    if (!p)
        return;
    memcpy(p, name.ptr, name.len);
    p += name.len;
    *p++ = ':';
    *p++ = ' ';
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        *p++ = c < 0x20 || c == 0x7f ? ' ' : value.ptr[i];
    }
    *p++ = '\r';
    *p++ = '\n';
    out->len = (size_t)(p - out->ptr);
}
