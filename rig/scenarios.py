"""What is tried with each server, and what is counted: (a) to (f) of the table."""

import json
import os
import shutil
from dataclasses import dataclass, field

import clients
import session
from proc import output
from servers import Failed

SMALL, MANY = 5, 20
DAMAGES = (0.0, 0.1, 0.25, 0.5, 0.9, 0.999)


@dataclass
class Cell:
    """How often it was resumed, of how many tries, and how many of them failed altogether."""

    hits: int = 0
    tries: int = 0
    failures: list = field(default_factory=list)

    def add(self, result):
        self.tries += 1
        self.hits += result.ok and result.reused
        if not result.ok:
            self.failures.append(result.why)

    def __str__(self):
        text = f"{self.hits}/{self.tries}"
        return f"{text} ({len(self.failures)} failed)" if self.failures else text


class Instance:
    """A server kind under one way of running (stock or shim), and the files that belong to it."""

    def __init__(self, kind, directory, make, wrap):
        self.directory, self.make, self.wrap = directory, make, wrap
        self.kind = kind
        self.state = os.path.join(directory, "state")
        self.stats = os.path.join(directory, "stats")
        self.doctor = self.inspected = None

    def started(self, which="first", port=None):
        server = self.make(self.kind, os.path.join(self.directory, which), port)
        if port:
            server.install_certificate("renewed")
        state = os.path.join(self.directory, f"state-{which}")
        server.start(lambda command: self.wrap(command, state, self.stats, self.kind.shim_options))
        return server, state

    def counted(self, command):
        """The shim's own counters, of all that ran here; None without the shim."""
        if not os.path.exists(self.stats):
            return None
        return json.loads(output(command, "stats", "--json", self.stats, check=True))["counters"]

    def again(self, server, state):
        server.stop()
        server.start(lambda command: self.wrap(command, state, self.stats, self.kind.shim_options))


def run_version(instance, version):
    """All scenarios of one TLS version: a cell for each letter."""
    server, state = instance.started()
    cells = {}
    try:
        ticket = os.path.join(instance.directory, f"session-{version}.pem")
        first = clients.s_client(server, version, sess_out=ticket)
        if not first.ok:
            raise Failed(f"{server.name}: the first connection failed: {first.why}")
        instance.doctor = instance.ask("doctor", "--json", str(server.main_pid()))
        has_ticket = session.has_ticket(ticket)
        if has_ticket:
            instance.inspected = instance.ask("inspect", "--json", "--state", state, *server.inspect_options(), ticket)
            cells["a"] = one_after_the_other(server, version, instance.directory)
            cells["b"] = repeat(server, version, ticket, MANY)
            cells["f"] = damaged(server, version, ticket)
            if server.has_reload:
                server.reload()
                cells["r"] = repeat(server, version, ticket, SMALL)
            cells["e"], ticket = renewed(instance, server, state, version, ticket)
            cells["c"], ticket = restarted(instance, server, state, version)
            server.stop()
            cells["d"] = second(instance, state, version, ticket, server.port)
    finally:
        server.stop()
    return cells, has_ticket


def one_after_the_other(server, version, directory):
    """(a) Each connection with the session of the one before, as clients do."""
    cell = Cell()
    at = os.path.join(directory, "chain.pem")
    clients.s_client(server, version, sess_out=at)
    for _ in range(SMALL):
        next_ = os.path.join(directory, "chain-next.pem")
        cell.add(clients.s_client(server, version, at, next_))
        if session.has_ticket(next_):
            shutil.move(next_, at)
    return cell


def repeat(server, version, ticket, count):
    """(b) One ticket, many connections: whichever worker takes them."""
    cell = Cell()
    for _ in range(count):
        cell.add(clients.s_client(server, version, ticket))
        clients.pause()
    return cell


def restarted(instance, server, state, version):
    """(c) A full stop and start."""
    ticket = os.path.join(instance.directory, f"restart-{version}.pem")
    clients.s_client(server, version, sess_out=ticket)
    instance.again(server, state)
    return repeat(server, version, ticket, SMALL), ticket


def second(instance, state, version, ticket, port):
    """(d) Another instance, as on a second host: the same configuration and port, and a copy of the state file."""
    if os.path.exists(state):
        copy = os.path.join(instance.directory, "state-second")
        shutil.copyfile(state, copy)
        os.chmod(copy, 0o600)
        instance.own(copy)
    server, _ = instance.started("second", port)
    try:
        return repeat(server, version, ticket, SMALL)
    finally:
        server.stop()


def renewed(instance, server, state, version, ticket):
    """(e) A renewed certificate: taken up by a reload, or where there is none, by a restart."""
    server.install_certificate("renewed")
    if server.has_reload:
        server.reload()
    else:
        instance.again(server, state)
    return repeat(server, version, ticket, SMALL), ticket


def damaged(server, version, ticket):
    """(f) One bit of the ticket is wrong: a full handshake, and no failure."""
    cell = Cell()
    for where in DAMAGES:
        bad = ticket + ".damaged"
        if session.damage(ticket, bad, where):
            cell.add(clients.s_client(server, version, bad))
    return cell


def with_client(instance, version, connect):
    """Another client, on one running server."""
    server, _ = instance.started()
    cell = Cell()
    try:
        for result in connect(server, version, SMALL):
            cell.add(result)
    finally:
        server.stop()
    return cell
