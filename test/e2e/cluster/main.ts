// `npm run cluster -- up|down|status|shell|image|load|tool`: a real Kubernetes on this machine. Read up.ts next.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { down } from "./down.ts";
import { archive, projectImage } from "./images.ts";
import { binFolder, instance, kubeconfigPath, readState } from "./instance.ts";
import { Machine } from "./machine.ts";
import { loadEverywhere } from "./node.ts";
import { ClusterProblem } from "./problems.ts";
import { defaultKubernetes, kubernetesVersions, provide, tools } from "./programs.ts";
import { instances, status } from "./status.ts";
import { up } from "./up.ts";
import { mostNodes } from "./wiring.ts";

const help = `npm run cluster -- COMMAND [--name local]

  up [--nodes 3] [--kubernetes ${defaultKubernetes()}] [--port N]   brings a cluster up; ${kubernetesVersions().join(", ")} are pinned
  down [--all]            ends it; only its logs stay
  status                  every cluster of this checkout
  shell [MACHINE]         a shell with KUBECONFIG and kubectl, or one on control, node1, …
  image                   builds the project's image and takes it into every node; prints its name
  load ARCHIVE            takes an image (docker save, buildah push docker-archive:) into every node
  tool NAME               builds ${tools.map(({ name }) => name).join(", ")} when need be, and prints its path

Everything of a cluster is in build/cluster/NAME; what it is built from is kept in ~/.cache/tapline/cluster.`;

const say = (text: string): void => {
  process.stderr.write(`cluster: ${text}\n`);
};

const whole = (name: string, text: string, least: number, most: number): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new ClusterProblem("USAGE", { detail: `--${name} is a whole number from ${least} to ${most}, not ${text}` });
  return value;
};

async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      name: { type: "string", default: "local" },
      nodes: { type: "string", default: "3" },
      kubernetes: { type: "string", default: defaultKubernetes() },
      port: { type: "string", default: "0" },
      all: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [command = "help", argument, ...rest] = positionals;
  if (rest.length > 0) throw new ClusterProblem("USAGE", { detail: `too many words: ${rest.join(" ")}` });
  const cluster = instance(values.name);
  if (values.help || command === "help") {
    console.log(help);
    return 0;
  }
  switch (command) {
    case "up": {
      const nodes = whole("nodes", values.nodes, 1, mostNodes);
      await up(
        cluster,
        { nodes, kubernetes: values.kubernetes, port: whole("port", values.port, 0, 65535) },
        say,
        signal,
      );
      console.log(await status(cluster));
      return 0;
    }
    case "down":
      for (const each of values.all ? instances() : [cluster]) await down(each);
      return 0;
    case "status": {
      const all = instances();
      for (const each of all) console.log(await status(each));
      if (all.length === 0) console.log("no cluster of this checkout is up");
      return 0;
    }
    case "shell":
      return shell(values.name, argument);
    case "load": {
      if (argument === undefined || !existsSync(argument))
        throw new ClusterProblem("USAGE", { detail: `load takes an archive's path, not ${argument ?? "nothing"}` });
      await loadEverywhere(cluster, argument, signal);
      return 0;
    }
    case "image": {
      const image = await projectImage(say, signal);
      await loadEverywhere(cluster, await archive(image, signal), signal);
      console.log(image);
      return 0;
    }
    case "tool": {
      const found = tools.find(({ name }) => name === argument);
      if (found === undefined) throw new ClusterProblem("USAGE", { detail: `there is no tool ${argument ?? ""}` });
      console.log((await provide(found, say, signal)).path);
      return 0;
    }
    default:
      throw new ClusterProblem("USAGE", { detail: `there is no command ${command}` });
  }
}

/** Until the person leaves it; its exit code. */
function shell(name: string, machine: string | undefined): Promise<number> {
  const cluster = instance(name);
  if (readState(cluster) === undefined) throw new ClusterProblem("NOT_UP", { name });
  const [program, args]: [string, string[]] =
    machine === undefined ? [process.env["SHELL"] ?? "bash", []] : Machine.of(cluster, machine).enter("bash");
  const env = {
    ...process.env,
    KUBECONFIG: kubeconfigPath(cluster),
    PATH: `${binFolder(cluster)}:${process.env["PATH"]}`,
  };
  return new Promise((resolve, reject) => {
    spawn(program, args, { stdio: "inherit", env })
      .once("error", reject)
      .once("exit", (code) => resolve(code ?? 1));
  });
}

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const)
  process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)));

try {
  process.exitCode = await main(process.argv.slice(2), interrupted.signal);
} catch (error) {
  if (error instanceof ClusterProblem) {
    say(`${error.message} (${error.code})`);
    say(`remedy: ${error.remedy}`);
    process.exitCode = error.code === "USAGE" ? 2 : 1;
  } else if (interrupted.signal.aborted) {
    say("interrupted; what was made is taken down");
    process.exitCode = 130;
  } else if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) {
    say(`${error.message}`);
    process.exitCode = 2;
  } else throw error;
}
