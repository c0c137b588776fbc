// A house to play in: the real gateway with a store of its own in a temporary folder, and an application behind it that tells what reached it.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const binary = process.env.PORTCULLIS_BINARY ?? join(here, '../../target/debug/portcullis');

/** Addresses people come from. The gateway believes X-Forwarded-For from loopback, so each browser can be anywhere. */
export const addresses = { office: '10.9.3.7', home: '203.0.113.9' };

const bases = '/.portcullis';

/**
 * Starts a gateway and waits until it says `ready`. `signin` and `more` are added to the policy, with the application's port in the place of `{echo}`;
 * `files` are more of its files by name; `mail` is where its mail goes.
 */
export async function openHouse({ signin = '', more = '', files = {}, mail = '' } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-browser-'));
  const echo = await startEcho();
  const [port, deadPort] = await freePorts(2);
  const at = (host) => `http://${host}.localhost:${port}`;
  mkdirSync(join(folder, 'config'));
  mkdirSync(join(folder, 'policies'));
  const config = join(folder, 'config/portcullis.toml');
  writeFileSync(config, settings(port, at('portal')) + (mail && `[mail]\nurl = "${mail}"\nfrom = "gate@example.org"\n`));
  const policy = join(folder, 'policies/house.toml');
  const rules = houseRules(echo.port, deadPort, signin) + more.replaceAll('{echo}', echo.port);
  writeFileSync(policy, rules);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, 'policies', name)), { recursive: true });
    writeFileSync(join(folder, 'policies', name), text);
  }

  const child = spawn(binary, ['serve', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = [];
  const log = [];
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the gateway did not say `ready` in 60 seconds')), 60_000);
    const tell = (what) => new Error(`${what}\n${[...said, ...log].join('\n')}`);
    child.on('error', (error) => reject(tell(`${binary} does not start: ${error.message}`)));
    child.on('close', (code) => reject(tell(`the gateway ended with ${code} before it was ready`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      said.push(line);
      if (line.trim() === 'ready') {
        clearTimeout(late);
        resolve();
      }
    });
  });

  return {
    portal: at('portal'),
    at,
    log,
    said,
    folder,
    policy,
    rules,
    page: (path) => at('portal') + bases + path,
    /** Runs `portcullis ARGS` beside the running gateway and gives what it printed. */
    command: (...args) => execFileSync(binary, [...args, '--config', config], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim(),
    /** The same with something on its standard input. */
    commandWith: (input, ...args) => execFileSync(binary, [...args, '--config', config], { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] }).trim(),
    /** The exit status and all words of a command that may fail. */
    attempt(...args) {
      try {
        return { status: 0, words: this.command(...args) };
      } catch (error) {
        return { status: error.status, words: `${error.stdout}${error.stderr}` };
      }
    },
    async close() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.on('exit', resolve));
        child.kill('SIGTERM');
        const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
        await ended;
        clearTimeout(late);
      }
      echo.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const settings = (port, portal) => `
trusted_proxies = ["127.0.0.1/32", "::1/128"]
server.public_url = "${portal}"
listen = { http = "127.0.0.1:${port}", management = "127.0.0.1:0" }
policy = { watch = false, require_tests = false }
`;

const houseRules = (echo, dead, signin) => `
signin = { methods = ["password"]${signin && `, ${signin}`} }

[ip_pattern.office]
title = "Office"
include = ["10.9.0.0/16"]

[role.curator]
title = "Curator"
grantable_by = ["admin"]

[app.lab]
title = "Laboratory"
host = "lab.localhost"
upstream = "http://127.0.0.1:${echo}"
require = { signed_in = true }
rule = [
  { path = "/slow", timeout = { first_byte = "1s" } },
  { path = "/open/**", access = "public" },
  { path = "/curators/**", require = { roles = ["curator"] } },
  { path = "/admins/**", require = { roles = ["admin"] } },
  { path = "/fresh/**", max_age = "1s" },
  { path = "/second/**", mfa = "required" },
]

[app.vault]
title = "Vault"
host = "vault.localhost"
upstream = "http://127.0.0.1:${echo}"
require = { signed_in = true }
ip_pattern = ["office"]

[app.archive]
title = "Archive"
host = "archive.localhost"
upstream = "http://127.0.0.1:${dead}"
require = { signed_in = true }

[app.registry]
title = "Registry"
host = "registry.localhost"
path = "/books"
upstream = "http://127.0.0.1:${echo}"
require = { roles = ["curator"] }
`;

/** An application: a page for a browser, JSON for a script, both with the headers that reached it. \`/slow\` never answers. */
async function startEcho() {
  const server = createServer((request, response) => {
    if (request.url.startsWith('/slow')) return;
    const record = JSON.stringify({ method: request.method, target: request.url, headers: request.headers });
    const asPage = (request.headers.accept ?? '').includes('text/html');
    const escaped = record.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    response.setHeader('content-type', asPage ? 'text/html; charset=utf-8' : 'application/json');
    response.end(asPage ? `<!DOCTYPE html><html lang="en"><title>Laboratory</title><h1>Laboratory</h1><pre id="record">${escaped}</pre>` : record);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Ports nobody listens on. They are taken together, so that they differ. */
async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve) => {
    const server = createTcpServer();
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
