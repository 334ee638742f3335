// SPDX-License-Identifier: MIT

// A service as a go-micro server looks from the wire: net/http reads the request and writes the
// reply straight into the socket, a few bytes at a time. It prints "ready ADDRESS".
//
//	-form 2018       envelopes as early servers write them
//	-form later      as those of 1.x and after: ids are strings, errors in header and body
//	-form canonical  the same, and generated messages in canonical proto3 JSON
//	-chunked         replies have no length
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	"twins/rpc/wire"
)

var (
	form    = flag.String("form", "2018", "2018, later or canonical")
	chunked = flag.Bool("chunked", false, "replies without a length")
)

var errPanic = errors.New("the connection shall be closed")

// call is one request on its way.
type call struct {
	req      *http.Request
	kind     string // content type
	method   string
	id       string
	message  []byte
	envelope bool
	micro    bool // it has Micro-* headers
}

func fault(id string, code int, detail string) error {
	b, _ := json.Marshal(struct {
		ID     string `json:"id"`
		Code   int    `json:"code"`
		Detail string `json:"detail"`
		Status string `json:"status"`
	}{id, code, detail, http.StatusText(code)})
	return errors.New(string(b))
}

func (c *call) read(m interface{}) error {
	if r, ok := m.(*wire.Rich); ok && *form == "canonical" && !wire.IsProto(c.kind) {
		return jsonpb.Unmarshal(bytes.NewReader(c.message), r)
	}
	return wire.ReadBare(c.kind, c.message, m)
}

func (c *call) write(m interface{}) ([]byte, error) {
	if r, ok := m.(*wire.Rich); ok && *form == "canonical" && !wire.IsProto(c.kind) {
		text, err := (&jsonpb.Marshaler{}).MarshalToString(r)
		return []byte(text + "\n"), err
	}
	return wire.Bare(c.kind, m)
}

func (c *call) hello(f func(name string) (string, error)) ([]byte, error) {
	var req wire.Hello
	if err := c.read(&req); err != nil {
		return nil, err
	}
	msg, err := f(req.Name)
	if err != nil {
		return nil, err
	}
	return c.write(&wire.Greeting{Msg: msg})
}

func (c *call) handle() ([]byte, error) {
	switch c.method {
	case "Say.Hello":
		return c.hello(func(name string) (string, error) { return "Hello " + name, nil })
	case "Test.Fail":
		return c.hello(func(name string) (string, error) {
			return "", fault("go.micro.srv.greeter", 400, "bad name "+name)
		})
	case "Test.Plain":
		return nil, errors.New("plain failure")
	case "Test.Empty":
		return c.hello(func(string) (string, error) { return "", nil })
	case "Test.Big":
		return c.hello(func(name string) (string, error) {
			return fmt.Sprintf("got %d %s", len(name), strings.Repeat("y", len(name))), nil
		})
	case "Test.Slow":
		return c.hello(func(name string) (string, error) {
			ms, err := strconv.Atoi(name)
			time.Sleep(time.Duration(ms) * time.Millisecond)
			return "timeout " + c.req.Header.Get("Timeout"), err
		})
	case "Test.Meta":
		return c.hello(func(key string) (string, error) {
			return strings.Join(c.req.Header.Values(key), "|"), nil
		})
	case "Test.Rich":
		var m wire.Rich
		if err := c.read(&m); err != nil {
			return nil, err
		}
		return c.write(proto.Clone(&m))
	case "Test.Panic":
		return nil, errPanic
	}
	return nil, errors.New("rpc: can't find method " + c.method)
}

// open finds out how the request is to be read; an error is one that the caller gets.
func open(req *http.Request, body []byte) (*call, error) {
	c := &call{req: req, kind: req.Header.Get("Content-Type"), message: body}
	endpoint := req.Header.Get("Micro-Endpoint")
	c.micro = endpoint != ""
	if !strings.HasPrefix(c.kind, "application/") {
		return c, errors.New("twin: content type " + c.kind)
	}
	c.envelope = !c.micro || strings.HasSuffix(c.kind, "-rpc")
	c.method = endpoint
	if c.envelope {
		method, id, message, err := wire.ReadRequest(c.kind, body)
		if err != nil {
			return c, fmt.Errorf("twin: envelope: %v", err)
		}
		c.method, c.id, c.message = method, id, message
	} else if req.Header.Get("Micro-Method") != endpoint || req.Header.Get("Micro-Service") == "" ||
		req.Header.Get("Micro-Id") == "" {
		return c, fmt.Errorf("twin: routing headers %v", req.Header)
	}
	if streams(c.method) {
		return c, nil // without Timeout
	}
	if n, err := strconv.ParseUint(req.Header.Get("Timeout"), 10, 64); err != nil || n == 0 {
		return c, fmt.Errorf("twin: Timeout %q", req.Header.Get("Timeout"))
	}
	return c, nil
}

func (c *call) reply(body []byte, err error) *http.Response {
	text := ""
	if err != nil {
		text, body = err.Error(), nil
	}
	header := c.req.Header.Clone()
	later := *form != "2018"
	if c.envelope {
		if body == nil && text == "" {
			body = []byte{}
		}
		body = wire.Reply(c.kind, c.method, c.id, body, text, later)
	}
	if text != "" && (!c.envelope || later) {
		header.Set("Micro-Error", text)
		header.Set("X-Micro-Error", text)
	}
	rsp := &http.Response{Status: "200 OK", StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1,
		ProtoMinor: 1, Header: header, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body))}
	if *chunked {
		rsp.ContentLength, rsp.TransferEncoding = -1, []string{"chunked"}
	}
	return rsp
}

func streams(method string) bool { return method == "Test.Bidi" || method == "Test.Count" }

// inStream takes a message of the stream that opening began, and says whether that has ended.
func (c *call) inStream(opening *call, send func(body []byte, err error)) (end bool) {
	var req wire.Hello
	if c.req.Header.Get("Micro-Error") == "EOS" {
		return true // nothing is answered
	}
	if err := c.read(&req); err != nil {
		send(nil, err)
		return true
	}
	echo := func(msg string) {
		body, err := c.write(&wire.Greeting{Msg: msg})
		send(body, err)
	}
	switch {
	case c.method == "Test.Count":
		n, _ := strconv.Atoi(req.Name)
		for i := 0; i < n; i++ {
			echo(strconv.Itoa(i))
		}
	case req.Name == "fail":
		c.id = opening.id
		send(nil, fault("go.micro.srv.greeter", 403, "no more"))
		return true
	case req.Name != "end":
		echo("echo " + req.Name)
		return false
	}
	c.id = opening.id
	send(nil, errors.New("EOS"))
	return true
}

func serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var opening *call
	for {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		c, err := open(req, body)
		var result []byte
		if err == nil && streams(c.method) {
			if opening == nil {
				opening = c
			} else if c.inStream(opening, func(body []byte, err error) { c.reply(body, err).Write(conn) }) {
				opening = nil
			}
			continue
		}
		if err == nil {
			result, err = c.handle()
		}
		if err == errPanic {
			return
		}
		if c.reply(result, err).Write(conn) != nil {
			return
		}
	}
}

func main() {
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}
