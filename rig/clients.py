"""Clients. Each connects once, or once and again with the session it was given, and tells from its own output whether
the server resumed."""

import ftplib
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass

import session
from pki import NAME
from proc import wait_for

TIMEOUT = 10


@dataclass
class Result:
    """What came of a connection."""

    ok: bool  # the handshake was done, and the server answered what was asked
    reused: bool = False
    why: str = ""  # of a failure


def s_client(server, version, sess_in=None, sess_out=None):
    """One connection with `openssl s_client`. With `sess_out` it waits for a ticket."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", NAME, f"-tls{version}"]
    command += ["-nocommands", *server.s_client_options]
    command += ["-sess_in", sess_in] if sess_in else []
    if sess_out:
        if os.path.exists(sess_out):
            os.unlink(sess_out)
        command += ["-sess_out", sess_out]
    with tempfile.TemporaryFile() as log:
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

        def text():
            size = os.fstat(log.fileno()).st_size
            return os.pread(log.fileno(), size, 0)

        def done(what):
            return wait_for(lambda: what() or client.poll() is not None, TIMEOUT, 0.005) and what()

        try:
            shaken = done(lambda: re.search(rb"(New|Reused), (TLSv[0-9.]+|\(NONE\))", text()))
            if shaken and server.request:
                client.stdin.write(server.request)
                client.stdin.flush()
            answered = bool(shaken) and done(lambda: server.expect in text())
            if answered and sess_out:
                wait_for(lambda: session.has_ticket(sess_out) or client.poll() is not None, server.ticket_wait, 0.005)
        except BrokenPipeError:
            answered = False
        finally:
            end_client(client)
        out = text()
    if not answered:
        lines = [line for line in out.decode(errors="replace").splitlines() if "rror" in line or "alert" in line]
        return Result(False, why=(lines or ["no answer"])[-1][:200])
    return Result(True, reused=shaken.group(1) == b"Reused")


def end_client(client):
    """stdin's end is how s_client is told to close the connection."""
    try:
        client.stdin.close()
    except BrokenPipeError:
        pass
    try:
        client.wait(3)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()


def client_context(version):
    """Of Python's ssl."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Python's own list is short of what uvicorn offers by default in TLS 1.2.
    context.set_ciphers("DEFAULT")
    only = {"1_2": ssl.TLSVersion.TLSv1_2, "1_3": ssl.TLSVersion.TLSv1_3}[version]
    context.minimum_version = context.maximum_version = only
    return context


def python(server, version, count):
    """`count` connections with Python's ssl, each with the session of the first."""
    context = client_context(version)
    first, results = None, []
    for _ in range(count + 1):
        try:
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw:
                raw.settimeout(TIMEOUT)
                with context.wrap_socket(raw, server_hostname=NAME, session=first) as tls:
                    if server.request:
                        tls.sendall(server.request)
                        answer = b""
                        while server.expect not in answer:
                            part = tls.recv(4096)
                            if not part:
                                break
                            answer += part
                        if server.expect not in answer:
                            raise OSError("no answer")
                    if first is None:
                        first = tls.session
                    else:
                        results.append(Result(True, tls.session_reused))
        except OSError as error:
            results.append(Result(False, why=str(error)))
    return results


def curl(server, version, count):
    """`count`+1 requests of one curl, each on a connection of its own. A resumed handshake has no Certificate."""
    number = version.replace("_", ".")
    # Without the user's ~/.curlrc and proxies.
    command = ["curl", "-q", "--noproxy", "*", "-sv", "-k", "--http1.1", "-m", str(TIMEOUT)]
    command += ["--resolve", f"{NAME}:{server.port}:127.0.0.1"]
    command += [f"--tlsv{number}", "--tls-max", number, "-H", "Connection: close", "-o", "/dev/null"]
    urls = [f"https://{NAME}:{server.port}/"] * (count + 1)
    command += [word for url in urls for word in (url, "-o", "/dev/null")][:-2]
    text = subprocess.run(command, capture_output=True, timeout=TIMEOUT * (count + 1), check=False).stderr.decode(
        errors="replace"
    )
    results = []
    for part in re.split(r"\* Connected to|\*   Trying", text)[1:]:
        if "SSL connection using" in part:
            results.append(Result("< HTTP/1." in part, "Certificate (11)" not in part))
    results = results[1:]
    missing = count - len(results)
    return results[:count] + [Result(False, why="curl made no connection")] * missing


