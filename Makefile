# SPDX-License-Identifier: Apache-2.0
# s3-ktls: `make help` lists the targets.

PREFIX  ?= /usr/local
DESTDIR ?=
B       := build
VERSION := 0.1.0

CC           ?= cc
CLANG        ?= clang
BPFTOOL      ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PYTHON       ?= /usr/bin/python3
CLANG_FORMAT ?= clang-format
CLANG_TIDY   ?= clang-tidy

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wformat=2 -Wundef -Wpointer-arith -Wcast-qual
# What the program needs is not in CPPFLAGS, CFLAGS and LDFLAGS: those are the user's to set.
DEFINES  := -D_GNU_SOURCE -DS3_KTLS_VERSION='"$(VERSION)"' -Iuser -Iinclude -Ibpf -isystem $(B)/gen
CFLAGS   ?= -O2 -g
HARDEN   := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
CSTD     := -std=c11
LDLIBS   := -lbpf -lelf -lz -lssl -lcrypto -luring -lexpat -ljansson -lcap -lpthread
LINKING  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed

# The BPF compiler does not know where the multiarch UAPI headers are.
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_FLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Iinclude -Ibpf \
             -isystem /usr/include/$(MULTIARCH)

# V=1 shows the commands whole.
Q   := $(if $(V),,@)
say = @$(if $(V),true,printf '  %-6s %s\n')

