// A bar chart as SVG: one bar a name, with its spread.

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** best and worst */
  readonly from: number;
  readonly to: number;
  readonly ours: boolean;
}

const size = { width: 860, left: 220, right: 90, top: 70, row: 30, bar: 18, bottom: 20 };
const ink = "#1a1a1a";
const colours = { ours: "#1f6feb", other: "#9aa4b2" };

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

export function bars(title: string, unit: string, all: readonly Bar[]): string {
  const most = Math.max(...all.map((bar) => bar.to), 1);
  const scale = (size.width - size.left - size.right) / most;
  const px = (value: number): string => value.toFixed(1);
  const x = (value: number): number => size.left + value * scale;
  const height = size.top + all.length * size.row + size.bottom;
  const text = (at: readonly [number, number], words: string, more = ""): string =>
    `<text x="${px(at[0])}" y="${px(at[1])}" ${more}>${escaped(words)}</text>`;
  const drawn = all.flatMap((bar, i) => {
    const y = size.top + i * size.row;
    const middle = y + size.bar / 2;
    return [
      text([size.left - 10, middle + 4], bar.name, 'text-anchor="end"'),
      `<rect x="${size.left}" y="${y}" width="${px(bar.value * scale)}" height="${size.bar}" fill="${bar.ours ? colours.ours : colours.other}"/>`,
      `<line x1="${px(x(bar.from))}" x2="${px(x(bar.to))}" y1="${middle}" y2="${middle}" stroke="${ink}"/>`,
      text([x(bar.to) + 8, middle + 4], Math.round(bar.value).toString()),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" width="${size.width}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="${ink}">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    text([24, 28], title, 'font-size="16" font-weight="600"'),
    text([24, 50], unit, 'fill="#555555"'),
    ...drawn,
    "</svg>",
    "",
  ].join("\n");
}
