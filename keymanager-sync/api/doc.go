// Package api is the control plane's REST API for Go programs: its JSON types and a
// Client.
//
// Resources are the messages of proto/portcullis/v1; each kind has a collection:
//
//	client, err := api.New(api.Config{Addresses: []string{"http://127.0.0.1:8081"}, Token: token})
//	…
//	plan, err := client.Plans().Get(ctx, "gold")
//	made, err := client.Subscriptions().Create(ctx, &pb.Subscription{Application: "mobile", Plan: "gold"}, api.Write{Wait: true})
//
// A write is durable when its call returns without an error. Its Outcome names its
// sequence in the log: give that to Since, and any replica answers from a state that
// has it. With Write.Wait the Outcome also says whether every node has the write in
// force.
//
// A refusal is a *Problem. A Client with several addresses asks the next replica when
// one is away; what it repeats, and what it does not, is said at Config.
package api
