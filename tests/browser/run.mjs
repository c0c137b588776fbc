// Plays all stories in Chromium and looks at every page. Ends with 1 and the names if one did not hold.
//
//   node run.mjs [WORDS]       only what has WORDS in its title (and what comes first in the same house)
//   PORTCULLIS_BINARY          the gateway (target/debug/portcullis)
//   PORTCULLIS_CHROMIUM        the browser (/usr/bin/chromium)
//   PORTCULLIS_SHOTS           a folder for pictures of every page, light and dark, wide and narrow

import { existsSync } from 'node:fs';
import { binary } from './house.mjs';
import { endedInvitations, invitationStories } from './invitations.mjs';
import { looks } from './looks.mjs';
import { mailStories } from './mail.mjs';
import { launch } from './people.mjs';
import { stories } from './stories.mjs';

if (!existsSync(binary)) {
  console.error(`no gateway at ${binary}: cargo build, or name one in PORTCULLIS_BINARY`);
  process.exit(1);
}
const wanted = process.argv[2] ?? '';
const browser = await launch().catch((error) => {
  console.error(error.message);
  process.exit(1);
});

const failed = [];
let passed = 0;

/** Plays one group in its order. The first story opens the house: without it the others cannot be told. */
async function play({ told, close }) {
  const last = told.findLastIndex(([title]) => title.includes(wanted));
  for (const [index, [title, story]] of told.slice(0, last + 1).entries()) {
    const began = Date.now();
    try {
      await limited(story(browser), 600_000);
      passed += 1;
      console.log(`ok    ${title} (${Date.now() - began} ms)`);
    } catch (error) {
      failed.push(title);
      console.log(`FAIL  ${title}\n      ${error.stack.replaceAll('\n', '\n      ')}`);
      await tellWhereEverybodyIs();
      if (index === 0) break;
    }
  }
  for (const context of browser.contexts()) await context.close();
  await close();
}

const limited = (work, most) => {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done after ${most / 1000} s`)), most); });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

async function tellWhereEverybodyIs() {
  for (const page of browser.contexts().flatMap((context) => context.pages())) {
    const words = await page.locator('body').innerText({ timeout: 1000 }).catch(() => '');
    console.log(`      at ${page.url()}\n        ${words.slice(0, 700).replaceAll(/\n+/g, '\n        ')}`);
  }
}

const began = Date.now();
await play(stories('code', ''));
await play(stories('digits', 'token_style = "digits", token_digits = 4'));
await play(mailStories());
await play(invitationStories());
await play(endedInvitations());
await play(looks());
await browser.close();

for (const title of failed) console.log(`failed: ${title}`);
console.log(`${passed} passed, ${failed.length} failed in ${Math.round((Date.now() - began) / 1000)} s`);
process.exit(failed.length ? 1 : 0);
