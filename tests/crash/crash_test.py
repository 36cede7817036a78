#!/usr/bin/env python3
"""Kills the gateway under load at random instants, starts it again, and reconciles. Python standard library only.

Each round: client threads ask for answers, whole and streamed, over several accounts, while grants are made and x402
payments are paid in; the gateway gets SIGKILL after a random time, or at a chosen step of an answer or a payment; it is
started again (and now and then killed again while it starts). Then, for every account, by the HTTP API and by the
database file:
  - every answer that a client saw completed is charged exactly once, at the price of the usage it reported;
  - no job is charged twice, and nothing is charged that was not asked for;
  - every grant that was acknowledged is there, and none that was not asked for;
  - every payment whose money moved is credited once, and no other; each that a client saw credited has moved;
  - no hold is left, and balance = grants + top-ups - charges to the nano-dollar;
  - every top-up, and every charge that took a balance below its threshold, was told to its account's webhook, in order,
    by one webhook-id however often, and nothing else was;
  - every charge earned the owner of the node that served it its share, once, and nothing else did; where a stream was
    carried on by another node, both owners earned, and not more than was charged;
  - every job that was queued is complete, with its answer, charged once at the price of its usage and told by one
    webhook-id, or was cancelled and not charged; a request that is sent again by its Idempotency-Key is the same job;
  - the log of receipts goes on from every root that was ever signed, and a receipt's digests are those of the bytes that
    the client sent and got;
  - `turnpike ledger check` finds no fault.
An answer counts as completed when all of its body arrived, or the stream's [DONE] did.
"""
import argparse
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

PROMPT_NANOUSD_PER_MILLION = 1_370_000_000
COMPLETION_NANOUSD_PER_MILLION = 2_910_000_000
NANOUSD_PER_CREDIT = 10_000_000
MODEL = "m-1"
CLIENTS_PER_ACCOUNT = 4
WAIT_SECONDS = 20
PAY_TO = "0x2222222222222222222222222222222222222222"
ASSET = "0x3333333333333333333333333333333333333333"
NANOUSD_PER_UNIT = 1000
SHARES_MILLIONTHS = {"node-1": 333_333, "node-2": 900_000}


class Failed(Exception):
    """A promise that did not hold."""


def expect(condition, message):
    if not condition:
        raise Failed(message)


def nanousd(usdc):
    """A decimal string of dollars, exactly."""
    negative = usdc.startswith("-")
    whole, _, decimals = usdc.lstrip("-").partition(".")
    amount = int(whole) * 1_000_000_000 + int(decimals.ljust(9, "0"))
    return -amount if negative else amount


def number_of(entry):
    return int(entry["id"].removeprefix("txn_"))


def price(usage):
    millionths = (usage["prompt_tokens"] * PROMPT_NANOUSD_PER_MILLION
                  + usage["completion_tokens"] * COMPLETION_NANOUSD_PER_MILLION)
    return (millionths + 999_999) // 1_000_000


@dataclass
class Account:
    """What the clients of one account know for certain."""
    id: str
    key: str
    granted: int = 0        # nano-dollars, acknowledged
    grants_asked: int = 0   # nano-dollars, acknowledged or not
    asked: int = 0          # requests that were sent
    completed: dict = field(default_factory=dict)  # job id -> nano-dollars; None: whatever it is
    refused: Counter = field(default_factory=Counter)
    paid: set = field(default_factory=set)  # transactions of top-ups that a client saw credited
    pays: bool = True       # it is topped up
    low: set = field(default_factory=set)  # jobs that took its balance below its threshold
    thresholds: list = field(default_factory=list)  # (the newest entry when it was set, nano-dollars)
    digests: dict = field(default_factory=dict)  # job id -> SHA-256 of the request's and the answer's body
    lock: threading.Lock = field(default_factory=threading.Lock)


    def crossed(self, entry):
        """Whether a charge took the balance below the threshold that was set then."""
        threshold = next((nanos for since, nanos in reversed(self.thresholds) if since < number_of(entry)), 0)
        after = nanousd(entry["balance_usdc"])
        return after < threshold <= after - nanousd(entry["amount_usdc"])

    @property
    def wallet(self):
        return "0x" + hashlib.sha256(self.id.encode()).hexdigest()[:40]


@dataclass
class Queue:
    """What is known for certain of an account whose requests are queued."""
    id: str
    key: str
    granted: int            # nano-dollars
    jobs: dict = field(default_factory=dict)      # Idempotency-Key -> job id
    unsure: dict = field(default_factory=dict)    # Idempotency-Key -> body: cut off before it was acknowledged
    cancelled: set = field(default_factory=set)   # acknowledged
    doubtful: set = field(default_factory=set)    # cut off before the cancel was acknowledged
    complete: dict = field(default_factory=dict)  # job id -> nano-dollars
    refused: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, name, job):
        with self.lock:
            self.unsure.pop(name, None)
            before = self.jobs.setdefault(name, job)
        expect(before == job, f"one Idempotency-Key made two jobs: {before} and {job}")


