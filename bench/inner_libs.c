/* SPDX-License-Identifier: MIT */
/* The same work by the libraries that are installed: cJSON, protobuf-c, nanopb. */
#include "inner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void libs_need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "inner: %s failed\n", what);
    exit(1);
}

#ifdef HAVE_CJSON
#include <cjson/cJSON.h>

static uint64_t libs_cjson_request(void)
{
    cJSON *j = cJSON_ParseWithLength(inner_body, inner_body_len);
    cJSON *method = cJSON_GetObjectItemCaseSensitive(j, "method");
    cJSON *id = cJSON_GetObjectItemCaseSensitive(j, "id");
    cJSON *params = cJSON_GetObjectItemCaseSensitive(j, "params");
    cJSON *name = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(params, 0), "name");

    libs_need(method && id && name, "cJSON");
    uint64_t n = (uint64_t)(method->valuestring[0] + id->valueint + name->valuestring[1]);
    cJSON_Delete(j);
    return n;
}

static uint64_t libs_cjson_reply(void)
{
    cJSON *j = cJSON_CreateObject(), *result = cJSON_CreateObject();

    cJSON_AddNumberToObject(j, "id", 1);
    cJSON_AddStringToObject(result, "msg", "Hello John");
    cJSON_AddItemToObject(j, "result", result);
    cJSON_AddNullToObject(j, "error");
    char *text = cJSON_PrintUnformatted(j);
    libs_need(text != NULL, "cJSON");
    uint64_t n = strlen(text);
    free(text);
    cJSON_Delete(j);
    return n;
}

static uint64_t libs_cjson_person(void)
{
    cJSON *j = cJSON_ParseWithLength(inner_person_json, inner_person_json_len);

    libs_need(j != NULL, "cJSON");
    uint64_t n = (uint64_t)j->child->valueint;
    cJSON_Delete(j);
    return n;
}
#endif

#ifdef HAVE_PROTOBUF_C
#include "msg.pb-c.h"

static uint8_t libs_out[512];

static uint64_t libs_c_small_write(void)
{
    static char name[] = "John";
    Msg__Small m = MSG__SMALL__INIT;

    m.name = name;
    return msg__small__pack(&m, libs_out);
}

static uint64_t libs_c_small_read(void)
{
    Msg__Small *m = msg__small__unpack(NULL, inner_small_len, inner_small);

    libs_need(m != NULL, "protobuf-c");
    uint64_t n = (uint64_t)m->name[0];
    msg__small__free_unpacked(m, NULL);
    return n;
}

static uint64_t libs_c_person_write(void)
{
    static char name[] = "John Appleseed", email[] = "john.appleseed@example.com";
    static char street[] = "1 Infinite Loop", city[] = "Cupertino";
    static int32_t scores[] = { 1, 22, 333, 4444, 5, 66, 777, 8888 };
    Msg__Person p = MSG__PERSON__INIT;
    Msg__Addr a = MSG__ADDR__INIT;

    a.street = street;
    a.city = city;
    a.zip = 95014;
    p.id = 1234567;
    p.name = name;
    p.email = email;
    p.active = 1;
    p.n_scores = 8;
    p.scores = scores;
    p.addr = &a;
    return msg__person__pack(&p, libs_out);
}

static uint64_t libs_c_person_read(void)
{
    Msg__Person *m = msg__person__unpack(NULL, inner_person_len, inner_person);

    libs_need(m != NULL, "protobuf-c");
    uint64_t n = (uint64_t)m->id;
    msg__person__free_unpacked(m, NULL);
    return n;
}
#endif

#ifdef HAVE_NANOPB
#include "msg.pb.h"
#include <pb_decode.h>
#include <pb_encode.h>

static msg_Person libs_nano_one;

static void libs_nano_person(void)
{
    static const int32_t scores[] = { 1, 22, 333, 4444, 5, 66, 777, 8888 };
    msg_Person *p = &libs_nano_one;

    p->id = 1234567;
    strcpy(p->name, "John Appleseed");
    strcpy(p->email, "john.appleseed@example.com");
    p->active = true;
    p->scores_count = 8;
    memcpy(p->scores, scores, sizeof scores);
    p->has_addr = true;
    strcpy(p->addr.street, "1 Infinite Loop");
    strcpy(p->addr.city, "Cupertino");
    p->addr.zip = 95014;
}

static uint64_t libs_nano_write(const pb_msgdesc_t *fields, const void *m)
{
    uint8_t buf[512];
    pb_ostream_t to = pb_ostream_from_buffer(buf, sizeof buf);

    libs_need(pb_encode(&to, fields, m), "nanopb");
    return to.bytes_written;
}

static uint64_t libs_nano_small_write(void)
{
    msg_Small m = { "John" };

    return libs_nano_write(msg_Small_fields, &m);
}

static uint64_t libs_nano_small_read(void)
{
    msg_Small m = msg_Small_init_zero;
    pb_istream_t in = pb_istream_from_buffer(inner_small, inner_small_len);

    libs_need(pb_decode(&in, msg_Small_fields, &m), "nanopb");
    return (uint64_t)m.name[0];
}

static uint64_t libs_nano_person_write(void)
{
    return libs_nano_write(msg_Person_fields, &libs_nano_one);
}

static uint64_t libs_nano_person_read(void)
{
    msg_Person m = msg_Person_init_zero;
    pb_istream_t in = pb_istream_from_buffer(inner_person, inner_person_len);

    libs_need(pb_decode(&in, msg_Person_fields, &m), "nanopb");
    return (uint64_t)m.id;
}
#endif

void inner_libs(void)
{
#ifdef HAVE_CJSON
    inner_add("cJSON rpc read", libs_cjson_request);
    inner_add("cJSON rpc write", libs_cjson_reply);
    inner_add("cJSON person read", libs_cjson_person);
#endif
#ifdef HAVE_PROTOBUF_C
    inner_add("protobuf-c small write", libs_c_small_write);
    inner_add("protobuf-c small read", libs_c_small_read);
    inner_add("protobuf-c person write", libs_c_person_write);
    inner_add("protobuf-c person read", libs_c_person_read);
#endif
#ifdef HAVE_NANOPB
    libs_nano_person();
    inner_add("nanopb small write", libs_nano_small_write);
    inner_add("nanopb small read", libs_nano_small_read);
    inner_add("nanopb person write", libs_nano_person_write);
    inner_add("nanopb person read", libs_nano_person_read);
#endif
    libs_need(inner_http_len && inner_person_len, "set-up");
}
