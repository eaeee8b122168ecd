#!/bin/bash
# live-wire.sh DATABASE: captures on one end of a veth pair while numbered traffic comes in from the other, and shows what was
# sent beside what was seen. Both ends lie in network namespaces of their own, which go with this script.
set -euo pipefail
cd "$(dirname "$0")/.."
database=$1
name=tapline-$$
sender=$name-tx receiver=$name-rx
can() { [[ $(id -u) -eq 0 ]] && ip netns add "$sender" 2>/dev/null; }
if ! can; then
  echo "left out: it needs root and the right to make network namespaces"
  exit 0
fi
trap 'ip netns del "$sender"; ip netns del "$receiver" 2>/dev/null || true' EXIT
ip netns add "$receiver"
ip link add near netns "$sender" type veth peer name far netns "$receiver"
for end in "$sender near" "$receiver far"; do
  read -r namespace link <<<"$end"
  # Every frame on the wire is ours.
  ip netns exec "$namespace" sysctl -qw "net.ipv6.conf.$link.disable_ipv6=1"
  ip netns exec "$namespace" ip link set "$link" up
done

ip netns exec "$receiver" bin/tapline analyze far "$database" --duration 8s &
capture=$!
sleep 2
sent=$(ip netns exec "$sender" native/build/wire_sender near --seconds 5 --flows 2000 --loss 0.001 --pps 200000)
wait "$capture"
echo
echo "the sender's own count: $(sed -E 's/[{}"]//g; s/,/, /g; s/:/ /g' <<<"$sent")"
