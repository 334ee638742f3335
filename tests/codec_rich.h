/* SPDX-License-Identifier: MIT */
/* A message with a member of every kind under every label; codec_rich.proto says the same in
 * protobuf. Tables are static: every file that includes this has its own. */
#ifndef CODEC_RICH_H
#define CODEC_RICH_H

#include "../micro.h"

#define RICH_UNUSED __attribute__((unused))
#define RICH_TYPE(T, wire_name, ...) \
    static const micro_field T##_rows[] = { __VA_ARGS__ }; \
    RICH_UNUSED static const micro_type T##_type = { sizeof(micro_type), \
                                                     sizeof(micro_field), \
                                                     (uint32_t)MICRO_COUNTOF(T##_rows), \
                                                     wire_name, \
                                                     sizeof(T), \
                                                     T##_rows, \
                                                     0 }

typedef enum rich_hue { RICH_RED = 0, RICH_BLUE = 5, RICH_DARK = -3, RICH_LARGE = 70000 } rich_hue;
static const micro_enumerator rich_hue_values[] = {
    { "RED", RICH_RED }, { "BLUE", RICH_BLUE }, { "DARK", RICH_DARK }, { "LARGE", RICH_LARGE }
};
static const micro_enum rich_hue_enum = { "Hue", rich_hue_values, 4 };

typedef struct rich_part {
    micro_str part_name;
    int64_t big_delta;
    micro_int32s nums;
} rich_part;
RICH_TYPE(rich_part, "Part", MICRO_FIELD(string, rich_part, part_name, 1),
          MICRO_FIELD(sint64, rich_part, big_delta, 2), MICRO_REPEATED(int32, rich_part, nums, 3));

#define RICH_ENTRY(T, key_kind, value_kind) \
    RICH_TYPE(T, "Entry", MICRO_FIELD(key_kind, T, key, 1), MICRO_FIELD(value_kind, T, value, 2))

typedef struct rich_entry_si {
    micro_str key;
    int32_t value;
} rich_entry_si;
typedef struct rich_entry_is {
    int32_t key;
    micro_str value;
} rich_entry_is;
typedef struct rich_entry_up {
    uint64_t key;
    rich_part value;
} rich_entry_up;
typedef struct rich_entry_be {
    bool key;
    rich_hue value;
} rich_entry_be;
typedef struct rich_entry_zd {
    int64_t key;
    double value;
} rich_entry_zd;
typedef struct rich_entry_fb {
    uint32_t key;
    micro_bytes value;
} rich_entry_fb;
RICH_ENTRY(rich_entry_si, string, sint32);
RICH_ENTRY(rich_entry_is, int32, string);
RICH_ENTRY(rich_entry_up, uint64, message(rich_part));
RICH_TYPE(rich_entry_be, "Entry", MICRO_FIELD(bool, rich_entry_be, key, 1),
          MICRO_FIELD(enum(rich_hue), rich_entry_be, value, 2)); /* bool is itself a macro */
RICH_ENTRY(rich_entry_zd, sint64, double);
RICH_ENTRY(rich_entry_fb, fixed32, bytes);

/* clang-format off */

/* X(name, C type, list type) */
#define RICH_SCALARS(X) \
    X(double, double, micro_doubles) X(float, float, micro_floats) \
    X(int32, int32_t, micro_int32s) X(int64, int64_t, micro_int64s) \
    X(uint32, uint32_t, micro_uint32s) X(uint64, uint64_t, micro_uint64s) \
    X(sint32, int32_t, micro_int32s) X(sint64, int64_t, micro_int64s) \
    X(fixed32, uint32_t, micro_uint32s) X(fixed64, uint64_t, micro_uint64s) \
    X(sfixed32, int32_t, micro_int32s) X(sfixed64, int64_t, micro_int64s) \
    X(bool, bool, micro_bools) X(enum, rich_hue, MICRO_LIST(rich_hue))
#define RICH_OTHERS(X) \
    X(string, micro_str, micro_strs) X(bytes, micro_bytes, micro_bytes_list) \
    X(part, rich_part, MICRO_LIST(rich_part)) X(self, rich *, MICRO_LIST(rich *))

#define RICH_PLAIN(name, type, list) type p_##name;
#define RICH_OPTIONAL(name, type, list) type o_##name; bool has_o_##name;
#define RICH_MANY(name, type, list) list r_##name;
#define RICH_LOOSE(name, type, list) list l_##name;
#define RICH_ARRAY(name, type, list) type a_##name[3]; size_t n_a_##name;
#define RICH_UNION(name, type, list) type u_##name;

typedef struct rich rich;
struct rich {
    RICH_SCALARS(RICH_PLAIN) RICH_OTHERS(RICH_PLAIN)
    RICH_SCALARS(RICH_OPTIONAL) RICH_OTHERS(RICH_OPTIONAL)
    RICH_SCALARS(RICH_MANY) RICH_OTHERS(RICH_MANY)
    RICH_SCALARS(RICH_LOOSE)
    RICH_SCALARS(RICH_ARRAY) RICH_OTHERS(RICH_ARRAY)
    union { RICH_SCALARS(RICH_UNION) RICH_OTHERS(RICH_UNION) };
    uint32_t which_pick;
    char c_text[16];
    MICRO_LIST(rich_entry_si) m_si;
    MICRO_LIST(rich_entry_is) m_is;
    MICRO_LIST(rich_entry_up) m_up;
    MICRO_LIST(rich_entry_be) m_be;
    MICRO_LIST(rich_entry_zd) m_zd;
    MICRO_LIST(rich_entry_fb) m_fb;
    micro_str class_;
};
#undef RICH_LOOSE

