import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { interfaceLabels, relayMetrics, sensorMetrics } from "#domain/metrics.ts";
import { boundedLabel, MetricSet } from "./metric-set.ts";

test("absolute figures become counters that only rise", async () => {
  const registry = new Registry();
  const metrics = new MetricSet(registry, sensorMetrics);
  const label = boundedLabel(interfaceLabels);
  for (const seen of [5, 5, 12])
    metrics.total("tapline_sensor_seen_packets_total", { interface: label("eth1") }, seen, "eth1");
  expect(await registry.metrics()).toContain('tapline_sensor_seen_packets_total{interface="eth1"} 12\n');
});

test("interfaces beyond the limit share one label, and none of their packets is left out", async () => {
  const registry = new Registry();
  const metrics = new MetricSet(registry, sensorMetrics);
  const label = boundedLabel(interfaceLabels);
  for (let round = 1; round <= 3; round++)
    for (let i = 0; i < interfaceLabels + 10; i++) {
      const name = `veth${i}`;
      metrics.total("tapline_sensor_seen_packets_total", { interface: label(name) }, 100 * round, name);
    }
  const text = await registry.metrics();
  expect(text.match(/^tapline_sensor_seen_packets_total\{/gm)).toHaveLength(interfaceLabels + 1);
  expect(text).toContain('{interface="other"} 3000\n');
});

test("names tell what they are: a counter ends in _total, a gauge does not", () => {
  for (const [name, { type }] of Object.entries({ ...sensorMetrics, ...relayMetrics }))
    expect(name.endsWith("_total")).toBe(type === "counter");
});
