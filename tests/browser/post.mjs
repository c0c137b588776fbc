// A mail server on loopback that keeps what it takes. Whoever begins with `gone` is unknown to it, and whoever begins with `later` has to be tried again.

import { createServer } from 'node:net';

/** Starts one; `letters` fills up, `letter(to, subject)` waits for one. */
export async function startPost() {
  const letters = [];
  const waiting = new Set();
  const server = createServer((socket) => {
    let to = '';
    let raw = null;
    let rest = '';
    const say = (line) => socket.write(`${line}\r\n`);
    const hear = (line) => {
      if (raw !== null) {
        if (line !== '.') raw += `${line.replace(/^\./, '')}\r\n`;
        else {
          letters.push(letter(to, raw));
          raw = null;
          say('250 2.0.0 queued');
          for (const look of waiting) look();
        }
        return;
      }
      const word = line.slice(0, 4).toUpperCase();
      if (word === 'EHLO') say('250 mail.example');
      else if (word === 'RCPT') {
        to = /<(.*)>/.exec(line)[1];
        if (to.startsWith('gone')) say('550 5.1.1 no such user here');
        else if (to.startsWith('later')) say('451 4.7.1 come again later');
        else say('250 ok');
      } else if (word === 'DATA') {
        raw = '';
        say('354 go on');
      } else if (word === 'QUIT') {
        say('221 bye');
        socket.end();
      } else say('250 ok');
    };
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const lines = (rest + bytes.toString('latin1')).split('\r\n');
      rest = lines.pop();
      lines.forEach(hear);
    });
    say('220 mail.example ESMTP');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    letters,
    url: `smtp://127.0.0.1:${server.address().port}`,
    /** Waits for a letter to somebody whose subject has these words. */
    letter(to, subject) {
      return new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no letter to ${to} about ${subject}: ${JSON.stringify(letters.map((one) => [one.to, one.subject]))}`)), 60_000);
        const look = () => {
          const found = letters.find((one) => one.to === to && one.subject.includes(subject));
          if (!found) return;
          clearTimeout(late);
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      });
    },
    close() {
      server.close();
    },
  };
}

function letter(to, raw) {
  const subject = /^Subject: (.*)$/m.exec(raw)[1].trim();
  const text = raw.replaceAll('=\r\n', '').replaceAll('=3D', '=');
  return { to, subject, text, token: /^ {4}([0-9A-Z]{4}-[0-9A-Z]{4})\r?$/m.exec(text)?.[1] };
}
