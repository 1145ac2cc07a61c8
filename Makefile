.DEFAULT_GOAL := help
.PHONY: help demo up down build deploy deploy-built bundle unbundle validate check style scan collect test \
        test-runtimes test-second-emulator test-browser test-shells unit iam reliability simulate bench fuzz lock clean

# Two targets at a time. What the recipes start gets no flags of this make.
MAKEFLAGS += -j2
unexport MAKEFLAGS

# Environments are installed without bytecode: let Python write it, even if the machine's settings say otherwise.
export PYTHONDONTWRITEBYTECODE :=

default_of = $(shell sed -n '/^  $(1):/,/Default:/s/^ *Default: *//p' template.yaml)
RUNTIME ?= $(call default_of,PythonRuntime)
ARCH ?= $(call default_of,Architecture)
export PARAMETERS ?=
SECONDS ?= 60
# More processes than most machines have processors: the longest tests, which start first, mostly wait.
PARALLEL := --numprocesses 4 --no-loadscope-reorder
TESTS ?= tests
FAST_TESTS := tests/unit tests/integration tests/stand_ins tests/project tests/verification
SCREENSHOTS ?= .local/screenshots
RUNTIMES ?=
ALLOW_MISSING ?=
SEEDS ?= 2000
SECOND_TESTS := tests/e2e/runtime tests/integration/posting tests/integration tests/unit/backups

# An environment is ready when this file is newer than its requirements. LOCAL and DEV are both in .venv.
LOCAL := .venv/.local
DEV := .venv/.dev
ready = $(1:%=.local/%/.ready)
INSTALL = @sh local/environment.sh $(@D) $< && touch $@

DEPLOY = .venv/bin/python -m local.deploy --runtime $(RUNTIME) --architecture $(ARCH)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

demo: $(LOCAL) $(call ready,emulator) ## Show everything on this machine: no AWS account, Docker or configuration needed
	@.venv/bin/python -m local.demo

up: $(LOCAL) $(call ready,emulator) ## Start the same stack and leave it running
	@.venv/bin/python -m local.stack.up

down: ## Stop what `make up` started
	@.venv/bin/python -m local.stack.up --stop

build: $(LOCAL) ## Build for AWS and compile: RUNTIME=python3.13 ARCH=arm64
	@.venv/bin/python -m local.build --runtime $(RUNTIME) --architecture $(ARCH)

deploy: build ## Build and deploy to AWS: PARAMETERS="DryRun=true MaxPostsPerHour=6"
	@$(DEPLOY)

deploy-built: $(LOCAL) ## Deploy the last build to AWS without building again: PARAMETERS, RUNTIME and ARCH as above
	@$(DEPLOY)

bundle: build ## Build into one file, build.tar, to deploy it from another machine
	@.venv/bin/python -m local.bundle pack

unbundle: $(LOCAL) ## Unpack build.tar for `make deploy-built`, if its digest is SHA256
	@.venv/bin/python -m local.bundle unpack

validate: $(DEV) ## Check the template
	@AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 .venv/bin/sam validate --lint
	@.venv/bin/python -m local.transformed

check: validate style scan ## Check the code and the template without running them

style: $(DEV)
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/mypy layers/relay/relay functions/post_messages local verification cli
	@.venv/bin/mypy functions/drain_leftovers
	@.venv/bin/mypy functions/fetch_backups
	@.venv/bin/mypy functions/receive_alerts
	@.venv/bin/mypy functions/send_notices

scan: $(DEV) $(call ready,scan)
	@.local/scan/bin/bandit --quiet --recursive layers/relay/relay functions cli
	@.local/scan/bin/bandit --quiet --recursive --configfile pyproject.toml local verification
	@found=$$(.local/scan/bin/checkov --config-file .checkov.yaml --file template.yaml) || { echo "$$found"; exit 1; }
	@.venv/bin/python -m local.policies
	@.venv/bin/python -m local.audit

# Compiles the tests once, rather than in several processes of pytest at the same time.
collect: $(DEV)
	@.venv/bin/python -m pytest --collect-only $(TESTS) > .local/tests

