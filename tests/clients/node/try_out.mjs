// The page at /, used as people use it, in headless Chromium.

import { createServer, request as ask } from "node:http";
import { PHONE, launch, visited } from "./chromium.mjs";
import * as job from "./scenes.mjs";

const URL = job.URL_V1.replace(/\/v1$/, "/");
/** What would show that a text from outside was run. */
const HOSTILE = '<img src=x onerror="run=1"><script>run=1</script>';
const browser = await launch();
/** All that the policies forbade, and all errors of scripts. */
const complaints = [];

const visit = (scene, options, url = URL) => visited(browser, complaints, url, scene, options);

const chat = (scene, options, url) => visit(async (page, context) => {
  await enter(page);
  return scene(page, context);
}, options, url);

async function enter(page, key = job.KEY) {
  await page.fill("#key", key);
  await page.click("#enter");
  await page.locator("#chat, #key-problem .problem").first().waitFor();
  await page.locator("#enter:not([disabled])").waitFor({ state: "attached" });
}

async function say(page, text) {
  await page.fill("#prompt", text);
  await page.click("#send");
}

/** The last answer, once it is over. */
async function answer(page) {
  await page.locator("#send").waitFor();
  return page.locator(".turn.bot").last();
}

const shown = (page, selector) => page.locator(selector).isVisible();
const read = async (locator, selector) => locator.locator(selector).innerText();
const lines = (page) => page.locator("#panel pre").allTextContents();
const width = (page) => page.evaluate(() => document.documentElement.scrollWidth);
const kept = (page) => page.evaluate(() => ({ ...localStorage }));

/** Let the list of models begin with some that are not at Poe. */
const withModels = (page, ...names) => page.route("**/v1/models", async (route) => {
  const response = await route.fetch();
  const { data, ...rest } = await response.json();
  const more = names.map((one) => typeof one === "string" ? { id: one } : one);
  await route.fulfill({ response, json: { ...rest, data: [...more, ...data] } });
});
const answered = (page, response) => page.route("**/v1/chat/completions", (route) =>
  route.fulfill(response));

