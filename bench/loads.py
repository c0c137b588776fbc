"""What contestants are loaded with. Each load gives the CPU time of the contestant's processes per request, and what the client saw."""
import asyncio, os, re, socket, ssl, subprocess, sys, time

from measure import cpu, memory, log

DONE = """%s
done = function(s,l,r) io.write(string.format("RES %%d %%d %%d %%d %%f %%f\\n", s.requests, s.duration, s.bytes,
 s.errors.connect+s.errors.read+s.errors.write+s.errors.status+s.errors.timeout, l:percentile(50), l:percentile(99))) end
"""


def wrk(env, c, path, connections, seconds, lua=""):
    script = os.path.join(env.work, f"load{abs(hash(lua))}.lua")
    with open(script, "w") as f: f.write(DONE % lua)
    command = ["taskset", "-c", env.load_cpus, "wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", script]
    if c.cookie: command += ["-H", f"Cookie: {c.cookie}"]
    command.append(f"{'https' if c.tls else 'http'}://127.0.0.1:{c.port}{path}")
    pids = c.pids()
    before = cpu(pids)
    out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30).stdout
    spent = cpu(pids) - before
    found = re.search(r"RES (\d+) (\d+) (\d+) (\d+) (\S+) (\S+)", out)
    if not found or found[1] == "0": return None
    requests, took, size, errors = map(int, found.groups()[:4])
    return dict(cpu=spent / requests * 1e6, rps=requests / took * 1e6, p50=float(found[5]), p99=float(found[6]), mbs=size / took, errors=errors)


DOWNLOAD = r"""
import socket,ssl,sys,time
port,path,cookie,tls,times=int(sys.argv[1]),sys.argv[2],sys.argv[3],sys.argv[4]=='1',int(sys.argv[5])
s=socket.create_connection(('127.0.0.1',port))
if tls: s=ssl._create_unverified_context().wrap_socket(s,server_hostname='localhost')
room=bytearray(1<<20); began=time.time(); total=0
for _ in range(times):
    s.sendall(('GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n'%(path,port,('Cookie: %s\r\n'%cookie) if cookie else '')).encode())
    have=s.recv_into(room)
    while b'\r\n\r\n' not in room[:have]: have+=s.recv_into(memoryview(room)[have:])
    head=bytes(room[:have]).split(b'\r\n\r\n')[0].lower()
    want=int([l for l in head.split(b'\r\n') if l.startswith(b'content-length')][0].split(b':')[1])
    got=have-len(head)-4
    while got<want:
        more=s.recv_into(room)
        if not more: raise SystemExit('short')
        got+=more
    total+=got
print(total,time.time()-began)
"""


