// The life of an invitation, as those who invite and those who are invited meet it: with mail, with script and without.

import { addresses, openHouse } from './house.mjs';
import { look } from './looks.mjs';
import { arrived, fill, heading, home, must, noComplaints, openMenu, person, press, row, says } from './people.mjs';
import { startPost } from './post.mjs';

const ada = { name: 'ada', email: 'ada@example.org', password: 'walnut orbit ledger 7' };
const kim = { name: 'kim', email: 'kim@example.org', password: 'correct kim staple 3' };
const lee = { name: 'lee', email: 'lee@example.org', password: 'correct lee staple 3' };

const policy = `
[idp.northgate]
kind = "saml"
title = "Northgate"
metadata = "idp/northgate.xml"

[role.keeper]
title = "Team Permission Administrator"
scope = "team"
admin = ["users", "projects", "invitations"]
grantable_by = ["keeper", "admin"]

[role.quality]
title = "Team Data Quality Manager"
scope = "team"
grantable_by = ["keeper", "admin"]

[team.acme]
title = "ACME Research"
roles = ["keeper", "quality"]
apps = ["notes", "stock"]
idps = ["northgate"]

[app.notes]
title = "Notebook"
host = "notes.localhost"
upstream = "http://127.0.0.1:{echo}"
require = { assigned = true }
permission.write = { title = "Write pages" }
permission.sign = { title = "Sign pages" }
rule = [{ path = "/sign/**", require = { permissions = ["sign"] } }]

[app.stock]
title = "Stock room"
host = "stock.localhost"
upstream = "http://127.0.0.1:{echo}"
require = { assigned = true }
permission.order = { title = "Order" }
`;

const metadata = '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.northgate.example"><IDPSSODescriptor/></EntityDescriptor>';

async function register(house, page, who) {
  await page.goto(house.page('/account/new'));
  await fill(page, { Email: who.email, 'Registration token': house.command('user', 'token', who.email), 'New password': who.password });
  await press(page, 'Create account and sign in');
  await home(page);
}

async function openInvite(page) {
  await openMenu(page);
  await page.getByRole('link', { name: 'Admin', exact: true }).click();
  await page.getByRole('link', { name: 'Invitations' }).first().click();
  await heading(page, 'Invitations');
  await page.getByRole('link', { name: 'Invite User' }).first().click();
  await heading(page, 'Invite User');
}

const save = (page) => press(page, 'Save & Send Invite');
const linkIn = (letter) => /http:\/\/\S+\/invite\/\S+/.exec(letter.text)[0];

/** Fills the account form in and is on the token page. */
async function fillIn(page, link, name) {
  await page.goto(link);
  await heading(page, 'Join ACME Research');
  await fill(page, { 'First name': name, 'Last name': 'Osei', Username: name, 'New password': `correct ${name} staple 3` });
  await press(page, 'Send me a token');
  await heading(page, 'Check your email');
}

async function enter(page, token) {
  await fill(page, { 'Token from the email': token });
  await press(page, 'Finish registration');
}

