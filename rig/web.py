"""Web servers and TLS proxies."""

import base64
import os
import shutil
import signal
import time

from proc import descendants, wait_for
from servers import Failed, Server, is_root

HERE = os.path.dirname(os.path.abspath(__file__))


class OpensslServer(Server):
    name = "openssl s_server"
    packages = ("openssl",)
    program = "openssl"

    def command(self):
        return ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", "server.crt", "-key", "server.key",
                "-www"]  # fmt: skip


class Nginx(Server):
    name = "nginx, 1 worker"
    packages = ("nginx",)
    program = "nginx"
    has_reload = True
    workers = 1
    daemon = "off"
    extra = ""
    # ngx_ssl_session_id_context() hashes the certificate into the session id context.
    notes = {"e": "nginx itself ties sessions to the certificate (its session id context has the certificate's hash)"}
    expected = {"e": 0}

    def configure(self):
        os.makedirs(self.path("logs"), exist_ok=True)
        temp = "".join(
            f"  {kind}_temp_path {self.path(kind)};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.write(
            "nginx.conf",
            f"{'user www-data;' if is_root() else ''}\ndaemon {self.daemon};\nworker_processes {self.workers};\n"
            f"pid {self.path('nginx.pid')};\nerror_log {self.path('error.log')} info;\n"
            "events { worker_connections 256; }\nhttp {\n  access_log off;\n"
            f"{temp}  server {{\n    listen 127.0.0.1:{self.port} ssl{' reuseport' if self.workers > 1 else ''};\n"
            f"    ssl_certificate {self.path('server.crt')};\n    ssl_certificate_key {self.path('server.key')};\n"
            f"    ssl_protocols TLSv1.2 TLSv1.3;\n    {self.extra}\n"
            '    location / { return 200 "worker $pid\\n"; }\n  }\n}\n',
        )

    def command(self):
        return ["nginx", "-p", self.directory, "-c", self.path("nginx.conf")]

    def settle(self):
        wait_for(lambda: len(self.worker_pids()) >= self.workers, 5)

    def main_pid(self):
        with open(self.path("nginx.pid"), encoding="ascii") as file:
            return int(file.read())

    def worker_pids(self):
        try:
            return descendants(self.main_pid())
        except (OSError, ValueError):
            return []

    def reload(self):
        old = set(self.worker_pids())
        os.kill(self.main_pid(), signal.SIGHUP)
        wait_for(lambda: not old & set(self.worker_pids()), 10)


class Nginx4(Nginx):
    name = "nginx, 4 workers"
    workers = 4


class NginxDaemon(Nginx):
    name = "nginx, daemon, 4 workers"
    workers = 4
    daemon = "on"


class NginxCache(Nginx):
    name = "nginx, 4 workers, shared session cache"
    workers = 4
    extra = "ssl_session_cache shared:rig:1m;"


class NginxOwnKey(Nginx):
    name = "nginx, own `ssl_session_ticket_key`"
    own_keys = True
    door = "SSL_CTX_callback_ctrl"
    workers = 4
    notes = {}
    expected = {}

    def configure(self):
        with open(self.path("ticket.key"), "wb") as file:
            file.write(bytes(range(1, 81)))
        self.extra = f"ssl_session_ticket_key {self.path('ticket.key')};"
        super().configure()


class NginxUpgrade(Nginx):
    """A new binary takes over (USR2), which nginx starts with an environment of its own making."""

    name = "nginx, binary upgrade as reload"
    workers = 4
    daemon = "on"

    def configure(self):
        super().configure()
        with open(self.path("nginx.conf"), encoding="utf-8") as file:
            text = file.read()
        names = ("LD_PRELOAD", "TICKETSHIM_STATE", "TICKETSHIM_STATS", "TICKETSHIM_LOG", "TICKETSHIM_CONFIG")
        self.write("nginx.conf", "".join(f"env {name};\n" for name in names) + text)

    def command(self):
        # nginx executes its own argv[0], without looking it up.
        return [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), *super().command()[1:]]

    def reload(self):
        old = self.main_pid()
        workers = set(self.worker_pids())
        os.kill(old, signal.SIGUSR2)
        if not wait_for(lambda: self.pid_in_file() not in (None, old), 10):
            raise Failed("nginx did not start a new binary")
        wait_for(lambda: len(self.worker_pids()) >= self.workers, 5)
        os.kill(old, signal.SIGQUIT)
        wait_for(lambda: not (workers | {old}) & set(descendants()), 10)

    def pid_in_file(self):
        try:
            return self.main_pid()
        except (OSError, ValueError):
            return None


