import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** What a fresh process prints: the flags of this one stay as they are. */
function printed(...parameters: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, parameters, { cwd: root, encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}
const answer = (code: string): unknown =>
  JSON.parse(printed("--import", "tsx", "--input-type=module", "-e", `${code}; console.log(JSON.stringify(answer))`));

/** The loss of three steps of a small LSTM, its products of a size that is fused; `then` may add to `answer`. */
const losses = (setup: string, then = ""): unknown =>
  answer(`
    import { adam, createTrainer, crossEntropy, readText, textBatches, textModel, wasm } from "./src/index.ts";
    import { enableRelaxedSimd, enableRevectorize } from "./src/node.ts";
    enableRelaxedSimd();
    ${setup}
    const text = readText("what is to be is to be learned ".repeat(40));
    const model = textModel({ vocabularySize: text.vocabulary.size, hidden: 48 });
    const trainer = await createTrainer(model, {
      loss: crossEntropy(), optimizer: adam({ learningRate: 0.01 }), batch: 10, bptt: { window: 12 }, backend: wasm(),
    });
    const answer = [];
    for await (const { loss } of trainer.fit(textBatches(text), { steps: 3 })) answer.push(loss);
    ${then}`);

describe("V8's flags", () => {
  test("relaxed SIMD is there once it is switched on", () => {
    expect(
      answer(`
        import { enableRelaxedSimd } from "./src/node.ts";
        import { hasRelaxedSimd } from "./src/backend/wasm/features.ts";
        const answer = [enableRelaxedSimd(), hasRelaxedSimd()]`),
    ).toEqual([true, true]);
  });

  test("relaxed SIMD is in the process's own flags no more once a program is compiled", () => {
    // A module with f32x4.relaxed_madd of three zeros.
    const probe = `
      const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 61, 1, 59, 0,
        ...Array(3).fill([253, 12, ...Array(16).fill(0)]).flat(), 253, 133, 2, 11];
      answer.push(WebAssembly.validate(new Uint8Array(code)));`;
    const [before] = answer(`const answer = []; ${probe}`) as boolean[];
    expect(before).toBe(Number.parseInt(process.versions.v8, 10) >= 12);
    expect((losses("", probe) as unknown[]).at(-1)).toBe(before);
  });

  test("revectorisation is switched on where V8 has it, and refused in silence where not", () => {
    const has = answer(`import { enableRevectorize } from "./src/node.ts"; const answer = enableRevectorize()`);
    const known = printed("--v8-options").includes("--experimental-wasm-revectorize ");
    expect(has).toBe(known && Number.parseInt(process.versions.v8, 10) >= 13);
  });

  test("revectorisation changes no number", () => {
    const plain = losses("");
    expect(plain).toHaveLength(3);
    expect(losses("enableRevectorize();")).toEqual(plain);
  });
});
