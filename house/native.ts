// Builds of native/ other than the release addon: tests, tests under sanitizers, fuzz targets.
import { spawnSync } from "node:child_process";

const builds = {
  tests: {
    dir: "native/build",
    options: ["-DTAPLINE_TESTS=ON"],
    targets: ["engine_tests", "bench_programs", "relay_worker", "relay_joins"],
  },
  sanitized: {
    dir: "native/build-sanitized",
    options: ["-DTAPLINE_TESTS=ON", "-DTAPLINE_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"],
    targets: ["engine_tests"],
  },
  fuzz: {
    dir: "native/build-fuzz",
    options: [
      "-DTAPLINE_FUZZ=ON",
      "-DTAPLINE_SANITIZE=address,undefined",
      "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
      "-DCMAKE_CXX_COMPILER=clang++",
    ],
    targets: [],
  },
} as const;

/** Configures and builds; returns the build's folder, or null after printing why it failed. */
export function buildNative(kind: keyof typeof builds): string | null {
  const { dir, options, targets } = builds[kind];
  const run = (program: string, ...args: string[]): boolean => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28 });
    if (status === 0) return true;
    const lines = `${stdout}${stderr}`.split("\n");
    const first = lines.findIndex((line) => /error|FAILED/i.test(line));
    console.log(`${program} ${args.join(" ")}\n${lines.slice(Math.max(first, 0), first + 40).join("\n")}`);
    return false;
  };
  const configured = run("cmake", "-S", "native", "-B", dir, "-G", "Ninja", ...options);
  return configured && run("ninja", "-C", dir, ...targets) ? dir : null;
}
