/* SPDX-License-Identifier: MIT */
/* Defaults of every switch and limit; what they mean stands in section 1 of micro.h. */
#ifndef MICRO_CONFIG_DEFAULTS_H
#define MICRO_CONFIG_DEFAULTS_H

#ifndef MICRO_ENABLE_ZLIB
#define MICRO_ENABLE_ZLIB 0
#endif
#ifndef MICRO_ENABLE_TEST_HOOKS
#define MICRO_ENABLE_TEST_HOOKS 0
#endif
#ifndef MICRO_OMIT_THREADS
#define MICRO_OMIT_THREADS 0
#endif
#ifndef MICRO_USE_POLL
#define MICRO_USE_POLL 0
#endif
#ifndef MICRO_USE_KQUEUE
#define MICRO_USE_KQUEUE 0
#endif

#ifndef MICRO_MAX_HEADER
#define MICRO_MAX_HEADER 16384
#endif
#ifndef MICRO_MAX_HEADERS
#define MICRO_MAX_HEADERS 128
#endif
#ifndef MICRO_MAX_BODY
#define MICRO_MAX_BODY 4194304
#endif
#ifndef MICRO_MAX_DEPTH
#define MICRO_MAX_DEPTH 128
#endif
#ifndef MICRO_CONN_BUF
#define MICRO_CONN_BUF 16384
#endif
#ifndef MICRO_STREAM_BUF
#define MICRO_STREAM_BUF 65536
#endif
#ifndef MICRO_ARENA_CHUNK
#define MICRO_ARENA_CHUNK 4096
#endif

#endif
