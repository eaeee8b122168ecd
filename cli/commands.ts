// What can be typed. The module behind a command is loaded when it is called: a short analysis must not pay for a web server.
import { availableParallelism } from "node:os";
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { sortFields } from "#domain/flow-fields.ts";
import { positive, rate, seconds, whole } from "./arguments.ts";
import type { AnalyzeArguments } from "./analyze.ts";
import type { BenchCaptureArguments } from "./bench-capture.ts";
import { benchRelayParts, type BenchRelayArguments } from "./relay-parts.ts";
import type { BenchSoakArguments } from "./bench-soak.ts";
import type { BenchReplayArguments } from "./bench-replay.ts";
import { type Done, examples, json } from "./command-parts.ts";
import type { GenerateArguments } from "./generate.ts";
import type { ListArguments } from "./list.ts";
import { operatorCommand } from "./operator-command.ts";
import { relayCommand, rulesCommand } from "./relay-commands.ts";
import type { SensorArguments } from "./sensor.ts";
import type { ServeArguments } from "./serve.ts";
import type { StressArguments } from "./stress.ts";
import type { DoctorArguments } from "./doctor.ts";
import type { TuneArguments } from "./tune.ts";

const version = (): string =>
  (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }).version;

const trafficKinds = ["macsec", "ipsec", "mixed", "tcp"] as const;

function analyzeCommand(done: Done): Command {
  return new Command("analyze")
    .description("find every lost packet of a capture file or a live interface and keep the result in a database")
    .argument("<pcap|interface>", "capture file, pcap or pcapng, or a network interface")
    .argument("<results.db>", "SQLite database; made if missing, a run is added to an existing one")
    .option("--replay", "read a file (a file is always read this way)")
    .addOption(
      new Option(
        "--mode <mode>",
        "how fast to read: as fast as possible, with the capture's gaps in time, at --pps, or its gaps divided by --speed",
      )
        .choices(["fast", "original", "fixed", "speed"])
        .default("fast"),
    )
    .option("--pps <n>", "packets per second, for --mode fixed", positive)
    .option("--speed <x>", "for --mode speed", positive)
    .option("--loop <n>", "read the file this many times; the result says so", whole(1, 1e6), 1)
    .option("--threads <n>", "engine threads (default: the CPUs for a file, 1 for an interface)", whole(1, 64))
    .option("--duration <time>", "interface: how long to capture (default: until Ctrl-C)", seconds)
    .option("--filter <expression>", "interface: libpcap's filter language")
    .addOption(
      new Option("--direction <which>", "interface: without or with the frames this machine sends").choices([
        "In",
        "Both",
      ]),
    )
    .option("--ring <MiB>", "interface: ring memory of each thread (default: 16)", positive)
    .option("--settle <time>", "a number unseen for this long is lost", seconds, 2)
    .option("--idle <time>", "a flow unseen for this long has ended", seconds, 60)
    .option("--max-flows <n>", "flows held at once, at most", whole(1, 2 ** 28), 4_000_000)
    .option("--truth <file>", "compare every counter of every flow with what `pcap generate` wrote")
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        "analyze capture.pcap results.db",
        "analyze capture.pcap results.db --mode original --json",
        "analyze eth0 results.db --duration 30s",
        "analyze made.pcap results.db --truth made.truth.json",
      ),
    )
    .action(async (capture: string, database: string, options: AnalyzeArguments) => {
      done(await (await import("./analyze.ts")).analyze(capture, database, options));
    });
}

function serveCommand(done: Done): Command {
  return new Command("serve")
    .description("serve a database over HTTP: /api/v1/flows, /gaps, /ledger and more, described at /api/docs")
    .requiredOption("--db <results.db>", "a database written by analyze")
    .option("--port <n>", "TCP port; 0 takes any free one", whole(0, 65_535), 3001)
    .option("--host <address>", "address to listen on; any but a loopback one needs --token-file", "127.0.0.1")
    .option("--token-file <file>", "the bearer token that requests must carry")
    .addHelpText(
      "after",
      examples("serve --db results.db", "serve --db results.db --host 0.0.0.0 --token-file token.txt"),
    )
    .action(async (options: ServeArguments) => {
      done(await (await import("./serve.ts")).serveUntilStopped(options));
    });
}

