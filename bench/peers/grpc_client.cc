// SPDX-License-Identifier: MIT
// Closed-loop gRPC client: grpc_client PORT CHANNELS CALLERS SECONDS PIDS
#include "../bench.h"
#include "greeter.grpc.pb.h"
#include <grpcpp/grpcpp.h>
#include <memory>
#include <string>
#include <vector>

using greeter::Greeter;

namespace {

struct Caller {
    Greeter::Stub *stub;
    grpc::CompletionQueue *queue;
    std::unique_ptr<grpc::ClientContext> context;
    greeter::Response response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<greeter::Response>> reader;
    uint64_t since;

    void call()
    {
        greeter::Request request;
        request.set_name("John");
        context.reset(new grpc::ClientContext);
        since = bench_now();
        reader = stub->AsyncHello(context.get(), request, queue);
        reader->Finish(&response, &status, this);
    }
};

std::unique_ptr<Greeter::Stub> dial(const std::string &to)
{
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto channel = grpc::CreateCustomChannel(to, grpc::InsecureChannelCredentials(), args);
    gpr_timespec patience = gpr_time_from_seconds(5, GPR_TIMESPAN);
    if (!channel->WaitForConnected(gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), patience)))
        exit(1);
    return Greeter::NewStub(channel);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    int nchannels = atoi(argv[2]), ncallers = atoi(argv[3]);
    bench_servers(argv[5]);
    grpc::CompletionQueue queue;
    std::vector<std::unique_ptr<Greeter::Stub>> stubs;
    for (int i = 0; i < nchannels; i++)
        stubs.push_back(dial(std::string("127.0.0.1:") + argv[1]));

    uint64_t begin_at = bench_now() + 100000000u, calls = 0, errors = 0;
    uint64_t end_at = begin_at + static_cast<uint64_t>(atof(argv[4]) * 1e9);
    std::vector<Caller> callers(static_cast<size_t>(ncallers));
    for (int i = 0; i < ncallers; i++) {
        callers[static_cast<size_t>(i)].stub = stubs[static_cast<size_t>(i % nchannels)].get();
        callers[static_cast<size_t>(i)].queue = &queue;
        callers[static_cast<size_t>(i)].call();
    }
    bool begun = false, ended = false, ok;
    int live = ncallers;
    void *tag;
    while (live && queue.Next(&tag, &ok)) {
        Caller *c = static_cast<Caller *>(tag);
        uint64_t now = bench_now();
        if (!begun && now > begin_at) {
            begun = true;
            calls = 0;
            bench_begin();
        }
        if (now > end_at) {
            if (!ended)
                bench_end();
            ended = true;
            live--;
            continue;
        }
        bench_add(now - c->since);
        calls++;
        errors += !c->status.ok() || c->response.msg() != "Hello John";
        c->call();
    }
    bench_print(calls, errors);
}
