/** What is said of the dispatches of a layer. */
import { describe, expect, it } from "vitest";
import { defineCell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { explainDispatches } from "../../src/explain/dispatches.js";
import { sumRows, tanh } from "../../src/graph/language.js";

const linesWith = (text: string, what: string): string[] => text.split("\n").filter((line) => line.includes(what));

describe("explainDispatches", () => {
  it("says that a loop of a small cell is one dispatch", async () => {
    const text = await explainDispatches(lstm(128), { batch: 50, time: 50 });
    for (const loop of ["lstm_l0 ", "lstm_l0: backward "])
      expect(linesWith(text, loop)).toContainEqual(
        expect.stringContaining("50 steps in one dispatch, 1 row a workgroup"),
      );
    expect(Number(/(\d+) dispatches in one submission/.exec(text)![1])).toBeLessThan(30);
  });

  it("says why another is not", async () => {
    const large = await explainDispatches(gru(1024), { time: 8 });
    expect(linesWith(large, "gru_l0, 8 steps, for each:")[0]).toMatch(/not in one dispatch: \d+ weights are read once/);
    const mixing = defineCell({
      name: "mixing",
      state: { h: 3 },
      parameters: () => ({}),
      step: (x, { h }) => ({ h: tanh(x.add(sumRows(h))) }),
    });
    expect(linesWith(await explainDispatches(mixing), "for each:")[0]).toMatch(/not in one dispatch: ./);
  });

  it("fits the rows of a workgroup to what it may have", async () => {
    const rows = (limits: { invocations: number; workgroupStorage: number }): Promise<string> =>
      explainDispatches(lstm(64), { batch: 512, time: 4, limits });
    expect(await rows({ invocations: 256, workgroupStorage: 16_384 })).not.toBe(
      await rows({ invocations: 1024, workgroupStorage: 65_536 }),
    );
  });

  it("refuses sizes that are none", async () => {
    await expect(explainDispatches(lstm(4), { batch: 0 })).rejects.toThrow(
      "explain: batch must be a whole number of at least 1, not 0",
    );
  });
});
