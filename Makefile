# The one door: every command of the project. `make` alone lists them.

.PHONY: help run run-cluster test lint docs build profile clean accuracy conformance bench-queries bench-hits bench-memory load deploy-check

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

run: ## PostGIS, the address service and the gateway, with the sample data; Ctrl-C stops everything
	@bash scripts/run.sh

run-cluster: ## the same with two gateways that share a Redis Cluster of six nodes
	@bash scripts/run.sh cluster

test: ## every test of the workspace, against a private PostgreSQL
	@bash scripts/test.sh

lint: ## formatting, clippy, file lengths, layers, shell scripts, config.yaml
	@bash scripts/lint.sh

docs: ## the pages of docs/ that the program makes: settings, metrics, schema
	@bash scripts/docs.sh

build: ## the programs for production, in target/release
	@bash scripts/release.sh

profile: ## what the compiler is told about the gateway at work, anew: after a change of Cargo.lock or of the compiler
	@bash scripts/release.sh profile

clean: ## stops the private PostgreSQL and deletes .run/ and target/
	@bash scripts/postgres.sh remove .run/postgres
	rm -rf .run target

accuracy: ## how well the service finds what people write; ACCURACY_SAMPLE=2000 for a quick look
	@bash scripts/accuracy.sh

conformance: ## the public HTTP cache suite against the gateway, beside the scores that others have published
	@bash scripts/conformance.sh

load: ## SCENARIO=name puts the gateway under load or breaks what it needs, and prints numbers beside their bars; alone it lists
	@bash scripts/load.sh $(SCENARIO)

bench-queries: ## how long the address service takes per question, on a million addresses
	@bash scripts/bench-queries.sh

bench-hits: ## what a hit, a miss and a hit in Redis cost, beside nginx, Varnish, HAProxy and a bare epoll loop
	@bash scripts/bench-hits.sh

bench-memory: ## how much memory the gateway takes after a million distinct keys
	@bash scripts/bench-memory.sh

deploy-check: ## the files of deploy/: alert rules, units, roles of PostgreSQL, Redis as cluster and behind Sentinel
	@bash scripts/deploy-check.sh
