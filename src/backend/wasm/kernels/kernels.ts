/** The functions of all kernels, one for each shape. */
import { kept } from "../../../graph/maps.js";
import type { Kernel, View } from "../../../program/program.js";
import { withViews } from "../../../program/views.js";
import { emitChain } from "./chain.js";
import type { Argument, Call, Emission } from "./emission.js";
import { emitFill } from "./fill.js";
import { isRare } from "./pointwise.js";
import { emitProduct, hasFew } from "./products/products.js";
import { emitReduce, isAcross } from "./reduce.js";

/** Whether a kernel wants what is loaded on demand. */
export const usesRare = (kernel: Kernel): boolean =>
  ["transpose", "softmax", "crossEntropy", "gather", "scatter"].includes(kernel.kind) ||
  (kernel.kind === "product" && hasFew(kernel)) ||
  (kernel.kind === "reduce" && isAcross(kernel)) ||
  (kernel.kind === "chain" && kernel.code.some(isRare));

interface Calls {
  readonly prepare?: Call;
  readonly call: Call;
}

/** `prepared`: what the kernel multiplies with does not change in its loop, and is made ready before it. */
type EmitKernel = (kernel: Kernel, prepared: boolean) => Calls;

/** Where a view begins. */
const placeOf = ({ buffer, offset, step, perRow }: View): string => [buffer, offset, step, perRow].join();

/** Emits kernels that differ in nothing but where their numbers lie only once. */
export function oncePerShape(emission: Emission): EmitKernel {
  const emitted = new Map<string, { readonly calls: Calls; readonly places: readonly string[] }>();
  return (kernel, prepared) => {
    const views: View[] = [];
    const firsts = new Map<number, readonly [number: number, view: View]>();
    const moves = new Map<number, number>();
    const shape = withViews(kernel, (view) => {
      views.push(view);
      const { buffer, offset, rows, columns, stride, step, perRow } = view;
      const [number, first] = kept(firsts, buffer, () => [firsts.size, view]);
      const move = kept(moves, step, () => moves.size);
      const type = emission.typeOf(view);
      return [number, offset - first.offset, rows, columns, stride, move, perRow, type].join(" ") as never;
    });
    // JSON knows neither −0 nor infinities.
    const numbers = (kernel.kind === "chain" ? kernel.code : [kernel]).map((each) =>
      "value" in each ? [each.value, 1 / each.value] : "",
    );
    const key = JSON.stringify({ ...shape, label: prepared }) + numbers;
    const known = emitted.get(key);
    if (!known) {
      const calls = emitKernel(emission, kernel, prepared);
      emitted.set(key, { calls, places: views.map(placeOf) });
      return calls;
    }
    const moved = new Map<unknown, Argument>();
    const again = ({ target, parameters }: Call): Call => ({
      target,
      parameters: parameters.map((parameter) => {
        if ("view" in parameter) return { ...parameter, view: views[known.places.indexOf(placeOf(parameter.view))]! };
        if (parameter.kind !== "scratch") return parameter;
        const { lifetime, bytes } = parameter.scratch;
        return kept(moved, parameter.scratch, () => ({ ...parameter, scratch: emission.scratch(bytes, lifetime) }));
      }),
    });
    const { prepare, call } = known.calls;
    return { call: again(call), ...(prepare && { prepare: again(prepare) }) };
  };
}

const emitters: {
  readonly [Kind in Exclude<Kernel["kind"], "product" | "barrier">]: (
    emission: Emission,
    kernel: Extract<Kernel, { kind: Kind }>,
    label: string,
  ) => Call;
} = {
  chain: emitChain,
  reduce: emitReduce,
  softmax: (emission, kernel, label) => emission.rare!.emitSoftmax(emission, kernel, label),
  crossEntropy: (emission, kernel, label) => emission.rare!.emitCrossEntropy(emission, kernel, label),
  gather: (emission, kernel, label) => emission.rare!.emitGather(emission, kernel, label),
  scatter: (emission, kernel, label) => emission.rare!.emitScatter(emission, kernel, label),
  fill: emitFill,
  transpose: (emission, kernel, label) => emission.rare!.emitTranspose(emission, kernel, label),
  allReduce: (emission, kernel, label) => emission.team!.allReduce(emission, kernel, label),
};

function emitKernel(emission: Emission, kernel: Kernel, prepared: boolean): Calls {
  if (kernel.kind === "product") return emitProduct(emission, kernel, kernel.label, prepared);
  if (kernel.kind === "barrier") throw new Error("a barrier");
  return { call: emitters[kernel.kind](emission, kernel as never, kernel.label) };
}
