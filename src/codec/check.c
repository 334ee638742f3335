/* SPDX-License-Identifier: MIT */
/* Checks of message tables. The macros leave little to get wrong; rows written out leave more. */
#include "inner.h"

#define CHECK_TYPES 64   /* tables looked at from one; what lies behind them is left out */
#define CHECK_NESTING 32 /* messages by value in one another */
#define CHECK_TAG_MAX 536870911

typedef struct check_walk {
    const micro_type *types[CHECK_TYPES];
    size_t n;
} check_walk;

static size_t check_kind_size(const micro_field *f)
{
    switch (f->kind) {
    case MICRO_KIND_int64:
    case MICRO_KIND_uint64:
    case MICRO_KIND_sint64:
    case MICRO_KIND_fixed64:
    case MICRO_KIND_sfixed64:
        return sizeof(int64_t);
    case MICRO_KIND_double:
        return sizeof(double);
    case MICRO_KIND_bool:
        return sizeof(bool);
    case MICRO_KIND_string:
        return sizeof(micro_str);
    case MICRO_KIND_bytes:
        return sizeof(micro_bytes);
    case MICRO_KIND_enum:
        return f->size == 1 || f->size == 2 || f->size == 8 ? f->size : sizeof(int32_t);
    case MICRO_KIND_message:
        return ((const micro_type *)f->sub)->size;
    case MICRO_KIND_pointer:
        return sizeof(void *);
    case MICRO_KIND_chars:
        return 1;
    default:
        return 4;
    }
}

/* The bytes that a member takes in the struct, without has_, which_ or n_. */
static size_t check_extent(const micro_field *f)
{
    if (f->label == MICRO_MANY || f->label == MICRO_ENTRIES)
        return sizeof(micro__fill);
    if (f->label == MICRO_FIXED || f->kind == MICRO_KIND_chars)
        return (size_t)f->size * f->cap;
    return f->size;
}

static size_t check_aux_size(const micro_field *f)
{
    if (f->label == MICRO_HAS)
        return sizeof(bool);
    if (f->label == MICRO_WHICH)
        return sizeof(uint32_t);
    return f->label == MICRO_FIXED ? sizeof(size_t) : 0;
}

static bool check_meet(size_t a, size_t a_len, size_t b, size_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* A name that needs no escape in JSON. */
static bool check_name(const char *name)
{
    if (!name || !*name)
        return false;
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == '"' || *name == '\\')
            return false;
    return true;
}

static const char *check_entry(const micro_field *f)
{
    const micro_type *type = (const micro_type *)f->sub;
    const micro_field *key = micro__type_tagged(type, 1), *value = micro__type_tagged(type, 2);

    if (f->kind != MICRO_KIND_message || !key || !value || type->nfields != 2)
        return "a map's entry has not key = 1 and value = 2";
    bool ok = key->label == MICRO_PLAIN && key->kind != MICRO_KIND_double &&
              key->kind != MICRO_KIND_float &&
              (key->kind <= MICRO_KIND_string || key->kind == MICRO_KIND_chars);
    return ok ? NULL : "a map's key is neither text nor integer nor bool";
}

static const char *check_row(const micro_type *type, const micro_field *f)
{
    bool refers = f->kind == MICRO_KIND_enum || f->kind == MICRO_KIND_message ||
                  f->kind == MICRO_KIND_pointer;

    if (!check_name(f->name))
        return "a member without a name, or one with characters that JSON escapes";
    if (f->tag < 1 || f->tag > CHECK_TAG_MAX)
        return "a tag is not from 1 to 536870911";
    if (f->kind < MICRO_KIND_double || f->kind > MICRO_KIND_chars || f->label > MICRO_FIXED)
        return "unknown kind or label";
    if (refers && !f->sub)
        return "a message or an enum without a table";
    if (f->size != check_kind_size(f))
        return "a member's size is not that of its kind";
    if (f->kind == MICRO_KIND_chars && (f->label != MICRO_PLAIN || f->cap < 1))
        return "chars without room, or with a label";
    if (f->label == MICRO_FIXED && f->cap < 1)
        return "an array without elements";
    if (f->offset + check_extent(f) > type->size || f->aux + check_aux_size(f) > type->size)
        return "a member lies outside the struct";
    return f->label == MICRO_ENTRIES ? check_entry(f) : NULL;
}

/* Two rows of a table. Members of one oneof share their place and their which_. */
static const char *check_pair(const micro_field *f, const micro_field *g)
{
    size_t f_len = micro__field_name_len(f), g_len = micro__field_name_len(g);
    bool same_which = f->label == MICRO_WHICH && g->label == MICRO_WHICH && f->aux == g->aux;

    if (f->tag == g->tag)
        return "two members have one tag";
    if (micro_str_eq(micro__str(f->name, f_len), micro__str(g->name, g_len)))
        return "two members have one name";
    if (same_which)
        return NULL;
    if (check_meet(f->offset, check_extent(f), g->offset, check_extent(g)) ||
        check_meet(f->offset, check_extent(f), g->aux, check_aux_size(g)) ||
        check_meet(f->aux, check_aux_size(f), g->offset, check_extent(g)) ||
        check_meet(f->aux, check_aux_size(f), g->aux, check_aux_size(g)))
        return "two members overlap";
    return NULL;
}

/* False: a message holds itself by value, however far down. */
static bool check_nesting(const micro_type *type, int left)
{
    if (left == 0)
        return false;
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        bool by_value =
            f->kind == MICRO_KIND_message && f->label != MICRO_MANY && f->label != MICRO_ENTRIES;
        if (by_value && f->sub && !check_nesting((const micro_type *)f->sub, left - 1))
            return false;
    }
    return true;
}

static void check_add(check_walk *w, const micro_type *type)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->types[i] == type)
            return;
    if (w->n < CHECK_TYPES)
        w->types[w->n++] = type;
}

static const char *check_table(check_walk *w, const micro_type *type)
{
    if (!type->name || type->size == 0 || (type->nfields && !type->fields))
        return "a table without name, size or rows";
    if (type->nfields && type->field_size_ < offsetof(micro_field, spare_))
        return "a table's rows are too short";
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        const char *problem = check_row(type, f);
        for (uint32_t k = 0; !problem && k < i; k++)
            problem = check_pair(micro__type_field(type, k), f);
        if (problem)
            return problem;
        if (f->kind == MICRO_KIND_message || f->kind == MICRO_KIND_pointer)
            check_add(w, (const micro_type *)f->sub);
    }
    return check_nesting(type, CHECK_NESTING) ? NULL : "a message holds itself by value";
}

MICRO_PRIVATE const char *micro__type_check(const micro_type *type)
{
    check_walk w = { { type }, 1 };

    if (!type)
        return "no table";
    for (size_t i = 0; i < w.n; i++) {
        const char *problem = check_table(&w, w.types[i]);
        if (problem)
            return problem;
    }
    return NULL;
}
