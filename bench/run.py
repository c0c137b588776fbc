#!/usr/bin/env python3
"""portcullis side by side with what people would use instead. `make bench`; README.md beside this file says how to read it.

Contestants take turns within each round, in another order each round, and every ratio is made of two samples of one round: what else
happens on the machine falls on both alike. CPU is user and system time of all processes of a contestant, its auth service included.
"""
import argparse, datetime, json, os, shutil, signal, statistics, subprocess, sys, tempfile, time

import contestants, scale
from contestants import Caddy, Command, Haproxy, Mellon, Nginx
from loads import ECHO, SCENARIOS
from measure import Foreign, free_port, log, machine, memory, spawn, stop, stop_all, tree, wait_port

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = "nginx haproxy caddy apache2 libapache2-mod-auth-mellon xmlsec1 wrk openssl util-linux"
OTHERS = os.path.join(HERE, "contestants/target/release")

# At most so much of their CPU per request: (in clear, over TLS, 64 KiB).
BARS = {
    "nginx + auth_request": (0.50, 0.45, 0.40),
    "nginx": (1.25, 0.90, 0.50),
    "haproxy + cookie map": (1.25, 0.90, 0.75),
    "haproxy": (None, None, None),
    "caddy + forward_auth": (0.15, 0.10, 0.17),
    "caddy": (None, None, None),
    "Apache + mod_auth_mellon": (0.28, None, None),
    "pingora": (0.70, None, 0.35),
    "splice without parsing": (1.70, None, None),
}
COLUMNS = ("get1k", "tls1k", "get64k")
US = "portcullis"


def field(tls):
    all_of_them = [
        Command(US, os.path.join(HERE, "portcullis.py"), tls, auth=True),
        Nginx("nginx", tls), Nginx("nginx + auth_request", tls, auth=True),
        Haproxy("haproxy", tls), Haproxy("haproxy + cookie map", tls, auth=True),
        Caddy("caddy", tls), Caddy("caddy + forward_auth", tls, auth=True),
    ]
    if tls: return all_of_them
    return all_of_them + [Mellon("Apache + mod_auth_mellon", auth=True),
                          Command("pingora", f"{OTHERS}/pingora"), Command("splice without parsing", f"{OTHERS}/splice")]


def install():
    """packages of Debian and Ubuntu, and the contestants of our own package"""
    root = [] if os.geteuid() == 0 else ["sudo"]
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES.split()]):
        subprocess.run([*root, "env", "DEBIAN_FRONTEND=noninteractive", *command], check=True)
    subprocess.run(["cargo", "build", "--release", "--locked", "--manifest-path", os.path.join(HERE, "contestants/Cargo.toml")], check=True)


class Env:
    """what all share: a scratch folder, a certificate, the upstreams"""

    def __init__(self, options):
        self.work = tempfile.mkdtemp(prefix="portcullis-bench")
        os.chmod(self.work, 0o755)
        self.threads, self.proxy_cpus, self.load_cpus = options.threads, options.proxy_cpus, options.load_cpus
        self.cert, self.key = f"{self.work}/cert.pem", f"{self.work}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.cert,
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        os.chmod(self.key, 0o644)
        self.echo = free_port()
        echo = spawn([sys.executable, "-c", ECHO, str(self.echo)], self.load_cpus)
        wait_port(self.echo)
        self.upstream, self.shm, application = contestants.upstream(self.work, self.load_cpus)
        self.common = [echo, application]

    def close(self, keep):
        shutil.rmtree(self.shm, ignore_errors=True)
        if not keep: shutil.rmtree(self.work, ignore_errors=True)


def begin(env, names, scenarios):
    """starts all that can be; says loudly who cannot"""
    running, out = [], []
    for tls in (False, True):
        if not any(SCENARIOS[s][0] == tls for s in scenarios): continue
        for c in field(tls):
            if names and c.base not in names: continue
            if missing := c.missing():
                out.append((c.name, f"not installed: {', '.join(os.path.basename(m) for m in missing)} (make bench INSTALL=1)"))
                continue
            try:
                c.start(env)
                wrong = c.check()
            except Exception as error: wrong = str(error) or repr(error)
            if wrong:
                out.append((c.name, wrong))
                stop(c.roots)
            else:
                c.memory_at_start = memory(c.pids())
                running.append(c)
                log("ready:", c.name)
    for name, why in out: print(f"\n!!! LEFT OUT: {name}: {why}", file=sys.stderr)
    return running, out


def measure(env, running, scenarios, options):
    """rounds until each has enough quiet samples, or time is up"""
    samples, end = {}, time.time() + options.budget
    quiet = lambda key: [x for x in samples.get(key, []) if x["foreign"] <= options.quiet_share]
    for number in range(options.rounds if options.quick else options.rounds * 4):
        if number >= options.rounds and all(len(quiet(key)) >= options.rounds for key in samples): break
        for scenario in scenarios:
            tls, load, *_ = SCENARIOS[scenario]
            taking_part = [c for c in running if c.tls == tls]
            first = number % max(len(taking_part), 1)
            for c in taking_part[first:] + taking_part[:first]:
                if time.time() > end: return samples
                if number >= options.rounds and c.base != US and len(quiet((scenario, c.base))) >= options.rounds: continue
                try:
                    with Foreign(c.pids() + [pid for p in env.common for pid in tree(p.pid)]) as foreign:
                        sample = load(env, c, options.seconds)
                except Exception as error:
                    log(scenario, c.name, repr(error))
                    continue
                if sample: samples.setdefault((scenario, c.base), []).append(sample | dict(foreign=foreign.share, round=number))
                elif number == 0: log("no result:", scenario, c.name)
        log(f"round {number + 1}")
    return samples


