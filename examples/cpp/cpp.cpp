// SPDX-License-Identifier: MIT
// The same API in C++17: options are values, a lambda without captures is a handler, and memory for
// a reply comes from the ctx.
//
//     cpp            serves Words.Sort
//     cpp WORD...    has its words sorted
#include "micro.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct sort_req { micro_strs words; bool reverse; };
struct sort_rsp { micro_strs words; };

MICRO_TYPE(sort_req, "SortRequest", MICRO_REPEATED(string, sort_req, words, 1),
           MICRO_FIELD(bool, sort_req, reverse, 2));
MICRO_TYPE(sort_rsp, "SortResponse", MICRO_REPEATED(string, sort_rsp, words, 1));
MICRO_METHOD(words_sort, "Words.Sort", sort_req, sort_rsp);

namespace {

constexpr const char *words_name = "go.micro.srv.words";

struct service_end { void operator()(micro_service *svc) const { micro_service_free(svc); } };
struct ctx_end { void operator()(micro_ctx *ctx) const { micro_ctx_free(ctx); } };
using service_ptr = std::unique_ptr<micro_service, service_end>;
using ctx_ptr = std::unique_ptr<micro_ctx, ctx_end>;

std::string_view view(micro_str s) { return { s.ptr, s.len }; }

// No exception leaves a handler: what may throw is caught.
micro_err sort(micro_ctx *ctx, const sort_req *req, sort_rsp *rsp)
try {
    std::vector<micro_str> sorted(req->words.ptr, req->words.ptr + req->words.len);
    std::sort(sorted.begin(), sorted.end(),
              [](micro_str a, micro_str b) { return view(a) < view(b); });
    if (req->reverse)
        std::reverse(sorted.begin(), sorted.end());
    for (micro_str word : sorted) {
        micro_str *place = micro_append(ctx, &rsp->words);
        if (!place)
            return MICRO_ENOMEM;
        *place = word; // the request lives as long as the reply
    }
    return MICRO_OK;
} catch (const std::exception &e) {
    return micro_fail(ctx, 500, "%s", e.what());
}

micro_err call(micro_service *svc, const char *const *args, std::size_t n)
{
    ctx_ptr ctx(micro_ctx_new(svc));
    sort_req req{};
    sort_rsp rsp;

    for (std::size_t i = 0; i < n; i++)
        if (micro_str *place = micro_append(ctx.get(), &req.words))
            *place = micro_s(args[i]);
    micro_call_opts opts{};
    opts.timeout_ms = 2000;
    micro_err err = words_sort_with(ctx.get(), words_name, &req, &rsp, &opts);
    if (err != MICRO_OK) {
        if (err != MICRO_EHELP)
            std::fprintf(stderr, "cpp: %s\n", micro_ctx_strerror(ctx.get()));
        return err;
    }
    std::string line;
    for (std::size_t i = 0; i < rsp.words.len; i++)
        line.append(i ? " " : "").append(view(rsp.words.ptr[i]));
    std::puts(line.c_str());
    return MICRO_OK;
}

} // namespace

int main(int argc, char **argv)
{
    micro_service_opts opts{};
    opts.name = words_name;
    opts.argc = argc;
    opts.argv = argv;
    service_ptr svc(micro_service_create(&opts));

    const char *const *args;
    std::size_t nargs = micro_service_args(svc.get(), &args);
    micro_err err;
    if (nargs > 0) {
        err = call(svc.get(), args, nargs);
    } else {
        words_sort_handle(svc.get(), sort, nullptr);
        err = micro_service_run(svc.get());
    }
    return micro_service_exit_code(svc.get(), err);
}
