#!/usr/bin/env python3
"""What must be in no core dump, and whether it is.

  secrets.py keys STATE NOW       the secrets that a state file leads to at that time, one a line: NAME HEX
  secrets.py live PID SESSION     the same of a running process with keys of its own, read out of its memory
  secrets.py find FILE            reads such lines from stdin and looks for each in FILE: prints the names found
  secrets.py inside PID           the same in all memory of a running process

Written from docs/state-file.md and docs/ticket-format.md alone, with nothing of the library's. `live` knows where keys
are by what they do: of all in the process's memory that is kept out of dumps, the MAC key is what fits the HMAC of the
client's ticket, and its neighbours are the rest of that epoch's keys.
"""

import base64
import hashlib
import hmac
import re
import struct
import sys

ERA = 4096


def expand(secret, label, length=32):
    """HKDF-Expand (RFC 5869) of at most 32 bytes."""
    version = b"v1 " if label in (b"next", b"era", b"first") else b"v2 "
    return hmac.new(secret, b"ticketshim " + version + label + b"\x01", hashlib.sha256).digest()[:length]


def step(epoch, link, era):
    """One epoch on."""
    if (epoch + 1) % ERA == 0:
        return epoch + 1, expand(era, b"first"), expand(era, b"era")
    return epoch + 1, expand(link, b"next"), era


def keys(path, now):
    with open(path, "rb") as file:
        data = file.read()
    assert len(data) == 400 and data[:16] == b"ticketshim-state", "not a state file"
    assert hashlib.sha256(data[:368]).digest() == data[368:], "its checksum"
    version, count = struct.unpack(">II", data[16:24])
    assert version == 2 and 1 <= count <= 3
    for at in range(32, 32 + count * 112, 112):
        yield from keys_of_chain(data[at : at + 112], now)


def keys_of_chain(data, now):
    length, accept, _, _, epoch = struct.unpack(">IIQQQ", data[16:48])
    link, era = data[48:80], data[80:112]
    current = now // length
    while epoch <= current + 2:
        yield f"link[{epoch}]", link
        yield f"era[{epoch}]", era
        if epoch >= current - accept // length:
            yield f"name[{epoch}]", expand(link, b"key name", 16)
            yield f"mac[{epoch}]", expand(link, b"mac")
            yield f"root[{epoch}]", expand(link, b"root")
        epoch, link, era = step(epoch, link, era)


def ticket_of(path):
    """The ticket in a session that the client saved."""
    with open(path, encoding="ascii") as file:
        der = base64.b64decode("".join(re.findall(r"^[A-Za-z0-9+/=]+$", file.read(), re.M)))
    # Context tag 10, an OCTET STRING: the only long one that ends with an HMAC of what we look for.
    for found in re.finditer(rb"\xaa", der):
        rest = der[found.start() + 1:]
        for skip in (1, 2, 3):
            if rest[skip:skip + 1] == b"\x04":
                kind = rest[skip + 1]
                at, size = {0x81: (skip + 3, rest[skip + 2]), 0x82: (skip + 4, struct.unpack(">H", rest[skip + 2:skip + 4])[0])}.get(
                    kind, (skip + 2, kind))
                if 96 < size <= len(rest) - at:
                    return rest[at:at + size]
    raise SystemExit("no ticket in the session")


def memory_of(pid, flag=""):
    """The contents of a process's mappings, of those with that flag if one is given."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        maps = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (.*)\n(?:[A-Z].*\n)*?VmFlags:(.*)", file.read(), re.M)
    with open(f"/proc/{pid}/mem", "rb") as mem:
        for start, end, name, flags in maps:
            if flag and flag not in flags.split():
                continue
            if " io" in flags or "[v" in name:  # the kernel's own pages
                continue
            mem.seek(int(start, 16))
            yield mem.read(int(end, 16) - int(start, 16))


def live(pid, session):
    ticket = ticket_of(session)
    for memory in memory_of(pid, "dd"):
        for at in (found.start() for found in re.finditer(re.escape(ticket[:16]), memory)):
            for mac_at in range(max(0, at - 96), min(len(memory), at + 112) - 32, 4):
                mac = memory[mac_at:mac_at + 32]
                if hmac.new(mac, ticket[:-32], hashlib.sha256).digest() != ticket[-32:]:
                    continue
                yield "mac", mac
                for other in (mac_at - 32, mac_at + 32):
                    secret = memory[other:other + 32]
                    if len(set(secret)) > 16 and ticket[:16] not in secret:
                        yield f"beside[{other - mac_at}]", secret


def find(places, lines):
    wanted = [(name, bytes.fromhex(value)) for name, value in (line.split() for line in lines)]
    found = set()
    for place in places:
        # Half of a key would do for whoever looks for the rest.
        found |= {name for name, value in wanted if value[:16] in place or value[-16:] in place}
    for name, _ in wanted:
        if name in found:
            print(name)


def main():
    what = sys.argv[1]
    if what == "find":
        with open(sys.argv[2], "rb") as file:
            find([file.read()], sys.stdin)
        return
    if what == "inside":
        find(memory_of(sys.argv[2]), sys.stdin)
        return
    for name, value in keys(sys.argv[2], int(sys.argv[3])) if what == "keys" else live(sys.argv[2], sys.argv[3]):
        print(name, value.hex())


main()
