// SPDX-License-Identifier: MIT

// A peer of the mdns registry on the libraries that go-micro stands on.
//
//	serve SERVICE VERSION ID IP PORT   a node, as go-micro registers it; "ready", until SIGTERM
//	query SERVICE DOMAIN               one line a node: ID ADDRESS VERSION KEY=VALUE...
//	listen COUNT SERVICE               reads so many announcements and answers to all about it
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/miekg/dns"
	"twins/mdns/registry"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(service, version, id, ip, port string) {
	number, err := strconv.Atoi(port)
	check(err)
	server, err := registry.Serve(registry.Payload{Service: service, Version: version,
		Metadata: map[string]string{"server": "twin"}}, "local", id, net.ParseIP(ip), number)
	check(err)
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	check(server.Shutdown())
}

func query(service, domain string) {
	nodes, err := registry.Find(service, domain)
	check(err)
	var lines []string
	for _, n := range nodes {
		line := fmt.Sprintf("%s %s %s", n.ID, n.Address, n.Version)
		var keys []string
		for k := range n.Metadata {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			line += " " + k + "=" + n.Metadata[k]
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
}

func listen(count, service string) {
	left, err := strconv.Atoi(count)
	check(err)
	conn, err := net.ListenMulticastUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	check(err)
	buf := make([]byte, 65536)
	for left > 0 {
		n, _, err := conn.ReadFromUDP(buf)
		check(err)
		var m dns.Msg
		check(m.Unpack(buf[:n]))
		if !m.Response || len(m.Answer) == 0 || !strings.Contains(m.Answer[0].Header().Name, service) {
			continue
		}
		line := fmt.Sprintf("response %d answers", len(m.Answer))
		for _, rr := range m.Answer {
			line += fmt.Sprintf(" %s:%d", dns.TypeToString[rr.Header().Rrtype], rr.Header().Ttl)
			if txt, ok := rr.(*dns.TXT); ok {
				p, err := registry.Decode(txt.Txt)
				check(err)
				line += " " + p.Service + " " + p.Version
			}
		}
		if len(m.Question) != 0 {
			line += " and a question"
		}
		fmt.Println(line)
		left--
	}
}

func main() {
	args := os.Args[1:]
	switch {
	case len(args) == 6 && args[0] == "serve":
		serve(args[1], args[2], args[3], args[4], args[5])
	case len(args) == 3 && args[0] == "query":
		query(args[1], args[2])
	case len(args) == 3 && args[0] == "listen":
		listen(args[1], args[2])
	default:
		fmt.Fprintln(os.Stderr, "usage: serve SERVICE VERSION ID IP PORT | query SERVICE DOMAIN | listen COUNT SERVICE")
		os.Exit(2)
	}
}
