// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"

	"twins/rpc/wire"
)

// stream is one that was opened: messages go and come as its protocol has them.
type stream struct {
	*conn
	kind, method string
	micro        bool   // Micro-* headers
	envelope     bool   // and, or, an envelope
	seq          uint64 // of the last message sent
}

func openStream(c *conn, name, kind, method string) (*stream, error) {
	s := &stream{conn: c, kind: kind, method: method, micro: name[:5] == "later"}
	s.envelope = !s.micro || len(kind) > 4 && kind[len(kind)-4:] == "-rpc"
	return s, s.put(&wire.Hello{}, 0)
}

func (s *stream) header() map[string]string {
	if !s.micro {
		return early(s.kind)
	}
	h := later(s.kind, s.method)
	h["Micro-Stream"] = "0"
	delete(h, "Timeout")
	return h
}

func (s *stream) put(m *wire.Hello, seq uint64) error {
	body, err := wire.Bare(s.kind, m)
	if s.envelope {
		body, err = wire.Request(s.kind, s.method, fmt.Sprint(seq), seq, m)
	}
	s.seq = seq
	return first(err, s.conn.send(s.header(), body, false))
}

func (s *stream) say(name string) error { return s.put(&wire.Hello{Name: name}, s.seq+1) }

// end says that nothing more comes from here.
func (s *stream) end() error {
	h := s.header()
	h["Micro-Error"] = "EOS"
	return s.conn.send(h, nil, false)
}

// hear gives the next message, or the text of an error, EOS at the end.
func (s *stream) hear() (msg, text string, err error) {
	a, err := s.read("POST")
	if err != nil {
		return "", "", err
	}
	var rsp wire.Greeting
	message, text, id := a.body, a.header.Get("Micro-Error"), fmt.Sprint(s.seq)
	if s.envelope {
		var inside string
		if id, message, inside, err = wire.ReadReply(s.kind, a.body); err != nil {
			return "", "", err
		}
		if s.micro {
			err = same("error in body and header", text, inside)
		}
		text = inside
	}
	want := fmt.Sprint(s.seq)
	if text != "" {
		want = "0" // an end is that of the opening
	}
	if err == nil && !s.micro {
		err = same("id", want, id)
	}
	if err == nil && text == "" {
		err = wire.ReadBare(s.kind, message, &rsp)
	}
	return rsp.Msg, text, first(err, same("status", 200, a.status))
}

func (s *stream) hears(msg, text string) error {
	gotMsg, gotText, err := s.hear()
	return first(err, same("message", msg, gotMsg), same("error", text, gotText))
}

func streamTests() (out []test) {
	const refusal = `{"id":"` + service + `","code":403,"detail":"no more","status":"Forbidden"}`
	for _, p := range protocols {
		p := p
		with := func(method string, f func(s *stream) error) func() error {
			return func() error {
				return on(func(c *conn) error {
					s, err := openStream(c, p.name, p.kind, method)
					if err != nil {
						return err
					}
					return f(s)
				})
			}
		}
		name := p.name + " stream: "
		out = append(out, test{name + "twenty messages and an end", with("Test.Bidi", func(s *stream) error {
			for i := 0; i < 20; i++ {
				n := fmt.Sprint(i)
				if err := first(s.say(n), s.hears("echo "+n, "")); err != nil {
					return err
				}
			}
			return first(s.say("end"), s.hears("", "EOS"), s.open())
		})}, test{name + "a hundred from the server", with("Test.Count", func(s *stream) error {
			err := s.say("100")
			for i := 0; i < 100 && err == nil; i++ {
				err = s.hears(fmt.Sprint(i), "")
			}
			return first(err, s.hears("", "EOS"))
		})}, test{name + "many under way", with("Test.Bidi", func(s *stream) error {
			for i := 1; i <= 100; i++ {
				if err := s.say("x"); err != nil {
					return err
				}
			}
			for i := 1; i <= 100; i++ {
				s.seq = uint64(i) // the reply's id is that of the message it answers
				if err := s.hears("echo x", ""); err != nil {
					return err
				}
			}
			return nil
		})}, test{name + "an error object", with("Test.Bidi", func(s *stream) error {
			return first(s.say("a"), s.hears("echo a", ""), s.say("fail"), s.hears("", refusal), s.open())
		})}, test{name + "a plain error", with("Test.Bidi", func(s *stream) error {
			return first(s.say("plain"), s.hears("", "plain stream failure"))
		})}, test{name + "the connection's end is one", with("Test.Bidi", func(s *stream) error {
			err := first(s.say("a"), s.hears("echo a", ""), s.Conn.(*net.TCPConn).CloseWrite())
			if err == nil && !s.micro {
				err = s.hears("", "EOS")
			} else if err == nil {
				_, _, err = s.hear() // its error, that nobody may be there to read
				if err != nil {
					err = nil
				}
			}
			return first(err)
		})})
		if p.name[:5] == "later" {
			out = append(out, test{name + "the caller's end", with("Test.Bidi", func(s *stream) error {
				return first(s.say("after"), s.say("b"), s.end(), s.hears("after end", ""), s.hears("", "EOS"),
					s.end(), s.open()) // and once more, as Go clients do
			})})
		}
	}
	return out
}
