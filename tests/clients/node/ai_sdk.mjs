// The Vercel AI SDK, with its provider for servers that speak as OpenAI does.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";
import { z } from "zod";
import * as job from "./scenes.mjs";

function provider(apiKey) {
  return createOpenAICompatible({
    name: "poe-proxy",
    baseURL: job.URL_V1,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
}

const poe = provider(job.KEY);
const echo = { model: poe(job.TALKER), prompt: `!echo ${job.ECHO}`, maxRetries: 0 };

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
    maxRetries: 0,
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
    return (await generateText({ model: poe(job.TALKER), messages, maxRetries: 0 })).text;
  },

  usage: async () => {
    const usage = await (await read(streamText(echo))).usage;
    return [usage.inputTokens, usage.outputTokens];
  },

  structured: async () => {
    const schema = z.object({ name: z.string(), people: z.number().int() });
    const prompt = "Which city?";
    return (await generateObject({ model: poe(job.WRITER), schema, prompt, maxRetries: 0 })).object;
  },

  reasoning: async () => {
    const result = await generateText(thoughtful);
    return { reasoning: result.reasoningText, text: result.text };
  },

  reasoning_streamed: async () => {
    const result = await read(streamText(thoughtful));
    return { reasoning: await result.reasoningText, text: await result.text };
  },

  unknown_model: () => job.complaint(() => generateText(nobody)),
  unknown_model_streamed: () => job.complaint(() => read(streamText({ ...nobody, ...silent }))),
  wrong_key: () => job.complaint(() => generateText(stranger)),
});
