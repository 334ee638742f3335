# SPDX-License-Identifier: MIT
# make          micro.c, build/libmicro.a, build/libmicro.so.N, build/micro, build/examples/NAME
# make check    the everyday tests;  make help: everything else

BUILD := build
CFLAGS ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)
PREFIX ?= /usr/local
CLANG ?= clang
# Debian's own python3 first: it is the one that sees the packages of tests/packages.txt.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef \
        -Wdouble-promotion -Wvla -Wwrite-strings -Wcast-qual -Wpointer-arith \
        $(if $(WERROR),-Werror)
WARN_C := $(WARN) -Wstrict-prototypes -Wmissing-prototypes
STD := -std=c11 -D_GNU_SOURCE -D_DARWIN_C_SOURCE
LIBS := -lpthread $(LDLIBS)
# make V=1 shows the commands.
Q := $(if $(V),,@)
HASH := \#

SRC := $(wildcard src/*/*.c)
TESTS := $(wildcard tests/test_*.c)
FUZZERS := $(patsubst tests/%.c,%,$(filter-out tests/fuzz_main.c,$(wildcard tests/fuzz_*.c)))
EXAMPLES := $(patsubst examples/%/,%,$(dir $(wildcard examples/*/*.c examples/*/*.cpp)))
EXAMPLES := $(sort $(EXAMPLES))

numbers = $(shell sed -n 's/^$(HASH)define MICRO_$(1) \([0-9]*\).*/\1/p' micro.h)
ABI := $(call numbers,ABI)
VERSION := $(call numbers,VERSION_MAJOR).$(call numbers,VERSION_MINOR).$(call numbers,VERSION_PATCH)

.PHONY: all check clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
all: micro.c $(BUILD)/libmicro.a $(BUILD)/libmicro.so $(BUILD)/micro \
     $(EXAMPLES:%=$(BUILD)/examples/%)

# micro.c is made anew when its inputs differ from the hash in its banner; without python3, and by
# every target that checks, it is taken as it is.
ifneq ($(filter all micro.c install demo $(BUILD)/%,$(or $(MAKECMDGOALS),all)),)
micro.c: FORCE
	@if command -v $(PYTHON) >/dev/null; then $(PYTHON) tools/amalgamate.py; fi
endif
FORCE:

# A file that changes when the text of a command does: what it stands for is then made again.
# $(1) folder  $(2) text
define STAMP
$(1)/flags: FORCE
	@mkdir -p $(1)
	@echo '$(2)' | cmp -s - $$@ || echo '$(2)' >$$@
endef

# ---- what is delivered ---------------------------------------------------------------------------

COMPILE := $(CC) $(STD) $(WARN_C) -ffunction-sections -fdata-sections $(CPPFLAGS) $(CFLAGS)
$(eval $(call STAMP,$(BUILD)/lib,$(COMPILE) $(CXX) $(CXXFLAGS) $(LDFLAGS) $(LIBS)))

$(BUILD)/lib/%.o: %.c $(BUILD)/lib/flags
	@echo '  CC   $@'
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<
$(BUILD)/lib/%.pic.o: %.c $(BUILD)/lib/flags
	@echo '  CC   $@'
	$(Q)$(COMPILE) -fPIC -MMD -MP -c -o $@ $<
$(BUILD)/libmicro.a: $(BUILD)/lib/micro.o
	@echo '  AR   $@'
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<
$(BUILD)/libmicro.so.$(ABI): $(BUILD)/lib/micro.pic.o
	@echo '  LD   $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libmicro.so.$(ABI) -o $@ $< $(LIBS)
$(BUILD)/libmicro.so: $(BUILD)/libmicro.so.$(ABI)
	@ln -sf libmicro.so.$(ABI) $@
$(BUILD)/micro: $(BUILD)/lib/micro_cli.o $(BUILD)/libmicro.a
	@echo '  LD   $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# $(1) example  $(2) where  $(3) the library  $(4) C compiler and flags  $(5) C++ compiler and flags
define EXAMPLE
$(2)/examples/$(1): $(wildcard examples/$(1)/*) $(3) micro.h
	@mkdir -p $$(@D)
	@echo '  CC   $$@'
	$(Q)$(if $(wildcard examples/$(1)/*.cpp),$(5) -std=c++17 $(WARN),$(4) -std=c11 $(WARN_C)) -I. \
	    -o $$@ $(wildcard examples/$(1)/*.c examples/$(1)/*.cpp) $(3) $(LIBS)
endef
$(foreach e,$(EXAMPLES),$(eval $(call EXAMPLE,$(e),$(BUILD),$(BUILD)/libmicro.a,\
    $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS),$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(LDFLAGS))))

-include $(wildcard $(BUILD)/lib/*.d)

# ---- the rest ------------------------------------------------------------------------------------

include tools/install.mk
include tests/tests.mk

help:
	@sed -n 's/^# make/make/p' Makefile tools/*.mk tests/tests.mk

clean:
	rm -rf $(BUILD)
