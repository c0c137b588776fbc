"""The rows below the table: what one decision costs, what waits costs, floods of sign-ins, durable writes, a million people, many rules."""
import asyncio, base64, glob, http.client, json, os, re, shutil, signal, socket, ssl, subprocess, sys, time, urllib.parse

import portcullis
from loads import idle, wrk
from measure import free_port, http_get, log, memory, spawn, stop, tree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PEOPLE = 1_000_000
CONSOLE_PEOPLE, CONSOLE_INVITATIONS = 100_000, 10_000
_programs = {}


def program(name):
    """one of benches/, built as `cargo bench` builds it"""
    if name not in _programs:
        out = subprocess.run(["cargo", "bench", "--locked", "--no-run", "--bench", name, "--message-format", "json"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        _programs[name] = next(m["executable"] for m in found if m.get("reason") == "compiler-artifact" and m.get("executable") and m["target"]["name"] == name)
    return _programs[name]


def inside(*words):
    """a figure from benches/scale.rs"""
    out = subprocess.run([program("scale"), *map(str, words)], check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


class Ours:
    """a portcullis of its own for one row"""
    name = base = "portcullis"
    tls = False

    def __init__(self, env, name, scheme="http", threads=None, policy=portcullis.POLICY, prepare=None, people=True, more=""):
        self.env, self.dir, self.scheme, self.tls = env, f"{env.work}/{name}", scheme, scheme == "https"
        os.makedirs(self.dir)
        self.port = free_port()
        self.listen = f"127.0.0.1:{self.port}"
        self.config = portcullis.settings(self.dir, self.listen, f"127.0.0.1:{env.upstream}", scheme, threads or env.threads, env.cert, env.key, policy=policy, more=more)
        if prepare: prepare(self.dir)
        if people:
            portcullis.add(self.config, "root7")
            portcullis.add(self.config, "user7", "--team", "users", "--role", "member")
        self.cookie = None
        self.start()

    def start(self):
        began = time.time()
        self.roots = [spawn([portcullis.binary(), "--config", self.config, "serve", "--log", "warn"], self.env.proxy_cpus, logfile=f"{self.dir}/log")]
        while True:
            try: socket.create_connection(("127.0.0.1", self.port), 1).close(); break
            except OSError:
                if self.roots[0].poll() is not None: raise RuntimeError(open(f"{self.dir}/log").read()[-400:])
                time.sleep(0.005)
        self.started_in = time.time() - began
        return self

    def sign_in(self):
        self.cookie = portcullis.sign_in(self.listen, self.scheme, "user7")
        return self

    def pids(self): return [pid for root in self.roots for pid in tree(root.pid)]

    def kill(self):
        for pid in self.pids():
            try: os.kill(pid, signal.SIGKILL)
            except ProcessLookupError: pass
        self.roots[0].wait()

    def close(self):
        stop(self.roots)
        shutil.rmtree(self.dir, ignore_errors=True)


def figure(value, bar, unit, least=False):
    met = value >= bar if least else value <= bar
    off = f"met" if met else f"off by {abs(value / bar - 1):.0%}"
    return f"{value:,.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}", f"{'≥' if least else '≤'} {bar:g}", off


def judging(env):
    """criterion's own figure for a decision that remembers what the session holds"""
    subprocess.run([program("requests"), "--bench", "decide/", "--warm-up-time", "1", "--measurement-time", "2"], cwd=ROOT, check=True, capture_output=True)
    for name in sorted(glob.glob(f"{ROOT}/target/criterion/decide/remembered/*/new/estimates.json")):
        micros = json.load(open(name))["median"]["point_estimate"] / 1000
        yield (f"Judging one request, {name.split('/')[-3]}", *figure(micros, 2, "µs"))


def at_rest(env):
    for scheme, bar in (("http", 60), ("https", 120)):
        ours = Ours(env, f"idle-{scheme}", scheme).sign_in()
        found = idle(ours, 10_000)
        ours.close()
        whole = found["n"] == 10_000 and found["again"] == found["asked"]
        yield (f"10,000 idle connections {'over TLS' if ours.tls else 'in clear'}" + ("" if whole else f" (only {found['n']}, {found['again']} of {found['asked']} answered again)"), *figure(found["per10k"], bar, "MiB"))


FLOOD = r"""
import asyncio,sys,time,urllib.parse
sys.path.insert(0,sys.argv[1])
import portcullis,re,http.client
listen,rate,seconds=sys.argv[2],float(sys.argv[3]),float(sys.argv[4])
host,port=listen.split(':')
c=http.client.HTTPConnection(host,int(port)); c.request('GET','/.portcullis/sign-in'); a=c.getresponse(); page=a.read().decode(); jar={}; portcullis.jar(a,jar)
fields={m[1]:m[2] for m in re.finditer(r'<input type="hidden" name="([^"]+)" value="([^"]*)"',page)}
body=urllib.parse.urlencode(fields|{'username':'user7','password':portcullis.PASSWORD})
request=('POST /.portcullis/sign-in HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nSec-Fetch-Site: same-origin\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s'%(listen,listen,'; '.join('%s=%s'%p for p in jar.items()),len(body),body)).encode()
seen={}
async def one():
    try:
        r,w=await asyncio.open_connection(host,int(port)); w.write(request)
        line=await asyncio.wait_for(r.readline(),30); status=line.split()[1].decode() if line else 'none'; w.close()
    except Exception as e: status=type(e).__name__
    seen[status]=seen.get(status,0)+1
async def main():
    began=time.time(); tasks=[]; n=0
    while time.time()-began<seconds:
        due=int((time.time()-began)*rate)
        while n<due: tasks.append(asyncio.create_task(one())); n+=1
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    print(seen.get('303',0)+seen.get('302',0),n,time.time()-began,str(seen).replace(' ',''))
asyncio.run(main())
"""


def flood(ours, rate, seconds):
    command = ["taskset", "-c", ours.env.load_cpus, sys.executable, "-c", FLOOD, HERE, ours.listen, str(rate), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sign_ins(env):
    """the flood on the same processor as the proxy: the worst that can be"""
    ours = Ours(env, "sign-ins").sign_in()
    alone = wrk(env, ours, "/1k", 16, 5)
    running = flood(ours, 200, 8)
    time.sleep(1.5)
    beside = wrk(env, ours, "/1k", 16, 5)
    said = running.communicate(timeout=120)
    yield ("200 sign-ins a second offered: p99 of proxied requests to what it was", *figure(beside["p99"] / alone["p99"], 1.3, "times"))
    can = inside("hashing", 4)["checks_per_second"]
    running = flood(ours, can * 1.3, 6)
    out = running.communicate(timeout=120)[0].split()
    ours.close()
    if out: yield (f"Sign-ins a second, of {can:.0f} that the hashing threads can check", *figure(float(out[0]) / float(out[2]) / can, 0.9, "of it", least=True))


def writes(env):
    folder = f"{env.work}/commits"
    found = inside("commits", folder, 16, 5)
    shutil.rmtree(folder, ignore_errors=True)
    yield ("Durable writes a second, 16 who wait", *figure(found["commits_per_second"], 10_000, "", least=True))


# Requests of many people: the cookie's first ten symbols say whose it is.
MANY = """
local symbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local next = 0
request = function()
  local number = FROM
  local text = ""
  for _ = 1, 10 do local digit = number % 64; text = symbols:sub(digit + 1, digit + 1) .. text; number = math.floor(number / 64) end
  wrk.headers["Cookie"] = "portcullis=" .. text .. string.rep("A", 33)
  return wrk.format(nil, nil)
end
"""


def people(env):
    folder, made = {}, {}

    def prepare(d):
        made.update(inside("people", d, PEOPLE, 0))

    ours = Ours(env, "people", prepare=prepare)
    yield (f"{PEOPLE:,} people on disk", *figure(made["bytes"] / 1048576, 400, "MiB"))
    yield (f"Start with {PEOPLE:,} people", f"{ours.started_in * 1000:.0f} ms", "", "")
    writer = flood(ours, 30, 2)   # something is being written when it dies
    time.sleep(1)
    ours.kill()
    ours.start()
    writer.communicate(timeout=60)
    yield ("Answers again after kill -9", *figure(ours.started_in, 1, "s"))
    yield ("Memory then", f"{memory(ours.pids()):.0f} MiB", "", "")
    ours.close()


def place(number):
    """the cursor behind a person of `people`, in the order of lists"""
    id = (1 << 100) + number
    return base64.urlsafe_b64encode(id.to_bytes(16, "big") + f"robin number {number}".encode()).decode().rstrip("=")


def console(env):
    """pages of the console over many people and invitations, asked one after the other by an administrator"""
    def prepare(d):
        inside("people", d, CONSOLE_PEOPLE, 0)
        inside("invitations", d, CONSOLE_INVITATIONS)

    ours = Ours(env, "console", prepare=prepare)
    cookie = portcullis.sign_in(ours.listen, ours.scheme, "root7")
    before = memory(ours.pids())
    connection = http.client.HTTPConnection(ours.listen)

    def ask(path):
        began = time.perf_counter()
        connection.request("GET", "/.portcullis" + path, headers={"Cookie": cookie, "Accept": "text/html"})
        answer = connection.getresponse()
        page = answer.read().decode()
        if answer.status != 200: raise RuntimeError(f"{path}: {answer.status}")
        return page, (time.perf_counter() - began) * 1000

    _, first = ask("/admin/users")
    yield (f"Console over {CONSOLE_PEOPLE:,} people and {CONSOLE_INVITATIONS:,} invitations: the very first list", f"{first:.0f} ms", "", "")
    deep = "/admin/invitations"
    for _ in range(CONSOLE_INVITATIONS // 100):
        page, _ = ask(deep)
        more = re.findall(r"/admin/invitations\?after=[^\"&]*", page)
        if not more: break
        deep = more[-1]
    for what, path, found in (
        ("users, first page", "/admin/users", "Robin"),
        ("users, a page deep in", f"/admin/users?after={place(CONSOLE_PEOPLE // 2)}", "Robin"),
        ("users, search", f"/admin/users?q=person{CONSOLE_PEOPLE - 7}", f"person{CONSOLE_PEOPLE - 7}@"),
        ("users, search that many match", "/admin/users?q=number+9", "Robin"),
        ("users of a team", "/admin/users?team=users", "Robin"),
        ("users, nobody found", "/admin/users?q=nobody-at-all", ""),
        ("invitations, first page", "/admin/invitations", "guest"),
        ("invitations, a page deep in", deep, "guest"),
        ("invitations, search", "/admin/invitations?q=guest77", "guest77"),
        ("invitations by status", "/admin/invitations?status=sent", "guest"),
        ("sessions", "/admin/sessions", "root7"),
        ("audit log", "/admin/audit", ""),
    ):
        took = []
        for _ in range(100):
            page, ms = ask(path)
            if found not in page: raise RuntimeError(f"{path}: {found} is not there")
            took.append(ms)
        yield (f"{what}, p95", *figure(sorted(took)[94], 100, "ms"))
    yield ("Memory for the lists", f"{memory(ours.pids()) - before:.0f} MiB", "", "")
    ours.close()


def sessions(env):
    """each person asks once, which fills the memory; then anybody in any order"""
    made = {}
    ours = Ours(env, "sessions", prepare=lambda d: made.update(inside("people", d, PEOPLE, PEOPLE)))
    before = memory(ours.pids())
    ours.sign_in()
    few = wrk(env, ours, "/1k", 64, 3)
    cookie, ours.cookie = ours.cookie, None
    began, asked = time.time(), 0
    while asked < PEOPLE and time.time() - began < 150:
        found = wrk(env, ours, "/1k", 64, 10, MANY.replace("FROM", f"{asked} + next; next = next + 1"))
        if not found: break
        asked += int(found["rps"] * 10)
    # Some thousands from all over, asked before, so that the store is told of none of them in these seconds: it is, of each, once a minute.
    spread = MANY.replace("FROM", f"math.floor(math.random(0, 4999) * {min(asked, PEOPLE) / 5000})")
    wrk(env, ours, "/1k", 64, 5, spread)
    many = wrk(env, ours, "/1k", 64, 3, spread)
    used = memory(ours.pids())
    ours.close()
    known = min(asked, PEOPLE)
    yield (f"{PEOPLE:,} people and sessions on disk", f"{made['bytes'] / 1048576:.0f} MiB", "", "")
    yield (f"Memory of {known:,} sessions", f"{used - before:.0f} MiB", "", "")
    yield (f"A request among {known:,} sessions to one among a few", f"{many['cpu'] - few['cpu']:+.1f} µs", "≤ 1", "met" if many["cpu"] - few["cpu"] <= 1 else "off")


def many_rules():
    text = [portcullis.POLICY]
    for number in range(1000):
        text.append(f'[app.a{number}]\ntitle = "A{number}"\nhost = "a{number}.bench.localhost"\nupstream = "http://{{upstream}}"\nrequire = {{{{ roles = ["member"] }}}}\n')
        text += [f'[[app.a{number}.rule]]\npath = "/part{rule}/**"\nrequire = {{{{ roles = ["member"] }}}}\n' for rule in range(10)]
    return "\n".join(text)


def many_prefixes():
    text = [portcullis.POLICY]
    for pattern in range(100):
        prefixes = ", ".join(f'"{11 + pattern}.{n >> 8 & 255}.{n & 255}.0/25"' for n in range(1000))
        text.append(f'[ip_pattern.p{pattern}]\ntitle = "P{pattern}"\ninclude = [{prefixes}]\n')
    return "\n".join(text)


def large_policies(env):
    plain = Ours(env, "plain").sign_in()
    small = memory(plain.pids())
    for name, policy in (("10,000 rules over 1,000 applications", many_rules()), ("100,000 prefixes", many_prefixes())):
        ours = Ours(env, re.sub(r"\W", "_", name), policy=policy).sign_in()
        pairs = [(wrk(env, ours, "/1k", 64, 1)["cpu"], wrk(env, plain, "/1k", 64, 1)["cpu"]) for _ in range(3)]
        before = time.time()
        done = subprocess.run([portcullis.binary(), "--config", ours.config, "reload"], capture_output=True, text=True)
        reload = time.time() - before
        ratio = sorted(one / other for one, other in pairs)[1]
        yield (f"{name}: start, reload, memory more than without", f"{ours.started_in * 1000:.0f} ms, {reload * 1000:.0f} ms{'' if done.returncode == 0 else ' (refused)'}, {memory(ours.pids()) - small:.0f} MiB", "", "")
        yield (f"{name}: CPU per request to that without", f"{ratio:.2f}", "", "")
        ours.close()
    plain.close()


ROWS = {"judging": judging, "idle": at_rest, "sign-ins": sign_ins, "writes": writes, "people": people, "console": console, "sessions": sessions, "policies": large_policies}


def table(env, rows):
    lines = ["| | measured | to reach | |", "| --- | ---: | ---: | --- |"]
    for row in rows:
        log("row:", row)
        try:
            for what, value, bar, met in ROWS[row](env):
                lines.append(f"| {what} | {value} | {bar} | {met} |")
                log(what, value, bar, met)
        except Exception as error:
            lines.append(f"| {row} | not measured: {str(error).splitlines()[-1] if str(error) else repr(error)} | | |")
            log(row, repr(error))
    return "\n".join(lines)
