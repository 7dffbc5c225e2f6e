# What each target needs, by Debian's names, and nothing else installs anything: `make deps` all that `make check` needs,
# `make deps-NAME` what check-NAME needs. A target depends on need-NAME, which says what is missing in one line.

PACKAGES_build        := build-essential libssl-dev pkg-config binutils
PACKAGES_lint         := $(PACKAGES_build) git shellcheck
PACKAGES_core         := $(PACKAGES_build) openssl gdb procps util-linux python3 python3-prometheus-client
PACKAGES_cli          := $(PACKAGES_core)
# clang is the second compiler that the header must satisfy.
PACKAGES_c            := $(PACKAGES_build) openssl clang gdb perl python3 libboost-context-dev locales
PACKAGES_fast         := $(PACKAGES_core) $(PACKAGES_c)
PACKAGES_linkers      := $(PACKAGES_build) lld clang
PACKAGES_sharing      := $(PACKAGES_build) openssl gdb perl procps python3 nginx haproxy systemd util-linux strace
PACKAGES_binding      := $(PACKAGES_build) openssl perl python3 nginx apache2 haproxy stunnel4 mosquitto dovecot-imapd socat
PACKAGES_contract     := $(PACKAGES_binding)
PACKAGES_valgrind     := $(PACKAGES_build) openssl perl valgrind locales
PACKAGES_instructions := $(PACKAGES_build) python3 valgrind
PACKAGES_deploy       := $(PACKAGES_build) openssl python3 nginx haproxy
PACKAGES_models       := build-essential
# Clients, other preloads, and what looks at system calls, too.
PACKAGES_hostile      := $(PACKAGES_build) openssl perl python3 gdb nginx procps util-linux strace curl libio-socket-ssl-perl \
                         php-cli nodejs wget git libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 libeatmydata1 libfaketime
PACKAGES_endurance    := $(PACKAGES_hostile)
PACKAGES_versions     := $(PACKAGES_build) openssl perl libboost-context-dev locales
PACKAGES_install      := $(PACKAGES_build) man-db mandoc bash-completion zsh fish systemd cmake meson ninja-build
PACKAGES_kubernetes   := python3 python3-venv python3-yaml procps util-linux
PACKAGES_docs         := git
PACKAGES_packages     := debhelper lintian
PACKAGES_rpm          := rpm
PACKAGES_deb          := $(PACKAGES_packages) mmdebstrap uidmap
PACKAGES_platforms    := mmdebstrap uidmap qemu-user-static
PACKAGES_demo         := $(PACKAGES_build) openssl perl stunnel4
PACKAGES_fuzz         := $(PACKAGES_build)
# Of the compiler's own LLVM: a runtime and a profile are of one version.
LLVM                   = $(shell rustc -vV 2> /dev/null | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
# rustup's component llvm-tools, if it is there.
LLVM_TOOLS             = $(shell rustc --print target-libdir 2> /dev/null)/../bin
PACKAGES_sanitizers    = $(PACKAGES_hostile) valgrind libboost-context-dev locales clang-$(LLVM) libclang-rt-$(LLVM)-dev
PACKAGES_coverage      = $(PACKAGES_build) $(if $(wildcard $(LLVM_TOOLS)/llvm-cov),,llvm-$(LLVM))
# proftpd-core and vsftpd cannot be installed together.
PACKAGES_servers      := nginx apache2 haproxy stunnel4 lighttpd lighttpd-mod-openssl hitch mosquitto redis-server \
                         postgresql postfix proftpd-core proftpd-mod-crypto uvicorn \
                         openssl curl gnutls-bin golang-go python3 util-linux

# The parts of `make check`.
CHECKED := build lint core c linkers sharing binding deploy valgrind instructions hostile models versions install kubernetes docs packages rpm

.PHONY: deps
deps: ## install what `make check` needs (Debian; as root, or with sudo); deps-NAME: what check-NAME needs
	@scripts/install $(sort $(foreach part,$(CHECKED),$(PACKAGES_$(part))))

deps-%:
	@test -n "$(PACKAGES_$*)" || { echo "make: no target deps-$*: mk/deps.mk has no such list" >&2; exit 2; }
	@scripts/install $(PACKAGES_$*)

# An OpenSSL of one's own is not the system's package.
need-%: $(if $(filter check,$(MAKECMDGOALS)),deps)
	@scripts/install --missing $* $(filter-out $(if $(OPENSSL_DIR),libssl-dev openssl),$(PACKAGES_$*))