function sensorCommand(done: Done): Command {
  return new Command("sensor")
    .description(
      "capture on this node's interfaces for ever: database, NATS, Prometheus and REST, by a configuration file",
    )
    .requiredOption("--config <file>", "YAML; every key is described in docs/reference/sensor-config.md")
    .option("--check", "look at the configuration, its filter and who may read its secrets, and end", false)
    .option("--require", "end when an interface is not there or refused, instead of waiting for it", false)
    .addHelpText("after", examples("sensor --config sensor.yaml --check", "sensor --config /etc/tapline/sensor.yaml"))
    .action(async (options: SensorArguments) => {
      done(await (await import("./sensor.ts")).sensor(options));
    });
}

function pcapCommand(done: Done): Command {
  const generate = new Command("generate")
    .description("make a capture whose losses are known, and the truth about it")
    .requiredOption("--output <file>", "capture file to write; an older one is replaced")
    .option("--packets <n>", "frames to write", whole(1, 2e9), 100_000)
    .option("--flows <n>", "flows they belong to (default: a tenth of the packets, at most 50k)", whole(1, 2 ** 24))
    .addOption(new Option("--protocol <kind>", "what travels").choices(trafficKinds).default("macsec"))
    .option("--seed <s>", "the same seed makes the same file", whole(0), 1)
    .option("--loss <rate>", "packets left out, e.g. 0.01 or 1%", rate(0.9), 0)
    .option("--reorder <rate>", "packets that come late", rate(0.5), 0)
    .option("--duplicate <rate>", "packets that come twice", rate(1), 0)
    .option("--rekey <n>", "packets after which a flow takes a new key; 0 is never", whole(0), 0)
    .option("--xpn", "MACsec with extended packet numbers that wrap", false)
    .option("--esn", "ESP with extended sequence numbers that wrap", false)
    .option("--ipv6", "half of the IP flows use IPv6", false)
    .option("--vlan", "some flows carry a VLAN tag or two", false)
    .option("--truth <file>", "also write what was sent, dropped, duplicated, reordered and rekeyed, per flow")
    .option("--min-size <n>", "shortest frame in bytes", whole(1, 65_535), 64)
    .option("--max-size <n>", "longest frame in bytes", whole(1, 65_535), 1504)
    .option("--pps <n>", "packets per second of capture time", positive, 1e6)
    .option("--pcapng", "write pcapng instead of pcap", false)
    .option("--microseconds", "times in microseconds instead of nanoseconds", false)
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        "pcap generate --packets 500k --flows 50k --loss 1% --output made.pcap --truth made.truth.json",
        "pcap generate --protocol mixed --reorder 5% --duplicate 1% --rekey 200 --output mixed.pcap",
      ),
    )
    .action(async (options: GenerateArguments) => {
      done(await (await import("./generate.ts")).generate(options));
    });
  return new Command("pcap").description("work with capture files").addCommand(generate);
}

function stressCommand(done: Done): Command {
  return new Command("stress")
    .description(
      "generate, analyze and query fresh captures until the time is over; every figure is checked against the truth",
    )
    .option("--packets <n>", "packets of a round; the table before it climbs up to this size", whole(100, 1e8), 500_000)
    .option("--duration <time>", "how long to go on with rounds after the table", seconds, 30)
    .option("--flows <n>", "flows of a round (default: a tenth of the packets, at most 50k)", whole(1, 50_000))
    .addOption(new Option("--protocol <kind>", "what travels").choices(trafficKinds).default("macsec"))
    .option("--seed <s>", "seed of the first capture; each further one takes the next", whole(0), 1)
    .option("--loss <rate>", "packets left out", rate(0.9), 0.01)
    .option("--threads <n>", "engine threads", whole(1, 64), Math.min(availableParallelism(), 16))
    .option("--full", "let the table end with 10 M packets", false)
    .option("--csv <file>", "write the table as CSV")
    .option("--svg <file>", "draw it")
    .addOption(json())
    .addHelpText(
      "after",
      examples("stress --packets 100k --duration 2m", "stress --full --csv scaling.csv --svg scaling.svg"),
    )
    .action(async (options: StressArguments) => {
      done(await (await import("./stress.ts")).stress(options));
    });
}