SRC      := $(sort $(wildcard user/*/*.c))
LIB_SRC  := $(filter-out user/cli/main.c,$(SRC))
OBJ      := $(SRC:%.c=$(B)/obj/%.o)
SKEL     := $(B)/gen/tap.skel.h

# Unit and BPF tests are built with the sanitizers, against objects of their own.
SAN        := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_OBJ    := $(LIB_SRC:%.c=$(B)/san/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
UNIT_KIT   := $(patsubst %.c,$(B)/san/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
ALLOC_TESTS := $(patsubst tests/alloc/%.c,$(B)/tests/%,$(sort $(wildcard tests/alloc/test_*.c)))
BPF_TESTS  := $(patsubst tests/bpf/%.c,$(B)/tests/%,$(sort $(wildcard tests/bpf/test_*.c)))
# The soak program links the very objects of s3-ktls: sanitizers would change when the kernel
# interrupts what, which is what it is about.
SOAK_OBJ   := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/soak/*.c)))

# The fuzz targets are clang's, with all that reads what comes from outside and nothing else.
SECONDS    ?= 60
FUZZ_SAN   := address,undefined -fno-sanitize-recover=undefined
FUZZ_SRC   := $(wildcard user/base/*.c user/http/*.c user/s3/*.c) user/hash/encode.c \
              user/hash/digest.c user/cli/options.c
FUZZ_OBJ   := $(FUZZ_SRC:%.c=$(B)/fuzz/%.o)
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZERS    := $(FUZZ_NAMES:%=$(B)/fuzz/fuzz_%)

all: $(B)/s3-ktls ## build build/s3-ktls (the default)

help: ## list the targets
	@awk -F': .*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# --- build -------------------------------------------------------------------------------------

$(B)/.deps: tools/check-build-deps.sh tools/packages/build
	@CC="$(CC)" CLANG="$(CLANG)" BPFTOOL="$(BPFTOOL)" tools/check-build-deps.sh
	@mkdir -p $(@D) && touch $@

$(B)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) include/tap_abi.h Makefile | $(B)/.deps
	@mkdir -p $(@D)
	$(say) BPF $@
	$(Q)$(CLANG) $(BPF_FLAGS) -c $< -o $@

# bpftool's gen is offline work: no privilege, no kernel support needed.
$(B)/gen/%.skel.h: $(B)/gen/%.bpf.o
	$(say) GEN $@
	$(Q){ echo '/* NOLINTBEGIN */'; $(BPFTOOL) gen skeleton $< name $*_bpf; \
	    echo '/* NOLINTEND */'; } > $@.tmp
	@mv $@.tmp $@

$(B)/obj/%.o: %.c Makefile | $(SKEL)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(CSTD) $(DEFINES) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(WARNINGS) -MMD -MP -c $< -o $@

# -MMD leaves the skeleton out, since it comes in as a system header.
$(B)/obj/user/hash/tap_engine.o $(B)/san/user/hash/tap_engine.o: $(SKEL)

$(B)/s3-ktls: $(OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(LINKING) $(LDFLAGS) $(OBJ) $(LDLIBS) -o $@

install: $(B)/s3-ktls ## install to $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(B)/s3-ktls $(DESTDIR)$(PREFIX)/bin/s3-ktls
	install -D -m 0644 README.md $(DESTDIR)$(PREFIX)/share/doc/s3-ktls/README.md
	install -D -m 0644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/s3-ktls/LICENSE

clean: ## remove build/
	rm -rf $(B)

# --- demo and tests ----------------------------------------------------------------------------

demo: ## set up, build, upload 64 MiB into a real Ceph RGW, compare four digests
	tools/setup.sh build test ceph
	$(MAKE) --no-print-directory all
	tools/demo.sh

test: ## set up, build, run all tests
	tools/setup.sh build test ceph swift vm-bookworm vm-trixie vm-sid vm-rt
	$(MAKE) --no-print-directory test-unit test-fuzz-seeds test-bpf \
	    test-integration test-vm

$(B)/san/%.o: %.c Makefile | $(SKEL)
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(CSTD) $(DEFINES) $(CPPFLAGS) -O1 -g $(SAN) $(WARNINGS) -MMD -MP -c $< -o $@

$(UNIT_TESTS): $(B)/tests/%: $(B)/san/tests/unit/%.o $(UNIT_KIT) $(SAN_OBJ)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $^ -lcmocka $(LDLIBS) -o $@

$(ALLOC_TESTS): $(B)/tests/%: $(B)/san/tests/alloc/%.o $(B)/san/tests/alloc/alloc_fail.o \
                $(UNIT_KIT) $(SAN_OBJ)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $^ -lcmocka $(LDLIBS) -o $@

$(BPF_TESTS): $(B)/tests/%: $(B)/san/tests/bpf/%.o $(SAN_OBJ)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $^ -lcmocka $(LDLIBS) -o $@

$(B)/soak: $(SOAK_OBJ) $(filter-out %/main.o,$(OBJ))
	$(say) LINK $@
	$(Q)$(CC) $(LINKING) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/tests/sigv4_cases.txt: tests/unit/sigv4_cases.py
	@mkdir -p $(@D)
	$(PYTHON) $< > $@.tmp
	@mv $@.tmp $@

unit-tests: $(UNIT_TESTS) $(ALLOC_TESTS) $(B)/tests/sigv4_cases.txt
bpf-tests: $(BPF_TESTS)

test-unit: unit-tests ## unit tests (cmocka, ASan and UBSan)
	@SIGV4_CASES=$(B)/tests/sigv4_cases.txt tools/run-tests.sh $(UNIT_TESTS) $(ALLOC_TESTS)

$(B)/fuzz/%.o: %.c Makefile | $(B)/.deps
	@mkdir -p $(@D)
	$(say) FUZZ $@
	$(Q)$(CLANG) $(CSTD) $(DEFINES) $(CPPFLAGS) -O1 -g -fsanitize=fuzzer-no-link,$(FUZZ_SAN) \
	    $(WARNINGS) -MMD -MP -c $< -o $@

$(FUZZERS): $(B)/fuzz/%: $(B)/fuzz/tests/fuzz/%.o $(FUZZ_OBJ)
	$(say) LINK $@
	$(Q)$(CLANG) -fsanitize=fuzzer,$(FUZZ_SAN) $^ -lcrypto -lexpat -lcap -o $@

fuzzers: $(FUZZERS)

fuzz: fuzzers ## libFuzzer on all that reads foreign bytes, SECONDS=60 for each target
	@tools/run-fuzz.sh $(B)/fuzz $(SECONDS) $(FUZZ_NAMES)

test-fuzz-seeds: fuzzers ## the fuzz targets on their seeds and earlier findings only
	@tools/run-fuzz.sh $(B)/fuzz 0 $(FUZZ_NAMES)

test-bpf: bpf-tests ## the BPF program, loaded and run on this kernel (root)
	@tools/run-tests.sh $(BPF_TESTS)

test-integration: all ## this machine against Ceph RGW and OpenStack Swift (root)
	PYTHON=$(PYTHON) tools/run-pytest.sh tests/rig tests/integration

test-vm: all bpf-tests ## Debian's kernels with kTLS in VMs against both servers (root)
	PYTHON=$(PYTHON) tools/run-vm-tests.sh

mutants: ## break a copy of the tree in many ways; the tests have to notice each (root; ONLY=name)
	$(PYTHON) tests/mutants/run.py $(if $(ONLY),"$(ONLY)")

# SECONDS is the time of the whole run; bash knows another variable of that name.
soak: SECONDS := 300
soak: $(B)/soak ## taps under attack (root); SECONDS=300 or TRANSFERS=, SEED=, KERNELS="sid": in VMs
	tools/soak.sh "$(KERNELS)" $(if $(TRANSFERS),--transfers $(TRANSFERS),--seconds $(SECONDS)) \
	    $(if $(SEED),--seed $(SEED))

# --- checks ------------------------------------------------------------------------------------

C_FILES := $(sort $(shell find user include bpf tests -name '*.[ch]'))

check: check-format check-layers check-shell check-tidy check-cppcheck ## format, layering, shellcheck, clang-tidy, cppcheck

check-format:
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

check-shell:
	shellcheck -x tools/*.sh tools/guest-init .ci/run

check-layers: $(SKEL)
	tools/check-layers.sh

TIDIED := $(SRC:%=$(B)/tidy/%.ok)
$(B)/tidy/%.ok: % .clang-tidy $(filter %.h,$(C_FILES)) | $(SKEL)
	@mkdir -p $(@D)
	$(say) TIDY $<
	$(Q)$(CLANG_TIDY) --quiet --warnings-as-errors='*' $< -- $(CSTD) $(DEFINES) 2>&1 | \
	    { grep -vE 'warnings? generated' || true; }; exit $${PIPESTATUS[0]}
	@touch $@
check-tidy: $(TIDIED)

check-cppcheck: $(SKEL)
	$(say) CHECK cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr --suppress=missingIncludeSystem $(DEFINES) $(SRC)

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help install clean demo test unit-tests bpf-tests test-unit test-bpf \
        test-integration test-vm mutants soak fuzzers fuzz test-fuzz-seeds check check-format \
        check-layers check-shell check-tidy check-cppcheck

-include $(OBJ:.o=.d) $(SOAK_OBJ:.o=.d) $(SAN_OBJ:.o=.d) $(wildcard $(B)/san/tests/*/*.d) \
         $(FUZZ_OBJ:.o=.d) $(wildcard $(B)/fuzz/tests/fuzz/*.d)
