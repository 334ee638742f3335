/* SPDX-License-Identifier: MIT */
/* Writing heads. */
#include "net.h"

MICRO_PRIVATE bool micro__reply_header(micro__arena *a, const micro__reply *r, micro_pairs *out)
{
    const micro_pair lines[] = { { micro_s("Content-Type"), r->content_type },
                                 { micro_s("Micro-Id"), r->id },
                                 { micro_s("Micro-Error"), r->error },
                                 { micro_s("Micro-Shed"), micro_s(r->shed ? "true" : "") } };
    bool ok = true;

    for (size_t i = 0; i < MICRO_COUNTOF(lines); i++)
        if (ok && lines[i].value.len)
            ok = micro__pairs_add(a, out, lines[i].key, lines[i].value);
    return ok;
}

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
