/**
 * A worker that has the memory and runs the programs, for a page without shared memory: numbers go to it and come back as
 * messages, which it takes in their order.
 */
import type { Crew } from "./crew.js";
import { arrayOf, MAX_PAGES, type Store } from "./store.js";
import { disposed, startInPage } from "./thread.js";

const source = `
let memory;
const programs = [];
const receive = (post, data) => {
  if (data.pages) {
    if (memory) memory.grow(data.pages);
    else memory = new WebAssembly.Memory({ initial: data.pages, maximum: ${MAX_PAGES} });
  } else if (data.numbers) new Uint8Array(memory.buffer).set(new Uint8Array(data.numbers), data.address);
  else if (data.read) post(memory.buffer.slice(data.read, data.read + data.bytes));
  else if (data.module) {
    const { run } = new WebAssembly.Instance(data.module, { host: { memory, mark() {} } }).exports;
    const p = data.parameters;
    post(programs.push(() => run(p.worker, p.firstRow, p.arena, p.partials, p.common)) - 1);
  } else post(programs[data.run]());
};
`;

export interface Remote {
  readonly store: Store;
  readonly crew: Crew;
}

export function createRemote(): Remote {
  const waiting: { resolve(answer: never): void; reject(error: unknown): void }[] = [];
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure = error;
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  const thread = startInPage(source, (answer) => waiting.shift()?.resolve(answer as never), fail);
  thread.hold(false);
  const ask = <T>(question: unknown): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (failure) return reject(failure);
      waiting.push({ resolve: resolve as (answer: never) => void, reject });
      thread.hold(true);
      thread.post(question);
    }).finally(() => thread.hold(waiting.length > 0));
  let pages = 1;
  thread.post({ pages });
  return {
    store: {
      bytes: () => pages * 65536,
      grow(more) {
        if (pages + more > MAX_PAGES) throw new RangeError("out of memory");
        pages += more;
        thread.post({ pages: more });
      },
      write(address, numbers, type) {
        const copy = arrayOf(type, numbers.length);
        copy.set(numbers);
        thread.post({ address, numbers: copy.buffer });
      },
      async read(address, size, type, into) {
        const buffer = await ask<ArrayBuffer>({ read: address, bytes: 4 * size });
        const numbers = type === "index" ? new Int32Array(buffer) : new Float32Array(buffer);
        if (!into) return numbers;
        into.set(numbers);
        return into;
      },
    },
    crew: {
      immediate: false,
      begin() {},
      load: ([part]) => ask<number>(part),
      run: (program) => ask<number>({ run: program }),
      dispose() {
        thread.terminate();
        fail(disposed());
      },
    },
  };
}
