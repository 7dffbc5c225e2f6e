#!/usr/bin/env python3
"""Real servers from the distribution, unmodified, with and without the shim; real clients.

Writes a table of resumptions/attempts, and fails if the shim breaks a promise: see judge.py. Uses loopback ports that
are free, ends what it started and nothing else, and stops by itself.

    rig/main.py                    all servers
    rig/main.py nginx HAProxy      those whose names begin so
    rig/main.py --write FILE       also puts the table between the markers of FILE
    rig/main.py --list             names
"""

import argparse
import functools
import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import clients
import judge
import other
import pki
import proc
import scenarios
import table
import web
from servers import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    arguments = parse()
    kinds = [kind for kind in web.ALL + other.ALL if is_wanted(kind, arguments.names)]
    if arguments.list:
        print("\n".join(kind.name for kind in kinds))
        return 0
    if not kinds:
        sys.exit("no server of that name (--list)")
    for name in [name for name in os.environ if name.startswith("TICKETSHIM_") and name != "TICKETSHIM_LIB"]:
        del os.environ[name]
    # What the user and the machine have set is kept away from servers and clients.
    for name in ("LD_PRELOAD", "LANGUAGE", "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "SSLKEYLOGFILE", "QLOGDIR"):
        os.environ.pop(name, None)
    os.environ.update(LC_ALL="C", TICKETSHIM_CONFIG="/dev/null")
    proc.adopt_orphans()
    # So that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM: no table was written"))
    directory = tempfile.mkdtemp(prefix="ticketshim-rig-")
    os.chmod(directory, 0o755)
    rig = Rig(directory, arguments)
    started = time.monotonic()
    try:
        rows, skipped = rig.run(kinds)
    finally:
        proc.end_all(proc.descendants())
        if not arguments.keep:
            shutil.rmtree(directory, ignore_errors=True)
    text = table.render(rows)
    print(text)
    if arguments.write:
        table.write(arguments.write, text)
    return finish(rows, skipped, time.monotonic() - started)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--command", default=os.path.join(ROOT, "target/release/ticketshim"), help="the command ticketshim")
    parser.add_argument("--write", metavar="FILE", help="put the table between the markers of FILE")
    parser.add_argument("--tls", choices=["1_2", "1_3"], help="this version only")
    parser.add_argument("--no-clients", action="store_true", help="openssl s_client only")
    parser.add_argument("--keep", action="store_true", help="keep the directory with configuration and logs")
    parser.add_argument("--list", action="store_true", help="names of the servers")
    return parser.parse_args()


def is_wanted(kind, names):
    return not names or any(kind.name.lower().startswith(name.lower()) for name in names)


def finish(rows, skipped, seconds):
    for name, why in skipped:
        print(f"skipped: {name}: {why}")
    broken = [f"{row.name}, {row.version_text()}: {problem}" for row in rows for problem in row.problems]
    for problem in broken:
        print(f"FAILED: {problem}")
    failed = len({line.split(":")[0] for line in broken})
    print(f"{len(rows)} rows in {seconds:.0f} s")
    print(f"{len(rows) - failed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if broken or skipped and os.environ.get("CI") == "true" else 0


class Rig:
    """Where a run keeps its things."""

    def __init__(self, directory, arguments):
        self.directory, self.arguments = directory, arguments
        self.certificates = os.path.join(directory, "pki")
        pki.make(self.certificates)
        self.backend = start_backend()
        self.go = None if arguments.no_clients else clients.go_binary(directory)
        self.rustls = None if arguments.no_clients else clients.rustls_binary(ROOT)
        self.count = 0

    def run(self, kinds):
        rows, skipped = [], []
        for kind in kinds:
            why = kind.missing()
            if why:
                skipped.append((kind.name, why))
                continue
            for version in kind.versions if not self.arguments.tls else [self.arguments.tls]:
                begun = time.monotonic()
                row = self.row(kind, version)
                rows.append(row)
                state = "; ".join(row.problems) or "as promised"
                print(f"{row.name}, {row.version_text()}: {row} [{state}] {time.monotonic() - begun:.1f} s", flush=True)
        return rows, skipped

    def row(self, kind, version):
        row = judge.Row(kind, version)
        for way in ("stock", "shim"):
            try:
                instance = self.instance(kind, way, "s_client")
                row.cells[way], row.tickets[way] = scenarios.run_version(instance, version)
                row.counters[way] = instance.counted(self.arguments.command)
                row.doctor, row.inspected = instance.doctor or row.doctor, instance.inspected or row.inspected
                if not self.arguments.no_clients:
                    row.others[way] = self.other_clients(kind, version, way)
            except Failed as why:
                row.broken.append(f"{way}: {why}")
        row.judge()
        return row

    def other_clients(self, kind, version, way):
        ways = {"python": clients.python, "ftp data": clients.ftp_data}
        for name, connect in (("curl", clients.curl), ("gnutls-cli", clients.gnutls_cli)):
            if shutil.which(name):
                ways[name] = connect
        for name, connect, binary in (("go", clients.go, self.go), ("rustls", clients.rustls, self.rustls)):
            if binary:
                ways[name] = functools.partial(connect, binary=binary)
        found = {}
        server, _ = self.instance(kind, way, "clients").started()
        try:
            for name in kind.clients:
                if name in ways:
                    cell = scenarios.Cell()
                    for result in ways[name](server, version, scenarios.SMALL):
                        cell.add(result)
                    found[name] = cell
        finally:
            server.stop()
        return found

    def instance(self, kind, way, what):
        self.count += 1
        directory = os.path.join(self.directory, f"{self.count}-{way}-{what}")
        os.makedirs(directory)
        if kind.user:
            give(directory, kind.user)
        instance = scenarios.Instance(kind, directory, self.make, self.wrap if way == "shim" else lambda command, *_: command)
        instance.own = lambda path: give(path, kind.user) if kind.user else None
        instance.ask = self.ask if way == "shim" else lambda *_: None
        return instance

    def make(self, kind, directory, port=None):
        server = kind(directory, port or proc.free_port(), self.certificates, self.backend)
        if kind.user:
            for path in [directory, *(os.path.join(directory, name) for name in os.listdir(directory))]:
                give(path, kind.user)
        return server

    def ask(self, *arguments):
        """What the command `ticketshim` says in JSON."""
        return json.loads(proc.output(self.arguments.command, *arguments))

    def wrap(self, command, state, stats, options):
        settings = ["--state", state, "--stats", stats, "--log", "info", *options]
        return [self.arguments.command, "run", *settings, "--", *command]


def give(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


class Backend(BaseHTTPRequestHandler):
    """What TLS proxies speak to."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that goes before the answer came is none."""


def start_backend():
    server = QuietServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


if __name__ == "__main__":
    sys.exit(main())
