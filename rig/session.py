"""Sessions as `openssl s_client -sess_out` writes them: where the ticket is, and how to damage it."""

import base64

TICKET_TAG = 0xAA  # [10] EXPLICIT OCTET STRING: tlsext_tick (ssl/ssl_asn1.c)


def read_der(path):
    with open(path, encoding="ascii") as file:
        lines = [line for line in file.read().splitlines() if line and not line.startswith("-----")]
    return bytearray(base64.b64decode("".join(lines)))


def write_pem(path, der):
    text = base64.b64encode(bytes(der)).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(["-----BEGIN SSL SESSION PARAMETERS-----", *lines, "-----END SSL SESSION PARAMETERS-----", ""]))


def element(der, at):
    """Tag, start and end of the content of the element at `at`."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    return tag, start, start + length


def ticket_range(der):
    """Where the ticket's bytes are; None if the session has none."""
    _, at, end = element(der, 0)
    while at < end:
        tag, start, stop = element(der, at)
        if tag == TICKET_TAG:
            _, start, stop = element(der, start)
            return start, stop
        at = stop
    return None


def has_ticket(path):
    try:
        return ticket_range(read_der(path)) is not None
    except (OSError, ValueError, IndexError):
        return False


def damage(source, target, where):
    """Copies a session with one bit of its ticket turned over, at `where` (0 to 1) of its length."""
    der = read_der(source)
    found = ticket_range(der)
    if found is None:
        return False
    start, stop = found
    der[min(start + int(where * (stop - start)), stop - 1)] ^= 0x10
    write_pem(target, der)
    return True