/* clang-format on */

/* An unpacked list is a row written out. */
#define RICH_LOOSE(name, kind, ctype, list_, tag) \
    { \
        "l_" #name, list_, tag, offsetof(rich, l_##name), 0, sizeof(ctype), 0, MICRO_KIND_##kind, \
            MICRO_MANY, MICRO_UNPACKED, 0 \
    }
#define RICH_LOOSES \
    RICH_LOOSE(double, double, double, NULL, 81), RICH_LOOSE(float, float, float, NULL, 82), \
        RICH_LOOSE(int32, int32, int32_t, NULL, 83), RICH_LOOSE(int64, int64, int64_t, NULL, 84), \
        RICH_LOOSE(uint32, uint32, uint32_t, NULL, 85), \
        RICH_LOOSE(uint64, uint64, uint64_t, NULL, 86), \
        RICH_LOOSE(sint32, sint32, int32_t, NULL, 87), \
        RICH_LOOSE(sint64, sint64, int64_t, NULL, 88), \
        RICH_LOOSE(fixed32, fixed32, uint32_t, NULL, 89), \
        RICH_LOOSE(fixed64, fixed64, uint64_t, NULL, 90), \
        RICH_LOOSE(sfixed32, sfixed32, int32_t, NULL, 91), \
        RICH_LOOSE(sfixed64, sfixed64, int64_t, NULL, 92), \
        { "l_bool",   NULL,           93, offsetof(rich, l_bool), \
          0,          sizeof(bool),   0,  MICRO_KIND_bool, \
          MICRO_MANY, MICRO_UNPACKED, 0 }, \
        RICH_LOOSE(enum, enum, rich_hue, &rich_hue_enum, 94)
#define RICH_ROWS(ROW, prefix, base) \
    ROW(double, rich, prefix##_double, base + 1), ROW(float, rich, prefix##_float, base + 2), \
        ROW(int32, rich, prefix##_int32, base + 3), ROW(int64, rich, prefix##_int64, base + 4), \
        ROW(uint32, rich, prefix##_uint32, base + 5), \
        ROW(uint64, rich, prefix##_uint64, base + 6), \
        ROW(sint32, rich, prefix##_sint32, base + 7), \
        ROW(sint64, rich, prefix##_sint64, base + 8), \
        ROW(fixed32, rich, prefix##_fixed32, base + 9), \
        ROW(fixed64, rich, prefix##_fixed64, base + 10), \
        ROW(sfixed32, rich, prefix##_sfixed32, base + 11), \
        ROW(sfixed64, rich, prefix##_sfixed64, base + 12), \
        ROW(bool, rich, prefix##_bool, base + 13), \
        ROW(enum(rich_hue), rich, prefix##_enum, base + 14), \
        ROW(string, rich, prefix##_string, base + 15), \
        ROW(bytes, rich, prefix##_bytes, base + 16), \
        ROW(message(rich_part), rich, prefix##_part, base + 17), \
        ROW(pointer(rich), rich, prefix##_self, base + 18)
#define RICH_PICKS \
    MICRO_ONEOF(pick, double, rich, u_double, 41), MICRO_ONEOF(pick, float, rich, u_float, 42), \
        MICRO_ONEOF(pick, int32, rich, u_int32, 43), MICRO_ONEOF(pick, int64, rich, u_int64, 44), \
        MICRO_ONEOF(pick, uint32, rich, u_uint32, 45), \
        MICRO_ONEOF(pick, uint64, rich, u_uint64, 46), \
        MICRO_ONEOF(pick, sint32, rich, u_sint32, 47), \
        MICRO_ONEOF(pick, sint64, rich, u_sint64, 48), \
        MICRO_ONEOF(pick, fixed32, rich, u_fixed32, 49), \
        MICRO_ONEOF(pick, fixed64, rich, u_fixed64, 50), \
        MICRO_ONEOF(pick, sfixed32, rich, u_sfixed32, 51), \
        MICRO_ONEOF(pick, sfixed64, rich, u_sfixed64, 52), \
        MICRO_ONEOF(pick, bool, rich, u_bool, 53), \
        MICRO_ONEOF(pick, enum(rich_hue), rich, u_enum, 54), \
        MICRO_ONEOF(pick, string, rich, u_string, 55), \
        MICRO_ONEOF(pick, bytes, rich, u_bytes, 56), \
        MICRO_ONEOF(pick, message(rich_part), rich, u_part, 57), \
        MICRO_ONEOF(pick, pointer(rich), rich, u_self, 58)

static const micro_type rich_type;
RICH_TYPE(rich, "Rich", RICH_ROWS(MICRO_FIELD, p, 0), RICH_ROWS(MICRO_OPTIONAL, o, 20), RICH_PICKS,
          RICH_ROWS(MICRO_REPEATED, r, 60), RICH_LOOSES, RICH_ROWS(MICRO_ARRAY, a, 100),
          MICRO_CHARS(rich, c_text, 120), MICRO_MAP(rich_entry_si, rich, m_si, 121),
          MICRO_MAP(rich_entry_is, rich, m_is, 122), MICRO_MAP(rich_entry_up, rich, m_up, 123),
          MICRO_MAP(rich_entry_be, rich, m_be, 124), MICRO_MAP(rich_entry_zd, rich, m_zd, 125),
          MICRO_MAP(rich_entry_fb, rich, m_fb, 126), MICRO_FIELD(string, rich, class_, 2000));

#endif
