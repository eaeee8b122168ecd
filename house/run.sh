#!/bin/bash
# `make run`: a capture with known loss, analyzed, compared with the truth, served until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=build/run
mkdir -p $dir
rm -f $dir/results.db*

echo "== 1. A capture whose losses are known: $dir/made.pcap"
bin/tapline pcap generate --protocol mixed --packets 200k --flows 5k --seed 1 --loss 2% --reorder 2% --duplicate 0.5% \
  --rekey 500 --ipv6 --vlan --output $dir/made.pcap --truth $dir/made.truth.json
echo
echo "== 2. What the analyzer finds in it, beside the truth: $dir/results.db"
bin/tapline analyze $dir/made.pcap $dir/results.db --truth $dir/made.truth.json
echo
echo "== 3. The result over HTTP, until Ctrl-C"
exec bin/tapline serve --db $dir/results.db --port "${PORT:-3001}"
