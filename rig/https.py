"""A web server on Python's ssl: one context, workers forked after it was made. https.py PORT DIRECTORY WORKERS"""

import os
import signal
import socket
import ssl
import sys

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nok\n"


def serve(context, listener):
    while True:
        try:
            raw, _ = listener.accept()
            raw.settimeout(10)
            with context.wrap_socket(raw, server_side=True) as tls:
                request = b""
                while b"\r\n\r\n" not in request:
                    part = tls.recv(4096)
                    if not part:
                        break
                    request += part
                tls.sendall(ANSWER)
                tls.unwrap()
        except OSError:
            pass


def main():
    port, directory, workers = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    files = [os.path.join(directory, name) for name in ("server.crt", "server.key")]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        for _ in range(workers):
            if os.fork() == 0:
                signal.signal(signal.SIGHUP, lambda *_: context.load_cert_chain(*files))
                serve(context, listener)
        signal.pause()


main()
