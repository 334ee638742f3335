# SPDX-License-Identifier: MIT
# make check-full    everything that CI runs
# make check-unit check-amalgamated check-clang check-tsan check-valgrind check-musl check-32
# make check-poll check-kqueue check-omit-threads    the other pollers; without threads
# make lint check-fuzz fuzz-smoke; check-NAME for each tests/NAME.py and tests/NAME/run
# make interop-real PEERS=DIR    against ready go-micro programs, by hand
# make bench-build bench bench-smoke bench-soak    docs/performance.md
# make demo test-deps update-count format-check

TEST_OPTIONS := -g -DMICRO_ENABLE_TEST_HOOKS=1 -Isrc -I.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_SECONDS ?= 5
export ASAN_OPTIONS ?= detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS ?= second_deadlock_stack=1

# kqueue on Linux: libkqueue if it is there, else what tests/kqueue has of it.
KQUEUE := $(shell pkg-config --exists libkqueue 2>/dev/null && echo libkqueue)
KQUEUE_CFLAGS := $(if $(KQUEUE),$(shell pkg-config --cflags libkqueue),-Itests/kqueue)
kqueue_LIBS := $(if $(KQUEUE),$(shell pkg-config --libs libkqueue)) $(LIBS)

# ---- test builds, in build/NAME: the tests split and joined, the command, examples, tests/peer ---
# $(1) name  $(2) compiler  $(3) C++ compiler  $(4) flags

define CONFIG
$(1)_CC := $(2) $(STD) $(WARN_C) $(TEST_OPTIONS) $(CPPFLAGS) $(4)
$(1)_UNIT := $(patsubst %.c,$(BUILD)/$(1)/%.o,$(SRC) $(TESTS) tests/harness.c)
$(1)_SRC := $(patsubst %.c,$(BUILD)/$(1)/%.o,$(SRC))
$(eval $(call STAMP,$(BUILD)/$(1),$(2) $(3) $(STD) $(WARN_C) $(TEST_OPTIONS) $(CPPFLAGS) $(4)))

$(BUILD)/$(1)/%.o: %.c $(BUILD)/$(1)/flags
	@mkdir -p $$(@D)
	@echo '  CC   $$@'
	$(Q)$$($(1)_CC) -MMD -MP -c -o $$@ $$<
$(BUILD)/$(1)/tests/all.o: $(BUILD)/all_tests.inc
$(BUILD)/$(1)/unit: $$($(1)_UNIT)
	@echo '  LD   $$@'
	$(Q)$(2) $(4) -o $$@ $$^ $$(or $$($(1)_LIBS),$(LIBS))
$(BUILD)/$(1)/unit-one: $(BUILD)/$(1)/tests/all.o
	@echo '  LD   $$@'
	$(Q)$(2) $(4) -o $$@ $$^ $$(or $$($(1)_LIBS),$(LIBS))
$(BUILD)/$(1)/micro: $(BUILD)/$(1)/micro_cli.o $(BUILD)/$(1)/micro.o
	@echo '  LD   $$@'
	$(Q)$(2) $(4) -o $$@ $$^ $$(or $$($(1)_LIBS),$(LIBS))
$(BUILD)/$(1)/peer/%: $(BUILD)/$(1)/tests/peer/%.o $(BUILD)/$(1)/micro.o
	@mkdir -p $$(@D)
	@echo '  LD   $$@'
	$(Q)$(2) $(4) -o $$@ $$^ $$(or $$($(1)_LIBS),$(LIBS))
$(BUILD)/$(1)/fuzz_%: $$($(1)_SRC) $(BUILD)/$(1)/tests/fuzz_%.o $(BUILD)/$(1)/tests/fuzz_main.o
	@echo '  LD   $$@'
	$(Q)$(2) $(4) -o $$@ $$^ $$(or $$($(1)_LIBS),$(LIBS))
$(foreach e,$(EXAMPLES),$(call EXAMPLE,$(e),$(BUILD)/$(1),$(BUILD)/$(1)/micro.o,\
    $(2) -g $(4),$(3) -g $(4))
)
-include $(wildcard $(BUILD)/$(1)/*.d $(BUILD)/$(1)/*/*.d $(BUILD)/$(1)/*/*/*.d)
endef

