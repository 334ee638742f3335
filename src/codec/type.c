/* SPDX-License-Identifier: MIT */
/* Walking message tables: zero values, looking rows up, loading and storing members; and the
 * ready-made types. */
#include "inner.h"

MICRO_API_DATA_ const micro_type micro_type_empty = {
    sizeof(micro_type), sizeof(micro_field), 0, "Empty", sizeof(micro_empty), NULL, 0
};
MICRO_API_DATA_ const micro_type micro_type_bytes = {
    sizeof(micro_type), sizeof(micro_field), 0, "Bytes", sizeof(micro_bytes), NULL, MICRO__TYPE_RAW
};
MICRO_API_DATA_ const micro_type micro_type_value = {
    sizeof(micro_type), sizeof(micro_field), 0, "Value", sizeof(micro_value), NULL, MICRO__TYPE_ANY
};
static const micro_field type_pair_rows[] = {
    MICRO_FIELD(string, micro_pair, key, 1),
    MICRO_FIELD(string, micro_pair, value, 2),
};
MICRO_API_DATA_ const micro_type micro_type_pair = {
    sizeof(micro_type), sizeof(micro_field), 2, "Pair", sizeof(micro_pair), type_pair_rows, 0
};

/* ---- zero ----------------------------------------------------------------------------------- */

static void type_fill(const micro_type *type, char *obj)
{
    if (MICRO__RARE(type->flags & MICRO__TYPE_RAW))
        ((micro_bytes *)(void *)obj)->ptr = (const uint8_t *)"";
    if (MICRO__RARE(type->flags & MICRO__TYPE_ANY))
        ((micro_value *)(void *)obj)->name.ptr = "";
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        char *slot = obj + f->offset;
        if (f->kind < MICRO_KIND_string)
            continue;
        if (f->label == MICRO_PLAIN && f->kind == MICRO_KIND_string)
            ((micro_str *)(void *)slot)->ptr = "";
        else if (f->label == MICRO_PLAIN || f->label == MICRO_HAS)
            micro__field_fill(f, slot);
        for (size_t k = 0; f->label == MICRO_FIXED && k < f->cap; k++)
            micro__field_fill(f, slot + k * f->size);
    }
}

MICRO_PRIVATE void micro__field_fill(const micro_field *f, void *slot)
{
    if (f->kind == MICRO_KIND_string)
        ((micro_str *)slot)->ptr = "";
    else if (f->kind == MICRO_KIND_bytes)
        ((micro_bytes *)slot)->ptr = (const uint8_t *)"";
    else if (f->kind == MICRO_KIND_message)
        type_fill((const micro_type *)f->sub, (char *)slot);
}

MICRO_PRIVATE void micro__type_zero(const micro_type *type, void *obj)
{
    memset(obj, 0, type->size);
    type_fill(type, (char *)obj);
}

MICRO_PRIVATE void micro__field_zero(const micro_field *f, void *obj)
{
    char *slot = (char *)obj + f->offset, *aux = (char *)obj + f->aux;

    switch (f->label) {
    case MICRO_MANY:
    case MICRO_ENTRIES:
        micro__list_store(slot, &(micro__fill){ NULL, 0, 0 });
        break;
    case MICRO_FIXED:
        *(size_t *)(void *)aux = 0;
        memset(slot, 0, (size_t)f->size * f->cap);
        for (uint32_t i = 0; i < f->cap; i++)
            micro__field_fill(f, slot + (size_t)i * f->size);
        break;
    case MICRO_WHICH:
        if (*(uint32_t *)(void *)aux == f->tag) {
            *(uint32_t *)(void *)aux = 0;
            memset(slot, 0, f->size);
        }
        break;
    default:
        if (f->label == MICRO_HAS)
            *(bool *)(void *)aux = false;
        memset(slot, 0, f->kind == MICRO_KIND_chars ? f->cap : f->size);
        micro__field_fill(f, slot);
    }
}

/* ---- looking up ----------------------------------------------------------------------------- */

/* Whether key is the name in any letter case, or its camelCase form: underscores left out. */
static bool type_folds(const char *name, size_t len, micro_str key)
{
    if (len == key.len && micro_str_eq_nocase(micro__str(name, len), key))
        return true;
    size_t k = 0;
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '_')
            continue;
        if (k == key.len || micro__lower(name[i]) != micro__lower(key.ptr[k]))
            return false;
        k++;
    }
    return k == key.len && k > 0;
}

MICRO_PRIVATE uint32_t micro__type_find(const micro_type *type, micro_str key)
{
    uint32_t folded = type->nfields;

    if (!key.len)
        return folded;
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        if (micro__lower(f->name[0]) != micro__lower(key.ptr[0]) && f->name[0] != '_')
            continue;
        size_t len = micro__field_name_len(f);
        if (len == key.len && memcmp(f->name, key.ptr, len) == 0)
            return i;
        if (folded == type->nfields && type_folds(f->name, len, key))
            folded = i;
    }
    return folded;
}

