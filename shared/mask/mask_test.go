package mask_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/mask"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                                          "",
		"text":                                      "text",
		"https://a/b?c=d":                           "https://a/b?c=d",
		"nats://a:1,nats://b:2":                     "nats://a:1,nats://b:2",
		"http://me:hush@a":                          "http://me:********@a",
		"nats://hush@b:4222":                        "nats://********@b:4222",
		"nats://:hush@b:4222":                       "nats://********@b:4222",
		"HTTP://me:hush@a/b":                        "HTTP://me:********@a/b",
		"nats://u:hu@sh@a:4222":                     "nats://u:********@a:4222",
		"nats://u:hu/sh@a:4222":                     "nats://u:********@a:4222",
		"nats://u:hu?sh#@a:4222":                    "nats://u:********@a:4222",
		"nats://u:hu,sh@a:4222":                     "nats://u:********@a:4222",
		"nats://u:12,hush@a:4222":                   "nats://u:********@a:4222",
		"nats://u:hu sh@a b:4222":                   "nats://u:********@a b:4222",
		"nats://u:hu%zzsh@a":                        "nats://u:********@a",
		"nats://u:hush@a,nats://hush@b,nats://c":    "nats://u:********@a,nats://********@b,nats://c",
		"nats://u:hu://sh@a":                        "nats://u:********@a",
		"nats://a,u:hush@b":                         "nats://********@b",
		"u:hush@a:4222":                             "u:********@a:4222",
		"hush@a:4222":                               "********@a:4222",
		"//u:hush@a":                                "//u:********@a",
		"/etc/x@1/cert.pem":                         "/etc/x@1/cert.pem",
		"./x@1":                                     "./x@1",
		"https://a/b?access_token=hush&x=1":         "https://a/b?access_token=********&x=1",
		"https://a/b?x=1&api_key=hush":              "https://a/b?x=1&api_key=********",
		"https://a/b?API-KEY=hush#top":              "https://a/b?API-KEY=********#top",
		"https://a/b?pass%77ord=hush":               "https://a/b?pass%77ord=********",
		"https://a/b?client_secret=hush;sig=hush":   "https://a/b?client_secret=********;sig=********",
		"https://a/b#access_token=hush":             "https://a/b#access_token=********",
		"https://u:hush@a/b?password=hush":          "https://u:********@a/b?password=********",
		"https://a?token=hush,https://b?token=hush": "https://a?token=********,https://b?token=********",
		"http://a b?password=hush":                  "http://a b?password=********",
		"https://a/b?p=B2C_1_sign_in":               "https://a/b?p=B2C_1_sign_in",
	} {
		got := mask.URL(text)
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if mask.URL(got) != got {
			t.Errorf("%q: what is masked is masked to %q", got, mask.URL(got))
		}
	}
}

func TestError(t *testing.T) {
	_, err := http.Get("http://me:pl4nted@127.0.0.1:1/?token=pl4nted") //nolint:bodyclose // it fails
	if err == nil || !strings.Contains(err.Error(), "pl4nted") {
		t.Fatalf("%v: the test shows nothing", err)
	}
	if err := mask.Error(err); strings.Contains(err.Error(), "pl4nted") || !strings.Contains(err.Error(), "token=********") {
		t.Error(err)
	}
	if mask.Error(nil) != nil {
		t.Error("an error out of nothing")
	}
}

// Whatever stands around it, what a URL has before its @ is not shown.
func FuzzURL(f *testing.F) {
	f.Add("nats://u:", "@a")
	f.Add("", "@a,nats://b")
	f.Fuzz(func(t *testing.T, before, after string) {
		const hush = "pl4nt3d"
		if strings.ContainsAny(before, "/?#@") || strings.Contains(after, hush) || strings.Contains(before, hush) {
			return
		}
		if got := mask.URL("https://" + before + ":" + hush + "@" + after); strings.Contains(got, hush) {
			t.Errorf("%q", got)
		}
	})
}
