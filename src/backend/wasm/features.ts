/** What the engine at hand can do, found by validating tiny modules. */
import { createModule } from "./assembler/assembler.js";
import { f32x4, i32, v128 } from "./assembler/instructions.js";

function validates(relaxed: boolean): boolean {
  const module = createModule({ relaxed, constantAddress: () => 0, memory: { minimum: 1, maximum: 1 } });
  module.function("probe", [], undefined, (f) => {
    const x = f.let(v128.load(i32.const(0)));
    f.store(i32.const(0), f32x4.add(x, f.madd(x, x, x)));
  });
  return typeof WebAssembly !== "undefined" && compiling(() => WebAssembly.validate(module.encode()));
}

type Compiling = <T>(act: () => T) => T;

/** Validates or compiles code: Node 20 knows relaxed SIMD only while a flag is set (`flags-node.ts`). */
export let compiling: Compiling = (act) => act();
export function setCompiling(next: Compiling): void {
  compiling = next;
}

/** 128-bit vectors: without them there is no wasm backend. */
export const hasSimd = (): boolean => validates(false);

let revectorized = false;

/** Whether V8 was told to make 256-bit instructions of neighbouring 128-bit ones: nothing in a module shows it. */
export const revectorizes = (): boolean => revectorized;
export function setRevectorizes(): void {
  revectorized = true;
}

/** Fused multiply-add, about 1.7 times as fast. Asked anew each time, since Node 20 can be told to use it. */
export const hasRelaxedSimd = (): boolean => validates(true);

/** Whether the compiler orders code by itself where it can: V8 before 13, of Node 20 and 22. Newer ones keep to the order given. */
export const reordersCode = (): boolean =>
  Number.parseInt((globalThis as { process?: NodeJS.Process }).process?.versions.v8 ?? "13", 10) < 13;
