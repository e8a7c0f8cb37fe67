//go:build !linux

// Command peers measures the gateway next to other proxies. It reads the Linux
// kernel's accounts of processes, and does nothing elsewhere.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "peers: it works on Linux only: it pins processes to processors and reads /proc")
	os.Exit(1)
}
