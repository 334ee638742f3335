/* SPDX-License-Identifier: MIT */
/* What the C peers' handlers do: JSON-RPC read by cJSON, the reply by snprintf. */
#ifndef RPC_CJSON_H
#define RPC_CJSON_H

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* The length of the reply; -1: not a request for us. */
static int peer_hello(const char *body, size_t len, char *out, size_t cap)
{
    cJSON *j = cJSON_ParseWithLength(body, len);
    cJSON *method = cJSON_GetObjectItemCaseSensitive(j, "method");
    cJSON *id = cJSON_GetObjectItemCaseSensitive(j, "id");
    cJSON *params = cJSON_GetObjectItemCaseSensitive(j, "params");
    cJSON *name = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(params, 0), "name");
    int n = -1;

    if (cJSON_IsString(method) && strcmp(method->valuestring, "Bench.Hello") == 0 &&
        cJSON_IsString(name) && cJSON_IsNumber(id))
        n = snprintf(out, cap, "{\"id\":%d,\"result\":{\"msg\":\"Hello %s\"},\"error\":null}\n",
                     id->valueint, name->valuestring);
    cJSON_Delete(j);
    return n;
}

#endif
