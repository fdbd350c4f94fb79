// The `openai-go` package, 3.x. It is the program for 1.x over again, as one who moves would write it:
// the types are those of another package, so that the two can share no line that has one. What only this
// one has is in responses.go.
package main

import (
	"context"
	"encoding/json"
	"fmt"

	"clients/scenes"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func connect(key string) openai.Client {
	return openai.NewClient(
		option.WithBaseURL(scenes.URL), option.WithAPIKey(key), option.WithMaxRetries(0),
	)
}

var (
	client     = connect(scenes.Key)
	background = context.Background()
	echo       = said(scenes.Talker, openai.UserMessage("!echo "+scenes.Echo))
	tools      = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name:        scenes.Tool,
			Description: openai.String(scenes.Description),
			Parameters:  shared.FunctionParameters(scenes.Parameters),
		}),
	}
)

func said(model string, messages ...openai.ChatCompletionMessageParamUnion) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: messages}
}

func ask(of openai.Client, params openai.ChatCompletionNewParams) (*openai.ChatCompletionMessage, error) {
	answer, err := of.Chat.Completions.New(background, params)
	if err != nil {
		return nil, err
	}
	return &answer.Choices[0].Message, nil
}

// stream returns the answer that the package put together, and the pieces that its text came in.
func stream(params openai.ChatCompletionNewParams) (*openai.ChatCompletion, []string, error) {
	pieces, all := []string{}, openai.ChatCompletionAccumulator{}
	chunks := client.Chat.Completions.NewStreaming(background, params)
	for chunks.Next() {
		chunk := chunks.Current()
		if !all.AddChunk(chunk) {
			return nil, nil, fmt.Errorf("not a chunk of this answer: %s", chunk.RawJSON())
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			pieces = append(pieces, chunk.Choices[0].Delta.Content)
		}
	}
	return &all.ChatCompletion, pieces, chunks.Err()
}

func text(params openai.ChatCompletionNewParams) (any, error) {
	message, err := ask(client, params)
	if err != nil {
		return nil, err
	}
	return message.Content, nil
}

func streamed(params openai.ChatCompletionNewParams) (any, error) {
	_, pieces, err := stream(params)
	return pieces, err
}

func withTools(params openai.ChatCompletionNewParams, streams bool) (*openai.ChatCompletionMessage, error) {
	params.Tools = tools
	if !streams {
		return ask(client, params)
	}
	answer, _, err := stream(params)
	if err != nil {
		return nil, err
	}
	return &answer.Choices[0].Message, nil
}

func callTool(streams bool) (any, error) {
	params := said(scenes.Caller, openai.UserMessage(scenes.Question))
	message, err := withTools(params, streams)
	if err != nil {
		return nil, err
	}
	if len(message.ToolCalls) != 1 {
		return nil, fmt.Errorf("not one call: %v", message.ToolCalls)
	}
	call := message.ToolCalls[0]
	params.Messages = append(
		params.Messages, message.ToParam(), openai.ToolMessage(scenes.Result, call.ID),
	)
	answer, err := withTools(params, streams)
	if err != nil {
		return nil, err
	}
	return scenes.Called(call.Function.Name, call.Function.Arguments, answer.Content), nil
}

func image() (any, error) {
	pixel := openai.ChatCompletionContentPartImageImageURLParam{URL: scenes.Pixel}
	return text(said(scenes.Talker, openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
		openai.TextContentPart("What is it?"), openai.ImageContentPart(pixel),
	})))
}

func usage() (any, error) {
	params := echo
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	answer, _, err := stream(params)
	if err != nil {
		return nil, err
	}
	return []int64{answer.Usage.PromptTokens, answer.Usage.CompletionTokens}, nil
}

func structured() (any, error) {
	params := said(scenes.Writer, openai.UserMessage("Which city?"))
	params.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "city", Schema: scenes.City, Strict: openai.Bool(true),
		},
	}
	message, err := ask(client, params)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(message.Content), nil
}

func models() (any, error) {
	names := []string{}
	pages := client.Models.ListAutoPaging(background)
	for pages.Next() {
		names = append(names, pages.Current().ID)
	}
	return names, pages.Err()
}

func main() {
	if scenes.API == "responses" {
		scenes.Play(byResponses())
		return
	}
	nobody := said(scenes.Nobody, openai.UserMessage("Hello"))
	scenes.Play([]scenes.Scene{
		{"whole", func() (any, error) { return text(echo) }},
		{"streamed", func() (any, error) { return streamed(echo) }},
		{"tools_whole", func() (any, error) { return callTool(false) }},
		{"tools_streamed", func() (any, error) { return callTool(true) }},
		{"image", image},
		{"usage", usage},
		{"structured", structured},
		{"models", models},
		{"unknown_model", func() (any, error) { return scenes.Complaint(text(nobody)) }},
		{"unknown_model_streamed", func() (any, error) { return scenes.Complaint(streamed(nobody)) }},
		{"wrong_key", func() (any, error) { return scenes.Complaint(ask(connect("sk-wrong"), echo)) }},
	})
}
