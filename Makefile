# The one door: every command of the project.

.PHONY: run test lint

run: ## PostGIS, the address service and the gateway, with the sample data; Ctrl-C stops everything
	@bash scripts/run.sh

test: ## every test of the workspace, against a private PostgreSQL
	@bash scripts/test.sh

lint: ## formatting, clippy, file lengths
	@bash scripts/packages.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
