#!/usr/bin/env bash
# The programs for production, in target/release, compiled by a profile of the gateway at work.
# `release.sh profile` makes that profile anew, benches/profile/COMPILER.profdata: it fits one compiler and one Cargo.lock.
# Why: docs/decisions/0015-builds-know-what-is-hot.md.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
compiler=$(rustc -vV)
field() { sed -n "s/^$1: //p" <<<"$compiler"; }
profile=benches/profile/$(field release)-$(field host).profdata
build() { # FLAG WHAT: always with the features of the whole workspace, or the profile would be one of other crates
  cargo build --release --workspace "$2" --config "build.rustflags = ['$1']"
}

case ${1:-build} in
build)
  bash scripts/packages.sh build
  if [ ! -f "$profile" ]; then
    echo "benches/profile has nothing for $(field release): the gateway will need more processor time; see make profile" >&2
    exec cargo build --release --workspace --bins
  fi
  # By its content, since cargo does not look into it.
  copy=$target/$(sha256sum "$profile" | cut -c1-16).profdata
  mkdir -p "$target"
  cp "$profile" "$copy"
  build "-Cprofile-use=$copy" --bins
  ;;
profile)
  bash scripts/packages.sh build bench profile
  tool=$(rustc --print target-libdir)/../bin/llvm-profdata
  major=$(field "LLVM version")
  [ -x "$tool" ] || tool=llvm-profdata-${major%%.*}
  counting=$target/counting
  rm -rf "$counting/counts"
  # Programs that run while others are built count as well.
  CARGO_TARGET_DIR=$counting build "-Cprofile-generate=$counting/aside" --bin=addrgate
  ADDRGATE=$counting/release/addrgate LLVM_PROFILE_FILE=$counting/counts/%p.profraw \
    cargo bench --quiet --profile dev --bench hits -- train
  mkdir -p "${profile%/*}"
  "$tool" merge --sparse -o "$profile" "$counting"/counts/*.profraw
  ls -l "$profile"
  ;;
*) echo "usage: release.sh [profile]" >&2; exit 64 ;;
esac
