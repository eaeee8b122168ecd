// Alerts and dashboards as Prometheus itself reads them (promtool): every expression parses, and alerts fire when they should and not when they should not.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { alertGroups } from "../../deploy/monitoring/alerts.ts";
import { chart } from "./helm.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-alerts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const alerts = join(chart, "files/alerts.yaml");
const names: string[] = alertGroups.flatMap(({ rules }) => rules.map(({ alert }) => alert));

function promtool(...words: string[]): string {
  const { stdout, stderr } = spawnSync("promtool", words, { encoding: "utf8" });
  return `${stdout}${stderr}`;
}

it("Prometheus understands the alerts", () => {
  expect(promtool("check", "rules", alerts)).toContain(`SUCCESS: ${names.length} rules found`);
});

it("Prometheus understands every panel of the dashboard", () => {
  interface Dashboard {
    panels: { title: string; gridPos: { x: number; w: number }; targets?: { expr: string }[] }[];
  }
  const { panels } = JSON.parse(readFileSync(join(chart, "files/dashboards/fleet.json"), "utf8")) as Dashboard;
  const asked = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(asked.length).toBeGreaterThan(25);
  // What Grafana puts in before it asks.
  const filled = asked.map((expr) => expr.replaceAll(/\$__(?:rate_interval|range)/g, "5m").replaceAll("$node", ".*"));
  expect(filled.join()).not.toContain("$");
  const path = join(folder, "panels.yaml");
  const rules = filled.map((expr, index) => ({ record: `panel:${index}`, expr }));
  writeFileSync(path, stringify({ groups: [{ name: "panels", rules }] }));
  expect(promtool("check", "rules", path)).toContain(`SUCCESS: ${filled.length} rules found`);
  for (const { title, gridPos } of panels) expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
});

type Case = readonly [alert: string, series: string, values: string, fires: boolean];
const cases: readonly Case[] = [
  ["PacketsLost", 'tapline_sensor_lost_packets_total{node="n1",protocol="macsec",suspect="false"}', "0+3x20", true],
  ["PacketsLost", 'tapline_sensor_lost_packets_total{node="n1",protocol="macsec",suspect="true"}', "0+3x20", false],
  ["PacketsLost", 'tapline_sensor_lost_packets_total{node="n1",protocol="macsec",suspect="false"}', "7x20", false],
  ["HopLost", 'tapline_relay_hop_packets_total{node="n1",outcome="lost"}', "0+1x20", true],
  ["HopLost", 'tapline_relay_hop_packets_total{node="n1",outcome="unique"}', "0+1x20", false],
  ["RelayDropping", 'tapline_relay_dropped_packets_total{node="n1",engine="XDP",reason="no_route"}', "0+1x20", true],
  ["RelayDropping", 'tapline_relay_dropped_packets_total{node="n1",engine="XDP",reason="no_route"}', "9x20", false],
  ["SensorDropping", 'tapline_sensor_ring_dropped_packets_total{node="n1",interface="eth0"}', "0+1x20", true],
  ["SensorDropping", 'tapline_sensor_ring_dropped_packets_total{node="n1",interface="eth0"}', "0+1x5 6x15", false],
  ["NotReporting", 'tapline_bus_connected{node="n1"}', "0x20", true],
  ["NotReporting", 'tapline_bus_connected{node="n1"}', "0x8 1x12", false],
  ["ConditionHolds", 'tapline_relay_conditions{node="n1",severity="error"}', "1x20", true],
  ["ConditionHolds", 'tapline_sensor_conditions{node="n1",severity="warning"}', "1x20", false],
  ["NoLeader", 'tapline_operator_leader{pod="a"}', "0x20", true],
  ["NoLeader", 'tapline_operator_leader{pod="a"}', "1x20", false],
  ["NoLeader", 'up{pod="a"}', "1x20", true],
  ["ReconcileFailing", 'tapline_operator_reconciles_total{controller="sensorpool",outcome="failed"}', "0+1x20", true],
  ["ReconcileFailing", 'tapline_operator_reconciles_total{controller="sensorpool",outcome="done"}', "0+1x20", false],
]; // biome-ignore format: a table

it("every alert is tried", () => {
  expect(new Set(cases.map(([alert]) => `Tapline${alert}`))).toEqual(new Set(names));
});

it.each(cases)("%s, with %s at %s, fires: %s", (alert, series, values, fires) => {
  const path = join(folder, "test.yaml");
  // All that fire at the end; only the names matter here.
  const test = {
    interval: "1m",
    input_series: [{ series, values }],
    promql_expr_test: [
      {
        expr: `count(ALERTS{alertname="Tapline${alert}",alertstate="firing"}) or vector(0)`,
        eval_time: "20m",
        exp_samples: [{ labels: "{}", value: fires ? 1 : 0 }],
      },
    ],
  };
  writeFileSync(path, stringify({ rule_files: [alerts], evaluation_interval: "1m", tests: [test] }));
  expect(promtool("test", "rules", path)).toContain("SUCCESS");
});
