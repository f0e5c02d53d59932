import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsPerCharacter, readText } from "../../src/data/text.js";
import { createVocabulary } from "../../src/data/vocabulary.js";
import { refused } from "./refused.js";

describe("readText", () => {
  test("keeps the last tenth for validation, in order", () => {
    const content = "abcdefghijklmnopqrstuvwxyz0123";
    const { vocabulary, train, validation, name } = readText(content, { name: "alphabet.txt" });
    expect(name).toBe("alphabet.txt");
    expect(vocabulary.decode(train)).toBe("abcdefghijklmnopqrstuvwxyz0");
    expect(vocabulary.decode(validation)).toBe("123");
    expect(vocabulary.size).toBe(30);
  });

  test("the two parts together are the text, whatever the share", () => {
    const share = fc.double({ min: 0, max: 0.9, noNaN: true });
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 40, maxLength: 200 }), share, (content, validation) => {
        const length = Array.from(content).length;
        fc.pre(new Set(content).size > 1 && content.charCodeAt(0) !== 0xfeff);
        fc.pre(validation === 0 || Math.floor(length * validation) >= 2);
        const data = readText(content, { validation });
        expect(data.validation.length).toBe(Math.floor(length * validation));
        expect(data.vocabulary.decode(data.train) + data.vocabulary.decode(data.validation)).toBe(content);
      }),
    );
  });

  test("drops a byte-order mark and takes an earlier run's vocabulary", () => {
    const vocabulary = createVocabulary("abcxyz");
    const data = readText("\uFEFFcab", { validation: 0, vocabulary });
    expect([...data.train]).toEqual([2, 0, 1]);
    expect(data.validation.length).toBe(0);
    refused(
      () => readText("caB", { vocabulary, name: "b.txt" }),
      'In b.txt: Unknown character "B" (U+0042) at position 3',
    );
  });

  test("refuses what cannot be learned from, naming the text", () => {
    refused(() => readText("", { name: "empty.txt" }), "empty.txt is empty.");
    refused(() => readText("\uFEFF"), "The text is empty.");
    refused(() => readText("a", { name: "a.txt" }), "a.txt holds one character only: there is nothing to predict.");
    refused(() => readText("😀"), "The text holds one character only");
    refused(() => readText("aaaaaa", { name: "a.txt" }), 'a.txt holds one character only, "a", again and again');
    refused(
      () => readText("abcdefghijklmnopqrst", { name: "short.txt", window: 50 }),
      "short.txt is too short: a window of 50 characters needs 51 to train on, but of its 20 characters 18 are",
    );
    refused(() => readText("abcdefghij"), "too short to validate on: 0.1 of its 10 characters is 1 character");
    for (const validation of [-0.1, 1, 2, Number.NaN]) {
      refused(() => readText("abc", { validation }), `but is ${validation}`);
    }
  });

  test("a text of exactly window + 1 characters is enough", () => {
    expect(readText("abcdef", { window: 5, validation: 0 }).train.length).toBe(6);
    refused(() => readText("abcde", { window: 5, validation: 0 }), "needs 6 to train on");
  });
});

test("nats become bits", () => {
  expect(bitsPerCharacter(Math.log(2))).toBe(1);
  expect(bitsPerCharacter(Math.log(65))).toBeCloseTo(6.022367813, 9);
});
