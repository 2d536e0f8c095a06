// The program in the images of the tests: it says which build it is, on standard output and by HTTP.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	if len(os.Args) == 2 && os.Args[1] == "pause" { // the first process of every Pod
		signal.Ignore(syscall.SIGCHLD)
		<-ended
		return
	}
	build, err := os.ReadFile("/build")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(build))
	answer := func(response http.ResponseWriter, _ *http.Request) { response.Write(build) }
	go func() { log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(answer))) }()
	<-ended
}
