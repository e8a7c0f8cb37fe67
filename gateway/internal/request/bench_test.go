package request

import (
	"strings"
	"testing"
)

// clientBlock is the header section of an API client: 8 fields, one of them a
// token of 629 bytes.
var clientBlock = []byte("Host: api.example\r\nUser-Agent: client/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n" +
	"Content-Type: application/json\r\nX-Correlation: 4711\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n" +
	"Authorization: Bearer " + strings.Repeat("t", 629) + "\r\n\r\n")

// browserBlock is that of a browser behind a proxy.
var browserBlock = []byte("Host: api.example\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept: */*\r\nOrigin: https://app.example\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n" +
	"Referer: https://app.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n" +
	"Cookie: session=7f9c2b6e11aa4fd3; consent=all; theme=dark\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n" +
	"X-Request-Id: 0123456789abcdef\r\nAuthorization: Bearer " + strings.Repeat("t", 629) + "\r\n\r\n")

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"client", clientBlock}, {"browser", browserBlock}} {
		b.Run(c.name, func(b *testing.B) {
			var block Block
			_ = block.Parse(c.raw) // its lines have their room from then on
			b.ReportAllocs()
			b.SetBytes(int64(len(c.raw)))
			for b.Loop() {
				if block.Parse(c.raw) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	var block Block
	if err := block.Parse(browserBlock); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, field string
		count       int
	}{{"there", "Authorization", 1}, {"not there", "X-Api-Key", 0}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, n := block.Get(c.field); n != c.count {
					b.Fatal(n)
				}
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, c := range []struct{ name, target string }{
		{"plain", "/orders/v1/items/4711"},
		{"with query", "/orders/v1/items/4711?expand=lines&fields=id%2Cstate%2Ctotal"},
		{"rewritten", "/orders//v1/%69tems/4711{a}"},
		{"refused", "/orders/v1/../admin"},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst, target := make([]byte, 0, 256), []byte(c.target)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Canonical(dst, target); (err != nil) != (c.name == "refused") {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCanonicalHost(b *testing.B) {
	for _, c := range []struct{ name, host string }{
		{"plain", "api.example"}, {"with port", "api.example:8443"}, {"upper case", "API.Example"}, {"IPv6", "[2001:db8::1]:8443"},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst, host := make([]byte, 0, 64), []byte(c.host)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := CanonicalHost(dst, host); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkQueryValue(b *testing.B) {
	query := []byte("expand=lines&fields=id%2Cstate%2Ctotal&api_key=7f9c2b6e11aa4fd3")
	b.ReportAllocs()
	for b.Loop() {
		if _, n := QueryValue(query, "api_key"); n != 1 {
			b.Fatal(n)
		}
	}
}