@dataclass
class Owner:
    """Who earns by one node."""
    id: str
    key: str
    node: str


class Facilitator:
    """Settles payments, and is the chain too: it knows which money moved. Fails half way now and then."""

    def __init__(self, seed):
        self.moved = {}  # (payer, nonce) -> (units, transaction)
        self.steps = {step: threading.Event() for step in ("verify", "before moving", "after moving")}
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        facilitator = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                facilitator.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler):
        asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if handler.path == "/verify":
            self.steps["verify"].set()
            status, said = 200, {"isValid": True}
        else:
            status, said = self.settle(asked["paymentPayload"]["payload"]["authorization"])
        body = json.dumps(said).encode()
        try:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass  # the gateway was killed

    def settle(self, authorization):
        key = (authorization["from"].lower(), authorization["nonce"])
        transaction = "0x" + hashlib.sha256(repr(key).encode()).hexdigest()
        with self.lock:
            chance = self.random.random()
            pause = self.random.choice([0, 0, 0.01])
        self.steps["before moving"].set()
        if chance < 0.1:
            return 500, {}
        time.sleep(pause)  # a chain takes its time
        with self.lock:
            used = key in self.moved
            self.moved[key] = (int(authorization["value"]), transaction)
        self.steps["after moving"].set()
        if chance < 0.2:
            return 500, {}
        time.sleep(pause)
        if used:
            return 200, {"success": False, "errorReason": "invalid_exact_evm_nonce_already_used",
                         "transaction": transaction}
        return 200, {"success": True, "transaction": transaction, "network": "base-sepolia"}

    def moved_by(self, account):
        with self.lock:
            return {transaction: units for (payer, _), (units, transaction) in self.moved.items()
                    if payer == account.wallet}


class Receiver:
    """The webhooks of all accounts, each at a path of its own. It notes what it is sent before it answers, so that a kill
    can come in between."""

    def __init__(self, seed):
        self.told = {}  # path -> [(webhook-id, the transaction or job that it is about)]
        self.secrets = {}  # path -> secret
        self.faults = []
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        name = handler.headers["webhook-id"]
        text = f"{name}.{handler.headers['webhook-timestamp']}.".encode() + body
        with self.lock:
            digest = hmac.new(self.secrets[handler.path], text, hashlib.sha256).digest()
            if handler.headers["webhook-signature"] != "v1," + base64.b64encode(digest).decode():
                self.faults.append(f"{name} is not signed by its secret")
            data = json.loads(body)["data"]
            self.told.setdefault(handler.path, []).append((name, data.get("txHash") or data["job_id"]))
            pause = self.random.choice([0, 0, 0.01])
        time.sleep(pause)
        try:
            handler.send_response(204)
            handler.end_headers()
        except OSError:
            pass  # the gateway was killed

    def told_at(self, path):
        with self.lock:
            return list(self.told.get(path, []))


