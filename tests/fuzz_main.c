/* SPDX-License-Identifier: MIT */
/* Drives a fuzzer without libFuzzer: every file of the folders named, and fixed mutations of each.
 * An input ends flush against a page that cannot be read, so that one byte too many is a crash. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1 << 20, PAGE = 65536, MUTATIONS = 300, LARGEST_MUTATED = 4096 };

static uint8_t *fuzz_end; /* the first byte that cannot be read */
static unsigned long fuzz_inputs;

static uint32_t fuzz_random(void) /* xorshift: the same run every time */
{
    static uint32_t state = 2463534242u;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void fuzz_one(const uint8_t *data, size_t len)
{
    uint8_t *at = fuzz_end - len;

    if (len)
        memcpy(at, data, len);
    fuzz_inputs++;
    LLVMFuzzerTestOneInput(at, len);
}

/* One change: a byte, a bit, a cut, a doubled or a dropped stretch. The new length. */
static size_t fuzz_mutate(uint8_t *data, size_t len, size_t room)
{
    static const uint8_t special[] = {
        0, 1, 0x7f, 0x80, 0xff, '"', '\\', '\r', '\n', '{', ':', '9'
    };
    size_t at = fuzz_random() % len, n = 1 + fuzz_random() % (len - at);

    switch (fuzz_random() % 5) {
    case 0:
        data[at] = special[fuzz_random() % sizeof special];
        return len;
    case 1:
        data[at] ^= (uint8_t)(1u << fuzz_random() % 8);
        return len;
    case 2:
        return at;
    case 3:
        if (len + n > room)
            return len;
        memmove(data + at + n, data + at, len - at);
        return len + n;
    default:
        memmove(data + at, data + at + n, len - at - n);
        return len - n;
    }
}

static void fuzz_file(const char *path)
{
    static uint8_t original[ROOM], changed[ROOM];
    FILE *f = fopen(path, "rb");

    if (!f)
        return;
    size_t len = fread(original, 1, sizeof original, f);
    fclose(f);
    fuzz_one(original, len);
    for (size_t cut = 0; cut < len && cut < 64; cut++) /* every short beginning */
        fuzz_one(original, cut);
    for (int i = 0; i < MUTATIONS && len > 0 && len <= LARGEST_MUTATED; i++) {
        size_t now = len;
        memcpy(changed, original, len);
        for (uint32_t n = 1 + fuzz_random() % 4; n > 0 && now > 0; n--)
            now = fuzz_mutate(changed, now, sizeof changed);
        fuzz_one(changed, now);
    }
}

int main(int argc, char **argv)
{
    uint8_t *memory =
        mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory + ROOM, PAGE, PROT_NONE) != 0)
        return 2;
    fuzz_end = memory + ROOM;
    for (int i = 1; i < argc; i++) {
        struct dirent **names;
        int n = scandir(argv[i], &names, NULL, alphasort);
        for (int k = 0; k < n; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], names[k]->d_name);
            if (names[k]->d_name[0] != '.')
                fuzz_file(path);
            free(names[k]);
        }
        if (n >= 0)
            free(names);
    }
    printf("%lu inputs\n", fuzz_inputs);
    return fuzz_inputs == 0;
}
