// The `openai` package for Node, by its Responses API.

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import * as job from "./scenes.mjs";

const client = new OpenAI({ baseURL: job.URL_V1, apiKey: job.KEY, maxRetries: 0 });
const echo = { model: job.TALKER, input: `!echo ${job.ECHO}` };

/** The response that the helper puts together of a stream. */
const finish = (asked) => client.responses.stream(asked).finalResponse();
const create = (asked) => client.responses.create(asked);

async function tools(ask) {
  const asked = { model: job.CALLER, tools: [{ type: "function", ...job.WEATHER.function }] };
  const input = [{ role: "user", content: "How is the weather in Paris?" }];
  const { output } = await ask({ ...asked, input });
  const calls = output.filter((item) => item.type === "function_call");
  const results = calls.map((call) => ({
    type: "function_call_output",
    call_id: call.call_id,
    output: job.RESULT,
  }));
  const answer = await ask({ ...asked, input: [...input, ...output, ...results] });
  return {
    calls: calls.map((call) => [call.name, JSON.parse(call.arguments)]),
    text: answer.output_text,
  };
}

await job.play({
  whole: async () => (await create(echo)).output_text,

  streamed: async () => {
    const pieces = [];
    for await (const event of await create({ ...echo, stream: true })) {
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
    }
    return pieces;
  },

  tools_whole: () => tools(create),
  tools_streamed: () => tools(finish),

  image: async () => {
    const content = [
      { type: "input_text", text: "What is it?" },
      { type: "input_image", image_url: job.PIXEL, detail: "auto" },
    ];
    return (await create({ model: job.TALKER, input: [{ role: "user", content }] })).output_text;
  },

  usage: async () => {
    const { usage } = await finish(echo);
    return [usage.input_tokens, usage.output_tokens];
  },

  structured: async () => {
    const city = z.object({ name: z.string(), people: z.number().int() });
    const text = { format: zodTextFormat(city, "city") };
    return (await client.responses.parse({ model: job.WRITER, input: "Which city?", text }))
      .output_parsed;
  },

  reasoning: async () => {
    const answer = await create({ ...echo, input: `!reason !quoted-thinking !echo ${job.ECHO}` });
    const thoughts = answer.output.filter((item) => item.type === "reasoning");
    return {
      reasoning: thoughts.flatMap((item) => item.summary.map((part) => part.text)).join(""),
      text: answer.output_text,
    };
  },

  count: async () =>
    (await client.responses.inputTokens.count({ model: job.TALKER, input: job.ECHO })).input_tokens,

  unknown_model: () => job.complaint(() => create({ model: job.NOBODY, input: "Hello" })),
  wrong_key: () =>
    job.complaint(() => client.withOptions({ apiKey: "sk-wrong" }).responses.create(echo)),
  broken: () => job.complaint(() => finish({ model: job.TALKER, input: job.BROKEN })),
});