$(eval $(call CONFIG,asan,$(CC),$(CXX),-O1 $(SANITIZE)))
$(eval $(call CONFIG,clang,$(CLANG),$(CLANG)++,-O1 $(SANITIZE)))
$(eval $(call CONFIG,tsan,$(CC),$(CXX),-O1 -fsanitize=thread))
$(eval $(call CONFIG,plain,$(CC),$(CXX),-O1))
$(eval $(call CONFIG,musl,musl-gcc,false,-O2 -static))
$(eval $(call CONFIG,m32,gcc -m32 -msse2 -mfpmath=sse,g++ -m32,-O1 $(SANITIZE)))
$(eval $(call CONFIG,poll,$(CC),$(CXX),-O1 $(SANITIZE) -DMICRO_USE_POLL=1))
$(eval $(call CONFIG,kqueue,$(CC),$(CXX),-O1 $(SANITIZE) -DMICRO_USE_KQUEUE=1 $(KQUEUE_CFLAGS)))
$(eval $(call CONFIG,omit-threads,$(CC),$(CXX),-O1 $(SANITIZE) -DMICRO_OMIT_THREADS=1))
$(eval $(call CONFIG,fuzz,$(CLANG),false,-O1 $(SANITIZE) -fsanitize=fuzzer-no-link))

# libFuzzer has a main of its own.
$(BUILD)/fuzz/smoke_%: $(fuzz_SRC) $(BUILD)/fuzz/tests/fuzz_%.o
	@echo '  LD   $@'
	$(Q)$(CLANG) $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(LIBS)

ifeq ($(KQUEUE),)
$(BUILD)/kqueue/unit $(BUILD)/kqueue/unit-one: $(BUILD)/kqueue/tests/kqueue/kqueue.o
endif

ALL_TESTS := $(foreach t,$(TESTS),$(HASH)include "$(t)"\n)
$(BUILD)/all_tests.inc: FORCE
	@mkdir -p $(@D)
	@printf '$(ALL_TESTS)' | sed 's/^ *//' >$@.new; cmp -s $@.new $@ || cp $@.new $@; rm $@.new
$(foreach c,asan clang tsan plain musl m32 poll kqueue omit-threads,$(eval $(BUILD)/$(c)/tests/all.o: $(c)_CC += -I$(BUILD)))

# ---- stages --------------------------------------------------------------------------------------

UNIT_STAGES := check-unit check-amalgamated check-clang check-tsan check-valgrind check-musl \
               check-32 check-poll check-kqueue check-omit-threads
.PHONY: lint lint-self-test check-fuzz fuzz-smoke $(UNIT_STAGES)

lint:
	$(PYTHON) tools/amalgamate.py --check
lint-self-test:
	$(PYTHON) tools/amalgamate.py --self-test

check-unit: $(BUILD)/asan/unit
	$< $(FILTER)
check-amalgamated: $(BUILD)/asan/unit-one
	$< $(FILTER)
check-clang: $(BUILD)/clang/unit $(BUILD)/clang/unit-one
	$(BUILD)/clang/unit $(FILTER)
	$(BUILD)/clang/unit-one $(FILTER)
check-tsan: $(BUILD)/tsan/unit
	$< $(FILTER)
check-valgrind: $(BUILD)/plain/unit-one
	valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible \
	    --errors-for-leak-kinds=definite,possible $< --one-by-one --timeout 300 $(FILTER)
check-musl: $(BUILD)/musl/unit-one
	$< $(FILTER)
check-32: $(BUILD)/m32/unit-one
	$< $(FILTER)
check-poll: $(BUILD)/poll/unit-one
	$< $(FILTER)
check-kqueue: $(BUILD)/kqueue/unit-one
	$< $(FILTER)

check-fuzz: $(FUZZERS:%=$(BUILD)/asan/%)
	tools/fuzz.sh replay $^
fuzz-smoke: $(FUZZERS:fuzz_%=$(BUILD)/fuzz/smoke_%)
	tools/fuzz.sh search $(FUZZ_SECONDS) $^

