# `make help` lists the targets. The work is done by scripts/, which need no make.
GLASSBOX_PRESET ?= release
export GLASSBOX_PRESET
glassbox := build/$(GLASSBOX_PRESET)/glassbox
sources = $$(git ls-files -co --exclude-standard '*.cpp' '*.h')

.DEFAULT_GOAL := build
.PHONY: run test build test-verbose shaders validate bench screenshots format format-check deps clean help

run: ## build and start Glassbox: make run ARGS='-m PATH'
	@scripts/run $(ARGS)

test: ## build and run every test: make test ARGS='-R model'
	@scripts/test $(ARGS)

build: ## leave build/release/glassbox (GLASSBOX_PRESET=debug or headless: there)
	@scripts/build glassbox

test-verbose: ## the tests with all they print
	@scripts/test --verbose $(ARGS)

shaders: build ## compile every generated shader on the present driver
	@$(glassbox) kernels compile

validate: build ## check every kernel against float64 on random inputs
	@$(glassbox) kernels test

bench: ## fused against composed kernels, mapped against copied buffers
	@scripts/build kernel_bench && build/$(GLASSBOX_PRESET)/tests/kernel_bench $(ARGS)

screenshots: ## pictures of every panel into docs/screenshots
	@scripts/deps xvfb libxtst-dev
	@scripts/build && GLASSBOX_SCREENSHOTS=docs/screenshots build/$(GLASSBOX_PRESET)/tests/ui_tests --gtest_filter='Screenshots*'

format: ## clang-format over the sources
	@scripts/deps clang-format git
	@files="$(sources)" && clang-format -i $$files

format-check: ## say which lines clang-format would change
	@scripts/deps clang-format git
	@files="$(sources)" && clang-format --dry-run --Werror $$files

deps: ## install the Debian packages that are missing
	@scripts/deps

clean: ## remove build/
	@rm -rf build

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