MICRO_PRIVATE const micro_field *micro__type_tagged(const micro_type *type, uint32_t tag)
{
    for (uint32_t i = 0; i < type->nfields; i++)
        if (micro__type_field(type, i)->tag == tag)
            return micro__type_field(type, i);
    return NULL;
}

/* ---- what an object holds ------------------------------------------------------------------- */

static bool type_nonzero(const char *slot, size_t size)
{
    uint64_t v = 0;

    if (size > sizeof v)
        return true;
    memcpy(&v, slot, size); /* a few bytes in any place of v tell */
    return v != 0;
}

MICRO_PRIVATE bool micro__field_set(const micro_field *f, const char *obj)
{
    const char *slot = obj + f->offset, *aux = obj + f->aux;

    switch (f->label) {
    case MICRO_HAS:
        return *aux != 0; /* as a byte: a bool that is neither 0 nor 1 is not to be loaded */
    case MICRO_WHICH:
        return *(const uint32_t *)(const void *)aux == f->tag;
    case MICRO_MANY:
    case MICRO_ENTRIES:
        return micro__list_load(slot).len > 0;
    case MICRO_FIXED:
        return *(const size_t *)(const void *)aux > 0;
    default:
        break;
    }
    if (f->kind == MICRO_KIND_message)
        return true;
    if (f->kind == MICRO_KIND_string)
        return ((const micro_str *)(const void *)slot)->len > 0;
    if (f->kind == MICRO_KIND_bytes)
        return ((const micro_bytes *)(const void *)slot)->len > 0;
    return f->kind == MICRO_KIND_chars ? *slot != 0 : type_nonzero(slot, f->size);
}

MICRO_PRIVATE bool micro__type_nothing(const micro_type *type, const char *obj)
{
    const void *p = obj;

    if (type->flags & MICRO__TYPE_ANY)
        return ((const micro_value *)p)->kind == MICRO_VALUE_NULL;
    if (type->flags & MICRO__TYPE_RAW)
        return ((const micro_bytes *)p)->len == 0;
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        bool by_value = f->kind == MICRO_KIND_message && f->label == MICRO_PLAIN;
        if (f->flags & MICRO_KEEP_ZERO ||
            (by_value ? !micro__type_nothing((const micro_type *)f->sub, obj + f->offset)
                      : micro__field_set(f, obj)))
            return false;
    }
    return true;
}

MICRO_PRIVATE bool micro__field_values(const micro_field *f, const char *obj, const char **slot,
                                       size_t *n)
{
    *slot = obj + f->offset;
    *n = 1;
    if (f->label == MICRO_MANY || f->label == MICRO_ENTRIES) {
        micro__fill l = micro__list_load(*slot);
        *slot = l.ptr;
        *n = l.len;
        return l.ptr || l.len == 0;
    }
    if (f->label == MICRO_FIXED) {
        *n = *(const size_t *)(const void *)(obj + f->aux);
        return *n <= f->cap;
    }
    return true;
}

static bool type_same_oneof(const micro_field *f, const micro_field *g)
{
    return f->label == MICRO_WHICH && g->label == MICRO_WHICH && f->aux == g->aux;
}

MICRO_PRIVATE bool micro__type_which_ok(const micro_type *type, uint32_t i, const char *obj)
{
    const micro_field *f = micro__type_field(type, i);
    uint32_t which = *(const uint32_t *)(const void *)(obj + f->aux);

    if (!which || (i > 0 && type_same_oneof(micro__type_field(type, i - 1), f)))
        return true;
    for (; i < type->nfields; i++) {
        const micro_field *other = micro__type_field(type, i);
        if (type_same_oneof(f, other) && other->tag == which)
            return true;
    }
    return false;
}

/* ---- enums and integers --------------------------------------------------------------------- */

/* Whether an enum's type is signed: only of interest where it is narrower than int, and there the
 * compiler decides by the same rule. */
static bool type_enum_signed(const micro_enum *e)
{
    for (size_t i = 0; i < e->len; i++)
        if (e->values[i].number < 0)
            return true;
    return false;
}

MICRO_PRIVATE int32_t micro__enum_load(const micro_field *f, const void *slot)
{
    union {
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint8_t u8;
        uint16_t u16;
    } v;

    memcpy(&v, slot, f->size <= sizeof v ? f->size : sizeof v);
    if (f->size == 4)
        return v.i32;
    if (f->size == 8)
        return (int32_t)v.i64;
    bool is_signed = type_enum_signed((const micro_enum *)f->sub);
    if (f->size == 1)
        return is_signed ? v.i8 : v.u8;
    return is_signed ? v.i16 : v.u16;
}

MICRO_PRIVATE bool micro__enum_store(const micro_field *f, void *slot, int64_t v)
{
    if (v < INT32_MIN || v > INT32_MAX)
        return false;
    if (f->size == 4) {
        int32_t v32 = (int32_t)v;
        memcpy(slot, &v32, sizeof v32);
        return true;
    }
    if (f->size == 8) {
        memcpy(slot, &v, sizeof v);
        return true;
    }
    int64_t values = (int64_t)1 << 8 * f->size; /* of 1 or 2 bytes */
    int64_t least = type_enum_signed((const micro_enum *)f->sub) ? -values / 2 : 0;
    if (v < least || v >= least + values)
        return false;
    uint8_t v8 = (uint8_t)v;
    uint16_t v16 = (uint16_t)v;
    memcpy(slot, f->size == 1 ? (const void *)&v8 : (const void *)&v16, f->size);
    return true;
}