/** A server in front of the proxy that has it under /poe, and hands on each byte by itself. */
async function inFront() {
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url.replace(/^\/poe(?=\/)/, "");
    const { method, headers } = incoming;
    const passed = ask(job.URL_V1.replace("/v1", path), { method, headers }, async (response) => {
      outgoing.writeHead(response.statusCode, response.headers);
      outgoing.socket.setNoDelay(true);
      const isStream = /event-stream/.test(response.headers["content-type"]);
      for await (const piece of response) {
        if (!isStream) { outgoing.write(piece); continue; }
        const text = piece.toString("latin1").replaceAll("\n", "\r\n");
        for (const byte of Buffer.from(text, "latin1")) {
          outgoing.write(Buffer.of(byte));
          await new Promise(setImmediate);
        }
      }
      outgoing.end();
    });
    incoming.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** Press the copy button of *place*; return what is then pasted. */
async function copied(page, place) {
  await page.locator(place).getByRole("button", { name: "Copy" }).last().click();
  await page.locator(place).getByRole("button", { name: "Copied" }).waitFor();
  await page.fill("#prompt", "");
  await page.press("#prompt", "Control+V");
  return page.inputValue("#prompt");
}

async function copies(page) {
  await page.evaluate(() => { document.querySelector("#prompt").value = ""; });
  await say(page, "!echo ```js\nlet a = 1;\n```\nThat is all.");
  await answer(page);
  return {
    answer: await copied(page, ".turn.bot > .row"),
    code: await copied(page, ".turn.bot .code"),
    line: await copied(page, "#panel"),
    base: await copied(page, "#lines dl > div:nth-child(1)"),
  };
}

const STYLE = () => {
  const { backgroundColor, color } = getComputedStyle(document.body);
  return [backgroundColor, color];
};

/** What has to be the same by cookie and by key. */
function byWay(way) {
  const talk = (scene) => chat(async (page) => {
    await page.locator("#models label", { hasText: way }).click();
    return scene(page);
  });
  return {
    [`streamed_${way}`]: () => talk(async (page) => {
      await say(page, `!delay=0.05 ${job.ECHO}`);
      const pieces = new Set();
      const seen = page.locator(".turn.bot .text");
      while (!(await shown(page, "#send"))) pieces.add(await seen.textContent());
      const found = await answer(page);
      return {
        pieces: pieces.size,
        text: await read(found, ".text"),
        facts: await read(found, ".facts"),
        status: await page.textContent("#status"),
        focus: await page.evaluate(() => document.activeElement.id),
      };
    }),

    [`turns_${way}`]: () => talk(async (page) => {
      const sent = [];
      page.on("request", (one) => one.method() === "POST" && sent.push(one.postDataJSON()));
      await page.fill("#prompt", "!echo first");
      await page.press("#prompt", "Shift+Enter");
      await page.locator("#prompt").pressSequentially("line");
      await page.press("#prompt", "Enter");
      await answer(page);
      await say(page, "!echo second");
      await answer(page);
      const before = await page.locator(".turn").count();
      await page.click("#clear");
      const after = await page.locator(".turn").count();
      await say(page, "!echo third");
      await answer(page);
      return { sent: sent.map((one) => one.messages), model: sent[0].model, before, after };
    }),

    [`reasoning_${way}`]: () => talk(async (page) => {
      await say(page, `!reason !quoted-thinking ${job.ECHO}`);
      const found = await answer(page);
      const thoughts = found.locator(".thoughts > div");
      const folded = await thoughts.isVisible();
      await found.locator("summary").click();
      return { folded, thoughts: await thoughts.innerText(), text: await read(found, ".text") };
    }),

    [`stop_${way}`]: () => talk(async (page) => {
      const outcomes = [];
      for (const act of [() => page.click("#stop"), () => page.press("#stop", "Escape")]) {
        await say(page, "!hang One two three four five six seven eight nine ten.");
        await page.locator(".turn.bot .text > div").waitFor();
        await act();
        outcomes.push(await read(await answer(page), ".facts"));
        await page.click("#clear");
      }
      await say(page, "!echo and on");
      return { outcomes, next: await read(await answer(page), ".text") };
    }),

    [`broken_${way}`]: () => talk(async (page) => {
      await say(page, job.BROKEN);
      const found = await answer(page);
      return { text: await read(found, ".text"), problem: await read(found, ".problem") };
    }),
  };
}

await job.play({
  ...byWay("cookies"),
  ...byWay("keys"),

  leaflet: () => visit(async (page) => ({
    chat: await shown(page, "#chat"),
    key: await shown(page, "#key"),
    type: await page.getAttribute("#key", "type"),
    lines: await lines(page),
    base: [await page.innerText("#v1"), await page.innerText("#base")],
    kept: await kept(page),
  })),

  show: () => visit(async (page) => {
    const types = [];
    for (const name of ["Show", "Hide", "Show"]) {
      await page.getByRole("button", { name }).waitFor();
      types.push(await page.getAttribute("#key", "type"));
      await page.click("#show");
    }
    return types;
  }),

  wrong_key: () => visit(async (page) => {
    await enter(page, "sk-wrong-Ж");
    return {
      chat: await shown(page, "#chat"),
      problem: await page.innerText("#key-problem"),
      kept: await kept(page),
    };
  }),

  unknown_model: () => visit(async (page) => {
    await withModels(page, job.NOBODY);
    await enter(page);
    await page.locator("#models").getByText(job.NOBODY).click();
    await say(page, "Hello");
    return read(await answer(page), ".problem");
  }),

  refused: () => chat(async (page) => {
    const problems = [];
    const error = { message: "Slow down.", type: "rate_limit_error", code: "too_fast" };
    for (const response of [
      { status: 429, json: { error }, headers: { "retry-after": "17", "x-request-id": "req_1" } },
      { status: 502, body: "<html><title>502</title><h1>Bad Gateway</h1>nginx</html>" },
      { status: 200, body: "data: {}\n\n", headers: { "x-request-id": "req_2" } },
    ]) {
      await answered(page, response);
      await say(page, "!echo at last");
      problems.push(await read(await answer(page), ".problem"));
      await page.unroute("**/v1/chat/completions");
    }
    await page.route("**/v1/chat/completions", (route) => route.abort());
    await say(page, "!echo at last");
    problems.push(await read(await answer(page), ".problem"));
    await page.unroute("**/v1/chat/completions");
    const before = await page.locator(".turn").count();
    await page.getByRole("button", { name: "Try again" }).last().click();
    const text = await read(await answer(page), ".text");
    return { problems, text, turns: [before, await page.locator(".turn").count()] };
  }),

  kept: () => chat(async (page) => {
    const entered = await kept(page);
    await page.reload();
    await page.locator("#chat").waitFor();
    await page.click("#forget");
    const forgotten = [await kept(page), await shown(page, "#chat"), await page.inputValue("#key")];
    await page.reload();
    await page.locator("#key").waitFor();
    return { entered, forgotten, after: await shown(page, "#chat") };
  }),

  search: () => visit(async (page) => {
    const many = Array.from({ length: 10_000 }, (_, i) => `Many-${i}`);
    const drawing = { id: "Painter", architecture: { output_modalities: ["image"] } };
    await withModels(page, drawing, ...many);
    await enter(page);
    const names = () => page.locator("#models label").allInnerTexts();
    const all = { listed: (await names()).length, count: await page.innerText("#count") };
    await page.fill("#search", job.TALKER.toLowerCase().slice(3));
    const found = await names();
    await page.fill("#search", "nothing like it");
    const none = [await names(), await page.innerText("#count")];
    await page.fill("#search", "");
    await page.selectOption("#kind", "image");
    const drawers = await names();
    await page.locator("#models input").first().focus();
    await page.keyboard.press("Space");
    const options = await page.locator("#kind option").evaluateAll((all) =>
      all.filter((one) => !one.hidden).map((one) => one.value));
    return { all, found, none, drawers, options, chosen: await page.innerText("#model") };
  }),

  language: () => visit(async (page) => {
    const states = [await page.innerText("h2 >> nth=-1")];
    await page.getByRole("button", { name: "中文" }).click();
    await enter(page);
    await say(page, "!echo 你好");
    states.push(await read(await answer(page), ".facts"));
    const placeholders = await page.getAttribute("#prompt", "placeholder");
    const left = await page.locator('[lang="en"]:not(button)').evaluateAll((all) =>
      all.filter((one) => one !== document.documentElement && one.checkVisibility()).length);
    await page.reload();
    await page.locator("#chat").waitFor();
    const language = await page.getAttribute("html", "lang");
    return { states, placeholders, left, language };
  }),

  chinese: () => visit((page) => page.innerText("main"), { locale: "zh-CN" }),

  dark: async () => [
    await visit((page) => page.evaluate(STYLE)),
    await visit((page) => page.evaluate(STYLE), { colorScheme: "dark" }),
  ],

  phone: () => visit(async (page) => {
    const widths = [await width(page)];
    await withModels(page, "M".repeat(300));
    await enter(page);
    const folded = await shown(page, "#models");
    await page.click("#picker > summary");
    widths.push(await width(page));
    await page.locator("#models label", { hasText: job.TALKER }).first().click();
    const closed = await shown(page, "#models");
    await say(page, `!echo ${"w".repeat(300)}\n\n\`\`\`\n${"c".repeat(300)}\n\`\`\``);
    await answer(page);
    widths.push(await width(page));
    for (const tab of await page.getByRole("tab").all()) {
      await tab.click();
      widths.push(await width(page));
    }
    return { widths, picker: [folded, closed] };
  }, PHONE),

  long: () => chat(async (page) => {
    await say(page, `!echo ${"A line.\n\n".repeat(100)}`);
    await answer(page);
    return page.locator("#log").evaluate((log) => ({
      screen: innerHeight,
      height: log.clientHeight,
      left: log.scrollHeight - log.clientHeight - log.scrollTop,
      whole: log.scrollHeight,
    }));
  }),

  without_javascript: () => visit(async (page) => ({
    text: await page.innerText("body"),
    controls: await page.locator("button:visible, input:visible, textarea:visible").count(),
  }), { javaScriptEnabled: false }),

  hostile: () => visit(async (page) => {
    await withModels(page, HOSTILE, `$(touch x)'"; touch x #`, { id: 7 }, null, "plain");
    await enter(page);
    const names = await page.locator("#models label").allInnerTexts();
    await page.locator("#models input").first().check();
    const line = (await lines(page))[0];
    await page.locator("#models input").nth(1).check();
    const shell = (await lines(page))[0];
    await page.locator("#models label", { hasText: job.TALKER }).first().click();
    await say(page, `!echo ${HOSTILE} ![x](https://example.org/x.png) javascript:run=1\n\n` +
      "```<b onclick=run=1>\n" + HOSTILE + "\n```");
    const found = await answer(page);
    const said = {
      text: await read(found, ".text > div >> nth=0"),
      code: await read(found, ".text pre"),
      links: await found.locator("a").evaluateAll((all) => all.map((a) => [a.href, a.rel])),
    };
    const error = { message: HOSTILE, type: HOSTILE, code: HOSTILE };
    await answered(page, { status: 500, json: { error }, headers: { "retry-after": HOSTILE } });
    await say(page, HOSTILE);
    const problem = await read(await answer(page), ".problem");
    return {
      names: names.slice(0, 3),
      shells: [line, shell],
      ...said,
      problem,
      made: await page.locator("main img, main script, main b").count(),
      ran: await page.evaluate(() => "run" in window),
    };
  }),

  in_front: async () => {
    const server = await inFront();
    const url = `http://127.0.0.1:${server.address().port}/poe/`;
    try {
      return await chat(async (page) => {
        await say(page, job.ECHO);
        const text = await read(await answer(page), ".text");
        return { url, text, base: await page.innerText("#v1"), lines: await lines(page) };
      }, {}, url);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  },

  copy: () => chat(copies, { permissions: ["clipboard-read", "clipboard-write"] }),
  copy_over_http: () => visit(async (page, context) => {
    // As it is where the page did not come by https.
    await context.addInitScript(() => { delete Navigator.prototype.clipboard; });
    await page.reload();
    await enter(page);
    return copies(page);
  }),

  lines: () => chat(async (page) => {
    const found = {};
    for (const tab of await page.getByRole("tab").all()) {
      await tab.click();
      found[await tab.innerText()] = await lines(page);
    }
    await page.check("#with-key");
    const mine = {};
    for (const tab of await page.getByRole("tab").all()) {
      await tab.click();
      mine[await tab.innerText()] = (await lines(page)).join("\n");
    }
    await page.getByRole("tab").first().focus();
    const walked = [];
    for (const key of ["ArrowLeft", "ArrowRight", "ArrowRight", "End", "Home"]) {
      await page.keyboard.press(key);
      walked.push(await page.innerText('[role="tab"][aria-selected="true"]'));
    }
    return { found, mine, walked };
  }),

  // The last: of all the others.
  complaints: () => complaints,
});
await browser.close();
