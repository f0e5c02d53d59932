import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { main } from "../../examples/gradient-flow.js";
import { printed } from "./printed.js";

const output = printed();

test("over 100 steps the RNN's gradient vanishes or explodes, the LSTM's does not", async () => {
  const folder = mkdtempSync(join(tmpdir(), "throughtime-"));
  try {
    const picture = join(folder, "flow.svg");
    const lines = await main({ picture });
    const share = (name: string): number => lines[name]![0]! / lines[name]!.at(-1)!;
    expect(lines["RNN × 1"]).toHaveLength(100);
    expect(share("RNN × 1")).toBeLessThan(1e-10);
    expect(share("RNN × 2")).toBeGreaterThan(1e3);
    const lstm = lines["LSTM × 2, forget bias 1"]!;
    expect(Math.min(...lstm) / lstm.at(-1)!).toBeGreaterThan(0.1);
    expect(Math.max(...lstm) / lstm.at(-1)!).toBeLessThan(10);

    const svg = readFileSync(picture, "utf8");
    expect(svg.match(/<polyline points="[\d., ]+"/g)).toHaveLength(3);
    expect(svg).not.toContain("NaN");
    for (const label of ["time step t", "‖∂loss/∂h", ...Object.keys(lines)]) expect(svg).toContain(label);
    expect(output()).toContain("RNN × 1 ");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
