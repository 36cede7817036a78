#!/usr/bin/env python3
"""Runs the programs of a recording build under a short load, so that they write down what runs often.

    record.py --build DIR      called by scripts/release.sh; LLVM_PROFILE_FILE says where the record goes
"""
import argparse
import http.client
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor

import measure

ANSWERS_A_CLIENT = 2500
SECONDS_A_STREAM_LOAD = 3


def ask_for_answers(target, clients):
    """What most clients do: whole answers, over connections that are kept."""
    body = json.dumps({"model": "m-1", "messages": [{"role": "user", "content": "Say hello to everybody. " * 12}]})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.key}"}

    def client(_):
        connection = http.client.HTTPConnection(target.address, timeout=30)
        for _ in range(ANSWERS_A_CLIENT):
            connection.request("POST", "/v1/chat/completions", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"an answer of status {response.status}")
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    build = parser.parse_args().build
    folder = tempfile.mkdtemp(prefix="turnpike-record-")
    processes = measure.Processes(folder)
    try:
        turnpike = measure.start_turnpike(processes, folder, measure.start_node(processes, build), build)
        for clients in (1, 16):
            ask_for_answers(turnpike, clients)
            for model in ("m-one-write", "m-event-write"):
                measure.load(turnpike, model, clients, SECONDS_A_STREAM_LOAD, build)
    finally:
        processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
