// hello shows that a cluster's network carries traffic: `hello` answers HTTP requests on port 8080 with its host
// name, `hello get URL` prints what a URL answers, and fails where nothing answers.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	switch arguments := os.Args[1:]; {
	case len(arguments) == 0:
		log.Fatal(serve())
	case len(arguments) == 2 && arguments[0] == "get":
		if err := get(arguments[1]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatal("usage: hello | hello get URL")
	}
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := http.Server{
		Addr:              ":8080",
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(answer, name)
		}),
	}
	return server.ListenAndServe()
}

func get(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, answer.Status)
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
