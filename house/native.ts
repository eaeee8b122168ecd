// Builds of native/ other than the release addon: tests, tests under sanitizers, fuzz targets.
import { execFileSync, spawnSync } from "node:child_process";

const builds = {
  tests: { dir: "native/build", options: ["-DTAPLINE_TESTS=ON"], targets: ["engine_tests"] },
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
  execFileSync("cmake", ["-S", "native", "-B", dir, "-G", "Ninja", "--log-level=WARNING", ...options], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const result = spawnSync("ninja", ["-C", dir, "--quiet", ...targets], { stdio: "inherit" });
  return result.status === 0 ? dir : null;
}
