# The commands of this repository. `make demo` and `make test` set up all they need.

CARGO ?= cargo

.PHONY: demo test check proto

## Builds everything, faster than a release is built, and plays the guide of the api-token engine for
## real.
demo:
	@echo "Compiling Strongroom, its engines and the example service. The first time takes some minutes."
	$(CARGO) build --profile demo --locked
	examples/demo/demo.sh "$${CARGO_TARGET_DIR:-target}/demo"

## Runs all tests. Those that need Go, Python or Node are skipped by name where there is none.
test:
	$(CARGO) test --workspace --all-features --locked

## Formatting, lints and documentation, as CI checks them.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps --locked

## Generates the code of the plug-in wire again, after a change of its .proto files.
proto:
	$(CARGO) run --locked -p strongroom-plugin-protocol --example generate
