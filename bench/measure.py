#!/usr/bin/env python3
"""Drives the fixed node directly, through nginx, Turnpike and the floor, in turn, and prints one table.

Python standard library only; bench/run.sh builds what it needs. Everything listens on 127.0.0.1, on ports the system
chose, in a temporary folder that is removed at the end with every process that was started.
"""
import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BENCH = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT_SECONDS = 20
# Where a process lies in memory makes some percent of what it costs, as long as it runs.
ROUNDS_A_START = 3
MODELS = ["m-1", "m-one-write", "m-event-write", "m-hold"]
CASES = [("1 KB answer", None), ("34 events, one write", "m-one-write"), ("34 events, one by one", "m-event-write")]


@dataclass
class Target:
    """What is measured: a server at `address`, with the process whose CPU time and memory count."""
    name: str
    address: str
    pid: int
    key: str = ""


@dataclass
class Sum:
    """The rounds of one case on one target."""
    requests: int = 0
    seconds: float = 0.0
    errors: int = 0
    cpu_us: list = field(default_factory=list)  # a request, by round
    p50_us: list = field(default_factory=list)
    p99_us: list = field(default_factory=list)


class Processes:
    """Children, ended by pid in reverse order."""

    def __init__(self, folder):
        self.folder = folder
        self.children = []

    def start(self, name, command, **options):
        log = open(os.path.join(self.folder, name + ".log"), "wb")
        child = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, **{"stdout": log, **options})
        self.children.append(child)
        return child

    def stop(self, child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.remove(child)

    def stop_all(self):
        for child in reversed(list(self.children)):
            self.stop(child)


def until(what, check, child=None):
    """Polls `check` until it gives something. The wait has a deadline."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if child is not None and child.poll() is not None:
            break
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise SystemExit(f"bench: {what} did not come")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of every thread of a process, ended ones too."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        values = stat.read().rsplit(")", 1)[1].split()
    return (int(values[11]) + int(values[12])) / TICKS_PER_SECOND


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def start_listening(processes, name, command):
    """Starts a program that says where it listens."""
    child = processes.start(name, command, stdout=subprocess.PIPE)
    line = child.stdout.readline().decode()
    return Target(name, line.split("listening on ")[1].strip(), child.pid)


def start_node(processes, build):
    return start_listening(processes, "direct", [os.path.join(build, "turnpike-bench-node")])


def start_floor(processes, folder, node, build):
    return start_listening(processes, "floor", [os.path.join(build, "turnpike-bench-floor"), "--node", node.address,
                                                "--data-dir", folder])


def start_nginx(processes, folder, node):
    address = f"127.0.0.1:{free_port()}"
    config = os.path.join(folder, "nginx.conf")
    temp = "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in
                     ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(config, "w", encoding="utf-8") as out:
        out.write(f"""daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
{temp}
  keepalive_requests 1000000000;
  upstream node {{ server {node.address}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://node;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
""")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    # Without a master the one process is the worker.
    child = processes.start("nginx", [nginx, "-p", folder, "-c", config, "-e", f"{folder}/nginx-error.log"])
    target = Target("nginx", address, child.pid)
    until("nginx", lambda: answers(target), child)
    return target


def start_turnpike(processes, folder, node, build, name="turnpike", receipts=None):
    program = os.path.join(build, "turnpike")
    data = os.path.join(folder, name)
    config = os.path.join(folder, name + ".json")
    pricing = {"prompt_per_million_usd": "1.00", "completion_per_million_usd": "2.00"}
    with open(config, "w", encoding="utf-8") as out:
        json.dump({
            "listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "data_dir": data,
            "http": {"max_connections": 8192},
            "models": [{"id": model, "context_window": 32768, "pricing": pricing} for model in MODELS],
            "nodes": [{"id": "node-1", "url": f"http://{node.address}/v1", "models": MODELS, "capacity": 4096}],
            # The limits are counted, and out of reach.
            "tiers": {"bench": {"requests_per_minute": 1000000000, "tokens_per_minute": 1000000000000}},
            "receipts": receipts or {},
        }, out)
    child = processes.start(name, [program, "serve", "--config", config, "--data-dir", data])
    listening = os.path.join(data, "listening.json")
    until(name, lambda: os.path.exists(listening), child)
    with open(listening, encoding="utf-8") as ready:
        address = json.load(ready)["listen"]
    created = subprocess.run([program, "keys", "create", "--config", config, "--tier", "bench", "--credits",
                              "100000000", "--json"], capture_output=True, text=True, check=True)
    target = Target(name, address, child.pid, json.loads(created.stdout)["api_key"])
    until(f"a live node in {name}", lambda: answers(target), child)
    return target


def answers(target):
    body = json.dumps({"model": "m-1", "messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(f"http://{target.address}/v1/chat/completions", body,
                                     {"Content-Type": "application/json", "Authorization": f"Bearer {target.key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def load(target, model, connections, seconds, build):
    """One bounded run. Returns what the load program counted and the CPU time the target took."""
    if model is None:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
                   os.path.join(BENCH, "post.lua"), f"http://{target.address}/v1/chat/completions"]
    else:
        command = [os.path.join(build, "turnpike-bench-sse"), "--connect", target.address, "--model", model,
                   "--connections", str(connections), "--seconds", str(seconds), "--key", target.key]
    before = cpu_seconds(target.pid)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "BENCH_KEY": target.key},
                          check=True)
    cpu = cpu_seconds(target.pid) - before
    line = next(line for line in reversed(done.stdout.splitlines()) if "{" in line)
    return json.loads(line[line.index("{"):]), cpu


def held_kib_a_stream(target, streams, build):
    """Opens streams that stay open and reads what each adds to the memory of the target."""
    before = rss_kib(target.pid)
    command = [os.path.join(build, "turnpike-bench-sse"), "--connect", target.address, "--key", target.key,
               "--hold", str(streams)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        held = child.stdout.readline()
        after = rss_kib(target.pid)
        child.stdin.close()
    return before, after if held.startswith("holding") else None


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {model}, {memory:.0f} GiB, Linux {platform.release()}"


def print_memory(targets, streams, build):
    print(f"\n{'memory':<12}{'idle MiB':>10}{f'with {streams} streams':>22}{'KiB a stream':>14}")
    for target in targets:
        before, after = held_kib_a_stream(target, streams, build)
        if after is None:
            print(f"{target.name:<12}{before / 1024:>10.1f}{'refused':>22}{'-':>14}")
            continue
        held = f"{after / 1024:.1f} MiB"
        print(f"{target.name:<12}{before / 1024:>10.1f}{held:>22}{(after - before) / streams:>14.1f}", flush=True)


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def print_table(sums, targets):
    print(f"\n{'case':<24}{'conns':>6}  {'target':<12}{'req/s':>9}{'p50 us':>9}{'p99 us':>9}{'CPU us/req':>12}"
          f"{'x nginx':>18}{'errors':>8}")
    for title, connections in dict.fromkeys((title, connections) for title, connections, _ in sums):
        base = sums.get((title, connections, "nginx"))
        for target in targets:
            one = sums[(title, connections, target.name)]
            ratio = "-"
            if base and target.name != "direct":
                # Round by round: a machine that is slower for a while is slower for both.
                low, middle, high = quartiles([cpu / other for cpu, other in zip(one.cpu_us, base.cpu_us)])
                ratio = f"{middle:.2f}" if one is base else f"{middle:.2f} ({low:.2f}-{high:.2f})"
            p50, p99, cpu = (statistics.median(values) for values in (one.p50_us, one.p99_us, one.cpu_us))
            print(f"{title:<24}{connections:>6}  {target.name:<12}{one.requests / one.seconds:>9.0f}{p50:>9.0f}{p99:>9.0f}"
                  f"{cpu:>12.1f}{ratio:>18}{one.errors:>8}")


def start_targets(arguments, folder, processes):
    os.mkdir(folder)
    node = start_node(processes, arguments.build)
    wanted = arguments.only.split(",")
    targets = [node] if "direct" in wanted else []
    if "nginx" in wanted:
        targets.append(start_nginx(processes, folder, node))
    if "turnpike" in wanted:
        targets.append(start_turnpike(processes, folder, node, arguments.build))
    if "undigested" in wanted:
        targets.append(start_turnpike(processes, folder, node, arguments.build, "undigested", {"content_digests": False}))
    if "floor" in wanted:
        targets.append(start_floor(processes, folder, node, arguments.build))
    return targets


def measure_round(arguments, targets, sums):
    for title, model in CASES:
        for connections in (1, 64):
            for target in targets:
                result, cpu = load(target, model, connections, arguments.seconds, arguments.build)
                one = sums.setdefault((title, connections, target.name), Sum())
                one.requests += result["streams"]
                one.seconds += result["seconds"]
                one.cpu_us.append(cpu / result["streams"] * 1e6)
                one.errors += result["errors"]
                one.p50_us.append(result["p50_us"])
                one.p99_us.append(result["p99_us"])


def measure(arguments, folder, processes):
    print(f"{datetime.date.today()}: {machine()}")
    print(f"runs of {arguments.seconds} s, {arguments.rounds} rounds, in turn, everything started anew each {ROUNDS_A_START}; CPU "
          f"is user + system of the process named (direct: the node itself), the median of the rounds; x nginx is the median of "
          f"each round's ratio (and its middle half)", flush=True)
    sums = {}
    targets = []
    for number in range(arguments.rounds):
        if number % ROUNDS_A_START == 0:
            processes.stop_all()
            targets = start_targets(arguments, os.path.join(folder, str(number)), processes)
        if number == 0:
            print_memory([target for target in targets if target.name in ("nginx", "turnpike")], arguments.streams, arguments.build)
        measure_round(arguments, targets, sums)
    print_table(sums, targets)
    return 1 if any(one.errors for one in sums.values()) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=1, help="of one run")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--streams", type=int, default=2000, help="held open for the memory table")
    parser.add_argument("--only", default="direct,nginx,turnpike,undigested,floor")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    folder = tempfile.mkdtemp(prefix="turnpike-bench-")
    processes = Processes(folder)
    try:
        return measure(arguments, folder, processes)
    finally:
        processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
