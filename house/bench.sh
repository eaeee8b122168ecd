#!/bin/bash
# `make bench`: every figure of docs/measurements.md. Tables on stdout; CSV and chart in build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bench
bin/tapline bench replay --against all --csv build/bench/replay.csv --svg build/bench/replay.svg "$@"
bin/tapline bench micro
