/**
 * How far back does a gradient reach? The loss is the last of 100 outputs; ‖∂loss/∂h_t‖ is what arrives of it at step t. On the
 * way a vanilla RNN multiplies it by the same weights at each step, so that it vanishes or explodes (Bengio, Simard & Frasconi
 * 1994). An LSTM hands it on through its cell, c' = f∘c + i∘g, where it is only scaled by the forget gate.
 *
 * Untrained cells of 32 units, on random inputs. Their recurrent weights are orthogonal matrices (one for each gate) × a factor.
 *
 *   npx tsx examples/gradient-flow.ts [picture.svg]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Cell, gradientFlow, initializers, lstm, rnn } from "throughtime";
import { runCommand } from "./command-line.js";
import { logLineChart } from "./line-chart.js";

const { gateBias, orthogonal, xavierUniform, zeroInit } = initializers;
const start = { weight_ih: xavierUniform(), bias_ih: zeroInit, bias_hh: zeroInit };

const cells: Record<string, (hidden: number, factor: number) => Cell> = {
  RNN: (hidden, gain) => rnn(hidden, { initial: { ...start, weight_hh: orthogonal({ gain }) } }),
  LSTM: (hidden, gain) =>
    lstm(hidden, {
      // Gates in the order i, f, g, o: a forget bias of 1.
      initial: { ...start, weight_hh: orthogonal({ gain, blocks: 4 }), bias_ih: gateBias(zeroInit, 1, 4, 1) },
    }),
};

const shown = [
  { name: "RNN × 1", cell: "RNN", factor: 1, color: "#0072b2" },
  { name: "RNN × 2", cell: "RNN", factor: 2, color: "#d55e00" },
  { name: "LSTM × 2, forget bias 1", cell: "LSTM", factor: 2, color: "#009e73" },
];

/** Norms by time step for each line of the picture. */
export async function main({
  steps = 100,
  hidden = 32,
  seed = 1,
  picture = "",
} = {}): Promise<Record<string, number[]>> {
  const flowOf = async (cell: string, factor: number): Promise<number[]> => {
    const [layer] = await gradientFlow(cells[cell]!(hidden, factor), { inputShape: [steps, 16, 8], seed });
    return Array.from(layer!.norms);
  };
  const small = (value: number): string => value.toExponential(1).padStart(10);

  console.log("‖∂loss/∂h_t‖, the loss at the last step");
  const times = [0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => Math.min(Math.round(share * steps), steps - 1));
  console.log(`${"t =".padStart(24)}${times.map((t) => `${t}`.padStart(10)).join("")}`);
  const lines = [];
  for (const line of shown) {
    const values = await flowOf(line.cell, line.factor);
    lines.push({ ...line, values });
    console.log(`${line.name.padEnd(24)}${times.map((t) => small(values[t]!)).join("")}`);
  }

  console.log(
    "\n‖∂loss/∂h_t‖ at the first step, as a share of that at the last, by the factor on the recurrent weights",
  );
  const factors = [0.8, 1, 1.4, 2, 3];
  console.log(`${"×".padStart(24)}${factors.map((factor) => `${factor}`.padStart(10)).join("")}`);
  for (const cell of Object.keys(cells)) {
    const flows = await Promise.all(factors.map((factor) => flowOf(cell, factor)));
    console.log(`${cell.padEnd(24)}${flows.map((values) => small(values[0]! / values.at(-1)!)).join("")}`);
  }

  if (picture) {
    const title = "How much of the last step's gradient arrives at step t";
    const xLabel = "time step t (× 1, × 2: factor on orthogonal recurrent weights)";
    const yLabel = '‖∂loss/∂h<tspan dy="3" font-size="10">t</tspan><tspan dy="-3">‖</tspan>';
    mkdirSync(dirname(picture), { recursive: true });
    writeFileSync(picture, logLineChart(lines, { title, xLabel, yLabel }));
    console.log(`\nPicture: ${picture}`);
  }
  return Object.fromEntries(lines.map(({ name, values }) => [name, values]));
}

if (import.meta.filename === process.argv[1])
  await runCommand(() => main({ picture: process.argv[2] ?? "runs/gradient-flow.svg" }));
