/* SPDX-License-Identifier: MIT */
/* Byte buffers that grow by doubling; a failure sticks. */
#include "base.h"

#define BUF_LEAST 64

/* From here on the buffer is full: every append comes to micro__buf_grow and ends there. */
static bool buf_fail(micro_buf *b, bool toobig)
{
    b->spare += b->cap - b->len;
    b->cap = b->len;
    b->failed = true;
    b->toobig = b->toobig || toobig;
    return false;
}

MICRO_PRIVATE bool micro__buf_grow(micro_buf *b, size_t more)
{
    if (b->failed)
        return false;
    size_t need = b->len + more;
    if (need < more || (b->max && need > b->max))
        return buf_fail(b, need >= more);
    size_t cap = b->cap < BUF_LEAST / 2 ? BUF_LEAST : b->cap > SIZE_MAX / 2 ? need : b->cap * 2;
    if (b->max && cap > b->max)
        cap = b->max;
    if (cap < need)
        cap = need;
    char *p = (char *)micro__realloc(b->ptr, b->cap, cap);
    if (!p)
        return buf_fail(b, false);
    b->ptr = p;
    b->cap = cap;
    return true;
}

MICRO_PRIVATE void micro__buf_mend(micro_buf *b)
{
    b->cap += b->spare;
    b->spare = 0;
    b->failed = b->toobig = false;
}

MICRO_PRIVATE void micro__buf_free(micro_buf *b)
{
    size_t max = b->max;

    micro__free(b->ptr, b->cap + b->spare);
    memset(b, 0, sizeof *b);
    b->max = max;
}

MICRO_API void micro_buf_add(micro_buf *buf, const void *data, size_t len)
{
    if (buf)
        micro__buf_add(buf, data, len);
}

MICRO_PRIVATE void micro__buf_text(micro_buf *b, const char *text)
{
    micro__buf_add(b, text, strlen(text));
}

MICRO_PRIVATE void micro__buf_str(micro_buf *b, micro_str s)
{
    micro__buf_add(b, s.ptr, s.len);
}

MICRO_PRIVATE void micro__buf_u64(micro_buf *b, uint64_t v)
{
    char digits[20];

    if (b->cap - b->len >= sizeof digits)
        b->len += micro__format_u64(b->ptr + b->len, v);
    else
        micro__buf_add(b, digits, micro__format_u64(digits, v));
}

MICRO_PRIVATE void micro__buf_i64(micro_buf *b, int64_t v)
{
    if (v < 0)
        micro__buf_byte(b, '-');
    micro__buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* vsnprintf ends its text with a NUL, for which a limited buffer may have no room. */
static void buf_format_long(micro_buf *b, size_t n, const char *fmt, va_list args)
{
    char *text = (char *)micro__alloc(n + 1);

    if (!text) {
        buf_fail(b, false);
        return;
    }
    vsnprintf(text, n + 1, fmt, args);
    micro__buf_add(b, text, n);
    micro__free(text, n + 1);
}

MICRO_PRIVATE void micro__buf_format(micro_buf *b, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->cap - b->len;
    int n = vsnprintf(room ? b->ptr + b->len : NULL, room, fmt, args);
    va_end(args);
    if (n < 0)
        buf_fail(b, false);
    else if ((size_t)n < room)
        b->len += (size_t)n;
    else if (n > 0)
        buf_format_long(b, (size_t)n, fmt, again);
    va_end(again);
}
