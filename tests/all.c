/* SPDX-License-Identifier: MIT */
/* Every test in one unit with the joined library, so that what it makes static is in reach.
 * all_tests.inc has an #include line for each tests/test_*.c; the build writes it. */
#include "../micro.c"

#include "harness.c"

#include "all_tests.inc"
