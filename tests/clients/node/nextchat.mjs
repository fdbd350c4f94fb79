// NextChat's way of calling: what its OpenAI platform sends, and how it reads the answers.

import * as job from "./scenes.mjs";

const ALWAYS = { temperature: 0.5, presence_penalty: 0, frequency_penalty: 0, top_p: 1 };
const user = (content) => [{ role: "user", content }];

function post(body, key = job.KEY) {
  return fetch(`${job.URL_V1}/chat/completions`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json",
      Authorization: `Bearer ${key}`,
    },
    body: JSON.stringify(body),
  });
}

/** One streamed answer; only a 200 that says it is an event stream is read as one. */
async function ask(messages, { key, ...fields } = {}) {
  const response = await post({ messages, stream: true, model: job.TALKER, ...ALWAYS, ...fields }, key);
  const kind = response.headers.get("content-type") ?? "";
  if (kind.startsWith("text/plain")) return { text: await response.text() };
  if (response.status !== 200 || !kind.startsWith("text/event-stream")) {
    const body = await response.text();
    return { shown: response.status === 401 ? `Unauthorized\n${body}` : body };
  }
  const answer = { pieces: [], reasoning: "", calls: [] };
  for (const frame of (await response.text()).split("\n\n")) {
    if (!frame.startsWith("data: ") || frame === "data: [DONE]") continue;
    const delta = JSON.parse(frame.slice("data: ".length)).choices?.[0]?.delta;
    const part = delta?.tool_calls?.[0]; // of each chunk only the first
    if (part?.id) {
      const { name, arguments: given } = part.function;
      answer.calls.push({ id: part.id, type: part.type, function: { name, arguments: given } });
    } else if (part) {
      answer.calls.at(-1).function.arguments += part.function.arguments;
    }
    if (delta?.reasoning_content) answer.reasoning += delta.reasoning_content;
    else if (delta?.content) answer.pieces.push(delta.content);
  }
  answer.text = answer.pieces.join("");
  return answer;
}

const given = (call) => [call.function.name, JSON.parse(call.function.arguments)];

/** A round of calls; the message that holds them goes back without content. */
async function tools() {
  const fields = { model: job.CALLER, tools: [job.WEATHER] };
  const messages = user("How is the weather in Paris?");
  const { calls } = await ask(messages, fields);
  messages.push({ role: "assistant", tool_calls: calls });
  for (const call of calls) {
    const { name } = call.function;
    messages.push({ role: "tool", content: job.RESULT, name, tool_call_id: call.id });
  }
  const { text } = await ask(messages, fields);
  return { calls: calls.map(given), text };
}

await job.play({
  streamed: async () => (await ask(user(`!echo ${job.ECHO}`))).pieces,
  tools_streamed: tools,

  two_tools_streamed: async () => {
    const { calls } = await ask(user("And in Paris and Rome?"), {
      model: job.CALLER,
      tools: [job.WEATHER],
    });
    return calls.map(given);
  },

  // Its summaries and titles are not streamed.
  whole: async () => {
    const body = { messages: user(`!echo ${job.ECHO}`), stream: false, model: job.TALKER, ...ALWAYS };
    return (await (await post(body)).json()).choices[0].message.content;
  },

  // For the o-series the system's words come from a developer, and the limit has its new name.
  developer: async () => {
    const messages = [{ role: "developer", content: "Be short." }, ...user(`!echo ${job.ECHO}`)];
    return (await ask(messages, { max_completion_tokens: 4000, temperature: 1 })).text;
  },

  image: async () => {
    const parts = [
      { type: "text", text: "What is it?" },
      { type: "image_url", image_url: { url: job.PIXEL } },
    ];
    return (await ask(user(parts), { max_tokens: 4000 })).text;
  },

  reasoning: () => ask(user(`!reason !quoted-thinking !echo ${job.ECHO}`)),
  unknown_model: async () => (await ask(user("Hello"), { model: job.NOBODY })).shown,
  wrong_key: async () => (await ask(user("Hello"), { key: "sk-wrong" })).shown,

  models: async () => {
    const headers = { Authorization: `Bearer ${job.KEY}` };
    const list = await (await fetch(`${job.URL_V1}/models`, { headers })).json();
    return list.data.map((model) => model.id);
  },
});
