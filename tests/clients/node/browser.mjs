// A page of another origin in headless Chromium, calling as programs in a browser do.

import { createServer } from "node:http";
import { launch } from "./chromium.mjs";
import * as job from "./scenes.mjs";

/** In the page: ask, and tell all that a script of the page can read of the answer. */
async function inPage({ url, body, key, headers, method = "POST" }) {
  try {
    const response = await fetch(url, {
      method,
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}`, ...headers },
      body: body && JSON.stringify(body),
    });
    const pieces = [];
    const decoder = new TextDecoderStream();
    for await (const piece of response.body.pipeThrough(decoder)) pieces.push(piece);
    return {
      status: response.status,
      type: response.headers.get("content-type"),
      id: response.headers.get("x-request-id"),
      retry: response.headers.get("retry-after"),
      pieces,
    };
  } catch (error) {
    return { hidden: `${error}` };
  }
}

// What the `openai` package for Node adds in a browser, and other front ends.
const EXTRA = {
  "x-stainless-lang": "js",
  "x-stainless-package-version": "7.57.0",
  "x-stainless-retry-count": "0",
  "x-stainless-runtime": "browser:chrome",
  "x-stainless-timeout": "600",
  "x-requested-with": "XMLHttpRequest",
  "x-api-key": job.KEY,
};

const browser = await launch();
const site = createServer((_, response) => {
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><title>A page of another origin</title>");
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${site.address().port}/`);

const ask = (prompt, { key = job.KEY, headers = EXTRA, ...fields } = {}) =>
  page.evaluate(inPage, {
    url: `${job.URL_V1}/chat/completions`,
    key,
    headers,
    body: { model: job.TALKER, messages: [{ role: "user", content: prompt }], ...fields },
  });

await job.play({
  whole: () => ask(`!echo ${job.ECHO}`),
  streamed: () => ask(`!echo !delay=0.05 ${job.ECHO}`, { stream: true }),
  models: () => page.evaluate(inPage, { url: `${job.URL_V1}/models`, key: job.KEY, method: "GET" }),
  unknown_model: () => ask("Hello", { model: job.NOBODY }),
  wrong_key: () => ask("Hello", { key: "sk-wrong", headers: {} }),
  no_such_route: () => page.evaluate(inPage, { url: `${job.URL_V1}/nothing`, key: job.KEY, body: {} }),
  // The last: the accounts are tired from then on.
  too_many: () => ask("!http=429 Hello"),
});
await browser.close();
site.close();
