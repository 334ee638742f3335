/* SPDX-License-Identifier: MIT */
/* The cache selector: nodes that refuse connections, and sets that are held for long. */
#include "fake_registry.h"

/* ---- nodes that refuse ------------------------------------------------------------------------*/

TEST(cache_refused_node_is_set_aside)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    static const micro_err harmless[] = { MICRO_OK,     MICRO_EIO,       MICRO_ETIMEDOUT, 500,
                                          MICRO_EPROTO, MICRO_ECANCELED, MICRO_EREMOTE };
    for (size_t i = 0; i < MICRO_COUNTOF(harmless); i++)
        seltest_mark(w.sel, "n1", "h:1", harmless[i]);
    seltest_mark(w.sel, "n1", "h:7", MICRO_ECONNECT); /* it has moved since */
    seltest_mark(w.sel, "n7", "h:1", MICRO_ECONNECT); /* it has gone since */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    CHECK(micro__cache_maybe_aside((micro__cache *)w.sel, micro_s("n1")));
    CHECK(!micro__cache_maybe_aside((micro__cache *)w.sel, micro_s("n2"))); /* pays nothing */
    seltest_pass(1000); /* time alone does not bring it back */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_event(&w.reg, MICRO_CREATED, "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_mark(w.sel, "n1", "h:1", 400); /* a call that was under way has got through */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

TEST(cache_refused_and_moved)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_UPDATED, "n1", "h:9");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:9 n2@h:2");
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    seltest_mark(w.sel, "n1", "h:9", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_DELETED, "n1", "");
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_end(&w);
}

TEST(cache_asks_at_once_when_none_is_left)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    w.reg.nodes[0] = (seltest_node){ "s", "1", "n2", "h:2", NULL, NULL }; /* it has been replaced */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    CHECK_EQ_INT(w.reg.gets, 2);
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    seltest_end(&w);
}

/* The responder lives and the listener stays closed. */
TEST(cache_closed_listener)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    for (int i = 0; i < 5; i++) /* several calls run into the same closed door */
        seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1"); /* asked, and named: one more try */
    CHECK_EQ_INT(w.reg.gets, 2);
    static const int seconds[] = { 1, 2, 4, 8, 16, 30, 30, 30 };
    for (size_t i = 0; i < MICRO_COUNTOF(seconds); i++) {
        NOTE("refused after try %zu", i);
        seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
        int gets = w.reg.gets;
        for (int k = 0; k < 5; k++)
            CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENONODE");
        CHECK_EQ_INT(w.reg.gets, gets + 1); /* asked once, not with every call */
        if (seconds[i] > 1)
            seltest_pass(seconds[i] - 1);
        else
            CHECK_EQ_STR(micro_ctx_error(w.ctx)->detail, "none available");
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENONODE");
        seltest_pass(1);
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    }
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1"); /* does not wait for the clock */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_OK); /* it is back: the count starts anew */
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_end(&w);
}

TEST(cache_closed_listener_beside_others)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    for (int i = 0; i < 40; i++)
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_pass(2); /* now the clock decides, and is looked at every time */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2"); /* noticed by this one */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

/* The first answer is the node that just refused; the whole answer has another. */
TEST(cache_first_answer_is_of_no_use)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_first_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.firsts, 2);
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    CHECK_EQ_INT(w.reg.firsts, 3);
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

/* ---- sets that are held -----------------------------------------------------------------------*/

TEST(cache_sets_stay_while_held)
{
    enum { HELD = 300 }; /* more than there are slots */
    seltest_world w;
    const micro_nodes *held[HELD];
    char address[16];
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:0");
    for (int i = 0; i < HELD; i++) {
        REQUIRE(!micro__selector_select(w.sel, w.ctx, "s", &held[i]));
        snprintf(address, sizeof address, "h:%d", i + 1);
        seltest_event(&w.reg, MICRO_UPDATED, "n1", address);
    }
    int different = 0;
    for (int i = 1; i < HELD; i++)
        different += held[i] != held[i - 1];
    CHECK(different >= MICRO__CACHE_BLOCK * MICRO__CACHE_BLOCKS - 2);
    for (int i = 0; i <= different; i++) {
        snprintf(address, sizeof address, "h:%d", i);
        CHECK_EQ_STR(held[i]->ptr[0]->address, address);
    }
    for (int i = 0; i < HELD; i++)
        micro__selector_release(w.sel, held[i]);
    seltest_pass(2); /* what found no slot is tried again */
    micro_ignore((micro_err)seltest_select(w.sel, w.ctx, "s")[0]);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:300");
    seltest_end(&w);
}

TEST(cache_whole_set_comes_back)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    for (int i = 0; i < 2 * MICRO__CACHE_BLOCK * MICRO__CACHE_BLOCKS; i++) {
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
        seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
        seltest_mark(w.sel, "n1", "h:1", MICRO_OK);
        micro_ctx_reset(w.ctx);
    }
    seltest_end(&w);
}

TEST(cache_slots_are_used_again)
{
    seltest_world w;
    char address[16];
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:0");
    for (int i = 0; i < 2000; i++) {
        const micro_nodes *nodes;
        REQUIRE(!micro__selector_select(w.sel, w.ctx, "s", &nodes));
        snprintf(address, sizeof address, "h:%d", i);
        CHECK_EQ_STR(nodes->ptr[0]->address, address);
        snprintf(address, sizeof address, "h:%d", i + 1);
        seltest_event(&w.reg, MICRO_UPDATED, "n1", address);
        micro__selector_release(w.sel, nodes);
    }
    seltest_end(&w);
}
