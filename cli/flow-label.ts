// One flow in a few words: how a person who knows the link would name it.
import { protocols } from "#domain/vocabulary.ts";
import type { FlowRow } from "#store/queries.ts";

export type Named = Pick<
  FlowRow,
  "protocol" | "source" | "destination" | "sci" | "an" | "spi" | "outer_vlan" | "inner_vlan"
> &
  Partial<Pick<FlowRow, "source_port" | "destination_port">>;

export const protocolName = (flow: Pick<FlowRow, "protocol">): string => protocols[flow.protocol] ?? "?";

export function flowLabel(flow: Named): string {
  const vlans = [flow.outer_vlan, flow.inner_vlan].filter((id) => id !== null).map((id) => ` vlan ${id}`);
  const host = (address: string): string => (address.includes(":") ? `[${address}]` : address);
  if (flow.sci !== null) return `SCI ${flow.sci} AN ${flow.an}${vlans.join("")}`;
  if (flow.spi !== null) {
    return `${flow.source} → ${flow.destination} SPI 0x${flow.spi.toString(16).padStart(8, "0")}${vlans.join("")}`;
  }
  return `${host(flow.source)}:${flow.source_port} → ${host(flow.destination)}:${flow.destination_port}${vlans.join("")}`;
}
