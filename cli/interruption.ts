// Ctrl-C and `kill`: the first asks the work to end and keep what it has, the second ends the process at once.

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
  readonly requested: Promise<void>;
  /** Whether a failure came with it: Ctrl-C ends a child first, and reaches this process a moment later. */
  readonly explains: () => Promise<boolean>;
}

export const interruptedCode = 130;

export function interruption(onFirst?: () => void): Interruption {
  const controller = new AbortController();
  const requested = Promise.withResolvers<void>();
  const ask = (): void => {
    if (controller.signal.aborted) process.exit(interruptedCode);
    controller.abort();
    requested.resolve();
    onFirst?.();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, ask);
  return {
    signal: controller.signal,
    requested: requested.promise,
    explains: async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return controller.signal.aborted;
    },
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, ask);
    },
  };
}
