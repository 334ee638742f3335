/* SPDX-License-Identifier: MIT */
/* Memory: the allocator hook, the pool, arenas, buffers, lists and header maps. */
#include "failing.h"

#include "base/base.h"

#include <pthread.h>

static uint64_t base_seed = 88172645463325252u;

static unsigned base_random(unsigned below)
{
    base_seed ^= base_seed << 13;
    base_seed ^= base_seed >> 7;
    base_seed ^= base_seed << 17;
    return (unsigned)(base_seed >> 33) % below;
}

/* ---- alloc ----------------------------------------------------------------------------------- */

TEST(alloc_hook_gets_every_request)
{
    failing_begin(0);
    char *p = micro__alloc(10), *z = micro__alloc_zero(100), *none = micro__alloc(0);
    CHECK(p && z && none);
    CHECK_EQ_UINT(failing.calls, 3);
    for (int i = 0; i < 100; i++)
        CHECK_EQ_INT(z[i], 0);
    memcpy(p, "123456789", 10);
    p = micro__realloc(p, 10, 5000);
    CHECK_EQ_TEXT(p, "123456789");
    CHECK(micro__realloc(p, 5000, 0) == NULL);
    CHECK(micro__realloc(NULL, 0, 0) == NULL);
    micro__free(z, 100);
    micro__free(none, 0);
    micro__free(NULL, 7);
    char *copy = micro__strdup("text");
    CHECK_EQ_TEXT(copy, "text");
    micro__strfree(copy);
    CHECK(micro__strdup(NULL) == NULL);
    micro__strfree(NULL);
    CHECK(failing_end());
    p = micro__alloc(3); /* the default again */
    CHECK(p != NULL);
    micro__free(p, 3);
}

TEST(alloc_failure_leaves_the_old)
{
    failing_begin(2);
    char *p = micro__alloc(4);
    memcpy(p, "abc", 4);
    CHECK(micro__realloc(p, 4, 100) == NULL);
    CHECK_EQ_TEXT(p, "abc");
    CHECK(micro__alloc(1) == NULL);
    CHECK(micro__alloc_zero(1) == NULL);
    CHECK(micro__strdup("x") == NULL);
    micro__free(p, 4);
    CHECK(!failing_end());
}

/* ---- pool ------------------------------------------------------------------------------------ */

static _Alignas(16) char base_memory[65536];

TEST(pool_uses_all_and_merges_again)
{
    void *p[64] = { NULL };
    size_t n = 0;

    micro_pool_use(base_memory, sizeof base_memory);
    CHECK_EQ_UINT(micro_pool_peak(), 0);
    for (; n < 64 && (p[n] = micro__alloc(1024)) != NULL; n++) {
        CHECK((char *)p[n] >= base_memory && (char *)p[n] + 1024 <= base_memory + 65536);
        CHECK_EQ_UINT((uintptr_t)p[n] % (2 * sizeof(size_t)), 0);
        memset(p[n], (int)n, 1024);
    }
    CHECK_EQ_UINT(n, 65520 / (1024 + 2 * sizeof(size_t))); /* with heads, less the last one */
    CHECK(micro__alloc(2000) == NULL);
    CHECK(micro__alloc(SIZE_MAX - 3) == NULL);
    for (size_t i = 0; i < n; i++)
        CHECK(((char *)p[i])[0] == (char)i && ((char *)p[i])[1023] == (char)i);
    for (size_t i = 0; i < n; i += 2)
        micro__free(p[i], 1024);
    CHECK(micro__alloc(2000) == NULL); /* holes of 1024 only */
    for (size_t i = 1; i < n; i += 2)
        micro__free(p[i], 1024);
    CHECK(micro_pool_peak() >= n * 1024 && micro_pool_peak() <= sizeof base_memory);
    void *all = micro__alloc(65000);
    CHECK(all != NULL);
    micro__free(all, 65000);
    micro_allocator_set(NULL, NULL);
}

