/** Layers one after the other, and around one another. */
import { described, UserError } from "../errors.js";
import { scoped } from "../graph/language.js";
import { sameShape, showShape } from "../graph/shape.js";
import { checkRows } from "./check.js";
import type { Layer } from "./layer.js";

/**
 * Each layer's output is the next one's input. Parameters carry PyTorch's names: numbered layers give "0.weight",
 * "2.weight_ih_l0"; named ones, given as an object, "rnn.weight_ih_l0", "head.weight". Errors and profiles name a layer the same
 * way: "layer 2 (dense)".
 *
 *   sequential(embedding(65, 32), recurrent(lstm(128)), dense(65))
 *   sequential({ rnn: recurrent(lstm(128)), head: dense(65) })
 *
 * @throws UserError where there is no layer, or something that is none; from `apply`: what a layer refuses, with its place
 */
export function sequential(layers: readonly Layer[]): Layer;
export function sequential(layers: Readonly<Record<string, Layer>>): Layer;
export function sequential(...layers: readonly Layer[]): Layer;
export function sequential(...given: readonly (Layer | readonly Layer[] | Readonly<Record<string, Layer>>)[]): Layer {
  const [first] = given;
  const only = given.length === 1 && typeof first === "object" && first !== null && !isLayer(first) ? first : given;
  const layers = Object.entries(only as Readonly<Record<string, unknown>>).map(([name, layer]) => {
    if (name === "" || name.includes("."))
      throw new UserError(`sequential: a layer's name must not be empty or hold a dot, as "${name}" does`);
    if (!isLayer(layer)) throw new UserError(`sequential: layer ${name} is no layer but ${described(layer)}`);
    return { name, layer };
  });
  if (layers.length === 0) throw new UserError("sequential: there are no layers");
  return {
    kind: "sequential",
    apply: (input, context) =>
      layers.reduce((x, { name, layer }) => {
        const place = `layer ${name}`;
        try {
          return scoped(`${place} (${layer.kind})`, () => layer.apply(x, context.within(name)));
        } catch (error) {
          throw error instanceof UserError
            ? new UserError(placed(place, layer, error.message), { cause: error })
            : error;
        }
      }, input),
  };
}

const isLayer = (value: unknown): value is Layer =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Layer).kind === "string" &&
  typeof (value as Layer).apply === "function";

/** "dense: why" of layer 2 as "layer 2 (dense): why". */
function placed(place: string, { kind }: Layer, message: string): string {
  const head = message.slice(0, Math.max(0, message.indexOf(": ")));
  return head === kind || head.startsWith(`${kind}(`)
    ? `${place} (${head}): ${message.slice(head.length + 2)}`
    : `${place} (${kind}): ${message}`;
}

/**
 * A connection around a layer (He et al. 2016): y = x + layer(x), [.., D]. Parameters keep the layer's own names.
 * @throws UserError where the layer changes the shape
 */
export function residual(layer: Layer): Layer {
  if (!isLayer(layer)) throw new UserError(`residual: wants a layer, not ${described(layer)}`);
  return {
    kind: "residual",
    apply(input, context) {
      const output = layer.apply(checkRows("residual", input), context);
      if (!sameShape(output.shape, input.shape))
        throw new UserError(
          `residual: its ${layer.kind} must keep the shape ${showShape(input.shape)} to be added to it, but gives ${showShape(output.shape)}`,
        );
      return input.add(output);
    },
  };
}
