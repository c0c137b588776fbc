"""Clients of a soak: connections that speak HTTP/1.1, and a browser that signs somebody in."""

import asyncio
import html.parser
import re
import urllib.parse

from behind import read_chunks, read_head

# On a busy machine an answer may take its time; it is lost if it never comes.
PATIENCE = 120


class Lost(Exception):
    """No answer, or one that broke off."""


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


class Connection:
    """One connection to the gateway, kept until it is closed."""

    def __init__(self, port, source="127.0.0.1"):
        self.port, self.source = port, source
        self.reader = self.writer = None
        # What was asked over this connection before, for whoever has to explain why it was closed.
        self.before = []

    async def open(self):
        try:
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(self.source, 0), limit=1 << 20
            )
        except OSError as error:
            raise Lost(f"no connection: {error}") from error

    def close(self):
        if self.writer:
            self.writer.close()
            self.reader = self.writer = None
            self.before = []

    async def send(self, method, host, path, fields=(), body=b"", chunked=False, slowly=False):
        """Writes a request; `slowly` in pieces."""
        if not self.writer:
            await self.open()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
            pieces = [body[at : at + 3000] for at in range(0, len(body), 3000)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        pieces = [whole[at : at + 1 + len(whole) // 5] for at in range(0, len(whole), 1 + len(whole) // 5)] if slowly else [whole]
        for piece in pieces:
            self.writer.write(piece)
            if slowly:
                await asyncio.sleep(0.3)
        await self.writer.drain()

    async def answer(self, method="GET", slowly=False):
        """Reads an answer; `slowly` with pauses in its body."""
        head = await read_head(self.reader)
        if head is None:
            raise Lost("closed without an answer")
        line, fields = head
        status = int(line.split(" ")[1])
        if method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif fields.get("transfer-encoding"):
            body = await read_chunks(self.reader)
        elif slowly:
            body, left = b"", int(fields["content-length"])
            while left:
                piece = await self.reader.readexactly(min(left, 64 * 1024))
                body, left = body + piece, left - len(piece)
                await asyncio.sleep(0.1)
        else:
            body = await self.reader.readexactly(int(fields.get("content-length", 0)))
        if fields.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, fields, body)

    async def ask(self, method, host, path, fields=(), body=b"", chunked=False, slowly=False):
        """A request and its answer.

        Raises Lost if there is none in time.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self.send(method, host, path, fields, body, chunked, slowly)
                answer = await self.answer(method, slowly)
                self.before.append(f"{method} {path}: {answer.status}")
                return answer
        except (OSError, asyncio.IncompleteReadError, TimeoutError, Lost) as error:
            before = self.before[-3:]
            self.close()
            raise Lost(f"{method} {path}: {type(error).__name__} {error}, after {before}") from error


class Forms(html.parser.HTMLParser):
    """The forms of a page, and where it goes on to."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.next = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        if tag == "form":
            self.forms.append((said.get("action", ""), {}))
        elif tag == "input" and self.forms and said.get("name"):
            self.forms[-1][1][said["name"]] = said.get("value") or ""
        elif tag == "meta" and (said.get("http-equiv") or "").lower() == "refresh":
            found = re.search(r"url=(.*)", said["content"], re.IGNORECASE)
            self.next = found and found[1].strip("'\" ")


class Browser:
    """A browser: cookies by host, forms, redirects followed. All its connections go to the gateway, whatever the host."""

    def __init__(self, port, source):
        self.port, self.source = port, source
        self.jars = {}

    def cookie(self, host):
        return "; ".join(f"{name}={value}" for name, value in self.jars.get(host, {}).items())

    async def load(self, url, form=None):
        """A page, after all redirects: its address, status and text."""
        for _ in range(12):
            parts = urllib.parse.urlsplit(url)
            fields = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
            if self.cookie(parts.hostname):
                fields.append(("Cookie", self.cookie(parts.hostname)))
            body = b""
            if form is not None:
                body = urllib.parse.urlencode(form).encode()
                fields += [
                    ("Content-Type", "application/x-www-form-urlencoded"),
                    ("Origin", f"{parts.scheme}://{parts.netloc}"),
                    ("Sec-Fetch-Site", "same-origin"),
                ]
            path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection = Connection(self.port, self.source)
            try:
                async with asyncio.timeout(PATIENCE):
                    await connection.send("GET" if form is None else "POST", parts.netloc, path, fields, body)
                    head = await read_head(connection.reader)
                    if head is None:
                        raise Lost(f"{url}: closed without an answer")
                    text = (await self.rest(connection, head[1])).decode()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                raise Lost(f"{url}: {type(error).__name__} {error}") from error
            finally:
                connection.close()
            status, fields = int(head[0].split(" ")[1]), head[1]
            for set_cookie in fields.get("set-cookie", "").split("\n"):
                self.keep(parts.hostname, set_cookie)
            onward = fields.get("location") if status in (302, 303, 307, 308) else Forms(text).next
            if not onward:
                return url, status, text
            url, form = urllib.parse.urljoin(url, onward), None
        raise Lost(f"the redirects do not end: {url}")

    @staticmethod
    async def rest(connection, fields):
        if fields.get("transfer-encoding"):
            return await read_chunks(connection.reader)
        return await connection.reader.readexactly(int(fields.get("content-length", 0)))

    def keep(self, host, set_cookie):
        pair, _, attributes = set_cookie.partition(";")
        name, found, value = pair.partition("=")
        if not found:
            return
        jar = self.jars.setdefault(host, {})
        if "max-age=0" in attributes.lower().replace(" ", ""):
            jar.pop(name.strip(), None)
        else:
            jar[name.strip()] = value.strip()

    async def submit(self, page, wanted):
        """Fills the form of a page that has these fields, and sends it."""
        url, _, text = page
        for action, fields in Forms(text).forms:
            if wanted.keys() <= fields.keys():
                return await self.load(urllib.parse.urljoin(url, action), {**fields, **wanted})
        raise Lost(f"{url} has no form with {sorted(wanted)}: {text[:300]}")
