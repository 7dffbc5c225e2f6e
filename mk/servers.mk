# Real servers of the distribution, with and without the shim: the table in docs/servers.md.

# proftpd-core and vsftpd cannot be installed together.
SERVER_PACKAGES := nginx apache2 haproxy stunnel4 lighttpd lighttpd-mod-openssl hitch mosquitto redis-server \
                   postgresql postfix proftpd-core proftpd-mod-crypto uvicorn \
                   openssl curl gnutls-bin golang-go python3 util-linux

.PHONY: deps-servers
deps-servers: ## install the real servers and clients that `make check-servers` runs (Debian)
	@scripts/install $(SERVER_PACKAGES)

.PHONY: check-servers
check-servers: deps-servers build ## real servers, with and without the shim (about fifteen minutes)
	cd rig/rustls && $(CARGO) fmt --check && $(CARGO) clippy --quiet --locked --target-dir ../../target/rig -- -D warnings
	python3 rig/main.py $(SERVERS)

.PHONY: servers-table
servers-table: deps-servers build ## the same, and write the table into docs/servers.md
	python3 rig/main.py --write docs/servers.md
