/* SPDX-License-Identifier: MIT */
/* The inside of one process, measured piece by piece: inner.c has ours, inner_libs.c the libraries
 * beside it. */
#ifndef BENCH_INNER_H
#define BENCH_INNER_H

#include <stddef.h>
#include <stdint.h>

/* Registers a piece of work. Its result is kept from the optimizer. */
void inner_add(const char *name, uint64_t (*work)(void));

void inner_libs(void);

/* What is read: HTTP request, its JSON-RPC body, a nested message as JSON and as protobuf, a small
 * one. */
extern const char *inner_http, *inner_body, *inner_person_json;
extern size_t inner_http_len, inner_body_len, inner_person_json_len;
extern uint8_t inner_small[16], inner_person[256];
extern size_t inner_small_len, inner_person_len;

#endif
