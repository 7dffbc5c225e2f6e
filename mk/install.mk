# `make install`: as GNU make's conventions have it (PREFIX, LIBDIR, DESTDIR …).

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/ticketshim
INSTALL    ?= install
VERSION    := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

DOCUMENTS  := README.md SECURITY.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT
# Made by the command itself, of the same definitions as its help.
PAGES      := $(addsuffix .1,ticketshim $(addprefix ticketshim-,run doctor state state-init state-show state-advance state-reseed stats inspect))
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d

# Every file that `make install` puts somewhere: what `make uninstall` removes.
INSTALLED = $(LIBDIR)/libticketshim.so.0 $(LIBDIR)/libticketshim.so $(LIBDIR)/pkgconfig/ticketshim.pc \
            $(INCLUDEDIR)/ticketshim.h $(BINDIR)/ticketshim $(addprefix $(MANDIR)/man1/,$(PAGES)) \
            $(BASHDIR)/ticketshim $(ZSHDIR)/_ticketshim $(FISHDIR)/ticketshim.fish $(addprefix $(DOCDIR)/,$(DOCUMENTS))

.PHONY: install
install: ## install what `make build` has built: PREFIX=/usr/local LIBDIR=… DESTDIR=…
	@test -e $(LIB) || { echo "make install: nothing built yet: make build" >&2; exit 1; }
	$(INSTALL) -d $(addprefix $(DESTDIR),$(sort $(dir $(INSTALLED))))
	$(INSTALL) -m 755 $(LIB) $(DESTDIR)$(LIBDIR)/libticketshim.so.0
	ln -sf libticketshim.so.0 $(DESTDIR)$(LIBDIR)/libticketshim.so
	$(INSTALL) -m 755 target/release/ticketshim $(DESTDIR)$(BINDIR)/ticketshim
	$(INSTALL) -m 644 include/ticketshim.h $(DESTDIR)$(INCLUDEDIR)/ticketshim.h
	sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(patsubst $(PREFIX)%,$${prefix}%,$(LIBDIR))|' \
	    -e 's|@includedir@|$(patsubst $(PREFIX)%,$${prefix}%,$(INCLUDEDIR))|' -e 's|@version@|$(VERSION)|' \
	    ticketshim.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/ticketshim.pc
	@mkdir -p target/man
	target/release/ticketshim generate man target/man
	$(INSTALL) -m 644 $(addprefix target/man/,$(PAGES)) $(DESTDIR)$(MANDIR)/man1
	target/release/ticketshim generate completions bash > $(DESTDIR)$(BASHDIR)/ticketshim
	target/release/ticketshim generate completions zsh > $(DESTDIR)$(ZSHDIR)/_ticketshim
	target/release/ticketshim generate completions fish > $(DESTDIR)$(FISHDIR)/ticketshim.fish
	$(INSTALL) -m 644 $(DOCUMENTS) $(DESTDIR)$(DOCDIR)

.PHONY: uninstall
uninstall: ## remove what `make install` with the same PREFIX and DESTDIR has installed
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-rmdir $(DESTDIR)$(DOCDIR)

.PHONY: check-install
check-install: build ## install into an empty directory, and build and run a C program against it
	$(PROVE) scripts/check-install