/** The stories of a house whose team administrator invites people by mail, in their order. */
export function invitationStories() {
  let house;
  let post;
  let desk; // the team administrator's browser, signed in

  const newest = async (to, subject) => {
    const letter = await post.letter(to, subject);
    post.letters.splice(post.letters.indexOf(letter), 1);
    return letter;
  };
  const statusOf = async (email) => {
    await desk.page.goto(house.page('/admin/invitations'));
    return row(desk.page, email).innerText();
  };

  const told = [
    ['invitations: a team, its administrator and a member to copy from', async (browser) => {
      post = await startPost();
      house = await openHouse({ mail: post.url, more: policy, files: { 'idp/northgate.xml': metadata } });
      house.command('user', 'add', '--email', ada.email, '--username', ada.name, '--given-name', 'Ada', '--family-name', 'Lovelace');
      for (const [who, ...more] of [[kim, '--role', 'keeper'], [lee]]) {
        house.command('user', 'add', '--email', who.email, '--username', who.name, '--given-name', who.name, '--family-name', 'Example', '--team', 'acme', ...more);
      }
      desk = await person(browser);
      await register(house, desk.page, kim);
      for (const name of ['Alpha', 'Beta']) {
        await desk.page.goto(house.page('/admin/projects'));
        await fill(desk.page, { Name: name });
        await press(desk.page, 'Add project');
        await says(desk.page, name);
      }
      const { id } = JSON.parse(house.command('user', 'show', lee.email, '--json'));
      const { page } = desk;
      await page.goto(house.page(`/admin/users/${id}/teams/acme`));
      await page.getByRole('checkbox', { name: 'Notebook' }).check();
      await page.getByRole('tab', { name: 'Notebook' }).or(page.getByRole('link', { name: 'Notebook' })).first().click();
      await page.getByRole('checkbox', { name: 'Sign pages' }).check();
      await page.getByRole('tab', { name: 'Projects' }).or(page.locator('nav.list').getByRole('link', { name: 'Projects' })).first().click();
      await page.getByRole('group', { name: 'Permission in Alpha' }).getByText('Guest').click();
      await look(page, 'membership');
      await press(page, 'Save');
      await says(page, /The membership is changed/);
      noComplaints(desk);
    }],

    ['invitations: required fields are marked, and what is wrong is said at the field and above', async () => {
      const { page } = desk;
      await openInvite(page);
      for (const label of ['Email', 'Team']) must(await page.locator('label').filter({ hasText: new RegExp(`^${label} \\*$`) }).count() === 1, `${label} is marked as required`);
      await save(page);
      await says(page, 'There is a problem');
      must(await page.locator('#email-err').count() === 1, 'and said at the field');
      await fill(page, { Email: lee.email });
      await save(page);
      await says(page, 'Someone in ACME Research already uses this email address');
      must(await page.getByLabel(/^Email/).inputValue() === lee.email, 'what was typed is kept');
      await look(page, 'invite user, with problems');
      noComplaints(desk);
    }],

    ...[true, false].map((javaScriptEnabled) => {
      const how = javaScriptEnabled ? 'with' : 'without';
      const name = javaScriptEnabled ? 'sam' : 'noor';
      const email = `${name}@example.org`;
      return [`invitations: somebody is invited with what a colleague has, registers and is at work at once, ${how} script`, async (browser) => {
        const inviting = javaScriptEnabled ? desk : await person(browser, { javaScriptEnabled, storageState: await desk.context.storageState() });
        const { page } = inviting;
        await page.goto(house.page('/admin/invitations/new'));
        const providers = await page.getByLabel('SAML ID provider').locator('option').allInnerTexts();
        must(providers.includes('Northgate') && providers.some((words) => /password/.test(words)), 'the drop-down offers the team’s providers', providers);
        const patterns = await page.getByLabel('IP pattern').locator('option').allInnerTexts();
        must(patterns.some((words) => /Office.*10\.9\.0\.0\/16/.test(words)), 'and patterns with what they cover', patterns);
        await fill(page, { Email: email });
        await page.getByLabel('IP pattern').selectOption('office');

        await page.getByLabel('User', { exact: true }).selectOption({ label: 'lee Example (lee@example.org)' });
        await page.getByRole('checkbox', { name: 'Project permissions' }).check();
        await press(page, 'Copy');
        await says(page, 'Copied into the form below, and not saved yet:');
        await says(page, /Project Alpha: guest/i);
        must(!(await page.getByRole('checkbox', { name: 'Notebook' }).isChecked()), 'project permissions alone are copied');
        await page.getByRole('checkbox', { name: 'Project permissions' }).uncheck();
        await page.getByRole('checkbox', { name: 'Application permissions' }).check();
        await press(page, 'Copy');
        await says(page, 'Notebook: Sign pages');
        must(await page.getByRole('checkbox', { name: 'Notebook' }).isChecked(), 'the application is ticked');

        // Each ticked application opens its tab of permissions.
        if (javaScriptEnabled) {
          must(await page.getByRole('tab', { name: 'Stock room' }).count() === 0, 'no tab without a tick');
          await page.getByRole('checkbox', { name: 'Stock room' }).check();
          await page.getByRole('tab', { name: 'Stock room' }).click();
        } else await page.getByRole('checkbox', { name: 'Stock room' }).check();
        await page.getByRole('checkbox', { name: 'Order' }).check();
        await says(page, 'These work from the moment this person registers.');
        await page.getByRole('checkbox', { name: 'Team Permission Administrator' }).check();
        await page.locator('#reach').getByRole('button', { name: 'Show' }).click();
        const reach = await page.locator('#reach').innerText();
        must(/Notebook\s+Allowed\s+From Office, signed in with a password/.test(reach), 'the preview says what will be reached, from where, signed in how', reach);
        if (javaScriptEnabled) await look(page, 'invite user, filled in');
        await save(page);
        await says(page, `Invitation sent to ${email}.`);

        // The letter; mail scanners open its link before anybody does.
        const link = linkIn(await newest(email, 'invited you'));
        must(link.startsWith(house.portal), 'the link leads to the portal', link);
        const scanner = await person(browser, { from: addresses.home });
        for (let time = 0; time < 3; time += 1) must((await scanner.page.goto(link)).status() === 200, 'opening the link changes nothing');
        must(/Sent/.test(await statusOf(email)), 'and the list says it is sent');

        const theirs = await person(browser, { javaScriptEnabled });
        await fillIn(theirs.page, link, name);
        if (javaScriptEnabled) await look(theirs.page, 'invitation, token page');
        await says(theirs.page, 'Stay on this page.');
        must(/Token sent/.test(await statusOf(email)), 'the list says how far it is');
        const first = (await newest(email, 'token')).token;
        must(!(await statusOf(email)).includes(first), 'no administrator sees what was mailed');
        await enter(theirs.page, `${first.slice(0, -1)}!`);
        await says(theirs.page, 'Invalid characters found');

        // A tab that is closed loses nothing: the original link starts again, and the first token has ended.
        await theirs.page.goto('about:blank');
        await fillIn(theirs.page, link, name);
        const second = (await newest(email, 'token')).token;
        await enter(theirs.page, first);
        await says(theirs.page, /tries? left/);
        await enter(theirs.page, ` ${second.toLowerCase().replace('-', ' ')} `);
        await home(theirs.page);
        await theirs.page.goto(house.page('/'));
        await openMenu(theirs.page);
        await theirs.page.getByRole('link', { name: 'Admin', exact: true }).click();
        await heading(theirs.page, 'Users');
        await theirs.page.goto(`${house.at('notes')}/sign/1`);
        await arrived(theirs.page, 'Laboratory');

        const again = await person(browser, { javaScriptEnabled, from: addresses.home });
        await again.page.goto(link);
        await heading(again.page, 'This invitation has ended');
        await desk.page.goto(house.page('/admin/invitations'));
        must(await row(desk.page, email).count() === 0, 'and it has left the list');
        noComplaints(inviting, theirs, again);
        await theirs.context.close();
      }];
    }),

    ['invitations: a locked token starts again at the link; sending again ends the link before', async (browser) => {
      const { page } = desk;
      const email = 'max@example.org';
      await page.goto(house.page('/admin/invitations/new'));
      await fill(page, { Email: email });
      await save(page);
      const first = linkIn(await newest(email, 'invited you'));
      const max = await person(browser);
      await fillIn(max.page, first, 'max');
      const { token } = await newest(email, 'token');
      const wrong = token === '0000-0000' ? '1111-1113' : '0000-0000';
      for (let time = 0; time < 5; time += 1) await enter(max.page, wrong);
      await heading(max.page, /locked/);
      await look(max.page, 'invitation, token locked');
      must(/Token locked/.test(await statusOf(email)), 'the list says so');
      await max.page.getByRole('link', { name: 'Start again' }).click();
      await heading(max.page, 'Join ACME Research');
      await look(max.page, 'invitation, account form');
      await row(page, email).getByRole('link', { name: email }).click();
      await look(page, 'an open invitation');
      await page.goto(house.page('/admin/invitations'));
      await row(page, email).getByRole('button', { name: /^Send again/ }).click();
      const second = linkIn(await newest(email, 'invited you'));
      await max.page.goto(first);
      await heading(max.page, 'This invitation has ended');
      await max.page.goto(second);
      await heading(max.page, 'Join ACME Research');
      await page.goto(house.page('/admin/invitations'));
      await row(page, email).getByRole('button', { name: /^Delete/ }).click();
      await says(page, 'The invitation is deleted');
      await max.page.goto(second);
      await heading(max.page, 'This invitation has ended');
      noComplaints(desk, max);
    }],

    ['invitations: with a SAML ID provider the invitee meets its button and no password of ours', async (browser) => {
      const { page } = desk;
      const email = 'ivy@example.org';
      await page.goto(house.page('/admin/invitations/new'));
      await fill(page, { Email: email });
      await page.getByLabel('SAML ID provider').selectOption({ label: 'Northgate' });
      await save(page);
      const link = linkIn(await newest(email, 'invited you'));
      const ivy = await person(browser);
      await ivy.page.goto(link);
      await ivy.page.getByRole('link', { name: 'Continue with Northgate' }).waitFor();
      must(await ivy.page.locator('input[type=password], input[name=token]').count() === 0, 'no password and no token to type');
      await look(ivy.page, 'invitation, by a provider');
      noComplaints(desk, ivy);
    }],

    ['invitations: of two who change one, the second is shown what would change', async (browser) => {
      const { page } = desk;
      await page.goto(house.page('/admin/invitations'));
      await row(page, 'ivy@example.org').getByRole('link', { name: 'ivy@example.org' }).click();
      const other = await person(browser, { storageState: await desk.context.storageState() });
      await other.page.goto(page.url());
      await other.page.getByRole('checkbox', { name: 'Stock room' }).check();
      await press(other.page, 'Save');
      await heading(other.page, 'Invitations');
      await page.getByRole('checkbox', { name: 'Team Data Quality Manager' }).check();
      await press(page, 'Save');
      await says(page, /Somebody changed this while the form was open/);
      await says(page, 'Saving now would change this:');
      await says(page, 'Stock room: no longer given');
      await says(page, 'Team Data Quality Manager: given');
      await look(page, 'an open invitation, changed meanwhile');
      await press(page, 'Save');
      await heading(page, 'Invitations');
      noComplaints(desk, other);
    }],

    ['invitations: somebody with an account joins with it, once it is registered, after agreeing', async (browser) => {
      const { page } = desk;
      await page.goto(house.page('/admin/invitations/new'));
      await fill(page, { Email: ada.email });
      await save(page);
      const link = linkIn(await newest(ada.email, 'invited you'));
      const hers = await person(browser);
      await hers.page.goto(link);
      await says(hers.page, 'This address has an account here that was never finished.');
      await look(hers.page, 'invitation, to an account that waits');
      await register(house, hers.page, ada);
      await hers.page.goto(link);
      await says(hers.page, 'You join with the account you have.');
      await look(hers.page, 'invitation, to join with an account');
      await press(hers.page, 'Join ACME Research');
      const { memberships } = JSON.parse(house.command('user', 'show', ada.email, '--json'));
      must(memberships.some((one) => one.team === 'acme'), 'they are in the team', memberships);
      noComplaints(desk, hers);
    }],
  ];
  return {
    told,
    close: async () => {
      await house?.close();
      post?.close();
    },
  };
}

