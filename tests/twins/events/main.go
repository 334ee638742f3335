// SPDX-License-Identifier: MIT

// A publisher and a subscriber of the http broker as each generation of go-micro has it.
//
//	subscribe FORM TOPIC QUEUE HOW         "ready ADDRESS", then a line of JSON for each request
//	publish FORM TOPIC KIND FIRST COUNT N  ticks to the N who subscribe; a line for each post
//	find FORM TOPIC N                      a line "ID ADDRESS" for each who subscribes
//	post ADDRESS METHOD TARGET BODY        any request; a line of JSON for its answer
//
// FORM is 2018, 1.18, 2.9 or 4.11. HOW is ok, or what goes wrong: slow (no answer before the end),
// fail (status 500), close (of the connection, without an answer). Whoever is to find N looks until
// they are there, or for some seconds.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/golang/protobuf/proto"
	"twins/mdns/registry"
)

const (
	broadcast = "ff.http.broadcast"
	uuid      = "5c9ddda6-9d0b-47d2-8aba-"
)

// form is what differs between generations.
type form struct {
	service string // that all topics share; "": each has one of its own
	domain  string
	path    string
	topic   string // the header that the subscriber reads it from
	id      string // the header of the message's id
	end     string // of a JSON body
}

var forms = map[string]form{
	"2018": {"", "local", "/_sub", ":topic", "", ""},
	"1.18": {"go.micro.http.broker", "micro", "/_sub", ":topic", "Micro-Id", "\n"},
	"2.9":  {"micro.http.broker", "micro", "/", "Micro-Topic", "Micro-Id", "\n"},
	"4.11": {"micro.http.broker", "micro", "/", "Micro-Topic", "Micro-ID", "\n"},
}

// Message is an event as it is posted.
type Message struct {
	Header map[string]string
	Body   []byte
}

// Tick is the message of examples/pubsub.
type Tick struct {
	ID     string `protobuf:"bytes,1,opt,name=id,proto3" json:"id,omitempty"`
	Number int64  `protobuf:"varint,2,opt,name=number,proto3" json:"number,omitempty"`
}

func (m *Tick) Reset()         { *m = Tick{} }
func (m *Tick) String() string { return proto.CompactTextString(m) }
func (*Tick) ProtoMessage()    {}

