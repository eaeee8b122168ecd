// The alerts. Enters: the names of domain/metrics.ts. Leaves: groups as Prometheus reads them, for charts/tapline/files/alerts.yaml.
// Each says where packets are lost, or that nobody would know: nothing that heals by itself within minutes.
import { of } from "./metric-names.ts";

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: "warning" | "critical" };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const alert = (
  name: string,
  severity: "warning" | "critical",
  expr: string,
  lasts: string,
  summary: string,
  description: string,
): Alert => ({
  alert: `Tapline${name}`,
  expr,
  for: lasts,
  labels: { severity },
  annotations: { summary, description },
});

const onNode = "{{ $labels.node }}";

export const alertGroups = [
  {
    name: "tapline.loss",
    rules: [
      alert(
        "PacketsLost",
        "warning",
        `sum by (node, protocol) (increase(${of("tapline_sensor_lost_packets_total", 'suspect="false"')}[5m])) > 0`,
        "5m",
        `Packets of {{ $labels.protocol }} get lost on the way to ${onNode}`,
        "Numbers that never came, and not while the sensor itself was blind: the network or the sender lost them. kubectl get fleetnodes shows the node; tapline gaps, which flows and when.",
      ),
      alert(
        "HopLost",
        "critical",
        `sum by (node) (increase(${of("tapline_relay_hop_packets_total", 'outcome="lost"')}[5m])) > 0`,
        "2m",
        `Relayed packets get lost on a tunnel to ${onNode}`,
        "Compare with what the hop before dropped after numbering them: kubectl describe relayrule names the segment.",
      ),
      alert(
        "RelayDropping",
        "critical",
        `sum by (node, reason) (rate(${of("tapline_relay_dropped_packets_total")}[5m])) > 0`,
        "5m",
        `The relay on ${onNode} drops packets: {{ $labels.reason }}`,
        "Outputs wanted to send them and did not. tapline rules stats on the node shows which; the reason says what to mend.",
      ),
    ],
  },
  {
    name: "tapline.operator",
    rules: [
      alert(
        "NoLeader",
        "critical",
        `sum(${of("tapline_operator_leader")}) < 1 or absent(${of("tapline_operator_leader")})`,
        "2m",
        "No operator leads",
        "Capturing and forwarding go on; rules do not change, and statuses are old. Is an operator ready? kubectl get lease, and its log.",
      ),
      alert(
        "ReconcileFailing",
        "warning",
        `sum by (controller) (rate(${of("tapline_operator_reconciles_total", 'outcome=~"failed|overdue"')}[10m])) > 0`,
        "15m",
        "The operator's {{ $labels.controller }} fails again and again",
        "What is asked for is not done. The object's conditions and events say which and why; else the operator's log.",
      ),
    ],
  },
  {
    name: "tapline.sensors",
    rules: [
      alert(
        "SensorDropping",
        "warning",
        `sum by (node, interface) (rate(${of("tapline_sensor_ring_dropped_packets_total")}[5m])) > 0`,
        "10m",
        `The sensor on ${onNode} does not keep up with {{ $labels.interface }}`,
        "Its rings were full. Gaps of that time are suspect, not the network's. More threads, larger rings, or CPUs of its own: SensorPool.spec.capture and .pinning.",
      ),
      alert(
        "NotReporting",
        "warning",
        `${of("tapline_bus_connected")} == 0`,
        "10m",
        `An agent on ${onNode} has no connection to NATS`,
        "Capturing and forwarding go on; the fleet's view of this node is old. Is NATS up, and does a network policy admit the node's address?",
      ),
      alert(
        "ConditionHolds",
        "warning",
        `sum by (node) (${of("tapline_sensor_conditions", 'severity=~"error|critical"')} or ${of("tapline_relay_conditions", 'severity=~"error|critical"')}) > 0`,
        "10m",
        `Something is wrong with an agent on ${onNode}`,
        "Its log, and FleetNode.status, name the condition with its remedy.",
      ),
    ],
  },
] as const;
