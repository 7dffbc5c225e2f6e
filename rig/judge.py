"""What a row of the table promises, and whether it was kept."""

# r: a reload without a change.
LETTERS = "abcdref"
MUST_HIT = "abcder"


class Row:
    """One server, one TLS version, stock and shim."""

    def __init__(self, kind, version):
        self.kind, self.version = kind, version
        self.name = kind.name
        self.cells, self.tickets, self.others, self.counters = {}, {}, {}, {}
        self.doctor = self.inspected = None
        self.broken, self.problems = [], []

    def version_text(self):
        return "TLS " + self.version.replace("_", ".")

    def judge(self):
        """Fills `problems`."""
        self.problems = list(self.broken)
        if self.broken:
            return
        stock, shim = self.cells["stock"], self.cells["shim"]
        if self.tickets["stock"] and not self.tickets["shim"]:
            self.problems.append("tickets in stock, and none with the shim")
        for letter, cell in shim.items():
            self.check(letter, stock.get(letter), cell)
        self.check_counters(self.counters["shim"])
        self.check_command()
        for client, cell in self.others.get("shim", {}).items():
            beside = self.others["stock"].get(client)
            # curl switches TLS 1.2 tickets off, and has only the luck of session caches.
            by_ticket = not (client == "curl" and self.version == "1_2")
            # Where stock cannot be spoken to either (no cipher in common), there is nothing to expect.
            least = beside.hits if self.kind.own_keys or beside.failures else cell.tries
            if cell.failures and not beside.failures or by_ticket and cell.hits < least:
                self.problems.append(f"{client}: {cell}, stock {beside}: {cell.failures[-1:]}")

    def check(self, letter, stock, shim):
        if shim.failures:
            self.problems.append(f"({letter}) {len(shim.failures)} connections failed: {shim.failures[-1]}")
        if self.kind.own_keys:
            # Its keys, its way: exactly as stock.
            if stock and shim.hits != stock.hits:
                self.problems.append(f"({letter}) {shim}, stock {stock}: its own keys must win")
            return
        expected = self.kind.expected.get(letter, shim.tries if letter in MUST_HIT else 0)
        if callable(expected):
            expected = expected(self.version)
        if shim.hits != expected:
            self.problems.append(f"({letter}) {shim.hits} of {shim.tries} resumed, {expected} expected")

    def check_counters(self, counted):
        """What the clients saw is what the shim counted."""
        if counted is None:
            self.problems.append("the shim published no counters")
            return
        hits = sum(cell.hits for cell in self.cells["shim"].values())
        sealed, opened = counted["sealed"], counted["opened"]
        if counted["failures"]:
            self.problems.append(f"the shim counted {counted['failures']} failures")
        if self.kind.own_keys:
            if sealed or opened:
                self.problems.append(f"the shim sealed {sealed} and opened {opened}: its own keys must win")
        elif self.version == "1_3" and opened != hits or self.version == "1_2" and not 0 < opened <= hits:
            # In TLS 1.2 a session cache may have been faster.
            self.problems.append(f"clients saw {hits} resumptions, the shim {opened}")

    def check_command(self):
        """What `doctor` and `inspect` say of it."""
        expected = "will-not" if self.kind.own_keys else "helped"
        if self.doctor["outcome"] != expected:
            self.problems.append(f"doctor: {self.doctor['outcome']}, {expected} expected: {self.doctor['verdict']}")
        contexts = self.doctor["contexts"]
        if not self.kind.own_keys and not contexts["attached"]:
            self.problems.append("doctor: no context is attached")
        if self.kind.door and not any(door.startswith(self.kind.door) for door in contexts["doors"]):
            self.problems.append(f"doctor: not detached by {self.kind.door}: {contexts['doors']}")
        if self.tickets["shim"] and self.inspected["opened"] == self.kind.own_keys:
            self.problems.append(f"inspect: {self.inspected['verdict']}")

    def __str__(self):
        def line(way):
            cells = self.cells.get(way, {})
            return " ".join(f"{letter}={cells[letter]}" for letter in LETTERS if letter in cells) or "no tickets"

        counted = self.counters.get("shim")
        counted = f" | counted {counted['sealed']} sealed {counted['opened']} opened" if counted else ""
        others = " ".join(f"{name}={cell}" for name, cell in self.others.get("shim", {}).items())
        return f"stock {line('stock')} | shim {line('shim')}{counted}" + (f" | {others}" if others else "")
