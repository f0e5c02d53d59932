/** Lines over steps 0, 1, 2, … on a logarithmic axis, as an SVG picture. */

export interface Line {
  readonly name: string;
  readonly color: string;
  /** All above 0. */
  readonly values: ArrayLike<number>;
}

/** SVG text. */
export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
}

const [width, height] = [760, 440];
const plot = { left: 84, right: width - 24, top: 84, bottom: height - 56 };

export function logLineChart(lines: readonly Line[], { title, xLabel, yLabel }: ChartOptions): string {
  const logs = lines.flatMap(({ values }) => Array.from(values, Math.log10));
  const steps = Math.max(...lines.map(({ values }) => values.length)) - 1;
  // Whole decades, in strides that leave at most eight ticks.
  const stride = Math.max(1, Math.ceil((Math.max(...logs) - Math.min(...logs)) / 8));
  const low = Math.floor(Math.min(...logs) / stride) * stride;
  const high = Math.ceil(Math.max(...logs) / stride) * stride;
  const x = (step: number): number => plot.left + (step / steps) * (plot.right - plot.left);
  const y = (log: number): number => plot.bottom - ((log - low) / (high - low)) * (plot.bottom - plot.top);
  const text = (at: string, content: string): string => `<text ${at}>${content}</text>`;
  const point = (value: number, step: number): string => `${x(step).toFixed(1)},${y(Math.log10(value)).toFixed(1)}`;

  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${title}" font-family="system-ui, 'Helvetica Neue', Arial, sans-serif" font-size="13" fill="#444">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(`x="${plot.left}" y="28" font-size="17" font-weight="600" fill="#111"`, title),
  ];
  for (let decade = low; decade <= high; decade += stride) {
    const at = y(decade).toFixed(1);
    out.push(`<path d="M${plot.left} ${at}H${plot.right}" stroke="${decade === 0 ? "#999" : "#e4e4e4"}"/>`);
    const label = decade === 0 ? "1" : `10<tspan dy="-5" font-size="10">${`${decade}`.replace("-", "−")}</tspan>`;
    out.push(text(`x="${plot.left - 8}" y="${Number(at) + 4}" text-anchor="end"`, label));
  }
  for (let step = 0; step <= steps; step += Math.max(1, Math.round(steps / 5)))
    out.push(text(`x="${x(step).toFixed(1)}" y="${plot.bottom + 20}" text-anchor="middle"`, `${step}`));
  out.push(text(`x="${(plot.left + plot.right) / 2}" y="${height - 14}" text-anchor="middle"`, xLabel));
  out.push(text(`transform="translate(22 ${(plot.top + plot.bottom) / 2}) rotate(-90)" text-anchor="middle"`, yLabel));

  lines.forEach(({ name, color, values }, i) => {
    const left = plot.left + (i * (plot.right - plot.left)) / lines.length;
    out.push(`<path d="M${left.toFixed(1)} 54h22" stroke="${color}" stroke-width="3"/>`);
    out.push(text(`x="${(left + 28).toFixed(1)}" y="58" fill="#111"`, name));
    const points = Array.from(values, point).join(" ");
    out.push(`<polyline points="${points}" fill="none" stroke="${color}" stroke-width="2.2" stroke-linejoin="round"/>`);
  });
  return `${[...out, "</svg>"].join("\n")}\n`;
}
