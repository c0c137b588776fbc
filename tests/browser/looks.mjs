// Every page there is, looked at with axe: light and dark, 1280 and 390 px wide and with text twice as large, without sideways scroll, and once
// more without script. What the server sent is read by an HTML validator.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { HtmlValidate } from 'html-validate';
import { addresses, openHouse } from './house.mjs';
import { fill, heading, home, must, noComplaints, openMenu, person, press, row, says, signIn } from './people.mjs';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const schemes = ['light', 'dark'];
const widths = [1280, 390];
const shots = process.env.PORTCULLIS_SHOTS;
// Tables say what they are: where a phone draws their rows as cards, `display` takes their meaning away.
const validator = new HtmlValidate({ root: true, extends: ['html-validate:recommended'], rules: { 'no-redundant-role': 'off' } });

/** What a validator finds wrong with a page as the server sent it. */
async function invalid(page) {
  const text = await page.served;
  if (!text) return ['what the server sent is not known, so no validator read it'];
  const report = await validator.validateString(text);
  return report.results.flatMap((one) => one.messages).map((one) => `line ${one.line}:${one.column}: ${one.ruleId}: ${one.message}`);
}

/** What axe and the ruler find wrong with a page as it stands, in every look; leaves pictures if a folder for them is named. */
export async function look(page, name) {
  const wrong = await invalid(page);
  for (const [width, text] of [...widths.map((width) => [width, '']), [1280, '200%']]) {
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate((size) => { document.documentElement.style.fontSize = size; }, text);
    // Larger text moves things, whatever their colours.
    for (const colorScheme of text ? schemes.slice(0, 1) : schemes) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const found = await page.evaluate(async ({ source, values }) => {
        if (!('axe' in window)) (0, eval)(source);
        const { violations } = await window.axe.run(document, { runOnly: { type: 'tag', values }, resultTypes: ['violations'] });
        return {
          violations: violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' | ')}`),
          sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        };
      }, { source: axeSource, values: rules }).catch((error) => ({ violations: [`axe did not run: ${error.message}`], sideways: 0 }));
      const where = `${colorScheme} ${width}${text && ` at ${text}`}`;
      wrong.push(...found.violations.map((one) => `${where}: ${one}`));
      if (found.sideways > 0) wrong.push(`${where}: scrolls ${found.sideways} px sideways`);
      if (shots) await page.screenshot({ path: join(shots, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}.${colorScheme}.${width}${text.replace('%', '')}.png`), fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.evaluate(() => document.documentElement.style.removeProperty('font-size'));
  must(wrong.length === 0, `axe and the validator find nothing on "${name}"`, wrong);
}

const ada = { email: 'ada@example.org', password: 'walnut orbit ledger 7' };

/** Pages of a house where everybody can sign in, a row each: name, who looks (`stranger` or `admin`), and how to get there. */
const pages = [
  ['sign in', 'stranger', ({ page, house }) => page.goto(house.page('/sign-in'))],
  ['sign in, on the way to an application', 'stranger', ({ page, house }) => page.goto(`${house.at('lab')}/projects/3`)],
  ['sign in, wrong password', 'stranger', async ({ page, house }) => {
    await signIn(page, house.page('/sign-in'), 'nobody', 'not a password here');
    await says(page, 'is wrong');
  }],
  ['new account', 'stranger', ({ page, house }) => page.goto(house.page('/account/new'))],
  ['new account, with problems', 'stranger', async ({ page, house }) => {
    await page.goto(house.page('/account/new'));
    await fill(page, { Email: 'nobody@example.org', 'Registration token': '!!!!', 'New password': 'short' });
    await press(page, 'Create account and sign in');
    await says(page, 'There is a problem');
  }],
  ['reset password', 'stranger', ({ page, house }) => page.goto(house.page('/account/reset'))],
  ['reset password, with a problem', 'stranger', async ({ page, house }) => {
    await page.goto(house.page('/account/reset'));
    await page.locator('form').last().evaluate((form) => { form.noValidate = true; });
    await fill(page, { Email: 'no address' });
    await press(page, 'Request a reset token');
    await says(page, 'There is a problem');
  }],
  ['reset password, request received', 'stranger', async ({ page, house }) => {
    await page.goto(house.page('/account/reset'));
    await fill(page, { Email: 'nobody@example.org' });
    await press(page, 'Request a reset token');
    await heading(page, 'Request received');
  }],
  ['reset password, with a token', 'stranger', ({ page, house }) => page.goto(house.page('/account/reset/token'))],
  ['reset password, with a wrong token', 'stranger', async ({ page, house }) => {
    await page.goto(house.page('/account/reset/token'));
    await fill(page, { Email: 'nobody@example.org', 'Reset token': 'ABCD-EFGH', 'New password': 'short' });
    await press(page, 'Set password and sign in');
    await says(page, 'There is a problem');
  }],
  ['signed out', 'stranger', ({ page, house }) => page.goto(house.page('/signed-out'))],
  ['privacy', 'stranger', ({ page, house }) => page.goto(house.page('/privacy'))],
  ['session needed, form not delivered', 'stranger', async ({ page, house }) => {
    await page.goto(`${house.at('lab')}/open/form`);
    await page.evaluate(() => {
      const form = document.createElement('form');
      [form.method, form.action] = ['post', '/work'];
      document.body.append(form);
      form.submit();
    });
    await page.getByRole('link', { name: /^Sign in/ }).waitFor();
  }],
  ['hand-over without its cookie', 'stranger', ({ page, house }) => page.goto(`${house.at('lab')}/.portcullis/callback?ticket=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`)],
  ['first admin, address ended', 'stranger', ({ page, house }) => page.goto(house.page('/first-admin/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'))],
  ['no such page', 'stranger', ({ page, house }) => page.goto(house.page('/no-such-page'))],
  ['no such application', 'stranger', ({ page, house }) => page.goto(`${house.at('registry')}/elsewhere`)],
  ['unknown host', 'stranger', ({ page, house }) => page.goto(`${house.at('nowhere')}/`)],
  ['ambiguous path', 'stranger', ({ page, house }) => page.goto(`${house.at('lab')}/a%5c..%5cb`)],

  ['my applications', 'admin', ({ page, house }) => page.goto(house.page('/'))],
  ['account menu', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/'));
    await openMenu(page);
  }],
  ['password and security', 'admin', ({ page, house }) => page.goto(house.page('/me/security'))],
  ['password and security, with a problem', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/me/security'));
    await fill(page, { 'Current password': 'not the password 1', 'New password': 'short' });
    await press(page, 'Change password');
    await says(page, 'There is a problem');
  }],
  ['my sessions', 'admin', ({ page, house }) => page.goto(house.page('/me/sessions'))],
  ['sign out', 'admin', ({ page, house }) => page.goto(house.page('/sign-out'))],
  ['hop to another host', 'admin', async ({ page, house }) => {
    await page.context().clearCookies({ domain: 'lab.localhost' });
    // The page goes on by itself at once: an empty answer where it goes leaves it standing.
    await page.route(`${house.at('lab')}/.portcullis/callback**`, (route) => route.fulfill({ status: 204 }));
    await signInAgain(page, house);
    await heading(page, /^Taking you to/);
  }],
  ['denied, role missing', 'admin', ({ page, house }) => page.goto(`${house.at('lab')}/curators/1`)],
  ['denied, outside the pattern of an application', 'outsider', ({ page, house }) => page.goto(`${house.at('vault')}/`)],
  ['second factor needed', 'admin', ({ page, house }) => page.goto(`${house.at('lab')}/second/1`)],
  ['recent sign-in needed', 'admin', async ({ page, house }) => {
    await page.goto(`${house.at('lab')}/fresh/1`);
    await heading(page, 'Confirm it is you');
  }],
  ['application not answering', 'admin', ({ page, house }) => page.goto(`${house.at('archive')}/`)],
  ['application late', 'admin', ({ page, house }) => page.goto(`${house.at('lab')}/slow`)],

  ['users', 'admin', ({ page, house }) => page.goto(house.page('/admin/users'))],
  ['users, nothing found', 'admin', ({ page, house }) => page.goto(house.page('/admin/users?q=nobody-has-this-name'))],
  ['users, one added', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/users'));
    const form = page.locator('#add');
    await fill(form, { Email: 'new@example.org', Username: 'new', 'First name': 'Nova', 'Last name': 'Newcomer' });
    await press(form, 'Add user and make a token');
    await row(page, 'new@example.org').waitFor();
  }],
  ['users, adding with problems', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/users'));
    const form = page.locator('#add');
    await fill(form, { Email: 'bo@example.org', Username: 'b!', 'First name': 'Bo', 'Last name': 'Two' });
    await press(form, 'Add user and make a token');
    await says(page, 'There is a problem');
  }],
  ['users, several ticked', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/users'));
    await page.getByLabel('Tick Bo Larsen').check();
    await page.getByLabel('With the ticked').selectOption('disable');
    await press(page, 'Go on');
    await heading(page, 'Disable 1 person?');
  }],
  ['users, import', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/users/import'));
    await fill(page, { 'Comma-separated values': 'email,given_name,family_name\nimported@example.org,Ines,Rocha\nnobody,,' });
    await press(page, 'Check the lines');
    await says(page, 'Line 3');
  }],
  ['invitations, import', 'admin', ({ page, house }) => page.goto(house.page('/admin/invitations/import'))],
  ['users, role dialog', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/users'));
    await page.locator('a.rolebtn').first().click();
    await page.getByRole('dialog').waitFor();
  }],
  ['change role', 'admin', async ({ page, house }) => page.goto(`${await userPage(page, house, 'bo@example.org')}/role`)],
  ['user', 'admin', async ({ page, house }) => page.goto(await userPage(page, house, 'bo@example.org'))],
  ['user with a token', 'admin', async ({ page, house }) => page.goto(await userPage(page, house, 'new@example.org'))],
  ['user, oneself', 'admin', async ({ page, house }) => page.goto(await userPage(page, house, ada.email))],
  ['user, disable dialog', 'admin', async ({ page, house }) => {
    await page.goto(await userPage(page, house, 'bo@example.org'));
    await page.getByRole('link', { name: 'Disable' }).click();
    await page.getByRole('dialog').waitFor();
  }],
  ['disable user', 'admin', async ({ page, house }) => page.goto(`${await userPage(page, house, 'bo@example.org')}/disable`)],
  ['delete user', 'admin', async ({ page, house }) => page.goto(`${await userPage(page, house, 'bo@example.org')}/delete`)],
  ['sessions of everybody', 'admin', ({ page, house }) => page.goto(house.page('/admin/sessions'))],
  ['sessions of one person', 'admin', ({ page, house }) => page.goto(house.page('/admin/sessions?q=ada'))],
  ['sessions, nothing found', 'admin', ({ page, house }) => page.goto(house.page('/admin/sessions?q=nobody-has-this-name'))],
  ['applications, one open', 'admin', ({ page, house }) => page.goto(house.page('/admin/applications?app=lab'))],
  ['IP patterns, an address tried', 'admin', ({ page, house }) => page.goto(house.page('/admin/ip-patterns?ip=127.0.0.1'))],
  ['IP patterns, one checked', 'admin', ({ page, house }) => page.goto(house.page('/admin/ip-patterns?name=guest-lab&nets=198.51.100.200/29'))],
  ['IP patterns, with problems', 'admin', ({ page, house }) => page.goto(house.page('/admin/ip-patterns?name=x!&nets=198.51.1O0.7&ip=here'))],
  ['identity providers', 'admin', ({ page, house }) => page.goto(house.page('/admin/identity-providers'))],
  ['policy', 'admin', ({ page, house }) => page.goto(house.page('/admin/policy'))],
  ['policy, the files checked', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/policy'));
    await press(page, 'Check the files');
    await says(page, 'The files say what is in force.');
  }],
  ['explain', 'admin', ({ page, house }) => page.goto(house.page('/admin/explain'))],
  ['explain, denied', 'admin', ({ page, house }) => page.goto(house.page('/admin/explain?user=bo&app=lab&path=/curators/1&ip=203.0.113.7'))],
  ['explain, allowed', 'admin', ({ page, house }) => page.goto(house.page('/admin/explain?user=ada&app=lab&path=/projects/3&ip=127.0.0.1'))],
  ['explain, with problems', 'admin', ({ page, house }) => page.goto(house.page('/admin/explain?user=nobody-has-this-name&path=/&ip=here'))],
  ['audit log', 'admin', ({ page, house }) => page.goto(house.page('/admin/audit'))],
  ['audit log, nothing found', 'admin', ({ page, house }) => page.goto(house.page('/admin/audit?to=2020-01-01'))],
  ['audit log, with a problem', 'admin', ({ page, house }) => page.goto(house.page('/admin/audit?from=soon'))],
  ['system health', 'admin', ({ page, house }) => page.goto(house.page('/admin/health'))],
  ['invitations', 'admin', ({ page, house }) => page.goto(house.page('/admin/invitations'))],
  ['invite user', 'admin', ({ page, house }) => page.goto(house.page('/admin/invitations/new'))],
  ['teams', 'admin', ({ page, house }) => page.goto(house.page('/admin/teams'))],
  ['team', 'admin', ({ page, house }) => page.goto(house.page('/admin/teams/main'))],
  ['group', 'admin', async ({ page, house }) => {
    await page.goto(house.page('/admin/projects'));
    await fill(page, { Name: `Kinase panel ${Date.now()}` });
    await press(page, 'Add project');
    await page.goto(house.page('/admin/teams/main'));
    await fill(page, { Name: `Crystallography ${Date.now()}` });
    await press(page, 'Add group');
    await fill(page, { 'Put in': 'bo@example.org' });
    await page.getByRole('button', { name: 'Save', exact: true }).last().click();
    await says(page, 'The group is saved');
  }],
  ['projects', 'admin', ({ page, house }) => page.goto(house.page('/admin/projects'))],
  ['invitation ended', 'stranger', ({ page, house }) => page.goto(house.page('/invite/nothing'))],
  ['mail outbox', 'admin', ({ page, house }) => page.goto(house.page('/admin/mail'))],
  ['admin menu on a phone', 'admin', async ({ page, house }) => page.goto(house.page('/admin/users#nav'))],
];

