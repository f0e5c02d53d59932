/** Activation functions as options take them and as a layer of their own. */
import { checkName, UserError } from "../errors.js";
import { type ActivationName, activations, softmax } from "../graph/language.js";
import { sameShape, showShape } from "../graph/shape.js";
import { Tensor } from "../graph/tensor.js";
import { checkRows } from "./check.js";
import type { Layer } from "./layer.js";

/** A function by name ("softmax" is over the features), or any function of the language from a tensor to one of the same shape. */
export type Activation = ActivationName | "softmax" | ((x: Tensor) => Tensor);

const functions: Readonly<Record<string, (x: Tensor) => Tensor>> = { ...activations, softmax };

/** The function that `activation` means, for the layer `kind`. Throws a UserError for a name that is none. */
export function activationFunction(kind: string, activation: Activation): (x: Tensor) => Tensor {
  if (typeof activation !== "function") checkName(kind, "activation", activation, Object.keys(functions).join(" "));
  const f = typeof activation === "function" ? activation : functions[activation]!;
  return (x) => {
    const y = f(x);
    if (!(y instanceof Tensor) || !sameShape(y.shape, x.shape))
      throw new UserError(
        `${kind}: the activation must give a tensor of its input's shape ${showShape(x.shape)}, not ${y instanceof Tensor ? showShape(y.shape) : typeof y}`,
      );
    return y;
  };
}

/** y = f(x), element by element (softmax: row by row). Input and output [.., D]. */
export function activation(f: Activation): Layer {
  const apply = activationFunction("activation", f);
  return { kind: "activation", apply: (input) => apply(checkRows("activation", input)) };
}
