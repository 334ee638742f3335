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

/* A header line whose value came in a header or is the library's own: nothing in it needs cleaning.
 */
static void http_util_line(micro_buf *b, const char *name, size_t len, micro_str value)
{
    micro__buf_add(b, name, len);
    micro__buf_add(b, value.ptr, value.len);
    micro__buf_add(b, "\r\n", 2);
}

MICRO_PRIVATE void micro__http_reply(micro_buf *b, const micro__reply *r, size_t body, bool close)
{
    if (r->status == 200)
        micro__buf_add(b, "HTTP/1.1 200 OK\r\nContent-Length: ", 33);
    else
        micro__buf_format(b, "HTTP/1.1 %d %s\r\nContent-Length: ", r->status,
                          micro__status_text(r->status));
    micro__buf_u64(b, body);
    micro__buf_add(b, "\r\n", 2);
    if (r->content_type.len)
        http_util_line(b, "Content-Type: ", 14, r->content_type);
    if (r->id.len)
        http_util_line(b, "Micro-Id: ", 10, r->id);
    if (r->stream.len)
        http_util_line(b, "Micro-Stream: ", 14, r->stream);
    if (r->error.len) {
        micro__http_header(b, micro_s("Micro-Error"), r->error);
        micro__http_header(b, micro_s("X-Micro-Error"), r->error);
    }
    if (r->shed)
        micro__buf_add(b, "Micro-Shed: true\r\n", 18);
    if (close)
        micro__buf_add(b, "Connection: close\r\n", 19);
    micro__buf_add(b, "\r\n", 2);
}
