import { expect, test } from "vitest";
import { debianComponents, npmComponents } from "./sbom.ts";

const installed = {
  packages: {
    "": { version: "0.1.0" },
    "node_modules/fastify": {
      version: "5.12.8",
      license: "MIT",
      integrity: `sha512-${Buffer.alloc(64, 7).toString("base64")}`,
    },
    "node_modules/@fastify/helmet": { version: "13.2.0", license: "MIT" },
    "node_modules/fastify/node_modules/pino": { version: "9.0.0" },
    "node_modules/vitest": { version: "5.1.1", dev: true },
    "node_modules/node-addon-api": { version: "8.9.2" },
  },
};

test("a bill of materials has the npm packages that are in the image, also scoped and nested ones, with their digests", () => {
  const components = npmComponents(installed, (path) => !path.endsWith("node-addon-api"));
  expect(components.map(({ purl }) => purl)).toEqual([
    "pkg:npm/fastify@5.12.8",
    "pkg:npm/%40fastify/helmet@13.2.0",
    "pkg:npm/pino@9.0.0",
  ]);
  expect(components[0]).toMatchObject({
    licenses: [{ expression: "MIT" }],
    hashes: [{ alg: "SHA-512", content: "07".repeat(64) }],
  });
  expect(new Set(components.map((component) => component["bom-ref"])).size).toBe(3);
});

test("and Debian's, whose versions hold characters that a URL does not", () => {
  const [one, two] = debianComponents("libbpf1\t1:1.1.2-0+deb12u1\tamd64\tlibbpf\nlibc6\t2.36-9\tamd64\tglibc\n");
  expect(one?.purl).toBe("pkg:deb/debian/libbpf1@1%3A1.1.2-0%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=libbpf");
  expect(two?.name).toBe("libc6");
});
