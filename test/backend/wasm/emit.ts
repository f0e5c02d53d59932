import {
  createModule,
  type FunctionBuilder,
  type Local,
  type ModuleBuilder,
} from "../../../src/backend/wasm/assembler/assembler.js";
import { i32, v128 } from "../../../src/backend/wasm/assembler/instructions.js";
import { compileOptimized } from "../../../src/backend/wasm/flags-node.js";

/** Builds one module by hand, with constants in the first 16 KiB of its memory. */
export function build(
  relaxed: boolean,
  pages: number,
  emit: (module: ModuleBuilder) => void,
): { exports: Record<string, (...parameters: number[]) => number>; memory: WebAssembly.Memory } {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536 });
  const constants = new Map<number, number>();
  const module = createModule({
    relaxed,
    memory: { minimum: 1, maximum: 65536 },
    constantAddress(bits) {
      if (!constants.has(bits)) constants.set(bits, 4 * constants.size);
      return constants.get(bits)!;
    },
  });
  emit(module);
  const instance = new WebAssembly.Instance(compileOptimized(module.encode()), { host: { memory } });
  const words = new Int32Array(memory.buffer);
  for (const [bits, address] of constants) words[address / 4] = bits;
  return { exports: instance.exports as never, memory };
}

export type UnaryEmitter = (f: FunctionBuilder, x: Local<"v128">) => Local<"v128">;

export const CHUNK = 65536;
const INPUT = 16384;
const OUTPUT = INPUT + 4 * CHUNK;

/** A function over CHUNK numbers: fill `input`, call `run`, look at `output`. */
export function elementwise(relaxed: boolean, emitter: UnaryEmitter) {
  const { exports, memory } = build(relaxed, 16, (module) => {
    const ref = module.function("elementwise", ["i32"], undefined, (f, address) => {
      f.count(0, 4 * CHUNK, 16, (i) => {
        const at = f.let(i32.add(address, i));
        f.store(at, emitter(f, f.let(v128.load(at))), 4 * CHUNK);
      });
    });
    module.export("run", ref);
  });
  return {
    run: () => exports.run!(INPUT),
    input: new Float32Array(memory.buffer, INPUT, CHUNK),
    output: new Float32Array(memory.buffer, OUTPUT, CHUNK),
  };
}
