"""Applications behind the gateway during a soak: each answer says who asked and what arrived, and a server can be taken away and put back."""

import asyncio
import base64
import collections
import hashlib
import json
import struct
import urllib.parse

# Every body is a slice of this, so that whoever receives it knows what it must be.
PATTERN = bytes(byte * 7 % 251 for byte in range(251)) * 4400


def body_of(length, seed):
    """The body of so many bytes that `seed` stands for."""
    return PATTERN[seed : seed + length]


async def read_head(reader):
    """A request line or status line and its fields, names in lower case; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    fields = {}
    for line in lines:
        name, value = line.split(":", 1)
        name = name.lower()
        # A field that comes twice is joined by a line break: only cookies do.
        fields[name] = f"{fields[name]}\n{value.strip()}" if name in fields else value.strip()
    return first, fields


async def read_chunks(reader):
    """A chunked body with its trailers read and thrown away."""
    body = bytearray()
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            while (await reader.readline()) not in (b"\r\n", b""):
                pass
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)


async def read_frame(reader):
    """A WebSocket frame without fragments: its opcode and its payload (RFC 6455 section 5.2)."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 128 else b"\0\0\0\0"
    payload = await reader.readexactly(length)
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def frame(opcode, payload, mask=None):
    """A WebSocket frame; clients mask theirs."""
    bit = 128 if mask else 0
    head = bytes([128 | opcode, bit | len(payload)]) if len(payload) < 126 else struct.pack("!BBH", 128 | opcode, bit | 126, len(payload))
    if mask:
        payload = mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + payload


class Server:
    """One server of an application. Its port stays when it is taken away."""

    def __init__(self, name):
        self.name = name
        self.port = 0
        self.listener = None
        self.leaving = False
        # Connections by their writers, and whether they have a request.
        self.busy = {}
        # How often a request that may not be repeated arrived, by its number; of late ones only.
        self.arrived = collections.OrderedDict()
        self.requests = 0

    async def start(self):
        self.leaving = False
        self.listener = await asyncio.start_server(self.connection, "127.0.0.1", self.port, reuse_address=True, limit=1 << 20)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def leave(self):
        """Closes as a careful server does: no new connections, those that wait are closed without a word, the others when they are done."""
        self.leaving = True
        self.listener.close()
        for writer in [writer for writer, busy in self.busy.items() if not busy]:
            writer.close()
        for _ in range(100):
            if not self.busy:
                break
            await asyncio.sleep(0.05)

    def die(self):
        """Breaks everything off."""
        self.leaving = True
        self.listener.close()
        for writer in list(self.busy):
            writer.transport.abort()

    async def connection(self, reader, writer):
        self.busy[writer] = False
        try:
            while not self.leaving:
                head = await read_head(reader)
                if head is None:
                    break
                self.busy[writer] = True
                if not await self.request(head, reader, writer):
                    break
                self.busy[writer] = False
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            # A body that breaks off between two chunks has no size where one should be.
            pass
        finally:
            del self.busy[writer]
            writer.close()

    async def request(self, head, reader, writer):
        line, fields = head
        method, target, _ = line.split(" ")
        self.requests += 1
        number = fields.get("x-soak", "")
        if fields.get("transfer-encoding"):
            body = await read_chunks(reader)
        else:
            body = await reader.readexactly(int(fields.get("content-length", 0)))
        if method not in ("GET", "HEAD", "OPTIONS"):
            self.arrived[number] = self.arrived.get(number, 0) + 1
            while len(self.arrived) > 10_000:
                self.arrived.popitem(last=False)
        url = urllib.parse.urlsplit(target)
        seen = f"x-seen: {number}\r\nx-login: {fields.get('x-portcullis-login', '?')}\r\nx-server: {self.name}\r\n"
        parts = url.path.strip("/").split("/")
        match parts[0]:
            case "bytes":
                answer = body_of(int(parts[1]), int(parts[2]))
                writer.write(f"HTTP/1.1 200 OK\r\n{seen}content-length: {len(answer)}\r\n\r\n".encode())
                writer.write(answer)
            case "chunked":
                answer = body_of(int(parts[1]), int(parts[2]))
                writer.write(f"HTTP/1.1 200 OK\r\n{seen}transfer-encoding: chunked\r\n\r\n".encode())
                for at in range(0, len(answer), 5000):
                    piece = answer[at : at + 5000]
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            case "events":
                writer.write(f"HTTP/1.1 200 OK\r\n{seen}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".encode())
                for at in range(int(parts[1])):
                    event = f"data: {number} {at}\n\n".encode()
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await writer.drain()
                    await asyncio.sleep(0.2)
                writer.write(b"0\r\n\r\n")
            case "ws":
                await self.websocket(seen, fields, reader, writer)
                return False
            case _:
                if parts[0] == "late":
                    await asyncio.sleep(0.3)
                told = {"method": method, "target": target, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
                answer = json.dumps(told).encode()
                writer.write(f"HTTP/1.1 200 OK\r\n{seen}content-length: {len(answer)}\r\n\r\n".encode())
                writer.write(b"" if method == "HEAD" else answer)
        await writer.drain()
        return True

    async def websocket(self, seen, fields, reader, writer):
        key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\n{seen}upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n".encode()
        )
        while True:
            opcode, payload = await read_frame(reader)
            writer.write(frame(opcode, payload if opcode == 8 else payload.upper()))
            await writer.drain()
            if opcode == 8:
                return
