// axe on every page, light and dark, wide and narrow; and no page scrolls sideways.

import { assert, at, axeSource, house, person, signIn, tell } from './house.mjs';

const looks = ['light', 'dark'].flatMap((colorScheme) => [1280, 390].map((width) => ({ colorScheme, viewport: { width, height: 900 } })));
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

async function look(page, name) {
  await page.addScriptTag({ path: axeSource }).catch(() => undefined);
  // The content policy refuses added scripts, so axe is evaluated in the page by the debugger.
  if (!(await page.evaluate(() => 'axe' in window))) {
    const { readFileSync } = await import('node:fs');
    await page.evaluate(readFileSync(axeSource, 'utf8'));
  }
  const found = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: 'tag', values } }), tags);
  const said = found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html).join(' | ')}`);
  assert(said.length === 0, `axe finds nothing on ${name}`, said);
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert(sideways <= 0, `${name} does not scroll sideways`, sideways);
}

const signedOut = ['/sign-in', '/account/new', '/account/reset', '/account/reset/sent', '/account/reset/token', '/signed-out', '/privacy', '/sign-out', ...(house.signedOutPages ?? [])];
const signedIn = ['/', '/me/security', '/me/sessions', '/admin/users', '/admin/users?q=nobody-has-this-name', ...(house.signedInPages ?? [])];

await tell(looks.map((options) => [`axe finds nothing, ${options.colorScheme}, ${options.viewport.width} px`, async (browser) => {
  const stranger = await person(browser, options);
  for (const path of signedOut) {
    await stranger.page.goto(at(path));
    await look(stranger.page, path);
  }
  await stranger.page.goto(at('/sign-in'));
  await stranger.page.getByLabel('Email or username').fill('nobody');
  await stranger.page.getByLabel('Password', { exact: true }).fill('wrong wrong wrong');
  await stranger.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await stranger.page.getByText('is wrong').first().waitFor();
  await look(stranger.page, 'a failed sign-in');
  await stranger.page.goto(at('/account/new'));
  await stranger.page.getByLabel('Email').fill('nobody@example.org');
  await stranger.page.getByLabel('Registration token').fill('!!!!');
  await stranger.page.getByLabel('New password', { exact: false }).first().fill('short');
  await stranger.page.getByRole('button', { name: 'Create account and sign in' }).click();
  await stranger.page.getByText('There is a problem').first().waitFor();
  await look(stranger.page, 'a registration with problems');

  const admin = await person(browser, options);
  await signIn(admin.page, house.admin.name, house.admin.password);
  await admin.page.getByRole('heading', { level: 1, name: 'My applications' }).waitFor();
  for (const path of signedIn) {
    await admin.page.goto(at(path));
    await look(admin.page, path);
  }
  await admin.page.goto(at('/admin/users'));
  for (const kind of ['a.rolebtn', '.lead a']) {
    const to = await admin.page.locator(kind).last().getAttribute('href');
    await admin.page.goto(new URL(to, admin.page.url()).href);
    await look(admin.page, kind === 'a.rolebtn' ? 'a change of role' : 'a user');
  }
  for (const [name, address] of Object.entries(house.others ?? {})) {
    const who = name.startsWith('signed out') ? stranger : admin;
    await who.page.goto(address);
    await look(who.page, name);
  }
}]));
