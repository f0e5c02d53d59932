import { describe, expect, test } from "vitest";
import { arrayBatches } from "../../src/data/arrays.js";
import { refused } from "./refused.js";

describe("arrayBatches", () => {
  const shapes = { inputShape: [2, 1], targetShape: [1], targetType: "index" } as const;

  test("refuses an index that is no whole number, and says which", () => {
    const classes = { ...shapes, inputs: [1, 2, 3, 4] };
    refused(
      () => arrayBatches({ ...classes, targets: [0, 0.5] }),
      "training: an index must be a whole number, but target number 1 is 0.5.",
    );
    refused(
      () => arrayBatches({ ...classes, targets: [0, 1], validation: { inputs: [1, 2], targets: [Number.NaN] } }),
      "validation: an index must be a whole number, but target number 0 is NaN.",
    );
    refused(
      () => arrayBatches({ ...classes, inputs: [1, 2, 3.5, 4], inputType: "index", targets: [0, 1] }),
      "training: an index must be a whole number, but input number 2 is 3.5.",
    );
  });

  test("takes negative indices, which a loss may ignore, and any number where none is an index", () => {
    expect(() => arrayBatches({ ...shapes, inputs: [1.5, 2, 3, 4], targets: [-100, 1] })).not.toThrow();
  });
});
