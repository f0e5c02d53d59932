import { why } from "./why.js";

const busy = new WeakSet<object>();

/**
 * `steps`, while no other of the same `owner` are under way: from the first until the last, or until their loop is left.
 * @throws UserError where others are
 */
export async function* alone<S>(owner: object, what: string, steps: AsyncIterable<S>): AsyncGenerator<S, void, void> {
  if (busy.has(owner)) throw (await why()).underWay(what);
  busy.add(owner);
  try {
    yield* steps;
  } finally {
    busy.delete(owner);
  }
}
