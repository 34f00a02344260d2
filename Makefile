# meterfold: what people type. The work is done by cargo and by the scripts in .ci/.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-kafka test test-long lint fuzz sbom sizes chart image bench clean
# cargo takes all processors by itself.
.NOTPARALLEL:

# Where rustup puts cargo, for shells that were not told.
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

meterfold := $(CARGO_TARGET_DIR)/release/meterfold
demo_dir := $(CARGO_TARGET_DIR)/demo
demo_kafka_dir := $(CARGO_TARGET_DIR)/demo-kafka
bench_peers := $(abspath $(CARGO_TARGET_DIR))/bench-peers

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## check for the tools that are needed; install what is missing (as root) or say how
	@.ci/setup cargo-deny kafka registry s3 chart image browser

build: ## compile the program
	@.ci/setup
	cargo build --release --locked

demo: ## two months of 40 teams, from events to an invoice
	@.ci/setup
	@cargo build --release --locked
	@.ci/demo $(meterfold) $(demo_dir)

demo-kafka: ## two months of 300 teams through a real Apache Kafka
	@.ci/setup kafka
	@cargo build --release --locked
	@.ci/demo-kafka $(meterfold) $(demo_kafka_dir)

test: ## everything that a change must pass: lint, then all tests
	@.ci/timed setup .ci/setup cargo-deny kafka registry s3 chart image browser
	@.ci/timed lint .ci/lint
	@.ci/timed build cargo test --release --locked --no-run
	@.ci/timed tests cargo test --release --locked --no-fail-fast
	@.ci/timed fuzz .ci/fuzz 3

test-long: export PROPTEST_CASES := 100000
test-long: export KAFKA_CRASH_KILLS := 300
test-long: export KAFKA_ZOMBIE_ROUNDS := 50
test-long: export KAFKA_REBALANCE_SECONDS := 600
test-long: export KAFKA_CLOSE_TEAMS := 100000
test-long: export KAFKA_STATE_FLIPS := 1000
test-long: export WORKER_CRASH_SEEDS := 20000
test-long: test ## the same at length: ten times the worlds, 300 kills, 50 zombies, 100,000 teams

lint: ## form, findings of clippy, dependencies
	@.ci/setup cargo-deny
	@.ci/lint

fuzz: ## a minute of coverage-guided fuzzing for each reader of bytes
	@.ci/setup
	@.ci/fuzz 60

sbom: ## the bill of materials (CycloneDX) of the program, C and C++ libraries included
	@cargo build --release --locked
	@.ci/sbom $(meterfold) >$(CARGO_TARGET_DIR)/meterfold.cdx.json
	@echo $(CARGO_TARGET_DIR)/meterfold.cdx.json

chart: ## check the Helm chart, its alerts and its dashboards
	@.ci/setup chart
	@cargo build --release --locked
	@.ci/chart $(meterfold)

image: ## build the image around the program and look at it
	@.ci/setup image
	@cargo build --release --locked
	@.ci/image $(meterfold)

bench: ## measure; the figures go into the README
	@.ci/setup kafka
	@.ci/bench-peers $(bench_peers)
	DUCKDB_PYTHON=$(bench_peers)/bin/python cargo bench --locked --bench fold --bench decode --bench replay --bench audit --bench scrape
	PIPELINE_PEER=$(bench_peers)/kafka-streams cargo bench --locked --bench pipeline

sizes: ## measure bytes of state, topics and memory; the figures go into docs/operate.md
	@.ci/setup kafka
	@cargo build --release --locked
	@.ci/sizes $(meterfold) $(CARGO_TARGET_DIR)/sizes

clean: ## remove what was built
	cargo clean
