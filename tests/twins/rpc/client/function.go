// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"time"

	"github.com/golang/protobuf/proto"
	"twins/rpc/wire"
)

// functionReply is that of examples/function.
type functionReply struct {
	Greeting string `protobuf:"bytes,1,opt,name=greeting,proto3" json:"greeting,omitempty"`
}

func (m *functionReply) Reset()         { *m = functionReply{} }
func (m *functionReply) String() string { return proto.CompactTextString(m) }
func (*functionReply) ProtoMessage()    {}

// callFunction calls a function that is just being started, in one of the protocols: it is
// answered, and then the connection ends.
func callFunction(protocol string) error {
	c, err := dial()
	for begin := time.Now(); err != nil && time.Since(begin) < limit; c, err = dial() {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	for _, p := range protocols {
		if p.name != protocol {
			continue
		}
		var rsp functionReply
		text, err := p.call(c, p.kind, "Greeter.Hello", &wire.Hello{Name: "John"}, &rsp)
		return first(err, same("error", "", text), same("greeting", "Hello John", rsp.Greeting),
			c.closed())
	}
	return fmt.Errorf("no protocol %q", protocol)
}
