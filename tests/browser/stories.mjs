// What people do with portcullis, done in Chromium: register, forget a password, change a role, return to another host.

import { assert, at, house, person, portcullis, signIn, tell } from './house.mjs';

const admin = { name: 'ada', email: 'ada@example.org', password: 'walnut orbit ledger 7' };
const grace = { email: 'grace@example.org', first: 'correct lemon staple 3', second: 'another harbour violin 9' };
const tokenShape = house.style === 'digits' ? /^\d{4}$/ : /^[0-9A-Z]{4}-[0-9A-Z]{4}$/;

async function openMenu(page) {
  await page.locator('details.menu > summary').click();
}

async function toUsers(page) {
  await openMenu(page);
  await page.getByRole('link', { name: 'Admin', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Users' }).waitFor();
}

const row = (page, email) => page.getByRole('row').filter({ hasText: email });

/** Clicks the token in somebody's row and reads what the clipboard holds afterwards. */
async function copyToken(context, page, email) {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: house.portal });
  const chip = row(page, email).locator('[data-copy]').first();
  await chip.click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert(tokenShape.test(copied), 'a click on the token copies it', copied);
  await page.getByText('Copied to the clipboard').first().waitFor({ state: 'attached' });
  return copied;
}

async function fillNewAccount(page, email, token, password) {
  await page.goto(at('/'));
  await page.getByRole('link', { name: 'New Account', exact: true }).click();
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Registration token').fill(token);
  await page.getByLabel('New password', { exact: false }).first().fill(password);
  await page.getByRole('button', { name: 'Create account and sign in' }).click();
}

const home = (page) => page.getByRole('heading', { level: 1, name: 'My applications' }).waitFor();

let registration;