/** An invitation whose time is over before anybody follows it: a house where they last for seconds. */
export function endedInvitations() {
  let house;
  return {
    told: [['invitations: a link that has ended says whom to ask, and is sent again from the list', async (browser) => {
      house = await openHouse({ signin: 'invitation_ttl = "2s"', more: policy, files: { 'idp/northgate.xml': metadata } });
      // A registration token lasts as long: the first admin is made with a password.
      house.commandWith(ada.password, 'user', 'add', '--email', ada.email, '--username', ada.name, '--given-name', 'Ada', '--family-name', 'Lovelace', '--password-stdin');
      const desk = await person(browser);
      await desk.page.goto(house.page('/sign-in'));
      await fill(desk.page, { 'Email or username': ada.email, Password: ada.password });
      await press(desk.page, 'Sign in');
      await home(desk.page);
      await desk.page.goto(house.page('/admin/invitations/new?team=acme'));
      await fill(desk.page, { Email: 'sam@example.org' });
      await save(desk.page);
      const link = await desk.page.locator('[data-copy*="/invite/"]').first().getAttribute('data-copy');
      const sam = await person(browser);
      for (let time = 0; time < 100; time += 1) {
        await sam.page.goto(link);
        if (await sam.page.getByRole('heading', { name: 'This invitation has ended' }).count()) break;
      }
      await heading(sam.page, 'This invitation has ended');
      await desk.page.goto(house.page('/admin/invitations'));
      await says(desk.page, 'Ended');
      await row(desk.page, 'sam@example.org').getByRole('button', { name: /^Send again/ }).click();
      const second = await desk.page.locator('[data-copy*="/invite/"]').first().getAttribute('data-copy');
      must(second !== link, 'sending again makes a new link');
      noComplaints(desk, sam);
    }]],
    close: () => house?.close(),
  };
}