const userPage = async (page, house, email) => house.page(`/admin/users/${JSON.parse(house.command('user', 'show', email, '--json')).id}`);

/** Goes to an application host without a session there, which hands over from the portal. */
async function signInAgain(page, house) {
  await page.context().clearCookies();
  await signIn(page, `${house.at('lab')}/hop`, ada.email, ada.password);
}

/** Pages that only a house with other settings has. */
const otherHouses = [
  ['first admin', {}, ({ page, house }) => page.goto(firstAdminUrl(house))],
  ['first admin, with problems', {}, async ({ page, house }) => {
    await page.goto(firstAdminUrl(house));
    await fill(page, { Email: 'ada@example.org', Username: 'a!', 'New password': 'short' });
    await press(page, 'Create account and sign in');
    await says(page, 'There is a problem');
  }],
  ['first admin, done', {}, async ({ page, house }) => {
    await page.goto(firstAdminUrl(house));
    await fill(page, { Email: 'ada@example.org', Username: 'ada', 'First name': 'Ada', 'Last name': 'Lovelace', 'New password': ada.password });
    await press(page, 'Create account and sign in');
    await home(page);
  }],
  ['confirm it is you, before a sensitive act', { signin: 'fresh_for = "1s"' }, async ({ page, house }) => {
    await page.goto(firstAdminUrl(house));
    await fill(page, { Email: 'ada@example.org', Username: 'ada', 'First name': 'Ada', 'Last name': 'Lovelace', 'New password': ada.password });
    await press(page, 'Create account and sign in');
    await home(page);
    await page.goto(house.page('/admin/users'));
    await page.waitForTimeout(1100);
    const form = page.locator('#add');
    await fill(form, { Email: 'new@example.org', Username: 'new', 'First name': 'Nova', 'Last name': 'Newcomer' });
    await press(form, 'Add user and make a token');
    await heading(page, 'Confirm it is you');
  }],
  ['new accounts closed', { signin: 'registration = "closed"' }, ({ page, house }) => page.goto(house.page('/account/new'))],
];