await tell([
  ['the first admin, made on the command line, registers in the browser', async (browser) => {
    const token = portcullis('user', 'add', '--email', admin.email, '--username', admin.name, '--given-name', 'Ada', '--family-name', 'Lovelace');
    assert(tokenShape.test(token), 'user add prints the registration token and nothing else', token);
    const shown = JSON.parse(portcullis('user', 'show', admin.email, '--json'));
    assert(shown.roles.includes('admin'), 'the first person is an admin', shown);
    const { page, complaints } = await person(browser);
    await fillNewAccount(page, admin.email, token, admin.password);
    await home(page);
    assert(complaints.length === 0, 'no page breaks the content policy', complaints);
  }],

  ['the admin adds a user and clicks the token to copy it', async (browser) => {
    const { context, page, complaints } = await person(browser);
    await signIn(page, admin.name, admin.password);
    await home(page);
    await toUsers(page);
    const form = page.locator('form').filter({ has: page.getByRole('button', { name: /^Add/ }) }).last();
    await form.getByLabel('Email').fill(grace.email);
    const username = form.getByLabel('Username');
    if (await username.count()) await username.fill('grace');
    await form.getByLabel('First name').fill('Grace');
    await form.getByLabel('Last name').fill('Hopper');
    await form.getByRole('button', { name: /^Add/ }).click();
    await row(page, grace.email).waitFor();
    registration = await copyToken(context, page, grace.email);
    assert(registration === portcullis('user', 'token', grace.email), 'the command line shows the same token', registration);
    assert(complaints.length === 0, 'no page breaks the content policy', complaints);
  }],

  ['a wrong sign in a token is named and costs no try', async (browser) => {
    const { page } = await person(browser);
    for (let time = 0; time < 7; time += 1) {
      await fillNewAccount(page, grace.email, `${registration.slice(0, -1)}!`, grace.first);
      await page.getByText('Invalid characters found').first().waitFor();
    }
  }],

  ['the person opens New Account, registers and is signed in', async (browser) => {
    const { page, complaints } = await person(browser);
    await fillNewAccount(page, grace.email, registration.toLowerCase().replace('-', ' '), grace.first);
    await home(page);
    assert(complaints.length === 0, 'no page breaks the content policy', complaints);
    const again = await person(browser);
    await fillNewAccount(again.page, grace.email, registration, grace.first);
    await again.page.getByText('The email and token do not match').first().waitFor();
  }],

  ['a forgotten password is reset with a token the admin reads, and the other sessions are gone', async (browser) => {
    const elsewhere = await person(browser);
    await signIn(elsewhere.page, grace.email, grace.first);
    await home(elsewhere.page);

    const forgetful = await person(browser);
    await forgetful.page.goto(at('/'));
    await forgetful.page.getByRole('link', { name: 'Reset Password', exact: true }).click();
    await forgetful.page.getByRole('link', { name: 'I need a reset token' }).click();
    await forgetful.page.getByLabel('Email').fill(grace.email);
    await forgetful.page.getByRole('button', { name: 'Request a reset token' }).click();
    await forgetful.page.getByText(grace.email).first().waitFor();

    const desk = await person(browser);
    await signIn(desk.page, admin.name, admin.password);
    await home(desk.page);
    await toUsers(desk.page);
    const token = await copyToken(desk.context, desk.page, grace.email);

    await forgetful.page.goto(at('/account/reset'));
    await forgetful.page.getByRole('link', { name: 'I have a reset token' }).click();
    await forgetful.page.getByLabel('Email').fill(grace.email);
    await forgetful.page.getByLabel('Reset token').fill(token);
    await forgetful.page.getByLabel('New password', { exact: false }).first().fill(grace.second);
    await forgetful.page.getByRole('button', { name: 'Set password and sign in' }).click();
    await home(forgetful.page);

    await elsewhere.page.goto(at('/me/sessions'));
    await elsewhere.page.getByLabel('Email or username').waitFor();
    const old = await person(browser);
    await signIn(old.page, grace.email, grace.first);
    await old.page.getByText('Email, username or password is wrong').first().waitFor();
    for (const one of [elsewhere, forgetful, desk]) assert(one.complaints.length === 0, 'no page breaks the content policy', one.complaints);
  }],

  ['the admin clicks a role, confirms, and the next request carries it, to admin and back', async (browser) => {
    const desk = await person(browser);
    await signIn(desk.page, admin.name, admin.password);
    await home(desk.page);
    const her = await person(browser);
    await signIn(her.page, grace.email, grace.second, house.app + '/');
    const roles = async () => JSON.parse(await her.page.evaluate(async () => (await fetch('/roles', { headers: { accept: 'application/json' } })).text()))
      .headers['x-portcullis-roles'].split(',');
    await her.page.waitForURL((url) => url.origin === house.app);
    assert(!(await roles()).includes('admin'), 'a user is no admin', await roles());

    const change = async () => {
      await toUsers(desk.page);
      await row(desk.page, grace.email).locator('.rolebtn').click();
      const dialog = desk.page.locator('dialog[open]');
      const place = (await dialog.count()) ? dialog : desk.page.locator('main');
      await place.getByRole('button', { name: /Make|Change/ }).first().click();
      await desk.page.getByRole('heading', { level: 1, name: 'Users' }).waitFor();
    };
    await change();
    assert((await roles()).includes('admin'), 'the next request carries the new role', await roles());
    await change();
    assert(!(await roles()).includes('admin'), 'and the next one the old role', await roles());
    assert(desk.complaints.length === 0, 'no page breaks the content policy', desk.complaints);
  }],

  ['the last admin cannot be demoted', async (browser) => {
    const desk = await person(browser);
    await signIn(desk.page, admin.name, admin.password);
    await home(desk.page);
    await toUsers(desk.page);
    assert((await row(desk.page, admin.email).locator('a.rolebtn').count()) === 0, 'one’s own role is no link');
    let refused = false;
    try { portcullis('user', 'role', admin.name, 'user'); } catch (error) { refused = error.status === 1; }
    assert(refused, 'the command line refuses too');
  }],

  ['a sign-in that returns to another application host works under the content policy', async (browser) => {
    const { page, complaints } = await person(browser);
    await signIn(page, grace.email, grace.second, `${house.app}/projects/3?x=1`);
    await page.waitForURL(`${house.app}/projects/3?x=1`);
    assert(complaints.length === 0, 'no page breaks the content policy', complaints);
    await page.goto(at('/'));
    await home(page);
    await openMenu(page);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(/signed-out/);
    await page.goto(`${house.app}/projects/3`);
    await page.getByLabel('Email or username').waitFor();
  }],

  ['without script the same pages work', async (browser) => {
    const { page } = await person(browser, { javaScriptEnabled: false });
    await signIn(page, admin.name, admin.password);
    await home(page);
    await toUsers(page);
    await row(page, grace.email).locator('a.rolebtn').click();
    await page.locator('main').getByRole('button', { name: /Make|Change/ }).first().waitFor();
  }],
]);