TEST(pool_grows_and_shrinks_in_place)
{
    micro_pool_use(base_memory, sizeof base_memory);
    char *a = micro__alloc(100);
    memset(a, 7, 100);
    char *b = micro__realloc(a, 100, 5000);
    CHECK(b == a);
    char *next = micro__alloc(10);
    CHECK(next > b + 4999);
    char *c = micro__realloc(b, 5000, 6000); /* blocked: moves */
    CHECK(c != b && c[0] == 7 && c[99] == 7);
    char *d = micro__realloc(c, 6000, 50);
    CHECK(d == c && d[49] == 7);
    char *hole = micro__alloc(4000); /* what b left, or what c gave back */
    CHECK(hole != NULL);
    size_t peak = micro_pool_peak();
    CHECK(peak >= 6000 + 5000 && peak < 12000);
    micro__free(d, 50);
    micro__free(hole, 4000);
    micro__free(next, 10);
    void *all = micro__alloc(65000);
    CHECK(all != NULL);
    CHECK(micro_pool_peak() >= 65000);
    micro_allocator_set(NULL, NULL);
}

TEST(pool_too_small_gives_nothing)
{
    for (size_t size = 0; size < 200; size++) {
        micro_pool_use(base_memory + 3, size);
        void *p = micro__alloc(1);
        CHECK(p == NULL || size >= 6 * sizeof(size_t));
        if (p)
            CHECK((char *)p + 1 <= base_memory + 3 + size);
        micro__free(p, 1);
    }
    micro_pool_use(NULL, 1000);
    CHECK(micro__alloc(1) == NULL);
    CHECK_EQ_UINT(micro_pool_peak(), 0);
    micro_allocator_set(NULL, NULL);
}

TEST(pool_random_use_keeps_contents)
{
    struct {
        uint8_t *p;
        size_t size;
        uint8_t fill;
    } held[40] = { { NULL, 0, 0 } };
    int damaged = 0, refused = 0;

    micro_pool_use(base_memory, 16384);
    for (int i = 0; i < 100000; i++) {
        unsigned at = base_random(40);
        size_t size = base_random(4) ? base_random(300) : base_random(3000);
        uint8_t *p = held[at].p, fill = held[at].fill;
        for (size_t k = 0; p && k < held[at].size; k++)
            damaged += p[k] != fill;
        uint8_t *made = micro__realloc(p, held[at].size, size);
        if (size && !made) {
            refused++;
            continue;
        }
        for (size_t k = 0; made && k < size && k < held[at].size; k++)
            damaged += made[k] != fill;
        held[at].p = made;
        held[at].size = made ? size : 0;
        held[at].fill = (uint8_t)i;
        if (made)
            memset(made, (uint8_t)i, size);
    }
    CHECK_EQ_INT(damaged, 0);
    CHECK(refused > 100 && refused < 90000);
    for (int i = 0; i < 40; i++)
        micro__free(held[i].p, held[i].size);
    CHECK(micro__alloc(16384 - 64) != NULL);
    micro_allocator_set(NULL, NULL);
}

static void *base_pool_thread(void *arg)
{
    int *damaged = arg;

    for (int i = 0; i < 20000; i++) {
        size_t size = 1 + (size_t)i % 200;
        uint8_t *p = micro__alloc(size);
        if (!p)
            continue;
        memset(p, (uint8_t)(uintptr_t)arg, size);
        for (size_t k = 0; k < size; k++)
            *damaged += p[k] != (uint8_t)(uintptr_t)arg;
        micro__free(p, size);
    }
    return NULL;
}

