# SPDX-License-Identifier: MIT
# make install PREFIX=/usr/local DESTDIR=    header, libraries, micro.pc, CMake package, command

INSTALLED := $(DESTDIR)$(PREFIX)
FILL := sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@VERSION@|$(VERSION)|g' -e 's|@ABI@|$(ABI)|g' \
            -e 's|@LDLIBS@|$(strip $(LDLIBS))|g'

# The man page and the completions are the command's own words.
SHARE := $(addprefix $(BUILD)/share/,man/man1/micro.1 bash-completion/completions/micro \
                                     zsh/site-functions/_micro)
$(BUILD)/share/man/man1/micro.1: SAY := man
$(BUILD)/share/bash-completion/completions/micro: SAY := completion bash
$(BUILD)/share/zsh/site-functions/_micro: SAY := completion zsh
all: $(SHARE)
$(SHARE): $(BUILD)/micro
	@mkdir -p $(@D)
	$(Q)$(BUILD)/micro $(SAY) >$@

.PHONY: install
install: all
	install -d $(INSTALLED)/include $(INSTALLED)/lib/pkgconfig $(INSTALLED)/lib/cmake/micro
	install -m 644 micro.h $(INSTALLED)/include
	install -m 644 $(BUILD)/libmicro.a $(INSTALLED)/lib
	install -m 755 $(BUILD)/libmicro.so.$(ABI) $(INSTALLED)/lib
	ln -sf libmicro.so.$(ABI) $(INSTALLED)/lib/libmicro.so
	$(FILL) tools/micro.pc.in >$(INSTALLED)/lib/pkgconfig/micro.pc
	$(FILL) tools/micro-config.cmake.in >$(INSTALLED)/lib/cmake/micro/micro-config.cmake
	$(FILL) tools/micro-config-version.cmake.in \
	    >$(INSTALLED)/lib/cmake/micro/micro-config-version.cmake
	install -D -m 755 $(BUILD)/micro $(INSTALLED)/bin/micro
	cp -R $(BUILD)/share $(INSTALLED)/
