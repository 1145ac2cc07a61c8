.DEFAULT_GOAL := help
.PHONY: help demo up down build deploy deploy-built bundle unbundle validate check style scan collect test test-runtimes test-browser unit iam reliability simulate bench fuzz lock clean

# Python may keep what it compiled, whatever the machine's setting: what is installed here comes without.
export PYTHONDONTWRITEBYTECODE :=

default_of = $(shell sed -n '/^  $(1):/,/Default:/s/^ *Default: *//p' template.yaml)
RUNTIME ?= $(call default_of,PythonRuntime)
ARCH ?= $(call default_of,Architecture)
export PARAMETERS ?=
SECONDS ?= 60
# More than there are usually processors, since the long ones, which come first, wait for most of their time.
SIDE_BY_SIDE := --numprocesses 4 --no-loadscope-reorder
TESTS ?= tests
RUNTIMES ?=
ALLOW_MISSING ?=
SEEDS ?= 2000

LOCAL := .venv/.local
DEV := .venv/.dev
EMULATOR := .local/emulator/.ready
BARE := .local/runtime/.ready
BENCH := .local/bench/.ready
SCAN := .local/scan/.ready
AWS := .local/awscli/.ready
FUZZ := .local/fuzz/.ready
UV := .local/uv/.ready

DEPLOY = .venv/bin/python -m local.deploy --runtime $(RUNTIME) --architecture $(ARCH)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: ## Show all of it on this machine: no AWS account, no Docker, no configuration
	@$(MAKE) -s -j2 $(LOCAL) $(EMULATOR)
	@.venv/bin/python -m local.demo

up: ## Start the same stack and leave it running
	@$(MAKE) -s -j2 $(LOCAL) $(EMULATOR)
	@.venv/bin/python -m local.stack.up

down: ## Stop what `make up` started
	@.venv/bin/python -m local.stack.up --stop

build: $(LOCAL) ## Build for AWS and compile: RUNTIME=python3.13 ARCH=arm64
	@.venv/bin/python -m local.build --runtime $(RUNTIME) --architecture $(ARCH)

deploy: build ## Build and deploy to AWS: PARAMETERS="DryRun=true MaxPostsPerHour=6"
	@$(DEPLOY)

deploy-built: $(LOCAL) ## Deploy to AWS what was built, and build nothing: PARAMETERS, RUNTIME and ARCH as above
	@$(DEPLOY)

bundle: build ## Build into one file, build.tar, to deploy it elsewhere
	@.venv/bin/python -m local.bundle pack

unbundle: $(LOCAL) ## Unpack build.tar for `make deploy-built`, if its digest is SHA256
	@.venv/bin/python -m local.bundle unpack

validate: $(LOCAL) ## Check the template
	@AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 .venv/bin/sam validate --lint

check: $(DEV) ## Check the code and the template without running them
	@$(MAKE) -s -j2 validate style scan

style:
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/mypy layers/relay/relay functions/post_messages local verification cli
	@.venv/bin/mypy functions/drain_leftovers
	@.venv/bin/mypy functions/fetch_backups

scan: $(SCAN)
	@$(dir $(SCAN))bin/bandit --quiet --recursive layers/relay/relay functions cli
	@$(dir $(SCAN))bin/bandit --quiet --recursive --configfile pyproject.toml local verification
	@said=$$($(dir $(SCAN))bin/checkov --config-file .checkov.yaml --file template.yaml) || { echo "$$said"; exit 1; }
	@.venv/bin/python -m local.audit

# Pytest compiles the tests once, and not in each of its processes at the same time.
collect: $(DEV)
	@.venv/bin/python -m pytest --collect-only $(TESTS) > .local/tests

unit: $(DEV) ## Run the tests that need no emulator
	@.venv/bin/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/integration tests/stand_ins tests/project tests/verification

test: ## Run every check and every test, on the Python that is deployed if it is here
	@$(MAKE) -s -j2 $(DEV) $(EMULATOR) $(BARE) $(SCAN) $(AWS)
	@$(MAKE) -s -j2 check collect
	@.venv/bin/python -m pytest $(SIDE_BY_SIDE) $(TESTS); failed=$$?; .venv/bin/python -m local.runtimes --used; exit $$failed

test-runtimes: $(DEV) ## Run the tests that need no emulator on each Python that may be deployed: RUNTIMES="python3.12"
	@.venv/bin/python -m local.runtimes $(if $(filter 1,$(ALLOW_MISSING)),--allow-missing) $(RUNTIMES)

test-browser: ## Try the dashboard in a browser (chromium; root's apt-get installs it)
	@$(MAKE) -s -j2 $(DEV) $(EMULATOR)
	@.venv/bin/python -m pytest tests/browser

iam: ## Take each permission away in turn, and see what fails without it
	@$(MAKE) -s -j2 $(LOCAL) $(EMULATOR)
	@.venv/bin/python -m verification.reliability.iam

reliability: ## Put every promise to the test at length; writes docs/reliability.md
	@$(MAKE) -s -j2 $(DEV) $(EMULATOR)
	@PYTHONPATH=layers/relay .venv/bin/python -m verification.reliability

simulate: $(DEV) ## Live through many days in simulated time: SEEDS=2000, or SEED=17 for one with its trace
	@PYTHONPATH=layers/relay .venv/bin/python -m verification.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

bench: ## Measure speed and memory beside other ways; writes docs/benchmarks.md
	@$(MAKE) -s -j2 $(DEV) $(EMULATOR) $(BARE) $(BENCH)
	@.venv/bin/python -m verification.benchmarks

fuzz: ## Look for input that breaks what must hold: SECONDS=60 (x86-64 Linux, CPython 3.11 to 3.13)
	@$(MAKE) -s $(FUZZ)
	@PYTHONPATH=layers/relay $(dir $(FUZZ))bin/python -m verification.fuzz --seconds $(SECONDS)

lock: $(UV) ## Pin all requirements anew
	@sh requirements/lock.sh

clean: ## Remove everything that was made here
	rm -rf .venv .local .aws-sam build.tar .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The Python to work with, written anew only when it is another one: then every environment is made anew, too.
.local/python: FORCE
	@mkdir -p $(@D)
	@python=$$(sh local/find_python.sh) && { echo "$$python"; "$$python" -VV; } > $@.$$$$ && \
		if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

FORCE:

# What installs the others; without it, pip does.
$(UV): requirements/uv.txt .local/python
	@sh local/environment.sh $(@D) $< || echo "pip cannot install uv, and will install the rest, which takes longer."
	@touch $@

$(LOCAL): requirements/local.txt .local/python $(UV)
	@sh local/environment.sh .venv $<
	@touch $@

$(DEV): requirements/dev.txt $(LOCAL)
	@sh local/environment.sh .venv $<
	@touch $@

.local/%/.ready: requirements/%.txt .local/python $(UV)
	@sh local/environment.sh $(@D) $<
	@touch $@
