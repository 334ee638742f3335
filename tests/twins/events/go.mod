module twins/events

go 1.19

require (
	github.com/golang/protobuf v1.3.5
	twins/mdns v0.0.0
)

require (
	github.com/hashicorp/mdns v1.0.5 // indirect
	github.com/miekg/dns v1.1.50 // indirect
	golang.org/x/mod v0.4.2 // indirect
	golang.org/x/net v0.0.0-20210726213435-c6fcb2dbf985 // indirect
	golang.org/x/sys v0.0.0-20210630005230-0f9fa26af87c // indirect
	golang.org/x/tools v0.1.6-0.20210726203631-07bc1bf47fb2 // indirect
	golang.org/x/xerrors v0.0.0-20200804184101-5ec99f83aff1 // indirect
)

replace twins/mdns => ../mdns