# A script is a stage if it may be executed; MICRO_BUILD tells it where the programs to test are.
SCRIPTS := $(sort $(patsubst tests/%.py,%,$(shell find tests -maxdepth 1 -name '*.py' -perm -u+x)) \
                  $(patsubst tests/%/run,%,$(wildcard tests/*/run)))
LATE_SCRIPTS := replay_events twins install faults drain seat_model deflate_zlib
BY_HAND := interop
LONGEST := netns golden examples cli
EVERYDAY := $(LONGEST:%=check-%) check-unit lint lint-self-test $(if $(FUZZERS),check-fuzz) \
            $(addprefix check-,$(filter-out $(LONGEST) $(LATE_SCRIPTS) $(BY_HAND),$(SCRIPTS)))
LATE := $(addprefix check-,$(filter $(LATE_SCRIPTS),$(SCRIPTS))) check-amalgamated check-clang \
        check-tsan check-valgrind check-musl check-32 check-poll check-kqueue check-omit-threads \
        $(if $(FUZZERS),fuzz-smoke) bench-smoke bench-soak
PROGRAMS = $(if $(wildcard micro_cli.c),$(1)/micro) $(EXAMPLES:%=$(1)/examples/%) \
           $(patsubst tests/peer/%.c,$(1)/peer/%,$(wildcard tests/peer/*.c))

.PHONY: $(addprefix check-,$(SCRIPTS) cli examples golden twins netns install)
$(addprefix check-,$(SCRIPTS)): check-%: all $(call PROGRAMS,$(BUILD)/asan)
	MICRO_BUILD=$(BUILD)/asan $(if $(wildcard tests/$*.py),$(PYTHON) tests/$*.py,tests/$*/run)
$(addprefix check-,$(filter-out $(SCRIPTS),cli examples golden twins netns install)):
	@echo 'there is neither $(@:check-%=tests/%.py) nor $(@:check-%=tests/%/run)'; false

# The library without threads: the unit tests less those of threads, then the same programs.
check-omit-threads: all $(BUILD)/omit-threads/unit-one $(call PROGRAMS,$(BUILD)/omit-threads)
	@if nm -u $(BUILD)/omit-threads/micro.o | grep -E 'pthread_|__atomic_'; then false; fi
	$(BUILD)/omit-threads/unit-one $(FILTER)
	MICRO_BUILD=$(BUILD)/omit-threads $(PYTHON) tests/cli.py
	MICRO_BUILD=$(BUILD)/omit-threads $(PYTHON) tests/examples.py
	MICRO_BUILD=$(BUILD)/omit-threads tests/netns/run

# What the everyday stages need, in one go: they run side by side and must not build the same thing.
.PHONY: test-programs
test-programs: all $(BUILD)/asan/unit $(FUZZERS:%=$(BUILD)/asan/%) \
               $(call PROGRAMS,$(BUILD)/asan)

.PHONY: check-full stages update-count test-deps interop-real bench-build bench bench-smoke \
        bench-soak demo format-check
check:
	GOLDEN_CUTS=24 tests/run $(EVERYDAY)
check-full:
	tests/run $(EVERYDAY) $(LATE)
stages:
	@echo $(EVERYDAY) $(LATE)
update-count:
	tests/run --update-count

test-deps:
	tools/test-deps.sh tests/packages.txt

interop-real: all $(call PROGRAMS,$(BUILD)/asan)
	@if [ ! -d '$(PEERS)' ]; then echo 'usage: make interop-real PEERS=DIR'; exit 2; fi
	MICRO_BUILD=$(BUILD)/asan tests/interop/run '$(PEERS)'

bench-build:
	$(MAKE) -C bench build BUILD=$(abspath $(BUILD))
bench:
	$(MAKE) -C bench run BUILD=$(abspath $(BUILD))
bench-smoke:
	$(MAKE) -C bench smoke BUILD=$(abspath $(BUILD))
bench-soak:
	$(MAKE) -C bench soak BUILD=$(abspath $(BUILD)) SECONDS=$(or $(SOAK_SECONDS),60)

demo: all
	@for f in tools/demo.sh tests/demo.sh; do if [ -x $$f ]; then exec $$f; fi; done; \
	echo 'there is no tools/demo.sh'; exit 1

format-check:
	clang-format --dry-run -Werror $(SRC) $(wildcard src/*/*.h tests/*.[ch] examples/*/*.c)