// record is a line of what we print.
type record struct {
	ID     string            `json:"id,omitempty"`
	Target string            `json:"target,omitempty"`
	Method string            `json:"method,omitempty"`
	Type   string            `json:"type"`
	Header map[string]string `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
	Tick   *Tick             `json:"tick,omitempty"`
	Exact  bool              `json:"exact,omitempty"` // as encoding/json writes it
	Status int               `json:"status"`
	Text   string            `json:"text,omitempty"`
}

var printing sync.Mutex

func (r record) print() {
	text, err := json.Marshal(r)
	check(err)
	printing.Lock()
	fmt.Println(string(text))
	printing.Unlock()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (f form) name(topic string) string {
	if f.service == "" {
		return "topic:" + topic
	}
	return f.service
}

// find is how a publisher of that generation looks for subscribers.
func (f form) find(topic string, n int) (nodes []registry.Node) {
	for i := 0; i < 20 && len(nodes) < n; i++ {
		all, err := registry.Find(f.name(topic), f.domain)
		check(err)
		nodes = nil
		for _, n := range all {
			if f.service == "" || n.Metadata["topic"] == topic && n.Metadata["broker"] == "http" {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// ---- subscriber --------------------------------------------------------------------------------

// read is what a subscriber of that generation makes of a request, and its answer to it.
func (f form) read(req *http.Request) (r record) {
	r = record{ID: req.URL.Query().Get("id"), Target: req.URL.Path, Method: req.Method,
		Type: req.Header.Get("Content-Type"), Status: 200}
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		r.Status, r.Text = 500, err.Error()
		return r
	}
	var m Message
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&m); err != nil {
		r.Status, r.Text = 500, err.Error()
		return r
	}
	again, err := json.Marshal(m)
	check(err)
	r.Header, r.Body, r.Exact = m.Header, m.Body, bytes.Equal(raw, again)
	switch {
	case f.path != "/" && req.URL.Path != f.path:
		r.Status = 404
	case req.Method != "POST":
		r.Status = 405
	case m.Header[f.topic] == "":
		r.Status, r.Text = 500, "Topic not found"
	case m.Header["Content-Type"] == "application/json":
		r.Tick = &Tick{}
		err = json.Unmarshal(m.Body, r.Tick)
	default:
		r.Tick = &Tick{}
		err = proto.Unmarshal(m.Body, r.Tick)
	}
	if err != nil {
		r.Text = err.Error()
	}
	return r
}

func subscribe(f form, topic, queue, how string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	end := make(chan struct{})
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := f.read(req)
		r.print()
		switch how {
		case "slow":
			<-end
		case "fail":
			r.Status = 500
		case "close":
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(r.Status)
	}))
	version := queue
	if queue == "" {
		version = broadcast
	}
	id := topic + "-" + uuid + fmt.Sprintf("%012d", os.Getpid())
	p := registry.Payload{Service: f.name(topic), Version: version,
		Metadata: map[string]string{"secure": "false"}}
	if f.service == "" {
		id = strings.Replace(id, topic+"-", "broker-"+uuid+"000000000000.", 1)
	} else {
		p.Metadata["broker"], p.Metadata["topic"] = "http", topic
	}
	address := listener.Addr().(*net.TCPAddr)
	server, err := registry.Serve(p, f.domain, id, address.IP, address.Port)
	check(err)
	fmt.Println("ready", address)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	close(end)
	check(server.Shutdown())
}

// ---- publisher ---------------------------------------------------------------------------------

func (f form) message(topic, kind string, t *Tick) (m Message) {
	var err error
	m.Header = map[string]string{"Content-Type": kind, "Foo": "bar", "X-Micro-From-Service": "twin"}
	m.Header[f.topic] = topic
	if f.id != "" {
		m.Header["Micro-Topic"] = topic
		m.Header[f.id] = uuid + fmt.Sprintf("%012d", t.Number)
	}
	if kind == "application/json" {
		m.Body, err = json.Marshal(t)
		m.Body = append(m.Body, f.end...)
	} else {
		m.Body, err = proto.Marshal(t)
	}
	check(err)
	return m
}

func ask(method, address, target, body string) record {
	req, err := http.NewRequest(method, "http://"+address+target, strings.NewReader(body))
	check(err)
	req.Header.Set("Content-Type", "application/json")
	rsp, err := http.DefaultClient.Do(req)
	check(err)
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	check(err)
	return record{Status: rsp.StatusCode, Type: rsp.Header.Get("Content-Type"), Text: string(text)}
}

// chosen is every node without a queue, and one of each queue.
func chosen(nodes []registry.Node) (to []registry.Node) {
	queues := map[string][]registry.Node{}
	for _, n := range nodes {
		if n.Version == broadcast {
			to = append(to, n)
		} else {
			queues[n.Version] = append(queues[n.Version], n)
		}
	}
	for _, q := range queues {
		to = append(to, q[rand.Intn(len(q))])
	}
	return to
}

func publish(f form, topic, kind string, first, count, n int) {
	nodes := f.find(topic, n)
	for i := first; i < first+count; i++ {
		m := f.message(topic, kind, &Tick{ID: "go", Number: int64(i)})
		text, err := json.Marshal(m)
		check(err)
		for _, to := range chosen(nodes) {
			r := ask("POST", to.Address, f.path+"?id="+url.QueryEscape(to.ID), string(text))
			r.ID, r.Body = to.ID, m.Body
			r.print()
		}
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func main() {
	log.SetOutput(io.Discard) // the mdns library tells of all that it does
	args := os.Args[1:]
	var f form
	if len(args) > 2 {
		f = forms[args[1]]
	}
	switch {
	case len(args) == 5 && args[0] == "post":
		ask(args[2], args[1], args[3], args[4]).print()
	case len(args) == 5 && args[0] == "subscribe" && f.domain != "":
		subscribe(f, args[2], args[3], args[4])
	case len(args) == 7 && args[0] == "publish" && f.domain != "":
		publish(f, args[2], args[3], number(args[4]), number(args[5]), number(args[6]))
	case len(args) == 4 && args[0] == "find" && f.domain != "":
		for _, n := range f.find(args[2], number(args[3])) {
			fmt.Println(n.ID, n.Address)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: subscribe FORM TOPIC QUEUE HOW | "+
			"publish FORM TOPIC KIND FIRST COUNT N | find FORM TOPIC N | post ADDRESS METHOD TARGET BODY")
		os.Exit(2)
	}
}
