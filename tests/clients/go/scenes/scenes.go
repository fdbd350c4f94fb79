// Package scenes is what the clients in Go have in common: the job comes by environment, the report
// is JSON.
package scenes

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

var (
	URL    = os.Getenv("CLIENT_BASE_URL")
	Key    = os.Getenv("CLIENT_KEY")
	Echo   = os.Getenv("CLIENT_ECHO")
	Pixel  = os.Getenv("CLIENT_PIXEL")
	Talker = os.Getenv("CLIENT_TALKER")
	Caller = os.Getenv("CLIENT_CALLER")
	Writer = os.Getenv("CLIENT_WRITER")
	Nobody = os.Getenv("CLIENT_NOBODY")
	// Broken is a prompt whose answer fails in the middle.
	Broken = os.Getenv("CLIENT_BROKEN")
	// API is the one that a client shall speak that can speak several.
	API = os.Getenv("CLIENT_API")
)

const (
	Tool        = "get_weather"
	Description = "Tell the weather of a city."
	Question    = "How is the weather in Paris?"
	Result      = "17 degrees"
)

// Parameters is the schema of what the tool takes.
var Parameters = map[string]any{
	"type":       "object",
	"properties": map[string]any{"city": map[string]any{"type": "string"}},
	"required":   []string{"city"},
}

// City is the schema of an object that is asked for.
var City = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"name":   map[string]any{"type": "string"},
		"people": map[string]any{"type": "integer"},
	},
	"required":             []string{"name", "people"},
	"additionalProperties": false,
}

// Scene has a name, and gives what a user sees of it.
type Scene struct {
	Name string
	Act  func() (any, error)
}

// Play prints one JSON object: what each scene that is wanted gave, or {"failed": why}.
func Play(scenes []Scene) {
	wanted := strings.Fields(os.Getenv("CLIENT_SCENES"))
	report := map[string]any{}
	for _, scene := range scenes {
		if len(wanted) > 0 && !slices.Contains(wanted, scene.Name) {
			continue
		}
		given, err := scene.Act()
		if err != nil {
			given = map[string]string{"failed": err.Error()}
		}
		report[scene.Name] = given
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		panic(err)
	}
}

// Complaint is a scene's end: what the error of an act says to a user.
func Complaint(given any, err error) (any, error) {
	if err == nil {
		return nil, fmt.Errorf("no error but %v", given)
	}
	return err.Error(), nil
}

// Called is a scene's end: one call of the tool, and the text that its result was answered with.
func Called(name, arguments, text string) any {
	return map[string]any{"calls": []any{[]any{name, json.RawMessage(arguments)}}, "text": text}
}
