import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cpuListText, cpuMaskText, parseCpuList, parseCpuMask } from "./cpu-list.ts";

const cpus = fc.uniqueArray(fc.nat(1023), { maxLength: 1024 }).map((list) => list.toSorted((a, b) => a - b));

describe("CPU lists and masks", () => {
  test("come back as they went, up to 1,024 CPUs", () => {
    fc.assert(
      fc.property(cpus, (list) => {
        expect(parseCpuList(cpuListText(list))).toEqual(list);
        expect(parseCpuMask(cpuMaskText(list))).toEqual(list);
      }),
    );
  });

  test("a mask is the sum of its CPUs' powers of two", () => {
    fc.assert(
      fc.property(cpus, (list) => {
        const sum = list.reduce((all, cpu) => all | (1n << BigInt(cpu)), 0n);
        expect(BigInt(`0x${cpuMaskText(list).replaceAll(",", "")}`)).toBe(sum);
      }),
    );
  });

  test.each([
    ["0-3,8", [0, 1, 2, 3, 8]],
    ["8,0-3", [0, 1, 2, 3, 8]],
    ["0-1,1-2", [0, 1, 2]],
    ["", []],
    ["(null)", []],
    [" 1, 3 ", [1, 3]],
  ])("%j is read", (text, list) => expect(parseCpuList(text)).toEqual(list));

  test.each(["3-1", "a", "1,", "1-", "-1", "1 2", "0-99999", "0x3"])("%j is no list", (text) =>
    expect(parseCpuList(text)).toBeUndefined(),
  );

  test.each([
    ["ff,ffffffff", Array.from({ length: 40 }, (_, i) => i)],
    ["00000000,00000001,00000000", [32]],
    ["80000000", [31]],
    ["0", []],
  ])("%j is read as a mask", (text, list) => expect(parseCpuMask(text)).toEqual(list));

  test.each(["", "g", "123456789", "1,,2", "0x1"])("%j is no mask", (text) =>
    expect(parseCpuMask(text)).toBeUndefined(),
  );

  test("are written as the kernel writes them", () => {
    expect(cpuListText([8, 2, 1, 0, 3, 64])).toBe("0-3,8,64");
    expect(cpuListText([])).toBe("");
    expect(cpuMaskText([32])).toBe("1,00000000");
    expect(cpuMaskText([])).toBe("0");
  });
});