TEST_OF_THREADS(own, pool_shared_by_threads)
{
    pthread_t threads[3];
    int damaged[3] = { 0 };

    micro_pool_use(base_memory, sizeof base_memory);
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(pthread_create(&threads[i], NULL, base_pool_thread, &damaged[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ_INT(damaged[i], 0);
    }
    CHECK(micro__alloc(65000) != NULL);
    CHECK(micro_pool_peak() > 0);
    micro_allocator_set(NULL, NULL);
}

/* ---- arena ----------------------------------------------------------------------------------- */

TEST(arena_memory_is_aligned_and_apart)
{
    char lent[1000];
    static const size_t sizes[] = { 1, 15, 16, 17, 0, 100, 1000, 5000, 3, 70000, 16 };

    for (size_t skip = 0; skip < 17; skip++) {
        micro__arena a;
        char *p[11];
        failing_begin(0);
        micro__arena_init(&a, skip == 16 ? NULL : lent + skip, sizeof lent - skip);
        for (size_t i = 0; i < 11; i++) {
            p[i] = micro__arena_take(&a, sizes[i]);
            CHECK(p[i] != NULL);
            CHECK_EQ_UINT((uintptr_t)p[i] % 16, 0);
            memset(p[i], (int)i + 1, sizes[i]);
        }
        for (size_t i = 0; i < 11; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                if (p[i][k] != (char)(i + 1))
                    CHECK_EQ_INT(p[i][k], i + 1);
        CHECK(skip == 16 || (p[0] >= lent && p[5] < lent + sizeof lent));
        CHECK(failing.calls > 2);
        micro__arena_free(&a);
        CHECK_EQ_UINT(failing.live, 0);
        CHECK(skip == 16 || micro__arena_take(&a, 1) == p[0]); /* the lent chunk again */
        micro__arena_free(&a);
        failing_end();
    }
}

TEST(arena_lent_chunk_needs_no_heap)
{
    _Alignas(16) char lent[512];
    micro__arena a;

    failing_begin(1);
    for (size_t size = 0; size < 64; size++) {
        micro__arena_init(&a, lent, size); /* may be too small for anything */
        size_t got = 0;
        while (micro__arena_take(&a, 1))
            got += 16;
        CHECK(got <= size);
        CHECK(a.failed);
    }
    micro__arena_init(&a, lent, sizeof lent);
    for (int i = 0; i < 100; i++) {
        CHECK(micro__arena_take(&a, 496 - 16) != NULL);
        CHECK(!a.failed);
        CHECK(micro__arena_take(&a, 32) == NULL);
        CHECK(a.failed);
        micro__arena_free(&a);
        CHECK(!a.failed);
    }
    for (size_t less = 0; less < 100; less++) {
        volatile size_t size = SIZE_MAX - less; /* unknown to the compiler, which would complain */
        CHECK(micro__arena_take(&a, size) == NULL);
        CHECK(micro__arena_zero(&a, size) == NULL);
        CHECK(micro__arena_text(&a, "x", size) == NULL);
    }
    failing_end();
}

TEST(arena_chunks_double_to_a_limit)
{
    micro__arena a;

    failing_begin(0);
    micro__arena_init(&a, NULL, 0);
    for (int i = 0; i < 2 * MICRO_ARENA_CHUNK; i += 64)
        CHECK(micro__arena_take(&a, 64) != NULL);
    CHECK(failing.live <= 3 * MICRO_ARENA_CHUNK); /* little for those who take little */
    for (int i = 0; i < 65536; i++)
        CHECK(micro__arena_take(&a, 64) != NULL);
    CHECK(failing.calls < 80); /* 4 MiB */
    CHECK(failing.live < (4u << 20) + (256u << 10));
    micro__arena_free(&a);
    CHECK(failing_end());
}

TEST(arena_mark_and_rewind)
{
    char lent[256];
    micro__arena a;

    failing_begin(0);
    micro__arena_init(&a, lent, sizeof lent);
    char *kept = micro__arena_text(&a, "kept", 4);
    micro__mark m = micro__arena_mark(&a);
    char *first = micro__arena_take(&a, 16);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++)
            micro__arena_take(&a, 100);
        CHECK(failing.live > 100000);
        a.failed = true;
        micro__arena_rewind(&a, m);
        CHECK_EQ_UINT(failing.live, 0);
        CHECK(!a.failed);
        CHECK(micro__arena_take(&a, 16) == first);
    }
    CHECK_EQ_TEXT(kept, "kept");
    micro__arena_take(&a, 5000);
    m = micro__arena_mark(&a); /* in a chunk of the heap */
    size_t live = failing.live;
    first = micro__arena_take(&a, 16);
    micro__arena_take(&a, 50000);
    micro__arena_rewind(&a, m);
    CHECK_EQ_UINT(failing.live, live);
    CHECK(micro__arena_take(&a, 16) == first);
    micro__arena_free(&a);
    CHECK(failing_end());
}

TEST(arena_text_and_extend)
{
    micro__arena a;

    micro__arena_init(&a, NULL, 0);
    CHECK_EQ_TEXT(micro__arena_text(&a, "abc", 2), "ab");
    CHECK_EQ_TEXT(micro__arena_text(&a, NULL, 0), "");
    CHECK_EQ_MEM(micro__arena_text(&a, "a\0b", 3), 4, "a\0b", 4);
    char *p = micro__arena_take(&a, 20);
    memset(p, 1, 20);
    CHECK(micro__arena_extend(&a, p, 20, 100) == p);
    CHECK(micro__arena_extend(&a, p, 100, 60) == p);
    char *behind = micro__arena_take(&a, 16);
    CHECK(behind >= p + 100);
    char *moved = micro__arena_extend(&a, p, 100, 200);
    CHECK(moved != p && moved[0] == 1 && moved[19] == 1);
    char *large = micro__arena_extend(&a, moved, 200, 100000); /* does not fit the chunk */
    CHECK(large != moved && large[19] == 1);
    CHECK(micro__arena_extend(&a, NULL, 0, 10) != NULL);
    CHECK(micro__arena_extend(&a, large, 100000, SIZE_MAX - 4) == NULL);
    CHECK(a.failed);
    micro__arena_free(&a);
}

TEST(arena_adopts_another)
{
    char lent[256];
    micro__arena a, b, none;

    failing_begin(0);
    micro__arena_init(&a, lent, sizeof lent);
    micro__arena_init(&b, NULL, 0);
    micro__arena_init(&none, NULL, 0);
    micro__mark m = micro__arena_mark(&a);
    char *text = micro__arena_text(&b, "moved", 5);
    micro__arena_take(&b, 50000);
    micro__arena_adopt(&a, &b);
    micro__arena_adopt(&a, &none);
    micro__arena_free(&b); /* holds nothing any more */
    CHECK_EQ_TEXT(text, "moved");
    CHECK(micro__arena_take(&a, 10) != NULL);
    micro__arena_rewind(&a, m);
    CHECK_EQ_UINT(failing.live, 0);
    micro__arena_free(&a);
    CHECK(failing_end());
}

/* ---- buf ------------------------------------------------------------------------------------- */

TEST(buf_grows_by_doubling)
{
    micro_buf b = { 0 };

    failing_begin(0);
    for (int i = 0; i < 100000; i++)
        micro__buf_byte(&b, (char)i);
    CHECK_EQ_UINT(b.len, 100000);
    CHECK(failing.calls <= 12);
    CHECK(b.cap < 200001);
    for (int i = 0; i < 100000; i++)
        if (b.ptr[i] != (char)i)
            CHECK_EQ_INT(b.ptr[i], (char)i);
    micro__buf_free(&b);
    CHECK(b.ptr == NULL && b.len == 0 && b.cap == 0);
    CHECK(failing_end());
}

TEST(buf_writers)
{
    micro_buf b = { 0 };
    char want[1024];

    micro__buf_text(&b, "a");
    micro__buf_str(&b, micro__str("bcd", 2));
    micro__buf_add(&b, NULL, 0);
    micro_buf_add(&b, "d", 1);
    micro_buf_add(NULL, "d", 1);
    micro__buf_u64(&b, 0);
    micro__buf_byte(&b, ' ');
    micro__buf_u64(&b, UINT64_MAX);
    micro__buf_byte(&b, ' ');
    micro__buf_i64(&b, INT64_MIN);
    micro__buf_byte(&b, ' ');
    micro__buf_i64(&b, -1);
    micro__buf_format(&b, "%s%d|%s", "", 7, "");
    micro__buf_format(&b, "%s", "");
    micro__buf_format(&b, "%300d", 5); /* longer than there is room */
    snprintf(want, sizeof want, "abcd0 18446744073709551615 -9223372036854775808 -17|%300d", 5);
    CHECK_EQ_MEM(b.ptr, b.len, want, strlen(want));
    CHECK(!b.failed);
    micro__buf_free(&b);
}

TEST(buf_failure_sticks)
{
    failing_begin(2);
    failing.once = true;
    micro_buf b = { 0 };
    micro__buf_text(&b, "before");
    CHECK(!b.failed);
    for (int i = 0; i < 100; i++)
        micro__buf_byte(&b, 'x');
    CHECK(b.failed && !b.toobig);
    CHECK_EQ_UINT(b.len, 64);
    micro__buf_byte(&b, 'y'); /* there would be memory again */
    micro__buf_text(&b, "y");
    micro__buf_u64(&b, 1);
    micro__buf_format(&b, "%d", 1);
    CHECK(micro__buf_room(&b, 1) == NULL);
    CHECK_EQ_UINT(b.len, 64);
    CHECK_EQ_MEM(b.ptr, 8, "beforexx", 8);
    micro__buf_free(&b);
    CHECK(!b.failed);
    micro__buf_text(&b, "new");
    CHECK_EQ_MEM(b.ptr, b.len, "new", 3);
    micro__buf_free(&b);
    failing_end();
}

TEST(buf_limit)
{
    for (size_t max = 1; max < 140; max++) {
        micro_buf b = { .max = max };
        failing_begin(0);
        for (size_t i = 0; i < max; i++)
            micro__buf_format(&b, "%d", 7); /* up to the last byte */
        CHECK(!b.failed && b.len == max && b.cap <= max);
        micro__buf_u64(&b, 1);
        CHECK(b.failed && b.toobig && b.len == max);
        micro__buf_free(&b);
        CHECK_EQ_UINT(b.max, max);
        micro__buf_byte(&b, '1');
        CHECK(!b.failed);
        CHECK(micro__buf_room(&b, max) == NULL);
        CHECK(b.failed && b.toobig && b.len == 1 && b.ptr[0] == '1');
        micro__buf_free(&b);
        failing_end();
    }
    micro_buf b = { 0 };
    micro__buf_byte(&b, '1');
    CHECK(micro__buf_room(&b, SIZE_MAX) == NULL);
    CHECK(b.failed && !b.toobig);
    micro__buf_free(&b);
}

/* ---- lists ----------------------------------------------------------------------------------- */

TEST(list_append_zeroed)
{
    micro__arena a;
    micro_int64s ids = { NULL, 0, 0 };
    micro_bools flags = { NULL, 0, 0 };
    MICRO_LIST(struct { char bytes[300]; }) large = { NULL, 0, 0 };

    failing_begin(0);
    micro__arena_init(&a, NULL, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK(micro__list_grow(&a, &ids, sizeof *ids.ptr));
        CHECK(micro__list_grow(&a, &flags, sizeof *flags.ptr));
        CHECK_EQ_INT(ids.ptr[i], 0);
        CHECK(!flags.ptr[i]);
        ids.ptr[i] = i;
        flags.ptr[i] = true;
        CHECK(ids.len == (size_t)i + 1 && ids.cap >= ids.len);
    }
    for (int i = 0; i < 1000; i++)
        CHECK(ids.ptr[i] == i && flags.ptr[i]);
    for (int i = 0; i < 10; i++) {
        CHECK(micro__list_grow(&a, &large, sizeof *large.ptr));
        for (int k = 0; k < 300; k++)
            if (large.ptr[i].bytes[k])
                CHECK_EQ_INT(large.ptr[i].bytes[k], 0);
        memset(&large.ptr[i], 1, 300);
    }
    micro__arena_free(&a);
    CHECK(failing_end());
}

TEST(list_foreign_array_is_copied_first)
{
    micro__arena a;
    int64_t mine[2] = { 5, 6 };
    micro_int64s ids = { mine, 2, 0 };

    micro__arena_init(&a, NULL, 0);
    CHECK(micro__list_grow(&a, &ids, sizeof *ids.ptr));
    CHECK(ids.ptr != mine);
    CHECK(ids.len == 3 && ids.cap >= 3);
    CHECK(ids.ptr[0] == 5 && ids.ptr[1] == 6 && ids.ptr[2] == 0);
    ids.ptr[0] = 9;
    CHECK_EQ_INT(mine[0], 5);
    micro__arena_free(&a);
}

TEST(list_alone_grows_in_place)
{
    micro__arena a;
    micro_int64s ids = { NULL, 0, 0 };
    static char lent[65536];

    failing_begin(0);
    micro__arena_init(&a, lent, sizeof lent);
    CHECK(micro__list_grow(&a, &ids, sizeof *ids.ptr));
    int64_t *first = ids.ptr;
    while (ids.len < 4096)
        CHECK(micro__list_grow(&a, &ids, sizeof *ids.ptr));
    CHECK(ids.ptr == first);
    CHECK_EQ_UINT(failing.calls, 0);
    failing_end();
}

TEST(list_out_of_memory_is_unchanged)
{
    micro__arena a;
    micro_int64s ids = { NULL, 0, 0 };

    failing_begin(2);
    micro__arena_init(&a, NULL, 0);
    while (micro__list_grow(&a, &ids, sizeof *ids.ptr))
        ids.ptr[ids.len - 1] = (int64_t)ids.len;
    CHECK(a.failed);
    CHECK(ids.len > 100 && ids.len == ids.cap);
    CHECK_EQ_INT(ids.ptr[ids.len - 1], ids.len);
    size_t len = ids.len;
    CHECK(!micro__list_grow(&a, &ids, sizeof *ids.ptr));
    CHECK_EQ_UINT(ids.len, len);
    micro_bytes_list huge = { NULL, SIZE_MAX / 8, SIZE_MAX / 8 };
    CHECK(!micro__list_grow(&a, &huge, sizeof *huge.ptr));
    CHECK_EQ_UINT(huge.len, SIZE_MAX / 8);
    micro__arena_free(&a);
    failing_end();
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* "a=1 b=2" of a map, in its order. */
static const char *base_pairs(const micro_pairs *m)
{
    static char text[4096];
    size_t n = 0;

    text[0] = 0;
    for (size_t i = 0; i < m->len && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s" MICRO_STR_FMT "=" MICRO_STR_FMT,
                              i ? " " : "", MICRO_STR_ARG(m->ptr[i].key),
                              MICRO_STR_ARG(m->ptr[i].value));
    return text;
}

TEST(pairs_as_a_map)
{
    micro__arena a;
    micro_pairs m = { NULL, 0, 0 }, copy;
    char key[] = "Content-Type", value[] = "text";

    micro__arena_init(&a, NULL, 0);
    CHECK(micro__pairs_find(&m, micro_s("x")) == NULL);
    CHECK_EQ_STR(micro__pairs_get(&m, "x"), "");
    CHECK(micro__pairs_set(&a, &m, micro_s(key), micro_s(value)));
    key[0] = value[0] = '?'; /* both were copied */
    CHECK(micro__pairs_set(&a, &m, micro_s("B"), micro_s("2")));
    CHECK(micro__pairs_set(&a, &m, micro_s(""), micro_s("empty")));
    CHECK(micro__pairs_set(&a, &m, micro_s("b"), micro_s("3"))); /* keeps name and place */
    CHECK_EQ_TEXT(base_pairs(&m), "Content-Type=text B=3 =empty");
    CHECK_EQ_STR(micro__pairs_get(&m, "CONTENT-TYPE"), "text");
    CHECK_EQ_STR(micro__pairs_get(&m, "content-typ"), "");
    CHECK_EQ_STR(micro__pairs_get(&m, ""), "empty");
    CHECK_EQ_TEXT(micro__pairs_get(&m, "b").ptr, "3"); /* terminated */
    CHECK(micro__pairs_find(&m, micro__str("bx", 1)) == &m.ptr[1]);

    CHECK(micro__pairs_add(&a, &m, micro_s("b"), micro_s("4"))); /* without looking */
    CHECK(micro__pairs_add(&a, &m, micro_s("c"), micro_s("5")));
    CHECK_EQ_STR(micro__pairs_get(&m, "b"), "3");
    CHECK(micro__pairs_copy(&a, &copy, &m));
    CHECK_EQ_TEXT(base_pairs(&copy), "Content-Type=text B=3 =empty b=4 c=5");
    CHECK(copy.ptr != m.ptr && copy.ptr[0].key.ptr != m.ptr[0].key.ptr);
    CHECK(micro__pairs_set(&a, &m, micro_s("B"), micro_s("6"))); /* one is left */
    CHECK_EQ_TEXT(base_pairs(&m), "Content-Type=text B=6 =empty c=5");
    micro__pairs_del(&copy, micro_s("b"));
    CHECK_EQ_TEXT(base_pairs(&copy), "Content-Type=text =empty c=5");
    micro__pairs_del(&copy, micro_s("absent"));
    micro__pairs_del(&copy, micro_s(""));
    micro__pairs_del(&copy, micro_s("C"));
    micro__pairs_del(&copy, micro_s("content-type"));
    CHECK_EQ_UINT(copy.len, 0);
    micro__pairs_del(&copy, micro_s("content-type"));
    CHECK(micro__pairs_copy(&a, &m, &copy));
    CHECK_EQ_UINT(m.len, 0);
    micro__arena_free(&a);
}

TEST(pairs_out_of_memory)
{
    bool through = false;

    for (size_t n = 1; !through && n < 50; n++) {
        micro__arena a;
        micro_pairs m = { NULL, 0, 0 }, copy;
        failing_begin(n);
        micro__arena_init(&a, NULL, 0);
        bool ok = true;
        for (int i = 0; ok && i < 200; i++) {
            char key[16];
            snprintf(key, sizeof key, "key-%d", i);
            size_t len = m.len;
            ok = micro__pairs_set(&a, &m, micro_s(key), micro_s("value"));
            CHECK(m.len == len + ok);
        }
        bool copied = micro__pairs_copy(&a, &copy, &m);
        CHECK_EQ_UINT(copy.len, copied ? m.len : 0);
        CHECK(a.failed == !(ok && copied));
        micro__arena_free(&a);
        through = failing_end();
    }
    CHECK(through);
}

TEST(pairs_sort_is_stable)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 15, 16, 17, 33, 100, 1000, 50000 };
    micro_pair *p = malloc(50000 * sizeof *p);
    char(*keys)[8] = malloc(50000 * sizeof *keys);

    for (size_t k = 0; k < MICRO_COUNTOF(sizes); k++) {
        for (unsigned order = 0; order < 4; order++) { /* random, few keys, falling, rising */
            micro_pairs m = { p, sizes[k], 0 };
            int wrong = 0;
            NOTE("%zu, order %u", sizes[k], order);
            for (size_t i = 0; i < m.len; i++) {
                size_t r = order == 0   ? base_random(100000)
                           : order == 1 ? base_random(7)
                           : order == 2 ? m.len - i
                                        : i;
                snprintf(keys[i], sizeof keys[i], "%.6zx", r);
                p[i].key = micro_s(keys[i]);
                p[i].value = micro__str(keys[0], i); /* the place it came from */
            }
            micro__pairs_sort(&m);
            for (size_t i = 1; i < m.len; i++) {
                int c = micro__str_cmp(p[i - 1].key, p[i].key);
                wrong += c > 0 || (c == 0 && p[i - 1].value.len >= p[i].value.len);
            }
            CHECK_EQ_INT(wrong, 0);
        }
    }
    free(p);
    free(keys);
}