unit: $(DEV) ## Run the tests that need no emulator
	@.venv/bin/python -m pytest $(PARALLEL) $(FAST_TESTS)

test: check collect $(call ready,emulator runtime awscli) ## Run all checks and tests, on the deployed Python if present
	@.venv/bin/python -m pytest $(PARALLEL) $(TESTS); failed=$$?; .venv/bin/python -m local.runtimes --used; exit $$failed

test-runtimes: $(DEV) ## Run the tests that need no emulator on each supported Python: RUNTIMES="python3.12"
	@.venv/bin/python -m local.runtimes $(if $(filter 1,$(ALLOW_MISSING)),--allow-missing) $(RUNTIMES)

test-second-emulator: $(DEV) $(call ready,runtime second-emulator) ## Run tests against LocalEmu as AWS (needs Python 3.12 or later)
	@if [ -x .local/second-emulator/bin/python ]; then \
		.venv/bin/python -m pytest --numprocesses 3 --no-loadscope-reorder --maxfail 20 --aws localemu $(SECOND_TESTS); \
	else \
		echo "Nothing was tested against the second emulator."; \
	fi

test-browser: $(DEV) $(call ready,emulator) ## Test the dashboard in a browser (Chromium; apt-get installs it for root)
	@SCREENSHOTS=$(SCREENSHOTS) .venv/bin/python -m pytest tests/browser

test-shells: $(DEV) ## Test the completion in bash, zsh and fish (apt-get installs them for root)
	@sh local/shells.sh && .venv/bin/python -m pytest tests/shells

iam: $(LOCAL) $(call ready,emulator) ## Remove each permission in turn and report what fails without it
	@PYTHONPATH=layers/relay .venv/bin/python -m verification.reliability.iam

reliability: $(DEV) $(call ready,emulator) ## Test every guarantee at length; writes docs/reliability.md
	@PYTHONPATH=layers/relay .venv/bin/python -m verification.reliability

simulate: $(DEV) ## Run many simulated days: SEEDS=2000, or SEED=17 for one with its trace
	@PYTHONPATH=layers/relay .venv/bin/python -m verification.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

bench: $(DEV) $(call ready,emulator runtime bench) ## Compare speed and memory; writes docs/benchmarks.md
	@.venv/bin/python -m verification.benchmarks

fuzz: $(call ready,fuzz) ## Search for inputs that break an invariant: SECONDS=60 (x86-64 Linux, CPython 3.11 to 3.13)
	@PYTHONPATH=layers/relay .local/fuzz/bin/python -m verification.fuzz --seconds $(SECONDS)

lock: $(call ready,uv) ## Update all pinned requirements
	@sh requirements/lock.sh

clean: ## Remove everything that make created here
	rm -rf .venv .local .aws-sam build.tar .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The Python to use, rewritten only when it changes: then every environment is made again.
.local/python: FORCE
	@mkdir -p $(@D)
	@python=$$(sh local/find_python.sh) && { echo "$$python"; "$$python" -VV; } > $@.$$$$ && \
		if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

FORCE:

# uv installs the other environments; without it, pip does.
$(call ready,uv): requirements/uv.txt .local/python
	@sh local/environment.sh $(@D) $< || echo "pip cannot install uv, and will install the rest, which takes longer."
	@touch $@

# LocalEmu needs Python 3.12 or later, whichever Python the others use. Each candidate runs the same LocalEmu.
$(call ready,second-emulator): requirements/second-emulator.txt .local/python $(call ready,uv)
	@if PYTHON=$$(sh local/find_python.sh python3.13 python3.12 python3.14); then \
		export PYTHON && sh local/environment.sh $(@D) $< && touch $@; \
	else \
		[ "$(ALLOW_MISSING)" = 1 ] || { echo "ALLOW_MISSING=1 goes on without the second emulator."; exit 1; }; \
	fi

.local/%/.ready: requirements/%.txt .local/python $(call ready,uv)
	$(INSTALL)

.venv/.%: requirements/%.txt .local/python $(call ready,uv)
	$(INSTALL)

$(DEV): $(LOCAL)