MICRO_PRIVATE const char *micro__enum_name(const micro_enum *e, int32_t number)
{
    for (size_t i = 0; i < e->len; i++)
        if (e->values[i].number == number)
            return e->values[i].name;
    return NULL;
}

static uint64_t type_magnitude(int64_t v, bool *neg)
{
    *neg = v < 0;
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

MICRO_PRIVATE uint64_t micro__int_load(const micro_field *f, const void *slot, bool *neg)
{
    *neg = false;
    switch (f->kind) {
    case MICRO_KIND_int32:
    case MICRO_KIND_sint32:
    case MICRO_KIND_sfixed32:
        return type_magnitude(*(const int32_t *)slot, neg);
    case MICRO_KIND_int64:
    case MICRO_KIND_sint64:
    case MICRO_KIND_sfixed64:
        return type_magnitude(*(const int64_t *)slot, neg);
    case MICRO_KIND_uint32:
    case MICRO_KIND_fixed32:
        return *(const uint32_t *)slot;
    case MICRO_KIND_uint64:
    case MICRO_KIND_fixed64:
        return *(const uint64_t *)slot;
    case MICRO_KIND_bool:
        return *(const uint8_t *)slot != 0;
    default:
        return type_magnitude(micro__enum_load(f, slot), neg);
    }
}

#define TYPE_RANGE(below, above) \
    { \
        (uint64_t)(below), (uint64_t)(above) \
    }
#define TYPE_SIGNED32 TYPE_RANGE((uint64_t)1 << 31, INT32_MAX)
#define TYPE_SIGNED64 TYPE_RANGE((uint64_t)1 << 63, INT64_MAX)

MICRO_PRIVATE_DEF const micro__int_range micro__int_ranges[MICRO_KIND_chars + 1] = {
    [MICRO_KIND_int32] = TYPE_SIGNED32,
    [MICRO_KIND_sint32] = TYPE_SIGNED32,
    [MICRO_KIND_sfixed32] = TYPE_SIGNED32,
    [MICRO_KIND_enum] = TYPE_SIGNED32,
    [MICRO_KIND_int64] = TYPE_SIGNED64,
    [MICRO_KIND_sint64] = TYPE_SIGNED64,
    [MICRO_KIND_sfixed64] = TYPE_SIGNED64,
    [MICRO_KIND_uint32] = TYPE_RANGE(0, UINT32_MAX),
    [MICRO_KIND_fixed32] = TYPE_RANGE(0, UINT32_MAX),
    [MICRO_KIND_uint64] = TYPE_RANGE(0, UINT64_MAX),
    [MICRO_KIND_fixed64] = TYPE_RANGE(0, UINT64_MAX),
};

MICRO_PRIVATE bool micro__int_store(const micro_field *f, void *slot, uint64_t mag, bool neg)
{
    const micro__int_range *range = &micro__int_ranges[f->kind];
    uint64_t v = neg ? 0 - mag : mag;

    if (mag > (neg ? range->below : range->above))
        return false;
    if (f->kind == MICRO_KIND_enum)
        return micro__enum_store(f, slot, (int64_t)v);
    if (f->size == 4)
        *(uint32_t *)slot = (uint32_t)v;
    else
        *(uint64_t *)slot = v;
    return true;
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* The pointer in a list has a type of its own: it goes through memcpy. */
MICRO_PRIVATE micro__fill micro__list_load(const void *list)
{
    micro__fill l;

    l.ptr = (char *)micro__pointer_load(list);
    memcpy(&l.len, (const char *)list + sizeof(void *), sizeof l.len);
    memcpy(&l.cap, (const char *)list + sizeof(void *) + sizeof(size_t), sizeof l.cap);
    return l;
}

MICRO_PRIVATE void micro__list_store(void *list, const micro__fill *l)
{
    micro__pointer_store(list, l->ptr);
    memcpy((char *)list + sizeof(void *), &l->len, sizeof l->len);
    memcpy((char *)list + sizeof(void *) + sizeof(size_t), &l->cap, sizeof l->cap);
}

MICRO_PRIVATE bool micro__list_room(micro__arena *a, micro__fill *l, size_t more, size_t size)
{
    size_t cap = l->cap ? l->cap * 2 : size <= 16 ? 8 : size <= 64 ? 4 : 2;

    if (more <= l->cap - l->len)
        return true;
    if (cap < l->len + more)
        cap = l->len + more;
    if (cap < l->len || cap > SIZE_MAX / 2 / size) {
        a->failed = true;
        return false;
    }
    char *p = (char *)micro__arena_extend(a, l->ptr, l->cap * size, cap * size);
    if (!p)
        return false;
    l->ptr = p;
    l->cap = cap;
    return true;
}
