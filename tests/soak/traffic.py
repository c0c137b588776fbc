"""What people, scripts and strangers do during a soak, and whether each answer is the right one."""

import asyncio
import base64
import collections
import hashlib
import json
import os
import shutil
import time

from behind import body_of, frame, read_frame, read_head
from client import Browser, Connection, Forms, Lost
from gateway import PASSWORD

PAIR, SOLO, PORTAL = "pair.localhost", "solo.localhost", "portal.localhost"
PEOPLE = ["ada", "bo", "cleo"]
UNSAFE = ("POST", "PUT", "DELETE")
# What the gateway's page calls each application.
TITLES = {PAIR: b"Pair", SOLO: b"Solo"}
# A request that is under way while the only server dies is told so; so is one just after. Of two servers one stays, and what may be repeated goes
# there: only a request that may not be (RFC 9110 section 9.2.2) is told that the connection it was sent on was closed just then.
AFTERMATH = 1.5


class Traffic:
    def __init__(self, gateway, servers, random, fill):
        """`fill` requests come as fast as they are answered."""
        self.gateway, self.servers, self.random, self.fill = gateway, servers, random, fill
        self.counts = collections.Counter()
        self.kinds = collections.Counter()
        self.faults, self.latencies = [], []
        self.cookies = {}
        self.number = 0
        self.restarts = {}
        self.streams = set()
        self.ending = False

    async def people(self):
        """Adds everybody, and signs them in on both applications."""
        # The first person ever is an administrator; the others are not.
        await self.gateway.add("root")
        for at, name in enumerate(PEOPLE):
            await self.gateway.add(name)
            browser = Browser(self.gateway.ports["http"], f"127.0.1.{at + 1}")
            for host in (PAIR, SOLO):
                await self.sign_in(browser, name, host)
                self.cookies[name, host] = browser.cookie(host)
            # Everybody's one of the hour is spent when the soak begins.
            connection = Connection(self.gateway.ports["http"])
            await self.ask(connection, "limited", "GET", PAIR, "/late/once", name)
            connection.close()

    async def sign_in(self, browser, name, host):
        page = await browser.load(f"http://{host}/hello")
        if PORTAL in page[0]:
            page = await browser.submit(page, {"username": name, "password": PASSWORD})
        if page[1] != 200 or host not in page[0] or "sha256" not in page[2]:
            raise Lost(f"{name} cannot sign in on {host}: {page[0]} {page[1]} {page[2][:300]}")

    # What went wrong is written down, and the soak goes on.

    def fault(self, what, text):
        self.counts[what] += 1
        self.faults.append(f"{what}: {text}")

    def expect(self, holds, text):
        if not holds:
            self.fault("wrong", text)
        return holds

    def take_latencies(self):
        taken, self.latencies = self.latencies, []
        return taken

    def restart_begins(self, host):
        self.restarts[host] = None

    def restart_ends(self, host):
        self.restarts[host] = time.monotonic()

    def may_be_told(self, host, method, began):
        """Whether such a request, begun then, may be answered that no server did."""
        if host not in self.restarts or (host == PAIR and method not in UNSAFE):
            return False
        ended = self.restarts[host]
        return ended is None or ended + AFTERMATH > began

    def doubled(self):
        return [(number, times) for server in self.servers.values() for number, times in server.arrived.items() if number and times > 1]

    def next_number(self):
        self.number += 1
        return str(self.number)

    async def ask(self, connection, kind, method, host, path, name=None, status=200, **more):
        """One request whose answer is checked; None if it is not what it should be."""
        number = self.next_number()
        fields = [("X-Soak", number), ("Accept", "application/json"), *more.pop("fields", [])]
        if name:
            fields.append(("Cookie", f"theme=dark; {self.cookies[name, host]}"))
        self.counts["requests"] += 1
        self.kinds[kind] += 1
        began = time.monotonic()
        try:
            answer = await connection.ask(method, host, path, fields, **more)
        except Lost as lost:
            if host == SOLO and self.may_be_told(host, method, began):
                self.counts["told"] += 1
            else:
                self.fault("lost", f"{kind} {method} {host}{path}: {lost}")
            return None
        if answer.status == 502 and TITLES.get(host, b"?") in answer.body and self.may_be_told(host, method, began):
            self.counts["told"] += 1
            self.kinds[f"told {host}"] += 1
            return None
        what = f"{kind} {method} {host}{path} by {name}"
        if not self.expect(answer.status == status, f"{what}: {answer.status} instead of {status}: {answer.body[:200]!r}"):
            return None
        if status == 200:
            self.expect(answer.fields.get("x-seen") == number, f"{what}: the answer to {answer.fields.get('x-seen')}, not {number}")
            self.expect(answer.fields.get("x-login") == (name or ""), f"{what}: taken for {answer.fields.get('x-login')!r}")
        else:
            self.expect("x-seen" not in answer.fields, f"{what}: reached the application")
        return answer

    # Kinds of requests. Each gets a connection of its worker and a person.

    async def small(self, connection, name):
        size, seed, began = self.random.randrange(1, 4000), self.random.randrange(250), time.monotonic()
        answer = await self.ask(connection, "small", "GET", PAIR, f"/bytes/{size}/{seed}", name)
        if answer:
            self.latencies.append(time.monotonic() - began)
            self.expect(answer.body == body_of(size, seed), f"{size} bytes of {seed} came as others")

    async def large(self, connection, name):
        size, seed = self.random.choice([65536, 65536, 200_000, 1_000_000]), self.random.randrange(250)
        answer = await self.ask(connection, "large", "GET", PAIR, f"/bytes/{size}/{seed}", name)
        self.expect(not answer or answer.body == body_of(size, seed), f"{size} bytes of {seed} came as others")

    async def chunked(self, connection, name):
        size, seed = self.random.randrange(1, 60_000), self.random.randrange(250)
        answer = await self.ask(connection, "chunked", "GET", PAIR, f"/chunked/{size}/{seed}", name)
        self.expect(not answer or answer.body == body_of(size, seed), f"{size} chunked bytes of {seed} came as others")

    async def upload(self, connection, name, host=PAIR):
        body, method = body_of(self.random.choice([0, 10, 2000, 60_000]), self.random.randrange(250)), self.random.choice(UNSAFE[:2])
        chunked = bool(body) and self.random.random() < 0.4
        answer = await self.ask(connection, "upload", method, host, "/sum?x=1", name, body=body, chunked=chunked)
        if answer:
            told = json.loads(answer.body)
            right = {"method": method, "target": "/sum?x=1", "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            self.expect(told == right, f"{right} came as {told}")

    async def head(self, connection, name):
        await self.ask(connection, "head", "HEAD", PAIR, "/late", name)

    async def solo(self, connection, name):
        size, seed = self.random.randrange(1, 4000), self.random.randrange(250)
        answer = await self.ask(connection, "solo", "GET", SOLO, f"/bytes/{size}/{seed}", name)
        self.expect(not answer or answer.body == body_of(size, seed), f"{size} bytes of {seed} came as others")

    async def solo_upload(self, connection, name):
        await self.upload(connection, name, SOLO)

    async def refused(self, connection, name):
        kind = self.random.randrange(6)
        if kind == 0:
            await self.ask(connection, "stranger", "GET", PAIR, "/bytes/1/1", status=401)
        elif kind == 1:
            await self.ask(connection, "forbidden", "GET", PAIR, "/admin/users", name, status=403)
        elif kind == 2:
            await self.ask(connection, "misdirected", "GET", "nobody.localhost", "/", status=421)
        elif kind == 3:
            await self.ask(connection, "two readings", "GET", PAIR, "/bytes/../admin/users", name, status=400)
        elif kind == 4:
            await self.ask(connection, "forged", "GET", PAIR, "/bytes/9/1", name, fields=[("X-Portcullis-Login", "root"), ("x_portcullis.login", "root")])
        else:
            cookie = f"portcullis={base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip('=')}"
            await self.ask(connection, "tampered", "GET", PAIR, "/bytes/9/1", status=401, fields=[("Cookie", cookie)])

    async def limited(self, connection, name):
        await self.ask(connection, "limited", "GET", PAIR, "/late/once", name, status=429)

    KINDS = [(small, 45), (large, 6), (chunked, 8), (upload, 15), (head, 2), (solo, 8), (solo_upload, 3), (refused, 8), (limited, 2)]

    async def worker(self, rate, warm):
        """Sends requests at a rate, on a connection that is made anew from time to time. While the server is warmed up they are three times as
        many, and in a long run as many as it takes to fill what it remembers: what it will ever hold, it holds then."""
        kinds, weights = zip(*self.KINDS)
        connection = Connection(self.gateway.ports["http"])
        warm += time.monotonic()
        while not self.ending:
            now = time.monotonic()
            pace = rate if now > warm else 3 * rate
            due = now + (0 if now < warm and self.counts["requests"] < self.fill else self.random.expovariate(pace))
            if self.random.random() < 0.1:
                connection.close()
            (kind,) = self.random.choices(kinds, weights)
            await kind(self, connection, self.random.choice(PEOPLE))
            await asyncio.sleep(max(0, due - time.monotonic()))
        connection.close()

    # What takes longer goes on beside the workers.

    async def websocket(self, name):
        connection = Connection(self.gateway.ports["http"])
        key = base64.b64encode(os.urandom(16)).decode()
        fields = [
            ("Cookie", self.cookies[name, PAIR]), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key), ("X-Soak", self.next_number()),
        ]
        try:
            await connection.send("GET", PAIR, "/ws", fields)
            head = await read_head(connection.reader)
            if not self.expect(head and " 101 " in head[0], f"no WebSocket: {head}"):
                return
            self.expect(head[1].get("x-login") == name, f"a WebSocket of {name} is {head[1].get('x-login')}'s")
            for turn in range(self.random.randrange(2, 20)):
                text = f"message {turn} of {name}".encode()
                connection.writer.write(frame(1, text, os.urandom(4)))
                got = await read_frame(connection.reader)
                self.expect(got == (1, text.upper()), f"{text} came back as {got}")
                await asyncio.sleep(0.3)
            connection.writer.write(frame(8, b"\x03\xe8", os.urandom(4)))
            await read_frame(connection.reader)
        finally:
            connection.close()

    async def events(self, name):
        connection, count = Connection(self.gateway.ports["http"]), self.random.randrange(2, 15)
        answer = await self.ask(connection, "events", "GET", PAIR, f"/events/{count}", name)
        if answer:
            number = answer.fields["x-seen"]
            self.expect(answer.body == b"".join(f"data: {number} {at}\n\n".encode() for at in range(count)), f"events came as {answer.body[:200]}")
        connection.close()

    async def slow_sender(self, name):
        connection = Connection(self.gateway.ports["http"])
        await self.ask(connection, "slow sender", "POST", PAIR, "/sum", name, body=body_of(20_000, 3), slowly=True)
        connection.close()

    async def slow_reader(self, name):
        connection = Connection(self.gateway.ports["http"])
        answer = await self.ask(connection, "slow reader", "GET", PAIR, "/bytes/1000000/5", name, slowly=True)
        self.expect(not answer or answer.body == body_of(1_000_000, 5), "a million bytes came as others")
        connection.close()

    async def quitter(self, name):
        """Goes away in the middle: nothing to check but that others are not hurt."""
        connection = Connection(self.gateway.ports["http"])
        await connection.send("GET", PAIR, "/bytes/1000000/7", [("Cookie", self.cookies[name, PAIR])])
        await connection.reader.read(1000)
        connection.writer.transport.abort()

    async def visitor(self, name):
        """Signs in, uses it, signs out, and is nobody then."""
        browser = Browser(self.gateway.ports["http"], f"127.0.2.{self.random.randrange(1, 250)}")
        await self.sign_in(browser, name, PAIR)
        cookie = browser.cookie(PAIR)
        connection = Connection(self.gateway.ports["http"])
        fields = [("Cookie", cookie), ("X-Soak", self.next_number())]
        answer = await connection.ask("GET", PAIR, "/bytes/3/3", fields)
        self.expect(answer.status == 200 and answer.fields.get("x-login") == name, f"{name} has just signed in and got {answer.status}")
        page = await browser.load(f"http://{PORTAL}/.portcullis/sign-out")
        await browser.submit(page, {"csrf": self.csrf(page)})
        answer = await connection.ask("GET", PAIR, "/bytes/3/3", fields)
        self.expect(answer.status == 401, f"{name} has signed out and got {answer.status}")
        connection.close()
        self.counts["sign_ins"] += 1

    @staticmethod
    def csrf(page):
        return next(fields["csrf"] for _, fields in Forms(page[2]).forms if "csrf" in fields)

    async def http2(self, name):
        """A dozen requests at once over one HTTP/2 connection, by curl."""
        port, out = self.gateway.ports["https"], self.gateway.folder / f"curl-{self.next_number()}"
        out.mkdir()
        wanted = [(self.random.randrange(1, 30_000), self.random.randrange(250)) for _ in range(12)]
        arguments = ["-Z", "--parallel-max", "6"]
        for at, (size, seed) in enumerate(wanted):
            arguments += [f"https://{PAIR}:{port}/bytes/{size}/{seed}", "-o", str(out / str(at))]
        running = await asyncio.create_subprocess_exec(
            "curl", "-sk", "--no-progress-meter", "--http2", "--max-time", "120", "--resolve", f"{PAIR}:{port}:127.0.0.1", "-b", self.cookies[name, PAIR],
            "-w", "%{http_version} %{http_code}\n", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )
        told, _ = await running.communicate()
        self.counts["requests"] += len(wanted)
        self.kinds["http2"] += len(wanted)
        self.expect(told.decode().split("\n")[:-1] == ["2 200"] * len(wanted), f"over HTTP/2: {told}")
        for at, (size, seed) in enumerate(wanted):
            body = (out / str(at)).read_bytes() if (out / str(at)).exists() else b""
            self.expect(body == body_of(size, seed), f"{size} bytes of {seed} came as {len(body)} others over HTTP/2")
        shutil.rmtree(out)

    async def each(self, seconds, kind):
        """Begins one of a kind about every so many seconds, and does not wait for its end."""
        while not self.ending:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * seconds)
            task = asyncio.create_task(self.guarded(kind, self.random.choice(PEOPLE)))
            self.streams.add(task)
            task.add_done_callback(self.streams.discard)

    async def guarded(self, kind, name):
        self.counts["streams"] += 1
        try:
            async with asyncio.timeout(300):
                await kind(name)
        except (Lost, OSError, asyncio.IncompleteReadError, TimeoutError, StopIteration) as error:
            self.fault("lost", f"{kind.__name__}: {type(error).__name__} {error}")

    async def generation(self, number):
        """After a reload the new rule is in force, and the one before is gone."""
        connection = Connection(self.gateway.ports["http"])
        await self.ask(connection, "reloaded", "GET", PAIR, f"/public/{number}")
        await self.ask(connection, "reloaded", "GET", PAIR, f"/public/{number - 1}", status=401)
        connection.close()

    def all(self, rate, warm):
        """Everything that goes on, as tasks to be; the server is warmed up for so many seconds."""
        workers = 8
        tasks = [self.worker(rate / workers, warm) for _ in range(workers)]
        kinds = [(self.websocket, 2), (self.events, 2), (self.slow_sender, 3), (self.slow_reader, 5), (self.quitter, 4), (self.visitor, 5)]
        if shutil.which("curl"):
            kinds.append((self.http2, 5))
        else:
            print("soak: no curl, so nothing over HTTP/2")
        return [*tasks, *(self.each(seconds, kind) for kind, seconds in kinds)]

    async def finish(self):
        """Lets what is under way come to its end."""
        self.ending = True
        if self.streams:
            await asyncio.wait(self.streams, timeout=120)
