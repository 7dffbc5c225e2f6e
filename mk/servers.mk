# Real servers of the distribution, with and without the shim: the table in docs/servers.md.

.PHONY: check-servers
check-servers: need-servers build ## real servers, with and without the shim (about fifteen minutes)
	cd rig/rustls && $(CARGO) fmt --check && $(CARGO) clippy --quiet --locked --target-dir ../../target/rig -- -D warnings
	python3 rig/main.py $(SERVERS)

.PHONY: servers-table
servers-table: need-servers build ## the same, and write the table into docs/servers.md
	python3 rig/main.py --write docs/servers.md
