# Packages of what `make build` has built, and a test of them on a clean system.

DEB := target/deb

.PHONY: deb
deb: need-packages build ## Debian packages, in target/deb: the library, its development files, the command (lintian without an error)
	rm -rf $(DEB)
	mkdir -p $(DEB)/tree
	cp -r packaging/debian $(DEB)/tree/debian
	scripts/deb-changelog $(VERSION) > $(DEB)/tree/debian/changelog
	cd $(DEB)/tree && TOP=$(CURDIR) MAKEFLAGS= dpkg-buildpackage -b -us -uc
	cd $(DEB) && lintian --fail-on error --tag-display-limit 0 *.changes

# Needs the network (Debian's archive), and root or user namespaces.
.PHONY: check-deb
check-deb: need-deb deb ## install the packages on a clean Debian 12 and use them there: servers resume after a restart (two minutes)
	$(PROVE) packaging/check-deb

RPM := $(CURDIR)/target/rpm

.PHONY: rpm
rpm: need-rpm build ## RPM packages, in target/rpm, for the libssl.so.3 that they were built on
	rm -rf $(RPM)
	MAKEFLAGS= rpmbuild -bb --quiet --define "ticketshim_libssl $$(scripts/libssl-of $(LIB))" --define '_topdir $(RPM)' --define 'ticketshim_version $(VERSION)' \
	    --define 'ticketshim_tree $(CURDIR)' --define '_libdir /usr/lib64' packaging/ticketshim.spec
	mv $(RPM)/RPMS/*/*.rpm $(RPM)

.PHONY: check-rpm
check-rpm: need-rpm rpm ## unpack the RPM packages and use what is in them
	$(PROVE) packaging/check-rpm

PLATFORM ?= debian11 debian12 debian13 arm64

# Needs the network (Debian's archive, crates.io), and root or user namespaces. Not in `make check`: it takes long.
.PHONY: check-platforms
check-platforms: need-platforms ## build on clean Debian 11, 12, 13 and arm64 (under qemu), and use it there (PLATFORM=debian13 for one; half an hour)
	$(PROVE) packaging/check-platforms :: $(PLATFORM)
