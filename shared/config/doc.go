// Package config fills a program's settings from flags, the environment and a file.
//
// A program describes its settings by a struct, whose fields hold the defaults:
//
//	type Config struct {
//		AdminListen string        `setting:"admin-listen" help:"address of health and metrics"`
//		DrainDelay  time.Duration `setting:"drain-delay" help:"…"`
//		Token       string        `setting:"token" help:"…" secret:"true"`
//	}
//
// Each setting is then a flag (--admin-listen), an environment variable
// (PORTCULLIS_ADMIN_LISTEN) and a key of the YAML file named by --config
// (admin_listen), in this order of precedence. An environment variable that is
// empty counts as not set.
//
// Field types are string, bool, the integers, time.Duration (500ms, 90s, 24h,
// 7d), Size (64KiB, 10MiB), Share (0.01) and []string (comma-separated; a flag may be
// repeated, and in a file it may be a list). Embedded structs are flattened.
//
// Nothing is read past the given Source, so that only main packages touch the
// process. All faults are reported at once, each with the setting, where its
// value came from, and the cure; an unknown key is a fault, never ignored.
package config
