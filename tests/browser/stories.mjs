// What people do with portcullis, told from the first admin to the last sign-out.

import { addresses, openHouse } from './house.mjs';
import { arrived, fill, heading, home, must, noComplaints, openMenu, person, press, rolesNext, row, says, signIn, toldNext, toUsers } from './people.mjs';

const ada = { name: 'ada', email: 'ada@example.org', password: 'walnut orbit ledger 7' };
const grace = { name: 'grace', email: 'grace@example.org', first: 'correct lemon staple 3', second: 'another harbour violin 9' };
const shapes = { code: /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/, digits: /^\d{4}$/ };
const hints = { code: 'Enter all 8 letters and numbers of the token', digits: 'Enter all 4 digits' };

async function newAccount(page, house, email, token, password) {
  await page.goto(house.page('/sign-in'));
  await page.getByRole('link', { name: 'New Account', exact: true }).click();
  await heading(page, 'New account');
  await fill(page, { Email: email, 'Registration token': token, 'New password': password });
  await press(page, 'Create account and sign in');
}

/** Clicks the token in somebody's row and reads what the clipboard holds afterwards. */
async function copyToken({ context, page }, house, email) {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: house.portal });
  await page.evaluate(() => navigator.clipboard.writeText('nothing yet'));
  const chip = row(page, email).getByRole('button', { name: /^Copy / });
  const shown = await chip.innerText();
  await chip.click();
  await says(page, 'Copied to the clipboard');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  must(copied === shown.trim(), 'a click on the token copies it', { copied, shown });
  return copied;
}

const sessions = async (page) => page.getByRole('list').filter({ hasText: 'This session' }).getByRole('listitem').count();

