package api_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func connect() *api.Client {
	client, err := api.New(api.Config{
		Addresses: []string{os.Getenv("PORTCULLIS_CONTROL")},
		Token:     os.Getenv("PORTCULLIS_ADMIN_TOKEN"),
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func Example() {
	ctx := context.Background()
	client := connect()
	defer client.Close()

	made, err := client.Applications().Create(ctx, &pb.Application{Id: "kiosk", Name: "Kiosk"}, api.Write{})
	if err != nil {
		log.Fatal(err)
	}
	// Any replica shows what was written, once it stands at that sequence.
	read, err := client.Applications().Since(made.Sequence).Get(ctx, "kiosk")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Resource.GetName(), read.Resource.GetMeta().GetVersion(), read.ETag == made.ETag)
	// Output:
	// Kiosk 1 true
}

func ExampleProblem() {
	client := connect()
	defer client.Close()

	_, err := client.Plans().Get(context.Background(), "platinum")
	if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Status == http.StatusNotFound {
		fmt.Println(problem.Word()+":", problem)
	}
	// Output:
	// not-found: there is no plan/platinum
}

func ExampleClient_Apply() {
	client := connect()
	defer client.Close()

	file := api.File{Name: "apps.yaml", Data: []byte("kind: Application\nid: till\n---\nkind: Application\nid: web\nnam: Web\n")}
	_, _, err := client.Apply(context.Background(), api.Apply{Files: []api.File{file}})
	fmt.Println(err)

	file = api.FileOf("apps", &pb.Application{Id: "till"}, &pb.Application{Id: "web", Name: "Web"})
	applied, outcome, err := client.Apply(context.Background(), api.Apply{Files: []api.File{file}, Write: api.Write{Wait: true}})
	if err != nil {
		log.Fatal(err)
	}
	for _, change := range applied.Changes {
		fmt.Println(change.Action, change.Ref)
	}
	fmt.Println(outcome.Fleet)
	// Output:
	// apps.yaml:6: application/web: nam: unknown field (hint: did you mean "name"?)
	// create application/till
	// create application/web
	// in_force; nodes=0
}

func ExampleCollection_Put() {
	ctx := context.Background()
	client := connect()
	defer client.Close()

	// A key makes it safe for the client to repeat the write.
	app, err := client.Applications().Put(ctx, &pb.Application{Id: "billing", Name: "Billing"},
		api.Write{IfAbsent: true, IdempotencyKey: "make-billing"})
	if err != nil {
		log.Fatal(err)
	}
	// The ETag keeps one edit from undoing another that came in between.
	app.Resource.Name = "Billing and dunning"
	if _, err = client.Applications().Put(ctx, app.Resource, api.Write{IfMatch: app.ETag}); err != nil {
		log.Fatal(err)
	}
	app.Resource.Name = "Dunning"
	_, err = client.Applications().Put(ctx, app.Resource, api.Write{IfMatch: app.ETag})
	if problem, ok := errors.AsType[*api.Problem](err); ok {
		fmt.Println(problem.Status, problem.Word())
	}
	// Output:
	// 412 precondition-failed
}

func ExampleCollection_List() {
	ctx := context.Background()
	client := connect()
	defer client.Close()

	for _, id := range []string{"shop-1", "shop-2"} {
		if _, err := client.Applications().Create(ctx, &pb.Application{Id: id}, api.Write{}); err != nil {
			log.Fatal(err)
		}
	}
	for app, err := range client.Applications().List(ctx, api.Filters{"q": "shop"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(app.GetId())
	}
	// Output:
	// shop-1
	// shop-2
}

func ExampleClient_Revoke() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := connect()
	defer client.Close()

	stolen := "Bearer eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE5MDAwMDAwMDB9.c2lnbmF0dXJlIG9mIDMyIGJ5dGVzLCBhbGwgb2YgaXQ"
	revoked, err := client.Revoke(ctx, stolen, "stolen", api.Write{Wait: true, Timeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(revoked.Resource.GetReason(), revoked.Resource.GetExpiresAt().AsTime().Format(time.RFC3339), revoked.Fleet)
	// Output:
	// stolen 2030-03-17T17:56:40Z in_force; nodes=0
}
