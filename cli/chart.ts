// A line chart as SVG: packets of a capture across (logarithmic), packets per second upwards.
import { count } from "./numbers.ts";

export interface Line {
  readonly name: string;
  readonly colour: string;
  /** [packets, packets per second] */
  readonly points: readonly (readonly [number, number])[];
}

const size = { width: 860, height: 460, left: 84, right: 150, top: 56, bottom: 64 };
const ink = "#1a1a1a";
const faint = "#d9d9d9";

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** 10.0 M → 10 M: an axis has round numbers. */
const round = (value: number): string =>
  count(value)
    .replace(/\.0+ /, " ")
    .replace(/(\.\d)0 /, "$1 ");

/** A round step of 1, 2 or 5 × 10ⁿ that divides `most` into four to eight parts. */
function stepFor(most: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(most / 4));
  return [1, 2, 5, 10].map((factor) => factor * magnitude).find((step) => most / step <= 8) ?? 10 * magnitude;
}

export function chart(title: string, lines: readonly Line[]): string {
  const all = lines.flatMap((line) => line.points);
  const xs = all.map(([x]) => Math.log10(x));
  const from = Math.floor(Math.min(...xs));
  const to = Math.max(Math.ceil(Math.max(...xs)), from + 1);
  const step = stepFor(Math.max(...all.map(([, y]) => y)));
  const most = Math.ceil(Math.max(...all.map(([, y]) => y)) / step) * step;

  const plotWidth = size.width - size.left - size.right;
  const plotHeight = size.height - size.top - size.bottom;
  const x = (packets: number): number => size.left + ((Math.log10(packets) - from) / (to - from)) * plotWidth;
  const y = (rate: number): number => size.top + plotHeight * (1 - rate / most);
  const px = (value: number): string => value.toFixed(1);
  const label = (at: readonly [number, number], text: string, more = ""): string =>
    `<text x="${px(at[0])}" y="${px(at[1])}" ${more}>${escaped(text)}</text>`;

  const across = Array.from({ length: Math.round(most / step) + 1 }, (_, i) => i * step).flatMap((rate) => [
    `<line x1="${size.left}" x2="${size.width - size.right}" y1="${px(y(rate))}" y2="${px(y(rate))}" stroke="${rate === 0 ? ink : faint}"/>`,
    label([size.left - 10, y(rate) + 4], round(rate), 'text-anchor="end"'),
  ]);
  const up = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)).flatMap((packets) => [
    `<line x1="${px(x(packets))}" x2="${px(x(packets))}" y1="${size.top}" y2="${size.height - size.bottom}" stroke="${faint}"/>`,
    label([x(packets), size.height - size.bottom + 20], round(packets), 'text-anchor="middle"'),
  ]);
  // Names stand at the lines' ends, moved apart where those are close.
  const ends = lines.map((line) => ({ line, at: y(line.points.at(-1)?.[1] ?? 0) })).toSorted((a, b) => a.at - b.at);
  for (const [i, end] of ends.entries()) end.at = Math.max(end.at, (ends[i - 1]?.at ?? -Infinity) + 18);
  const drawn = ends.flatMap(({ line, at }) => [
    `<polyline fill="none" stroke="${line.colour}" stroke-width="2.5" stroke-linejoin="round" points="${line.points.map(([p, r]) => `${px(x(p))},${px(y(r))}`).join(" ")}"/>`,
    ...line.points.map(
      ([p, r]) =>
        `<circle cx="${px(x(p))}" cy="${px(y(r))}" r="4" fill="${line.colour}"><title>${escaped(`${line.name}: ${count(p)} packets, ${count(r)} packets/s`)}</title></circle>`,
    ),
    label([x(line.points.at(-1)?.[0] ?? 1) + 12, at + 5], line.name, `fill="${line.colour}" font-weight="600"`),
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="${ink}">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    label([size.left, 30], title, 'font-size="16" font-weight="600"'),
    ...across,
    ...up,
    ...drawn,
    label(
      [size.left + plotWidth / 2, size.height - 16],
      "packets in the capture (logarithmic)",
      'text-anchor="middle"',
    ),
    label(
      [0, 0],
      "packets per second",
      `text-anchor="middle" transform="translate(22 ${size.top + plotHeight / 2}) rotate(-90)"`,
    ),
    "</svg>",
    "",
  ].join("\n");
}
