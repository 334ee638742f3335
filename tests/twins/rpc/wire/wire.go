// SPDX-License-Identifier: MIT

// Package wire has what both twins speak: the messages, and the bodies of every protocol, made and
// read with the libraries that go-micro itself uses.
package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/golang/protobuf/proto"
)

// Hello and Greeting are the messages of Say.Hello.
type Hello struct {
	Name string `protobuf:"bytes,1,opt,name=name,proto3" json:"name,omitempty"`
}

type Greeting struct {
	Msg string `protobuf:"bytes,1,opt,name=msg,proto3" json:"msg,omitempty"`
}

type Kind int32

type Part struct {
	PartName string `protobuf:"bytes,1,opt,name=part_name,json=partName,proto3" json:"part_name,omitempty"`
	BigDelta int64  `protobuf:"zigzag64,2,opt,name=big_delta,json=bigDelta,proto3" json:"big_delta,omitempty"`
}

// Rich has every kind of field that a generated message has in the captures.
type Rich struct {
	Name        string           `protobuf:"bytes,1,opt,name=name,proto3" json:"name,omitempty"`
	BigNumber   int64            `protobuf:"varint,2,opt,name=big_number,json=bigNumber,proto3" json:"big_number,omitempty"`
	SmallNumber uint32           `protobuf:"varint,3,opt,name=small_number,json=smallNumber,proto3" json:"small_number,omitempty"`
	Ratio       float64          `protobuf:"fixed64,4,opt,name=ratio,proto3" json:"ratio,omitempty"`
	IsOn        bool             `protobuf:"varint,5,opt,name=is_on,json=isOn,proto3" json:"is_on,omitempty"`
	RawData     []byte           `protobuf:"bytes,6,opt,name=raw_data,json=rawData,proto3" json:"raw_data,omitempty"`
	Kind        Kind             `protobuf:"varint,7,opt,name=kind,proto3,enum=twins.Kind" json:"kind,omitempty"`
	IdList      []int64          `protobuf:"varint,8,rep,packed,name=id_list,json=idList,proto3" json:"id_list,omitempty"`
	OnePart     *Part            `protobuf:"bytes,9,opt,name=one_part,json=onePart,proto3" json:"one_part,omitempty"`
	PartList    []*Part          `protobuf:"bytes,10,rep,name=part_list,json=partList,proto3" json:"part_list,omitempty"`
	CountMap    map[string]int64 `protobuf:"bytes,11,rep,name=count_map,json=countMap,proto3" json:"count_map,omitempty" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"varint,2,opt,name=value,proto3"`
}

// Sample is the message that the captures have.
func Sample() *Rich {
	return &Rich{Name: "a<b", BigNumber: 9007199254740993, SmallNumber: 7, Ratio: 1.5, IsOn: true,
		RawData: []byte{0, 1, 255}, Kind: 1, IdList: []int64{1, -2},
		OnePart:  &Part{PartName: "p", BigDelta: -3},
		PartList: []*Part{{PartName: "q"}, {}}, CountMap: map[string]int64{"k": 5}}
}

// Headers of the PROTO-RPC envelope.
type requestHeader struct {
	ServiceMethod *string `protobuf:"bytes,1,opt,name=service_method"`
	Seq           *uint64 `protobuf:"fixed64,2,opt,name=seq"`
}

type replyHeader struct {
	ServiceMethod *string `protobuf:"bytes,1,opt,name=service_method"`
	Seq           *uint64 `protobuf:"fixed64,2,opt,name=seq"`
	Error         *string `protobuf:"bytes,3,opt,name=error"`
}

func (m *Hello) Reset()                 { *m = Hello{} }
func (m *Hello) String() string         { return proto.CompactTextString(m) }
func (*Hello) ProtoMessage()            {}
func (m *Greeting) Reset()              { *m = Greeting{} }
func (m *Greeting) String() string      { return proto.CompactTextString(m) }
func (*Greeting) ProtoMessage()         {}
func (m *Part) Reset()                  { *m = Part{} }
func (m *Part) String() string          { return proto.CompactTextString(m) }
func (*Part) ProtoMessage()             {}
func (m *Rich) Reset()                  { *m = Rich{} }
func (m *Rich) String() string          { return proto.CompactTextString(m) }
func (*Rich) ProtoMessage()             {}
func (m *requestHeader) Reset()         { *m = requestHeader{} }
func (m *requestHeader) String() string { return proto.CompactTextString(m) }
func (*requestHeader) ProtoMessage()    {}
func (m *replyHeader) Reset()           { *m = replyHeader{} }
func (m *replyHeader) String() string   { return proto.CompactTextString(m) }
func (*replyHeader) ProtoMessage()      {}

var (
	kindNames  = map[int32]string{0: "KIND_NONE", 1: "KIND_BIG"}
	kindValues = map[string]int32{"KIND_NONE": 0, "KIND_BIG": 1}
)

func (k Kind) String() string { return proto.EnumName(kindNames, int32(k)) }

func init() { proto.RegisterEnum("twins.Kind", kindNames, kindValues) }

// IsProto tells by its content type whether a message is protobuf, not JSON.
func IsProto(contentType string) bool { return !strings.Contains(contentType, "json") }

// Bare is a message without envelope.
func Bare(contentType string, m interface{}) ([]byte, error) {
	if IsProto(contentType) {
		return proto.Marshal(m.(proto.Message))
	}
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(m)
	return b.Bytes(), err
}

