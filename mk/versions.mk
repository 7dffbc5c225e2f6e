# Every OpenSSL that carries the API: versions/ and docs/openssl-versions.md.

.PHONY: check-versions
check-versions: need-versions ## all suites on OpenSSL 1.1.1, 3.0, 3.5, 4.0 and the system's; writes the matrix in docs/ (long)
	versions/check --write

.PHONY: check-versions-fast
check-versions-fast: need-versions build ## OpenSSL 1.1.1 alone and beside the system's, and that the matrix is about the right versions
	versions/check --current
	versions/check --fast

# Asked before cargo is: of some libraries it would give no clear answer.
.PHONY: openssl-supported
openssl-supported:
	@versions/supported

build: | openssl-supported

# `OPENSSL_DIR=… make build check-fast`: the tests of Rust have no other way to that libssl and that `openssl`.
ifdef OPENSSL_DIR
check-core: export LD_LIBRARY_PATH := $(firstword $(wildcard $(OPENSSL_DIR)/lib64 $(OPENSSL_DIR)/lib))
check-core: export PATH := $(OPENSSL_DIR)/bin:$(PATH)
endif
