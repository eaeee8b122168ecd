#!/bin/bash
# `make bench`: every figure of docs/measurements.md. Tables on stdout; CSV and chart in build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bench
bin/tapline bench replay --against all --csv build/bench/replay.csv --svg build/bench/replay.svg "$@"
bin/tapline bench micro

echo
if [[ $(id -u) -eq 0 ]]; then
  ninja -C native/build bench_programs >build/ninja-bench.log
  bin/tapline bench capture --against all --csv build/bench/capture.csv --svg build/bench/capture.svg
  bin/tapline bench capture --full-rate
  bin/tapline bench capture --memory
  bin/tapline bench capture --ablation
  bin/tapline bench relay --against all --csv build/bench/relay.csv
else
  echo "Live capture and relay: not measured. It makes network namespaces, and needs root."
fi

echo; echo "Pacing: the capture's own gaps, and a fixed rate (promised: p99 under 1 ms; within 1 %)."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bin/tapline pcap generate --packets 300k --flows 3k --pps 100k --output "$scratch/paced.pcap" > /dev/null
for mode in "original" "speed --speed 2" "fixed --pps 150000"; do
  # shellcheck disable=SC2086
  bin/tapline analyze "$scratch/paced.pcap" "$scratch/paced.db" --mode $mode | grep -E '^(engine|pacing)'
done

echo; echo "API: 1,000 flows out of 1 M by filter and order, while another process writes (promised: p99 under 50 ms)."
node api/flows.bench.ts --rounds 20
