/** The program of one of several workers that share a batch. */

import { type Assignment, assembled, type ProgramOptions, readied, rootsOf } from "./lower.js";
import { reduceTogether, sharedOut } from "./passes/collective.js";
import type { Program, Shard } from "./program.js";
import { shardGraph } from "./rewriting/shard.js";

/**
 * As `lower`, for a worker that has some rows of the batch and meets others in all-reduces; the number of rows in
 * variables marked `batch` is `shard.of`. Undefined where the computation cannot be shared by rows.
 */
export function lowerShard(program: ProgramOptions, shard: Shard): Program | undefined {
  const ready = readied(program);
  const { commit, results, guards, ...options } = ready;
  const local = shardGraph(rootsOf(ready), shard);
  if (!local) return undefined;
  const assigned = ({ variable, tensor }: Assignment): Assignment => ({ variable, tensor: local.of(tensor) });
  const made = { results: results.map(assigned), commit: commit.map(assigned), guards: guards.map(local.of) };
  return { ...assembled({ ...options, ...made }, { whole: local.whole, reduceTogether, sharedOut }), shard };
}
