import { UserError } from "../errors.js";
import { count, fieldsOf, show } from "./check.js";

/** The characters a text model knows, each with an id from 0 to `size - 1`, in code-point order. */
export interface Vocabulary {
  /** V, how many there are. */
  readonly size: number;
  /** `characters[id]` is one Unicode character: one code point, of one or two UTF-16 units. */
  readonly characters: readonly string[];
  /** One id a character. Throws a UserError that names the first unknown character and where it stands. */
  encode(text: string): Int32Array;
  /** The text of the ids. Throws a UserError on an id outside the vocabulary. */
  decode(ids: ArrayLike<number>): string;
  /** For `vocabularyFromJSON`. */
  toJSON(): VocabularyJSON;
}

/** A vocabulary in a file. */
export interface VocabularyJSON {
  readonly characters: readonly string[];
}

/** The vocabulary of the characters that occur in `text`, in code-point order. */
export function createVocabulary(text: string): Vocabulary {
  if (text.length === 0) {
    throw new UserError("An empty text has no characters to build a vocabulary from.");
  }
  const points = new Set<number>();
  for (const character of text) {
    points.add(codePoint(character));
  }
  return fromCharacters([...points].sort((a, b) => a - b).map((point) => String.fromCodePoint(point)));
}

/** Reads back what `toJSON` wrote. Throws a UserError on anything that is no vocabulary. */
export function vocabularyFromJSON(json: unknown): Vocabulary {
  const { characters } = fieldsOf("A vocabulary", json);
  if (!Array.isArray(characters) || characters.length === 0) {
    throw new UserError(`A vocabulary needs a list of "characters", but has ${show(characters)}.`);
  }
  let last = -1;
  characters.forEach((character: unknown, id) => {
    if (typeof character !== "string" || character === "" || String.fromCodePoint(codePoint(character)) !== character) {
      throw new UserError(`A vocabulary's entry ${id} must be one character, but is ${show(character)}.`);
    }
    const point = codePoint(character);
    if (point <= last) {
      const fault = point === last ? "stands twice" : "is out of code-point order";
      throw new UserError(`A vocabulary's entry ${id}, ${name(character)}, ${fault}.`);
    }
    last = point;
  });
  return fromCharacters(characters as string[]);
}

function fromCharacters(list: readonly string[]): Vocabulary {
  const characters = Object.freeze([...list]);
  const ids = new Map(characters.map((character, id) => [codePoint(character), id]));
  return {
    size: characters.length,
    characters,
    encode(text) {
      const encoded = new Int32Array(text.length);
      let length = 0;
      for (const character of text) {
        const id = ids.get(codePoint(character));
        if (id === undefined) {
          throw new UserError(unknownCharacter(character, length + 1, characters));
        }
        encoded[length++] = id;
      }
      return length === encoded.length ? encoded : encoded.slice(0, length);
    },
    decode(encoded) {
      const parts: string[] = [];
      for (let i = 0; i < encoded.length; i++) {
        const character = characters[encoded[i] as number];
        if (character === undefined) {
          throw new UserError(
            `Id ${encoded[i]} is not in the vocabulary: its ids run from 0 to ${characters.length - 1}.`,
          );
        }
        parts.push(character);
      }
      return parts.join("");
    },
    toJSON: () => ({ characters }),
  };
}

function unknownCharacter(character: string, position: number, known: readonly string[]): string {
  const variants = [character.toLowerCase(), character.toUpperCase(), plainForm(character)];
  const near = [...new Set(variants)].filter((variant) => known.includes(variant));
  const hint = near.length > 0 ? ` Did you mean ${near.map(show).join(" or ")}?` : "";
  const sample = known.length > 40 ? `${known.slice(0, 40).join("")}…` : known.join("");
  return (
    `Unknown character ${name(character)} at position ${position}: ` +
    `the vocabulary has ${count(known.length, "character")}, ${JSON.stringify(sample)}.${hint}`
  );
}

/** The letter without its accent, the straight form of a quotation mark or dash. */
function plainForm(character: string): string {
  const typographic: Readonly<Record<string, string>> = { "‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-" };
  return typographic[character] ?? character.normalize("NFKD").replace(/\p{M}/gu, "");
}

function name(character: string): string {
  return `${JSON.stringify(character)} (U+${codePoint(character).toString(16).toUpperCase().padStart(4, "0")})`;
}

function codePoint(character: string): number {
  return character.codePointAt(0) as number;
}
