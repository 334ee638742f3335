// SPDX-License-Identifier: MIT

// Calls our test service as go-micro clients do, in every protocol, and as net/http does by itself.
//
//	client ADDRESS [FILTER]
//	client ADDRESS function PROTOCOL    calls a function, once
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	"twins/rpc/wire"
)

const (
	service = "go.micro.srv.greeter"
	fault   = `{"id":"go.micro.srv.greeter","code":400,"detail":"bad name John","status":"Bad Request"}`
	limit   = 10 * time.Second
)

var address string

// conn is a connection as go-micro's transport keeps it: one request, then its reply.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial() (*conn, error) {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReader(c)}, c.SetDeadline(time.Now().Add(limit))
}

// answer is a reply that has been read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *conn) read(method string) (*answer, error) {
	rsp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(rsp.Body)
	return &answer{rsp.StatusCode, rsp.Header, body}, err
}

// dripping writes every piece that it is given by itself, as an unbuffered Go peer does.
type dripping struct{ w io.Writer }

func (d dripping) Write(b []byte) (int, error) { return d.w.Write(b) }
func (d dripping) WriteByte(b byte) error      { _, err := d.w.Write([]byte{b}); return err }

func (c *conn) send(header map[string]string, body []byte, drip bool) error {
	h := http.Header{}
	for k, v := range header {
		h.Set(k, v)
	}
	req := &http.Request{Method: "POST", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Host: address, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	req.URL, _ = req.URL.Parse("http://" + address + "/")
	if len(body) == 0 {
		// how an empty message goes out: chunked, and no chunk
		req.ContentLength, req.TransferEncoding = -1, []string{"chunked"}
		req.Body = io.NopCloser(io.MultiReader())
	}
	if drip {
		return req.Write(dripping{c})
	}
	return req.Write(c)
}

func (c *conn) exchange(header map[string]string, body []byte) (*answer, error) {
	if err := c.send(header, body, false); err != nil {
		return nil, err
	}
	return c.read("POST")
}

// closed is nil if the server closes now.
func (c *conn) closed() error {
	if b, err := c.r.ReadByte(); err != io.EOF {
		return fmt.Errorf("expected a close, got byte %q, error %v", b, err)
	}
	return nil
}

// open is nil if one more call works.
func (c *conn) open() error {
	return c.hello("application/json", "John", "Hello John")
}

func early(kind string) map[string]string {
	return map[string]string{"Content-Type": kind, "Accept": kind, "Timeout": "5000000000",
		"X-Micro-From-Service": "go.micro.cli.twin"}
}

func later(kind, method string) map[string]string {
	return map[string]string{"Content-Type": kind, "Accept": kind, "Timeout": "5000000000",
		"Micro-Service": service, "Micro-Method": method, "Micro-Endpoint": method, "Micro-Id": "0"}
}

func same(what string, want, got interface{}) error {
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s: expected %v, got %v", what, want, got)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// envelope calls with the body of early peers; what the service said is unmarshalled into rsp.
func (c *conn) envelope(kind, method string, req, rsp interface{}) (string, error) {
	body, err := wire.Request(kind, method, "7", 7, req)
	if err != nil {
		return "", err
	}
	a, err := c.exchange(early(kind), body)
	if err != nil {
		return "", err
	}
	id, message, text, err := wire.ReadReply(kind, a.body)
	if err != nil {
		return "", fmt.Errorf("%v in %q", err, a.body)
	}
	err = first(same("status", 200, a.status), same("id", "7", id),
		same("content type", kind, a.header.Get("Content-Type")))
	if err == nil && text == "" {
		err = wire.ReadBare(kind, message, rsp)
	}
	return text, err
}

// bare calls with Micro-* headers.
func (c *conn) bare(kind, method string, req, rsp interface{}) (string, error) {
	body, err := wire.Bare(kind, req)
	if err != nil {
		return "", err
	}
	a, err := c.exchange(later(kind, method), body)
	if err != nil {
		return "", err
	}
	text := a.header.Get("Micro-Error")
	err = first(same("status", 200, a.status),
		same("content type", kind, a.header.Get("Content-Type")))
	if err == nil && text == "" {
		err = wire.ReadBare(kind, a.body, rsp)
	} else if err == nil {
		err = same("body of an error", "", string(a.body))
	}
	return text, err
}

type callFn func(c *conn, kind, method string, req, rsp interface{}) (string, error)

func (c *conn) hello(kind, name, want string) error {
	var rsp wire.Greeting
	text, err := c.envelope(kind, "Say.Hello", &wire.Hello{Name: name}, &rsp)
	return first(err, same("error", "", text), same("msg", want, rsp.Msg))
}

// on runs f on a fresh connection.
func on(f func(c *conn) error) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// protocols is every way in which a message can travel.
var protocols = []struct {
	name, kind string
	call       callFn
}{
	{"early json", "application/json", (*conn).envelope},
	{"early json-rpc", "application/json-rpc", (*conn).envelope},
	{"early protobuf", "application/protobuf", (*conn).envelope},
	{"early proto-rpc", "application/proto-rpc", (*conn).envelope},
	{"early octet-stream", "application/octet-stream", (*conn).envelope},
	{"later json", "application/json", (*conn).bare},
	{"later protobuf", "application/protobuf", (*conn).bare},
	{"later json-rpc", "application/json-rpc", laterEnvelope},
	{"later proto-rpc", "application/proto-rpc", laterEnvelope},
}

// laterEnvelope: envelope and Micro-* headers, as later clients send to a node without `protocol`.
func laterEnvelope(c *conn, kind, method string, req, rsp interface{}) (string, error) {
	body, err := wire.Request(kind, method, `"7"`, 0, req)
	if err != nil {
		return "", err
	}
	a, err := c.exchange(later(kind, method), body)
	if err != nil {
		return "", err
	}
	_, message, text, err := wire.ReadReply(kind, a.body)
	if err == nil && text == "" {
		err = wire.ReadBare(kind, message, rsp)
	}
	return text, first(err, same("status", 200, a.status),
		same("Micro-Error", text, a.header.Get("Micro-Error")))
}

type test struct {
	name string
	run  func() error
}

func protocolTests(name, kind string, call callFn) []test {
	one := func(method string, req, rsp proto.Message, wantError string, check func() error) func() error {
		return func() error {
			return on(func(c *conn) error {
				text, err := call(c, kind, method, req, rsp)
				return first(err, same("error", wantError, text), check())
			})
		}
	}
	greeting := func(method, arg, want string) func() error {
		var rsp wire.Greeting
		return one(method, &wire.Hello{Name: arg}, &rsp, "",
			func() error { return same("msg", want, rsp.Msg) })
	}
	none := func() error { return nil }
	odd := "<a&b> \u2028 \u00e9 \u0001 \"q\" \U0001f600"
	megabyte := strings.Repeat("x", 1<<20)
	tests := []test{
		{"hello", greeting("Say.Hello", "John", "Hello John")},
		{"odd characters", greeting("Say.Hello", odd, "Hello "+odd)},
		{"empty message", greeting("Say.Hello", "", "Hello ")},
		{"empty reply", greeting("Test.Empty", "John", "")},
		{"a megabyte", greeting("Test.Big", megabyte, "got 1048576 "+strings.Repeat("y", 1<<20))},
		{"error object", one("Test.Fail", &wire.Hello{Name: "John"}, &wire.Greeting{}, fault, none)},
		{"plain error", one("Test.Plain", &wire.Hello{}, &wire.Greeting{}, "plain failure", none)},
		{"twenty on a connection", func() error {
			return on(func(c *conn) error {
				for i := 0; i < 20; i++ {
					var rsp wire.Greeting
					arg := fmt.Sprint(i)
					text, err := call(c, kind, "Say.Hello", &wire.Hello{Name: arg}, &rsp)
					err = first(err, same("error", "", text), same("msg", "Hello "+arg, rsp.Msg))
					if err != nil {
						return fmt.Errorf("call %d: %v", i, err)
					}
				}
				return nil
			})
		}},
		{"open after an error", func() error {
			return on(func(c *conn) error {
				text, err := call(c, kind, "Test.Fail", &wire.Hello{Name: "John"}, &wire.Greeting{})
				return first(err, same("error", fault, text), c.open())
			})
		}},
		{"rich", func() error {
			var rsp wire.Rich
			return one("Test.Rich", wire.Sample(), &rsp, "", func() error {
				if !proto.Equal(wire.Sample(), &rsp) {
					return fmt.Errorf("expected %v, got %v", wire.Sample(), &rsp)
				}
				return nil
			})()
		}},
	}
	for i := range tests {
		tests[i].name = name + ": " + tests[i].name
	}
	return tests
}

func dispatchTests() []test {
	early := func(method, want string) func() error {
		return func() error {
			return on(func(c *conn) error {
				text, err := c.envelope("application/json", method, &wire.Hello{}, &wire.Greeting{})
				return first(err, same("error", want, text), c.closed())
			})
		}
	}
	later := func(method, want string) func() error {
		return func() error {
			return on(func(c *conn) error {
				text, err := c.bare("application/json", method, &wire.Hello{}, &wire.Greeting{})
				return first(err, same("error", want, text), c.open())
			})
		}
	}
	return []test{
		{"early: no method", early("Say.Nope", "rpc: can't find method Say.Nope")},
		{"early: no service", early("Nope.Hello", "rpc: can't find service Nope.Hello")},
		{"early: ill-formed", early("Hello", "rpc: service/method request ill-formed: Hello")},
		{"later: no method", later("Say.Nope", "rpc: can't find method Nope")},
		{"later: no service", later("Nope.Hello", "rpc: can't find service Nope")},
		{"later: ill-formed", later("Hello", "rpc: service/endpoint request ill-formed: Hello")},
		{"early: unsupported content type", func() error {
			return on(func(c *conn) error {
				a, err := c.exchange(map[string]string{"Content-Type": "text/html"}, []byte("x"))
				if err != nil {
					return err
				}
				return first(same("body", "Unsupported Content-Type: text/html", string(a.body)),
					same("type", "text/plain", a.header.Get("Content-Type")), c.closed())
			})
		}},
		{"debug health", func() error {
			return on(func(c *conn) error {
				var rsp struct {
					Status string `json:"status"`
				}
				text, err := c.envelope("application/json", "Debug.Health", struct{}{}, &rsp)
				return first(err, same("error", "", text), same("status", "ok", rsp.Status))
			})
		}},
		{"debug stats", func() error {
			return on(func(c *conn) error {
				var rsp struct{ Started, Uptime, Memory, Threads, Gc uint64 }
				text, err := c.envelope("application/json", "Debug.Stats", struct{}{}, &rsp)
				if now := uint64(time.Now().Unix()); err == nil && (rsp.Started > now || rsp.Started+86400 < now) {
					err = fmt.Errorf("started at %d", rsp.Started)
				}
				return first(err, same("error", "", text))
			})
		}},
	}
}

func idTests() (out []test) {
	for _, id := range []string{"0", "-1", "18446744073709551615", "1e3", `"abc"`, `""`, `"\u00e9"`, "null",
		"true", `{"a":[1,2]}`, "[]"} {
		id := id
		out = append(out, test{"id " + id, func() error {
			return on(func(c *conn) error {
				body, err := wire.Request("application/json", "Say.Hello", id, 0, &wire.Hello{Name: "J"})
				if err != nil {
					return err
				}
				a, err := c.exchange(early("application/json"), body)
				if err != nil {
					return err
				}
				return same("body", `{"id":`+id+`,"result":{"msg":"Hello J"},"error":null}`+"\n", string(a.body))
			})
		}})
	}
	return out
}

func headerTests() []test {
	meta := map[string]string{"Foo": "bar", "Trace-Id": "abc"}
	seen := func(header map[string]string, body []byte, unwrap func([]byte) string) error {
		return on(func(c *conn) error {
			for k, v := range meta {
				header[k] = v
			}
			a, err := c.exchange(header, body)
			if err != nil {
				return err
			}
			var msg struct{ Msg string }
			var got map[string]string
			err = first(json.Unmarshal([]byte(unwrap(a.body)), &msg))
			if err == nil {
				err = json.Unmarshal([]byte(msg.Msg), &got)
			}
			if err != nil {
				return fmt.Errorf("%v in %q", err, a.body)
			}
			return first(same("Foo", "bar", got["Foo"]), same("Trace-Id", "abc", got["Trace-Id"]))
		})
	}
	deadline := func(timeout, want string) func() error {
		return func() error {
			return on(func(c *conn) error {
				h := later("application/json", "Test.Slow")
				delete(h, "Timeout")
				if timeout != "" {
					h["Timeout"] = timeout
				}
				a, err := c.exchange(h, []byte(`{"name":"1"}`))
				if err != nil {
					return err
				}
				if !regexp.MustCompile(want).Match(a.body) {
					return fmt.Errorf("expected %s, got %s", want, a.body)
				}
				return nil
			})
		}
	}
	return []test{
		{"early: metadata", func() error {
			body, _ := wire.Request("application/json", "Test.Meta", "0", 0, &wire.Hello{})
			return seen(early("application/json"), body, func(b []byte) string {
				_, message, _, _ := wire.ReadReply("application/json", b)
				return string(message)
			})
		}},
		{"later: metadata", func() error {
			return seen(later("application/json", "Test.Meta"), []byte("{}"),
				func(b []byte) string { return string(b) })
		}},
		{"deadline: given", deadline("5000000000", `deadline set, (49\d\d|5000) ms left`)},
		{"deadline: none", deadline("", "no deadline")},
		{"deadline: not a number", deadline("5s", "no deadline")},
		{"later: close", func() error {
			return on(func(c *conn) error {
				h := later("application/json", "Say.Hello")
				h["Connection"] = "close"
				a, err := c.exchange(h, []byte(`{"name":"John"}`))
				if err != nil {
					return err
				}
				return first(same("body", `{"msg":"Hello John"}`+"\n", string(a.body)), c.closed())
			})
		}},
		{"early: close means nothing", func() error {
			return on(func(c *conn) error {
				body, _ := wire.Request("application/json", "Say.Hello", "0", 0, &wire.Hello{})
				h := early("application/json")
				h["Connection"] = "close"
				_, err := c.exchange(h, body)
				return first(err, c.open())
			})
		}},
	}
}

func httpTests() []test {
	post := func(client *http.Client, method string, body string, header http.Header) (*http.Response, string, error) {
		req, err := http.NewRequest(method, "http://"+address+"/any/path?x=1", strings.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		for k, v := range header {
			req.Header[k] = v
		}
		rsp, err := client.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer rsp.Body.Close()
		b, err := io.ReadAll(rsp.Body)
		return rsp, string(b), err
	}
	micro := func() http.Header {
		return http.Header{"Content-Type": {"application/json"}, "Micro-Endpoint": {"Say.Hello"}}
	}
	client := func() *http.Client {
		return &http.Client{Timeout: limit, Transport: &http.Transport{ExpectContinueTimeout: limit,
			MaxConnsPerHost: 1}}
	}
	return []test{
		{"net/http: fifty requests", func() error {
			cl := client()
			defer cl.CloseIdleConnections()
			for i := 0; i < 50; i++ {
				_, body, err := post(cl, "POST", `{"name":"John"}`, micro())
				if err := first(err, same("body", `{"msg":"Hello John"}`+"\n", body)); err != nil {
					return err
				}
			}
			return nil
		}},
		{"net/http: gzip is not forced on it", func() error {
			cl := client()
			defer cl.CloseIdleConnections()
			rsp, _, err := post(cl, "PUT", `{"name":"John"}`, micro())
			if err != nil {
				return err
			}
			return first(same("length", int64(21), rsp.ContentLength), same("status", 200, rsp.StatusCode))
		}},
		{"net/http: HEAD", func() error {
			cl := client()
			defer cl.CloseIdleConnections()
			_, body, err := post(cl, "HEAD", "", micro())
			if err := first(err, same("body", "", body)); err != nil {
				return err
			}
			_, body, err = post(cl, "POST", `{"name":"John"}`, micro())
			return first(err, same("body after HEAD", `{"msg":"Hello John"}`+"\n", body))
		}},
		{"net/http: 100-continue, the body held back", func() error {
			cl := client()
			defer cl.CloseIdleConnections()
			h := micro()
			h.Set("Expect", "100-continue")
			_, body, err := post(cl, "POST", `{"name":"John"}`, h)
			return first(err, same("body", `{"msg":"Hello John"}`+"\n", body))
		}},
		{"net/http: chunked", func() error {
			cl := client()
			defer cl.CloseIdleConnections()
			req, _ := http.NewRequest("POST", "http://"+address+"/",
				io.MultiReader(strings.NewReader(`{"na`), strings.NewReader(`me":"John"}`)))
			req.Header = micro()
			rsp, err := cl.Do(req)
			if err != nil {
				return err
			}
			defer rsp.Body.Close()
			b, err := io.ReadAll(rsp.Body)
			return first(err, same("body", `{"msg":"Hello John"}`+"\n", string(b)))
		}},
	}
}

func rawTests() []test {
	hello := func(id int) []byte {
		body := fmt.Sprintf(`{"method":"Say.Hello","params":[{"name":"%d"}],"id":%d}`, id, id)
		return []byte(fmt.Sprintf("POST / HTTP/1.1\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", len(body), body))
	}
	return []test{
		{"raw: a hundred pipelined", func() error {
			return on(func(c *conn) error {
				var all []byte
				for i := 0; i < 100; i++ {
					all = append(all, hello(i)...)
				}
				if _, err := c.Write(all); err != nil {
					return err
				}
				for i := 0; i < 100; i++ {
					a, err := c.read("POST")
					if err != nil {
						return fmt.Errorf("reply %d: %v", i, err)
					}
					want := fmt.Sprintf(`{"id":%d,"result":{"msg":"Hello %d"},"error":null}`+"\n", i, i)
					if err := same("body", want, string(a.body)); err != nil {
						return err
					}
				}
				return c.open()
			})
		}},
		{"raw: written in drops", func() error {
			return on(func(c *conn) error {
				body, _ := wire.Request("application/json", "Say.Hello", "1", 0, &wire.Hello{Name: "J"})
				if err := c.send(early("application/json"), body, true); err != nil {
					return err
				}
				a, err := c.read("POST")
				if err != nil {
					return err
				}
				return same("body", `{"id":1,"result":{"msg":"Hello J"},"error":null}`+"\n", string(a.body))
			})
		}},
		{"raw: half-closed, answered all the same", func() error {
			return on(func(c *conn) error {
				if _, err := c.Write(hello(3)); err != nil {
					return err
				}
				if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					return err
				}
				a, err := c.read("POST")
				if err != nil {
					return err
				}
				return first(same("status", 200, a.status), c.closed())
			})
		}},
		{"raw: HTTP/1.0 closes", func() error {
			return on(func(c *conn) error {
				if _, err := c.Write(bytes.Replace(hello(3), []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1)); err != nil {
					return err
				}
				_, err := c.read("POST")
				return first(err, c.closed())
			})
		}},
		{"raw: not HTTP", func() error {
			return on(func(c *conn) error {
				if _, err := c.Write([]byte("NONSENSE\r\n\r\n")); err != nil {
					return err
				}
				a, err := c.read("POST")
				if err != nil {
					return err
				}
				var e struct{ Code int }
				return first(same("status", 400, a.status), json.Unmarshal(a.body, &e),
					same("code", 400, e.Code), c.closed())
			})
		}},
	}
}

func canonicalTests() []test {
	return []test{{"later: canonical JSON is read", func() error {
		return on(func(c *conn) error {
			text, err := (&jsonpb.Marshaler{}).MarshalToString(wire.Sample())
			if err != nil {
				return err
			}
			a, err := c.exchange(later("application/json", "Test.Rich"), []byte(text))
			if err != nil {
				return err
			}
			var got wire.Rich
			if err := json.Unmarshal(a.body, &got); err != nil {
				return fmt.Errorf("%v in %q", err, a.body)
			}
			if !proto.Equal(wire.Sample(), &got) {
				return fmt.Errorf("expected %v, got %v", wire.Sample(), &got)
			}
			// and what it wrote is canonical enough for a reader of proto3 JSON
			got = wire.Rich{}
			if err := jsonpb.Unmarshal(bytes.NewReader(a.body), &got); err != nil {
				return err
			}
			if !proto.Equal(wire.Sample(), &got) {
				return errors.New("jsonpb reads something else")
			}
			return nil
		})
	}}}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: client ADDRESS [FILTER] | client ADDRESS function PROTOCOL")
		os.Exit(2)
	}
	address = os.Args[1]
	if len(os.Args) == 4 && os.Args[2] == "function" {
		if err := callFunction(os.Args[3]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	filter := regexp.MustCompile(strings.Join(os.Args[2:], "|"))
	var tests []test
	for _, p := range protocols {
		tests = append(tests, protocolTests(p.name, p.kind, p.call)...)
	}
	for _, more := range [][]test{dispatchTests(), idTests(), headerTests(), httpTests(), rawTests(), canonicalTests(), streamTests()} {
		tests = append(tests, more...)
	}
	passed, failed := 0, 0
	for _, t := range tests {
		if !filter.MatchString(t.name) {
			continue
		}
		if err := t.run(); err != nil {
			failed++
			text := err.Error()
			if len(text) > 600 {
				text = text[:600] + "..."
			}
			fmt.Printf("FAIL twin client: %s\n     %s\n", t.name, text)
		} else {
			passed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
