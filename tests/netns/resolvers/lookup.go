// Asks Go's own resolver: `lookup NAME` prints the addresses of a name, each on a line, and
// `lookup -x ADDRESS` the name of an address.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
)

func main() {
	resolver := net.Resolver{PreferGo: true}
	var lines []string
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "-x":
		lines, err = resolver.LookupAddr(context.Background(), os.Args[2])
	case len(os.Args) == 2:
		lines, err = resolver.LookupHost(context.Background(), os.Args[1])
	default:
		err = fmt.Errorf("lookup NAME | lookup -x ADDRESS")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, line := range lines {
		fmt.Println(line)
	}
}
