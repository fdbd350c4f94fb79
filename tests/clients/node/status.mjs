// The page at /status, used as whoever runs the server uses it, in headless Chromium.

import { PHONE, launch, visited } from "./chromium.mjs";
import * as job from "./scenes.mjs";

const URL = job.URL_V1.replace(/\/v1$/, "/status");
const ADMIN_KEY = process.env.CLIENT_ADMIN_KEY;
/** What would show that a text from outside was run. */
const HOSTILE = `<img src=x onerror="run=1"><script>run=1</script>\u202e`;
const browser = await launch();
/** All that the policy forbade, and all errors of scripts. */
const complaints = [];

const visit = (scene, options) => visited(browser, complaints, URL, scene, options);

async function enter(page, key = ADMIN_KEY) {
  await page.fill("input[name=key]", key);
  await page.click("button.primary");
  await page.locator("#pool, .wrong").waitFor();
}

const inside = (scene, options) => visit(async (page, context) => {
  await enter(page);
  return scene(page, context);
}, options);

const row = (page, label) => page.locator("#pool tbody tr", { hasText: label });
const state = (page, label) => row(page, label).locator(".pill");
const button = (page, label, verb) => row(page, label).locator(`button[formaction$="/${verb}"]`);

/** Press a button, and return what the page says then. */
async function press(page, pressed, says) {
  await pressed.click();
  const notice = page.locator("#notice", { hasText: says });
  await notice.waitFor();
  return notice.innerText();
}

async function buttons(page) {
  const rests = button(page, "cookie-1", "rest");
  const seen = { asked: await press(page, button(page, "cookie-1", "check"), "Poe accepts it") };
  for (const [place, says] of [[0, "in 10 min"], [1, "in 1 h"], [2, "until you bring it back"]]) {
    seen[`rest_${place}`] = await press(page, rests.nth(place), says);
    await state(page, "cookie-1").and(page.getByText("set aside by you")).waitFor();
  }
  const until = row(page, "cookie-1").locator('[data-cell$=" until"]');
  await until.and(page.getByText("until you bring it back")).waitFor();
  seen.until = await until.innerText();
  seen.back = await press(page, button(page, "cookie-1", "revive"), "is lent again");
  await state(page, "cookie-1").and(page.getByText("free")).waitFor();
  seen.looked = await press(page, page.locator('button[formaction="admin/discover"]'), "differs");
  await page.locator("#site", { hasText: "nothing differs" }).waitFor();
  seen.reload = await press(page, page.locator('button[formaction="admin/reload"]'), "read anew");
  return { ...seen, address: page.url() };
}

async function ask(page, body) {
  await page.request.post(`${job.URL_V1}/chat/completions`, {
    headers: { Authorization: `Bearer ${job.KEY}` },
    data: { model: job.TALKER, messages: [{ role: "user", content: "Hello" }], ...body },
  });
}

await job.play({
  wrong_key: () => visit(async (page, context) => {
    await enter(page, "sk-wrong-for-sure");
    return {
      said: await page.locator(".wrong").innerText(),
      cookies: (await context.cookies()).map((one) => one.name),
    };
  }),
  login: () => inside(async (page, context) => {
    const [cookie] = await context.cookies();
    const seen = {
      sentence: await page.locator("#how p").first().innerText(),
      cookie: [cookie.name, cookie.httpOnly, cookie.sameSite],
      script: await page.evaluate(() => document.cookie),
      rows: await page.locator("#pool tbody tr").count(),
    };
    await page.click("button[form=leave]");
    await page.locator("input[name=key]").waitFor();
    return { ...seen, left: (await context.cookies()).length };
  }),
  buttons: () => inside(buttons),
  without_javascript: () => inside(async (page) => ({
    ...(await buttons(page)),
    refreshes: (await page.content()).includes('http-equiv="refresh"'),
  }), { javaScriptEnabled: false }),
  refreshed: () => inside(async (page) => {
    const requests = page.locator('[data-cell="requests"]');
    const before = Number(await requests.innerText());
    await page.evaluate(() => (window.same = true));
    await ask(page, {});
    await page.waitForFunction(
      (number) => Number(document.querySelector('[data-cell="requests"]').innerText) > number, before);
    return {
      same: await page.evaluate(() => window.same),
      models: await page.locator("#models tbody tr").allInnerTexts(),
    };
  }),
  renewed: () => inside(async (page) => {
    await page.route("**/status.json?*", async (route) => {
      const answer = await route.fetch();
      const told = await answer.json();
      told.tables.settings[0][1] = "as it is now";
      told.cells["more failures"] = "There are more.";
      await route.fulfill({ response: answer, json: told });
    });
    await page.click('button[formaction="admin/reload"]');
    await page.locator(".more", { hasText: "There are more." }).waitFor();
    await page.click("summary");
    return page.locator("#settings tbody tr").first().locator("td").nth(1).innerText();
  }),
  hostile: () => inside(async (page) => {
    await ask(page, { model: HOSTILE });
    // It looks sooner than it would if somebody turns to it.
    await page.evaluate(() =>
      setInterval(() => document.dispatchEvent(new Event("visibilitychange")), 300));
    const failure = page.locator("#failures tbody tr", { hasText: "onerror" }).first();
    await failure.waitFor(); // by the script
    const first = await failure.locator("td").allInnerTexts();
    await page.reload(); // by the server
    return {
      cells: [first, await failure.locator("td").allInnerTexts()],
      run: await page.evaluate(() => window.run ?? null),
      pictures: await page.locator("img").count(),
      complaints,
    };
  }),
  phone: () => inside(async (page) => ({
    widths: await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]),
    outside: await page.evaluate(() => [...document.querySelectorAll("main *, header *")]
      .filter((it) => it.getBoundingClientRect().right > innerWidth + 1).map((it) => it.outerHTML.slice(0, 200))),
    buttons: await button(page, "cookie-1", "rest").last().isVisible(),
    head: await page.evaluate(() => getComputedStyle(document.querySelector("#pool td.last"), "::before").content),
    settings: await page.locator("summary").click().then(() => page.locator("#settings tbody tr").count()),
    open: await page.evaluate(() => document.documentElement.scrollWidth),
  }), PHONE),
  chinese: () => inside(async (page) => {
    const first = await page.locator("#how p").first().innerText();
    await page.click('a[hreflang="en"]');
    await page.waitForURL(/lang=en/);
    return [first, await page.locator("#how p").first().innerText()];
  }, { locale: "zh-CN" }),
  from_elsewhere: () => inside(async (page, context) => {
    const token = await page.locator("input[name=csrf]").first().inputValue();
    const other = await context.newPage();
    await other.goto(URL.replace("127.0.0.1", "localhost").replace("/status", "/health"));
    const status = other.waitForResponse((it) => it.url().includes("/rest"));
    await other.evaluate(([url, csrf]) => {
      const form = document.createElement("form");
      form.method = "post";
      form.action = url.replace("/status", "/admin/accounts/cookie-1/rest");
      const field = document.createElement("input");
      [field.name, field.value] = ["csrf", csrf];
      form.append(field);
      document.body.append(form);
      form.submit();
    }, [URL, token]);
    return { status: (await status).status(), state: await state(page, "cookie-1").innerText() };
  }),
});
await browser.close();
