/* SPDX-License-Identifier: MIT */
/* The messages of the recorded test servers, and the methods that both peer programs know. */
#ifndef PEER_MESSAGES_H
#define PEER_MESSAGES_H

#include "../../micro.h"

typedef struct {
    micro_str name;
} hello_req;
typedef struct {
    micro_str msg;
} hello_rsp;

MICRO_TYPE(hello_req, "Request", MICRO_FIELD(string, hello_req, name, 1));
MICRO_TYPE(hello_rsp, "Response", MICRO_FIELD(string, hello_rsp, msg, 1));

typedef struct {
    int64_t count;
} counted;
MICRO_TYPE(counted, "Counted", MICRO_FIELD(int64, counted, count, 1));

/* Every kind of field that a generated message has in the captures. */
typedef enum { KIND_NONE, KIND_BIG } rich_kind;
typedef struct {
    micro_str part_name;
    int64_t big_delta;
} rich_part;
typedef struct {
    micro_str key;
    int64_t value;
} rich_count;
typedef struct {
    micro_str name;
    int64_t big_number;
    uint32_t small_number;
    double ratio;
    bool is_on;
    micro_bytes raw_data;
    rich_kind kind;
    micro_int64s id_list;
    rich_part *one_part;
    MICRO_LIST(rich_part) part_list;
    MICRO_LIST(rich_count) count_map;
} rich;

MICRO_ENUM(rich_kind, "Kind", { "KIND_NONE", KIND_NONE }, { "KIND_BIG", KIND_BIG });
MICRO_TYPE(rich_part, "Part", MICRO_FIELD(string, rich_part, part_name, 1),
           MICRO_FIELD(sint64, rich_part, big_delta, 2));
MICRO_TYPE(rich_count, "CountMapEntry", MICRO_FIELD(string, rich_count, key, 1),
           MICRO_FIELD(int64, rich_count, value, 2));
MICRO_TYPE(rich, "Rich", MICRO_FIELD(string, rich, name, 1),
           MICRO_FIELD(int64, rich, big_number, 2), MICRO_FIELD(uint32, rich, small_number, 3),
           MICRO_FIELD(double, rich, ratio, 4), MICRO_FIELD(bool, rich, is_on, 5),
           MICRO_FIELD(bytes, rich, raw_data, 6), MICRO_FIELD(enum(rich_kind), rich, kind, 7),
           MICRO_REPEATED(int64, rich, id_list, 8),
           MICRO_FIELD(pointer(rich_part), rich, one_part, 9),
           MICRO_REPEATED(message(rich_part), rich, part_list, 10),
           MICRO_MAP(rich_count, rich, count_map, 11));

#endif
