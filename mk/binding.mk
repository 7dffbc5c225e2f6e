# No ticket confusion: docs/binding.md, docs/attacks.md. The C programs of it are in check-c.

.PHONY: check-binding
check-binding: need-binding build ## no ticket leads past who asks for a client: real servers, each beside stock (a minute)
	prove -j2 --exec '' c-tests/servers/nginx c-tests/servers/apache c-tests/servers/haproxy c-tests/servers/psk \
	    c-tests/servers/contract c-tests/servers/no-id-context c-tests/servers/names

.PHONY: check-contract
check-contract: need-contract build ## 1,000 names of nginx, Apache and HAProxy resume after a restart and a reload (minutes)
	TS_NAMES=1000 $(PROVE) c-tests/servers/names
