#!/bin/bash
# `make run`: a capture with known loss, analyzed and compared with the truth; the same live, on a wire of its own; the
# results served until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=build/run
mkdir -p $dir
rm -f $dir/*.db*

echo "== 1. A capture whose losses are known: $dir/made.pcap"
bin/tapline pcap generate --protocol mixed --packets 200k --flows 5k --seed 1 --loss 2% --reorder 2% --duplicate 0.5% \
  --rekey 500 --ipv6 --vlan --output $dir/made.pcap --truth $dir/made.truth.json
echo
echo "== 2. What the analyzer finds in it, beside the truth: $dir/results.db"
bin/tapline analyze $dir/made.pcap $dir/results.db --truth $dir/made.truth.json
echo
echo "== 3. The same on a live wire: a veth pair between two network namespaces, 5 s of MACsec with 0.1 % left out"
house/live-wire.sh $dir/live.db
echo
echo "== 4. The first result over HTTP, until Ctrl-C"
exec bin/tapline serve --db $dir/results.db --port "${PORT:-3001}"
