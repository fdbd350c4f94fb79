package main

import (
	"encoding/json"

	"clients/scenes"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
)

var responseTools = []responses.ToolUnionParam{
	responses.ToolParamOfFunction(scenes.Tool, scenes.Parameters, false),
}

func given(model, prompt string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(prompt)},
	}
}

func respond(params responses.ResponseNewParams) (*responses.Response, error) {
	return client.Responses.New(background, params)
}

// listen returns the response at the end of a stream, and the pieces that its text came in.
func listen(params responses.ResponseNewParams) (*responses.Response, []string, error) {
	var last *responses.Response
	pieces := []string{}
	events := client.Responses.NewStreaming(background, params)
	for events.Next() {
		switch event := events.Current().AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			pieces = append(pieces, event.Delta)
		case responses.ResponseCompletedEvent:
			last = &event.Response
		}
	}
	return last, pieces, events.Err()
}

func lastOf(params responses.ResponseNewParams) (*responses.Response, error) {
	last, _, err := listen(params)
	return last, err
}

func textOf(response *responses.Response, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return response.OutputText(), nil
}

func callFunction(ask func(responses.ResponseNewParams) (*responses.Response, error)) (any, error) {
	params := responses.ResponseNewParams{Model: scenes.Caller, Tools: responseTools}
	items := responses.ResponseInputParam{
		responses.ResponseInputItemParamOfMessage(scenes.Question, responses.EasyInputMessageRoleUser),
	}
	params.Input.OfInputItemList = items
	first, err := ask(params)
	if err != nil {
		return nil, err
	}
	var call responses.ResponseFunctionToolCall
	for _, item := range first.Output {
		if item.Type != "function_call" {
			continue
		}
		call = item.AsFunctionCall()
		back := call.ToParam()
		items = append(items, responses.ResponseInputItemUnionParam{OfFunctionCall: &back})
	}
	params.Input.OfInputItemList = append(
		items, responses.ResponseInputItemParamOfFunctionCallOutput(call.CallID, scenes.Result),
	)
	second, err := ask(params)
	if err != nil {
		return nil, err
	}
	return scenes.Called(call.Name, call.Arguments, second.OutputText()), nil
}

func seen() (any, error) {
	pixel := responses.ResponseInputImageParam{
		Detail: responses.ResponseInputImageDetailAuto, ImageURL: openai.String(scenes.Pixel),
	}
	parts := responses.ResponseInputMessageContentListParam{
		responses.ResponseInputContentParamOfInputText("What is it?"), {OfInputImage: &pixel},
	}
	params := responses.ResponseNewParams{Model: scenes.Talker}
	params.Input.OfInputItemList = responses.ResponseInputParam{
		responses.ResponseInputItemParamOfMessage(parts, responses.EasyInputMessageRoleUser),
	}
	return textOf(respond(params))
}

func counted() (any, error) {
	last, _, err := listen(given(scenes.Talker, "!echo "+scenes.Echo))
	if err != nil {
		return nil, err
	}
	return []int64{last.Usage.InputTokens, last.Usage.OutputTokens}, nil
}

func written() (any, error) {
	params := given(scenes.Writer, "Which city?")
	params.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("city", scenes.City)
	response, err := respond(params)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(response.OutputText()), nil
}

// byResponses are the scenes of the Responses API.
func byResponses() []scenes.Scene {
	echo, nobody := given(scenes.Talker, "!echo "+scenes.Echo), given(scenes.Nobody, "Hello")
	return []scenes.Scene{
		{"whole", func() (any, error) { return textOf(respond(echo)) }},
		{"streamed", func() (any, error) { _, pieces, err := listen(echo); return pieces, err }},
		{"tools_whole", func() (any, error) { return callFunction(respond) }},
		{"tools_streamed", func() (any, error) { return callFunction(lastOf) }},
		{"image", seen},
		{"usage", counted},
		{"structured", written},
		{"unknown_model", func() (any, error) { return scenes.Complaint(respond(nobody)) }},
		{"unknown_model_streamed", func() (any, error) { return scenes.Complaint(lastOf(nobody)) }},
		{"wrong_key", func() (any, error) {
			stranger := connect("sk-wrong")
			return scenes.Complaint(stranger.Responses.New(background, echo))
		}},
		{"broken", func() (any, error) {
			return scenes.Complaint(lastOf(given(scenes.Talker, scenes.Broken)))
		}},
	}
}
