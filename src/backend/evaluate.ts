/** Computes tensors once: for checks, explanations and small scripts. */
import type { Tensor } from "../graph/tensor.js";
import { type Variable, variable } from "../graph/variable.js";
import type { Backend, HostArray } from "./contract.js";

/** The values of `outputs`, row-major, with the variables of `feeds` holding the given numbers. */
export async function evaluate<K extends string>(
  backend: Backend,
  outputs: { readonly [Key in K]: Tensor },
  feeds: Iterable<readonly [Variable, ArrayLike<number>]> = [],
): Promise<{ [Key in K]: HostArray }> {
  const session = await backend.createSession();
  try {
    const names = Object.keys(outputs) as K[];
    const results = names.map((name) => ({
      variable: variable(name, outputs[name].shape, outputs[name].type),
      tensor: outputs[name],
    }));
    const executable = await session.compile({ name: "evaluate", results });
    for (const [target, data] of feeds) session.write(target, data);
    executable.run();
    await executable.settled();
    const values = await Promise.all(results.map((result) => session.read(result.variable)));
    return Object.fromEntries(names.map((name, i) => [name, values[i]!])) as { [Key in K]: HostArray };
  } finally {
    session.dispose();
  }
}
