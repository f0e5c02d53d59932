import { expect, test } from "vitest";
import { main } from "../../examples/backprop-by-hand.js";
import { printed } from "./printed.js";

const output = printed();

test("one step of backpropagation gives the worked example's figures", async () => {
  const { hand, throughtime } = await main();
  for (const step of [hand, throughtime]) {
    expect(step.output.toFixed(6)).toBe("0.751365");
    expect(step.loss.toFixed(6)).toBe("0.274811");
    expect(step["output after"].toFixed(6)).toBe("0.728352");
    expect(step["loss after"].toFixed(6)).toBe("0.258015");
  }
  for (const name of Object.keys(hand) as (keyof typeof hand)[])
    expect(Math.abs(throughtime[name] - hand[name]), name).toBeLessThan(1e-15);
  expect(output()).toContain("loss after      0.25801490    0.25801490");
});
