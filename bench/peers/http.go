// SPDX-License-Identifier: MIT

// Go's net/http and encoding/json: what everything written on them costs at least. http PORT
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
)

type param struct {
	Name string `json:"name"`
}

type request struct {
	ID     int     `json:"id"`
	Method string  `json:"method"`
	Params []param `json:"params"`
}

type result struct {
	Msg string `json:"msg"`
}

type reply struct {
	ID     int     `json:"id"`
	Result result  `json:"result"`
	Error  *string `json:"error"`
}

func peerHello(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var q request
	if json.Unmarshal(body, &q) != nil || q.Method != "Bench.Hello" || len(q.Params) != 1 {
		w.WriteHeader(400)
		return
	}
	out, _ := json.Marshal(reply{ID: q.ID, Result: result{"Hello " + q.Params[0].Name}})
	w.Header().Set("Content-Type", "application/json-rpc")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	w.Write(out)
}

func main() {
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(peerHello)); err != nil {
		panic(err)
	}
}