/** The stories of one house, in their order. `style` is how tokens look; `signin` sets it. */
export function stories(style, signin) {
  let house;
  let desk; // the admin's browser, signed in
  let registration;
  const shape = shapes[style];
  const title = (promise) => (style === 'code' ? promise : `${style}: ${promise}`);

  /** Opens the dialog behind somebody's role and confirms; gives the words of the button that was pressed. */
  async function changeRole(email) {
    await toUsers(desk.page);
    await row(desk.page, email).getByRole('link', { name: /change the role of/ }).click();
    const dialog = desk.page.getByRole('dialog');
    await dialog.waitFor();
    const asked = await dialog.getByRole('heading').innerText();
    await dialog.locator('button[type=submit]').click();
    await dialog.waitFor({ state: 'detached' }).catch(() => undefined);
    await heading(desk.page, 'Users');
    return asked;
  }

  const told = [
    ['the gateway starts and prints where it listens', async () => {
      house = await openHouse({ signin });
      must(house.said.some((line) => line.startsWith('listening http ')), 'serve prints `listening http`', house.said);
    }],

    ['the first admin is made on the command line and registers in the browser', async (browser) => {
      const token = house.command('user', 'add', '--email', ada.email, '--username', ada.name, '--given-name', 'Ada', '--family-name', 'Lovelace');
      must(shape.test(token), 'user add prints the registration token and nothing else when piped', token);
      const shown = JSON.parse(house.command('user', 'show', ada.email, '--json'));
      must(shown.roles.includes('admin'), 'the first person is an admin', shown);
      desk = await person(browser);
      await newAccount(desk.page, house, ada.email, token, ada.password);
      await home(desk.page);
      noComplaints(desk);
    }],

    ['the admin adds a user and clicks the token to copy it', async () => {
      const { page } = desk;
      await toUsers(page);
      const form = page.locator('#add');
      await fill(form, { Email: grace.email, Username: grace.name, 'First name': 'Grace', 'Last name': 'Hopper' });
      await press(form, 'Add user and make a token');
      await row(page, grace.email).waitFor();
      registration = await copyToken(desk, house, grace.email);
      must(shape.test(registration), 'the token looks as it was set', registration);
      must(registration === house.command('user', 'token', grace.email), 'the command line shows the same token', registration);
      must(/Registration/i.test(await row(page, grace.email).innerText()), 'the Tokens column says what kind it is', await row(page, grace.email).innerText());
      must(/in (2 days|47 hours|48 hours)/.test(await row(page, grace.email).innerText()), 'and when it ends', await row(page, grace.email).innerText());
      noComplaints(desk);
    }],

    ['a character no token has is named and costs no try', async (browser) => {
      const wrong = await person(browser, { from: addresses.home });
      for (let time = 0; time < 7; time += 1) {
        await newAccount(wrong.page, house, grace.email, `${registration.slice(0, -1)}!`, grace.first);
        await says(wrong.page, 'Invalid characters found');
      }
      await newAccount(wrong.page, house, grace.email, registration.slice(0, -1), grace.first);
      await says(wrong.page, hints[style]);
      const shown = house.command('user', 'token', grace.email);
      must(shown === registration, 'the token is the same and not locked', shown);
      noComplaints(wrong);
    }],

    ['the person opens New Account, registers and is signed in', async (browser) => {
      const her = await person(browser);
      await newAccount(her.page, house, grace.email, ` ${registration.toLowerCase().replace('-', ' ')} `, grace.first);
      await home(her.page);
      const told = await (await her.context.newPage()).goto(house.page('/whoami'));
      const whoami = await told.json();
      must(JSON.stringify(whoami.user).includes(grace.name) && whoami.address === addresses.office, 'whoami says who is signed in, and from where', whoami);
      const again = await person(browser, { from: addresses.home });
      await newAccount(again.page, house, grace.email, registration, grace.first);
      await says(again.page, 'The email and token do not match, or the token has ended.');
      noComplaints(her, again);
    }],

    ['a forgotten password is reset with a token the admin reads, and the other sessions are gone', async (browser) => {
      const elsewhere = await person(browser);
      await signIn(elsewhere.page, house.page('/'), grace.email, grace.first);
      await home(elsewhere.page);
      const application = await person(browser);
      await signIn(application.page, `${house.at('lab')}/work`, grace.name, grace.first);
      await arrived(application.page, 'Laboratory');

      const forgetful = await person(browser);
      const { page } = forgetful;
      await page.goto(house.page('/'));
      await page.getByRole('link', { name: 'Reset Password', exact: true }).click();
      await page.getByRole('link', { name: 'I need a reset token' }).click();
      await fill(page, { Email: grace.email });
      await press(page, 'Request a reset token');
      await heading(page, 'Request received');
      await says(page, grace.email);

      await toUsers(desk.page);
      const token = await copyToken(desk, house, grace.email);
      must(shape.test(token) && token !== registration, 'the reset token is a new one', token);
      must(/Reset/i.test(await row(desk.page, grace.email).innerText()), 'the Tokens column says what kind it is', await row(desk.page, grace.email).innerText());

      await page.getByRole('link', { name: 'I have a reset token' }).click();
      await fill(page, { Email: grace.email, 'Reset token': token, 'New password': grace.second });
      await press(page, 'Set password and sign in');
      await home(page);
      await page.goto(house.page('/me/sessions'));
      must((await sessions(page)) === 1, 'only the new session is left', await page.locator('main').innerText());

      await elsewhere.page.goto(house.page('/me/sessions'));
      must((await elsewhere.page.getByRole('heading', { name: 'My sessions' }).count()) === 0, 'the session elsewhere is gone', elsewhere.page.url());
      must((await toldNext(application.page)).status === 401, 'and at the application too');
      const old = await person(browser, { from: addresses.home });
      await signIn(old.page, house.page('/'), grace.email, grace.first);
      await says(old.page, 'Email, username or password is wrong. Check them and try again.');
      noComplaints(forgetful, elsewhere, old, desk);
    }],

    ['the admin clicks a role and confirms; the next request carries it, user to admin and back', async (browser) => {
      const her = await person(browser);
      await signIn(her.page, `${house.at('lab')}/`, grace.email, grace.second);
      await arrived(her.page, 'Laboratory');
      must(!(await rolesNext(her.page)).includes('admin'), 'a user is no admin', await rolesNext(her.page));
      must((await her.page.evaluate(async () => (await fetch('/admins/')).status)) === 403, 'what asks for admin is closed');
      const up = await changeRole(grace.email);
      must(/Grace Hopper.*admin/i.test(up), 'the dialog says what will happen', up);
      must((await rolesNext(her.page)).includes('admin'), 'the next request carries the new role', await rolesNext(her.page));
      must((await her.page.evaluate(async () => (await fetch('/admins/')).status)) === 200, 'what asks for admin is open');
      await her.page.goto(house.page('/'));
      await toUsers(her.page);
      await her.page.goto(`${house.at('lab')}/`);
      await changeRole(grace.email);
      must(!(await rolesNext(her.page)).includes('admin'), 'and the next one the old role', await rolesNext(her.page));
      await her.page.goto(house.page('/admin/users'));
      must((await her.page.getByRole('heading', { name: 'Users' }).count()) === 0, 'the console is closed again', her.page.url());
      noComplaints(her, desk);
    }],

    ['the last admin cannot be demoted, disabled or deleted', async () => {
      await toUsers(desk.page);
      must((await row(desk.page, ada.email).locator('a.rolebtn').count()) === 0, 'one’s own role is no link');
      const { id } = JSON.parse(house.command('user', 'show', ada.email, '--json'));
      await desk.page.goto(house.page(`/admin/users/${id}/role`));
      const submit = desk.page.locator('main form button[type=submit]');
      if (await submit.count()) await submit.click();
      await says(desk.page, /You cannot change your own role|At least one admin must remain/);
      for (const deed of [['user', 'role', ada.name, 'user'], ['user', 'disable', ada.name], ['user', 'delete', ada.name, '--yes']]) {
        const { status, words } = house.attempt(...deed);
        must(status === 1 && /admin/i.test(words), `the command line refuses \`${deed.join(' ')}\``, { status, words });
      }
      must(JSON.parse(house.command('user', 'show', ada.email, '--json')).roles.includes('admin'), 'she is admin still');
      noComplaints(desk);
    }],
  ];
  if (style === 'code') told.push(...more(() => ({ house, desk })));
  return {
    told: told.map(([promise, story]) => [title(promise), story]),
    close: () => house?.close(),
  };
}

