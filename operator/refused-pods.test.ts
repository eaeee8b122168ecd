// What is said of pods that the apiserver refuses.
import { expect, test } from "vitest";
import { refusalText } from "./refused-pods.ts";

test("a namespace's pod-security level is named, with what it forbids and the command that allows it", () => {
  const message = 'Error creating: pods "tapline-sensor-edge-x2x" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true), hostPath volumes (volume "store")';
  expect(refusalText(message, "tapline-system", { wanted: 3, there: 1 })).toBe(
    '2 of 3 pods are refused: namespace tapline-system enforces the pod-security level baseline, which forbids what agents need (host namespaces (hostNetwork=true), hostPath volumes (volume "store")). Allow it: kubectl label --overwrite namespace tapline-system pod-security.kubernetes.io/enforce=privileged',
  );
}); // biome-ignore format: long texts

test("any other refusal is told in its own words", () => {
  const message = 'Error creating: pods "a" is forbidden: exceeded quota: pods';
  expect(refusalText(message, "n", { wanted: 2, there: 0 })).toBe(`2 of 2 pods are refused: ${message}`);
});
