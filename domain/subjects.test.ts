import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  everyFinding,
  everyReport,
  findingStream,
  findingSubject,
  inboxPrefix,
  nameToken,
  parseSubject,
  querySubject,
  reportSubject,
  tokenName,
} from "./subjects.ts";

const awkward = fc.constantFrom(
  ".",
  "*",
  ">",
  " ",
  "%",
  "%2E",
  "$",
  "\t",
  "\r\n",
  "\0",
  "é",
  "節",
  "🛰",
  "/",
  "\\",
  "_",
  "-",
);
const name = fc
  .oneof(
    fc.string({ unit: "binary", minLength: 1, maxLength: 30 }),
    fc
      .array(fc.oneof(awkward, fc.string({ maxLength: 4 })), { minLength: 1, maxLength: 8 })
      .map((parts) => parts.join("")),
  )
  .filter((text) => text !== "");
const shortName = name.filter((text) => nameToken(text).length <= 200);
const place = fc.record({ fleet: shortName, pool: name, node: name });

describe("names on NATS", () => {
  test("any name is one token, and comes back", () => {
    fc.assert(
      fc.property(name, (text) => {
        const token = nameToken(text);
        expect(token).toMatch(/^[A-Za-z0-9_%-]+$/);
        expect(tokenName(token)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  test("a token has one name: what nameToken does not write is refused", () => {
    const token = fc.array(fc.constantFrom("a", "%2E", "%2e", "%41", "%", "%C3", "%A9", ".", "%C3%A9"), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(token, (parts) => {
        const text = parts.join("");
        const found = tokenName(text);
        if (found !== undefined) expect(nameToken(found)).toBe(text);
      }),
      { numRuns: 1000 },
    );
    for (const refused of ["", "a.b", "%41", "%2e", "%C3", "%", "a b", ">"]) expect(tokenName(refused)).toBeUndefined();
  });

  test("subjects tell who sent them", () => {
    fc.assert(
      fc.property(place, (at) => {
        expect(parseSubject(reportSubject(at))).toEqual({ kind: "report", ...at });
        expect(parseSubject(findingSubject(at))).toEqual({ kind: "finding", ...at });
        expect(parseSubject(querySubject(at))).toEqual({ kind: "query", ...at });
      }),
    );
  });

  test("the names are the contract", () => {
    const at = { fleet: "prod", pool: "edge", node: "node-1.example.com" };
    expect(reportSubject(at)).toBe("tapline.prod.report.sensor.edge.node-1%2Eexample%2Ecom");
    expect(findingSubject(at)).toBe("tapline.prod.finding.edge.node-1%2Eexample%2Ecom");
    expect(querySubject(at)).toBe("tapline.prod.query.edge.node-1%2Eexample%2Ecom");
    expect(inboxPrefix(at)).toBe("_INBOX.tapline.prod.sensor.edge.node-1%2Eexample%2Ecom");
    expect(findingStream("prod eu")).toBe("TAPLINE-FINDINGS-prod%20eu");
    expect(everyFinding("prod")).toBe("tapline.prod.finding.>");
    expect(everyReport("prod")).toBe("tapline.prod.report.sensor.>");
  });

  test.each(["", "\ud800", "x".repeat(766)])("%j is no name", (text) =>
    expect(() => nameToken(text)).toThrow(expect.objectContaining({ code: "BUS_BAD_NAME" })),
  );
  test("a fleet's name fits into a directory's", () => {
    expect(findingStream("é".repeat(33))).toHaveLength(17 + 198);
    expect(() => findingStream("é".repeat(34))).toThrow(expect.objectContaining({ code: "BUS_BAD_NAME" }));
  });

  test.each([
    "tapline.f.report.relay.p.n",
    "tapline.f.finding.p",
    "tapline.f.finding.p.n.x",
    "tapline..finding.p.n",
    "x.f.query.p.n",
    "tapline.f.query.p.%2e",
  ])("%s is no subject of a sensor", (subject) => expect(parseSubject(subject)).toBeUndefined());
});
