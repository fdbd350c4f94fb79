// The `openai` package for Node.

import OpenAI from "openai";
import * as job from "./scenes.mjs";

const client = new OpenAI({ baseURL: job.URL_V1, apiKey: job.KEY, maxRetries: 0 });
const chat = client.chat.completions;
const user = (content) => [{ role: "user", content }];
const echo = { model: job.TALKER, messages: user(`!echo ${job.ECHO}`) };

async function tools(stream) {
  const calls = [];
  const weather = {
    type: "function",
    function: {
      ...job.WEATHER.function,
      parse: JSON.parse,
      function: (given) => {
        calls.push(["get_weather", given]);
        return job.RESULT;
      },
    },
  };
  const messages = user("How is the weather in Paris?");
  const runner = chat.runTools({ model: job.CALLER, messages, tools: [weather], stream });
  return { text: await runner.finalContent(), calls };
}

await job.play({
  whole: async () => (await chat.create(echo)).choices[0].message.content,

  streamed: async () => {
    const pieces = [];
    for await (const chunk of await chat.create({ ...echo, stream: true })) {
      if (chunk.choices[0].delta.content) pieces.push(chunk.choices[0].delta.content);
    }
    return pieces;
  },

  tools_whole: () => tools(false),
  tools_streamed: () => tools(true),

  image: async () => {
    const parts = [
      { type: "text", text: "What is it?" },
      { type: "image_url", image_url: { url: job.PIXEL } },
    ];
    const answer = await chat.create({ model: job.TALKER, messages: user(parts) });
    return answer.choices[0].message.content;
  },

  usage: async () => {
    const { usage } = await chat
      .stream({ ...echo, stream_options: { include_usage: true } })
      .finalChatCompletion();
    return [usage.prompt_tokens, usage.completion_tokens];
  },

  models: async () => {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },

  unknown_model: () =>
    job.complaint(() => chat.create({ model: job.NOBODY, messages: user("Hello") })),

  wrong_key: () => job.complaint(() => client.withOptions({ apiKey: "sk-wrong" }).chat.completions.create(echo)),
});
