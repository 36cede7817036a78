#!/usr/bin/env python3
"""Measures the job queue: how many jobs a second it takes, and what a hundred thousand of them cost at a start and in memory.

Python standard library and wrk; everything listens on 127.0.0.1. bench/measure_queue.py --build DIR
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

from measure import BENCH, Processes, cpu_seconds, rss_kib, until

SECONDS_A_RUN = 5
MOST_RUNS = 24


def write_config(folder, node):
    config = os.path.join(folder, "turnpike.json")
    with open(config, "w", encoding="utf-8") as out:
        json.dump({
            "listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "data_dir": os.path.join(folder, "data"),
            "models": [{"id": "m-1", "context_window": 4096, "pricing": {
                "prompt_per_million_usd": "1.00", "completion_per_million_usd": "2.00"}}],
            "nodes": [{"id": "node-1", "url": f"http://{node}/v1", "models": ["m-1"], "capacity": 1}],
            "queue": {"max_jobs": 10_000_000, "max_jobs_per_account": 10_000_000, "max_bytes": 1 << 36, "max_running": 1},
        }, out)
    return config


class Gateway:
    def __init__(self, processes, build, folder, config):
        self.processes = processes
        self.command = [os.path.join(build, "turnpike"), "serve", "--config", config]
        self.listening = os.path.join(folder, "data", "listening.json")
        self.child = None
        self.address = ""

    def start(self):
        """Returns the seconds until it says that it is ready."""
        if os.path.exists(self.listening):
            os.remove(self.listening)
        began = time.monotonic()
        self.child = self.processes.start("turnpike", self.command)
        self.address = until("the gateway", self.find_address, self.child)
        until("readiness", lambda: self.get("/readyz"), self.child)
        return time.monotonic() - began

    def find_address(self):
        try:
            with open(self.listening, encoding="utf-8") as file:
                return json.load(file)["listen"]
        except (OSError, ValueError):
            return None

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
            return answer.read().decode()

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.processes.children.remove(self.child)

    def queued(self):
        return int(float(re.search(r'turnpike_queue_jobs{state="queued"} (\S+)', self.get("/metrics"))[1]))


def fill(gateway, key, wanted):
    """Enqueues until there are as many; prints each run."""
    print(f"{'jobs':>9}  {'enqueued/s':>10}  {'p50 us':>8}  {'p99 us':>8}  {'CPU us/job':>10}  {'RSS MiB':>8}  errors")
    for _ in range(MOST_RUNS):
        before, cpu = gateway.queued(), cpu_seconds(gateway.child.pid)
        done = subprocess.run(
            ["wrk", "-t1", "-c64", f"-d{SECONDS_A_RUN}s", "-s", os.path.join(BENCH, "post.lua"),
             f"http://{gateway.address}/v1/chat/completions"],
            env={**os.environ, "BENCH_KEY": key}, capture_output=True, text=True, check=True,
            timeout=SECONDS_A_RUN + 30)
        result = json.loads(done.stdout.split("RESULT ", 1)[1].splitlines()[0])
        jobs = gateway.queued()
        used = (cpu_seconds(gateway.child.pid) - cpu) * 1e6 / max(1, jobs - before)
        print(f"{jobs:9}  {(jobs - before) / result['seconds']:10.0f}  {result['p50_us']:8}  {result['p99_us']:8}  "
              f"{used:10.1f}  {rss_kib(gateway.child.pid) / 1024:8.1f}  {result['errors']}", flush=True)
        if jobs >= wanted:
            return
    raise SystemExit("bench: the queue does not fill")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--jobs", type=int, default=100_000)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="turnpike-bench-")
    processes = Processes(folder)
    try:
        # A node that answers nothing while this runs: what is measured is the queue alone.
        node = processes.start("node", [os.path.join(arguments.build, "turnpike-simnode"), "--models", "m-1",
                                        "--first-token-delay-ms", "600000"], stdout=subprocess.PIPE)
        config = write_config(folder, node.stdout.readline().decode().split("listening on ")[1].strip())
        gateway = Gateway(processes, arguments.build, folder, config)
        gateway.start()
        made = subprocess.run([os.path.join(arguments.build, "turnpike"), "keys", "create", "--config", config, "--credits",
                               "100000000", "--dialect", "drm3", "--tier", "metered", "--json"],
                              capture_output=True, text=True, check=True, timeout=20)
        print(f"64 connections, runs of {SECONDS_A_RUN} s")
        fill(gateway, json.loads(made.stdout)["api_key"], arguments.jobs)
        gateway.kill()
        seconds = gateway.start()
        print(f"start after SIGKILL with {gateway.queued() + 1} jobs: {seconds:.2f} s until ready, "
              f"{rss_kib(gateway.child.pid) / 1024:.1f} MiB resident")
        gateway.kill()
    finally:
        processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
