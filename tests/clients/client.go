// Go's net/http. A body of unknown length goes in chunks, and an empty one as the last chunk alone.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

var client = http.Client{Timeout: 20 * time.Second}

// unknown hides the length of what it reads.
type unknown struct{ io.Reader }

func ask(base, method, path string, body io.Reader) {
	request, err := http.NewRequest(method, base+path, body)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(method, path, response.StatusCode, response.Header.Get("X-Cache"), string(text))
}

func main() {
	base, name, json := os.Args[1], os.Args[2], `{"n":1}`
	ask(base, "GET", "/hot/"+name, nil)
	ask(base, "GET", "/hot/"+name, unknown{strings.NewReader("")})
	ask(base, "GET", "/cold/"+name, nil)
	ask(base, "POST", "/echo/"+name, strings.NewReader(json))
	ask(base, "POST", "/echo/"+name, unknown{strings.NewReader(json)})
	ask(base, "POST", "/read/"+name, strings.NewReader(json))
	ask(base, "POST", "/read/"+name, unknown{strings.NewReader(json)})
	ask(base, "HEAD", "/hot/"+name, nil)
}
