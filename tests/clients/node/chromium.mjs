// Headless Chromium.
//
// The browser comes in an npm package, with the libraries it needs; it wants no root and no
// display. That package is made for Linux on x86-64. CHROMIUM names another browser.

import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

async function unpacked() {
  // It unpacks into TMPDIR, and its libraries only where it sees the machines it was made for.
  process.env.TMPDIR = fileURLToPath(new URL("node_modules/.chromium", import.meta.url));
  process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs24.x";
  mkdirSync(process.env.TMPDIR, { recursive: true });
  // It finds its fonts in /tmp alone, and dies of a password field where there are none.
  process.env.FONTCONFIG_FILE ||= `${process.env.TMPDIR}/fonts.conf`;
  const folders = [`${process.env.TMPDIR}/fonts`, "/usr/share/fonts"];
  const lines = folders.map((folder) => `<dir>${folder}</dir>`);
  lines.push(`<cachedir>${process.env.TMPDIR}/fonts-cache</cachedir>`);
  writeFileSync(`${process.env.TMPDIR}/fonts.conf`, `<fontconfig>${lines.join("")}</fontconfig>`);
  return (await import("@sparticuz/chromium")).default.executablePath();
}

// `node chromium.mjs`: of two that unpack it at the same time, one starts what the other still writes.
if (process.argv[1] === fileURLToPath(import.meta.url) && !process.env.CHROMIUM) await unpacked();

export async function launch() {
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

export const DESKTOP = { viewport: { width: 1200, height: 900 }, locale: "en-GB" };
export const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

/**
 * Plays a scene on a page of the browser at the URL, which is gone when the scene is over. What a
 * policy forbids, and errors of scripts, are added to the complaints.
 */
export async function visited(browser, complaints, url, scene, options = {}) {
  const context = await browser.newContext({ ...DESKTOP, ...options });
  try {
    if (options.javaScriptEnabled !== false) {
      await context.exposeBinding("complain", (_, text) => void complaints.push(text));
      await context.addInitScript(() => {
        addEventListener("securitypolicyviolation", (event) =>
          window.complain(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
      });
    }
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => complaints.push(error.stack));
    await page.goto(url);
    return await scene(page, context);
  } finally {
    await context.close();
  }
}
