// The relay's engine in user space: what it does to packets, which it refuses, and that it loses none unnamed. Frames are read by scapy.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { RelayLab } from "./relay-lab.ts";
import { accounted, bytes, frame, ip, output, plan, Plans, refused, WorkerEnd } from "./worker-end.ts";

const group = ip("239.1.1.1");
const other = ip("239.2.2.2");

describe("a relay worker", { timeout: 60_000 }, () => {
  test("packets leave as each output says, of every size, and the ledger closes", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const rule = plans.rule("r", group, 5001, [
      { id: "plain", destination: group, port: 5001 },
      { id: "set", destination: other, port: 7000, ttl: 5, dscp: 46, source: ip("192.0.2.9") },
    ]);
    await relay.tell({ do: "apply", plan: plan([rule]) });
    await using taking = await lab.take("c", "c0");
    const sizes = [0, 1, 22, 1472];
    await lab.send("b", "b1", []); // nothing: a sender that works
    await lab.send(
      "a",
      "a0",
      sizes.map((payload) => frame({ payload, tos: 1 })),
    );
    const frames = await taking.until(2 * sizes.length);
    for (const [i, payload] of sizes.entries()) {
      const sent = Buffer.from(frame({ payload, tos: 1 }), "hex")
        .subarray(42)
        .toString("hex");
      const [plain, set] = [frames[2 * i], frames[2 * i + 1]];
      expect(plain).toMatchObject({
        source: "10.0.0.1",
        destination: "239.1.1.1",
        ttl: 15,
        tos: 1,
        port: 5001,
        id: 0x1234,
      });
      expect(set).toMatchObject({ source: "192.0.2.9", destination: "239.2.2.2", ttl: 5, tos: 185, port: 7000 });
      for (const one of [plain, set]) expect(one).toMatchObject({ ipRight: true, udpRight: true, payload: sent });
      expect(set).toMatchObject({
        to: "01:00:5e:02:02:02",
        from: (await lab.mac("b", "b1")).replace(/..(?!$)/g, "$&:"),
      });
    }
    const figures = await relay.figures();
    accounted(figures);
    expect(output(figures, "r", "plain")).toEqual({ wanted: 4, sent: 4, dropped: {} });
    expect(figures.rules[0]).toMatchObject({ matched: 4, bytes: sizes.reduce((sum, size) => sum + size + 28, 0) });
    expect(figures.outputs[0]?.sentBytes).toBe(figures.rules[0]?.bytes);
  });

  test("what is not to be relayed is passed or refused, each for its reason", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const sources = { ...plans.rule("s", other, 5001, [{ destination: other }]) };
    const rules = [
      plans.rule("r", group, 5001, [{ destination: group }]),
      { ...sources, input: { ...sources.input, sources: [ip("10.0.0.2")] } },
      plans.rule("ttl", ip("239.3.3.3"), 5001, [
        { id: "keeps", destination: group },
        { id: "sets", destination: group, ttl: 9 },
      ]),
    ];
    await relay.tell({ do: "apply", plan: plan(rules, { ownAddresses: [ip("10.0.0.9")] }) });
    await using taking = await lab.take("c", "c0");
    const cut = Buffer.from(frame({}), "hex").subarray(0, 60).toString("hex");
    await lab.send("a", "a0", [
      frame({}),
      frame({ port: 5002 }), // passed: no rule
      frame({ group: "239.9.9.9" }), // not even let in
      frame({ fragment: 0x2000 }),
      frame({ fragment: 100 }),
      frame({ fragment: 0x4000 }), // only says that it must not be one
      frame({ ttl: 1 }),
      frame({ source: "10.0.0.9" }),
      frame({ group: "239.2.2.2", source: "10.0.0.1" }),
      frame({ group: "239.2.2.2", source: "10.0.0.2" }),
      frame({ group: "239.3.3.3", ttl: 1 }),
      frame({ protocol: 6 }),
      frame({ vlan: 7 }),
      cut,
    ]);
    const frames = await taking.until(4);
    expect(frames.map(({ destination, ttl }) => [destination, ttl])).toEqual([
      ["239.1.1.1", 15],
      ["239.1.1.1", 15],
      ["239.2.2.2", 15],
      ["239.1.1.1", 9],
    ]);
    const figures = await relay.figures();
    accounted(figures);
    expect(refused(figures)).toEqual({ fragment: 2, ttl: 1, loop: 1, source: 1, malformed: 1 });
    expect(figures.ports[0]).toMatchObject({ received: 13, passed: 3, matched: 4 });
    expect(output(figures, "ttl", "keeps")).toEqual({ wanted: 1, sent: 0, dropped: { ttl: 1 } });
    expect(figures.rules.find(({ id }) => id === "r")?.refused).toMatchObject({ ttl: 1, loop: 1 });
  });

  test("tagged input, ESP, and two sources of one group, each by its own rule", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const from = (source: string, to: string) => {
      const rule = plans.rule(source, group, 5001, [{ destination: ip(to) }]);
      return { ...rule, input: { ...rule.input, sources: [ip(source)] } };
    };
    const esp = plans.rule("esp", group, 0, [{ destination: ip("239.7.7.7"), port: 0 }]);
    const tagged = plans.rule("tagged", group, 5001, [{ destination: ip("239.8.8.8") }]);
    await relay.tell({
      do: "apply",
      plan: plan([
        from("10.0.0.1", "239.5.5.1"),
        from("10.0.0.2", "239.5.5.2"),
        { ...esp, input: { ...esp.input, protocol: "ESP" } },
        { ...tagged, input: { ...tagged.input, vlan: 100 } },
      ]),
    });
    await using taking = await lab.take("c", "c0");
    const secret = frame({ protocol: 50, payload: 64 });
    await lab.send("a", "a0", [
      frame({ source: "10.0.0.1" }),
      frame({ source: "10.0.0.2" }),
      secret,
      frame({ vlan: 100 }),
    ]);
    const frames = await taking.until(4);
    expect(frames.map(({ destination }) => destination)).toEqual(["239.5.5.1", "239.5.5.2", "239.7.7.7", "239.8.8.8"]);
    expect(frames[2]?.hex.slice(68)).toBe(secret.slice(68)); // all behind the IP header, as it came
    expect(frames[2]?.ipRight).toBe(true);
    accounted(await relay.figures());
  });

  test("jumbo frames go where the output's MTU lets them, and are dropped by name elsewhere", async () => {
    await using lab = await RelayLab.create();
    for (const [place, name] of [
      ["a", "a0"],
      ["b", "b0"],
      ["b", "b1"],
      ["c", "c0"],
    ] as const)
      await lab.in(place, "ip", "link", "set", name, "mtu", "9100");
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const outputs = [
      { id: "wide", destination: group, mtu: 9100 },
      { id: "narrow", destination: other, mtu: 1500 },
    ];
    await relay.tell({ do: "apply", plan: plan([plans.rule("r", group, 5001, outputs)]) });
    await using taking = await lab.take("c", "c0");
    await lab.send("a", "a0", [frame({ payload: 9000 }), frame({ payload: 1472 }), frame({ payload: 1473 })]);
    expect((await taking.until(4)).map((one) => one.bytes)).toEqual([9042, 1514, 1514, 1515]);
    const figures = await relay.figures();
    accounted(figures);
    expect(output(figures, "r", "narrow")).toEqual({ wanted: 3, sent: 1, dropped: { mtu: 2 } });
  });

  test("what offloads left undone is done: checksums are whole, super-packets are packets", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    await relay.tell({ do: "apply", plan: plan([plans.rule("r", group, 5001, [{ destination: other }])]) });
    await lab.in("a", "ip", "address", "add", "10.0.0.1/24", "dev", "a0");
    await using taking = await lab.take("c", "c0");
    await lab.sendBySocket("a", "udp", "a0", "239.1.1.1", 5001, 700, 3);
    const single = await taking.until(3);
    await lab.sendBySocket("a", "gso", "a0", "239.1.1.1", 5001, 1200, 20);
    const cut = await taking.until(20);
    for (const one of [...single, ...cut])
      expect(one).toMatchObject({ ipRight: true, udpRight: true, ttl: 8, port: 6001 });
    expect(cut.map(({ payload }) => payload.length / 2)).toEqual(Array(20).fill(1200));
    const whole = Buffer.from(cut.map(({ payload }) => payload).join(""), "hex");
    expect(whole.every((byte, i) => byte === i % 256)).toBe(true);
    const figures = await relay.figures();
    accounted(figures);
    expect(output(figures, "r")).toEqual({ wanted: 23, sent: 23, dropped: {} });
    expect(figures.ports[0]).toMatchObject({ received: 23, bytes: 3 * 742 + 20 * 1242 });
  });

  test("IPv6: rewritten with right checksums, cut from super-packets, wrapped in a tunnel over IPv6 and unwrapped", async () => {
    await using lab = await RelayLab.create();
    await lab.in("a", "sysctl", "-qw", "net.ipv6.conf.a0.disable_ipv6=0");
    await lab.in("a", "ip", "address", "add", "2001:db8::1/64", "dev", "a0", "nodad");
    await using near = await WorkerEnd.start(lab, "b");
    await using far = await WorkerEnd.start(lab, "c");
    const six = (last: string): Uint8Array => bytes(`ff05${"0".repeat(24)}${last}`);
    const [here, yonder] = [bytes(`20010db8${"0".repeat(22)}b1`), bytes(`20010db8${"0".repeat(22)}c0`)];
    const [nearPlans, farPlans] = [await Plans.of(lab), await Plans.of(lab, "c", "c0", "c1")];
    const key = Uint8Array.from({ length: 16 }, (_, i) => 200 - i);
    const outputs = [
      {
        id: "tunnel",
        destination: yonder,
        destinationMac: bytes(await lab.mac("c", "c0")),
        port: 6087,
        source: here,
        tunnel: { path: 9, epoch: 1, key },
      },
      { id: "plain", destination: six("0002"), port: 7000, ttl: 4, dscp: 10 },
    ];
    await near.tell({ do: "apply", plan: plan([nearPlans.rule("r", six("0001"), 5001, outputs)]) });
    const rule = farPlans.rule("in", group, 5001, [{ destination: six("0003") }]);
    await far.tell({
      do: "apply",
      plan: plan([{ ...rule, input: { path: 9, key, peers: [here] } }], {
        tunnelPorts: [{ ifindex: farPlans.from, addresses: [yonder], engine: "afpacket" }],
      }),
    });
    await using wire = await lab.take("c", "c0");
    await using end = await lab.take("d", "d0");
    await lab.sendBySocket("a", "udp", "a0", "ff05::1", 5001, 701, 2);
    await lab.sendBySocket("a", "gso", "a0", "ff05::1", 5001, 1000, 5);
    const plain = (await wire.until(14)).filter(({ destination }) => destination === "ff05::2");
    const through = await end.until(7);
    const sizes = [701, 701, 1000, 1000, 1000, 1000, 1000];
    for (const frames of [plain, through]) {
      expect(frames.map(({ payload }) => payload.length / 2)).toEqual(sizes);
      for (const one of frames) expect(one).toMatchObject({ source: "2001:db8::1", udpRight: true });
    }
    expect(plain[0]).toMatchObject({ ttl: 4, tos: 40, port: 7000, to: "33:33:00:00:00:02" });
    expect(through[0]).toMatchObject({ destination: "ff05::3", ttl: 8, port: 6001 });
    const [one, two] = [await near.after(7), await far.after(14)];
    accounted(one);
    accounted(two);
    expect(two.hops).toMatchObject([{ path: 9, unique: 7, lost: 0, duplicate: 0, reordered: 0 }]);
  });

  test("unicast to multicast and back; nobody tells the sender that its port is unreachable", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "ip", "address", "add", "10.0.0.2/24", "dev", "b0");
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const mac = await lab.mac("b", "b0");
    const there = bytes(await lab.mac("c", "c0"));
    await relay.tell({
      do: "apply",
      plan: plan([
        plans.rule("out", ip("10.0.0.2"), 5001, [{ destination: group }]),
        plans.rule("in", group, 5001, [{ destination: ip("10.9.9.9"), destinationMac: there }]),
      ]),
    });
    await lab.in("b", "ip", "neighbour", "add", "10.0.0.1", "lladdr", await macText(lab), "dev", "b0");
    await using back = await lab.take("a", "a0");
    await using taking = await lab.take("c", "c0");
    await lab.send("a", "a0", [frame({ group: "10.0.0.2", mac }), frame({})]);
    const frames = await taking.until(2);
    expect(frames.map(({ destination }) => destination)).toEqual(["239.1.1.1", "10.9.9.9"]);
    await lab.send("a", "a0", [frame({ group: "10.0.0.2", mac, port: 5555 })]);
    const answers = await back.until(1); // of the port that no rule has
    expect(answers[0]).toMatchObject({ protocol: 1 });
  });

  test("this node's own subscribers get a rule's packets only when it says so", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "ip", "address", "add", "10.0.0.2/24", "dev", "b0");
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const rules = [
      plans.rule("taken", group, 5001, [{ destination: group }]),
      plans.rule("shared", other, 5001, [{ destination: group }], { deliverLocal: true }),
      ...["239.6.0.1", "239.6.0.2"].map((to) => {
        const rule = plans.rule(to, ip(to), 5001, [{ destination: group }]);
        return { ...rule, input: { ...rule.input, sources: [ip("10.0.0.1"), ip("10.0.0.9")] } };
      }),
      plans.rule("six", bytes(`ff05${"0".repeat(24)}0001`), 5001, [{ destination: group }]),
    ];
    await relay.tell({ do: "apply", plan: plan(rules) });
    for (const joined of ["239.1.1.1", "239.2.2.2"])
      await lab.in("b", "ip", "address", "add", `${joined}/32`, "dev", "b0", "autojoin");
    const ruled = async (): Promise<string> => lab.in("b", "nft", "list", "ruleset");
    for (let i = 0; i < 100 && !(await ruled()).includes("239.1.1.1"); i++) await sleep(50);
    const delivered = async (): Promise<number> =>
      Number(/^Ip: \d+ \d+ \d+ \d+ \d+ \d+ \d+ \d+ (\d+)/m.exec(await lab.in("b", "cat", "/proc/net/snmp"))?.[1]);
    const before = await delivered();
    await lab.send("a", "a0", [frame({}), frame({}), frame({ group: "239.2.2.2" }), frame({ port: 5002 })]);
    const figures = await relay.after(4);
    accounted(figures);
    expect(output(figures, "taken").sent).toBe(2);
    expect(output(figures, "shared").sent).toBe(1);
    expect((await delivered()) - before).toBe(2); // the shared rule's, and the port that no rule has
    await relay.tell({ do: "removeAll" });
    expect(await ruled()).toBe("");
  });

  test("limits: a burst, then the rate; a storm is cut off; both are named", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    await relay.tell({
      do: "apply",
      plan: plan([
        plans.rule("rate", group, 5001, [{ destination: group }], { limitPps: 1, limitBurst: 10 }),
        plans.rule("storm", group, 5002, [{ destination: group }], { stormPps: 20 }),
      ]),
    });
    await lab.send(
      "a",
      "a0",
      Array.from({ length: 50 }, () => frame({})),
    );
    await sleep(1000 - (Date.now() % 1000)); // within one second of the clock
    await lab.send(
      "a",
      "a0",
      Array.from({ length: 50 }, () => frame({ port: 5002 })),
    );
    const figures = await relay.after(100);
    accounted(figures);
    expect(output(figures, "rate")).toEqual({ wanted: 50, sent: 10, dropped: { rate: 40 } });
    expect(output(figures, "storm")).toEqual({ wanted: 50, sent: 20, dropped: { storm: 30 } });
  });

  test("an output that cannot send drops by name; one whose interface goes down does too, and comes back", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    await relay.tell({
      do: "apply",
      plan: plan([
        plans.rule("r", group, 5001, [
          { id: "good", destination: group },
          { id: "neighbour", destination: ip("10.1.1.1"), unready: "no_neighbour" },
          { id: "route", destination: ip("10.1.1.2"), unready: "no_route" },
        ]),
      ]),
    });
    await lab.send("a", "a0", [frame({})]);
    await relay.after(1);
    await lab.in("b", "ip", "link", "set", "b1", "down");
    await lab.send("a", "a0", [frame({}), frame({})]);
    await relay.after(3);
    await lab.in("b", "ip", "link", "set", "b1", "up");
    await lab.send("a", "a0", [frame({})]);
    const figures = await relay.after(4);
    accounted(figures);
    expect(output(figures, "r", "good")).toEqual({ wanted: 4, sent: 2, dropped: { interface: 2 } });
    expect(output(figures, "r", "neighbour")).toEqual({ wanted: 4, sent: 0, dropped: { no_neighbour: 4 } });
    expect(output(figures, "r", "route")).toEqual({ wanted: 4, sent: 0, dropped: { no_route: 4 } });
  });

  test("a trace shows the next packets of one rule, and what became of each", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const outputs = [
      { id: "good", destination: group },
      { id: "small", destination: other, mtu: 100 },
    ];
    await relay.tell({
      do: "apply",
      plan: plan([plans.rule("r", group, 5001, outputs), plans.rule("x", other, 5001, outputs)]),
    });
    await relay.tell({ do: "trace", rule: "r", packets: 2 });
    await lab.send("a", "a0", [frame({ group: "239.2.2.2" }), frame({ ttl: 1 }), frame({ payload: 200 }), frame({})]);
    await relay.after(4);
    const traces = await relay.tell<object[]>({ do: "traces" });
    expect(traces).toMatchObject([
      { rule: "r", source: "0x0a000001", ttl: 1, length: 128, refused: "ttl", outputs: [] },
      { rule: "r", length: 228, outputs: [{ id: "good" }, { id: "small", dropped: "mtu" }] },
    ]);
    expect((traces[1] as { outputs: object[] }).outputs[0]).not.toHaveProperty("dropped");
    expect(await relay.tell({ do: "traces" })).toEqual([]);
  });

  test("an agent that is silent for too long: its rules stop, and go on when it is back", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b", { orphanAfterMs: 2000 });
    const plans = await Plans.of(lab);
    await relay.tell({ do: "apply", plan: plan([plans.rule("r", group, 5001, [{ destination: group }])]) });
    await relay.tell({ do: "heartbeat" });
    await lab.send("a", "a0", [frame({})]);
    expect(refused(await relay.after(1))).toEqual({});
    await sleep(2200);
    await lab.send("a", "a0", [frame({}), frame({})]);
    await relay.after(3);
    await relay.tell({ do: "heartbeat" });
    await lab.send("a", "a0", [frame({})]);
    const figures = await relay.after(4);
    accounted(figures);
    expect(refused(figures)).toEqual({ orphaned: 2 });
    expect(output(figures, "r")).toEqual({ wanted: 2, sent: 2, dropped: {} });
  });
});

const macText = async (lab: RelayLab): Promise<string> => (await lab.mac("a", "a0")).replace(/..(?!$)/g, "$&:");