class Apache(Server):
    name = "Apache httpd, event"
    packages = ("apache2",)
    program = "apache2"
    has_reload = True
    mpm = "event"
    mpm_settings = "StartServers 4\nThreadsPerChild 4\nMinSpareThreads 8\nMaxSpareThreads 16\nMaxRequestWorkers 16\n"

    def configure(self):
        modules = "/usr/lib/apache2/modules"
        load = "".join(
            f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in (f"mpm_{self.mpm}", "authz_core", "ssl")
        )
        os.makedirs(self.path("htdocs"), exist_ok=True)
        self.write("htdocs/index.html", "ok\n")
        user = "User www-data\nGroup www-data\n" if is_root() else ""
        self.write(
            "httpd.conf",
            f"ServerRoot {self.directory}\nServerName rig.test\nPidFile {self.path('httpd.pid')}\n"
            f"ErrorLog {self.path('error.log')}\nLogLevel warn\n{load}{user}{self.mpm_settings}"
            f"Listen 127.0.0.1:{self.port}\nDocumentRoot {self.path('htdocs')}\n"
            f"<VirtualHost *:{self.port}>\nSSLEngine on\nSSLCertificateFile {self.path('server.crt')}\n"
            f"SSLCertificateKeyFile {self.path('server.key')}\n</VirtualHost>\n",
        )

    def command(self):
        return ["apache2", "-f", self.path("httpd.conf"), "-DFOREGROUND"]

    def settle(self):
        wait_for(lambda: len(descendants(self.process.pid)) >= 3, 5)
        time.sleep(0.2)

    def reload(self):
        old = set(descendants(self.process.pid))
        os.kill(self.process.pid, signal.SIGUSR1)
        wait_for(lambda: not old & set(descendants(self.process.pid)), 15)
        time.sleep(0.2)


class ApachePrefork(Apache):
    name = "Apache httpd, prefork"
    mpm = "prefork"
    mpm_settings = "StartServers 4\nMinSpareServers 4\nMaxSpareServers 8\nMaxRequestWorkers 16\n"


class Haproxy(Server):
    name = "HAProxy"
    packages = ("haproxy",)
    program = "haproxy"
    has_reload = True
    bind = ""
    # Resumed from its session cache too, which the renewed certificate does not touch.
    def configure(self):
        os.makedirs(self.path("empty"), exist_ok=True)
        rights = f"  chroot {self.path('empty')}\n  user haproxy\n  group haproxy\n" if is_root() else ""
        self.write(
            "haproxy.cfg",
            f"global\n  maxconn 200\n  nbthread 2\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n{rights}"
            "defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 5s\n"
            f"frontend rig\n  bind 127.0.0.1:{self.port} ssl crt {self.path('server.pem')} {self.bind}\n"
            '  http-request return status 200 content-type "text/plain" string "ok"\n',
        )

    def command(self):
        return ["haproxy", "-W", "-db", "-f", self.path("haproxy.cfg")]

    def settle(self):
        wait_for(lambda: descendants(self.process.pid), 5)

    def reload(self):
        old = set(descendants(self.process.pid))
        os.kill(self.process.pid, signal.SIGUSR2)
        wait_for(lambda: set(descendants(self.process.pid)) - old and not old & set(descendants(self.process.pid)), 15)


class HaproxyOwnKeys(Haproxy):
    name = "HAProxy, own `tls-ticket-keys`"
    own_keys = True
    door = "SSL_CTX_"

    def configure(self):
        keys = [base64.b64encode(bytes([n] * 3 + list(range(45)))).decode() for n in (1, 2, 3)]
        self.write("ticket.keys", "\n".join(keys) + "\n", 0o600)
        self.bind = f"tls-ticket-keys {self.path('ticket.keys')}"
        super().configure()


class HaproxyEnforced(HaproxyOwnKeys):
    name = "HAProxy, own keys, `--mode enforce`"
    own_keys = False
    door = None
    shim_options = ("--mode", "enforce")