def ratio(samples, scenario, name):
    """our CPU to theirs: the median over the rounds in which both were measured, with how many and the least and greatest"""
    ours = {x["round"]: x["cpu"] for x in samples.get((scenario, US), [])}
    all_of_them = [ours[x["round"]] / x["cpu"] for x in samples.get((scenario, name), []) if ours.get(x["round"]) and x["cpu"]]
    return (statistics.median(all_of_them), min(all_of_them), max(all_of_them), len(all_of_them)) if all_of_them else None


def cell(found, bar):
    if not found: return "not measured" if bar else ""
    value = found[0]
    if bar is None: return f"{value:.2f}"
    return f"**{value:.2f}** ≤ {bar:.2f} met" if value <= bar else f"**{value:.2f}** > {bar:.2f}, over by {value / bar - 1:.0%}"


def table(samples, scenarios):
    """the table that the README carries"""
    columns = [(n, s) for n, s in enumerate(COLUMNS) if s in scenarios]
    lines = ["| our CPU to that of | " + " | ".join(SCENARIOS[s][3] for _, s in columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name, bars in BARS.items():
        cells = [cell(ratio(samples, s, name), bars[n]) for n, s in columns]
        if any(c and c != "not measured" for c in cells): lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def details(samples, scenarios, options):
    """what each contestant did under each load"""
    lines = []
    for scenario in scenarios:
        unit, title = SCENARIOS[scenario][2:]
        rows = [name for kind, name in samples if kind == scenario]
        if not rows: continue
        lines += ["", f"### {title}", "", f"| | CPU {unit} | least to most | requests/s | p50 µs | p99 µs | errors | ours to theirs | samples |", "| --- |" + " ---: |" * 8]
        for name in rows:
            of_it = samples[scenario, name]
            middle = lambda key: statistics.median(x[key] for x in of_it)
            found = ratio(samples, scenario, name)
            busy = "" if any(x["foreign"] <= options.quiet_share for x in of_it) else " busy"
            lines.append(f"| {name} | {middle('cpu'):.1f} | {min(x['cpu'] for x in of_it):.1f} to {max(x['cpu'] for x in of_it):.1f} | {middle('rps'):,.0f} | {middle('p50'):,.0f} | {middle('p99'):,.0f} | {middle('errors'):.0f} "
                         + f"| {found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f}) | {len(of_it)}{busy} |" if found else f"| {name} | {middle('cpu'):.1f} | | {middle('rps'):,.0f} | | | | | {len(of_it)}{busy} |")
    return "\n".join(lines)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the three loads, and no rows below the table: about a minute")
    parser.add_argument("--install", action="store_true", help="first install the contestants (Debian, Ubuntu) and build our own")
    parser.add_argument("--all", action="store_true", help="the other loads too: one connection, 512, uploads, downloads, WebSockets, new connections")
    parser.add_argument("--only", help="contestants, with commas between; portcullis is always in")
    parser.add_argument("--loads", help="with commas between: " + ", ".join(SCENARIOS))
    parser.add_argument("--rows", help="rows below the table, with commas between: " + ", ".join(scale.ROWS) + "; or none")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=1, help="how long each sample lasts")
    parser.add_argument("--budget", type=float, help="begin no sample after so many seconds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--proxy-cpus", default="0")
    parser.add_argument("--load-cpus", default="1")
    parser.add_argument("--quiet-share", type=float, default=0.08, help="a sample is quiet if others took at most this share of the machine")
    parser.add_argument("--write", metavar="FILE", help="write the results there too, in Markdown")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--keep", action="store_true", help="keep the scratch folder, with everybody's logs")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.budget = options.budget or (60 if options.quick else 480)
    if options.install: install()
    if missing := [need for need in ("wrk", "nginx", "taskset", "openssl") if not shutil.which(need)]:
        sys.exit(f"needed and not installed: {', '.join(missing)}; make bench INSTALL=1 installs them")
    scenarios = options.loads.split(",") if options.loads else list(SCENARIOS) if options.all else list(COLUMNS)
    names = set(options.only.split(",")) | {US} if options.only else None
    rows = [] if options.rows == "none" or (options.quick and not options.rows) else options.rows.split(",") if options.rows else list(scale.ROWS)
    env = Env(options)
    try:
        running, out = begin(env, names, scenarios)
        samples = measure(env, running, scenarios, options) if running else {}
        today = datetime.date.today().isoformat()
        text = [f"Measured {today} on {machine()}; the gateway with {options.threads} thread on one processor, load and application on the other.", "", table(samples, scenarios)]
        for c in running:
            c.peak = memory(c.pids(), "VmHWM")
        if rows:
            stop([root for c in running for root in c.roots])
            text += ["", scale.table(env, rows)]
        text += ["", "## Each load", details(samples, scenarios, options)]
        text += ["", "### Memory in MiB", "", "| | at start | peak |", "| --- | ---: | ---: |"] + [f"| {c.name} | {c.memory_at_start:.1f} | {c.peak:.1f} |" for c in running]
        if out: text += ["", "Left out:", ""] + [f"- {name}: {why.splitlines()[0]}" for name, why in out]
        if any(x["foreign"] > options.quiet_share for of_it in samples.values() for x in of_it):
            text += ["", f"Others used more than {options.quiet_share:.0%} of the machine during some samples: trust the ratios, not the times."]
        whole = "\n".join(text) + "\n"
        print("\n" + whole)
        if options.write:
            with open(options.write, "w") as f: f.write("# Results\n\n" + whole)
        if options.json:
            with open(options.json, "w") as f: json.dump({f"{s}|{n}": v for (s, n), v in samples.items()}, f, indent=1)
    finally:
        stop_all()
        env.close(options.keep)


if __name__ == "__main__":
    main()
