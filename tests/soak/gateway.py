"""The server that a soak runs: its files, its people, its commands, and what it costs."""

import asyncio
import os
import pathlib
import subprocess
import sys

SETTINGS = """
server.public_url = "http://portal.localhost"
server.threads = 2
listen = { http = "127.0.0.1:0", https = "127.0.0.1:0", management = "127.0.0.1:0" }
tls = { cert_file = "tls/cert.pem", key_file = "tls/key.pem" }
policy.watch = false
decision_log.file = "data/decisions.jsonl"
limits.forms = "1000/1m"
"""

POLICY = """
[app.pair]
title = "Pair"
host = "pair.localhost"
upstream = ["http://127.0.0.1:{one}", "http://127.0.0.1:{two}"]
websocket = true
recheck = "5s"
require = {{ signed_in = true }}
health = {{ every = "1s" }}
rule = [
  {{ path = "/public/{generation}", access = "public" }},
  {{ path = "/admin/**", require = {{ roles = ["admin"] }} }},
  {{ path = "/late/once", limits = ["seldom"] }},
]

[app.solo]
title = "Solo"
host = "solo.localhost"
upstream = "http://127.0.0.1:{solo}"
require = {{ signed_in = true }}

[limit.seldom]
rate = "1/1h"
key = "user"
"""

PASSWORD = "walnut orbit ledger 7"


class Gateway:
    """A running server in a folder of its own."""

    def __init__(self, folder, servers):
        self.folder, self.servers = pathlib.Path(folder), servers
        self.binary = os.path.abspath(os.environ["PORTCULLIS_BINARY"])
        self.generation = 0
        self.process = None
        self.ports = {}

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def prepare(self):
        self.write("config/portcullis.toml", SETTINGS)
        self.write_policy()
        (self.folder / "tls").mkdir()
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls/key.pem -out tls/cert.pem -days 30"
            " -subj /CN=pair.localhost -addext subjectAltName=DNS:pair.localhost",
            shell=True, check=True, cwd=self.folder, capture_output=True,
        )
        os.chmod(self.folder / "tls/key.pem", 0o600)

    def write_policy(self):
        ports = {name: server.port for name, server in self.servers.items()}
        self.write("policies/main.toml", POLICY.format(generation=self.generation, **ports))

    async def run(self, *arguments, stdin=b""):
        """A command, while the server runs or not: its output. Stops everything if it fails."""
        config = str(self.folder / "config/portcullis.toml")
        running = await asyncio.create_subprocess_exec(
            self.binary, *arguments, "--config", config, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await running.communicate(stdin)
        if running.returncode:
            sys.exit(f"soak: portcullis {' '.join(arguments)} failed: {out.decode()}{err.decode()}")
        return out.decode()

    async def add(self, name):
        await self.run("user", "add", "--email", f"{name}@example.org", "--username", name, "--password-stdin", stdin=PASSWORD.encode())

    async def start(self):
        config = str(self.folder / "config/portcullis.toml")
        log = open(self.folder / "log", "wb")
        self.process = await asyncio.create_subprocess_exec(
            self.binary, "serve", "--config", config, "--log-format", "json", stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        while True:
            line = (await self.process.stdout.readline()).decode().split()
            if not line:
                sys.exit(f"soak: the server does not start: {(self.folder / 'log').read_text()}")
            if line == ["ready"]:
                return
            if line[0] == "listening":
                self.ports.setdefault(line[1], int(line[2].rsplit(":", 1)[1]))

    async def reload(self):
        self.generation += 1
        self.write_policy()
        await self.run("reload")

    async def stop(self):
        """Tells it to end; its exit status."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 60)

    def cost(self):
        """What it holds now: memory in KiB as RSS and PSS, and open files. None if it is gone."""
        proc = pathlib.Path(f"/proc/{self.process.pid}")
        try:
            memory = dict(line.split(":", 1) for line in (proc / "smaps_rollup").read_text().splitlines()[1:])
            kib = {name: int(memory[name].split()[0]) for name in ("Rss", "Pss")}
            return kib["Rss"], kib["Pss"], len(os.listdir(proc / "fd"))
        except (OSError, ValueError, KeyError):
            return None

    def complaints(self):
        """Lines of the log that no healthy run has: errors and panics."""
        with open(self.folder / "log", errors="replace") as log:
            return [line.strip() for line in log if '"level":"ERROR"' in line or "panic" in line]