class Gateway:
    """The gateway as a child that can be killed and started again on the same data."""

    def __init__(self, turnpike, folder, node_addresses, facilitator):
        self.turnpike = turnpike
        self.data = os.path.join(folder, "data")
        self.config = os.path.join(folder, "turnpike.json")
        self.log_path = os.path.join(folder, "turnpike.log")
        self.child = None
        self.address = ("", 0)
        self.settings = {
            "listen": "127.0.0.1:0",
            "admin": {"listen": "127.0.0.1:0"},
            "data_dir": self.data,
            "models": [{"id": MODEL, "context_window": 4096, "pricing": {
                "prompt_per_million_usd": "1.37", "completion_per_million_usd": "2.91"}}],
            "nodes": [{"id": f"node-{number}", "url": f"http://{address}/v1", "models": [MODEL], "capacity": 64,
                       "engine": "llama.cpp"} for number, address in enumerate(node_addresses, 1)],
            "payments": {"pay_to": PAY_TO, "facilitator": facilitator.url, "first_retry_ms": 20, "max_retry_ms": 200,
                         "networks": [{"name": "base-sepolia", "chain_id": 84532, "asset": ASSET}],
                         "min_usd": "0.01"},
            "webhooks": {"allow_private_targets": True},
            "queue": {"first_retry_ms": 20, "max_retry_ms": 100, "max_running": 16},
            "http": {"anonymous_requests_per_minute": 1_000_000},
            # Their failures are asked for, and must not keep the other requests from them.
            "scheduler": {"breaker_failures": 1000},
        }
        self.write_settings()

    def write_settings(self):
        with open(self.config, "w", encoding="utf-8") as out:
            json.dump(self.settings, out)

    @property
    def listening(self):
        return os.path.join(self.data, "listening.json")

    def start(self):
        """Starts it without waiting."""
        if os.path.exists(self.listening):
            os.remove(self.listening)
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                [self.turnpike, "serve", "--config", self.config, "--data-dir", self.data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_it_serves(self):
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            expect(self.child.poll() is None, f"the gateway ended by itself with {self.child.returncode}")
            try:
                with open(self.listening, encoding="utf-8") as ready:
                    host, port = json.load(ready)["listen"].rsplit(":", 1)
                self.address = (host, int(port))
                status, _ = self.get("/readyz")
                if status == 200:
                    return
            except (OSError, ValueError, http.client.HTTPException):
                pass
            time.sleep(0.01)  # the pause of a poll with a deadline
        raise Failed("the gateway does not become ready")

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self):
        """A clean end: 0 within the drain's limit."""
        self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def command(self, *arguments):
        """Runs `turnpike ARGUMENTS --json` and returns what it printed; raises OSError when it failed."""
        done = subprocess.run([self.turnpike, *arguments, "--config", self.config, "--json"], capture_output=True,
                              text=True, check=False, timeout=WAIT_SECONDS)
        if done.returncode != 0:
            raise OSError(f"{arguments}: {done.stderr.strip()}")
        return json.loads(done.stdout.splitlines()[0])

    def get(self, target, key=None):
        connection = http.client.HTTPConnection(*self.address, timeout=WAIT_SECONDS)
        try:
            connection.request("GET", target, headers={"Authorization": f"Bearer {key}"} if key else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(self, target, key, body, **headers):
        return self.ask("POST", target, key, json.dumps(body), **headers)

    def ask(self, method, target, key, body=None, **headers):
        connection = http.client.HTTPConnection(*self.address, timeout=WAIT_SECONDS)
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {key}",
                                                      "Content-Type": "application/json", **headers})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class Client(threading.Thread):
    """Asks for one answer after another until nothing listens any more."""

    def __init__(self, gateway, account, seed, just_completed):
        super().__init__(daemon=True)
        self.just_completed = just_completed
        self.gateway = gateway
        self.account = account
        self.random = random.Random(seed)

    def run(self):
        while True:
            connection = http.client.HTTPConnection(*self.gateway.address, timeout=WAIT_SECONDS)
            try:
                while self.ask(connection):
                    pass
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException):
                pass  # cut off: by SIGKILL, or as the end of a broken stream
            finally:
                connection.close()

    def ask(self, connection):
        """One request; False when this connection is of no more use."""
        stream = self.random.random() < 0.5
        trouble = self.random.choice(["", "", "", "", " die_after=2", " status=500", " usage=lie:1000000", " usage=none"])
        speed = self.random.choice(["", " interval_ms=1", " interval_ms=5", " delay_ms=20"])
        directive = f"[[sim tokens={self.random.randint(1, 30)}{speed}{trouble}]]"
        body = {"model": MODEL, "stream": stream, "max_tokens": 40,
                "messages": [{"role": "user", "content": f"{self.random.random()} {directive}"}]}
        if stream:
            body["stream_options"] = {"include_usage": True}
        with self.account.lock:
            self.account.asked += 1
        request = json.dumps(body).encode()
        connection.request("POST", "/v1/chat/completions", request, {
            "Content-Type": "application/json", "Accept": "application/json",
            "Authorization": f"Bearer {self.account.key}"})
        response = connection.getresponse()
        if response.status != 200:
            response.read()
            with self.account.lock:
                self.account.refused[response.status] += 1
            return not response.will_close
        job = response.headers["x-turnpike-job-id"]
        # A charge follows from the usage that the client sees where the node is honest about it.
        honest = "usage=" not in trouble
        if stream:
            return self.read_stream(response, request, job, honest)
        answer = response.read()
        usage = json.loads(answer).get("usage")
        self.note(job, usage if honest else None)
        self.account.digests[job] = digests(request, answer)
        return True

    def read_stream(self, response, request, job, honest):
        answer = b""
        leaves_after = self.random.randint(1, 5) if self.random.random() < 0.1 else None
        usage = None
        events = 0
        for line in response:
            answer += line
            if not line.startswith(b"data: "):
                continue
            events += 1
            if line.strip() == b"data: [DONE]":
                self.note(job, usage if honest else None)
            elif json.loads(line[6:]).get("usage"):
                usage = json.loads(line[6:])["usage"]
            if events == leaves_after:
                return False
        if answer.endswith(b"data: [DONE]\n\n"):
            self.account.digests[job] = digests(request, answer)
        return True

    def note(self, job, usage):
        with self.account.lock:
            self.account.completed[job] = price(usage) if usage else None
        self.just_completed.set()