/** What does not depend on how tokens look, so is told once. */
function more(now) {
  return [
    ['a membership’s IP pattern refuses sign-in and the next request from outside, and the page names pattern and address', async (browser) => {
      const { house } = now();
      const bo = { email: 'bo@example.org', password: 'seven quiet lanterns 4' };
      const token = house.command('user', 'add', '--email', bo.email, '--username', 'bo', '--given-name', 'Bo', '--family-name', 'Larsen', '--team', 'main', '--ip-pattern', 'office');
      const inside = await person(browser);
      await newAccount(inside.page, house, bo.email, token, bo.password);
      await home(inside.page);
      await inside.page.goto(`${house.at('lab')}/`);
      await arrived(inside.page, 'Laboratory');

      await inside.context.setExtraHTTPHeaders({ 'X-Forwarded-For': addresses.home });
      const refused = await inside.page.goto(`${house.at('lab')}/`);
      must(refused.status() === 403, 'the next request from outside is refused', refused.status());
      const words = await inside.page.locator('main').innerText();
      must(words.includes(addresses.home) && /office/i.test(words), 'the page names the pattern and the address', words);
      const own = await inside.page.goto(house.page('/'));
      must(own.status() === 403, 'our own pages are refused too', own.status());
      const decision = /\bd-[0-9A-Za-z]+/.exec(words)?.[0];
      must(decision, 'the page shows the decision', words);
      const { status, words: explained } = house.attempt('explain', '--decision', decision);
      must(/ip-user/.test(explained) && /house\.toml:\d+/.test(explained), `explain tells every step with file and line (status ${status})`, explained);

      const outside = await person(browser, { from: addresses.home });
      await signIn(outside.page, house.page('/'), bo.email, bo.password);
      await says(outside.page, addresses.home);
      const there = await outside.page.locator('main').innerText();
      must(/office/i.test(there), 'sign-in from outside names the pattern too', there);
      noComplaints(inside, outside);
    }],

    ['a sign-in that returns to another application host works under the content policy', async (browser) => {
      const { house } = now();
      const her = await person(browser);
      const to = `${house.at('lab')}/projects/3?x=1&y=a%20b`;
      await signIn(her.page, to, grace.email, grace.second);
      await her.page.waitForURL(to);
      await arrived(her.page, 'Laboratory');
      const cookies = (await her.context.cookies()).filter((one) => one.name === 'portcullis');
      must(cookies.length === 2 && cookies[0].value !== cookies[1].value, 'each host has a session cookie of its own', cookies.map((one) => one.domain));
      must(cookies.every((one) => one.httpOnly && one.sameSite === 'Lax'), 'no script reads it', cookies.map((one) => one.domain));
      await her.page.goto(`${house.at('vault')}/`);
      await arrived(her.page, 'Laboratory');
      noComplaints(her);
    }],

    ['a link left open twice and a form left open too long end well', async (browser) => {
      const { house } = now();
      const her = await person(browser);
      const [first, second] = [her.page, await her.context.newPage()];
      for (const page of [first, second]) await page.goto(`${house.at('lab')}/tab`);
      for (const page of [second, first]) {
        if (!page.url().startsWith(house.portal)) continue;
        await fill(page, { 'Email or username': grace.email, Password: grace.second });
        await press(page, 'Sign in');
        await page.waitForURL(`${house.at('lab')}/tab`);
      }
      const stale = await person(browser);
      await stale.page.goto(house.page('/sign-in'));
      await stale.context.clearCookies();
      await fill(stale.page, { 'Email or username': grace.email, Password: grace.second });
      await press(stale.page, 'Sign in');
      await says(stale.page, 'This page was open too long. Check what you typed and send it again.');
      await fill(stale.page, { 'Email or username': grace.email, Password: grace.second });
      await press(stale.page, 'Sign in');
      await home(stale.page);
      noComplaints(her, stale);
    }],

    ['a person ends one session, changes the password, and the others end', async (browser) => {
      const { house } = now();
      const here = await person(browser);
      await signIn(here.page, house.page('/me/sessions'), grace.name, grace.second);
      const there = await person(browser);
      await signIn(there.page, house.page('/'), grace.name, grace.second);
      await home(there.page);
      await here.page.reload();
      const before = await sessions(here.page);
      await here.page.getByRole('button', { name: /^End session/ }).first().click();
      await heading(here.page, 'My sessions');
      must((await sessions(here.page)) === before - 1, 'one session fewer', await here.page.locator('main').innerText());

      await here.page.goto(house.page('/me/security'));
      await fill(here.page, { 'Current password': 'not the password 1', 'New password': grace.first });
      await press(here.page, 'Change password');
      await says(here.page, 'Your current password is wrong');
      await fill(here.page, { 'Current password': grace.second, 'New password': 'short' });
      await press(here.page, 'Change password');
      await says(here.page, 'Enter a password of 12 characters or more');
      await fill(here.page, { 'Current password': grace.second, 'New password': grace.first });
      await press(here.page, 'Change password');
      await says(here.page, 'Your password is changed.');
      await here.page.goto(house.page('/me/sessions'));
      must((await sessions(here.page)) === 1, 'all others are gone', await here.page.locator('main').innerText());
      [grace.first, grace.second] = [grace.second, grace.first];
      noComplaints(here, there);
    }],

    ['an admin disables somebody, whose next request is refused, and enables them again', async (browser) => {
      const { house, desk } = now();
      const her = await person(browser);
      await signIn(her.page, `${house.at('lab')}/`, grace.email, grace.second);
      await arrived(her.page, 'Laboratory');
      await toUsers(desk.page);
      await row(desk.page, grace.email).getByRole('link', { name: 'Grace Hopper', exact: true }).click();
      await heading(desk.page, 'Grace Hopper');
      await desk.page.getByRole('link', { name: 'Disable' }).click();
      await desk.page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
      await desk.page.getByRole('button', { name: 'Enable' }).waitFor();
      must([401, 403].includes((await toldNext(her.page)).status), 'the next request is refused');
      await press(desk.page, 'Enable');
      await desk.page.getByRole('link', { name: 'Disable' }).waitFor();
      await signIn(her.page, house.page('/'), grace.email, grace.second);
      await home(her.page);
      noComplaints(desk);
    }],

    ['wrong passwords shut the name for that network, and nobody elsewhere', async (browser) => {
      const { house } = now();
      const guesser = await person(browser, { from: '198.51.100.7' });
      await guesser.page.goto(house.page('/sign-in'));
      for (let time = 0; time < 10; time += 1) {
        await fill(guesser.page, { 'Email or username': grace.email, Password: `guess number ${time}` });
        await press(guesser.page, 'Sign in');
        await says(guesser.page, 'Email, username or password is wrong.');
      }
      await fill(guesser.page, { 'Email or username': grace.email, Password: grace.second });
      await press(guesser.page, 'Sign in');
      await says(guesser.page, 'Too many tries. Wait 15 minutes, or reset your password.');
      const her = await person(browser);
      await signIn(her.page, house.page('/'), grace.email, grace.second);
      await home(her.page);
      house.command('ban', 'clear', '--all');
      await fill(guesser.page, { 'Email or username': grace.email, Password: grace.second });
      await press(guesser.page, 'Sign in');
      await home(guesser.page);
      noComplaints(her);
    }],

    ['signing out anywhere ends the session everywhere', async (browser) => {
      const { house } = now();
      const her = await person(browser);
      await signIn(her.page, `${house.at('lab')}/`, grace.email, grace.second);
      await arrived(her.page, 'Laboratory');
      await her.page.goto(house.page('/'));
      await home(her.page);
      await openMenu(her.page);
      await press(her.page, 'Sign out');
      await heading(her.page, 'You are signed out');
      await her.page.goto(`${house.at('lab')}/`);
      await her.page.getByLabel('Email or username').waitFor();
      await signIn(her.page, `${house.at('lab')}/`, grace.email, grace.second);
      await arrived(her.page, 'Laboratory');
      await her.page.goto(`${house.at('lab')}/.portcullis/sign-out`);
      await heading(her.page, 'Sign out?');
      await press(her.page.locator('main'), 'Sign out');
      await heading(her.page, 'You are signed out');
      await her.page.goto(house.page('/me/security'));
      await her.page.getByLabel('Email or username').waitFor();
      noComplaints(her);
    }],

    ['with script off the whole way works: add, register, reset, role, application, sign-out', async (browser) => {
      const { house } = now();
      const off = { javaScriptEnabled: false };
      const desk = await person(browser, off);
      const { page } = desk;
      await signIn(page, house.page('/'), ada.name, ada.password);
      await home(page);
      await page.locator('details.menu summary').click();
      await page.getByRole('link', { name: 'Admin', exact: true }).click();
      await heading(page, 'Users');
      const email = 'lin@example.org';
      await fill(page.locator('#add'), { Email: email, Username: 'lin', 'First name': 'Lin', 'Last name': 'Wu' });
      await press(page.locator('#add'), 'Add user and make a token');
      const token = (await row(page, email).locator('.chip code').filter({ visible: true }).first().innerText()).trim();
      must(shapes.code.test(token), 'the token stands there as text', token);

      const lin = await person(browser, off);
      await newAccount(lin.page, house, email, token, 'forty green bicycles 2');
      await home(lin.page);
      await lin.page.goto(house.page('/sign-out'));
      await press(lin.page.locator('main'), 'Sign out');
      await heading(lin.page, 'You are signed out');
      await lin.page.goto(house.page('/account/reset'));
      await fill(lin.page, { Email: email });
      await press(lin.page, 'Request a reset token');
      await lin.page.getByRole('link', { name: 'I have a reset token' }).click();
      await fill(lin.page, { Email: email, 'Reset token': house.command('user', 'token', email), 'New password': 'forty blue bicycles 3' });
      await press(lin.page, 'Set password and sign in');
      await home(lin.page);

      await page.goto(house.page('/admin/users'));
      await row(page, email).getByRole('link', { name: /change the role of/ }).click();
      await heading(page, /Make Lin Wu/);
      await page.locator('main form button[type=submit]').click();
      await heading(page, 'Users');
      must(JSON.parse(house.command('user', 'show', email, '--json')).roles.includes('admin'), 'the role is changed');
      house.command('user', 'role', email, 'user');

      const reader = await person(browser, off);
      await signIn(reader.page, `${house.at('lab')}/read`, email, 'forty blue bicycles 3');
      await arrived(reader.page, 'Laboratory');
      noComplaints(desk, lin, reader);
    }],
  ];
}