class Stunnel(Server):
    name = "stunnel"
    packages = ("stunnel4",)
    program = "stunnel4"
    has_reload = True

    def configure(self):
        self.write(
            "stunnel.conf",
            f"foreground = yes\npid = {self.path('stunnel.pid')}\ndebug = info\noutput = {self.path('stunnel.log')}\n"
            f"[rig]\naccept = 127.0.0.1:{self.port}\nconnect = 127.0.0.1:{self.backend}\n"
            f"cert = {self.path('server.pem')}\noptions = -NO_TICKET\nsslVersionMin = TLSv1.2\n",
        )

    def command(self):
        return ["stunnel4", self.path("stunnel.conf")]

    def inspect_options(self):
        return ("--sid-ctx", "text:rig")

    def reload(self):
        os.kill(self.process.pid, signal.SIGHUP)
        time.sleep(1)


class Lighttpd(Server):
    name = "lighttpd"
    packages = ("lighttpd", "lighttpd-mod-openssl")
    program = "lighttpd"
    own_keys = True  # mod_openssl rotates keys of its own (ssl.stek-file, or in memory)
    door = "SSL_CTX_"

    def configure(self):
        os.makedirs(self.path("htdocs"), exist_ok=True)
        self.write("htdocs/index.html", "ok\n")
        self.write(
            "lighttpd.conf",
            'server.modules = ("mod_openssl")\n'
            f'server.document-root = "{self.path("htdocs")}"\nserver.bind = "127.0.0.1"\nserver.port = {self.port}\n'
            'index-file.names = ("index.html")\nssl.engine = "enable"\n'
            f'ssl.pemfile = "{self.path("server.crt")}"\nssl.privkey = "{self.path("server.key")}"\n'
            'ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv1.2")\n',
        )

    def command(self):
        return ["lighttpd", "-D", "-f", self.path("lighttpd.conf")]


class LighttpdEnforced(Lighttpd):
    name = "lighttpd, `--mode enforce`"
    own_keys = False
    door = None
    shim_options = ("--mode", "enforce")


class Hitch(Server):
    name = "hitch, 4 workers"
    packages = ("hitch",)
    program = "hitch"
    has_reload = True

    def configure(self):
        user = 'user = "_hitch"\ngroup = "_hitch"\n' if is_root() else ""
        self.write(
            "hitch.conf",
            f'frontend = "[127.0.0.1]:{self.port}"\nbackend = "[127.0.0.1]:{self.backend}"\nworkers = 4\n'
            f'pem-file = "{self.path("server.pem")}"\ntls-protos = TLSv1.2 TLSv1.3\ndaemon = off\n{user}',
        )

    def command(self):
        return ["hitch", f"--config={self.path('hitch.conf')}"]

    def settle(self):
        wait_for(lambda: len(descendants(self.process.pid)) >= 4, 5)

    def reload(self):
        old = set(descendants(self.process.pid))
        os.kill(self.process.pid, signal.SIGHUP)
        wait_for(lambda: set(descendants(self.process.pid)) - old and not old & set(descendants(self.process.pid)), 5)
        time.sleep(0.5)


class PythonSsl(Server):
    name = "Python ssl, 4 forked workers"
    packages = ("python3",)
    program = "/usr/bin/python3"  # the package's, whichever runs the rig
    has_reload = True

    def command(self):
        return ["/usr/bin/python3", os.path.join(HERE, "https.py"), str(self.port), self.directory, "4"]

    def settle(self):
        wait_for(lambda: len(descendants(self.process.pid)) >= 4, 5)

    def reload(self):
        for pid in descendants(self.process.pid):
            os.kill(pid, signal.SIGHUP)
        time.sleep(0.3)


class Uvicorn(Server):
    name = "uvicorn, 2 workers"
    packages = ("uvicorn",)
    program = "uvicorn"

    def configure(self):
        self.write(
            "rigapp.py",
            "async def app(scope, receive, send):\n"
            "    if scope['type'] != 'http':\n        raise NotImplementedError\n"
            "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
            "    await send({'type': 'http.response.body', 'body': b'ok'})\n",
        )

    def command(self):
        return ["uvicorn", "rigapp:app", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "2", "--ssl-keyfile",
                "server.key", "--ssl-certfile", "server.crt", "--app-dir", self.directory]  # fmt: skip

    def settle(self):
        time.sleep(1.5)


ALL = [OpensslServer, Nginx, Nginx4, NginxDaemon, NginxCache, NginxUpgrade, NginxOwnKey, Apache, ApachePrefork, Haproxy,
       HaproxyOwnKeys, HaproxyEnforced, Stunnel, Lighttpd, LighttpdEnforced, Hitch, PythonSsl, Uvicorn]  # fmt: skip
