"""Servers of other protocols: each says how a client gets to TLS, and what it answers there."""

import os
import pwd
import shutil
import signal
import struct
import time

from proc import descendants, output, wait_for
from servers import Server, is_root

MQTT_CONNECT = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03rig"
MQTT_CONNACK = b"\x20\x02\x00\x00"


def startup_message(parameters):
    """PostgreSQL's first message: length, protocol 3.0, parameters."""
    return struct.pack(">ii", 8 + len(parameters), 196608) + parameters


class Mosquitto(Server):
    name = "Mosquitto"
    packages = ("mosquitto",)
    program = "mosquitto"
    request = MQTT_CONNECT
    expect = MQTT_CONNACK
    clients = ("python",)
    has_reload = True

    def configure(self):
        self.write(
            "mosquitto.conf",
            f"listener {self.port} 127.0.0.1\ncertfile {self.path('server.crt')}\nkeyfile {self.path('server.key')}\n"
            "allow_anonymous true\n",
        )
        if is_root():
            # It drops root before it reads them.
            self.install_certificate("first")

    def install_certificate(self, which):
        super().install_certificate(which)
        if is_root():
            owner = pwd.getpwnam("mosquitto").pw_uid
            for name in ("server.crt", "server.key"):
                os.chown(self.path(name), owner, -1)

    def command(self):
        return ["mosquitto", "-c", self.path("mosquitto.conf")]

    def inspect_options(self):
        return ("--sid-ctx", f"text:mosquitto-{self.port}")

    def reload(self):
        os.kill(self.process.pid, signal.SIGHUP)
        time.sleep(1)


class Redis(Server):
    name = "Redis"
    packages = ("redis-server",)
    program = "redis-server"
    request = b"PING\r\n"
    expect = b"+PONG"
    clients = ("python", "go", "rustls")
    has_reload = True

    def configure(self):
        self.write(
            "redis.conf",
            f"port 0\ntls-port {self.port}\nbind 127.0.0.1\ntls-cert-file {self.path('server.crt')}\n"
            f"tls-key-file {self.path('server.key')}\ntls-ca-cert-file {self.path('server.crt')}\ntls-auth-clients no\n"
            f'save ""\ndir {self.directory}\ntls-session-caching yes\nenable-debug-command no\n',
        )

    def command(self):
        return ["redis-server", self.path("redis.conf")]

    def reload(self):
        # Setting the same path again has Redis read the file, into a new SSL_CTX.
        output(
            "redis-cli", "-p", str(self.port), "--tls", "--insecure", "CONFIG", "SET", "tls-cert-file",
            self.path("server.crt"), "tls-key-file", self.path("server.key"), check=True,
        )  # fmt: skip


class Postgres(Server):
    name = "PostgreSQL"
    packages = ("postgresql-15", "postgresql")
    program = "setpriv"
    own_keys = True  # gives no tickets (SSL_OP_NO_TICKET)
    user = "postgres"
    s_client_options = ("-starttls", "postgres")
    request = startup_message(b"user\0rig\0database\0rig\0\0")
    expect = b"FATAL"  # there is no such user, it says
    clients = ()
    has_reload = False

    @classmethod
    def binary(cls, name):
        found = output("sh", "-c", f"ls /usr/lib/postgresql/*/bin/{name} 2>/dev/null | tail -1").strip()
        return found or shutil.which(name) or name

    @classmethod
    def missing(cls):
        if not is_root():
            return "needs root, to become the user postgres"
        return None if os.path.exists(cls.binary("initdb")) else "PostgreSQL is not installed (postgresql)"

    def setup_user(self):
        entry = pwd.getpwnam(self.user)
        for root, directories, files in os.walk(os.path.dirname(self.directory)):
            for name in [root, *(os.path.join(root, name) for name in directories + files)]:
                os.chown(name, entry.pw_uid, entry.pw_gid)
        data = self.path("data")
        if os.path.exists(data):
            return
        output(
            "setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", "--", self.binary("initdb"), "-D", data,
            "-A", "trust", "--no-sync", check=True, timeout=120,
        )  # fmt: skip
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(
                f"\nlisten_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\nssl = on\n"
                f"ssl_cert_file = '{self.path('server.crt')}'\nssl_key_file = '{self.path('server.key')}'\nfsync = off\n"
            )

    def command(self):
        return [self.binary("postgres"), "-D", self.path("data")]


