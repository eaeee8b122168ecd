// Pods of the project's image, as objects for kubectl. What a test is about it says itself; the rest is here.
import type { Manifest } from "./kubectl.ts";

/** What a test says of a container; all run the one image that is on every node. */
export interface Main {
  readonly image: string;
  readonly [key: string]: unknown;
}

const container = (main: Main) => ({ name: "main", imagePullPolicy: "IfNotPresent", ...main });

/** A script for the Node that is in the image. */
export const node = (script: string) => ({ command: ["/opt/tapline/node_modules/.bin/node", "-e", script] });

export function pod(name: string, main: Main, spec: Record<string, unknown> = {}): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 0, ...spec, containers: [container(main)] },
  };
}

export function workload(
  kind: "Deployment" | "DaemonSet",
  name: string,
  main: Main,
  more: { spec?: object; pod?: object } = {},
): Manifest {
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 0, ...more.pod, containers: [container(main)] },
      },
      ...more.spec,
    },
  };
}
