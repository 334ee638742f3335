// SPDX-License-Identifier: MIT
// gRPC C++, its asynchronous server, which costs it least: grpc_server PORT
#include "greeter.grpc.pb.h"
#include <grpcpp/grpcpp.h>
#include <memory>
#include <string>

using greeter::Greeter;

namespace {

struct Call {
    Greeter::AsyncService *service;
    grpc::ServerCompletionQueue *queue;
    grpc::ServerContext context;
    greeter::Request request;
    greeter::Response response;
    grpc::ServerAsyncResponseWriter<greeter::Response> writer;
    bool finished = false;

    Call(Greeter::AsyncService *s, grpc::ServerCompletionQueue *q)
        : service(s), queue(q), writer(&context)
    {
        service->RequestHello(&context, &request, &writer, queue, queue, this);
    }

    void proceed()
    {
        if (finished) {
            delete this;
            return;
        }
        new Call(service, queue);
        response.set_msg("Hello " + request.name());
        finished = true;
        writer.Finish(response, grpc::Status::OK, this);
    }
};

} // namespace

int main(int, char **argv)
{
    Greeter::AsyncService service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(std::string("127.0.0.1:") + argv[1],
                             grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    auto queue = builder.AddCompletionQueue();
    auto server = builder.BuildAndStart();
    if (!server)
        return 1;
    for (int i = 0; i < 600; i++)
        new Call(&service, queue.get());
    void *tag;
    bool ok;
    while (queue->Next(&tag, &ok))
        if (ok)
            static_cast<Call *>(tag)->proceed();
}