// ReadBare is the reverse; strict about JSON that is followed by anything.
func ReadBare(contentType string, body []byte, m interface{}) error {
	if IsProto(contentType) {
		return proto.Unmarshal(body, m.(proto.Message))
	}
	return json.Unmarshal(body, m)
}

func frame(parts ...[]byte) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		b.Write(n[:])
		b.Write(p)
	}
	return b.Bytes()
}

func unframe(body []byte) (head, message []byte, err error) {
	r := bytes.NewReader(body)
	for _, p := range []*[]byte{&head, &message} {
		var n uint32
		if err = binary.Read(r, binary.BigEndian, &n); err != nil {
			return nil, nil, fmt.Errorf("frame: %v", err)
		}
		*p = make([]byte, n)
		if _, err = io.ReadFull(r, *p); err != nil {
			return nil, nil, fmt.Errorf("frame of %d: %v", n, err)
		}
	}
	if r.Len() > 0 {
		return nil, nil, fmt.Errorf("%d bytes behind the frames", r.Len())
	}
	return head, message, nil
}

// Request is the envelope of a call: id is raw JSON, or ignored for protobuf, where seq goes.
func Request(contentType, method string, id string, seq uint64, m interface{}) ([]byte, error) {
	if IsProto(contentType) {
		head, err := proto.Marshal(&requestHeader{ServiceMethod: &method, Seq: &seq})
		if err != nil {
			return nil, err
		}
		message, err := proto.Marshal(m.(proto.Message))
		return frame(head, message), err
	}
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(struct {
		Method string           `json:"method"`
		Params [1]interface{}   `json:"params"`
		ID     *json.RawMessage `json:"id"`
	}{method, [1]interface{}{m}, raw(id)})
	return b.Bytes(), err
}

func raw(text string) *json.RawMessage {
	r := json.RawMessage(text)
	return &r
}

// ReadRequest takes the envelope of a call apart: its method, id (raw JSON, or seq), and message.
func ReadRequest(contentType string, body []byte) (method, id string, message []byte, err error) {
	if IsProto(contentType) {
		var h requestHeader
		head, message, err := unframe(body)
		if err == nil {
			err = proto.Unmarshal(head, &h)
		}
		if err != nil {
			return "", "", nil, err
		}
		if h.ServiceMethod == nil || h.Seq == nil {
			return "", "", nil, errors.New("the header lacks a field")
		}
		return *h.ServiceMethod, fmt.Sprint(*h.Seq), message, nil
	}
	var e struct {
		Method *string            `json:"method"`
		Params *[]json.RawMessage `json:"params"`
		ID     *json.RawMessage   `json:"id"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err = d.Decode(&e); err != nil {
		return "", "", nil, err
	}
	if e.Method == nil || e.Params == nil || len(*e.Params) != 1 || e.ID == nil {
		return "", "", nil, errors.New("the envelope lacks a member")
	}
	if !bytes.HasSuffix(body, []byte("\n")) {
		return "", "", nil, errors.New("no line feed at the end")
	}
	return *e.Method, string(*e.ID), (*e.Params)[0], nil
}

// Reply is the envelope of an answer; fault is empty after success. later: as 1.x and after write it.
func Reply(contentType, method, id string, message []byte, fault string, later bool) []byte {
	if IsProto(contentType) {
		var seq uint64
		fmt.Sscan(id, &seq)
		h := &replyHeader{ServiceMethod: &method, Seq: &seq, Error: &fault}
		if later {
			h = &replyHeader{}
			if fault != "" {
				h.Error = &fault
			}
		}
		head, err := proto.Marshal(h)
		if err != nil {
			panic(err)
		}
		return frame(head, message)
	}
	text, _ := json.Marshal(fault)
	message = bytes.TrimSuffix(message, []byte("\n"))
	switch {
	case later && fault != "":
		return []byte(`{"id":"","result":null,"error":` + string(text) + "}\n")
	case later:
		return []byte(`{"id":"` + strings.Trim(id, `"`) + `","result":` + string(message) + `,"error":null}` + "\n")
	case fault != "":
		return []byte(`{"id":` + id + `,"result":{},"error":` + string(text) + "}\n")
	}
	return []byte(`{"id":` + id + `,"result":` + string(message) + `,"error":null}` + "\n")
}

// ReadReply takes an answer apart as a client of 2018 does; fault is its error text.
func ReadReply(contentType string, body []byte) (id string, message []byte, fault string, err error) {
	if IsProto(contentType) {
		var h replyHeader
		head, message, err := unframe(body)
		if err == nil {
			err = proto.Unmarshal(head, &h)
		}
		if err != nil {
			return "", nil, "", err
		}
		if h.Seq != nil {
			id = fmt.Sprint(*h.Seq)
		}
		if h.Error != nil {
			fault = *h.Error
		}
		return id, message, fault, nil
	}
	var e struct {
		ID     *json.RawMessage `json:"id"`
		Result *json.RawMessage `json:"result"`
		Error  interface{}      `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err = d.Decode(&e); err != nil {
		return "", nil, "", err
	}
	if e.ID != nil {
		id = string(*e.ID)
	}
	if e.Error != nil {
		text, ok := e.Error.(string)
		if !ok {
			return id, nil, "", fmt.Errorf("invalid error %v", e.Error)
		}
		return id, nil, text, nil
	}
	if e.Result == nil {
		return id, nil, "", errors.New("no result")
	}
	return id, *e.Result, "", nil
}
