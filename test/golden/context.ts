/** What a layer asks for, answered from a golden case: parameters and starting states are its tensors. */
import type { Shape } from "../../src/graph/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import type { Context } from "../../src/layers/layer.js";

export interface Answers {
  readonly parameter: (name: string, shape: Shape) => Tensor;
  readonly state?: (name: string, shape: Shape) => Tensor;
  readonly carry?: (name: string, final: Tensor) => void;
  readonly mask?: Tensor | undefined;
}

export function contextOf({ parameter, state, carry, mask }: Answers, prefix = ""): Context {
  const none = (what: string) => (): never => {
    throw new Error(`golden cases have no ${what}`);
  };
  return {
    training: true,
    mask,
    parameter: (name, shape) => parameter(prefix + name, shape),
    state: (name, shape) => (state ?? none("states here"))(prefix + name, shape),
    carry: (name, final) => carry?.(prefix + name, final),
    statistic: none("running statistics"),
    seed: none("dropout"),
    key: none("dropout"),
    within: (name) => contextOf({ parameter, state, carry, mask }, `${prefix}${name}.`),
  };
}
