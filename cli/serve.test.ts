import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { folder, type Ended } from "./typed.ts";

const here = folder();
const { tapline, path } = here;
afterAll(() => here[Symbol.dispose]());
beforeAll(async () => {
  await tapline("pcap generate --packets 1000 --flows 10 --loss 5% --output made.pcap".split(" "));
  expect((await tapline(["analyze", "made.pcap", "results.db"])).code).toBe(0);
});

/** Serves until `use` is done with it, then ends it as Ctrl-C would. */
async function whileServing(use: (url: string, text: string) => Promise<void>): Promise<Ended> {
  const used = Promise.withResolvers<void>();
  const [ended] = await Promise.all([
    tapline(["serve", "--db", path("results.db"), "--port", "0"], (child) => {
      once(child.stdout ?? child, "data")
        .then(([text]) => use(/http:\S+\d/.exec(String(text))?.[0] ?? "", String(text)))
        .then(used.resolve, used.reject)
        .finally(() => child.kill("SIGINT"));
    }),
    used.promise,
  ]);
  return ended;
}

test("the queries it suggests are answered, and Ctrl-C ends it cleanly", async () => {
  const { code, stderr } = await whileServing(async (_, text) => {
    const suggested = [...text.matchAll(/curl -s '([^']+)'/g)].map(([, url]) => url ?? "");
    expect(suggested).toHaveLength(3);
    for (const url of suggested) expect((await fetch(url)).status, url).toBe(200);
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

test("a port in use is said", async () => {
  await whileServing(async (url) => {
    const { code, stderr } = await tapline(["serve", "--db", "results.db", "--port", new URL(url).port]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tapline: port \d+ .* \(PORT_IN_USE\)\n {2}hint: /);
  });
});

test("a database that does not exist, and an open address without a token, are refused", async () => {
  expect(await tapline(["serve", "--db", "none.db"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("(STORE_NOT_FOUND)"),
  });
  expect(await tapline(["serve", "--db", "results.db", "--host", "0.0.0.0"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("(API_TOKEN_REQUIRED)"),
  });
});