def gnutls_cli(server, version, count):
    """gnutls-cli connects, and again with the session; `count` times."""
    number = version.replace("_", ".")
    command = ["gnutls-cli", "--insecure", "--resume", "--waitresumption", "--sni-hostname", NAME, "-p", str(server.port)]
    command += ["--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{number}", "127.0.0.1"]
    results = []
    for _ in range(count):
        try:
            done = subprocess.run(
                command, input=server.request or b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT,
                check=False,
            )  # fmt: skip
            text = done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as late:
            text = (late.stdout or b"").decode(errors="replace")
        ok = text.count("Handshake was completed") == 2
        results.append(Result(ok, "This is a resumed session" in text, "" if ok else text.strip()[-200:]))
    return results


def go(server, version, count, binary):
    """The client in go/client.go: `count` connections, each with the session of the one before."""
    command = [binary, f"127.0.0.1:{server.port}", NAME, version, str(count)]
    done = subprocess.run(
        command, input=server.request or b"", capture_output=True, timeout=TIMEOUT * (count + 1), check=False
    )
    words = done.stdout.decode().split()
    results = [Result(True, word == "reused") for word in words[1:]]
    missing = count - len(results)
    return results + [Result(False, why=done.stderr.decode()[-200:])] * missing


def rustls(server, version, count, binary):
    """The client in rustls/src/main.rs, which is spoken to as the one in Go is."""
    return go(server, version, count, binary)


def rustls_binary(root):
    """Builds the client on rustls; None if there is no Rust."""
    if not shutil.which("cargo"):
        return None
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rustls")
    target = os.path.join(root, "target", "rig")
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target]
    subprocess.run(command, cwd=here, check=True, timeout=900)
    return os.path.join(target, "release", "rustls-client")


class FtpTls(ftplib.FTP_TLS):
    """Gives its data connections the session of the control connection, as servers demand that want to know whether it
    is the same client."""

    offers_session = True

    def ntransfercmd(self, cmd, rest=None):
        raw, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session_ = self.sock.session if self.offers_session else None
        # Asking for the same name as the control connection, which its ticket is bound to.
        tls = self.context.wrap_socket(raw, server_hostname=self.host, session=session_)
        self.was_reused = tls.session_reused
        return tls, size


def ftp_data(server, version, count):
    """One FTP login, and `count` listings, each on a data connection of its own; at last one without the session, which the
    server must refuse."""
    client = FtpTls(context=client_context(version))
    results = []
    try:
        client.connect("127.0.0.1", server.port, TIMEOUT)
        client.host = NAME
        client.login("anonymous", "rig@rig.test")
        client.prot_p()
        for _ in range(count):
            names = client.nlst()
            results.append(Result(names == ["listed"], client.was_reused, f"listed {names}"))
        client.offers_session = False
        try:
            client.nlst()
            results.append(Result(False, why="a data connection without the session was not refused"))
        except (OSError, EOFError, ftplib.Error):
            pass
    except (OSError, EOFError, ftplib.Error) as error:
        results += [Result(False, why=str(error))] * (count - len(results))
    finally:
        client.close()
    return results


def go_binary(directory):
    """Builds the Go client; None if there is no Go."""
    if not shutil.which("go"):
        return None
    binary = os.path.join(directory, "go-client")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "go", "client.go")
    environment = {**os.environ, "GOCACHE": os.path.join(directory, "go-cache"), "GO111MODULE": "off", "GOFLAGS": ""}
    subprocess.run(["go", "build", "-o", binary, source], env=environment, check=True, timeout=300)
    return binary


def pause():
    """Between connections, so that a server that spreads them has a chance to."""
    time.sleep(0.002)