class Queuer(threading.Thread):
    """Queues jobs until nothing listens any more, and cancels one now and then."""

    def __init__(self, gateway, queue, seed, just_queued):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.queue = queue
        self.random = random.Random(seed)
        self.just_queued = just_queued
        self.fault = None

    def run(self):
        while True:
            name = f"key-{self.random.getrandbits(64):016x}"
            directive = f"[[sim tokens={self.random.randint(1, 15)}{self.random.choice(['', ' interval_ms=2', ' delay_ms=30'])}]]"
            body = {"model": MODEL, "max_tokens": 40,
                    "messages": [{"role": "user", "content": f"{self.random.random()} {directive}"}]}
            with self.queue.lock:
                self.queue.unsure[name] = body
            try:
                job = enqueue(self.gateway, self.queue, name, body)
                if job is not None:
                    self.just_queued.set()
                if job is not None and self.random.random() < 0.1:
                    self.cancel(job)
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException):
                pass  # cut off by SIGKILL
            except Failed as fault:
                self.fault = fault
                return

    def cancel(self, job):
        with self.queue.lock:
            self.queue.doubtful.add(job)
        status, _ = self.gateway.ask("DELETE", f"/v1/results/{job}", self.queue.key)
        with self.queue.lock:
            self.queue.doubtful.discard(job)
            if status == 200:
                self.queue.cancelled.add(job)
            elif status != 409:
                self.queue.refused[f"cancel: {status}"] += 1


def enqueue(gateway, queue, name, body):
    """The job's id; None where it was refused."""
    status, answer = gateway.post("/v1/chat/completions", queue.key, body, **{"Idempotency-Key": name})
    if status != 202:
        with queue.lock:
            queue.unsure.pop(name)
            queue.refused[status] += 1
        return None
    job = json.loads(answer)["id"]
    queue.note(name, job)
    return job


def digests(request, answer):
    return hashlib.sha256(request).hexdigest(), hashlib.sha256(answer).hexdigest()


class Witness(threading.Thread):
    """Looks at the root of the receipts' log now and then, over restarts too, and forgets none."""

    roots = {}  # by the size of their trees

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.over = threading.Event()
        self.fault = None

    def run(self):
        # Not all the time: a root reads, and so commits, what was written before it.
        while not self.over.wait(0.03):
            try:
                self.look()
            except (OSError, http.client.HTTPException):
                pass  # cut off by SIGKILL

    def look(self):
        status, body = self.gateway.get("/v1/receipts/root")
        if status != 200:
            return None
        head = json.loads(body)
        size, root = head["tree_size"], base64.b64decode(head["root_hash"])
        if self.roots.setdefault(size, root) != root:
            self.fault = f"two roots of the first {size} receipts"
        return size


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def is_consistent(earlier, earlier_root, size, root, proof):
    """RFC 9162, section 2.1.4.2."""
    if earlier == size:
        return not proof and earlier_root == root
    if earlier & (earlier - 1) == 0:
        proof = [earlier_root, *proof]
    index, last = earlier - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    of_earlier = of_all = proof[0]
    for each in proof[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            of_earlier, of_all = node_hash(each, of_earlier), node_hash(each, of_all)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            of_all = node_hash(of_all, each)
        index, last = index >> 1, last >> 1
    return last == 0 and of_earlier == earlier_root and of_all == root


def reconcile_log(gateway, witness, accounts, source):
    """Every root that was ever seen is that of a beginning of the log; some receipts, against what their clients saw."""
    witness.over.set()
    witness.join()
    size = witness.look()
    expect(size is not None, "there is no root")
    expect(witness.fault is None, witness.fault)
    expect(max(Witness.roots) == size, f"the log shrank from {max(Witness.roots)} receipts to {size}")
    earlier_ones = [each for each in Witness.roots if each > 0]
    for earlier in source.sample(earlier_ones, min(30, len(earlier_ones))):
        status, body = gateway.get(f"/v1/receipts/consistency?from={earlier}&to={size}")
        expect(status == 200, f"consistency answered {status}: {body!r}")
        proof = [base64.b64decode(each) for each in json.loads(body)["proof"]]
        expect(is_consistent(earlier, Witness.roots[earlier], size, Witness.roots[size], proof),
               f"the log of {size} receipts does not begin with the one of {earlier}")
    for account in accounts:
        for job in source.sample(list(account.digests), min(5, len(account.digests))):
            status, body = gateway.get(f"/v1/jobs/{job}/receipt", account.key)
            expect(status == 200, f"the receipt of {job} answered {status}: {body!r}")
            receipt = json.loads(body)["receipt"]
            expect((receipt["request_sha256"], receipt["response_sha256"]) == account.digests[job],
                   f"the receipt of {job} is of other bytes than its client sent and got")


class Granter(threading.Thread):
    """Makes grants until the gateway is gone."""

    def __init__(self, gateway, accounts, seed):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.accounts = accounts
        self.random = random.Random(seed)

    def run(self):
        try:
            while True:
                account = self.random.choice(self.accounts)
                thousandths = self.random.randint(1, 50)
                amount = thousandths * NANOUSD_PER_CREDIT // 1000
                account.grants_asked += amount
                credits = f"{thousandths // 1000}.{thousandths % 1000:03}"
                self.gateway.command("credits", "grant", "--account", account.id, "--credits", credits)
                account.granted += amount
        except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
            pass


class Payer(threading.Thread):
    """Pays in until the gateway is gone, each payment once or twice."""

    def __init__(self, gateway, account, seed, just_paid):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.account = account
        self.random = random.Random(seed)
        self.just_paid = just_paid

    def run(self):
        while True:
            units = self.random.randint(10_000, 2_000_000)
            header = self.payment(units)
            try:
                for _ in range(self.random.choice([1, 1, 2])):
                    self.pay(units, header)
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException):
                pass  # cut off by SIGKILL

    def payment(self, units):
        # The signature of a contract's wallet: the gateway leaves it to the facilitator.
        now = int(time.time())
        payment = {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": {
            "signature": "0x" + "ab" * 96, "authorization": {
                "from": self.account.wallet, "to": PAY_TO, "value": str(units), "validAfter": str(now - 60),
                "validBefore": str(now + 300), "nonce": f"0x{self.random.getrandbits(256):064x}"}}}
        return base64.b64encode(json.dumps(payment).encode()).decode()

    def pay(self, units, header):
        connection = http.client.HTTPConnection(*self.gateway.address, timeout=WAIT_SECONDS)
        try:
            amount = f"{units // 1_000_000}.{units % 1_000_000:06}"
            connection.request("POST", "/v1/credits/topup", json.dumps({"amount": amount}), {
                "Content-Type": "application/json", "Authorization": f"Bearer {self.account.key}",
                "X-PAYMENT": header})
            response = connection.getresponse()
            body = response.read()
            with self.account.lock:
                if response.status == 200:
                    self.account.paid.add(json.loads(body)["txHash"])
                elif response.status != 503:
                    self.account.refused[f"payment: {response.status}"] += 1
            if response.status == 200:
                self.just_paid.set()
        finally:
            connection.close()


