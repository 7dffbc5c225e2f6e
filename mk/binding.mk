# No ticket confusion: docs/binding.md, docs/attacks.md. The C programs of it are in check-c.

.PHONY: check-binding
check-binding: need-binding build ## no ticket leads past a client certificate: real nginx and Apache (half a minute)
	$(PROVE) c-tests/servers/nginx c-tests/servers/apache
