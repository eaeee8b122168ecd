#!/bin/bash
# `make soak`: full rate for SOAK_SECONDS (1800). Samples in build/bench/soak.csv; fails on growth, a drop or a residue.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bench
ninja -C native/build bench_programs > build/ninja-bench.log
bin/tapline bench soak --seconds "${SOAK_SECONDS:-1800}" --csv build/bench/soak.csv "$@"
# A cluster up and down, 20 times: nothing of it may stay.
node test/e2e/cluster-soak.ts
