"""JupyterHub, which nobody here wrote, behind the built gateway: the right user and role, nothing forged, a kernel over WebSocket.

Run by the Python of `install`: target/tools/jupyterhub/venv/bin/python tests/jupyterhub/check.py
Prints a line for each promise and `N passed, N failed` at the end; the status is 1 if one failed. Only loopback is used.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from pathlib import Path

import requests
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

HERE = Path(__file__).resolve().parent
BINARY = os.environ.get("PORTCULLIS_BINARY", str(HERE / "../../target/debug/portcullis"))

# Names below .localhost are this machine, also where the resolver does not know that.
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **named)


def free_ports(count, together=1):
    """Ports nobody listens on; with `together`, each has that many free ones from it on."""
    found = []
    while len(found) < count:
        taken = []
        try:
            first = socket.create_server(("127.0.0.1", 0))
            taken.append(first)
            port = first.getsockname()[1]
            taken += [socket.create_server(("127.0.0.1", port + more)) for more in range(1, together)]
            if port not in found:
                found.append(port)
        except (OSError, OverflowError):
            continue
        finally:
            for one in taken:
                one.close()
    return found


def until(what, found, seconds=60, every=0.2):
    """Asks `found` until it gives something true, which is returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds} s")


class House:
    """The gateway and the hub, in a folder of their own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="portcullis-jupyterhub-"))
        [self.port] = free_ports(1)
        [self.hub_port] = free_ports(1, together=3)
        self.portal = f"http://portal.localhost:{self.port}"
        self.hub = f"http://hub.localhost:{self.port}"
        self.running = []

    def start(self):
        (self.folder / "config").mkdir()
        (self.folder / "policies").mkdir()
        (self.folder / "hub").mkdir()
        self.config = self.folder / "config/portcullis.toml"
        self.config.write_text(
            f'server.public_url = "{self.portal}"\n'
            f'listen = {{ http = "127.0.0.1:{self.port}", management = "127.0.0.1:0" }}\n'
            "policy.watch = false\n"
        )
        policy = (HERE / "policy.toml").read_text()
        policy = policy.replace("127.0.0.1:8000", f"127.0.0.1:{self.hub_port}").replace("hub.example.org", "hub.localhost").replace("https://", "http://")
        # A socket is looked at again every minute as shipped; here nobody wants to wait that long.
        (self.folder / "policies/hub.toml").write_text(policy.replace("[app.hub]", '[app.hub]\nrecheck = "5s"', 1))
        self.spawn("hub", [HERE / "run"], cwd=self.folder / "hub", env={**os.environ, "HUB_PORT": str(self.hub_port)})
        gateway = self.spawn("gateway", [BINARY, "serve", "--config", self.config])
        until("the gateway says ready", lambda: gateway.poll() is not None or "\nready\n" in "\n" + self.said("gateway"))
        if gateway.poll() is not None:
            raise AssertionError(f"the gateway ended with {gateway.returncode}:\n{self.said('gateway')}")
        until("the hub answers", lambda: answers(f"http://127.0.0.1:{self.hub_port}/hub/health"))

    def spawn(self, name, command, **options):
        output = (self.folder / f"{name}.log").open("w")
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options)
        self.running.append(process)
        return process

    def said(self, name):
        return (self.folder / f"{name}.log").read_text()

    def command(self, *words):
        done = subprocess.run([BINARY, *words, "--config", self.config], capture_output=True, text=True)
        assert done.returncode == 0, f"portcullis {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def close(self):
        # Each leads a group of its own, so the hub's proxy goes with it; the hub ends its notebook servers itself.
        for process in reversed(self.running):
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, sign)
                    process.wait(20)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
        shutil.rmtree(self.folder, ignore_errors=True)


def answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


class Person:
    """Somebody at a browser: cookies, forms, and pages that go on by themselves."""

    def __init__(self, house, **headers):
        self.house = house
        self.jar = requests.Session()
        self.jar.trust_env = False
        self.jar.headers.update({"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **headers})

    def go(self, url):
        return self.onward(self.jar.get(url, timeout=60))

    def onward(self, page):
        while refresh := re.search(r'<meta http-equiv="refresh" content="\d+; *url=([^"]+)"', page.text):
            page = self.jar.get(requests.compat.urljoin(page.url, refresh[1].replace("&amp;", "&")), timeout=60)
        return page

    def send(self, page, **fields):
        """Sends the form on `page` that has a field named like the first of `fields`, its hidden fields included."""
        for form in re.findall(r"<form\b.*?</form>", page.text, re.S):
            if f'name="{next(iter(fields)).replace("_", "-")}"' in form:
                break
        else:
            raise AssertionError(f"no form with {list(fields)} on {page.url} ({page.status_code}):\n{page.text[:2000]}")
        values = {}
        for tag in re.findall(r'<input\b[^>]*type="hidden"[^>]*>', form):
            values[re.search(r'name="([^"]*)"', tag)[1]] = re.search(r'value="([^"]*)"', tag)[1].replace("&amp;", "&")
        values.update({name.replace("_", "-"): value for name, value in fields.items()})
        action = requests.compat.urljoin(page.url, re.search(r'action="([^"]*)"', form)[1])
        origin = "/".join(action.split("/")[:3])
        return self.onward(self.jar.post(action, data=values, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}, timeout=60))

    def register(self, email, token, password):
        page = self.go(self.house.portal + "/.portcullis/account/new")
        page = self.send(page, email=email, token=token, new_password=password)
        assert "My applications" in page.text, f"registering ended on {page.url} ({page.status_code}):\n{page.text[:2000]}"

    def sign_in(self, url, name, password):
        return self.send(self.go(url), username=name, password=password)

    def sign_out(self):
        return self.jar.post(self.house.portal + "/.portcullis/sign-out", data=self.csrf(), headers={"Origin": self.house.portal, "Sec-Fetch-Site": "same-origin"}, timeout=60)

    def csrf(self):
        page = self.go(self.house.portal + "/.portcullis/me/security")
        return {"csrf": re.search(r'name="csrf" value="([^"]*)"', page.text)[1]}

    def script(self, method, path, **options):
        """What JupyterHub's own scripts send: JSON, with the value of the `_xsrf` cookie of the longest path."""
        marks = sorted((len(one.path), one.value) for one in self.jar.cookies if one.name == "_xsrf" and path.startswith(one.path) and one.domain.startswith("hub."))
        headers = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin", "Referer": self.house.hub + path}
        if marks:
            headers["X-XSRFToken"] = marks[-1][1]
        return self.jar.request(method, self.house.hub + path, headers={**headers, **options.pop("headers", {})}, allow_redirects=False, timeout=60, **options)

    def cookies_for(self, url):
        return requests.cookies.get_cookie_header(self.jar.cookies, requests.Request("GET", url).prepare())

    def hub_user(self):
        """Who the hub takes this person for."""
        self.go(self.house.hub + "/hub/home")
        answer = self.script("GET", "/hub/api/user")
        return answer.json() if answer.status_code == 200 else {"status": answer.status_code, "text": answer.text[:500]}