class Postfix(Server):
    name = "Postfix, STARTTLS"
    packages = ("postfix",)
    program = "postfix"
    own_keys = True  # tlsmgr makes and rotates its own
    s_client_options = ("-starttls", "smtp", "-crlf")
    request = b"EHLO rig\n"
    expect = b"250 "
    clients = ()

    @classmethod
    def missing(cls):
        return super().missing() or (None if is_root() else "needs root")

    def configure(self):
        for name in ("etc", "queue", "data"):
            os.makedirs(self.path(name), exist_ok=True)
        owner = pwd.getpwnam("postfix")
        os.chown(self.path("data"), owner.pw_uid, owner.pw_gid)
        settings = {
            "compatibility_level": "3.6", "queue_directory": self.path("queue"), "data_directory": self.path("data"),
            "command_directory": "/usr/sbin", "daemon_directory": "/usr/lib/postfix/sbin", "mail_owner": "postfix",
            "setgid_group": "postdrop", "myhostname": "rig.test", "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
            "maillog_file": self.path("mail.log"), "maillog_file_prefixes": self.directory, "alias_maps": "",
            "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": self.path("server.crt"),
            "smtpd_tls_key_file": self.path("server.key"), "smtpd_tls_session_cache_database": "btree:${data_directory}/scache",
            "multi_instance_name": "", "smtpd_peername_lookup": "no",
            # Without this Postfix clears what puts the shim there, and nothing would be shown.
            "import_environment": "LD_PRELOAD TICKETSHIM_STATE TICKETSHIM_STATS TICKETSHIM_LOG TICKETSHIM_CONFIG MAIL_CONFIG MAIL_LOGTAG", "shlib_directory": "/usr/lib/postfix",
        }  # fmt: skip
        self.write("etc/main.cf", "".join(f"{name} = {value}\n" for name, value in settings.items()))
        rows = [(f"127.0.0.1:{self.port}", "inet", "smtpd"), ("pickup", "unix", "pickup"), ("cleanup", "unix", "cleanup"),
                ("qmgr", "unix", "qmgr"), ("tlsmgr", "unix", "tlsmgr"), ("rewrite", "unix", "trivial-rewrite"),
                ("anvil", "unix", "anvil"), ("proxymap", "unix", "proxymap"),
                ("postlog", "unix-dgram", "postlogd")]  # fmt: skip
        limits = {"tlsmgr": "1", "anvil": "1", "qmgr": "1", "postlog": "1"}
        private = {"inet": "n", "unix": "-", "unix-dgram": "n"}
        text = "".join(f"{name} {kind} {private[kind]} - n - {limits.get(name, '-')} {run}\n" for name, kind, run in rows)
        self.write("etc/master.cf", text)

    def command(self):
        return ["postfix", "-c", self.path("etc"), "start-fg"]

    def has_failed(self):
        return self.process.poll() is not None


class Proftpd(Server):
    name = "ProFTPD, AUTH TLS"
    packages = ("proftpd-core", "proftpd-mod-crypto")
    program = "proftpd"
    own_keys = True  # mod_tls makes and rotates its own
    s_client_options = ("-starttls", "ftp", "-crlf")
    request = b"FEAT\n"
    expect = b"211 "
    # Anonymous logins change the root directory.
    clients = ("ftp data",) if is_root() else ()

    def configure(self):
        os.makedirs(self.path("ftp"), exist_ok=True)
        self.write("ftp/listed", "ok\n")
        self.write(
            "proftpd.conf",
            "ModulePath /usr/lib/proftpd\nLoadModule mod_tls.c\n"
            f"ServerName rig.test\nServerType standalone\nPort {self.port}\nDefaultAddress 127.0.0.1\nUseReverseDNS off\n"
            f"UseIPv6 off\nPidFile {self.path('pid')}\nScoreboardFile {self.path('scoreboard')}\nSystemLog {self.path('system.log')}\n"
            f"AuthOrder mod_auth_unix.c\n{'User proftpd' if is_root() else ''}\n{'Group nogroup' if is_root() else ''}\n"
            f"TLSEngine on\nTLSLog {self.path('tls.log')}\nTLSProtocol TLSv1.2 TLSv1.3\n"
            f"TLSRSACertificateFile {self.path('server.crt')}\nTLSRSACertificateKeyFile {self.path('server.key')}\n"
            f"TLSECCertificateFile {self.path('server.crt')}\nTLSECCertificateKeyFile {self.path('server.key')}\nTLSVerifyClient off\n"
            f"<Anonymous {self.path('ftp')}>\nUser nobody\nGroup nogroup\nUserAlias anonymous nobody\n"
            "RequireValidShell off\nUseFtpUsers off\n</Anonymous>\n",
        )
        # The certificate has an elliptic curve's key.
        with open(self.path("proftpd.conf"), encoding="ascii") as file:
            lines = [line for line in file if not line.startswith("TLSRSA")]
        self.write("proftpd.conf", "".join(lines))

    def command(self):
        return ["proftpd", "--nodaemon", "--config", self.path("proftpd.conf")]


class ProftpdEnforced(Proftpd):
    name = "ProFTPD, `--mode enforce`"
    own_keys = False
    shim_options = ("--mode", "enforce")


ALL = [Mosquitto, Redis, Postgres, Postfix, Proftpd, ProftpdEnforced]
