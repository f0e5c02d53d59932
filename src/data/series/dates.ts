/** How the dates of one column are written. Instants are milliseconds since 1970-01-01, as if all were UTC. */
export interface DateFormat {
  /** The finest thing it tells: year, quarter and month formats tell the month. */
  readonly resolution: "month" | "day" | "second";
  /** The instant, or NaN where `text` is not written so, or is no date of the calendar. */
  read(text: string): number;
  /** The instant written the same way. */
  write(instant: number): string;
}

/** What stands where: y year, q quarter, m month, d day. */
type Field = "y" | "q" | "m" | "d";

// Y four digits, n one or two, Q a quarter, a letters; and what each may mean, likeliest first.
const ORDERS: Readonly<Record<string, readonly string[]>> = {
  Y: ["y"],
  Yn: ["ym"],
  nY: ["my"],
  Ya: ["ym"],
  aY: ["my"],
  YQ: ["yq"],
  QY: ["qy"],
  Ynn: ["ymd"],
  nnY: ["mdy", "dmy"],
  naY: ["dmy"],
  anY: ["mdy"],
  Yan: ["ymd"],
};
const MONTHS =
  /* @__PURE__ */ "january february march april may june july august september october november december".split(" ");
const TIME = /^(.*?\d)([T ])(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})?$/;
const TOKEN = /Q[1-4](?!\d)|\d+|[A-Za-z]+|[^A-Za-z\d]+/gi;

/**
 * The ways in which a column of dates like `sample` may be written, none where `sample` is no date:
 * 1949, 1949-01, 01/1949, 1949Q1, Jan 1949, 1949-01-31, 1949/1/31, 19490131, 1/31/1949 or 31.1.1949 (both are tried),
 * 31 Jan 1949, Jan 31, 1949; each with a time, 12:30 or 12:30:59, and a zone, Z or +01:00.
 * `all` tells whether numbers are padded and month names written out.
 */
export function formatsLike(sample: string, all: readonly string[] = [sample]): DateFormat[] {
  const time = TIME.exec(sample);
  const shape = shapeOf(time?.[1] ?? sample);
  const orders = ORDERS[shape] ?? [];
  if (time !== null && !orders.some((order) => order.includes("d"))) {
    return [];
  }
  // Where a zone stands, its wall clock counts first (days stay whole over a change of the clock), then universal time.
  const clocks: Clock[] = time?.[7] === undefined ? ["wall"] : ["wall", "universal"];
  return orders.flatMap((order) => clocks.map((clock) => createFormat(sample, shape, order, clock, all)));
}

type Clock = "wall" | "universal";

