// The keys of a flow, out of its record or out of a gap's, as the store writes them.
import { cellOffsets, flowRecord } from "#domain/records.ts";
import { protocols } from "#domain/vocabulary.ts";
import { ipv4Text, ipv6Text, macText, sciText } from "#store/address.ts";
import type { FlowRow } from "#store/queries.ts";
import type { FlowCells } from "./tally.ts";

const at = cellOffsets(flowRecord);

export type FlowName = Pick<
  FlowRow,
  | "protocol"
  | "source"
  | "destination"
  | "sci"
  | "an"
  | "spi"
  | "outer_vlan"
  | "inner_vlan"
  | "source_port"
  | "destination_port"
>;

export const flowName = ({ raw }: FlowCells): FlowName => nameOf(raw, at);

/** `raw`: one record. `at`: where its cells are. */
export function nameOf(
  raw: Uint8Array,
  at: Readonly<Record<"meta" | "tags" | "sci" | "source" | "destination", number>>,
): FlowName {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const meta = (i: number): number => raw[at.meta * 8 + i] ?? 0;
  const tags = at.tags * 8;
  const name = protocols[meta(0)];
  const text = name === "macsec" ? macText : meta(2) === 1 ? ipv6Text : ipv4Text;
  const port = (offset: number): number | null =>
    name === "tcp" || name === "udp" ? view.getUint16(tags + offset) : null;
  return {
    protocol: meta(0),
    source: text(raw, at.source * 8),
    destination: text(raw, at.destination * 8),
    sci: name === "macsec" ? sciText(raw, at.sci * 8) : null,
    an: name === "macsec" ? meta(3) : null,
    spi: name === "esp" || name === "ah" ? view.getUint32(tags + 4) : null,
    outer_vlan: meta(6) > 0 ? view.getUint16(tags) : null,
    inner_vlan: meta(6) > 1 ? view.getUint16(tags + 2) : null,
    source_port: port(4),
    destination_port: port(6),
  };
}
