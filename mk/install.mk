# `make install`: as GNU make's conventions have it (PREFIX, LIBDIR, DESTDIR …).

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/ticketshim
UNITDIR    ?= $(PREFIX)/lib/systemd/system
CMAKEDIR   ?= $(LIBDIR)/cmake/ticketshim
# Where units and examples have the state file. Empty: not made.
STATEDIR   ?= /var/lib/ticketshim
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d
INSTALL    ?= install
VERSION    := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

DOCUMENTS  := README.md SECURITY.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT $(wildcard docs/*.md docs/vectors/*.txt)
EXAMPLES   := $(addprefix c-tests/examples/,appdata.c CMakeLists.txt meson.build) docs/systemd/nginx.service.d-ticketshim.conf docs/kubernetes/secret.yaml \
              $(wildcard docs/operators/*.conf)
UNITS      := $(notdir $(wildcard docs/systemd/ticketshim-advance*))
# What scripts/man-pages makes; scripts/check-install holds this list to it.
PAGES1     := $(addsuffix .1,ticketshim $(addprefix ticketshim-,run doctor state state-init state-show state-advance state-announce state-reseed state-put stats inspect))
PAGES3     := $(addsuffix .3ticketshim,SSL_CTX_set_session_ticket_cb SSL_SESSION_set1_ticket_appdata \
                SSL_SESSION_get0_ticket_appdata ticketshim_get_stats ticketshim_version)
PAGES7     := ticketshim.7

# Every file that `make install` puts somewhere: what `make uninstall` removes.
INSTALLED = $(LIBDIR)/libticketshim.so.0 $(LIBDIR)/libticketshim.so $(LIBDIR)/pkgconfig/ticketshim.pc \
            $(CMAKEDIR)/ticketshimConfig.cmake $(CMAKEDIR)/ticketshimConfigVersion.cmake \
            $(INCLUDEDIR)/ticketshim.h $(BINDIR)/ticketshim $(addprefix $(UNITDIR)/,$(UNITS)) \
            $(addprefix $(MANDIR)/man1/,$(PAGES1)) $(addprefix $(MANDIR)/man3/,$(PAGES3)) $(addprefix $(MANDIR)/man7/,$(PAGES7)) \
            $(BASHDIR)/ticketshim $(ZSHDIR)/_ticketshim $(FISHDIR)/ticketshim.fish \
            $(addprefix $(DOCDIR)/,$(DOCUMENTS)) $(addprefix $(DOCDIR)/examples/,$(notdir $(EXAMPLES)))

# What ticketshim.pc says of where it is: relative to itself, so that the tree may be moved. Below /usr nobody moves it,
# and pkg-config leaves out what compilers look through anyway only if it is written plainly.
PC_PREFIX   = $(if $(filter /usr,$(PREFIX)),/usr,$(if $(filter $(PREFIX)/%,$(LIBDIR)),$${pcfiledir}/$(subst $(space),/,$(patsubst %,..,$(subst /, ,$(patsubst $(PREFIX)/%,%,$(LIBDIR)/pkgconfig)))),$(PREFIX)))
# How the linker's option in it names the library: by path, as build systems take words out of their order; but below /usr
# the linker finds it, also in a sysroot, where not every pkg-config would lead that path.
PC_LIBRARY  = $(if $(filter /usr,$(PREFIX)),-lticketshim,$${libdir}/libticketshim.so)
# Likewise relative: what CMake's file says, as seen from LIBDIR.
CMAKE_INCLUDE = $(if $(and $(filter $(PREFIX)/%,$(LIBDIR)),$(filter $(PREFIX)/%,$(INCLUDEDIR))),$(subst $(space),/,$(patsubst %,..,$(subst /, ,$(patsubst $(PREFIX)/%,%,$(LIBDIR))))/$(patsubst $(PREFIX)/%,%,$(INCLUDEDIR))),$(INCLUDEDIR))
empty      :=
space      := $(empty) $(empty)
# Paths in examples, units and documents are those of /usr/local.
RELOCATE    = sed -e 's|/usr/local/lib/libticketshim|$(LIBDIR)/libticketshim|g' -e 's|/usr/local/bin/ticketshim|$(BINDIR)/ticketshim|g'

.PHONY: install
install: ## install what `make build` has built: PREFIX=/usr/local LIBDIR=… DESTDIR=…
	@test -e $(LIB) -a -e target/man || { echo "make install: nothing built yet: make build" >&2; exit 1; }
	$(INSTALL) -d $(addprefix $(DESTDIR),$(sort $(dir $(INSTALLED))))
	$(INSTALL) -m 755 $(LIB) $(DESTDIR)$(LIBDIR)/libticketshim.so.0
	ln -sf libticketshim.so.0 $(DESTDIR)$(LIBDIR)/libticketshim.so
	$(INSTALL) -m 755 target/release/ticketshim $(DESTDIR)$(BINDIR)/ticketshim
	$(INSTALL) -m 644 include/ticketshim.h $(DESTDIR)$(INCLUDEDIR)/ticketshim.h
	sed -e 's|@prefix@|$(PC_PREFIX)|' -e 's|@libdir@|$(patsubst $(PREFIX)%,$${prefix}%,$(LIBDIR))|' \
	    -e 's|@includedir@|$(patsubst $(PREFIX)%,$${prefix}%,$(INCLUDEDIR))|' -e 's|@version@|$(VERSION)|' -e 's|@library@|$(PC_LIBRARY)|' \
	    ticketshim.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/ticketshim.pc
	libssl=$$(scripts/libssl-of $(LIB)) && for file in ticketshimConfig ticketshimConfigVersion; do \
	    sed -e 's|@includedir@|$(CMAKE_INCLUDE)|' -e "s|@libssl@|$$libssl|" -e "s|@openssl@|$$(echo $${libssl#libssl.so.} | sed 's/\./\\\\&/')|" \
	        -e 's|@version@|$(VERSION)|' -e 's|@major@|$(firstword $(subst ., ,$(VERSION)))|' \
	        packaging/cmake/$$file.cmake.in > $(DESTDIR)$(CMAKEDIR)/$$file.cmake || exit 1; done
	$(INSTALL) -m 644 $(addprefix target/man/,$(PAGES1)) $(DESTDIR)$(MANDIR)/man1
	cp -P --no-preserve=all $(addprefix target/man/,$(PAGES3)) $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 $(addprefix target/man/,$(PAGES7)) $(DESTDIR)$(MANDIR)/man7
	target/release/ticketshim generate completions bash > $(DESTDIR)$(BASHDIR)/ticketshim
	target/release/ticketshim generate completions zsh > $(DESTDIR)$(ZSHDIR)/_ticketshim
	target/release/ticketshim generate completions fish > $(DESTDIR)$(FISHDIR)/ticketshim.fish
	for unit in $(UNITS); do $(RELOCATE) docs/systemd/$$unit > $(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	for document in $(DOCUMENTS); do $(RELOCATE) $$document > $(DESTDIR)$(DOCDIR)/$$document || exit 1; done
	for example in $(EXAMPLES); do $(RELOCATE) $$example > $(DESTDIR)$(DOCDIR)/examples/$${example##*/} || exit 1; done
	@[ -z "$(STATEDIR)" ] || [ -d $(DESTDIR)$(STATEDIR) ] || $(INSTALL) -d -m 700 $(DESTDIR)$(STATEDIR) || \
	    echo "make install: keys need a directory that only root, or the server's user, can write: $(STATEDIR) (STATEDIR= makes none)" >&2

# Directories that are ours alone go too, if nobody has put anything into them; so the one with keys stays.
.PHONY: uninstall
uninstall: ## remove what `make install` with the same PREFIX and DESTDIR has installed
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-rmdir $(DESTDIR)$(DOCDIR)/docs/vectors $(DESTDIR)$(DOCDIR)/docs $(DESTDIR)$(DOCDIR)/examples $(DESTDIR)$(DOCDIR) $(DESTDIR)$(CMAKEDIR)
	@[ ! -d "$(DESTDIR)$(STATEDIR)" ] || [ -z "$(STATEDIR)" ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(STATEDIR)

.PHONY: check-install
check-install: need-install build ## install, move the tree, and use it: a C program, the command, manual pages, completions, units
	$(PROVE) scripts/check-install

.PHONY: check-kubernetes
check-kubernetes: need-kubernetes build ## the manifests in docs/kubernetes against Kubernetes' schemas, and the scripts in them
	$(PROVE) scripts/check-kubernetes