def history(gateway, account):
    """Every entry, newest first, by pages."""
    entries = []
    target = "/v1/credits/history?limit=200"
    cursor = None
    while True:
        status, body = gateway.get(target + (f"&cursor={cursor}" if cursor else ""), account.key)
        expect(status == 200, f"history answered {status}: {body!r}")
        page = json.loads(body)
        entries += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return entries


def wait_until_settled(gateway):
    """Until nothing is left of the payments that the crash cut off, and all of them are told."""
    for left in (b"turnpike_payments_pending", b"turnpike_webhook_pending"):
        deadline = time.monotonic() + WAIT_SECONDS
        while b"\n" + left + b" 0\n" not in gateway.get("/metrics")[1]:
            expect(time.monotonic() < deadline, f"{left.decode()} does not become 0")
            time.sleep(0.01)  # the pause of a poll with a deadline


def wait_until_run(gateway, queues):
    """Sends again what was cut off, and waits until no job is left."""
    for queue in queues:
        for name, body in list(queue.unsure.items()):
            enqueue(gateway, queue, name, body)
    deadline = time.monotonic() + 3 * WAIT_SECONDS
    left = [f'turnpike_queue_jobs{{state="{state}"}} 0\n'.encode() for state in ("queued", "processing")]
    while not all(line in page for page in [gateway.get("/metrics")[1]] for line in left):
        expect(time.monotonic() < deadline, "the queue does not become empty")
        time.sleep(0.01)  # the pause of a poll with a deadline


def reconcile_queue(gateway, queue, all_charges, receiver):
    amounts = {}
    charged = 0
    for entry in history(gateway, queue):
        if entry["type"] != "charge":
            continue
        amount = -nanousd(entry["amount_usdc"])
        expect(entry["job_id"] not in amounts, f"{entry['job_id']} was charged twice")
        amounts[entry["job_id"]] = amount
        all_charges[entry["id"]] = (amount, entry["node_id"].split(",") if entry["node_id"] else [])
        charged += amount
    for job in queue.jobs.values():
        if job in queue.complete or job in queue.cancelled:
            continue
        status, body = gateway.get(f"/v1/results/{job}", queue.key)
        expect(status == 200, f"job {job} is lost: {status}")
        result = json.loads(body)
        if job in queue.doubtful and result["status"] == "cancelled":
            queue.cancelled.add(job)
            continue
        expect(result["status"] == "complete", f"job {job} is {result['status']}: {result['error']}")
        expect(result["result"]["id"] == job, f"the result of {job} is another's")
        queue.complete[job] = price(result["result"]["usage"])
    queue.doubtful.clear()
    expect(amounts == queue.complete, f"charged for other than the complete jobs: "
                                      f"{list(set(amounts.items()) ^ set(queue.complete.items()))[:5]}")
    status, body = gateway.get("/v1/credits/balance", queue.key)
    expect(status == 200, f"balance answered {status}")
    balance = nanousd(json.loads(body)["balance_usdc"])
    expect(balance == queue.granted - charged, f"balance {balance}, grants {queue.granted} - charges {charged}")
    names = {}
    for name, job in receiver.told_at("/jobs/" + queue.id):
        names.setdefault(job, set()).add(name)
    several = [job for job, ids in names.items() if len(ids) > 1]
    expect(not several, f"told by more than one webhook-id: {several[:5]}")
    expect(set(names) == set(queue.complete), f"told of other than the complete jobs: "
                                              f"{list(set(names) ^ set(queue.complete))[:5]}")


