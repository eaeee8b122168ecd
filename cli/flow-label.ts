// One flow in a few words: how a person who knows the link would name it.
import { cellOffsets, flowRecord } from "#domain/records.ts";
import { protocols } from "#domain/vocabulary.ts";
import { ipv4Text, ipv6Text, sciText } from "#store/address.ts";
import type { FlowCells } from "#sensor/tally.ts";

const at = cellOffsets(flowRecord);

export function flowLabel({ raw }: FlowCells): string {
  const view = new DataView(raw.buffer, raw.byteOffset);
  const meta = (i: number): number => raw[at.meta * 8 + i] ?? 0;
  const address = (cell: number): string => (meta(2) === 1 ? ipv6Text(raw, cell * 8) : ipv4Text(raw, cell * 8));
  const host = (cell: number): string => (meta(2) === 1 ? `[${address(cell)}]` : address(cell));
  const tags = at.tags * 8;
  const vlans = [0, 2].slice(0, meta(6)).map((offset) => ` vlan ${view.getUint16(tags + offset)}`);
  switch (protocols[meta(0)]) {
    case "macsec":
      return `SCI ${sciText(raw, at.sci * 8)} AN ${meta(3)}${vlans.join("")}`;
    case "esp":
    case "ah":
      return `${address(at.source)} → ${address(at.destination)} SPI 0x${view
        .getUint32(tags + 4)
        .toString(16)
        .padStart(8, "0")}${vlans.join("")}`;
    default:
      return `${host(at.source)}:${view.getUint16(tags + 4)} → ${host(at.destination)}:${view.getUint16(tags + 6)}${vlans.join("")}`;
  }
}
