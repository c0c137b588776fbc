"""Processes and what they cost: started on chosen processors, their user and system time, their memory, and who else uses the machine."""
import os, re, signal, socket, ssl, subprocess, sys, time

STARTED = []
BEGAN = time.time()
TICKS = os.sysconf("SC_CLK_TCK")


def log(*words):
    print(f"[{time.time() - BEGAN:6.1f}]", *words, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def spawn(command, cpus, env=None, cwd=None, logfile=None):
    out = open(logfile, "ab") if logfile else subprocess.DEVNULL
    process = subprocess.Popen(["taskset", "-c", cpus] + command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                               env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
    STARTED.append(process)
    return process


def stop(processes):
    """ends these and what they started, which is in their sessions"""
    for p in processes:
        try: os.killpg(p.pid, signal.SIGTERM)
        except ProcessLookupError: pass
    end = time.time() + 3
    for p in processes:
        try: p.wait(max(0.05, end - time.time()))
        except subprocess.TimeoutExpired: pass
        try: os.killpg(p.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError): pass
        try: p.wait(2)
        except subprocess.TimeoutExpired: pass
        if p in STARTED: STARTED.remove(p)


def stop_all():
    stop(list(STARTED))


def wait_port(port, timeout=20):
    end = time.time() + timeout
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError: time.sleep(0.05)
    raise RuntimeError(f"port {port} did not open")


def tree(pid):
    """the process and all below it"""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try: fields = open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()
            except OSError: continue
            children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu(pids):
    """seconds of user and system time so far"""
    ticks = 0
    for pid in pids:
        try: fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        except OSError: continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def memory(pids, key="Pss"):
    """MiB; pages that several share are counted once for Pss"""
    kib = 0
    for pid in pids:
        file = "smaps_rollup" if key == "Pss" else "status"
        try: found = re.search(rf"^{key}:\s+(\d+)", open(f"/proc/{pid}/{file}").read(), re.M)
        except OSError: continue
        kib += int(found[1]) if found else 0
    return kib / 1024


def busy():
    """seconds that all processors were busy so far"""
    f = list(map(int, open("/proc/stat").readline().split()[1:9]))
    return (sum(f) - f[3] - f[4]) / TICKS


class Foreign:
    """the share of the machine that processes other than these took while the block ran"""

    def __init__(self, pids):
        self.pids = pids

    def now(self):
        own = os.times()
        return busy() - cpu(self.pids) - own.user - own.system - own.children_user - own.children_system

    def __enter__(self):
        self.before, self.since = self.now(), time.time()
        return self

    def __exit__(self, *_):
        self.share = max(0.0, (self.now() - self.before) / ((time.time() - self.since) * os.cpu_count()))


def http_get(port, path, headers=None, tls=False, timeout=5):
    """status and body; raw, so that it reads like every other client of the harness"""
    s = socket.create_connection(("127.0.0.1", port), timeout)
    if tls: s = ssl._create_unverified_context().wrap_socket(s, server_hostname="localhost")
    fields = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{fields}\r\n".encode())
    data = b""
    while more := s.recv(65536): data += more
    s.close()
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        whole = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            size = int(size, 16)
            if not size: break
            whole += body[:size]
            body = body[size + 2:]
        body = whole
    return int(head.split()[1]), body


def machine():
    """the kind of machine, without its name"""
    model = re.search(r"^model name\s*:\s*(.*)$", open("/proc/cpuinfo").read(), re.M)
    total = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1]) / 1048576
    kernel = os.uname().release.split("-")[0]
    return f"{os.cpu_count()} processors ({model[1] if model else os.uname().machine}), {total:.0f} GiB, Linux {kernel}"
