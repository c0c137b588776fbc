#!/usr/bin/env python3
"""Starts portcullis as bench.py wants its contestants: `portcullis.py DIR LISTEN UPSTREAM SCHEME THREADS CERT KEY`.

Writes settings and a policy into DIR, adds a person whose membership is bound to loopback and other networks, signs them in through the
form as a browser would, writes their cookie to DIR/cookie, and becomes the server. The program is $PORTCULLIS_BIN, else the release build.
"""
import http.client, os, re, ssl, subprocess, sys, time, urllib.parse

PASSWORD = "correct horse battery staple"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SETTINGS = """
[server]
public_url = "{scheme}://{listen}"
threads = {threads}

[listen]
{listeners}
management = "127.0.0.1:0"

{tls}
[limits]
connections_per_address = 20000
idle = "10m"
forms = "1000000/1m"

[decision_log]
file = "data/decisions.jsonl"
sample_allow = 0.0                             # access logging is off for the others too
"""

# What a request has to meet: the network its team is bound to, and a role that counts only there.
POLICY = """
[ip_pattern.desks]
title = "Desks"
include = ["10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8"]

[team.users]
title = "Users"
ip_pattern = ["desks"]

[role.member]
title = "Member"
scope = "team"

[app.bench]
title = "Bench"
host = "{host}"
upstream = "http://{upstream}"
require = {{ roles = ["member"] }}
max_body = "1GiB"

[app.echo]
title = "Echo"
host = "{host}"
path = "/ws"
upstream = "http://{echo}"
require = {{ roles = ["member"] }}
websocket = true
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f: f.write(text)


def binary():
    return os.environ.get("PORTCULLIS_BIN") or os.path.join(ROOT, "target/release/portcullis")


def add(config, name, *more):
    """adds a person; the first one ever is an administrator"""
    done = subprocess.run([binary(), "--config", config, "user", "add", "--email", f"{name}@example.org", "--username", name, "--password-stdin", *more],
                          input=PASSWORD, text=True, capture_output=True)
    if done.returncode: sys.exit(f"{name} cannot be added: {done.stdout}{done.stderr}")


def settings(d, listen, upstream, scheme, threads, cert, key, echo="127.0.0.1:9", policy=POLICY, more=""):
    tls = f'[tls]\ncert_file = "{cert}"\nkey_file = "{key}"\n' if scheme == "https" else ""
    listeners = f'https = "{listen}"\nhttp = []' if scheme == "https" else f'http = "{listen}"'
    write(f"{d}/config/portcullis.toml", SETTINGS.format(scheme=scheme, listen=listen, threads=threads, listeners=listeners, tls=tls) + more)
    write(f"{d}/policies/bench.toml", policy.format(host=listen.rsplit(":", 1)[0], upstream=upstream, echo=echo))
    return f"{d}/config/portcullis.toml"


def connect(listen, scheme):
    host, port = listen.rsplit(":", 1)
    if scheme == "http": return http.client.HTTPConnection(host, int(port), timeout=10)
    return http.client.HTTPSConnection(host, int(port), timeout=10, context=ssl._create_unverified_context())


def jar(answer, cookies):
    for line in answer.headers.get_all("Set-Cookie") or []:
        name, value = line.split(";", 1)[0].split("=", 1)
        cookies[name] = value
        if not value: del cookies[name]


def sign_in(listen, scheme, name):
    """through the form: its hidden values, then the cookie of the answer"""
    origin, cookies = f"{scheme}://{listen}", {}

    def ask(method, path, fields=None):
        c = connect(listen, scheme)
        head = {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())} if cookies else {}
        if fields is not None: head |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        c.request(method, path, urllib.parse.urlencode(fields) if fields is not None else None, head)
        answer = c.getresponse(); body = answer.read().decode(); jar(answer, cookies); c.close()
        return answer.status, body

    end = time.time() + 30
    while True:
        try: status, page = ask("GET", "/.portcullis/sign-in"); break
        except OSError:
            if time.time() > end: raise
            time.sleep(0.05)
    fields = {m[1]: m[2] for m in re.finditer(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)}
    status, page = ask("POST", "/.portcullis/sign-in", fields | {"username": name, "password": PASSWORD})
    cookie = "__Host-portcullis" if scheme == "https" else "portcullis"
    if status not in (302, 303) or cookie not in cookies: sys.exit(f"{name} cannot sign in: {status}\n{page}")
    return f"{cookie}={cookies[cookie]}"


def main():
    d, listen, upstream, scheme, threads, cert, key = sys.argv[1:8]
    config = settings(d, listen, upstream, scheme, threads, cert, key, os.environ.get("BENCH_ECHO", "127.0.0.1:9"))
    add(config, "root7")
    add(config, "user7", "--team", "users", "--role", "member")
    if os.fork() == 0:
        try:
            cookie = sign_in(listen, scheme, "user7")
            write(f"{d}/cookie.new", cookie + "\n"); os.rename(f"{d}/cookie.new", f"{d}/cookie")
        finally: os._exit(0)
    os.execv(binary(), [binary(), "--config", config, "serve", "--log", "warn"])


if __name__ == "__main__":
    main()
