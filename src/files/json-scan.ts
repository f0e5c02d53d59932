/** What a scan of JSON text can find that `JSON.parse` accepts in silence. `path` leads to the place, outermost first. */
export type JsonProblem = { readonly kind: "repeated key" | "too deep"; readonly path: readonly string[] };

type Frame = { keys: Set<string> | undefined; key: string; expectsKey: boolean };

/**
 * Finds the first repeated key of an object, or the first place nested deeper than `maxDepth`, in JSON text.
 * Keys are compared as values: `"a"` and `"\u0061"` are the same key. Iterative, so hostile text cannot exhaust the
 * stack. Text that is no JSON gives an arbitrary answer: run `JSON.parse` afterwards for that.
 */
export function scanJson(text: string, maxDepth: number): JsonProblem | undefined {
  const open: Frame[] = [];
  const path = () => open.filter((frame) => frame.keys).map((frame) => frame.key);
  for (let at = 0; at < text.length; at++) {
    const top = open[open.length - 1];
    switch (text[at]) {
      case "{":
      case "[": {
        if (open.length === maxDepth) return { kind: "too deep", path: path() };
        const isObject = text[at] === "{";
        open.push({ keys: isObject ? new Set() : undefined, key: "", expectsKey: isObject });
        break;
      }
      case "}":
      case "]":
        open.pop();
        break;
      case ",":
        if (top?.keys) top.expectsKey = true;
        break;
      case ":":
        if (top) top.expectsKey = false;
        break;
      case '"': {
        const end = endOfString(text, at);
        if (top?.keys && top.expectsKey) {
          const key = readString(text.slice(at, end));
          if (key === undefined) return undefined;
          top.key = key;
          if (top.keys.has(key)) return { kind: "repeated key", path: path() };
          top.keys.add(key);
        }
        at = end - 1;
      }
    }
  }
  return undefined;
}

/** The index just past the closing quote of the string literal that opens at `at`. */
function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}

function readString(literal: string): string | undefined {
  try {
    return JSON.parse(literal) as string;
  } catch {
    return undefined;
  }
}
