// People at their browsers: contexts of their own whose pages must not break the content policy, and what everybody does with a page.

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addresses } from './house.mjs';

const here = dirname(fileURLToPath(import.meta.url));

function chromiumPath() {
  const named = [process.env.PORTCULLIS_CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/lib/chromium/chromium'];
  for (const path of named) if (path && existsSync(path)) return path;
  const fetched = join(here, '../../target/tools/browser');
  const walk = (folder) =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? walk(join(folder, entry.name)) : [join(folder, entry.name)]);
  const found = existsSync(fetched) ? walk(fetched).find((path) => /\/(chrome|headless_shell|chrome-headless-shell)$/.test(path)) : undefined;
  if (!found) throw new Error('no Chromium here: `make test` installs it (or name one in PORTCULLIS_CHROMIUM)');
  return found;
}

export async function launch() {
  const { chromium } = await import('playwright-core').catch(() => {
    throw new Error('no playwright-core here: `make test` installs it (npm ci in tests/browser)');
  });
  return chromium.launch({
    executablePath: chromiumPath(),
    headless: true,
    // Root in a container has no sandbox, and everything opened here is our own. The rest keeps Chromium from calling home.
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
}

/** Somebody at a browser of their own, in the office unless `from` says otherwise. */
export async function person(browser, { from = addresses.office, ...options } = {}) {
  const context = await browser.newContext({ locale: 'en-GB', extraHTTPHeaders: { 'X-Forwarded-For': from }, ...options });
  // Long enough for two cores that build and test other things at the same time: this only ends what hangs.
  context.setDefaultTimeout(120_000);
  const complaints = [];
  context.on('page', (page) => {
    page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => {
      const quiet = /^Failed to load resource: the server responded with a status of [45]/.test(message.text());
      if (/violates the following|Content Security Policy|Trusted ?Type/i.test(message.text()) || (message.type() === 'error' && !quiet)) complaints.push(`${page.url()}: ${message.text()}`);
    });
  });
  // What the server sent last of each page: the browser mends what it reads.
  context.on('response', (response) => {
    const request = response.request();
    if (!request.isNavigationRequest() || request.frame().parentFrame() || !/^text\/html/.test(response.headers()['content-type'] ?? '')) return;
    request.frame().page().served = response.text().catch(() => '');
  });
  const page = await context.newPage();
  return { context, page, complaints };
}

/** Throws with what was promised and what was found instead. */
export function must(holds, promise, found) {
  if (!holds) throw new Error(`${promise}${found === undefined ? '' : `; found: ${JSON.stringify(found)}`}`);
}

export const noComplaints = (...people) => {
  for (const { complaints } of people) must(complaints.length === 0, 'no page breaks its content policy or throws', complaints);
};

export const heading = (page, name) => page.getByRole('heading', { level: 1, name }).waitFor();
/** The page of that name itself, not the one on the way to it. */
export const arrived = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
export const home = (page) => heading(page, 'My applications');
export const says = (page, words) => page.getByText(words).filter({ visible: true }).first().waitFor();

/** Fills fields by the words beside them, as a person finds them. */
export async function fill(place, fields) {
  for (const [label, value] of Object.entries(fields)) await place.getByLabel(new RegExp(`^${label}( \\*)?$`)).fill(value);
}

export const press = (place, name) => place.getByRole('button', { name, exact: true }).click();

/** Opens `to` without a session, ends on the sign-in page and signs in there. */
export async function signIn(page, to, name, password, remember = false) {
  await page.goto(to);
  await fill(page, { 'Email or username': name, Password: password });
  if (remember) await page.getByLabel('Keep me signed in').check();
  await press(page, 'Sign in');
}

export async function openMenu(page) {
  const menu = page.locator('details.menu');
  if (!(await menu.evaluate((element) => element.open))) await menu.locator('summary').click();
}

export async function toUsers(page) {
  await openMenu(page);
  await page.getByRole('link', { name: 'Admin', exact: true }).click();
  await heading(page, 'Users');
}

export const row = (page, email) => page.getByRole('row').filter({ hasText: email });

/** What the application behind the gateway was told with the next request of this page's person. */
export async function toldNext(page, path = '/told') {
  const answer = await page.evaluate(async (path) => {
    const response = await fetch(path, { headers: { accept: 'application/json' } });
    return { status: response.status, text: await response.text() };
  }, path);
  return { status: answer.status, ...JSON.parse(answer.text) };
}

export const rolesNext = async (page) => (await toldNext(page)).headers['x-portcullis-roles'].split(',');
