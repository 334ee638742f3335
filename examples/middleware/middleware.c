/* SPDX-License-Identifier: MIT */
/* What every request and every call goes through: a log on both sides, and a check of who asks.
 *
 *     middleware                the vault: says what it serves; refuses who does not know the token
 *     middleware NAME [TOKEN]   asks it for NAME's secret, and says what it calls, and where */
#include "micro.h"
#include <stdio.h>

#define VAULT "go.micro.srv.vault"

typedef struct { micro_str name; } open_req;
typedef struct { micro_str secret; } open_rsp;

MICRO_TYPE(open_req, "OpenRequest", MICRO_FIELD(string, open_req, name, 1));
MICRO_TYPE(open_rsp, "OpenResponse", MICRO_FIELD(string, open_rsp, secret, 1));
MICRO_METHOD(vault_open, "Vault.Open", open_req, open_rsp);

/* ---- a log, the same for both sides ---------------------------------------------------------- */

/* Where the call is asynchronous (this program makes none) the result is there later than the end
 * of micro_next_run: hence a function of its own for it. */
static micro_err log_result(micro_ctx *ctx, const micro_info *info, micro_err result, void *rsp,
                            void *arg)
{
    (void)rsp;
    printf("%s %s %s: %s\n", (const char *)arg, info->service, info->endpoint,
           result == MICRO_OK ? "ok" : micro_ctx_error(ctx)->detail.ptr);
    fflush(stdout);
    return result;
}

static micro_err log_all(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                         micro_next *next, void *arg)
{
    (void)info;
    (void)req;
    (void)rsp;
    micro_next_after(next, log_result, arg);
    return micro_next_run(next, ctx);
}

/* ---- who asks? ------------------------------------------------------------------------------- */

static const char user_key; /* its address names the value */

/* On the serving side: refuses, or leaves the user where handlers find him. */
static micro_err check_token(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                             micro_next *next, void *arg)
{
    static char admin[] = "admin";

    (void)req;
    (void)rsp;
    (void)arg;
    if (strncmp(info->endpoint, "Debug.", 6) == 0)
        return micro_next_run(next, ctx); /* anybody may ask how we are */
    if (!micro_str_eq(micro_metadata_get(ctx, "Authorization"), micro_s("Bearer sesame")))
        return micro_fail(ctx, 401, "who are you?");
    micro_ctx_set_value(ctx, &user_key, admin);
    return micro_next_run(next, ctx);
}

/* On the calling side: arg is the token. */
static micro_err send_token(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                            micro_next *next, void *arg)
{
    char text[128];

    (void)info;
    (void)req;
    (void)rsp;
    snprintf(text, sizeof text, "Bearer %s", (const char *)arg);
    micro_metadata_set(ctx, "Authorization", text);
    return micro_next_run(next, ctx);
}

/* Around each attempt, when the node is known. */
static micro_err log_attempt(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                             micro_next *next, void *arg)
{
    (void)req;
    (void)rsp;
    (void)arg;
    printf("attempt %d at %s\n", info->attempt, info->peer);
    return micro_next_run(next, ctx);
}

/* ---- the program ----------------------------------------------------------------------------- */

static micro_err open_vault(micro_ctx *ctx, const open_req *req, open_rsp *rsp)
{
    const char *user = micro_ctx_value(ctx, &user_key);

    rsp->secret = micro_format(ctx, "%s's secret, told to %s", req->name.ptr, user);
    return MICRO_OK;
}

static micro_err ask(micro_service *svc, const char *name)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    open_req req = { .name = micro_s(name) };
    open_rsp rsp;
    micro_err err = vault_open(ctx, VAULT, &req, &rsp);

    if (err == MICRO_OK)
        printf("%s\n", rsp.secret.ptr);
    else
        fprintf(stderr, "middleware: %s\n", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    return err;
}

int main(int argc, char **argv)
{
    static char served[] = "served", called[] = "called";
    char token[64] = "";
    micro_service *svc = micro_service_new(.name = VAULT, .argc = argc, .argv = argv);
    const char *const *args;
    size_t nargs = micro_service_args(svc, &args);
    micro_err err;

    if (nargs > 0) {
        snprintf(token, sizeof token, "%s", nargs > 1 ? args[1] : "");
        micro_service_wrap(svc, MICRO_WRAP_CLIENT, log_all, called); /* first: outermost */
        micro_service_wrap(svc, MICRO_WRAP_CLIENT, send_token, token);
        micro_service_wrap(svc, MICRO_WRAP_CALL, log_attempt, NULL);
        err = ask(svc, args[0]);
    } else {
        micro_service_wrap(svc, MICRO_WRAP_HANDLER, log_all, served);
        micro_service_wrap(svc, MICRO_WRAP_HANDLER, check_token, NULL);
        vault_open_handle(svc, open_vault, NULL);
        err = micro_service_run(svc);
    }
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
