// The oracle applies JSON patches with the library that kube-apiserver uses, in the way it uses it
// (k8s.io/apiserver, admission/plugin/webhook/mutating/dispatcher.go).
//
// One JSON object a line comes in, {"document": …, "patch": […]};
// one goes out, {"patched": …} or {"error": "…"}.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

type question struct {
	Document json.RawMessage `json:"document"`
	Patch    json.RawMessage `json:"patch"`
}

type answer struct {
	Patched json.RawMessage `json:"patched,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := out.Encode(apply(line)); err != nil {
			return
		}
	}
}

func apply(line []byte) answer {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: err.Error()}
	}
	patch, err := jsonpatch.DecodePatch(asked.Patch)
	if err != nil {
		return answer{Error: err.Error()}
	}
	patched, err := patch.Apply(asked.Document)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Patched: patched}
}
