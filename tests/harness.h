/* SPDX-License-Identifier: MIT */
/* Test harness. A test is TEST(name) { ... } in any tests/test_*.c; it registers itself. Each runs
 * in a process of its own, so that a crash or a hang is one failure and the others go on. A test
 * that makes no check fails. Names of tests and of static functions are unique over all test files,
 * which are compiled once by one and once together with micro.c (tests/all.c). */
#ifndef HARNESS_H
#define HARNESS_H

#include "../micro.h"

#include "base/atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct harness_test {
    const char *name, *file;
    int line;
    void (*fn)(void);
    struct harness_test *next;
} harness_test;

#define TEST(name) \
    static void test_##name(void); \
    static harness_test harness_##name = { #name, __FILE__, __LINE__, test_##name, NULL }; \
    __attribute__((constructor)) static void harness_add_##name(void) \
    { \
        harness_add(&harness_##name); \
    } \
    static void test_##name(void)

/* A test that is left out where the library was built without threads. The reasons there are:
 *   overlap   handlers (or a registry) that block have to overlap, with each other, with whoever
 *             called them, or with what they wait for
 *   chain     a service calls itself through others
 *   stream    a straight-line stream, of a handler or of a caller in the same process
 *   own       the test has threads of its own that use the library */
enum { HARNESS_overlap, HARNESS_chain, HARNESS_stream, HARNESS_own };
#define HARNESS_REASON(reason) _Static_assert(HARNESS_##reason >= 0, "a reason that there is")
#if MICRO_OMIT_THREADS
#define TEST_OF_THREADS(reason, name) \
    HARNESS_REASON(reason); \
    __attribute__((unused)) static void test_##name(void)
#else
#define TEST_OF_THREADS(reason, name) \
    HARNESS_REASON(reason); \
    TEST(name)
#endif

/* Checks go on after a failure and say whether they passed: if (!CHECK(p)) return; */
#define CHECK(cond) harness_check(__FILE__, __LINE__, #cond, (cond))
#define CHECK_EQ_INT(got, want) \
    harness_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define CHECK_EQ_UINT(got, want) \
    harness_uint(__FILE__, __LINE__, #got, (unsigned long long)(got), (unsigned long long)(want))
#define CHECK_EQ_DOUBLE(got, want) \
    harness_double(__FILE__, __LINE__, #got, (double)(got), (double)(want))
/* a micro_str and a C string; two C strings; two runs of bytes */
#define CHECK_EQ_STR(got, want) harness_str(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_EQ_TEXT(got, want) harness_text(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_EQ_MEM(got, got_len, want, want_len) \
    harness_mem(__FILE__, __LINE__, #got, (got), (got_len), (want), (want_len))
/* Ends the test (a function that returns nothing) if it fails. */
#define REQUIRE(cond) \
    do { \
        if (!CHECK(cond)) \
            return; \
    } while (0)

/* Says which row of a table is being tested; printed with every failure until the next note. */
void harness_note(const char *fmt, ...) MICRO_PRINTF_(1, 2);
#define NOTE harness_note

void harness_add(harness_test *t);
bool harness_check(const char *file, int line, const char *what, bool ok);
bool harness_int(const char *file, int line, const char *what, long long got, long long want);
bool harness_uint(const char *file, int line, const char *what, unsigned long long got,
                  unsigned long long want);
bool harness_double(const char *file, int line, const char *what, double got, double want);
bool harness_str(const char *file, int line, const char *what, micro_str got, const char *want);
bool harness_text(const char *file, int line, const char *what, const char *got, const char *want);
bool harness_mem(const char *file, int line, const char *what, const void *got, size_t got_len,
                 const void *want, size_t want_len);

#endif
