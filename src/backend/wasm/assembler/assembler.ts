/**
 * A small WebAssembly assembler: functions are built from typed expressions (`instructions.ts`), equal functions are
 * kept once, and the module is encoded to bytes. Memory is imported, so that the host and several modules share it.
 */
import { kept } from "../../../graph/maps.js";
import { bitsOf, bytes, type Code, section, text, toBytes, unsigned, vector } from "./encoding.js";
import {
  type F32,
  f32x4,
  type I32,
  i32,
  memoryOperand,
  type V128,
  type Value,
  type ValueType,
  v128,
} from "./instructions.js";

const typeCode: Record<ValueType, Code> = { i32: bytes(0x7f), f32: bytes(0x7d), f64: bytes(0x7c), v128: bytes(0x7b) };
const ONE = bytes(1);
const END = bytes(0x0b);

/** A local variable; as an expression it reads itself. */
export interface Local<T extends ValueType> extends Value<T> {
  readonly index: number;
}

export interface FunctionRef {
  readonly index: number;
  readonly parameters: readonly ValueType[];
  readonly result: ValueType | undefined;
}

/** The statements of a function under construction, in order. */
export interface FunctionBuilder {
  /** Whether `madd` may be fused. */
  readonly relaxed: boolean;
  local<T extends ValueType>(type: T): Local<T>;
  /** A new local that holds the value. */
  let<T extends ValueType>(value: Value<T>): Local<T>;
  set<T extends ValueType>(local: Local<T>, value: Value<T>): void;
  /** A vector of four times `value`, loaded once at the top of the function. */
  constant(value: number): Local<"v128">;
  /** As `constant`, the lanes given by their bits. */
  bits(value: number): Local<"v128">;
  storeF32(address: I32, value: F32, offset?: number): void;
  /** Stores the first `lanes` lanes (4 without) and touches nothing behind them. */
  store(address: I32, value: V128, offset?: number, lanes?: number): void;
  /** Stores one lane. */
  storeLane(address: I32, value: V128, lane: number, offset?: number): void;
  /** Code that leaves nothing on the stack. */
  do(code: Code): void;
  /** Computes a value for its effect. */
  drop(value: Value<ValueType>): void;
  call(target: FunctionRef, ...parameters: Value<ValueType>[]): void;
  if(condition: I32, then: () => void, otherwise?: () => void): void;
  /**
   * Runs the body, and again for as long as the condition it returns is not 0. `leaveIf`, called in the body itself (in
   * no block within it), leaves the loop at once.
   */
  repeat(body: (leaveIf: (condition: I32) => void) => I32): void;
  /** `for (counter = from; counter ≠ to; counter += step)`; the body runs at least once. */
  count(from: number | I32, to: number | I32, step: number, body: (counter: Local<"i32">) => void): void;
  return(value?: Value<ValueType>): void;
  /** a·b + c and c − a·b, fused where relaxed SIMD is on. */
  madd(a: V128, b: V128, c: V128): V128;
  nmadd(a: V128, b: V128, c: V128): V128;
}

/** Where a constant of 32 bits lies in memory; the same number for the same bits. */
export type ConstantAddress = (bits: number) => number;

export interface ModuleOptions {
  readonly relaxed: boolean;
  readonly constantAddress: ConstantAddress;
  /** Limits of the imported memory in pages of 64 KiB. Shared memory is for threads. */
  readonly memory: { readonly minimum: number; readonly maximum: number; readonly shared?: boolean };
}

type Parameters<P extends readonly ValueType[]> = { [K in keyof P]: Local<P[K]> };

export interface ModuleBuilder {
  readonly relaxed: boolean;
  /** Functions by what they were made for, so that who wants one again need not make it to find it is there. */
  readonly known: Map<string, FunctionRef>;
  /** An import, to be declared before the first function. */
  importFunction(name: string, parameters: readonly ValueType[]): FunctionRef;
  function<const P extends readonly ValueType[]>(
    name: string,
    parameters: P,
    result: ValueType | undefined,
    body: (f: FunctionBuilder, ...parameters: Parameters<P>) => void,
  ): FunctionRef;
  export(name: string, target: FunctionRef): void;
  /** The whole module. */
  code(): Code;
  encode(): Uint8Array<ArrayBuffer>;
}

const STORE_F32 = bytes(0x38);
const STORE = bytes(0xfd, 0x0b);
const STORE_64_LANE = bytes(0xfd, 0x5b);
const BLOCK_IF = bytes(0x04, 0x40);
const BLOCK_LOOP = bytes(0x03, 0x40);
const ELSE = bytes(0x05);
const BRANCH_TO_TOP = bytes(0x0d, 0);
const BLOCK = bytes(0x02, 0x40);
const BRANCH_OUT = bytes(0x0d, 1);
const RETURN = bytes(0x0f);
const UNREACHABLE = bytes(0x00);
const GET = bytes(0x20);
const SET = bytes(0x21);