def reconcile_told(account, events, receiver):
    """`events`: transactions of the account's top-ups and jobs that took it below its threshold, oldest first."""
    expect(not receiver.faults, f"{receiver.faults[:5]}")
    told = receiver.told_at("/" + account.id)
    names = {}
    for name, about in told:
        names.setdefault(about, set()).add(name)
    several = [about for about, ids in names.items() if len(ids) > 1]
    expect(not several, f"told by more than one webhook-id: {several[:5]}")
    missing = set(events) - set(names)
    expect(not missing, f"never told: {list(missing)[:5]}")
    expect(list(names) == events, "told in another order than they came, or of what never was")


def reconcile_topups(account, topups, moved):
    twice = [transaction for transaction, count in Counter(topups).items() if count > 1]
    expect(not twice, f"credited more than once: {twice[:5]}")
    expect(set(topups) == set(moved), f"{len(moved)} payments moved money, {len(topups)} were credited: "
                                      f"{list(set(topups) ^ set(moved))[:5]}")
    expect(account.paid <= set(topups), "a top-up that was acknowledged is not there")


def earnings(gateway, owner):
    """What an owner earned: entry id -> nano-dollars."""
    earned = {}
    target = f"/v1/nodes/{owner.node}/earnings?limit=200"
    cursor = None
    while True:
        status, body = gateway.get(target + (f"&cursor={cursor}" if cursor else ""), owner.key)
        expect(status == 200, f"earnings answered {status}: {body!r}")
        page = json.loads(body)
        for each in page["data"]:
            expect(each["id"] not in earned, f"{each['id']} earned twice")
            earned[each["id"]] = nanousd(each["amount_usdc"])
        cursor = page["next_cursor"]
        if cursor is None:
            total = nanousd(page["earned_usdc"])
            expect(sum(earned.values()) == total, f"{owner.node} earned {total}, its lines say {sum(earned.values())}")
            return earned


