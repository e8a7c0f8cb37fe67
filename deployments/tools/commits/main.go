// Command commits checks the messages of commits by the rule in CONTRIBUTING.md:
// `package: imperative subject`, at most 72 characters, a blank line, and a body that
// says why.
//
//	commits                   all commits since the one in base.txt
//	commits --message FILE    the one message in FILE; for .githooks/commit-msg
//
// Older commits stay as they are. In a tarball, or in a clone that does not reach
// back to the base, it checks nothing and says so.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

// base is the last commit that the rule does not apply to.
//
//go:embed base.txt
var base string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "commits:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("commits", flag.ContinueOnError)
	message := flags.String("message", "", "check the one message in this `file`")
	since := flags.String("since", strings.TrimSpace(base), "check the commits after this `commit`")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *message != "" {
		text, err := os.ReadFile(*message)
		if err != nil {
			return err
		}
		return checkDraft(string(text))
	}
	return checkHistory(ctx, *since, out)
}

// checkHistory checks all commits that HEAD has and since has not.
func checkHistory(ctx context.Context, since string, out io.Writer) error {
	if why := unreachable(ctx, since); why != "" {
		fmt.Fprintln(out, "commits: nothing checked:", why)
		return nil
	}
	// %x00 ends a message: it can hold anything else.
	log, err := git(ctx, "log", "--no-merges", "--format=%h%n%B%x00", since+"..HEAD")
	if err != nil {
		return err
	}
	var faults []string
	commits := 0
	for entry := range strings.SplitSeq(log, "\x00") {
		hash, message, ok := strings.Cut(strings.TrimLeft(entry, "\n"), "\n")
		if !ok {
			continue // after the last one
		}
		commits++
		subject, _, _ := strings.Cut(message, "\n")
		for _, fault := range check(message) {
			faults = append(faults, fmt.Sprintf("%s %q: %s", hash, subject, fault))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%d faults in %d commits (hint: git rebase --interactive %s):\n%s", len(faults), commits, since, strings.Join(faults, "\n"))
	}
	fmt.Fprintf(out, "commits: %d since %.12s are by the rule\n", commits, since)
	return nil
}

// unreachable returns why the history since a commit cannot be checked; "" if it can.
func unreachable(ctx context.Context, since string) string {
	if _, err := git(ctx, "rev-parse", "--git-dir"); err != nil {
		return "no git repository here"
	}
	if _, err := git(ctx, "cat-file", "-e", since+"^{commit}"); err != nil {
		return fmt.Sprintf("this clone does not reach back to %.12s (hint: git fetch --unshallow)", since)
	}
	if _, err := git(ctx, "merge-base", "--is-ancestor", since, "HEAD"); err != nil {
		return fmt.Sprintf("HEAD does not descend from %.12s", since)
	}
	return ""
}

func git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return string(out), nil
}
