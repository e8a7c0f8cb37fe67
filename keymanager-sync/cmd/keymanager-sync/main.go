// Keymanager-sync is the control plane, and the command line that talks to it.
package main

import (
	"os"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

func main() {
	os.Exit(app().Main(cli.Process{
		Args: os.Args[1:], LookupEnv: os.LookupEnv, Environ: os.Environ, ReadFile: os.ReadFile,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

const access = "It talks to the control plane at --control (or PORTCULLIS_CONTROL) with the token in PORTCULLIS_ADMIN_TOKEN."

func app() cli.App {
	return cli.App{
		Name: "keymanager-sync", Summary: "The control plane of a fleet of Portcullis gateways, and the command line that talks to it.",
		More: "All but serve and new-epoch talk to the control plane at --control (or PORTCULLIS_CONTROL)\n" +
			"with the token in PORTCULLIS_ADMIN_TOKEN.",
		Verbs: append(servers(), clients()...),
	}
}

// servers are the verbs that work on a replica's own data.
func servers() []cli.Verb {
	return []cli.Verb{
		{
			Name: "serve", Serves: true, Summary: "run the control plane",
			More: "It is the REST API, the log's writer, and the keeper of issuers' keys.",
			New:  func() cli.Runner { return &serve{settings: defaultSettings()} },
		},
		{
			Name: "new-epoch", Aliases: []string{"found"}, Serves: true, Summary: "begin the next epoch after the log was lost or rolled back",
			More: "It begins with this replica's store. Stop this replica first, and choose the most advanced one. Where the log\n" +
				"is well, it is refused; where the log is not, nobody can write to it any more.",
			New: func() cli.Runner { return &newEpoch{settings: defaultSettings()} },
		},
	}
}

// clients are the verbs that talk to a running control plane.
func clients() []cli.Verb {
	return []cli.Verb{
		{
			Name: "apply", Arguments: "-f FILE…", Most: -1, Summary: "make resources as files say, all or none", More: access,
			Words: func([]string) []string { return []string{cli.Files} },
			New:   func() cli.Runner { return &apply{writing: newWriting(), Deploy: true} },
		},
		{
			Name: "import", Arguments: "-f FILE", Summary: "apply a file of any size, chunk by chunk", More: access,
			New: func() cli.Runner { return &importing{writing: newWriting(), Deploy: true} },
		},
		{
			Name: "get", Arguments: "COLLECTION [ID]", Least: 1, Most: 2, Summary: "read resources", More: access,
			Words: kindsFirst, New: func() cli.Runner { return &get{connection: newConnection()} },
		},
		{
			Name: "delete", Arguments: "COLLECTION ID", Least: 2, Most: 2, Summary: "remove a resource", More: access,
			Words: kindsFirst, New: func() cli.Runner { return &remove{writing: newWriting()} },
		},
		{
			Name: "step", Arguments: "COLLECTION ID STEP", Least: 3, Most: 3, Summary: "move a resource along its lifecycle", More: access,
			Words: stepWords, New: func() cli.Runner { return &step{writing: newWriting()} },
		},
		{
			Name: "revoke", Arguments: "(--jti|--token|--client|--subject) X", Summary: "refuse tokens before they expire", More: access,
			New: func() cli.Runner { return &revoke{writing: newWriting()} },
		},
		{
			Name: "fleet", Arguments: "[remove NODE]", Most: 2, Summary: "show the nodes, and where each stands; or remove one that will not come back", More: access,
			New: func() cli.Runner { return &fleet{writing: newWriting()} },
		},
	}
}

// kindsFirst completes the name of a collection, which is the first argument.
func kindsFirst(given []string) []string {
	if len(given) > 0 {
		return nil
	}
	return collections()
}

// stepWords completes a collection, and after an id the steps of its lifecycle.
func stepWords(given []string) []string {
	const before = 2
	switch len(given) {
	case 0:
		return collections()
	case before:
		if kind := kindOf(given[0]); kind != pb.Kind_KIND_UNSPECIFIED {
			return rules.Verbs(kind)
		}
	}
	return nil
}

func collections() []string {
	known := make([]string, 0, len(catalog.Kinds()))
	for _, k := range catalog.Kinds() {
		known = append(known, catalog.Collection(k))
	}
	return known
}
