// `@anthropic-ai/sdk`.

import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import * as job from "./scenes.mjs";

const baseURL = job.URL_V1.replace(/\/v1$/, "");
const client = new Anthropic({ baseURL, apiKey: job.KEY, maxRetries: 0 });
const { description, name, parameters } = job.WEATHER.function;

const asked = (content, model = job.TALKER) => ({
  model,
  max_tokens: 4000,
  messages: [{ role: "user", content }],
});
const echo = asked(`!echo ${job.ECHO}`);
const create = (wanted) => client.messages.create(wanted);
/** The message that the helper puts together of a stream. */
const finish = (wanted) => client.messages.stream(wanted).finalMessage();
const only = (message, type) => message.content.filter((block) => block.type === type);
const text = (message) => only(message, "text").map((block) => block.text).join("");

await job.play({
  whole: async () => text(await create(echo)),

  streamed: async () => {
    const pieces = [];
    const running = client.messages.stream(echo).on("text", (piece) => pieces.push(piece));
    await running.done();
    return pieces;
  },

  tools_whole: async () => {
    const wanted = asked("How is the weather in Paris?", job.CALLER);
    wanted.tools = [{ name, description, input_schema: parameters }];
    const { content } = await create(wanted);
    const calls = only({ content }, "tool_use");
    const results = calls.map((call) => ({
      type: "tool_result",
      tool_use_id: call.id,
      content: [{ type: "text", text: job.RESULT }],
    }));
    wanted.messages.push({ role: "assistant", content }, { role: "user", content: results });
    const answer = await create(wanted);
    return { calls: calls.map((call) => [call.name, call.input]), text: text(answer) };
  },

  // The package runs the tool by itself, until the bot has answered.
  tools_streamed: async () => {
    const calls = [];
    const run = (given) => {
      calls.push([name, given]);
      return job.RESULT;
    };
    const runner = client.beta.messages.toolRunner({
      ...asked("How is the weather in Paris?", job.CALLER),
      tools: [betaTool({ name, description, inputSchema: parameters, run })],
      stream: true,
    });
    let last;
    for await (const running of runner) last = await running.finalMessage();
    return { calls, text: text(last) };
  },

  image: async () => {
    const [, media_type, data] = job.PIXEL.match(/^data:(.*);base64,(.*)$/);
    const source = { type: "base64", media_type, data };
    return text(
      await create(asked([{ type: "image", source }, { type: "text", text: "What is it?" }])),
    );
  },

  usage: async () => {
    const { usage } = await finish(echo);
    return [usage.input_tokens, usage.output_tokens];
  },

  structured: async () => {
    const format = zodOutputFormat(z.object({ name: z.string(), people: z.number().int() }));
    const wanted = { ...asked("Which city?", job.WRITER), output_config: { format } };
    return (await client.messages.parse(wanted)).parsed_output;
  },

  reasoning: async () => {
    const message = await finish(asked(`!reason !quoted-thinking !echo ${job.ECHO}`));
    const thoughts = only(message, "thinking").map((block) => block.thinking);
    return { reasoning: thoughts.join(""), text: text(message) };
  },

  models: async () => {
    const names = [];
    for await (const model of client.models.list({ limit: 1000 })) names.push(model.id);
    return names;
  },

  count: async () => {
    const { model, messages } = asked(job.ECHO);
    return (await client.messages.countTokens({ model, messages })).input_tokens;
  },

  unknown_model: () => job.complaint(() => finish(asked("Hello", job.NOBODY))),
  wrong_key: () =>
    job.complaint(() => client.withOptions({ apiKey: "sk-wrong" }).messages.create(echo)),
  broken: () => job.complaint(() => finish(asked(job.BROKEN))),
});
