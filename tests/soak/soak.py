"""Mixed traffic through a real server for as long as asked: every answer is checked, and what the server holds is written down.

Ends with 1 if an answer was wrong or lost, if memory grew by more than 5 % after the warm-up (the first ten minutes, or the first sixth of a
shorter run, which has some slack besides), or if the server complained. Servers of the applications go away and come back all the while, and the policy is reloaded.
"""

import argparse
import asyncio
import json
import pathlib
import random
import re
import statistics
import sys
import tempfile
import time

from behind import Server
from client import Lost
from gateway import Gateway
from traffic import PAIR, SOLO, Traffic

# How much memory may grow in a run of less than ten minutes, even if it is more than 5 %: the ten thousand latest decisions are kept in memory
# to be explained, and so few minutes do not make so many.
SLACK_KIB = 6 * 1024
UNITS = {"s": 1, "m": 60, "h": 3600}


def length(text):
    found = re.fullmatch(r"(\d+)([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError("a length is written as 60s, 15m or 2h")
    return int(found[1]) * UNITS[found[2]]


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Mixed traffic through a real server for as long as asked.")
    parser.add_argument("length", type=length, help="60s, 15m or 2h")
    parser.add_argument("--rate", type=float, default=60, help="requests a second, besides streams and sign-ins; three times as many during the warm-up (60)")
    parser.add_argument("--reload", type=float, help="seconds between reloads of the policy (60, or a sixth of the length)")
    parser.add_argument("--restart", type=float, help="seconds between restarts of servers behind (20, or a tenth of the length)")
    parser.add_argument("--report", type=float, help="seconds between lines (60, or a sixth of the length)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (1)")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    said = parser.parse_args()
    said.reload = said.reload or min(60, said.length / 6)
    said.restart = said.restart or min(20, said.length / 10)
    said.report = said.report or min(60, said.length / 6)
    return said


class Soak:
    def __init__(self, said):
        self.said = said
        self.began = time.monotonic()
        self.warm = min(600, said.length / 6)
        self.samples, self.lines = [], []

    def is_short(self):
        return self.said.length < 600

    def age(self):
        return time.monotonic() - self.began

    async def restarts(self, servers):
        """Takes servers away and puts them back, one after the other: one of the pair carefully, the only one rudely."""
        for turn in range(10**9):
            await asyncio.sleep(self.said.restart)
            careful = servers["one" if turn % 2 else "two"]
            self.traffic.restart_begins(PAIR)
            await careful.leave()
            await asyncio.sleep(1)
            await careful.start()
            self.traffic.restart_ends(PAIR)
            solo = servers["solo"]
            self.traffic.restart_begins(SOLO)
            solo.die()
            await asyncio.sleep(0.5)
            await solo.start()
            self.traffic.restart_ends(SOLO)

    async def reloads(self):
        while True:
            await asyncio.sleep(self.said.reload)
            await self.gateway.reload()
            await self.traffic.generation(self.gateway.generation)

    async def watch(self):
        while True:
            cost = self.gateway.cost()
            if cost:
                self.samples.append((self.age(), *cost))
            await asyncio.sleep(1 if self.is_short() else 5)

    async def report(self):
        while True:
            await asyncio.sleep(self.said.report)
            self.line()

    def line(self):
        counts = self.traffic.counts
        latencies = sorted(self.traffic.take_latencies()) or [0]
        _, rss, pss, files = self.samples[-1]
        line = {
            "seconds": round(self.age()), "rss_mib": round(rss / 1024, 1), "pss_mib": round(pss / 1024, 1), "files": files,
            "requests": counts["requests"], "streams": counts["streams"], "sign_ins": counts["sign_ins"],
            "told": counts["told"], "wrong": counts["wrong"], "lost": counts["lost"],
            "p50_ms": round(latencies[len(latencies) // 2] * 1000, 1), "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 1),
        }
        if not self.lines:
            print("  ".join(f"{name:>8}" for name in line), flush=True)
        self.lines.append(line)
        print("  ".join(f"{value:>{max(8, len(name))}}" for name, value in line.items()), flush=True)

    def growth(self):
        """By which share the memory at the end is more than that after the warm-up, as medians of a tenth of the rest."""
        after = [pss for age, _, pss, _ in self.samples if age >= self.warm]
        if len(after) < 10:
            return None
        some = max(3, len(after) // 10)
        first, last = statistics.median(after[:some]), statistics.median(after[-some:])
        return first, last, last / first - 1

    async def run(self, folder):
        servers = {name: Server(name) for name in ("one", "two", "solo")}
        for server in servers.values():
            await server.start()
        self.gateway = Gateway(folder, servers)
        self.gateway.prepare()
        await self.gateway.start()
        self.traffic = Traffic(self.gateway, servers, random.Random(self.said.seed), 0 if self.is_short() else 12_000)
        await self.traffic.people()
        self.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [self.restarts(servers), self.reloads(), self.watch(), self.report(), *self.traffic.all(self.said.rate, self.warm)]
            running = [group.create_task(task) for task in tasks]
            ended = group.create_task(self.gateway.process.wait())
            await asyncio.wait([ended], timeout=self.said.length)
            died = ended.done()
            for task in [*running, ended]:
                task.cancel()
        await self.traffic.finish()
        self.line()
        return self.verdict(died, -1 if died else await self.gateway.stop())

    def verdict(self, died, status):
        counts, faults = self.traffic.counts, []
        for what in ("wrong", "lost"):
            if counts[what]:
                faults.append(f"{counts[what]} answers were {what}")
        if died or status:
            faults.append(f"the server ended {'by itself' if died else f'with {status}'}")
        faults += [f"the server complained: {line}" for line in self.gateway.complaints()[:5]]
        faults += [f"request {number} arrived {times} times" for number, times in self.traffic.doubled()]
        grown = self.growth()
        if grown:
            first, last, share = grown
            print(f"memory after the warm-up {first / 1024:.1f} MiB, at the end {last / 1024:.1f} MiB: {share:+.1%}")
            slack = SLACK_KIB if self.is_short() else 0
            if last > max(first * 1.05, first + slack):
                faults.append(f"memory grew by {share:.1%}")
        for fault in [*self.traffic.faults[:20], *faults]:
            print(f"soak: {fault}")
        print("soak: " + ("FAILED" if faults else "no wrong answer, none lost") + f" in {counts['requests']} requests, {dict(self.traffic.kinds)}")
        if self.said.json:
            self.said.json.write_text(json.dumps({"lines": self.lines, "memory": grown, "faults": faults}, indent=1))
        return 1 if faults else 0


def main():
    soak = Soak(arguments())
    with tempfile.TemporaryDirectory(prefix="portcullis-soak-") as folder:
        try:
            return asyncio.run(soak.run(folder))
        except Lost as error:
            return f"soak: cannot begin: {error}"
        finally:
            # Whatever happened, the server does not outlive its soak.
            process = getattr(getattr(soak, "gateway", None), "process", None)
            if process and process.returncode is None:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
