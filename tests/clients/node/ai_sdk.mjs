// The Vercel AI SDK, with its provider for servers that speak as OpenAI does, and with those for OpenAI
// and for Anthropic.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";
import { z } from "zod";
import * as job from "./scenes.mjs";

const providers = {
  chat_completions: (options) =>
    createOpenAICompatible({
      name: "poe-proxy",
      includeUsage: true,
      supportsStructuredOutputs: true,
      ...options,
    }),
  responses: createOpenAI,
  messages: createAnthropic,
};
const provider = (apiKey) => providers[job.API]({ baseURL: job.URL_V1, apiKey });
const poe = provider(job.KEY);
// Else the provider for OpenAI refers to what was said before by its id, as if it were kept.
const always = { maxRetries: 0, providerOptions: { openai: { store: false } } };
const echo = { model: poe(job.TALKER), prompt: `!echo ${job.ECHO}`, ...always };

/** Read a stream to its end; throw the error that it tells of. */
async function read(streaming) {
  for await (const part of streaming.fullStream) {
    if (part.type === "error") throw part.error;
  }
  return streaming;
}

async function tools(act) {
  const result = await act({
    model: poe(job.CALLER),
    prompt: "How is the weather in Paris?",
    ...always,
    stopWhen: isStepCount(3),
    tools: {
      get_weather: tool({
        description: job.WEATHER.function.description,
        inputSchema: jsonSchema(job.CITY),
        execute: async () => job.RESULT,
      }),
    },
  });
  const steps = await result.steps;
  return {
    text: await result.text,
    calls: steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])),
  };
}

/** What is answered to a question that follows on what the SDK has made of an answer with thoughts. */
async function secondTurn(options) {
  const messages = [{ role: "user", content: thoughtful.prompt }];
  const first = await generateText({ model: poe(job.TALKER), messages, ...options });
  messages.push(...first.responseMessages, { role: "user", content: echo.prompt });
  return (await generateText({ model: poe(job.TALKER), messages, ...options })).text;
}

const nobody = { ...echo, model: poe(job.NOBODY) };
const stranger = { ...echo, model: provider("sk-wrong")(job.TALKER) };
const thoughtful = { ...echo, prompt: `!reason !quoted-thinking !echo ${job.ECHO}` };
const silent = { onError: () => {} };

await job.play({
  whole: async () => (await generateText(echo)).text,

  streamed: async () => {
    const pieces = [];
    for await (const piece of streamText(echo).textStream) pieces.push(piece);
    return pieces;
  },

  tools_whole: () => tools(generateText),
  tools_streamed: () => tools((options) => read(streamText(options))),

  image: async () => {
    const content = [
      { type: "text", text: "What is it?" },
      { type: "file", mediaType: "image/png", data: job.PIXEL.split(",")[1] },
    ];
    const messages = [{ role: "user", content }];
    return (await generateText({ model: poe(job.TALKER), messages, ...always })).text;
  },

  usage: async () => {
    const usage = await (await read(streamText(echo))).usage;
    return [usage.inputTokens, usage.outputTokens];
  },

  structured: async () => {
    const schema = z.object({ name: z.string(), people: z.number().int() });
    const prompt = "Which city?";
    return (await generateObject({ model: poe(job.WRITER), schema, prompt, ...always })).object;
  },

  reasoning: async () => {
    const result = await generateText(thoughtful);
    return { reasoning: result.reasoningText, text: result.text };
  },

  reasoning_streamed: async () => {
    const result = await read(streamText(thoughtful));
    return { reasoning: await result.reasoningText, text: await result.text };
  },

  second_turn: () => secondTurn(always),
  // By its default the provider for OpenAI refers to what was said before.
  ...(job.API === "responses" && {
    reference: () => job.complaint(() => secondTurn({ maxRetries: 0 })),
  }),

  unknown_model: () => job.complaint(() => generateText(nobody)),
  unknown_model_streamed: () => job.complaint(() => read(streamText({ ...nobody, ...silent }))),
  wrong_key: () => job.complaint(() => generateText(stranger)),
  broken: () =>
    job.complaint(() => read(streamText({ ...echo, prompt: job.BROKEN, ...silent }))),
});