async def open_socket(house, person, path):
    """A WebSocket through the gateway with this person's cookies; the status when it is refused."""
    headers = {"Origin": house.hub, "Host": f"hub.localhost:{house.port}"}
    cookies = person.cookies_for(house.hub + path)
    if cookies:
        headers["Cookie"] = cookies
    try:
        return await websocket_connect(HTTPRequest(house.hub.replace("http", "ws", 1) + path, headers=headers, connect_timeout=20))
    except HTTPClientError as refused:
        return refused.code


async def run_in_kernel(connection, code):
    """What `code` prints."""
    message = {
        "header": {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3", "date": ""},
        "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
        "content": {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True},
    }  # fmt: skip
    await connection.write_message(json.dumps(message))
    printed = ""
    while True:
        text = await asyncio.wait_for(connection.read_message(), 60)
        assert text is not None, "the socket closed before the kernel was done"
        answer = json.loads(text)
        if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        if answer["msg_type"] == "stream":
            printed += answer["content"]["text"]
        if answer["msg_type"] == "error":
            raise AssertionError("\n".join(answer["content"]["traceback"]))
        if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
            return printed


ADA = ("ada@example.org", "ada", "walnut orbit ledger 7")
BO = ("bo@example.org", "bo", "seven quiet lanterns 4")


def promises(house):
    """The promises in their order: each a name and what tells whether it holds."""
    bo = Person(house)
    kernel = {}

    def strangers_are_sent_to_sign_in():
        stranger = Person(house)
        page = stranger.go(house.hub + "/hub/home")
        assert page.url.startswith(house.portal + "/.portcullis/sign-in"), page.url
        assert stranger.script("GET", "/hub/api/user").status_code == 401

    def a_forged_header_without_a_session_opens_nothing():
        direct = requests.get(f"http://127.0.0.1:{house.hub_port}/hub/home", headers={"X-Portcullis-Login": "ada", "X-Portcullis-Roles": "admin"}, timeout=60)
        assert direct.ok and "ada" in direct.text, "the hub itself believes the header, or this test would prove nothing"
        for name in ("X-Portcullis-Login", "X_Portcullis_Login", "x.portcullis.login", "X-PORTCULLIS_LOGIN"):
            forger = Person(house, **{name: "ada", "X-Portcullis-Roles": "admin"})
            page = forger.go(house.hub + "/hub/home")
            assert page.url.startswith(house.portal), f"{name}: {page.url}"

    def people_register_at_portcullis():
        for (email, name, password), person in ((ADA, Person(house)), (BO, bo)):
            token = house.command("user", "add", "--email", email, "--username", name, "--given-name", name.title())
            person.register(email, token, password)

    def the_hub_sees_the_user_who_signed_in_and_no_admin():
        user = bo.hub_user()
        assert (user.get("name"), user.get("admin")) == ("bo", False), user

    def the_hub_sees_the_admin():
        ada = Person(house)
        ada.sign_in(house.hub + "/hub/home", ADA[1], ADA[2])
        user = ada.hub_user()
        assert (user.get("name"), user.get("admin")) == ("ada", True), user

    def a_forged_header_beside_a_session_changes_nothing():
        for name in ("X-Portcullis-Login", "X_Portcullis_Login", "x.portcullis.login"):
            for roles in ("X-Portcullis-Roles", "X_Portcullis_Roles"):
                forger = Person(house, **{name: "ada", roles: "admin", "Connection": "keep-alive, X-Portcullis-Login"})
                forger.sign_in(house.hub + "/hub/home", BO[0], BO[2])
                user = forger.hub_user()
                assert (user.get("name"), user.get("admin")) == ("bo", False), (name, roles, user)

    def a_role_changed_in_portcullis_counts_in_the_hub():
        house.command("user", "role", "bo", "admin")
        until("bo is admin", lambda: bo.hub_user().get("admin") is True, 20, 1)
        house.command("user", "role", "bo", "user")
        until("bo is no admin", lambda: bo.hub_user().get("admin") is False, 20, 1)

    def a_notebook_server_starts():
        bo.go(house.hub + "/hub/spawn")
        until("the server is ready", lambda: (bo.hub_user().get("servers") or {}).get("", {}).get("ready"), 120, 1)
        page = bo.go(house.hub + "/user/bo/lab")
        assert page.ok and page.url.startswith(house.hub + "/user/bo/lab") and "JupyterLab" in page.text, (page.url, page.status_code, page.text[:500])

    def a_kernel_computes_over_a_websocket():
        made = bo.script("POST", "/user/bo/api/kernels", json={"name": "python3"})
        assert made.status_code == 201, (made.status_code, made.text[:500])
        kernel["path"] = f"/user/bo/api/kernels/{made.json()['id']}/channels"

        async def talk():
            connection = await open_socket(house, bo, kernel["path"])
            assert not isinstance(connection, int), f"the socket was refused with {connection}"
            printed = await run_in_kernel(connection, "print(6*7)")
            assert printed == "42\n", printed
            large = await run_in_kernel(connection, "print('x' * 1_000_000)")
            assert len(large) == 1_000_001, len(large)
            connection.close()

        asyncio.run(talk())

    def a_websocket_without_a_session_is_refused():
        assert asyncio.run(open_socket(house, Person(house), kernel["path"])) == 401

    def the_next_person_at_the_same_browser_does_not_get_the_last_ones_notebooks():
        bo.sign_out()
        ada_there = bo
        ada_there.sign_in(house.portal + "/.portcullis/", ADA[1], ADA[2])
        # Opens the application's host first, so that the gateway's session is there; the hub's and the notebook server's cookies are still Bo's.
        ada_there.go(house.hub + "/user/bo/files/x")
        seen = ada_there.script("GET", "/user/bo/api/me")
        assert seen.status_code != 200 or seen.json()["identity"]["username"] != "bo", seen.text
        assert ada_there.hub_user().get("name") == "ada"
        ada_there.sign_out()
        bo.sign_in(house.hub + "/hub/home", BO[1], BO[2])
        assert bo.hub_user().get("name") == "bo"
        assert bo.go(house.hub + "/user/bo/lab").ok

    def an_open_websocket_closes_when_the_account_is_disabled():
        async def talk():
            connection = await open_socket(house, bo, kernel["path"])
            assert not isinstance(connection, int), f"the socket was refused with {connection}"
            assert await run_in_kernel(connection, "print('open')") == "open\n"
            threading.Thread(target=house.command, args=("user", "disable", "bo")).start()
            while await asyncio.wait_for(connection.read_message(), 30) is not None:
                pass

        asyncio.run(talk())
        assert bo.script("GET", "/hub/api/user").status_code in (401, 403)

    return [(name.replace("_", " "), story) for name, story in locals().items() if callable(story)]


def main():
    house = House()
    failed, passed, began = [], 0, time.monotonic()
    try:
        try:
            house.start()
            told = promises(house)
        except AssertionError as wrong:
            print(f"FAIL  the gateway and the hub start\n{wrong}\n{house.said('hub') if (house.folder / 'hub.log').exists() else ''}")
            failed.append("the gateway and the hub start")
            told = []
        for name, story in told:
            try:
                start = time.monotonic()
                story()
                passed += 1
                print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception:
                failed.append(name)
                print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
        if failed:
            for name in ("hub", "gateway"):
                print(f"--- the last of {name}.log\n" + "\n".join(house.said(name).splitlines()[-40:]))
    finally:
        house.close()
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed in {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
