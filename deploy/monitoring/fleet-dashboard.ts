// The first dashboard: the whole fleet on a screen. Enters: the names of domain/metrics.ts. Leaves: Grafana's JSON, for charts/tapline/files/dashboards.
// From top to bottom as a packet goes: is everybody there, what came in, what was lost before us, by us, by the network, what was relayed.
import { of, perSecond } from "./metric-names.ts";

interface Target {
  readonly expr: string;
  readonly legend: string;
}
const target = (expr: string, legend = ""): Target => ({ expr, legend });

interface Panel {
  readonly title: string;
  readonly description: string;
  readonly type: "stat" | "timeseries";
  readonly unit: "short" | "pps" | "bps" | "s" | "bytes";
  /** of 24 */
  readonly width: number;
  readonly targets: readonly Target[];
}
const stat = (title: string, description: string, unit: Panel["unit"], ...targets: readonly Target[]): Panel => ({ title, description, type: "stat", unit, width: 4, targets }); // biome-ignore format: one line each
const graph = (title: string, description: string, unit: Panel["unit"], ...targets: readonly Target[]): Panel => ({ title, description, type: "timeseries", unit, width: 8, targets }); // biome-ignore format: one line each

const node = 'node=~"$node"';
const lost = `${node}, suspect="false"`;
const shown = "$__range";

const rows: readonly (readonly [title: string, panels: readonly Panel[]])[] = [
  [
    "The fleet",
    [
      stat("Sensors", "Running, as Prometheus sees them", "short", target(`count(${of("tapline_sensor_info")})`)),
      stat("Relays", "Running, as Prometheus sees them", "short", target(`count(${of("tapline_relay_info")})`)),
      stat("Without NATS", "Agents whose figures do not reach the operator", "short", target(`count(${of("tapline_bus_connected")} == 0) or vector(0)`)),
      stat("Lost by the network", "Packets, in the time shown; not those of a time in which a sensor was blind", "short", target(`sum(increase(${of("tapline_sensor_lost_packets_total", lost)}[${shown}]))`)),
      stat("Lost by sensors", "Packets, in the time shown, that a full ring did not take", "short", target(`sum(increase(${of("tapline_sensor_ring_dropped_packets_total", node)}[${shown}]))`)),
      stat("Lost by relays", "Packets, in the time shown, that an output wanted to send and did not", "short", target(`sum(increase(${of("tapline_relay_dropped_packets_total", node)}[${shown}]))`)),
    ],
  ],
  [
    "On the wire",
    [
      graph("Packets seen", "By the kernel, for the rings", "pps", target(`sum by (node) (${perSecond("tapline_sensor_seen_packets_total", node)})`, "{{node}}")),
      graph("Bits", "On the wire, of delivered packets", "bps", target(`8 * sum by (node) (${perSecond("tapline_sensor_bytes_total", node)})`, "{{node}}")),
      graph("Flows", "That have not ended", "short", target(`sum by (node) (${of("tapline_sensor_live_flows", node)})`, "{{node}}")),
    ],
  ],
  [
    "Where packets get lost",
    [
      graph("By the network", "Numbers that never came", "pps", target(`sum by (node, protocol) (${perSecond("tapline_sensor_lost_packets_total", lost)})`, "{{node}} {{protocol}}")),
      graph("By the node", "Before the rings: NIC, driver, the kernel's backlog", "pps", target(`sum by (node, counter) (${perSecond("tapline_sensor_nic_dropped_packets_total", node)})`, "{{node}} {{counter}}"), target(`sum by (node) (${perSecond("tapline_sensor_softnet_dropped_packets_total", node)})`, "{{node}} backlog")),
      graph("By the sensor", "A full ring", "pps", target(`sum by (node, interface) (${perSecond("tapline_sensor_ring_dropped_packets_total", node)})`, "{{node}} {{interface}}")),
      graph("Blind", "Seconds in each second that were not watched, by reason", "s", target(`sum by (node, reason) (${perSecond("tapline_sensor_blind_seconds_total", node)})`, "{{node}} {{reason}}")),
      graph("In no flow", "Could not be decoded, or is of no followed flow", "pps", target(`sum by (reason) (${perSecond("tapline_sensor_undecodable_packets_total", node)})`, "{{reason}}"), target(`sum by (reason) (${perSecond("tapline_sensor_untracked_packets_total", node)})`, "{{reason}}")),
      graph("Residue", "What the ledgers cannot account for; 0 once traffic pauses", "short", target(`sum by (node) (${of("tapline_sensor_ledger_residue", node)})`, "{{node}} sensor"), target(`sum by (node) (${of("tapline_relay_ledger_residue", node)})`, "{{node}} relay")),
    ],
  ],
  [
    "Relays",
    [
      graph("Taken and sent", "By all rules", "pps", target(`sum by (node) (${perSecond("tapline_relay_matched_packets_total", node)})`, "{{node}} taken"), target(`sum by (node) (${perSecond("tapline_relay_sent_packets_total", node)})`, "{{node}} sent")),
      graph("Dropped and refused", "By reason", "pps", target(`sum by (node, reason) (${perSecond("tapline_relay_dropped_packets_total", node)})`, "{{node}} {{reason}}"), target(`sum by (node, reason) (${perSecond("tapline_relay_refused_packets_total", node)})`, "{{node}} refused: {{reason}}")),
      graph("Between hops", "Tunnel packets by what became of them", "pps", target(`sum by (outcome) (${perSecond("tapline_relay_hop_packets_total", node)})`, "{{outcome}}")),
    ],
  ],
  [
    "The operator",
    [
      graph("Looks at objects", "By what came of them", "short", target(`sum by (controller, outcome) (${perSecond("tapline_operator_reconciles_total")})`, "{{controller}} {{outcome}}")),
      graph("Requests", "To the Kubernetes API, a second", "short", target(`sum by (verb, code) (${perSecond("tapline_operator_requests_total")})`, "{{verb}} {{code}}")),
      graph("Waiting", "Objects to be looked at, and changes that watches should have told and did not", "short", target(`sum by (controller) (${of("tapline_operator_queue_depth")})`, "{{controller}}"), target(`sum by (resource) (${perSecond("tapline_operator_missed_total")})`, "missed: {{resource}}")),
    ],
  ],
  [
    "What it costs",
    [
      graph("CPU", "Cores, of each process", "short", target(`sum by (node, container) (${perSecond("tapline_process_cpu_seconds_total", node)})`, "{{node}} {{container}}")),
      graph("Memory", "Of each process", "bytes", target(`sum by (node, container) (${of("tapline_process_resident_bytes", node)})`, "{{node}} {{container}}")),
      graph("Stalls", "Longest time the event loop stood still", "s", target(`max by (node, container) (${of("tapline_process_loop_stall_seconds", node)})`, "{{node}} {{container}}")),
    ],
  ],
]; // biome-ignore format: one line for each panel

