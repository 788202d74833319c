# Every target sets up what it needs. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The project's own tools come first, for sub-processes too: SAM CLI builds with the python3.13 that it finds on PATH. In a lab's
# shell, its `sam` comes before them.
export PATH := $(if $(LAB_BIN),$(LAB_BIN):)$(CURDIR)/.venv/bin:$(CURDIR)/.aws-cli-venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

# uv from PATH, else an own one in .uv, made with nothing but python3 and its venv module.
UV := $(or $(shell command -v uv),.uv/bin/uv)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.uv/bin/uv:
	@python3 -m venv .uv || { echo "python3 has no venv module: install uv (or Debian's python3-venv) and try again" >&2; exit 1; }
	@sed -n '/^uv==/,/[^\]$$/p' requirements-dev.txt >.uv/requirements.txt
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --no-user --prefix .uv --require-hashes --requirement .uv/requirements.txt

# $(call environment,folder,requirements): an environment that holds exactly the hashed requirements, bytecode included.
define environment
@test -x $(1)/bin/python || $(UV) venv --quiet $(1) || { \
	echo "no Python $$(cat .python-version): install it, or let uv download it from GitHub" >&2; exit 1; }
@VIRTUAL_ENV=$(1) $(UV) pip sync --quiet --require-hashes --compile-bytecode $(2)
endef

.venv/.ready: requirements-dev.txt pyproject.toml functions/pyproject.toml | $(filter .uv/bin/uv,$(UV))
	$(call environment,.venv,requirements-dev.txt)
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable functions --editable .
	@touch $@

.build-venv/.ready: requirements-build.txt | $(filter .uv/bin/uv,$(UV))
	$(call environment,.build-venv,requirements-build.txt)
	@touch $@

.release-venv/.ready: requirements-release.txt | $(filter .uv/bin/uv,$(UV))
	$(call environment,.release-venv,requirements-release.txt)
	@touch $@

.aws-cli-venv/.ready: requirements-aws-cli.txt | $(filter .uv/bin/uv,$(UV))
	$(call environment,.aws-cli-venv,requirements-aws-cli.txt)
	@touch $@

.PHONY: setup
setup: .venv/.ready ## Make the project's environment

.PHONY: init
init: .build-venv/.ready ## Start a project of your own (DIR=../products NAME=products)
	@.build-venv/bin/python -m cross_account_project init "$${DIR:?name a new folder: DIR=../products}" "$${NAME-}"

.PHONY: upgrade-project
upgrade-project: .build-venv/.ready ## Merge this version into a project of your own (DIR=../products)
	@.build-venv/bin/python -m cross_account_project upgrade "$${DIR:?name the project: DIR=../products}"

.PHONY: demo
demo: setup ## Deploy both accounts to the local AWS, watch the schedule fire, see who may do what
	@python -m cross_account_lab demo

.PHONY: lab
lab: setup ## Keep the local two-account AWS running, for other terminals (ARGS="--consumers account-b,account-c")
	@python -m cross_account_lab serve $(ARGS)

.PHONY: local
local: setup ## Run an event in the Lambda runtime (EVENT=events/direct-call.json); without one, keep warm containers
	@python -m cross_account_lab local $(EVENT) $(if $(ARGS),-- $(ARGS))

.PHONY: access
access: setup ## Who may call what, decided and proven from the templates; build/access-report.html (ARGS="--profile-a …": as deployed)
	@python -m cross_account_access $(ARGS)

.PHONY: access-diff
access-diff: repository setup ## Who may do more or less than at BASE=<revision> (ARGS="--template PATH"; make ends with 2, for a gain as well)
	@python -m cross_account_access diff $(BASE) $(ARGS)

.PHONY: bench
bench: setup ## Compare speed and size with the alternatives, side by side
	@python -m benchmarks

.PHONY: test
test: setup .aws-cli-venv/.ready ## Run every test that this machine can run, on all cores; the others skip with the reason
	@python -m pytest -n auto $(ARGS)

.PHONY: test-fast
test-fast: setup ## Run the quick tests, about a minute: no lab, no Docker
	@python -m pytest -n auto tests/unit tests/templates -m "not lab and not slow" $(ARGS)

.PHONY: coverage
coverage: ## Run every test and measure the branch coverage, subprocesses included
	@$(MAKE) test ARGS="--cov --cov-report=term --cov-fail-under=95"

