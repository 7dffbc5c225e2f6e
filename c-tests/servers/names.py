"""A client of many names of one server: names.py PORT N. Each line on stdin is an order: "fill" takes a ticket of each name
in TLS 1.2 and 1.3, "offer" offers them again; answered by a line that says how many handshakes were resumed."""

import socket
import ssl
import sys

port, count = int(sys.argv[1]), int(sys.argv[2])
VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
sessions = {}


def client(version):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1"])
    return context


def visit(context, name, session):
    """Whether it was resumed, and the session to go on with."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=name, session=session) as tls:
            tls.sendall(b"GET / HTTP/1.0\r\nHost: %s\r\n\r\n" % name.encode())
            answer = b""
            try:
                while block := tls.recv(4096):
                    answer += block
            except ssl.SSLEOFError:
                pass
            if b" 200 " not in answer:
                raise SystemExit(f"{name}: {answer[:80]!r}")
            return tls.session_reused, tls.session if tls.session.has_ticket else session


clients = {name: client(version) for name, version in VERSIONS.items()}
for order in sys.stdin:
    counts = []
    for version, context in clients.items():
        resumed = 0
        for number in range(count):
            name = f"shop{number:05}.example"
            old = sessions.get((version, name)) if order.strip() == "offer" else None
            reused, sessions[version, name] = visit(context, name, old)
            resumed += bool(reused)
        counts.append(f"{version} {resumed} of {count}")
    print(", ".join(counts), flush=True)
