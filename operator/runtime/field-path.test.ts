import { expect, it } from "vitest";
import { without } from "./field-path.ts";

const object = {
  metadata: { labels: { app: "a", "app.kubernetes.io/name": "b" } },
  spec: {
    replicas: 2,
    items: [
      { name: 'x"]y', port: 1, image: "i" },
      { name: "z", port: 2 },
    ],
    names: ["one", "two"],
    numbers: [7, 8],
  },
};

it.each([
  [".spec.replicas", { spec: { ...object.spec, replicas: undefined } }],
  [".metadata.labels.app", { metadata: { labels: { "app.kubernetes.io/name": "b" } } }],
  [".metadata.labels.app.kubernetes.io/name", { metadata: { labels: { app: "a" } } }],
  [
    '.spec.items[name="x\\"]y",port=1].image',
    { spec: { ...object.spec, items: [{ name: 'x"]y', port: 1 }, object.spec.items[1]] } },
  ],
  ['.spec.items[name="z"]', { spec: { ...object.spec, items: [object.spec.items[0]] } }],
  ['.spec.names[="two"]', { spec: { ...object.spec, names: ["one"] } }],
  [".spec.numbers[=7]", { spec: { ...object.spec, numbers: [8] } }],
  [".spec.numbers[1]", { spec: { ...object.spec, numbers: [7] } }],
])("takes off %s and nothing else", (path, less) => {
  expect(without(object, path)).toEqual({ ...object, ...less });
});

it.each([
  ".spec.other",
  ".spec.rep",
  '.spec.items[name="q"].image',
  ".spec.items.image",
  "spec",
  "",
  "[0]",
  '.spec.items[name="z',
])("says that there is no %s", (path) => {
  expect(without(object, path)).toBeUndefined();
});