function createFunction(parameters: readonly ValueType[], options: ModuleOptions) {
  const locals: ValueType[] = [];
  const constants = new Map<number, Local<"v128">>();
  let prologue: Code = "";
  let statements: Code = "";

  const emit = (code: Code): void => {
    statements += code;
  };
  const nested = (body: () => void): Code => {
    const outer = statements;
    statements = "";
    body();
    const inner = statements;
    statements = outer;
    return inner;
  };
  const asLocal = <T extends ValueType>(type: T, index: number): Local<T> => ({
    type,
    index,
    code: GET + unsigned(index),
  });
  const store = (opcode: Code, address: I32, value: Value<ValueType>, offset: number, lane: Code = ""): void =>
    emit(address.code + value.code + opcode + memoryOperand(offset) + lane);

  const builder: FunctionBuilder = {
    relaxed: options.relaxed,
    local(type) {
      locals.push(type);
      return asLocal(type, parameters.length + locals.length - 1);
    },
    let(value) {
      const local = builder.local(value.type);
      builder.set(local, value);
      return local;
    },
    set: (local, value) => emit(value.code + SET + unsigned(local.index)),
    constant: (value) => builder.bits(bitsOf(value)),
    bits(value) {
      return kept(constants, value | 0, () => {
        const local = builder.local("v128");
        const address = i32.const(options.constantAddress(value | 0));
        prologue += v128.load32Splat(address).code + SET + unsigned(local.index);
        return local;
      });
    },
    storeF32: (address, value, offset = 0) => store(STORE_F32, address, value, offset),
    store(address, value, offset = 0, lanes = 4) {
      if (lanes === 4) return store(STORE, address, value, offset);
      const local = builder.let(value);
      if (lanes >= 2) store(STORE_64_LANE, address, local, offset, unsigned(0));
      if (lanes % 2 === 1) builder.storeLane(address, local, lanes - 1, offset + 4 * (lanes - 1));
    },
    storeLane: (address, value, lane, offset = 0) => store(bytes(0xfd, 0x5a), address, value, offset, bytes(lane)),
    do: emit,
    drop: (value) => emit(value.code + bytes(0x1a)),
    call: (target, ...values) =>
      emit(values.map((value) => value.code).join("") + bytes(0x10) + unsigned(target.index)),
    if(condition, then, otherwise) {
      emit(condition.code + BLOCK_IF + nested(then));
      if (otherwise) emit(ELSE + nested(otherwise));
      emit(END);
    },
    repeat(body) {
      let leaves = false;
      const leaveIf = (condition: I32): void => {
        leaves = true;
        emit(condition.code + BRANCH_OUT);
      };
      const loop = BLOCK_LOOP + nested(() => emit(body(leaveIf).code + BRANCH_TO_TOP)) + END;
      emit(leaves ? BLOCK + loop + END : loop);
    },
    count(from, to, step, body) {
      const counter = builder.let(typeof from === "number" ? i32.const(from) : from);
      const end = typeof to === "number" ? i32.const(to) : to;
      builder.repeat(() => {
        body(counter);
        builder.set(counter, i32.add(counter, i32.const(step)));
        return i32.ne(counter, end);
      });
    },
    return: (value) => emit((value?.code ?? "") + RETURN),
    madd: (a, b, c) => (options.relaxed ? f32x4.relaxedMadd(a, b, c) : f32x4.add(f32x4.mul(a, b), c)),
    nmadd: (a, b, c) => (options.relaxed ? f32x4.relaxedNmadd(a, b, c) : f32x4.sub(c, f32x4.mul(a, b))),
  };

  /** Locals one by one, then the code. A function with a result ends in `return`: what follows is unreachable. */
  const finish = (result: ValueType | undefined): Code =>
    vector(locals.map((type) => ONE + typeCode[type])) + prologue + statements + (result ? UNREACHABLE : "") + END;
  return { builder, parameters: parameters.map((type, index) => asLocal(type, index)), finish };
}

export function createModule(options: ModuleOptions): ModuleBuilder {
  const types: Code[] = [];
  const imports: { name: string; type: number }[] = [];
  const functions: { type: number; body: Code; name: string }[] = [];
  const byBody: Map<Code, FunctionRef>[] = [];
  const exports: { name: string; index: number }[] = [];

  const typeOf = (parameters: readonly ValueType[], result: ValueType | undefined): number => {
    const results = result ? [typeCode[result]] : [];
    const code = bytes(0x60) + vector(parameters.map((type) => typeCode[type])) + vector(results);
    const known = types.indexOf(code);
    return known >= 0 ? known : types.push(code) - 1;
  };

  const builder: ModuleBuilder = {
    relaxed: options.relaxed,
    known: new Map(),
    importFunction(name, parameters) {
      if (functions.length > 0) throw new Error("late import");
      imports.push({ name, type: typeOf(parameters, undefined) });
      return { index: imports.length - 1, parameters, result: undefined };
    },
    function(name, parameters, result, body) {
      const made = createFunction(parameters, options);
      body(made.builder, ...(made.parameters as never));
      const code = made.finish(result);
      const type = typeOf(parameters, result);
      byBody[type] ??= new Map();
      return kept(byBody[type], code, () => ({
        index: imports.length + functions.push({ type, body: code, name }) - 1,
        parameters,
        result,
      }));
    },
    export: (name, target) => void exports.push({ name, index: target.index }),
    encode: () => toBytes(builder.code()),
    code() {
      const { minimum, maximum, shared } = options.memory;
      const limits = bytes(shared ? 3 : 1) + unsigned(minimum) + unsigned(maximum);
      const memory = text("host") + text("memory") + bytes(0x02) + limits;
      const imported = imports.map(({ name, type }) => text("host") + text(name) + bytes(0x00) + unsigned(type));
      const names = functions.map(({ name }, i) => unsigned(imports.length + i) + text(name));
      return (
        bytes(0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0) +
        section(1, vector(types)) +
        section(2, vector([...imported, memory])) +
        section(3, vector(functions.map(({ type }) => unsigned(type)))) +
        section(7, vector(exports.map(({ name, index }) => text(name) + bytes(0x00) + unsigned(index)))) +
        section(10, vector(functions.map(({ body }) => unsigned(body.length) + body))) +
        // Function names, for profilers and stack traces.
        section(0, text("name") + section(1, vector(names)))
      );
    },
  };
  return builder;
}
