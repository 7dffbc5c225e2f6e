# No ticket confusion: docs/binding.md, docs/attacks.md. The C programs of it are in check-c.

.PHONY: check-binding
check-binding: build ## no ticket leads past a client certificate: real nginx and Apache (half a minute)
	@scripts/install nginx apache2 openssl perl
	$(PROVE) c-tests/servers/nginx c-tests/servers/apache