function benchCaptureCommand(done: Done): Command {
  return new Command("capture")
    .description(
      "what capturing costs on a wire of its own, beside other programs; needs root for network namespaces. Without --full-rate, --memory or --ablation: processor time of a packet",
    )
    .addOption(
      new Option("--against <peer>", "who else captures")
        .choices(["tcpdump", "dumpcap", "softflowd", "argus", "all", "none"])
        .default("tcpdump"),
    )
    .addOption(new Option("--of <what>", "what of ours is measured").choices(["sensor", "analyze"]).default("sensor"))
    .addOption(new Option("--kind <traffic>", "one kind of traffic only (default: both)").choices(["macsec", "mixed"]))
    .option("--seconds <time>", "how long to send (default: 5s; --full-rate 60s; --ablation 3s)", seconds)
    .option("--rounds <n>", "interleaved rounds", whole(1, 99), 5)
    .addOption(
      new Option("--full-rate", "is anything dropped or missed at full rate?")
        .default(false)
        .conflicts(["memory", "ablation"]),
    )
    .addOption(new Option("--memory", "with a million flows, and idle").default(false).conflicts("ablation"))
    .addOption(new Option("--ablation", "what zero copy, batches and pinning are worth").default(false))
    .option("--csv <file>", "write the costs as CSV")
    .option("--svg <file>", "draw them")
    .option("--strict", "exit with 1 when a target is missed", false)
    .addOption(json())
    .addHelpText(
      "after",
      examples("bench capture --against all", "bench capture --full-rate --seconds 10s", "bench capture --ablation"),
    )
    .action(async (options: BenchCaptureArguments) => {
      done(await (await import("./bench-capture.ts")).benchCapture(options));
    });
}

function benchRelayCommand(done: Done): Command {
  return new Command("relay")
    .description(
      "how fast multicast is carried and what is lost, by our engines and by others, in namespaces of its own; needs root",
    )
    .addOption(new Option("--case <name...>", "only these, beside smcroute").choices(benchRelayParts))
    .addOption(
      new Option("--against <peer>", "who else relays").choices(["smcroute", "socat", "all"]).default("smcroute"),
    )
    .option("--seconds <time>", "how long each case sends", seconds, 3)
    .option("--rounds <n>", "interleaved rounds", whole(1, 99), 5)
    .option("--hashed <n>", "packets of the run whose every byte is read", whole(1, 1e8), 10_000_000)
    .option("--csv <file>", "write the rates as CSV")
    .option("--strict", "exit with 1 when a target is missed", false)
    .addOption(json())
    .addHelpText("after", examples("bench relay --against all", "bench relay --case xdp tc --rounds 3"))
    .action(async (options: BenchRelayArguments) => {
      done(await (await import("./bench-relay.ts")).benchRelay(options));
    });
}

function benchSoakCommand(done: Done): Command {
  return new Command("soak")
    .description(
      "full rate for a long time: fails when memory, descriptors or threads grow, or a packet is unaccounted for; needs root",
    )
    .option("--seconds <time>", "how long", seconds, 1800)
    .option("--every <time>", "how often to look; oftener in a short run", seconds, 10)
    .addOption(new Option("--kind <traffic>", "what travels").choices(["macsec", "mixed"]).default("mixed"))
    .addOption(
      new Option("--of <what>", "what of ours is watched").choices(["sensor", "analyze", "relay"]).default("sensor"),
    )
    .option("--csv <file>", "write the samples as CSV")
    .addOption(json())
    .action(async (options: BenchSoakArguments) => {
      done(await (await import("./bench-soak.ts")).benchSoak(options));
    });
}

function benchCommand(done: Done): Command {
  const replay = new Command("replay")
    .description("the engine and the whole process against tcpdump reading the same file, in one run")
    .addOption(
      new Option("--against <peer>", "who else reads the file").choices(["tcpdump", "all", "none"]).default("tcpdump"),
    )
    .option("--rounds <n>", "interleaved rounds", whole(1, 99), 5)
    .option("--csv <file>", "write the scaling table as CSV")
    .option("--svg <file>", "draw it")
    .option("--strict", "exit with 1 when a target is missed", false)
    .addOption(json())
    .addHelpText("after", examples("bench replay", "bench replay --csv replay.csv --svg replay.svg --strict"))
    .action(async (options: BenchReplayArguments) => {
      done(await (await import("./bench-replay.ts")).benchReplay(options));
    });
  const micro = new Command("micro")
    .description("nanoseconds of the engine's single steps")
    .option("--rounds <n>", "repetitions of each", whole(1, 1000), 20)
    .addOption(json())
    .action(async (options: { rounds: number; json?: boolean }) => {
      done(await (await import("./bench-micro.ts")).benchMicro(options));
    });
  const bench = new Command("bench")
    .description("measure; figures of one run, as ratios")
    .addCommand(replay)
    .addCommand(benchCaptureCommand(done))
    .addCommand(benchRelayCommand(done))
    .addCommand(benchSoakCommand(done))
    .addCommand(micro);
  return bench;
}

