// `@langchain/openai`.

import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import * as job from "./scenes.mjs";

const chat = (model, apiKey = job.KEY) =>
  new ChatOpenAI({ model, apiKey, maxRetries: 0, configuration: { baseURL: job.URL_V1 } });
const echo = `!echo ${job.ECHO}`;

async function tools(stream) {
  const bound = chat(job.CALLER).bindTools([job.WEATHER]);
  const ask = async (messages) => {
    if (!stream) return bound.invoke(messages);
    let answer;
    for await (const chunk of await bound.stream(messages)) answer = answer?.concat(chunk) ?? chunk;
    return answer;
  };
  const messages = [new HumanMessage("How is the weather in Paris?")];
  const message = await ask(messages);
  const results = message.tool_calls.map(
    (call) => new ToolMessage({ content: job.RESULT, tool_call_id: call.id }),
  );
  const answer = await ask([...messages, message, ...results]);
  return { calls: message.tool_calls.map((call) => [call.name, call.args]), text: answer.content };
}

await job.play({
  whole: async () => (await chat(job.TALKER).invoke(echo)).content,

  streamed: async () => {
    const pieces = [];
    for await (const chunk of await chat(job.TALKER).stream(echo)) {
      if (chunk.content) pieces.push(chunk.content);
    }
    return pieces;
  },

  tools_whole: () => tools(false),
  tools_streamed: () => tools(true),

  image: async () => {
    const content = [
      { type: "text", text: "What is it?" },
      { type: "image_url", image_url: { url: job.PIXEL } },
    ];
    return (await chat(job.TALKER).invoke([new HumanMessage({ content })])).content;
  },

  usage: async () => {
    let last;
    for await (const chunk of await chat(job.TALKER).stream(echo)) last = chunk.usage_metadata ?? last;
    return [last.input_tokens, last.output_tokens];
  },

  structured: () =>
    chat(job.WRITER)
      .withStructuredOutput(z.object({ name: z.string(), people: z.number() }))
      .invoke("Which city?"),

  unknown_model: () => job.complaint(() => chat(job.NOBODY).invoke("Hello")),

  wrong_key: () => job.complaint(() => chat(job.TALKER, "sk-wrong").invoke("Hello")),
});