function firstAdminUrl(house) {
  const url = /http:\/\/\S+\/first-admin\/\S+/.exec(house.said.join('\n'))?.[0];
  must(url, '`serve` prints the first-admin URL while there is nobody', house.said);
  return url;
}

/** The house's pages as checks: one with script (axe in four looks) and one without for each. */
export function looks() {
  let house;
  const people = {};
  if (shots) mkdirSync(shots, { recursive: true });

  const told = [
    ['a house with people in it for the pages to show', async (browser) => {
      house = await openHouse();
      house.command('user', 'add', '--email', ada.email, '--username', 'ada', '--given-name', 'Ada', '--family-name', 'Lovelace');
      const desk = await person(browser);
      await desk.page.goto(house.page('/account/new'));
      await fill(desk.page, { Email: ada.email, 'Registration token': house.command('user', 'token', ada.email), 'New password': ada.password });
      await press(desk.page, 'Create account and sign in');
      await home(desk.page);
      house.command('user', 'add', '--email', 'bo@example.org', '--username', 'bo', '--given-name', 'Bo', '--family-name', 'Larsen', '--team', 'main', '--ip-pattern', 'office');
      house.command('user', 'add', '--email', 'a.very.long.address.of.somebody@department.of.long.names.example.org', '--username', 'maximiliana', '--given-name', 'Maximiliana-Alexandrina', '--family-name', 'Featherstonehaugh-Cholmondeley');
      people.admin = await person(browser);
      // A second session, so that "End all other sessions" is there.
      await signIn(people.admin.page, house.page('/'), ada.email, ada.password);
      await home(people.admin.page);
      people.stranger = await person(browser, { from: addresses.home });
      people.outsider = await person(browser, { from: addresses.home });
      await signIn(people.outsider.page, house.page('/'), ada.email, ada.password);
      await home(people.outsider.page);
    }],
    ...pages.map(([name, who, open]) => [`the page "${name}"`, async () => {
      const { page, complaints } = people[who];
      complaints.length = 0;
      await open({ page, house });
      try {
        await look(page, name);
      } finally {
        await page.unrouteAll();
      }
      noComplaints({ complaints });
    }]),
    ['no page needs script or scrolls sideways without it', async (browser) => {
      const wrong = [];
      const state = await people.admin.context.storageState();
      for (const [who, options] of [['stranger', { from: addresses.home }], ['admin', { storageState: state }]]) {
        const { page } = await person(browser, { ...options, javaScriptEnabled: false, viewport: { width: 390, height: 900 } });
        const plain = ['/sign-in', '/account/new', '/account/reset', '/account/reset/token', '/signed-out', '/privacy'];
        const own = ['/', '/me/security', '/me/sessions', '/sign-out', '/admin/users', '/admin/users?q=nobody-has-this-name', '/admin/users#nav',
          '/admin/sessions', '/admin/applications?app=lab', '/admin/ip-patterns?ip=127.0.0.1', '/admin/identity-providers',
          '/admin/policy', '/admin/explain?user=bo&app=lab&path=/curators/1', '/admin/audit', '/admin/health',
          '/admin/mail', '/admin/invitations', '/admin/invitations/new', '/admin/projects', '/admin/teams', '/admin/teams/main'];
        for (const path of who === 'stranger' ? plain : own) {
          await page.goto(house.page(path));
          const found = await page.evaluate(() => ({
            headings: document.querySelectorAll('h1').length,
            scriptOnly: [...document.querySelectorAll('.js-only')].filter((one) => one.checkVisibility()).length,
            sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          }));
          if (found.headings !== 1 || found.scriptOnly !== 0 || found.sideways > 0) wrong.push({ path, ...found });
          if (shots) await page.screenshot({ path: join(shots, `no-script${path.replaceAll(/[^a-z0-9]+/gi, '-')}.png`), fullPage: true });
        }
      }
      must(wrong.length === 0, 'one heading, nothing that only script could work, no sideways scroll', wrong);
    }],
    ['a policy with a problem shows on the console', async () => {
      const { page, complaints } = people.admin;
      writeFileSync(house.policy, `${house.rules}\n[app.lab2]\nhost = "lab2.localhost"\nupstrem = "http://127.0.0.1:1"\n`);
      must(house.attempt('reload').status === 1, '`reload` says that something is wrong');
      await page.goto(house.page('/admin/users'));
      await says(page, 'The policy files have a problem');
      await look(page, 'users, policy stale');
      noComplaints({ complaints });
    }],
  ];
  for (const [name, settings, open] of otherHouses) {
    told.push([`the page "${name}"`, async (browser) => {
      const other = await openHouse(settings);
      try {
        const visitor = await person(browser);
        await open({ page: visitor.page, house: other });
        await look(visitor.page, name);
        noComplaints(visitor);
      } finally {
        await other.close();
      }
    }]);
  }
  return { told, close: () => house?.close() };
}
