import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createVocabulary, vocabularyFromJSON } from "../../src/data/vocabulary.js";
import { refused } from "./refused.js";

describe("a vocabulary", () => {
  test("gives ids in code-point order, a surrogate pair counting as one character", () => {
    // In UTF-16 order U+1F600 (D83D DE00) would come before U+FF5E.
    const vocabulary = createVocabulary("b~😀～a\nb");
    expect(vocabulary.characters).toEqual(["\n", "a", "b", "~", "～", "😀"]);
    expect(vocabulary.size).toBe(6);
    expect([...vocabulary.encode("😀ab～")]).toEqual([5, 1, 2, 4]);
    expect(vocabulary.decode(Int32Array.of(5, 1, 2, 4))).toBe("😀ab～");
  });

  test("does not join a letter with its combining mark", () => {
    expect(createVocabulary("e\u0301").size).toBe(2);
    expect(createVocabulary("\u00e9").size).toBe(1);
  });

  test("encodes and decodes back any text of its own characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (text) => {
        const vocabulary = createVocabulary(text);
        const ids = vocabulary.encode(text);
        expect(vocabulary.decode(ids)).toBe(text);
        expect(ids.length).toBe(Array.from(text).length);
        expect(new Set(ids).size).toBe(vocabulary.size);
        const points = vocabulary.characters.map((character) => character.codePointAt(0) as number);
        expect(points).toEqual([...points].sort((a, b) => a - b));
        const again = vocabularyFromJSON(JSON.parse(JSON.stringify(vocabulary)));
        expect(again.characters).toEqual(vocabulary.characters);
        expect([...again.encode(text)]).toEqual([...ids]);
      }),
    );
  });

  test("names an unknown character, its code point, its place and the known ones", () => {
    const vocabulary = createVocabulary("abcde'");
    refused(() => vocabulary.encode("abzc"), 'Unknown character "z" (U+007A) at position 3');
    refused(() => vocabulary.encode("abz"), 'the vocabulary has 6 characters, "\'abcde".');
    refused(() => vocabulary.encode("a😀"), 'Unknown character "😀" (U+1F600) at position 2');
    refused(() => vocabulary.encode("😀"), "position 1");
  });

  test("hints at the other case, the plain letter and the straight quote", () => {
    const vocabulary = createVocabulary("abcde'");
    refused(() => vocabulary.encode("A"), 'Did you mean "a"?');
    refused(() => vocabulary.encode("é"), 'Did you mean "e"?');
    refused(() => vocabulary.encode("’"), 'Did you mean "\'"?');
    expect(() => vocabulary.encode("z")).not.toThrow("Did you mean");
  });

  test("cuts a long list of known characters", () => {
    const vocabulary = createVocabulary(String.fromCodePoint(...Array.from({ length: 500 }, (_, i) => 0x4e00 + i)));
    try {
      vocabulary.encode("a");
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).toContain("500 characters");
      expect((error as Error).message.length).toBeLessThan(200);
    }
  });

  test("refuses an id outside, an empty text, and JSON that is no vocabulary", () => {
    const vocabulary = createVocabulary("abc");
    refused(() => vocabulary.decode([0, 3]), "Id 3 is not in the vocabulary: its ids run from 0 to 2.");
    refused(() => vocabulary.decode([-1]), "Id -1");
    refused(() => vocabulary.decode([0.5]), "Id 0.5");
    refused(() => createVocabulary(""), "An empty text");
    refused(() => vocabularyFromJSON(null), "A vocabulary must be a JSON object, but is null.");
    refused(() => vocabularyFromJSON([]), "but is a list");
    refused(() => vocabularyFromJSON({}), 'needs a list of "characters", but has undefined');
    refused(() => vocabularyFromJSON({ characters: [] }), 'needs a list of "characters"');
    refused(() => vocabularyFromJSON({ characters: ["a", "bc"] }), 'entry 1 must be one character, but is "bc"');
    refused(() => vocabularyFromJSON({ characters: ["a", 7] }), "entry 1 must be one character, but is 7");
    refused(() => vocabularyFromJSON({ characters: [""] }), 'entry 0 must be one character, but is ""');
    refused(() => vocabularyFromJSON({ characters: ["a", "a"] }), 'entry 1, "a" (U+0061), stands twice');
    refused(() => vocabularyFromJSON({ characters: ["b", "a"] }), 'entry 1, "a" (U+0061), is out of code-point order');
  });
});