const source = { type: "prometheus", uid: "$source" };
const heights = { stat: 4, timeseries: 8 };

/** Rows from top to bottom, panels from left to right, 24 wide. */
function laidOut(): object[] {
  const panels: object[] = [];
  let y = 0;
  const place = (panel: object, x: number, w: number, h: number): void => {
    panels.push({ id: panels.length + 1, ...panel, gridPos: { x, y, w, h } });
  };
  for (const [title, ofRow] of rows) {
    place({ type: "row", title, collapsed: false, panels: [] }, 0, 24, 1);
    y++;
    let x = 0;
    let height = 0;
    for (const { type, title: name, description, unit, width, targets } of ofRow) {
      if (x + width > 24) {
        y += height;
        x = 0;
      }
      height = heights[type];
      const asked = targets.map(({ expr, legend }, index) => ({ refId: "ABC"[index], datasource: source, expr, legendFormat: legend, ...(type === "stat" ? { instant: true } : {}) })); // biome-ignore format: one line
      place({ type, title: name, description, datasource: source, targets: asked, fieldConfig: { defaults: { unit, min: 0 }, overrides: [] } }, x, width, height); // biome-ignore format: one line
      x += width;
    }
    y += height;
  }
  return panels;
}

const variable = (name: string, type: "datasource" | "query", more: object): object => ({ name, label: name, type, ...more }); // biome-ignore format: one line

export const fleetDashboard = {
  uid: "tapline-fleet",
  title: "Tapline / Fleet",
  tags: ["tapline"],
  timezone: "utc",
  schemaVersion: 39,
  refresh: "30s",
  time: { from: "now-1h", to: "now" },
  templating: {
    list: [
      variable("source", "datasource", { query: "prometheus" }),
      variable("node", "query", {
        datasource: source,
        query: `label_values(${of("tapline_bus_connected")}, node)`,
        refresh: 2,
        multi: true,
        includeAll: true,
        allValue: ".*",
      }),
    ],
  },
  panels: laidOut(),
};
