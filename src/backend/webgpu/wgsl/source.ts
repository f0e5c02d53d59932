/**
 * The text of a kernel in the making. Structure is text; shapes and places are parameters, so that kernels that differ in them alone
 * are one pipeline. All pipelines bind alike: three buffers that they read and write, with numbers of 16 bits four (of one buffer bound
 * twice, one binding to be read, no dispatch could be valid), the dispatch's parameters and the loop's index, both at dynamic offsets.
 */
import type { View } from "../../../program/program.js";
import { functionsFor } from "./functions.js";

/**
 * Where numbers lie: variables and temporaries each in one buffer of floats, whole numbers in a buffer of their own, since a
 * device that has no denormal floats may clear them on the way.
 */
export type Space = "variables" | "temporaries" | "indices" | "halves";

/** The number of each space's binding, and what it holds. */
export const bindingOf = { variables: 0, temporaries: 1, indices: 2, halves: 5 } as const satisfies Record<
  Space,
  number
>;
const elementOf = { variables: "f32", temporaries: "f32", indices: "i32", halves: "f16" } as const satisfies Record<
  Space,
  string
>;
export const spaces = Object.keys(bindingOf) as readonly Space[];

export interface Place {
  readonly space: Space;
  /** In elements of the space. */
  readonly offset: number;
}

export type Locate = (buffer: number) => Place;

/** A view as a kernel's text names it. */
export interface Matrix {
  readonly space: Space;
  /** Where the view begins at this loop index. */
  readonly base: string;
  readonly stride: string;
  /** The place of an element. */
  at(row: string, column: string): string;
  /** The number at a place. */
  load(place: string): string;
  /** A statement that stores a number at a place. */
  store(place: string, value: string): string;
}

export interface Source {
  /** A whole number that differs from dispatch to dispatch. */
  word(value: number): string;
  matrix(view: View): Matrix;
  /** Statements that declare where the views begin at index `t`; they come first in the body. */
  preamble(t?: string): string;
  /** What the parameters hold so far. */
  readonly parameters: readonly number[];
  /** Where the commit's flag lies: stores happen only where it is 0. */
  readonly flag: string | undefined;
}

/** `flag`: the place, among the indices, that says whether a commit is refused. */
export function createSource(locate: Locate, flag?: number): Source {
  const parameters: number[] = [];
  const bases: string[] = [];
  const word = (value: number): string => {
    const at = parameters.push(value >>> 0) - 1;
    return `p[own + ${at >> 2}u].${"xyzw"[at & 3]}`;
  };
  const flagWord = flag === undefined ? undefined : word(flag);
  return {
    word,
    parameters,
    flag: flagWord,
    matrix(view) {
      const { space, offset } = locate(view.buffer);
      const base = `at${bases.length}`;
      bases.push(`let ${base} = ${word(offset + view.offset)} + t * ${word(view.step)};`);
      const stride = word(view.stride);
      return {
        space,
        base,
        stride,
        at: (row, column) => `${base} + ${row} * ${stride} + ${column}`,
        load: (place) => (space === "halves" ? `f32(halves[${place}])` : `${space}[${place}]`),
        store(place, value) {
          const number = space === "halves" ? `toHalf(${value})` : value;
          return `${flagWord ? "if (commits) { " : ""}${space}[${place}] = ${number};${flagWord ? " }" : ""}`;
        },
      };
    },
    preamble: (t = "now.x") =>
      [`let t = ${t};`, ...bases, ...(flagWord ? [`let commits = indices[${flagWord}] == 0;`] : [])].join("\n  "),
  };
}

export interface KernelText {
  readonly source: Source;
  /** Invocations of a workgroup. */
  readonly size: number;
  /** Declarations outside of the function. */
  readonly declarations?: string;
  /** `lane`: the invocation's number in its workgroup; `group`: the workgroup's number. */
  readonly body: string;
}

/** A kernel's text in parts: dispatches of one shader can be made one, with a text of its own. */
export interface Shader {
  /** Features and bindings. */
  readonly head: string;
  /** Functions and a workgroup's memory. */
  readonly declarations: string;
  /** Of `main`. */
  readonly body: string;
  /** Invocations of a workgroup. */
  readonly size: number;
  /** Parameters of a dispatch. */
  readonly words: number;
}

/** Parameters come in fours. */
const fours = (words: number): number => Math.max(1, Math.ceil(words / 4));

/** Says where, in fours, a dispatch's parameters begin (`own`), and its workgroup's number (`group`). */
interface Whose {
  readonly declaration: string;
  readonly statements: string;
}

const alone: Whose = {
  declaration: "const own = 0u;",
  statements: "let group = groupId.x + groupId.y * groups.x;",
};

/** Each workgroup finds out which of several dispatches, each of so many words, is its own. */
function amongOthers(words: number): Whose {
  const [borders, stride] = [fours(words), fours(words) + 1];
  return {
    // Functions know `own` as the invocation's variable; in `main` it must be known to be the same for a whole workgroup.
    declaration: "var<private> own: u32;\nfn remember(place: u32) { own = place; }",
    statements: `let ofAll = groupId.x + groupId.y * groups.x;
  var member = 0u;
  while (ofAll >= p[member + ${borders}u].y) {
    if (p[member + ${borders}u].z == 1u) { return; }
    member += ${stride}u;
  }
  let group = ofAll - p[member + ${borders}u].x;
  remember(member);
  let own = member;`,
  };
}

/** The whole text of a kernel. `together`: of several dispatches in one, the length of `joinedParameters`. */
export function textOf({ head, declarations, body, size, words }: Shader, together?: number): string {
  const { declaration, statements } = together === undefined ? alone : amongOthers(words);
  return `${head}
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, ${fours(together ?? words)}>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
${declaration}
${declarations}
@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  ${statements}
  ${body}
}
`;
}

/** Parameters and workgroups of each, one after the other; behind each one's its first workgroup, its end, and whether it is the last. */
export function joinedParameters(
  members: readonly (readonly [parameters: readonly number[], workgroups: number])[],
): number[] {
  let begin = 0;
  const all = members.flatMap(([parameters, workgroups], i) => {
    const padding = new Array<number>(4 * fours(parameters.length) - parameters.length).fill(0);
    const end = begin + workgroups;
    const block = [...parameters, ...padding, begin, end, i === members.length - 1 ? 1 : 0, 0];
    begin = end;
    return block;
  });
  // Few different lengths, so that there are few texts.
  const length = (all.length / members.length) * 2 ** Math.ceil(Math.log2(members.length));
  return [...all, ...new Array<number>(length - all.length).fill(0)];
}

/** With the bindings and the functions that the text uses. */
export function shaderOf({ source, size, declarations = "", body }: KernelText): Shader {
  const inMain = `${source.preamble()}\n  ${body}`;
  const used = `${declarations}\n${inMain}`;
  const usedSpaces = spaces.filter((space) => used.includes(`${space}[`));
  const bindings = usedSpaces.map(
    (space) => `@group(0) @binding(${bindingOf[space]}) var<storage, read_write> ${space}: array<${elementOf[space]}>;`,
  );
  return {
    head: [...(usedSpaces.includes("halves") ? ["enable f16;"] : []), ...bindings].join("\n"),
    declarations: `${functionsFor(used)}\n${declarations}`,
    body: inMain,
    size,
    words: source.parameters.length,
  };
}

/** So many workgroups in two dimensions, since one holds 65 535 at most; some at the end may have nothing to do. */
export function gridOf(count: number): readonly [number, number, number] {
  const rows = Math.max(1, Math.ceil(count / 65_535));
  return [Math.max(1, Math.ceil(count / rows)), rows, 1];
}
