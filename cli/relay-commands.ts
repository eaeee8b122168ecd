// What can be typed about the relay: the agent itself, and its rules. Commands of their own, for they are many.
import { Command, Option } from "commander";
import { facilities, severities } from "#domain/severity.ts";
import { positive, seconds, whole } from "./arguments.ts";
import { examples, json, type Done } from "./command-parts.ts";
import type { RelayArguments } from "./relay.ts";
import type { AddArguments, RulesArguments } from "./rules.ts";

export function relayCommand(done: Done): Command {
  return new Command("relay")
    .description("relay multicast between this node's interfaces and other hops for ever, by a configuration file")
    .requiredOption("--config <file>", "YAML; every key is described in docs/reference/relay-config.md")
    .option("--check", "say whether the configuration is valid, and end", false)
    .option(
      "--uninstall",
      "end forwarding: take down programs, pins, workers and memberships that outlive the relay",
      false,
    )
    .addHelpText("after", examples("relay --config relay.yaml --check", "relay --config /etc/tapline/relay.yaml"))
    .action(async (options: RelayArguments) => {
      done(await (await import("./relay.ts")).relay(options));
    });
}

const socket = (): Option =>
  new Option("--socket <path>", "the relay's control.socket").default("/run/tapline/relay/control.sock");
const gathered = (word: string, before: readonly string[] | undefined): string[] => [...(before ?? []), word];

/** Each asks the relay, but for `check`. */
function asking(name: string, description: string): Command {
  return new Command(name).description(description).addOption(socket()).addOption(json());
}

export function rulesCommand(done: Done): Command {
  const load = async () => import("./rules.ts");
  const rules = new Command("rules").description(
    "the rules of this node's relay: change them, and see what became of packets",
  );
  rules.addCommand(
    asking("add", "add one rule; several, and tunnels, are loaded from a file")
      .requiredOption("--from <interface,destination:port>", "which packets; also vlan=10, source=10.0.0.1, protocol=esp")
      .requiredOption("--to <interface,destination:port>", "where copies go, once for each; also ttl=8, dscp=46, source=10.0.0.2, id=a", gathered) // biome-ignore format: one option
      .option("--id <id>", "what its counters follow (default: made of the input)")
      .option("--name <text>", "for people")
      .addOption(
        new Option("--engine <engine>", "what carries it (default: Auto)").choices(["Auto", "XDP", "TC", "AFPacket"]),
      )
      .option("--deliver-local", "subscribers on this node get the packets, too")
      .option("--limit <pps>", "packets a second at most", positive)
      .addHelpText(
        "after",
        examples(
          "rules add --from eth0,239.1.1.1:5000 --to eth1,239.2.2.2:5001,ttl=8",
          "rules add --id feed-a --from eth0,239.1.1.1:5000,source=10.0.0.1 --to eth1,239.1.1.1:5000 --to eth2,192.0.2.7:5000",
        ),
      )
      .action(async (options: AddArguments) => done(await (await load()).addRule(options))),
  );
  rules.addCommand(
    asking("remove", "remove rules by their ids")
      .argument("<ids...>", "as `tapline rules list` shows them")
      .action(async (ids: string[], options: RulesArguments) => done(await (await load()).removeRules(ids, options))),
  );
  rules.addCommand(
    asking("list", "every rule, what carries it, and why").action(async (options: RulesArguments) =>
      done(await (await load()).listRules(options)),
    ),
  );
  rules.addCommand(
    asking("stats", "counters and rates of each rule and output")
      .argument("[id]", "of one rule (default: of all)")
      .action(async (id: string | undefined, options: RulesArguments) =>
        done(await (await load()).showStats(id, options)),
      ),
  );
  rules.addCommand(
    asking("load", "add the rules of a file, replacing those of the same id; all or nothing")
      .argument("<file>", "YAML or JSON: docs/reference/relay-rules.md")
      .option("--replace", "rules that are not in the file are removed", false)
      .action(async (file: string, options: RulesArguments & { replace: boolean }) =>
        done(await (await load()).loadRules(file, options)),
      ),
  );
  rules.addCommand(
    asking("save", "write all rules to a file, with every field")
      .argument("<file>", "JSON; an older one is replaced")
      .action(async (file: string, options: RulesArguments) => done(await (await load()).saveRules(file, options))),
  );
  rules.addCommand(
    new Command("check")
      .description(
        "say whether files of rules are sound, without a relay; of several nodes, one file each, also loops by tunnels",
      )
      .argument("<files...>", "YAML or JSON")
      .addOption(json())
      .action(async (files: string[], options: { json?: boolean }) =>
        done(await (await load()).checkFiles(files, options)),
      ),
  );
  rules.addCommand(
    asking("workers", "engines, and the processes that carry packets in user space").action(
      async (options: RulesArguments) => done(await (await load()).showWorkers(options)),
    ),
  );
  rules.addCommand(
    asking("log-level", "show or set what the relay logs, until its next start")
      .argument("<verb>", "get or set")
      .argument("[level]", severities.join(", "))
      .option("--facility <name>", `one part only: ${facilities.join(", ")}`)
      .addHelpText("after", examples("rules log-level get", "rules log-level set debug --facility relay"))
      .action(async (verb: string, level: string | undefined, options: RulesArguments & { facility?: string }) =>
        done(await (await load()).logLevel(verb, level, options)),
      ),
  );
  rules.addCommand(
    asking("trace", "the next packets of a rule, with the verdict of each")
      .argument("<id>", "of the rule")
      .option("--packets <n>", "how many", whole(1, 10_000), 10)
      .option("--seconds <time>", "for how long at most", seconds, 10)
      .action(async (id: string, options: RulesArguments & { packets: number; seconds: number }) =>
        done(await (await load()).traceRule(id, options)),
      ),
  );
  rules.addCommand(
    asking("ping", "whether the relay answers, and how fast").action(async (options: RulesArguments) =>
      done(await (await load()).ping(options)),
    ),
  );
  rules.addCommand(
    asking("version", "which Tapline answers, and which programs run in the kernel").action(
      async (options: RulesArguments) => done(await (await load()).showVersion(options)),
    ),
  );
  rules.addCommand(
    new Command("config")
      .description("the relay's configuration")
      .addCommand(
        asking("show", "as it runs").action(async (options: RulesArguments) =>
          done(await (await load()).showConfig(options)),
        ),
      ),
  );
  return rules;
}