def reconcile_earnings(gateway, owners, charges):
    """`charges`: entry id -> (nano-dollars, the nodes that served it). Returns how many nodes shared one."""
    earned = {owner.node: earnings(gateway, owner) for owner in owners}
    for node, entries in earned.items():
        strange = [entry for entry in entries if node not in charges.get(entry, (0, []))[1]]
        expect(not strange, f"{node} earned by what it did not serve: {strange[:5]}")
    shared = 0
    for entry, (amount, nodes) in charges.items():
        got = [earned[node].get(entry, 0) for node in nodes]
        if len(nodes) == 1:
            wanted = amount * SHARES_MILLIONTHS[nodes[0]] // 1_000_000
            expect(got == [wanted], f"{nodes[0]} earned {got} of {amount} and not {wanted}")
        elif len(nodes) > 1:
            shared += 1
            expect(all(got), f"{nodes} earned {got} of {amount}")
            # Each part of the charge, as the share tells it, within the rounding of one.
            parts = sum(each * 1_000_000 // SHARES_MILLIONTHS[node] for each, node in zip(got, nodes))
            expect(amount - 9 <= parts <= amount, f"{nodes} earned {got} of {amount}, which are parts of {parts}")
    return shared


def reconcile_by_api(gateway, account, moved, all_charges, receiver):
    entries = history(gateway, account)
    charges = Counter()
    amounts = {}
    topups = []
    events = []
    granted = charged = 0
    for entry in entries:
        amount = nanousd(entry["amount_usdc"])
        if entry["type"] == "charge":
            charges[entry["job_id"]] += 1
            amounts[entry["job_id"]] = -amount
            all_charges[entry["id"]] = (-amount, entry["node_id"].split(",") if entry["node_id"] else [])
            charged -= amount
            if account.crossed(entry):
                events.append(entry["job_id"])
                account.low.add(entry["job_id"])
        elif entry["type"] == "grant":
            granted += amount
        elif entry["type"] == "topup":
            expect(amount == moved.get(entry["tx_hash"], 0) * NANOUSD_PER_UNIT, f"a top-up of {amount}: {entry}")
            topups.append(entry["tx_hash"])
            events.append(entry["tx_hash"])
        else:
            raise Failed(f"an entry of type {entry['type']}")
    reconcile_topups(account, topups, moved)
    reconcile_told(account, events[::-1], receiver)
    twice = [job for job, count in charges.items() if count > 1]
    expect(not twice, f"charged more than once: {twice[:5]}")
    for job, wanted in account.completed.items():
        expect(job in charges, f"{job} was answered to the end and is not charged")
        expect(wanted in (None, amounts[job]), f"{job} was charged {amounts[job]} and not {wanted}")
    expect(len(charges) <= account.asked, f"{len(charges)} charges for {account.asked} requests")
    expect(account.granted <= granted <= account.grants_asked,
           f"granted {granted}; acknowledged {account.granted}, asked for {account.grants_asked}")
    status, body = gateway.get("/v1/credits/balance", account.key)
    expect(status == 200, f"balance answered {status}")
    balance = nanousd(json.loads(body)["balance_usdc"])
    paid_in = sum(moved.values()) * NANOUSD_PER_UNIT
    expect(balance == granted + paid_in - charged,
           f"balance {balance}, grants {granted} + top-ups {paid_in} - charges {charged}")
    expect(balance >= 0, f"balance {balance}")


def reconcile_by_file(gateway, folder):
    """What the journal itself says. The gateway has it for itself, so this reads a copy after its end."""
    copy = os.path.join(folder, "copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(gateway.data, copy)
    database = sqlite3.connect(os.path.join(copy, "turnpike.db"))
    try:
        held = database.execute("SELECT count(*) FROM holds").fetchone()[0]
        expect(held == 0, f"{held} holds are left")
        wrong = database.execute(
            "SELECT id FROM (SELECT id, balance_nanousd, sum(amount_nanousd)"
            " OVER (PARTITION BY account_id ORDER BY id) AS running FROM entries) WHERE balance_nanousd <> running").fetchall()
        expect(not wrong, f"entries whose balance does not follow from the ones before: {wrong[:5]}")
        expect(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "the database file is damaged")
    finally:
        database.close()
    gateway.command("ledger", "check", "--data-dir", copy)  # fails when the books are wrong


def set_thresholds(gateway, accounts, source):
    """Just below each balance: the next charges take it there."""
    for account in accounts:
        status, body = gateway.get("/v1/credits/history?limit=1", account.key)
        expect(status == 200, f"history answered {status}: {body!r}")
        newest = json.loads(body)["data"][0]
        below = max(0, nanousd(newest["balance_usdc"]) - source.randint(0, 200_000))
        gateway.command("credits", "alert", "--account", account.id, "--below",
                        f"{below // NANOUSD_PER_CREDIT}.{below % NANOUSD_PER_CREDIT:07}")
        account.thresholds.append((number_of(newest), below))


def one_round(gateway, folder, accounts, queues, owners, source, facilitator, receiver):
    """Load, SIGKILL, restart, reconcile. Returns the charges there are, and how many were shared by two nodes. The
    gateway serves before and after."""
    set_thresholds(gateway, accounts, source)
    just_completed = threading.Event()
    just_paid = threading.Event()
    workers = [Client(gateway, account, source.random(), just_completed)
               for account in accounts for _ in range(CLIENTS_PER_ACCOUNT)]
    workers.append(Granter(gateway, accounts, source.random()))
    workers += [Payer(gateway, account, source.random(), just_paid) for account in accounts if account.pays]
    just_queued = threading.Event()
    queuers = [Queuer(gateway, queue, source.random(), just_queued) for queue in queues for _ in range(2)]
    workers += queuers
    for worker in workers:
        worker.start()
    witness = Witness(gateway)
    witness.start()
    time.sleep(source.uniform(0.02, 0.8))  # the random instant
    if source.random() < 0.7:
        # The worst instants: an answer or a payment has just ended, and it must already be on disk; or a payment is
        # between two of its steps.
        step = source.choice([just_completed, just_completed, just_paid, just_queued, *facilitator.steps.values()])
        step.clear()
        expect(step.wait(WAIT_SECONDS), "the step to be killed at does not come")
    gateway.kill()
    for worker in workers:
        worker.join(WAIT_SECONDS)
        expect(not worker.is_alive(), "a client still waits for a gateway that is gone")
    for queuer in queuers:
        if queuer.fault:
            raise queuer.fault
    while source.random() < 0.3:
        gateway.start()
        time.sleep(source.uniform(0.0, 0.1))  # another random instant, in the middle of starting
        gateway.kill()
    gateway.start()
    gateway.wait_until_it_serves()
    wait_until_run(gateway, queues)
    wait_until_settled(gateway)
    charges = {}
    for queue in queues:
        reconcile_queue(gateway, queue, charges, receiver)
    for account in accounts:
        reconcile_by_api(gateway, account, facilitator.moved_by(account), charges, receiver)
    shared = reconcile_earnings(gateway, owners, charges)
    reconcile_log(gateway, witness, accounts, source)
    if source.random() < 0.5:
        code = gateway.stop()
        expect(code == 0, f"SIGTERM ended the gateway with {code}")
    else:
        gateway.kill()
    reconcile_by_file(gateway, folder)
    gateway.start()
    gateway.wait_until_it_serves()
    return len(charges), shared


def add_webhook(gateway, receiver, account, path, events):
    status, body = gateway.post("/v1/webhooks", account.key, {"url": receiver.url(path), "events": events})
    expect(status == 201, f"a webhook answered {status}: {body!r}")
    receiver.secrets[path] = base64.b64decode(json.loads(body)["secret"].removeprefix("whsec_"))


def make_queues(gateway, receiver):
    """Two accounts whose requests are queued, each told of its complete jobs."""
    queues = []
    for _ in range(2):
        made = gateway.command("keys", "create", "--credits", "10000", "--dialect", "drm3", "--tier", "metered")
        queues.append(Queue(made["account_id"], made["api_key"], 10_000 * NANOUSD_PER_CREDIT))
        add_webhook(gateway, receiver, queues[-1], "/jobs/" + made["account_id"], ["job.completed"])
    return queues


def make_accounts(gateway, receiver):
    """Three that can pay for everything, and one that runs out now and then; one is never topped up. Each is told of its
    top-ups, and when its credits are low."""
    accounts = []
    for credits, pays in (("1000", True), ("1000", True), ("1000", False), ("0.2", True)):
        made = gateway.command("keys", "create", "--credits", credits)
        amount = round(float(credits) * NANOUSD_PER_CREDIT)
        account = Account(made["account_id"], made["api_key"], amount, amount, pays=pays)
        add_webhook(gateway, receiver, account, "/" + account.id, ["credit.topup", "credit.low"])
        accounts.append(account)
    return accounts


def make_owners(gateway):
    """One for each node; an owner must have an account before a configuration names it."""
    owners = []
    for node in gateway.settings["nodes"]:
        made = gateway.command("keys", "create")
        owners.append(Owner(made["account_id"], made["api_key"], node["id"]))
        share = SHARES_MILLIONTHS[node["id"]]
        node.update(owner=made["account_id"], payout_share=f"{share // 1_000_000}.{share % 1_000_000:06}")
    gateway.write_settings()
    code = gateway.stop()
    expect(code == 0, f"SIGTERM ended the gateway with {code}")
    gateway.start()
    gateway.wait_until_it_serves()
    return owners


def run(arguments, folder):
    # The longest streams of the first are carried on by the second.
    nodes = [subprocess.Popen([arguments.simnode, "--models", MODEL, *flags], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True)
             for flags in (["--set", "die_after=20"], ["--set", "continuation=native"])]
    gateway = None
    source = random.Random(arguments.seed)
    facilitator = Facilitator(source.random())
    receiver = Receiver(source.random())
    try:
        addresses = [node.stdout.readline().split("listening on ")[1].strip() for node in nodes]
        gateway = Gateway(arguments.turnpike, folder, addresses, facilitator)
        gateway.start()
        gateway.wait_until_it_serves()
        owners = make_owners(gateway)
        accounts = make_accounts(gateway, receiver)
        queues = make_queues(gateway, receiver)
        for number in range(1, arguments.rounds + 1):
            charges, shared = one_round(gateway, folder, accounts, queues, owners, source, facilitator, receiver)
            completed = sum(len(account.completed) for account in accounts)
            paid = sum(len(account.paid) for account in accounts)
            jobs = sum(len(queue.complete) for queue in queues)
            cancelled = sum(len(queue.cancelled) for queue in queues)
            print(f"round {number}: {completed} answers seen completed so far, {charges} charges ({shared} of two "
                  f"nodes), {paid} top-ups seen credited, {len(facilitator.moved)} moved, {jobs} jobs complete, {cancelled} cancelled, "
                  f"{sum(map(len, receiver.told.values()))} times told, all reconciled", flush=True)
        expect(sum(len(account.completed) for account in accounts) >= arguments.rounds, "hardly an answer was completed")
        low = sum(len(account.low) for account in accounts)
        expect(low >= arguments.rounds, "hardly a balance fell below its threshold")
        expect(len(Witness.roots) >= arguments.rounds, "hardly a root was seen")
        expect(shared >= arguments.rounds, "hardly a stream was carried on by another node")
        expect(sum(len(account.paid) for account in accounts) >= arguments.rounds, "hardly a payment was credited")
        expect(sum(len(queue.complete) for queue in queues) >= arguments.rounds, "hardly a job was complete")
        expect(any(queue.cancelled for queue in queues), "no job was cancelled")
        unforeseen = sum((queue.refused for queue in queues), Counter())
        expect(not unforeseen, f"jobs refused: {dict(unforeseen)}")
        refused = sum((account.refused for account in accounts), Counter())
        # No money (402), a node that fails (502), and for a moment after the start no live node (503).
        expect(set(refused) <= {402, 502, 503}, f"refused for other reasons than there were: {dict(refused)}")
        print(f"requests {sum(account.asked for account in accounts)}, refused {dict(refused)}, {low} balances told low")
        code = gateway.stop()
        expect(code == 0, f"SIGTERM ended the gateway with {code}")
        gateway.command("ledger", "check")  # fails when the books are wrong
    finally:
        if gateway and gateway.child and gateway.child.poll() is None:
            gateway.kill()
        for node in nodes:
            node.terminate()
            node.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turnpike", required=True)
    parser.add_argument("--simnode", required=True)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=None, help="of the choices; instants stay random")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.randrange(2**32)
    print(f"seed {arguments.seed}", flush=True)
    folder = tempfile.mkdtemp(prefix="turnpike-crash-")
    try:
        run(arguments, folder)
    except Failed as failure:
        print(f"FAILED: {failure}\nthe last lines of the gateway's log:")
        with open(os.path.join(folder, "turnpike.log"), encoding="utf-8", errors="replace") as log:
            print("".join(log.readlines()[-20:]))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
