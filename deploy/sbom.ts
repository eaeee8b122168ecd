// The image's bill of materials (CycloneDX 1.6), made within the image from what is installed there.
// Enters: the app's folder (npm's own record of what it installed), Debian's packages as lines of name, version, architecture, source. Leaves: one JSON file.
// It holds packages, not files: what native/ compiled in (headers of node-addon-api) stands as a package of npm, and libc++ parts of Debian's g++ do not.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Component {
  readonly type: "application" | "library";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly { readonly expression: string }[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

interface Installed {
  readonly packages: Readonly<
    Record<
      string,
      { readonly version?: string; readonly license?: string; readonly integrity?: string; readonly dev?: boolean }
    >
  >;
}

/** A package that the image no longer has a folder of was thrown out on purpose. */
export function npmComponents(lock: Installed, isThere: (path: string) => boolean): Component[] {
  return Object.entries(lock.packages).flatMap(([path, { version, license, integrity, dev }]) => {
    if (path === "" || version === undefined || dev === true || !isThere(path)) return [];
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
    const [algorithm, digest] = integrity?.split("-") ?? [];
    return [
      {
        type: "library" as const,
        "bom-ref": `${purl}#${path}`,
        name,
        version,
        purl,
        ...(license !== undefined && { licenses: [{ expression: license }] }),
        ...(algorithm === "sha512" &&
          digest !== undefined && {
            hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }],
          }),
      },
    ];
  });
}

export function debianComponents(lines: string): Component[] {
  return lines
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [name = "", version = "", architecture = "", source = ""] = line.split("\t");
      const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}&distro=debian-12&upstream=${source}`;
      return { type: "library" as const, "bom-ref": purl, name, version, purl };
    });
}

if (import.meta.main) {
  const [app = "", debian = "", output = ""] = process.argv.slice(2);
  const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
  const { name, version } = read(join(app, "package.json")) as { name: string; version: string };
  const lock = read(join(app, "node_modules/.package-lock.json")) as Installed;
  const components = [
    ...npmComponents(lock, (path) => existsSync(join(app, path))),
    ...debianComponents(readFileSync(debian, "utf8")),
  ];
  const root = { type: "application", "bom-ref": "tapline", name, version, purl: `pkg:generic/${name}@${version}` };
  const bom = { bomFormat: "CycloneDX", specVersion: "1.6", version: 1, metadata: { component: root }, components };
  writeFileSync(output, `${JSON.stringify(bom, null, 1)}\n`);
}
