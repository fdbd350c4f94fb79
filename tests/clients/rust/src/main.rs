//! The `async-openai` crate. The job comes by environment, the report is JSON.

use std::env;
use std::error::Error;
use std::fmt::Display;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionMessageToolCallChunk, CreateChatCompletionRequest,
    CreateChatCompletionStreamResponse,
};
use futures::TryStreamExt;
use serde_json::{Map, Value, json};

type Given = Result<Value, Box<dyn Error>>;

fn job(name: &str) -> String {
    env::var(format!("CLIENT_{name}")).unwrap_or_default()
}

fn connect(key: &str) -> Client<OpenAIConfig> {
    Client::with_config(
        OpenAIConfig::new()
            .with_api_base(job("BASE_URL"))
            .with_api_key(key),
    )
}

/// A request of the crate's own type, which JSON fills in.
fn request(model: &str, messages: Value, fields: Value) -> CreateChatCompletionRequest {
    let mut body = json!({"model": job(model), "messages": messages});
    body.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(body).unwrap()
}

fn user(content: impl Into<Value>) -> Value {
    json!([{"role": "user", "content": content.into()}])
}

fn echo(fields: Value) -> CreateChatCompletionRequest {
    request("TALKER", user(format!("!echo {}", job("ECHO"))), fields)
}

/// The message of a whole answer.
async fn ask(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest) -> Given {
    let answer = client.chat().create(request).await?;
    Ok(serde_json::to_value(&answer.choices[0].message)?)
}

async fn text(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest) -> Given {
    Ok(ask(client, request).await?["content"].clone())
}

async fn chunks(
    client: &Client<OpenAIConfig>,
    request: CreateChatCompletionRequest,
) -> Result<Vec<CreateChatCompletionStreamResponse>, Box<dyn Error>> {
    let stream = client.chat().create_stream(request).await?;
    Ok(stream.try_collect().await?)
}

async fn streamed(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest) -> Given {
    let chunks = chunks(client, request).await?;
    let texts = chunks
        .into_iter()
        .filter_map(|chunk| chunk.choices.into_iter().next()?.delta.content);
    Ok(texts.filter(|text| !text.is_empty()).collect())
}

/// The message that the chunks of a stream make, put together by hand, as users of the crate must.
async fn joined(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest) -> Given {
    let mut content = String::new();
    let mut calls: Vec<ChatCompletionMessageToolCallChunk> = Vec::new();
    for chunk in chunks(client, request).await? {
        for choice in chunk.choices {
            content += choice.delta.content.as_deref().unwrap_or_default();
            for part in choice.delta.tool_calls.into_iter().flatten() {
                let Some(known) = calls.get_mut(part.index as usize) else {
                    calls.push(part);
                    continue;
                };
                let function = known.function.as_mut().ok_or("no function")?;
                let more = part.function.and_then(|more| more.arguments);
                function
                    .arguments
                    .get_or_insert_default()
                    .push_str(&more.unwrap_or_default());
            }
        }
    }
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = serde_json::to_value(calls)?;
    }
    Ok(message)
}

async fn tools(client: &Client<OpenAIConfig>, streams: bool) -> Given {
    let weather = json!({
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    });
    let fields = json!({"tools": [{"type": "function", "function": weather}]});
    let mut messages = user("How is the weather in Paris?");
    let mut turns = Vec::new();
    for _ in 0..2 {
        let request = request("CALLER", messages.clone(), fields.clone());
        let message = match streams {
            true => joined(client, request).await?,
            false => ask(client, request).await?,
        };
        let known = messages.as_array_mut().unwrap();
        known.push(message.clone());
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            known
                .push(json!({"role": "tool", "tool_call_id": call["id"], "content": "17 degrees"}));
        }
        turns.push(message);
    }
    let mut calls = Vec::new();
    for call in turns[0]["tool_calls"].as_array().ok_or("no calls")? {
        let function = &call["function"];
        let arguments: Value =
            serde_json::from_str(function["arguments"].as_str().unwrap_or_default())?;
        calls.push(json!([function["name"], arguments]));
    }
    Ok(json!({"calls": calls, "text": turns[1]["content"]}))
}

async fn image(client: &Client<OpenAIConfig>) -> Given {
    let parts = json!([
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": job("PIXEL")}},
    ]);
    text(client, request("TALKER", user(parts), json!({}))).await
}

async fn usage(client: &Client<OpenAIConfig>) -> Given {
    let fields = json!({"stream_options": {"include_usage": true}});
    let chunks = chunks(client, echo(fields)).await?;
    let last = chunks.into_iter().filter_map(|chunk| chunk.usage).last();
    let usage = last.ok_or("no usage")?;
    Ok(json!([usage.prompt_tokens, usage.completion_tokens]))
}

async fn structured(client: &Client<OpenAIConfig>) -> Given {
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["name", "people"],
        "additionalProperties": false,
    });
    let named = json!({"name": "city", "schema": schema, "strict": true});
    let fields = json!({"response_format": {"type": "json_schema", "json_schema": named}});
    let answer = text(client, request("WRITER", user("Which city?"), fields)).await?;
    Ok(serde_json::from_str(answer.as_str().ok_or("no text")?)?)
}

async fn models(client: &Client<OpenAIConfig>) -> Given {
    let list = client.models().list().await?;
    Ok(list.data.into_iter().map(|model| model.id).collect())
}

/// What the error of a scene says to a user.
fn complaint(given: Given) -> Given {
    match given {
        Ok(value) => Err(format!("no error but {value}").into()),
        Err(error) => Ok(error.to_string().into()),
    }
}

fn failed(error: impl Display) -> Value {
    json!({"failed": error.to_string()})
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = connect(&job("KEY"));
    let stranger = connect("sk-wrong");
    let hello = || request("NOBODY", user("Hello"), json!({}));
    let names = [
        "whole",
        "streamed",
        "tools_whole",
        "tools_streamed",
        "image",
        "usage",
        "structured",
        "models",
        "unknown_model",
        "unknown_model_streamed",
        "wrong_key",
    ];
    let chosen = job("SCENES");
    let wanted: Vec<&str> = chosen.split_whitespace().collect();
    let mut report = Map::new();
    for name in names {
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        let given = match name {
            "whole" => text(&client, echo(json!({}))).await,
            "streamed" => streamed(&client, echo(json!({}))).await,
            "tools_whole" => tools(&client, false).await,
            "tools_streamed" => tools(&client, true).await,
            "image" => image(&client).await,
            "usage" => usage(&client).await,
            "structured" => structured(&client).await,
            "models" => models(&client).await,
            "unknown_model" => complaint(text(&client, hello()).await),
            "unknown_model_streamed" => complaint(streamed(&client, hello()).await),
            _ => complaint(text(&stranger, echo(json!({}))).await),
        };
        report.insert(name.into(), given.unwrap_or_else(failed));
    }
    println!("{}", Value::Object(report));
}