function listCommand(done: Done, name: "flows" | "gaps"): Command {
  const sorts = { flows: sortFields, gaps: ["size", "noticed"] } as const;
  return new Command(name)
    .description(
      name === "flows"
        ? "list the flows of a database"
        : "list the gaps of a database: which numbers were lost, and when",
    )
    .argument("<results.db>", "a database written by analyze")
    .argument("[filter]", "such as: proto=macsec lost>0 bytes>1e6 src=10.0.0.0/8")
    .addOption(
      new Option(
        "--sort <field>",
        name === "flows"
          ? "largest or latest first (default: as in the capture)"
          : "largest or earliest first (default: size)",
      ).choices(sorts[name]),
    )
    .option("--limit <n>", "rows", whole(1, 1000), 20)
    .addOption(json())
    .addHelpText("after", examples(`${name} results.db`, `${name} results.db 'proto=macsec lost>0' --limit 5`))
    .action(async (database: string, filter: string | undefined, options: ListArguments) => {
      const list = await import("./list.ts");
      done((name === "flows" ? list.listFlows : list.listGaps)(database, filter, options));
    });
}

function tuneCommand(done: Done): Command {
  return new Command("tune")
    .description("show, apply or take back what an interface needs for a capture: rings, offloads, interrupts")
    .argument("<interface>", "a network interface; without an option it is only looked at")
    .option("--apply", "say what will be changed, then change it; the values before are kept")
    .option("--restore", "bring back what was there before --apply")
    .option("--state <file>", "where those values are kept (default: /var/lib/tapline/tune/<interface>.json)")
    .addOption(json())
    .addHelpText("after", examples("tune eth1", "tune eth1 --apply", "tune eth1 --restore"))
    .action(async (name: string, options: TuneArguments) => {
      done((await import("./tune.ts")).tune(name, options));
    });
}

function doctorCommand(done: Done): Command {
  return new Command("doctor")
    .description("what this node can do for a capture, what is missing, and the remedy of each")
    .argument("[interfaces...]", "whose offloads to look at (default: those with a device behind them)")
    .option("--store <path>", "where results will be written", "/var/lib/tapline")
    .addOption(json())
    .addHelpText("after", examples("doctor", "doctor eth1 --json"))
    .action(async (interfaces: readonly string[], options: DoctorArguments) => {
      done((await import("./doctor.ts")).doctor(interfaces, options));
    });
}

const words = (command: Command): string =>
  command.parent === null ? command.name() : `${words(command.parent)} ${command.name()}`;

/** Every command reports in the same form and ends by an exception, never by process.exit(): what is open gets closed. */
function settle(command: Command): Command {
  command.exitOverride();
  command.configureOutput({
    outputError: (text, write) => {
      const [first = "", ...rest] = text.trimEnd().split("\n");
      const more = rest.map((line) => `  hint: ${line.replace(/^\((.*)\)$/, "$1")}\n`).join("");
      write(
        `tapline: ${first.replace(/^error: /, "")} (USAGE)\n${more}  hint: ${words(command)} --help shows what is understood\n`,
      );
    },
  });
  for (const child of command.commands) settle(child);
  return command;
}

/** `done` receives the exit code of the command that ran. */
export function commands(done: Done): Command {
  const program = new Command("tapline")
    .description("Shows where packets get lost, and carries multicast where Kubernetes cannot.")
    .version(version())
    .addCommand(analyzeCommand(done))
    .addCommand(serveCommand(done))
    .addCommand(sensorCommand(done))
    .addCommand(relayCommand(done))
    .addCommand(operatorCommand(done))
    .addCommand(rulesCommand(done))
    .addCommand(listCommand(done, "flows"))
    .addCommand(listCommand(done, "gaps"))
    .addCommand(pcapCommand(done))
    .addCommand(stressCommand(done))
    .addCommand(benchCommand(done))
    .addCommand(tuneCommand(done))
    .addCommand(doctorCommand(done))
    .addHelpText(
      "after",
      examples(
        "pcap generate --packets 500k --loss 1% --output made.pcap --truth made.truth.json",
        "analyze made.pcap results.db --truth made.truth.json",
        "flows results.db 'lost>0' --sort lost",
        "serve --db results.db",
      ),
    );
  return settle(program);
}