# A copy that is not cloned, such as one of `sam init`, has no history.
.PHONY: repository
repository:
	@git rev-parse --verify --quiet HEAD >/dev/null || { \
		echo "this needs a git repository with a commit: git init && git add --all && git commit --message start" >&2; exit 1; }

.PHONY: check
check: repository setup ## Format, lint, types, templates, secrets, workflows: what CI checks before the tests
	@ruff format --check .
	@ruff check .
	@mypy
	@bandit --quiet --recursive --severity-level medium functions cross_account_access cross_account_lab cross_account_project
	@git ls-files -z -- functions cross_account_access cross_account_lab cross_account_project action.yml 'template-*' samconfig.toml Makefile .ci .github \
		| xargs -0 detect-secrets-hook --exclude-lines 'noqa: S10[56]|arn:aws:' --exclude-files 'requirements.*\.txt$$|judge/cases\.json$$'
	@zizmor --offline --quiet .github action.yml
	@cfn-lint template-*.yaml

.PHONY: format
format: setup ## Format the code and apply safe lint fixes
	@ruff format .
	@ruff check --fix .

.PHONY: build
build: setup ## Build both stacks with SAM
	@sam build --config-env account-a
	@sam build --config-env account-b

.PHONY: deploy-a deploy-b
deploy-a deploy-b: deploy-%: setup ## Build and deploy one account's stack; ARGS='--parameter-overrides file://my.yaml' the first time
	@sam build --config-env account-$*
	@sam deploy --config-env account-$* $(value ARGS)

.PHONY: deploy-access
deploy-access: setup ## Deploy rights on an API that exists; ARGS='--stack-name … --parameter-overrides file://my.yaml' the first time
	@sam deploy --config-env access $(value ARGS)

.PHONY: lock
lock: | $(filter .uv/bin/uv,$(UV)) ## Pin, with hashes, the dependencies that are new in pyproject.toml; pinned versions that fit stay
	@$(call compile,dev,requirements-dev.txt,--universal pyproject.toml functions/pyproject.toml --all-extras $(OWN))
	@$(call compile,lab,cross_account_lab/requirements.txt,--universal)
	@$(call compile,aws-cli,requirements-aws-cli.txt,--universal)
	@for group in $(patsubst functions/%/handler.py,%,$(wildcard functions/*/handler.py)); do \
		$(call compile,$$group,functions/$$group/requirements.txt,--constraints requirements-dev.txt); done
	@$(call compile,build,requirements-build.txt,--constraints requirements-dev.txt)
	@$(call compile,action,requirements-access.txt,--universal pyproject.toml --extra access --constraints requirements-dev.txt $(OWN))
	@$(call compile,release,requirements-release.txt,--constraints requirements-dev.txt)
	@$(call compile,project,cross_account_project/files/requirements.txt,--universal pyproject.toml functions/pyproject.toml --all-extras $(OWN) --constraints requirements-dev.txt)
	@$(call compile,deploy,.github/requirements.txt,--constraints requirements-dev.txt)
compile = $(UV) pip compile --quiet $(UPGRADE) --no-header --no-annotate --generate-hashes --python-version 3.13 \
	$(3) --group $(1) --output-file $(2)
OWN := --no-emit-package cross-account-api --no-emit-package cross-account-api-dev

.PHONY: upgrade
upgrade: ## Pin the newest versions of all dependencies
	@$(MAKE) lock UPGRADE=--upgrade

.PHONY: dist
dist: .release-venv/.ready ## Build what a release consists of into dist/
	@rm -rf dist build/sbom
	@cd functions && ../.release-venv/bin/python -m hatchling build --directory ../dist
	@.release-venv/bin/python -m hatchling build --directory dist
	@$(UV) venv --quiet build/sbom && $(UV) pip install --quiet --python build/sbom dist/cross_account_api-*.whl
	@.release-venv/bin/cyclonedx-py environment --pyproject functions/pyproject.toml --output-reproducible \
		--output-file dist/sbom.cdx.json build/sbom
	@cp template-access.yaml dist && cd dist && sha256sum -- * >SHA256SUMS

.PHONY: release-check
release-check: setup ## Try a release: build it, or take DIST=dist; install it in clean environments, compare contents and versions
	@test -n "$${DIST-}" || $(MAKE) dist
	@DIST=$${DIST-dist} python -m pytest tests/lab/wheel $(ARGS)

.PHONY: clean
clean: ## Remove everything that was built or installed here
	@rm -rf .aws-sam .venv .aws-cli-venv .build-venv .release-venv .uv build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