def child(env, c, code, *arguments):
    """a client in a process of its own, which prints what it saw; with the CPU seconds that it cost the contestant"""
    pids = c.pids()
    before = cpu(pids)
    done = subprocess.run(["taskset", "-c", env.load_cpus, sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=90)
    if done.returncode or not done.stdout.strip():
        log(c.name, "client failed:", done.stderr.strip()[-200:])
        return None, 0
    return list(map(float, done.stdout.split())), cpu(pids) - before


def download(env, c, path, times):
    """the same 100 MiB over one connection; CPU is per MiB"""
    saw, spent = child(env, c, DOWNLOAD, c.port, path, c.cookie or "", int(c.tls), times)
    return saw and dict(cpu=spent / (saw[0] / 1048576) * 1e6, rps=times / saw[1], mbs=saw[0] / saw[1] / 1e6, p50=0, p99=0, errors=0)


ECHO = r"""
import asyncio,sys
async def one(r,w):
    try:
        await r.readuntil(b'\r\n\r\n')
        w.write(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n')
        while d:=await r.read(65536): w.write(d)
    except Exception: pass
    w.close()
async def main():
    s=await asyncio.start_server(one,'127.0.0.1',int(sys.argv[1]),backlog=1024)
    await s.serve_forever()
asyncio.run(main())
"""
WEBSOCKETS = r"""
import asyncio,sys,time
port,cookie,n,seconds=int(sys.argv[1]),sys.argv[2],int(sys.argv[3]),float(sys.argv[4])
count=0; took=[]
async def one():
    global count
    r,w=await asyncio.open_connection('127.0.0.1',port)
    w.write(('GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://127.0.0.1:%d\r\n%s\r\n'%(port,port,('Cookie: %s\r\n'%cookie) if cookie else '')).encode())
    head=await r.readuntil(b'\r\n\r\n')
    if b' 101 ' not in head.split(b'\r\n')[0]: raise SystemExit('no upgrade: %r'%head[:60])
    frame=b'\x81\xc0'+b'abcd'+b'x'*64
    end=time.time()+seconds
    while time.time()<end:
        t=time.perf_counter(); w.write(frame); await r.readexactly(len(frame)); took.append(time.perf_counter()-t); count+=1
    w.close()
async def main():
    await asyncio.gather(*[one() for _ in range(n)])
    took.sort(); print(count,seconds,took[len(took)//2]*1e6,took[len(took)*99//100]*1e6)
asyncio.run(main())
"""


def websockets(env, c, n, seconds):
    saw, spent = child(env, c, WEBSOCKETS, c.port, c.cookie or "", n, seconds)
    return saw and dict(cpu=spent / saw[0] * 1e6, rps=saw[0] / saw[1], p50=saw[2], p99=saw[3], errors=0)


def idle(c, n, settle=3.0):
    """memory of n connections that each served one request and wait for another"""
    pids = c.pids()
    before, sockets, good = memory(pids), [], 0
    cookie = f"Cookie: {c.cookie}\r\n" if c.cookie else ""
    request = f"GET /1k HTTP/1.1\r\nHost: 127.0.0.1:{c.port}\r\n{cookie}\r\n".encode()
    tls = ssl._create_unverified_context() if c.tls else None
    try:
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", c.port), 10)
            if tls: s = tls.wrap_socket(s, server_hostname="localhost")
            s.sendall(request)
            good += s.recv(4096).startswith(b"HTTP/1.1 200")
            sockets.append(s)
    except OSError as error: log(c.name, "idle connections end at", len(sockets), error)
    time.sleep(settle)
    after = memory(pids)
    again = 0
    for s in sockets[::50]:
        try:
            s.sendall(request)
            while (data := s.recv(4096)) and not data.startswith(b"HTTP/1.1"): pass
            again += bool(data)
        except OSError: pass
    for s in sockets: s.close()
    return dict(mib=after - before, n=good, per10k=(after - before) / max(good, 1) * 10000, again=again, asked=len(sockets[::50]))


# name: (over TLS, load, unit of the CPU figure, what it is)
SCENARIOS = {
    "get1k": (False, lambda e, c, s: wrk(e, c, "/1k", 64, s), "us/request", "1 KiB, 64 connections"),
    "tls1k": (True, lambda e, c, s: wrk(e, c, "/1k", 64, s), "us/request", "1 KiB over TLS, 64 connections"),
    "get64k": (False, lambda e, c, s: wrk(e, c, "/64k", 64, s), "us/request", "64 KiB, 64 connections"),
    "get1k-c1": (False, lambda e, c, s: wrk(e, c, "/1k", 1, s), "us/request", "1 KiB, one connection"),
    "get1k-c512": (False, lambda e, c, s: wrk(e, c, "/1k", 512, s), "us/request", "1 KiB, 512 connections"),
    "post1m": (False, lambda e, c, s: wrk(e, c, "/upload", 8, s, 'wrk.method="POST"; wrk.body=string.rep("x",1048576)'), "us/request", "POST of 1 MiB, 8 connections"),
    "get100m": (False, lambda e, c, s: download(e, c, "/100m", 4), "us/MiB", "100 MiB, one connection"),
    "websocket": (False, lambda e, c, s: websockets(e, c, 32, s), "us/message", "70 bytes back and forth over 32 WebSockets"),
    "new": (False, lambda e, c, s: wrk(e, c, "/1k", 16, s, 'wrk.headers["Connection"]="close"'), "us/request", "1 KiB, a new connection each"),
    "tls64k": (True, lambda e, c, s: wrk(e, c, "/64k", 64, s), "us/request", "64 KiB over TLS, 64 connections"),
    "tlsnew": (True, lambda e, c, s: wrk(e, c, "/1k", 16, s, 'wrk.headers["Connection"]="close"'), "us/request", "1 KiB, a new TLS connection each"),
}
