// VLAN interfaces, as the kernel lists them. Enters: /proc/net/vlan/config, which is not there before the first. Leaves: the name of each, by the interface under it and its tag.
export function vlanNames(text: string): ReadonlyMap<string, string> {
  const rows = text.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  return new Map(
    rows.flatMap(([name, vlan, under]) =>
      name !== undefined && under !== undefined && /^\d+$/.test(vlan ?? "")
        ? [[vlanKey(under, Number(vlan)), name]]
        : [],
    ),
  );
}

export const vlanKey = (under: string, vlan: number): string => `${under} ${vlan}`;