function createFormat(sample: string, shape: string, order: string, clock: Clock, all: readonly string[]): DateFormat {
  const sampleTime = TIME.exec(sample);
  const fields = [...order] as Field[];
  const padded = !all.some((text) => /(^|\D)\d(\D|$)/.test(TIME.exec(text)?.[1] ?? text));
  const fullNames = all.some((text) => /[a-z]{4}/i.test(text));
  const resolution = sampleTime !== null ? "second" : fields.includes("d") ? "day" : "month";
  return {
    resolution,
    read(text) {
      const time = TIME.exec(text);
      const dateText = time?.[1] ?? text;
      if ((time === null) !== (sampleTime === null) || shapeOf(dateText) !== shape) {
        return Number.NaN;
      }
      const day = readDay(dateText, fields);
      return time === null ? day : day + readTime(time) - (clock === "universal" ? offsetOf(time[7]) : 0);
    },
    write(instant) {
      const zone = clock === "universal" ? offsetOf(sampleTime?.[7]) : 0;
      const date = new Date(instant + zone);
      const day = writeDay(sampleTime?.[1] ?? sample, fields, date, padded, fullNames);
      if (sampleTime === null) {
        return day;
      }
      const seconds = sampleTime[5] === undefined ? "" : `:${two(date.getUTCSeconds())}`;
      const clockText = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}${seconds}`;
      return `${day}${sampleTime[2]}${clockText}${sampleTime[7] ?? ""}`;
    },
  };
}

/** `1949-01` → Yn. Eight digits stand for a date without separators. */
function shapeOf(text: string): string {
  let shape = "";
  for (const token of tokensOf(text)) {
    if (/^\d{4}$/.test(token)) {
      shape += "Y";
    } else if (/^\d{1,2}$/.test(token)) {
      shape += "n";
    } else if (/^Q[1-4]$/i.test(token)) {
      shape += "Q";
    } else if (/^[a-z]+$/i.test(token)) {
      shape += monthNamed(token) < 0 ? "?" : "a";
    } else if (!/^(\s*[-/.,]\s*|\s+)$/.test(token)) {
      shape += "?";
    }
  }
  return shape;
}

function tokensOf(text: string): string[] {
  const solid = /^(\d{4})(\d{2})(\d{2})$/.exec(text);
  return solid === null ? (text.match(TOKEN) ?? []) : solid.slice(1);
}

function monthNamed(name: string): number {
  const wanted = name.toLowerCase();
  return MONTHS.findIndex(
    (month) => month === wanted || month.slice(0, 3) === wanted || (wanted === "sept" && month[0] === "s"),
  );
}

function readDay(text: string, fields: readonly Field[]): number {
  let year = Number.NaN;
  let month = 0;
  let day = 1;
  const values = tokensOf(text).filter((token) => /[A-Za-z\d]/.test(token));
  fields.forEach((field, i) => {
    const token = values[i] as string;
    if (field === "y") {
      year = Number(token);
    } else if (field === "q") {
      month = (Number(token.slice(1)) - 1) * 3;
    } else if (field === "m") {
      month = /^\d/.test(token) ? Number(token) - 1 : monthNamed(token);
    } else {
      day = Number(token);
    }
  });
  const instant = Date.UTC(year, month, day);
  const date = new Date(instant);
  const real = date.getUTCFullYear() === year && date.getUTCMonth() === month && date.getUTCDate() === day;
  return real ? instant : Number.NaN;
}

function readTime(time: RegExpExecArray): number {
  const [hours, minutes, seconds] = [Number(time[3]), Number(time[4]), Number(time[5] ?? 0)];
  if (hours > 23 || minutes > 59 || seconds > 59) {
    return Number.NaN;
  }
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + Math.round(Number(`0${time[6] ?? ""}`) * 1000);
}

/** Milliseconds that a zone's wall clock is ahead of universal time. */
function offsetOf(zone: string | undefined): number {
  const parts = /^([+-])(\d{2}):?(\d{2})$/.exec(zone ?? "");
  return parts === null ? 0 : (parts[1] === "-" ? -1 : 1) * (Number(parts[2]) * 60 + Number(parts[3])) * 60_000;
}

function writeDay(sample: string, fields: readonly Field[], date: Date, padded: boolean, fullNames: boolean): string {
  let next = 0;
  const parts = tokensOf(sample).map((token) => {
    if (!/[A-Za-z\d]/.test(token)) {
      return token;
    }
    const field = fields[next++];
    if (field === "y") {
      return String(date.getUTCFullYear()).padStart(4, "0");
    }
    if (field === "q") {
      return `${token[0]}${Math.floor(date.getUTCMonth() / 3) + 1}`;
    }
    if (field === "m" && !/^\d/.test(token)) {
      return writeMonth(token, date.getUTCMonth(), fullNames);
    }
    const number = field === "m" ? date.getUTCMonth() + 1 : date.getUTCDate();
    return padded ? two(number) : String(number);
  });
  return parts.join("");
}

function writeMonth(like: string, month: number, full: boolean): string {
  const name = full ? (MONTHS[month] as string) : (MONTHS[month] as string).slice(0, 3);
  if (like === like.toUpperCase()) {
    return name.toUpperCase();
  }
  return like === like.toLowerCase() ? name : (name[0] as string).toUpperCase() + name.slice(1);
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
