// A page of another origin in headless Chromium, calling as programs in a browser do.
//
// The browser comes in an npm package, with the libraries it needs; it wants no root and no
// display. That package is made for Linux on x86-64. CHROMIUM names another browser.

import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import * as job from "./scenes.mjs";

async function unpacked() {
  // It unpacks into TMPDIR, and its libraries only where it sees the machines it was made for.
  process.env.TMPDIR = fileURLToPath(new URL("node_modules/.chromium", import.meta.url));
  process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs24.x";
  mkdirSync(process.env.TMPDIR, { recursive: true });
  return (await import("@sparticuz/chromium")).default.executablePath();
}

async function launch() {
  try {
    const executablePath = process.env.CHROMIUM || (await unpacked());
    const args = ["--no-sandbox", "--no-zygote", "--disable-dev-shm-usage"];
    return await chromium.launch({ executablePath, args });
  } catch (error) {
    console.error(
      `No browser starts here: install Chromium and set CHROMIUM to its program.\n${error.stack}`,
    );
    process.exit(1);
  }
}

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
