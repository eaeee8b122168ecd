// tapline tune and tapline doctor as they are typed; what they change is tested on the wire.
import { afterAll, expect, test } from "vitest";
import { folder } from "./typed.ts";

const here = folder();
const { tapline } = here;
afterAll(() => here[Symbol.dispose]());

test("an interface that does not exist", async () => {
  for (const name of ["nowhere", "../../etc/passwd", "a/b", "x".repeat(300)]) {
    for (const option of [[], ["--apply"], ["--restore"]]) {
      const { code, stdout, stderr } = await tapline(["tune", name, ...option]);
      expect({ code, stdout }, name).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain("(INTERFACE_NOT_FOUND)");
      expect(stderr).toContain("hint: ");
    }
  }
});

test("--apply and --restore together, and no interface at all, are not understood", async () => {
  for (const args of [["lo", "--apply", "--restore"], []]) {
    const { code, stderr } = await tapline(["tune", ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain("(USAGE)");
  }
});

test("the loopback interface: nothing to change, and why nothing applies", async () => {
  const { code, stdout } = await tapline(["tune", "lo", "--state", here.path("lo.json")]);
  expect(code).toBe(0);
  expect(stdout).toContain("Does not apply here:");
  expect(stdout).toMatch(/interrupts: an interface made of software has none/);
});

test("doctor: a table that names every check, and each remedy once", async () => {
  const { stdout } = await tapline(["doctor", "--store", here.path("store")]);
  const told = JSON.parse((await tapline(["doctor", "--store", here.path("store"), "--json"])).stdout) as {
    checks: readonly { name: string; remedy?: string }[];
  };
  const [rows = ""] = stdout.split("What to do, and why:");
  for (const { name } of told.checks)
    expect(rows).toMatch(new RegExp(`^[✓!✗–] {2}${name.replaceAll(".", "\\.")} `, "m"));
  for (const remedy of new Set(told.checks.flatMap((one) => one.remedy ?? [])))
    expect(stdout.split(`    ${remedy}\n`)).toHaveLength(2);
  expect(stdout).toMatch(/^This node can/m);
});
