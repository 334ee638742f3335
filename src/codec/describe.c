/* SPDX-License-Identifier: MIT */
/* Go-micro's Value tree of a message: what its reflection finds in the Go struct that a .proto of
 * the same content gives. And the whole tree, with what Go has no name for. */
#include "inner.h"

/* Nothing stands at depth 3: the message is at 0, its members at 1, theirs at 2. */
#define DESCRIBE_DEPTH 2
#define DESCRIBE_MOST 10000 /* values of a whole tree: types that contain others fan out */

/* A message whose members are being described; in it, its own type is not opened again. */
typedef struct describe_open {
    const micro_type *type;
    const struct describe_open *in;
} describe_open;

typedef struct describe_walk {
    micro__arena *arena;
    int max;
    bool failed, whole;
    size_t left; /* values that there may be */
    const describe_open *open;
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
    if (n > w->left)
        return NULL;
    w->left -= n;
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

static micro_str describe_text(describe_walk *w, const char *text, size_t len)
{
    char *copy = micro__arena_text(w->arena, text, len);

    if (!copy)
        w->failed = true;
    return micro__str(copy ? copy : "", copy ? len : 0);
}

/* "[]T" of a list, "map[K]T" of a map. */
static micro_str describe_joined(describe_walk *w, const char *open, const char *key,
                                 const char *close, const char *value)
{
    size_t len = strlen(open) + strlen(key) + strlen(close) + strlen(value);
    char *text = (char *)micro__arena_take(w->arena, len + 1);

    if (!text) {
        w->failed = true;
        return micro_s("");
    }
    snprintf(text, len + 1, "%s%s%s%s", open, key, close, value);
    return micro__str(text, len);
}

/* In Go a map has no name and no members. */
static void describe_map(describe_walk *w, const micro_field *f, micro_desc *d, int depth)
{
    const micro_type *entry = (const micro_type *)f->sub;
    const micro_field *rows[2] = { NULL, NULL };

    for (uint32_t i = 0; i < entry->nfields; i++) {
        const micro_field *row = micro__type_field(entry, i);
        if (row->tag == 1 || row->tag == 2)
            rows[row->tag - 1] = row;
    }
    if (!w->whole || !rows[0] || !rows[1])
        return;
    describe_one(w, rows[1], d, depth);
    d->type = describe_joined(w, "map[", describe_name(rows[0]), "]", describe_name(rows[1]));
}

static void describe_member(describe_walk *w, const micro_field *f, micro_desc *d, int depth)
{
    if (f->label == MICRO_MANY || f->label == MICRO_FIXED) {
        bool nameless = f->kind == MICRO_KIND_bytes && !w->whole;
        d->type = describe_joined(w, "[]", "", "", nameless ? "" : describe_name(f));
        micro_desc *child = depth < w->max ? describe_list(w, d, 1) : NULL;
        if (child)
            describe_one(w, f, child, depth + 1);
    } else if (f->label == MICRO_ENTRIES) {
        describe_map(w, f, d, depth);
    } else {
        describe_one(w, f, d, depth);
    }
    size_t len = micro__field_name_len(f);
    d->name = f->name[len] ? describe_text(w, f->name, len) : micro__str(f->name, len);
}

static void describe_members(describe_walk *w, const micro_type *type, micro_desc *of, int depth)
{
    const describe_open here = { type, w->open };

    if (depth >= w->max || !type->nfields)
        return;
    for (const describe_open *o = w->open; w->whole && o; o = o->in)
        if (o->type == type)
            return;
    micro_desc *list = describe_list(w, of, type->nfields);
    w->open = &here;
    for (uint32_t i = 0; list && !w->failed && i < type->nfields; i++)
        describe_member(w, micro__type_field(type, i), list + i, depth + 1);
    w->open = here.in;
}

static const micro_desc *describe_type(describe_walk *w, const micro_type *type)
{
    micro_desc *d = (micro_desc *)micro__arena_zero(w->arena, sizeof *d);

    if (!d)
        return NULL;
    d->name = d->type = micro_s(type->name);
    describe_members(w, type, d, 0);
    return w->failed ? NULL : d;
}

MICRO_PRIVATE const micro_desc *micro__type_describe(micro__arena *a, const micro_type *type,
                                                     int max_depth)
{
    describe_walk w = { a,        max_depth < DESCRIBE_DEPTH ? max_depth : DESCRIBE_DEPTH,
                        false,    false,
                        SIZE_MAX, NULL };

    return describe_type(&w, type);
}

MICRO_PRIVATE const micro_desc *micro__type_describe_whole(micro__arena *a, const micro_type *type)
{
    describe_walk w = { a, MICRO_MAX_DEPTH, false, true, DESCRIBE_MOST, NULL };

    return describe_type(&w, type);
}
