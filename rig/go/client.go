// A client on Go's crypto/tls: one connection, then COUNT more, each with the session of the one before. Prints "new" or
// "reused" for each. What is on stdin is sent, and one answer read, so that TLS 1.3 tickets have arrived.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	address, name, version := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	fail(err)
	request, err := io.ReadAll(os.Stdin)
	fail(err)
	number := map[string]uint16{"1_2": tls.VersionTLS12, "1_3": tls.VersionTLS13}[version]
	config := &tls.Config{
		ServerName:         name,
		InsecureSkipVerify: true,
		MinVersion:         number,
		MaxVersion:         number,
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	for i := 0; i <= count; i++ {
		conn, err := tls.Dial("tcp", address, config)
		fail(err)
		fail(conn.SetDeadline(time.Now().Add(10 * time.Second)))
		if len(request) > 0 {
			_, err = conn.Write(request)
			fail(err)
			_, err = conn.Read(make([]byte, 4096))
			if err != io.EOF {
				fail(err)
			}
		}
		if conn.ConnectionState().DidResume {
			fmt.Println("reused")
		} else {
			fmt.Println("new")
		}
		conn.Close()
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
