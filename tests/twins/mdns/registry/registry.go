// SPDX-License-Identifier: MIT

// Package registry has nodes in mdns as go-micro has them, on the libraries that it stands on.
package registry

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/mdns"
)

// Payload is what a TXT record says, as every generation reads it.
type Payload struct {
	Service   string
	Version   string
	Endpoints []json.RawMessage
	Metadata  map[string]string
}

// Node is one that was found.
type Node struct {
	Payload
	ID      string
	Address string
}

func encode(p Payload) ([]string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(text)
	w.Close()
	digits := hex.EncodeToString(out.Bytes())
	var parts []string
	for len(digits) > 255 {
		parts = append(parts, digits[:255])
		digits = digits[255:]
	}
	return append(parts, digits), nil
}

// Decode reads a TXT record.
func Decode(parts []string) (p Payload, err error) {
	data, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil {
		return p, err
	}
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return p, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(text, &p)
}

// Serve answers for a node until it is shut down.
func Serve(p Payload, domain, id string, ip net.IP, port int) (*mdns.Server, error) {
	txt, err := encode(p)
	if err != nil {
		return nil, err
	}
	zone, err := mdns.NewMDNSService(id, p.Service, domain+".", "vm.", port, []net.IP{ip}, txt)
	if err != nil {
		return nil, err
	}
	return mdns.NewServer(&mdns.Config{Zone: zone})
}

// Find asks for the nodes of a service.
func Find(service, domain string) ([]Node, error) {
	entries := make(chan *mdns.ServiceEntry, 64)
	err := mdns.Query(&mdns.QueryParam{Service: service, Domain: domain, Entries: entries,
		Timeout: 300 * time.Millisecond, DisableIPv6: true})
	close(entries)
	var nodes []Node
	for e := range entries {
		// what is announced meanwhile, in any domain, is among them
		id := strings.TrimSuffix(e.Name, "."+service+"."+domain+".")
		p, err := Decode(e.InfoFields)
		if err != nil || p.Service != service || id == e.Name {
			continue
		}
		nodes = append(nodes, Node{p, id, fmt.Sprintf("%s:%d", e.AddrV4, e.Port)})
	}
	return nodes, err
}
