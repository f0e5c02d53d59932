/** The program of one of several workers that share a batch. */

import { reachable } from "../graph/reachable.js";
import { copyOf } from "../graph/tensor.js";
import { type Assignment, assembled, type ProgramOptions, readied, rootsOf } from "./lower.js";
import { onTensors } from "./lowering/for-each.js";
import { reduceTogether, sharedOut } from "./passes/collective.js";
import type { Program, Shard } from "./program.js";
import { shardGraph } from "./rewriting/shard.js";

/**
 * As `lower`, for a worker that has some rows of the batch and meets others in all-reduces; the number of rows in
 * variables marked `batch` is `shard.of`. Undefined where the computation cannot be shared by rows.
 */
export function lowerShard(program: ProgramOptions, shard: Shard): Program | undefined {
  const ready = readied(program);
  const { commit, results, forEach, guards, ...options } = ready;
  const local = shardGraph(rootsOf(ready), shard);
  if (!local) return undefined;
  const assigned = ({ variable, tensor }: Assignment): Assignment => ({ variable, tensor: local.of(tensor) });
  const read = new Set(reachable(rootsOf(ready)).map(({ attributes }) => attributes.variable));
  if (results.some(({ variable, tensor }) => local.whole.has(local.of(tensor)) && read.has(variable))) return undefined;
  /** Every worker writes what is the same for all of them, so none may add up in that place. */
  const copied = ({ variable, tensor }: Assignment): Assignment => ({
    variable,
    tensor: local.whole.has(tensor) && tensor.type === "float" ? copyOf(tensor) : tensor,
  });
  const made = {
    results: results.map(assigned).map(copied),
    commit: commit.map(assigned),
    forEach: forEach && onTensors(forEach, local.of),
    guards: guards.map(local.of),
  };
  return { ...assembled({ ...options, ...made }, { whole: local.whole, reduceTogether, sharedOut }), shard };
}
