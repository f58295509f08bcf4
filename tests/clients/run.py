#!/usr/bin/env python3
"""Run our scenarios in the real clients, offline, against a model that is a script; see README.md beside this file.

usage: python3 tests/clients/run.py [--client NAME] [--scenario NAME] [--keep] [--write] [--list]
"""
from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clients import BASE, CLIENTS
from report import Report, put_in
from scenarios import OF_SEVERAL, SCENARIOS

from bench import ROOT, Bench

AT_ONCE = 2  # clients, where a scenario is of one alone


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--client", action="append", choices=CLIENTS, help="only this one; again for more")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one; again for more")
    parser.add_argument("--keep", action="store_true", help="keep homes, projects and what was played")
    parser.add_argument("--write", action="store_true", help="put the table into docs/agents.md")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    asked = parser.parse_args()
    if asked.list:
        return print("\n".join(f"{name:12} {play.__doc__.splitlines()[0]}" for name, play in SCENARIOS.items()))
    clients = [CLIENTS[name] for name in asked.client or CLIENTS]
    absent = [client.name for client in clients if not client.version]
    if absent:
        sys.exit(f"{', '.join(absent)}: not installed below {BASE}: see tests/clients/README.md")
    if asked.write and (asked.client or asked.scenario):
        sys.exit("--write puts the whole table into the docs: leave out --client and --scenario")
    leave_network()
    return play(clients, asked)


def play(clients, asked):
    folder = Path(tempfile.mkdtemp(prefix="runs-", dir=BASE))
    bench, report = Bench(folder), Report()
    try:
        for name in asked.scenario or SCENARIOS:
            begun = time.monotonic()
            parts = [clients] if name in OF_SEVERAL else [[client] for client in clients]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for seen in pool.map(lambda part, name=name: play_scenario(bench, name, part), parts):
                    report.add(seen)
            print(f"        {name}: {time.monotonic() - begun:.0f} s", flush=True)
    finally:
        print(f"kept: {folder}") if asked.keep else shutil.rmtree(folder, ignore_errors=True)
    table = report.table(clients)
    print("\n" + table)
    if asked.write and not report.failed:
        put_in(ROOT / "docs" / "agents.md", table)
    print(f"{report.count} cells, {report.failed} not as expected")
    return report.failed > 0


def play_scenario(bench, name, clients):
    """What a scenario has seen of some clients."""
    report = Report()
    try:
        SCENARIOS[name](bench, report, clients)
    except Exception:
        report.failed += 1
        print(f"NOT EXPECTED scenario {name}:\n{traceback.format_exc()}", flush=True)
    return report


def leave_network():
    """Begin again in a network namespace with nothing but loopback; without root, the clients keep the network."""
    if os.environ.get("ON_LOOPBACK_ONLY"):
        return _raise_loopback()
    can = not os.geteuid() and shutil.which("unshare")
    if not can or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        return print("no network namespace can be made here: the clients could reach the network")
    os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], {**os.environ, "ON_LOOPBACK_ONLY": "1"})


def _raise_loopback():
    """What `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, 0x8913, request))[1]  # SIOCGIFFLAGS
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))  # SIOCSIFFLAGS, IFF_UP


if __name__ == "__main__":
    sys.exit(main())
