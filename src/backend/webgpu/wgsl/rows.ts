/** Softmax and cross-entropy: lanes that work together on a row. */
import type { CrossEntropy, Softmax } from "../../../program/program.js";
import type { KernelDispatch, Planning } from "../dispatch.js";
import { eachColumn, type Lanes, laneRow, lanesFor, meetings } from "./lanes.js";
import { literal } from "./literal.js";
import { createSource, gridOf, type Matrix, type Source, shaderOf } from "./source.js";

/** Declares `largest` and `total`: log Σ exp(x) is largest + log(total). */
const logSumExp = (lanes: Lanes, x: Matrix, columns: string): string => `var most = ${literal(-Infinity)};
  ${eachColumn(lanes, columns, `most = maximum(most, ${x.load(x.at("row", "c"))});`)}
  let largest = largestOf(lane, most);
  var sum = 0.0;
  ${eachColumn(lanes, columns, `sum += exponential(${x.load(x.at("row", "c"))} - largest);`)}
  let total = sumOf(lane, sum);`;

export function planSoftmax(softmax: Softmax, { locate, flag, limits }: Planning): readonly KernelDispatch[] {
  const { input } = softmax;
  const source = createSource(locate, flag);
  const lanes = lanesFor(input.columns, limits);
  const body = softmaxRows(source, softmax, lanes);
  const code = shaderOf({ source, size: lanes.size, declarations: meetings(lanes, body), body });
  const workgroups = gridOf(Math.ceil(input.rows / lanes.rows));
  return [{ how: `rows, ${lanes.perRow} lanes each`, code, workgroups, parameters: source.parameters }];
}

/** Each row's softmax, by the lanes of the row. */
export function softmaxRows(source: Source, { input, out, log }: Softmax, lanes: Lanes): string {
  const [from, to] = [source.matrix(input), source.matrix(out)];
  const [rows, columns] = [source.word(input.rows), source.word(input.columns)];
  const x = `${from.load(from.at("row", "c"))} - largest`;
  const value = log ? `${x} - logTotal` : `exponential(${x}) / total`;
  return `${laneRow(lanes, rows)}
  ${logSumExp(lanes, from, columns)}
  ${log ? "let logTotal = logarithm(total);" : ""}
  if (isRow) { ${eachColumn(lanes, columns, to.store(to.at("row", "c"), value))} }`;
}

export function planCrossEntropy(
  { logits, target, weights, smoothing, scale, out }: CrossEntropy,
  { locate, flag, limits }: Planning,
): readonly KernelDispatch[] {
  const source = createSource(locate, flag);
  const [from, index, to] = [source.matrix(logits), source.matrix(target), source.matrix(out)];
  const perClass = weights && source.matrix(weights);
  const factor = scale && source.matrix(scale);
  const [rows, columns] = [source.word(logits.rows), source.word(logits.columns)];
  const lanes = lanesFor(logits.columns, limits);
  // q of class c, declared as `q`.
  const weight = perClass ? `${perClass.load(perClass.at("0u", "c"))} * ` : "";
  const share = `${weight}(select(0.0, ${literal(1 - smoothing)}, c == y) + spread)`;
  const q = `let q = select(0.0, ${share}, counts);`;
  const declared = `${laneRow(lanes, rows)}
  let y = u32(${index.load(index.at("row", "0u"))});
  // A negative number is a large one without its sign.
  let counts = y < ${columns};
  let spread = ${literal(smoothing)} / f32(${columns});
  ${logSumExp(lanes, from, columns)}
  var mine = 0.0;`;
  const x = `(${from.load(from.at("row", "c"))} - largest)`;
  const body = factor
    ? `${declared}
  ${eachColumn(lanes, columns, `${q} mine += q;`)}
  let mass = sumOf(lane, mine);
  let factor = ${factor.load(factor.at(scale.rows === 1 ? "0u" : "row", "0u"))};
  if (isRow) { ${eachColumn(lanes, columns, `${q} ${to.store(to.at("row", "c"), `factor * (exponential(${x}) / total * mass - q)`)}`)} }`
    : `${declared}
  let logTotal = logarithm(total);
  ${eachColumn(lanes, columns, `${q} if (q != 0.0) { mine -= q * (${x} - logTotal); }`)}
  let loss = sumOf(lane, mine);
  if (isRow && first == 0u) { ${to.store(to.at("row", "0u"), "loss")} }`;
  const code = shaderOf({ source, size: lanes.size, declarations: meetings(lanes, body), body });
  const workgroups = gridOf(Math.ceil(logits.rows / lanes.rows));
  return [{ how: `rows, ${lanes.perRow} lanes each`, code, workgroups, parameters: source.parameters }];
}
