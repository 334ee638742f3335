/* SPDX-License-Identifier: MIT */
/* Go-micro's Value tree of a message: what its reflection finds in the Go struct that a .proto of
 * the same content gives. */
#include "inner.h"

/* Nothing stands at depth 3: the message is at 0, its members at 1, theirs at 2. */
#define DESCRIBE_DEPTH 2

typedef struct describe_walk {
    micro__arena *arena;
    int max;
    bool failed;
} describe_walk;

static void describe_members(describe_walk *w, const micro_type *type, micro_desc *of, int depth);

/* The Go type of one value; a type without a name of its own in Go has "". */
static const char *describe_name(const micro_field *f)
{
    switch (f->kind) {
    case MICRO_KIND_double:
        return "float64";
    case MICRO_KIND_float:
        return "float32";
    case MICRO_KIND_int32:
    case MICRO_KIND_sint32:
    case MICRO_KIND_sfixed32:
        return "int32";
    case MICRO_KIND_int64:
    case MICRO_KIND_sint64:
    case MICRO_KIND_sfixed64:
        return "int64";
    case MICRO_KIND_uint32:
    case MICRO_KIND_fixed32:
        return "uint32";
    case MICRO_KIND_uint64:
    case MICRO_KIND_fixed64:
        return "uint64";
    case MICRO_KIND_bool:
        return "bool";
    case MICRO_KIND_string:
    case MICRO_KIND_chars:
        return "string";
    case MICRO_KIND_enum:
        return ((const micro_enum *)f->sub)->name;
    case MICRO_KIND_bytes:
        return "[]uint8";
    default:
        return ((const micro_type *)f->sub)->flags & MICRO__TYPE_ANY
                   ? ""
                   : ((const micro_type *)f->sub)->name;
    }
}

static micro_desc *describe_list(describe_walk *w, micro_desc *of, size_t n)
{
    micro_desc *list = (micro_desc *)micro__arena_take(w->arena, n * sizeof *list);

    if (!list) {
        w->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        list[i] = (micro_desc){ { "", 0 }, { "", 0 }, { NULL, 0, 0 } };
    of->values.ptr = list;
    of->values.len = of->values.cap = n;
    return list;
}

/* One value of a member's kind, as it stands alone or in a list. */
static void describe_one(describe_walk *w, const micro_field *f, micro_desc *d, int depth)
{
    micro_desc *byte = NULL;

    d->name = d->type = micro_s(describe_name(f));
    if (f->kind == MICRO_KIND_bytes) { /* a slice has no name of its own */
        d->name = micro_s("");
        byte = depth < w->max ? describe_list(w, d, 1) : NULL;
    }
    if (byte)
        byte->name = byte->type = micro_s("uint8");
    if (f->kind == MICRO_KIND_message || f->kind == MICRO_KIND_pointer)
        describe_members(w, (const micro_type *)f->sub, d, depth);
}

static void describe_member(describe_walk *w, const micro_field *f, micro_desc *d, int depth)
{
    if (f->label == MICRO_MANY || f->label == MICRO_FIXED) {
        micro_str element = micro_s(f->kind == MICRO_KIND_bytes ? "" : describe_name(f));
        char *type = (char *)micro__arena_take(w->arena, element.len + 3);
        if (!type) {
            w->failed = true;
            return;
        }
        memcpy(type, "[]", 2);
        memcpy(type + 2, element.ptr, element.len + 1);
        d->type = micro__str(type, element.len + 2);
        micro_desc *child = depth < w->max ? describe_list(w, d, 1) : NULL;
        if (child)
            describe_one(w, f, child, depth + 1);
    } else if (f->label != MICRO_ENTRIES) { /* a map has no name and no children */
        describe_one(w, f, d, depth);
    }
    size_t len = micro__field_name_len(f);
    d->name = micro__str(f->name, len);
    if (f->name[len]) {
        d->name.ptr = micro__arena_text(w->arena, f->name, len);
        if (!d->name.ptr) {
            d->name = micro_s("");
            w->failed = true;
        }
    }
}

static void describe_members(describe_walk *w, const micro_type *type, micro_desc *of, int depth)
{
    if (depth >= w->max || !type->nfields)
        return;
    micro_desc *list = describe_list(w, of, type->nfields);
    for (uint32_t i = 0; list && !w->failed && i < type->nfields; i++)
        describe_member(w, micro__type_field(type, i), list + i, depth + 1);
}

MICRO_PRIVATE const micro_desc *micro__type_describe(micro__arena *a, const micro_type *type,
                                                     int max_depth)
{
    describe_walk w = { a, max_depth < DESCRIBE_DEPTH ? max_depth : DESCRIBE_DEPTH, false };
    micro_desc *d = (micro_desc *)micro__arena_zero(a, sizeof *d);

    if (!d)
        return NULL;
    d->name = d->type = micro_s(type->name);
    describe_members(&w, type, d, 0);
    return w.failed ? NULL : d;
}
