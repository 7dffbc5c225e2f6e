"""Certificates for a run: one, and the one that renews it (the same names, another key)."""

import os
import shutil

from proc import output

NAME = "rig.test"


def make(directory):
    os.makedirs(directory, exist_ok=True)
    config = os.path.join(directory, "openssl.cnf")
    with open(config, "w", encoding="ascii") as file:
        file.write("[req]\ndistinguished_name=dn\n[dn]\n")
    for which in ("first", "renewed"):
        key, cert = (os.path.join(directory, f"{which}.{kind}") for kind in ("key", "crt"))
        output(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-config", config, "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},DNS:localhost",
            "-keyout", key, "-out", cert, check=True,
        )  # fmt: skip


def install(directory, which, target):
    """Puts a certificate where a server looks for it: `server.crt`, `server.key`, and both in `server.pem`."""
    for kind in ("crt", "key"):
        shutil.copyfile(os.path.join(directory, f"{which}.{kind}"), os.path.join(target, f"server.{kind}"))
    with open(os.path.join(target, "server.pem"), "w", encoding="ascii") as both:
        for kind in ("crt", "key"):
            with open(os.path.join(target, f"server.{kind}"), encoding="ascii") as part:
                both.write(part.read())
    for name in ("server.key", "server.pem"):
        os.chmod(os.path.join(target, name), 0o600)
