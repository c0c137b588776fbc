// What people do where mail is set up: a forgotten password, and what administrators see of letters.

import { addresses, openHouse } from './house.mjs';
import { look } from './looks.mjs';
import { fill, heading, home, must, noComplaints, person, press, row, says, signIn, toUsers } from './people.mjs';
import { startPost } from './post.mjs';

const ada = { name: 'ada', email: 'ada@example.org', password: 'walnut orbit ledger 7' };
const people = ['grace', 'gone', 'later'].map((name) => ({ name, email: `${name}@example.org`, password: `correct ${name} staple 3` }));
const grace = people[0];

/** The stories of a house that sends mail, in their order. */
export function mailStories() {
  let house;
  let post;
  let desk; // the admin's browser, signed in

  async function register(page, who) {
    await page.goto(house.page('/account/new'));
    await fill(page, { Email: who.email, 'Registration token': house.command('user', 'token', who.email), 'New password': who.password });
    await press(page, 'Create account and sign in');
    await home(page);
  }

  async function ask(page, email) {
    await page.goto(house.page('/account/reset'));
    await fill(page, { Email: email });
    await press(page, 'Request a reset token');
    await heading(page, 'Request received');
    await says(page, 'It comes by email.');
  }

  const told = [
    ['mail: a gateway that sends mail, and people in it', async (browser) => {
      post = await startPost();
      house = await openHouse({ mail: post.url });
      for (const who of [ada, ...people]) {
        house.command('user', 'add', '--email', who.email, '--username', who.name, '--given-name', who.name, '--family-name', 'Example');
        const theirs = await person(browser);
        await register(theirs.page, who);
        if (who === ada) desk = theirs;
        else await theirs.context.close();
      }
    }],

    ...[true, false].map((javaScriptEnabled) => [
      `mail: a forgotten password is reset with a token that is mailed and that no admin sees, ${javaScriptEnabled ? 'with' : 'without'} script`,
      async (browser) => {
        const her = await person(browser, { from: addresses.home, javaScriptEnabled });
        const before = post.letters.length;
        await ask(her.page, grace.email);
        const { token } = await post.letter(grace.email, 'reset token');
        await toUsers(desk.page);
        for (const place of ['/admin/users', '/admin/users?status=reset', '/admin/mail']) {
          await desk.page.goto(house.page(place));
          must(!(await desk.page.content()).includes(token), `no token of hers is at ${place}`, place);
        }
        must(!/Reset requested/.test(await desk.page.goto(house.page('/admin/users')).then(() => row(desk.page, grace.email).innerText())), 'nobody is asked to hand anything over');
        await her.page.goto(house.page('/account/reset/token'));
        grace.password = `another ${javaScriptEnabled ? 'harbour' : 'lantern'} violin 9`;
        await fill(her.page, { Email: grace.email, 'Reset token': token, 'New password': grace.password });
        await press(her.page, 'Set password and sign in');
        await home(her.page);
        await post.letter(grace.email, 'password was changed');
        must(post.letters.length === before + 2, 'each letter comes once', post.letters.map((one) => one.subject));
        post.letters.length = 0;
        noComplaints(her, desk);
      },
    ]),

    ['mail: the outbox shows what was sent, what waits and what failed', async (browser) => {
      const stranger = await person(browser, { from: addresses.home });
      for (const who of people.slice(1)) await ask(stranger.page, who.email);
      const { page } = desk;
      await page.goto(house.page('/admin/mail'));
      await press(page, 'Send me a test message');
      await says(page, 'A test message to you is on its way.');
      await post.letter(ada.email, 'Test message');
      for (let time = 0; time < 100; time += 1) {
        await page.goto(house.page('/admin/mail'));
        if (await page.getByText('Sending').count() === 0) break;
      }
      must(/Failed.*550 5\.1\.1 no such user here.*Not tried again/s.test(await row(page, 'gone@example.org').innerText()), 'a bounce says why', await page.innerText('main'));
      must(/Waiting.*451 4\.7\.1 come again later.*Next try/s.test(await row(page, 'later@example.org').innerText()), 'what waits says until when', await page.innerText('main'));
      await look(page, 'mail outbox, with messages');
      await page.goto(house.page('/admin/mail?status=failed'));
      must(await row(page, 'later@example.org').count() === 0, 'only what failed is listed');
      await row(page, 'gone@example.org').getByRole('button', { name: /^Try now/ }).click();
      await says(page, 'The message is tried now.');
      await row(page, 'later@example.org').getByRole('button', { name: /^Give up/ }).click();
      await says(page, 'The message is given up.');
      await says(page, 'Given up by an administrator.');
      noComplaints(desk, stranger);
    }],

    ['mail: a browser that is new to a person is told of', async (browser) => {
      const elsewhere = await person(browser, { from: addresses.home });
      await signIn(elsewhere.page, house.page('/'), grace.email, grace.password);
      await home(elsewhere.page);
      const { text } = await post.letter(grace.email, 'New sign-in');
      must(text.includes(addresses.home), 'with the address it came from', text);
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
