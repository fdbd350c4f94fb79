// The `go-openai` package.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"clients/scenes"

	"github.com/sashabaranov/go-openai"
)

func connect(key string) *openai.Client {
	config := openai.DefaultConfig(key)
	config.BaseURL = scenes.URL
	return openai.NewClientWithConfig(config)
}

var (
	client     = connect(scenes.Key)
	background = context.Background()
	echo       = said(scenes.Talker, "!echo "+scenes.Echo)
	tools      = []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
		Name: scenes.Tool, Description: scenes.Description, Parameters: scenes.Parameters,
	}}}
)

func said(model, content string) openai.ChatCompletionRequest {
	message := openai.ChatCompletionMessage{Role: openai.ChatMessageRoleUser, Content: content}
	return openai.ChatCompletionRequest{
		Model: model, Messages: []openai.ChatCompletionMessage{message},
	}
}

func ask(of *openai.Client, request openai.ChatCompletionRequest) (*openai.ChatCompletionMessage, error) {
	answer, err := of.CreateChatCompletion(background, request)
	if err != nil {
		return nil, err
	}
	return &answer.Choices[0].Message, nil
}

// stream returns the chunks of a stream.
func stream(request openai.ChatCompletionRequest) ([]openai.ChatCompletionStreamResponse, error) {
	chunks := []openai.ChatCompletionStreamResponse{}
	running, err := client.CreateChatCompletionStream(background, request)
	if err != nil {
		return nil, err
	}
	defer running.Close()
	for {
		chunk, err := running.Recv()
		if errors.Is(err, io.EOF) {
			return chunks, nil
		}
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk)
	}
}

func text(request openai.ChatCompletionRequest) (any, error) {
	message, err := ask(client, request)
	if err != nil {
		return nil, err
	}
	return message.Content, nil
}

func streamed(request openai.ChatCompletionRequest) (any, error) {
	chunks, err := stream(request)
	pieces := []string{}
	for _, chunk := range chunks {
		if content := chunk.Choices[0].Delta.Content; content != "" {
			pieces = append(pieces, content)
		}
	}
	return pieces, err
}

// withTools puts a stream together by hand, as users of this package must.
func withTools(request openai.ChatCompletionRequest, streams bool) (*openai.ChatCompletionMessage, error) {
	request.Tools = tools
	if !streams {
		return ask(client, request)
	}
	chunks, err := stream(request)
	if err != nil {
		return nil, err
	}
	message := openai.ChatCompletionMessage{Role: openai.ChatMessageRoleAssistant}
	for _, chunk := range chunks {
		delta := chunk.Choices[0].Delta
		message.Content += delta.Content
		for _, part := range delta.ToolCalls {
			if *part.Index == len(message.ToolCalls) {
				message.ToolCalls = append(message.ToolCalls, part)
			} else {
				message.ToolCalls[*part.Index].Function.Arguments += part.Function.Arguments
			}
		}
	}
	return &message, nil
}

func callTool(streams bool) (any, error) {
	request := said(scenes.Caller, scenes.Question)
	message, err := withTools(request, streams)
	if err != nil {
		return nil, err
	}
	if len(message.ToolCalls) != 1 {
		return nil, fmt.Errorf("not one call: %v", message.ToolCalls)
	}
	call := message.ToolCalls[0]
	request.Messages = append(request.Messages, *message, openai.ChatCompletionMessage{
		Role: openai.ChatMessageRoleTool, ToolCallID: call.ID, Content: scenes.Result,
	})
	answer, err := withTools(request, streams)
	if err != nil {
		return nil, err
	}
	return scenes.Called(call.Function.Name, call.Function.Arguments, answer.Content), nil
}

func image() (any, error) {
	request := said(scenes.Talker, "")
	request.Messages[0].MultiContent = []openai.ChatMessagePart{
		{Type: openai.ChatMessagePartTypeText, Text: "What is it?"},
		{
			Type:     openai.ChatMessagePartTypeImageURL,
			ImageURL: &openai.ChatMessageImageURL{URL: scenes.Pixel},
		},
	}
	return text(request)
}

func usage() (any, error) {
	request := echo
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	chunks, err := stream(request)
	if err != nil {
		return nil, err
	}
	last := chunks[len(chunks)-1].Usage
	return []int{last.PromptTokens, last.CompletionTokens}, nil
}

func structured() (any, error) {
	schema, err := json.Marshal(scenes.City)
	if err != nil {
		return nil, err
	}
	request := said(scenes.Writer, "Which city?")
	request.ResponseFormat = &openai.ChatCompletionResponseFormat{
		Type: openai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{
			Name: "city", Schema: json.RawMessage(schema), Strict: true,
		},
	}
	message, err := ask(client, request)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(message.Content), nil
}

func reasoning() (any, error) {
	message, err := ask(client, said(scenes.Talker, "!reason !quoted-thinking !echo "+scenes.Echo))
	if err != nil {
		return nil, err
	}
	return map[string]string{"reasoning": message.ReasoningContent, "text": message.Content}, nil
}

func models() (any, error) {
	list, err := client.ListModels(background)
	names := []string{}
	for _, model := range list.Models {
		names = append(names, model.ID)
	}
	return names, err
}

func main() {
	nobody := said(scenes.Nobody, "Hello")
	scenes.Play([]scenes.Scene{
		{"whole", func() (any, error) { return text(echo) }},
		{"streamed", func() (any, error) { return streamed(echo) }},
		{"tools_whole", func() (any, error) { return callTool(false) }},
		{"tools_streamed", func() (any, error) { return callTool(true) }},
		{"image", image},
		{"usage", usage},
		{"structured", structured},
		{"reasoning", reasoning},
		{"models", models},
		{"unknown_model", func() (any, error) { return scenes.Complaint(text(nobody)) }},
		{"unknown_model_streamed", func() (any, error) { return scenes.Complaint(streamed(nobody)) }},
		{"wrong_key", func() (any, error) { return scenes.Complaint(ask(connect("sk-wrong"), echo)) }},
	})
}
