"""What a server of the rig is, and how it is started, with and without the shim."""

import os
import subprocess

import pki
from proc import descendants, end_all, is_listening, output, wait_for

HTTP_REQUEST = b"GET / HTTP/1.0\r\nHost: rig.test\r\nConnection: close\r\n\r\n"
START = 20


class Failed(Exception):
    """A server did not do what it was started for."""


class Server:
    """One instance. Sub-classes say how to configure it and what to run."""

    name = ""
    packages = ()  # whose versions the table shows
    program = ""
    own_keys = False  # it brings its own ticket keys, or gives no tickets: the shim must change nothing
    door = None  # the function that it brings them by
    shim_options = ()  # further options of `ticketshim run`
    request = HTTP_REQUEST
    expect = b"HTTP/1."
    s_client_options = ()
    clients = ("python", "curl", "gnutls-cli", "go", "rustls")
    versions = ("1_2", "1_3")
    ticket_wait = 1.5  # seconds that a client waits for a ticket in vain
    has_reload = False
    user = None  # runs as this user from the start
    environment = {}
    notes = {}  # an explanation for a cell that is not what one would expect: {"e": "..."}
    expected = {}  # and what is expected there instead: {"e": 0}

    def __init__(self, directory, port, certificates, backend):
        self.directory, self.port, self.certificates, self.backend = directory, port, certificates, backend
        os.makedirs(directory, exist_ok=True)
        self.install_certificate("first")
        self.process = None
        self.started = set()
        self.log = os.path.join(directory, "log")
        self.configure()

    # What a sub-class says.

    def configure(self):
        """Writes configuration files."""

    def command(self):
        raise NotImplementedError

    def reload(self):
        """Takes up a renewed certificate. Only with `has_reload`."""

    def inspect_options(self):
        """What `ticketshim inspect` does not find out by itself."""
        return ()

    def setup_user(self):
        """Gives files to `user`."""

    @classmethod
    def missing(cls):
        """Why it cannot be run here; None if it can."""
        path = output("sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin command -v {cls.program} || true").strip()
        return None if path else f"{cls.program} is not installed ({' '.join(cls.packages)})"

    # What all do.

    def start(self, wrap):
        """Starts the server; `wrap` puts something before its command."""
        before = set(descendants())
        command = wrap(self.command())
        if self.user:
            self.setup_user()
            command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", "--", *command]
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", **self.environment}
        with open(self.log, "ab") as log:
            # In a group of its own: Apache's prefork sends signals to its whole group, which would be us.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, env=environment,
                start_new_session=True,
            )  # fmt: skip
        if not wait_for(lambda: is_listening(self.port) or self.has_failed(), START):
            raise Failed(f"{self.name} does not listen after {START} s: {self.tail()}")
        if self.has_failed():
            raise Failed(f"{self.name} ended with {self.process.returncode}: {self.tail()}")
        self.settle()
        self.started = set(descendants()) - before | {self.process.pid}

    def settle(self):
        """Waits until all workers are there."""

    def has_failed(self):
        return self.process.poll() not in (None, 0)

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-800:].strip()

    def stop(self):
        """Ends all that has come of it, also what a reload or upgrade has made since."""
        if self.process is None:
            return
        mine = {pid for pid in descendants() if pid in self.started or self.is_mine(pid)}
        end_all(mine)
        self.process.poll()
        self.process = None
        if not wait_for(lambda: not is_listening(self.port), 5):
            raise Failed(f"{self.name} still listens after it was stopped")

    def is_mine(self, pid):
        """Whether a process belongs to this instance: it works in its directory, or below."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                in_command = os.fsencode(self.directory) in file.read()
            return in_command or os.readlink(f"/proc/{pid}/cwd").startswith(self.directory)
        except OSError:
            return False

    def install_certificate(self, which):
        pki.install(self.certificates, which, self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def main_pid(self):
        """Of a server in the foreground."""
        return self.process.pid


def is_root():
    return os.geteuid() == 0
