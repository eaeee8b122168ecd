// /proc/net/softnet_stat: what each CPU received for the network stack, and what it dropped.
// Columns are 32-bit hexadecimal numbers and have grown: flow_limit is the 11th since Linux 3.11, the CPU's number the 13th since 5.10.
// Before, a line is an online CPU, in order.

export interface SoftnetLine {
  readonly cpu: number;
  /** 32 bits each: they wrap */
  readonly processed: number;
  readonly dropped: number;
  readonly timeSqueeze: number;
  readonly flowLimit: number;
}

export function parseSoftnet(text: string, online: readonly number[]): SoftnetLine[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line, i) => {
    const columns = line
      .trim()
      .split(/\s+/)
      .map((column) => Number.parseInt(column, 16));
    return {
      cpu: columns[12] ?? online[i] ?? i,
      processed: columns[0] ?? 0,
      dropped: columns[1] ?? 0,
      timeSqueeze: columns[2] ?? 0,
      flowLimit: columns[10] ?? 0,
    };
  });
}
