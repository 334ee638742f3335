/* SPDX-License-Identifier: MIT */
/* Counts calls of the allocator, linked in with --wrap: in the file that BENCH_ALLOCATIONS names, 8
 * bytes that others read while the program runs. What libc allocates for itself is not seen. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static _Atomic uint64_t alloc_own, *alloc_count = &alloc_own;

__attribute__((constructor)) static void alloc_share(void)
{
    const char *name = getenv("BENCH_ALLOCATIONS");
    int fd = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *p = fd >= 0 && ftruncate(fd, sizeof *alloc_count) == 0
                  ? mmap(NULL, sizeof *alloc_count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                  : MAP_FAILED;

    if (p != MAP_FAILED)
        alloc_count = p;
    if (fd >= 0)
        close(fd);
}

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(alloc_count, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    atomic_fetch_add(alloc_count, 1);
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    atomic_fetch_add(alloc_count, 1);
    return __real_realloc(old, size);
}
