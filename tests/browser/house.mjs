// What every story needs: Chromium, pages that complain, and the commands of the running gateway.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
export const axeSource = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What the Rust side tells: { portal, app, binary, config, style, ... } */
export const house = JSON.parse(process.env.PORTCULLIS_HOUSE ?? '{}');

function chromiumPath() {
  const named = [process.env.PORTCULLIS_CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/lib/chromium/chromium'];
  for (const path of named) if (path && existsSync(path)) return path;
  const fetched = join(here, '../../target/tools/browser');
  const walk = (folder) =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? walk(join(folder, entry.name)) : [join(folder, entry.name)]);
  const found = existsSync(fetched) ? walk(fetched).find((path) => /\/(chrome|headless_shell|chrome-headless-shell)$/.test(path)) : undefined;
  if (!found) throw new Error('no Chromium: run scripts/install-needs test');
  return found;
}

export async function launch() {
  // Root in a container has no sandbox; everything opened here is our own.
  return chromium.launch({ executablePath: chromiumPath(), headless: true, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** Somebody at their own browser: a context of its own, whose pages must not break the content policy or throw. */
export async function person(browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  context.setDefaultTimeout(15_000);
  const complaints = [];
  context.on('page', (page) => {
    page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => {
      if (/Content Security Policy|Refused to|Trusted ?Types/i.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`);
    });
  });
  const page = await context.newPage();
  return { context, page, complaints };
}

/** Runs `portcullis` against the running gateway and gives its standard output. */
export function portcullis(...args) {
  return execFileSync(house.binary, [...args, '--config', house.config], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

export const at = (path) => house.portal + '/.portcullis' + path;

export async function signIn(page, name, password, to = at('/')) {
  await page.goto(to);
  await page.getByLabel('Email or username').fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

export function assert(holds, promise, found) {
  if (!holds) throw new Error(`${promise}${found === undefined ? '' : `; found: ${JSON.stringify(found)}`}`);
}

/** Runs the stories in their order, prints each, and ends the process with 1 if one did not hold. */
export async function tell(stories) {
  const browser = await launch();
  let failed = 0;
  for (const [promise, story] of stories) {
    const before = Date.now();
    try {
      await story(browser);
      console.log(`ok   ${promise} (${Date.now() - before} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${promise}\n${error.stack}`);
      for (const context of browser.contexts()) {
        for (const page of context.pages()) {
          console.log(`  at ${page.url()}\n  ${(await page.locator('body').innerText().catch(() => '')).slice(0, 1500).replaceAll('\n', '\n  ')}`);
        }
      }
    }
    for (const context of browser.contexts()) await context.close();
  }
  await browser.close();
  process.exit(failed ? 1 : 0);
}
