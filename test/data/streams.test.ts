import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createStreams } from "../../src/data/streams.js";
import { refused } from "./refused.js";

const range = (length: number) => Int32Array.from({ length }, (_, i) => i);

describe("streams", () => {
  test("lie in the text as char-rnn lays them, time-major", () => {
    // 14 ids, 2 streams, windows of 3: 2 windows, streams 0..5 and 6..11.
    const streams = createStreams(range(14), { batch: 2, window: 3 });
    expect(streams).toMatchObject({ batch: 2, window: 3, windows: 2, streamLength: 6, predicted: 12 });
    const inputs = new Int32Array(6);
    const targets = new Int32Array(6);
    expect(streams.fill(0, inputs, targets)).toBe(true);
    expect([...inputs]).toEqual([0, 6, 1, 7, 2, 8]);
    expect([...targets]).toEqual([1, 7, 2, 8, 3, 9]);
    expect(streams.fill(1, inputs, targets)).toBe(false);
    expect([...inputs]).toEqual([3, 9, 4, 10, 5, 11]);
    expect([...targets]).toEqual([4, 10, 5, 11, 6, 12]);
    expect(streams.fill(2, inputs, targets)).toBe(true);
    expect([...inputs]).toEqual([0, 6, 1, 7, 2, 8]);
  });

  const sizes = fc.record({
    batch: fc.integer({ min: 1, max: 9 }),
    window: fc.integer({ min: 1, max: 9 }),
    extra: fc.integer({ min: 0, max: 200 }),
  });

  test("cover the text once: each character read once, none twice, fewer than batch × window left over", () => {
    fc.assert(
      fc.property(sizes, ({ batch, window, extra }) => {
        const length = batch * window + 1 + extra;
        const streams = createStreams(range(length), { batch, window });
        const inputs = new Int32Array(batch * window);
        const targets = new Int32Array(batch * window);
        const read: number[] = [];
        for (let w = 0; w < streams.windows; w++) {
          expect(streams.fill(w, inputs, targets)).toBe(w === 0);
          expect([...targets]).toEqual([...inputs].map((id) => id + 1));
          read.push(...inputs);
        }
        expect(read.sort((a, b) => a - b)).toEqual([...range(streams.predicted)]);
        expect(length - 1 - streams.predicted).toBeLessThan(batch * window);
      }),
    );
  });

  test("each row goes on where its last window stopped", () => {
    fc.assert(
      fc.property(sizes, fc.constantFrom("drop" as const, "pad" as const), ({ batch, window, extra }, remainder) => {
        const ids = range(batch * window + 1 + extra);
        const streams = createStreams(ids, { batch, window, remainder });
        const inputs = new Int32Array(batch * window);
        const targets = new Int32Array(batch * window);
        const expected = new Int32Array(batch).fill(-1);
        for (let w = 0; w < streams.windows; w++) {
          const reset = streams.fill(w, inputs, targets);
          for (let t = 0; t < window; t++) {
            for (let n = 0; n < batch; n++) {
              const at = t * batch + n;
              if (!(reset && t === 0) && targets[at] !== -1) {
                expect(inputs[at]).toBe(expected[n]);
              }
              expected[n] = (inputs[at] as number) + 1;
            }
          }
        }
      }),
    );
  });

  test("padded streams predict every character exactly once, even of a text shorter than a window", () => {
    fc.assert(
      fc.property(sizes, ({ batch, window, extra }) => {
        const ids = range(2 + extra);
        const streams = createStreams(ids, { batch, window, remainder: "pad", ignoredTarget: -100 });
        const inputs = new Int32Array(batch * window);
        const targets = new Int32Array(batch * window);
        const predicted: number[] = [];
        for (let w = 0; w < streams.windows; w++) {
          streams.fill(w, inputs, targets);
          for (let at = 0; at < targets.length; at++) {
            if (targets[at] !== -100) {
              expect(targets[at]).toBe((inputs[at] as number) + 1);
              predicted.push(targets[at] as number);
            } else {
              expect(inputs[at]).toBe(0);
            }
          }
        }
        expect(predicted.sort((a, b) => a - b)).toEqual([...ids.subarray(1)]);
        expect(streams.predicted).toBe(predicted.length);
      }),
    );
  });

  test("a text too short says by how much and what would fit", () => {
    refused(
      () => createStreams(range(2500), { batch: 50, window: 50 }),
      "a batch of 50 streams with a window of 50 needs 2501 characters, but there are 2500; " +
        "a batch of at most 49 with this window, or a window of at most 49 with this batch would fit.",
    );
    expect(createStreams(range(2501), { batch: 50, window: 50 }).windows).toBe(1);
    refused(
      () => createStreams(range(20), { batch: 50, window: 50 }),
      "a batch of 1 with a window of at most 19 would fit",
    );
    refused(
      () => createStreams(range(30), { batch: 50, window: 20 }),
      "; a batch of at most 1 with this window would fit",
    );
    refused(() => createStreams(range(1), { batch: 1, window: 1 }), "1 character cannot be read as streams");
    refused(() => createStreams(range(0), { batch: 1, window: 1, remainder: "pad" }), "0 characters cannot be read");
  });

  test("what it says would fit does fit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 60 }), sizes, (length, { batch, window }) => {
        fc.pre(length - 1 < batch * window);
        let message = "";
        try {
          createStreams(range(length), { batch, window });
        } catch (error) {
          message = (error as Error).message;
        }
        const smaller = /batch of at most (\d+) with/.exec(message);
        const narrower = /window of at most (\d+) with this/.exec(message);
        const both = /batch of 1 with a window of at most (\d+)/.exec(message);
        expect(smaller ?? narrower ?? both).not.toBeNull();
        if (smaller) {
          expect(createStreams(range(length), { batch: Number(smaller[1]), window }).windows).toBeGreaterThan(0);
        }
        if (narrower) {
          expect(createStreams(range(length), { batch, window: Number(narrower[1]) }).windows).toBeGreaterThan(0);
        }
        if (both) {
          expect(createStreams(range(length), { batch: 1, window: Number(both[1]) }).windows).toBe(1);
        }
      }),
    );
  });

  test("refuses sizes that are no sizes, and arrays of another size", () => {
    refused(
      () => createStreams(range(9), { batch: 0, window: 1 }),
      "The batch must be a whole number of at least 1, but is 0.",
    );
    refused(() => createStreams(range(9), { batch: 1, window: 2.5 }), "The window must be a whole number");
    const streams = createStreams(range(9), { batch: 2, window: 3 });
    refused(
      () => streams.fill(0, new Int32Array(5), new Int32Array(6)),
      "fills arrays of 6, but inputs has 5 and targets 6",
    );
  });
});
