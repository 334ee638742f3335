/* SPDX-License-Identifier: MIT */
/* Metadata goes along with calls, and with the calls that are made from them.
 *
 *     metadata             the shop: Order.Place wants to know the user and calls Stock.Reserve,
 *                          which knows him too, though nobody told it
 *     metadata ITEM USER   orders ITEM as USER; without USER the shop refuses */
#include "micro.h"
#include <stdio.h>

#define SHOP "go.micro.srv.shop"

typedef struct { micro_str item; } order_req;
typedef struct { micro_str text; } order_rsp;

MICRO_TYPE(order_req, "OrderRequest", MICRO_FIELD(string, order_req, item, 1));
MICRO_TYPE(order_rsp, "OrderResponse", MICRO_FIELD(string, order_rsp, text, 1));
MICRO_METHOD(order_place, "Order.Place", order_req, order_rsp);
MICRO_METHOD(stock_reserve, "Stock.Reserve", order_req, order_rsp);

static micro_err reserve(micro_ctx *ctx, const order_req *req, order_rsp *rsp)
{
    micro_str user = micro_metadata_get(ctx, "user"); /* keys compare without case */

    rsp->text = micro_format(ctx, "%s for %s", req->item.ptr, user.ptr);
    return MICRO_OK;
}

static micro_err place(micro_ctx *ctx, const order_req *req, order_rsp *rsp)
{
    if (micro_metadata_get(ctx, "User").len == 0)
        return micro_fail(ctx, 401, "who are you?");

    micro_err err = stock_reserve(ctx, SHOP, req, rsp); /* could be on another machine */
    if (err != MICRO_OK)
        return err;
    rsp->text = micro_concat(ctx, micro_s("ordered: "), rsp->text);
    return MICRO_OK;
}

static micro_err order(micro_service *svc, const char *item, const char *user)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    order_req req = { .item = micro_s(item) };
    order_rsp rsp;

    micro_metadata_set(ctx, "User", user); /* NULL sets nothing */
    micro_err err = order_place(ctx, SHOP, &req, &rsp);
    if (err == MICRO_OK)
        printf("%s\n", rsp.text.ptr);
    else if (err != MICRO_EHELP)
        fprintf(stderr, "metadata: %s\n", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    return err;
}

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = SHOP, .argc = argc, .argv = argv);
    const char *const *args;
    size_t nargs = micro_service_args(svc, &args);
    micro_err err;

    if (nargs > 0) {
        err = order(svc, args[0], nargs > 1 ? args[1] : NULL);
    } else {
        order_place_handle(svc, place, NULL);
        stock_reserve_handle(svc, reserve, NULL);
        err = micro_service_run(svc);
    }
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
