import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Calendar, readCalendar } from "../../src/data/series/calendar.js";
import { refused } from "./refused.js";

const DAY = 86_400_000;
const calendarOf = (dates: string[]) => readCalendar(dates) as Calendar;
const isoDays = (from: string, length: number, step = 1) =>
  Array.from({ length }, (_, i) => new Date(Date.parse(from) + i * step * DAY).toISOString().slice(0, 10));

describe("a calendar", () => {
  // Dates as written, the step they keep, and the next two.
  const written: [dates: string[], unit: string, count: number, next: string[]][] = [
    [["1700", "1701", "1702"], "month", 12, ["1703", "1704"]],
    [["1949-11", "1949-12", "1950-01"], "month", 1, ["1950-02", "1950-03"]],
    [["1949/11", "1949/12", "1950/01"], "month", 1, ["1950/02", "1950/03"]],
    [["11/1949", "12/1949", "01/1950"], "month", 1, ["02/1950", "03/1950"]],
    [["1949-8", "1949-9", "1949-10"], "month", 1, ["1949-11", "1949-12"]],
    [["1949-10", "1949-11", "1950-1"].slice(0, 2), "month", 1, ["1949-12", "1950-01"]],
    [["1959Q3", "1959Q4", "1960Q1"], "month", 3, ["1960Q2", "1960Q3"]],
    [["1959-Q3", "1959-Q4", "1960-Q1"], "month", 3, ["1960-Q2", "1960-Q3"]],
    [["Q3 1959", "Q4 1959", "Q1 1960"], "month", 3, ["Q2 1960", "Q3 1960"]],
    [["Jan 1949", "Feb 1949", "Mar 1949"], "month", 1, ["Apr 1949", "May 1949"]],
    [["1949-JAN", "1949-FEB"], "month", 1, ["1949-MAR", "1949-APR"]],
    [["January 1949", "February 1949"], "month", 1, ["March 1949", "April 1949"]],
    [["May 1949", "June 1949", "July 1949"], "month", 1, ["August 1949", "September 1949"]],
    [["2020-02-27", "2020-02-28", "2020-02-29"], "day", 1, ["2020-03-01", "2020-03-02"]],
    [["20200227", "20200228", "20200229"], "day", 1, ["20200301", "20200302"]],
    [["27.2.2020", "28.2.2020", "29.2.2020"], "day", 1, ["1.3.2020", "2.3.2020"]],
    [["12/30/2020", "12/31/2020", "01/01/2021"], "day", 1, ["01/02/2021", "01/03/2021"]],
    [["30/12/2020", "31/12/2020", "01/01/2021"], "day", 1, ["02/01/2021", "03/01/2021"]],
    [["30 Dec 2020", "31 Dec 2020"], "day", 1, ["01 Jan 2021", "02 Jan 2021"]],
    [["Dec 30, 2020", "Dec 31, 2020"], "day", 1, ["Jan 01, 2021", "Jan 02, 2021"]],
    [["2020-12-17", "2020-12-24", "2020-12-31"], "day", 7, ["2021-01-07", "2021-01-14"]],
    [["1949-01-01", "1949-02-01", "1949-03-01"], "month", 1, ["1949-04-01", "1949-05-01"]],
    [["1949-01-31", "1949-02-28", "1949-03-31"], "month", 1, ["1949-04-30", "1949-05-31"]],
    [["2000-06-30", "2000-09-30"], "month", 3, ["2000-12-31", "2001-03-31"]],
    [["1999-12-31", "2000-03-31", "2000-06-30"], "month", 3, ["2000-09-30", "2000-12-31"]],
    [["2020-01-01", "2021-01-01", "2022-01-01"], "month", 12, ["2023-01-01", "2024-01-01"]],
    [["2020-01-31 00:00:00", "2020-02-29 00:00:00"], "month", 1, ["2020-03-31 00:00:00", "2020-04-30 00:00:00"]],
    [["2020-01-01 22:00", "2020-01-01 23:00"], "second", 3600, ["2020-01-02 00:00", "2020-01-02 01:00"]],
    [["2020-01-01T23:30:00Z", "2020-01-01T23:45:00Z"], "second", 900, ["2020-01-02T00:00:00Z", "2020-01-02T00:15:00Z"]],
  ];
  test.each(written)("reads %j", (dates, unit, count, next) => {
    expect(calendarOf(dates).step).toEqual({ unit, count });
    expect(calendarOf(dates).next(2)).toEqual(next);
    expect(calendarOf(dates).instants.length).toBe(dates.length);
  });

  test("tells the instants", () => {
    expect([...calendarOf(["1970-01", "1970-02"]).instants]).toEqual([0, 31 * DAY]);
    expect([...calendarOf(["1970-01-01T01:00:00.5+01:00", "1970-01-01T02:00:00.5+01:00"]).instants]).toEqual([
      3_600_500, 7_200_500,
    ]);
  });

  test("days or months first, gaps or not: the reading with the fewest", () => {
    const months = Array.from({ length: 30 }, (_, i) => [(i % 12) + 1, 2001 + Math.floor(i / 12)] as const);
    const ignoring = (dates: string[]) => readCalendar(dates, { gaps: "ignore" })!;
    const two = (n: number) => String(n).padStart(2, "0");
    for (const day of ["01", "02", "12"]) {
      expect(ignoring(months.map(([m, y]) => `${day}/${two(m)}/${y}`)).next(2)).toEqual([
        `${day}/07/2003`,
        `${day}/08/2003`,
      ]);
      expect(ignoring(months.map(([m, y]) => `${two(m)}/${day}/${y}`)).next(1)).toEqual([`07/${day}/2003`]);
    }
    const gappy = months.filter((_, i) => i !== 7 && i !== 8).map(([m, y]) => `01.${two(m)}.${y}`);
    expect(ignoring(gappy).next(1)).toEqual(["01.07.2003"]);
    expect(() => calendarOf(gappy)).toThrow(/a gap of 2 missing dates between "01\.07\.2001" and "01\.10\.2001"/);
  });

  test("days or months first: the reading without gaps", () => {
    const twelve = Array.from({ length: 14 }, (_, i) => [(i % 12) + 1, 1949 + Math.floor(i / 12)] as const);
    expect(calendarOf(twelve.map(([month, year]) => `1/${month}/${year}`)).next(1)).toEqual(["1/3/1950"]);
    expect(calendarOf(twelve.map(([month, year]) => `${month}/1/${year}`)).next(1)).toEqual(["3/1/1950"]);
  });

  test("a zone that changes with summer time keeps its days whole, and its hours in universal time", () => {
    const days = ["2020-03-28T00:00+01:00", "2020-03-29T00:00+01:00", "2020-03-30T00:00+02:00"];
    expect(calendarOf(days).step).toEqual({ unit: "day", count: 1 });
    const hours = ["2020-03-29T00:00+01:00", "2020-03-29T01:00+01:00", "2020-03-29T03:00+02:00"];
    expect(calendarOf(hours).step).toEqual({ unit: "second", count: 3600 });
    expect(calendarOf(hours).next(1)).toEqual(["2020-03-29T04:00+02:00"]);
  });

  test("weekdays", () => {
    const days = isoDays("2024-01-01", 21).filter((day) => ![0, 6].includes(new Date(day).getUTCDay()));
    expect(calendarOf(days).step).toEqual({ unit: "weekday", count: 1 });
    expect(calendarOf(days).next(3)).toEqual(["2024-01-22", "2024-01-23", "2024-01-24"]);
    const holiday = days.filter((day) => day !== "2024-01-10");
    refused(() => readCalendar(holiday), 'Row 8: a gap of 1 missing date between "2024-01-09" and "2024-01-11"');
    refused(() => readCalendar(holiday), "step by 1 weekday");
  });

  test("a 365-day calendar leaves one day out of each leap year", () => {
    const all = isoDays("1983-06-01", 2500);
    for (const omitted of ["12-31", "02-29"]) {
      const leap = omitted === "02-29" ? ["1984-02-29", "1988-02-29"] : ["1984-12-31", "1988-12-31"];
      const dates = all.filter((day) => !leap.includes(day));
      expect(calendarOf(dates).step).toEqual({ unit: "day", count: 1, omitted });
      const until = dates.slice(0, dates.indexOf(omitted === "02-29" ? "1988-02-28" : "1988-12-30") + 1);
      expect(calendarOf(until).next(1)).toEqual([omitted === "02-29" ? "1988-03-01" : "1989-01-01"]);
    }
    const once = all.filter((day) => day !== "1984-12-31");
    refused(() => readCalendar(once), 'a gap of 1 missing date between "1984-12-30" and "1985-01-01"');
    const other = all.filter((day) => !["1984-12-31", "1988-12-31", "1985-07-01"].includes(day));
    refused(() => readCalendar(other), "gap of 1 missing date");
  });

  test("names gaps, repeats, disorder and what is no date", () => {
    refused(
      () => readCalendar(["1949-01", "1949-02", "1949-04", "1949-05", "1949-09"]),
      'Row 3: a gap of 1 missing date between "1949-02" and "1949-04": the other dates step by 1 month; ' +
        'fill in or drop rows until the dates are even, or ignore gaps (gaps: "ignore") to take the rows as they come.',
    );
    refused(
      () => readCalendar(["1700", "1701", "1702", "1705"]),
      'Row 4: a gap of 2 missing dates between "1702" and "1705"',
    );
    refused(() => readCalendar(["1700", "1701", "1702", "1705"]), "step by 1 year");
    refused(
      () => readCalendar(isoDays("2020-01-01", 40).filter((_, i) => i < 20 || i > 22)),
      "Row 21: a gap of 3 missing dates",
    );
    refused(
      () => readCalendar(["2020-01-01 00:00", "2020-01-01 01:00", "2020-01-01 02:00", "2020-01-01 02:40"]),
      "not evenly",
    );
    refused(
      () => readCalendar(["2020-01-01", "2020-01-08", "2020-01-15", "2020-01-18"]),
      "are not evenly spaced between",
    );
    refused(
      () => readCalendar(["1949-01", "1949-02", "1949-02", "1949-03"]),
      'Row 3: the date "1949-02" stands twice.',
    );
    refused(
      () => readCalendar(["1949-01", "1949-03", "1949-02"]),
      'Row 3: the date "1949-02" comes after "1949-03": sort the rows, oldest first.',
    );
    refused(() => readCalendar(["1949-03", "1949-02", "1949-01"]), 'run backwards, from "1949-03" to "1949-01"');
    refused(() => readCalendar(["1949-01", "1949-13", "1949-03"]), 'Row 2: "1949-13" is no date like "1949-03".');
    refused(() => readCalendar(["2021-02-28", "2021-02-29", "2021-03-01"]), '"2021-02-29" is no date');
    refused(
      () => readCalendar(["1949-01", "1949-03"])?.next(-1),
      "The number of dates to come must be a whole number of at least 0, but is -1.",
    );
    refused(() => readCalendar(["1949"])?.next(1), "cannot be told from one date");
  });

  test("ignores gaps and repeats when told to, but not disorder", () => {
    const gaps = readCalendar(["1949-01", "1949-02", "1949-02", "1949-09"], { gaps: "ignore" });
    expect(gaps?.next(1)).toEqual(["1949-10"]);
    refused(() => readCalendar(["1949-03", "1949-02", "1949-09"], { gaps: "ignore" }), "comes after");
  });

  test("labels are no dates", () => {
    for (const labels of [["a", "b"], ["1", "2", "3"], ["12.5", "13.5"], ["Q9 2020", "Q8 2020"], [], ["", ""]]) {
      expect(readCalendar(labels), JSON.stringify(labels)).toBeUndefined();
    }
  });

  test("goes on as it went: the next dates of a part are the rest", () => {
    const start = fc.date({ min: new Date("1800-01-01"), max: new Date("2100-01-01"), noInvalidDate: true });
    fc.assert(
      fc.property(start, fc.constantFrom(1, 2, 7, 14, 30), fc.integer({ min: 8, max: 40 }), (from, step, length) => {
        const all = isoDays(from.toISOString().slice(0, 10), length + 10, step);
        const calendar = calendarOf(all.slice(0, length));
        fc.pre(calendar.step?.unit === "day");
        expect(calendar.next(10)).toEqual(all.slice(length));
      }),
    );
  });

  test("every missing row is found and named", () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 60 }), fc.nat(), fc.constantFrom("month", "day"), (length, at, unit) => {
        const all = Array.from({ length }, (_, i) =>
          new Date(Date.UTC(1950, unit === "month" ? i : 0, unit === "day" ? 1 + i : 1)).toISOString().slice(0, 10),
        );
        const missing = 1 + (at % (length - 2));
        const message = `between "${all[missing - 1]}" and "${all[missing + 1]}"`;
        refused(() => readCalendar(all.filter((_, i) => i !== missing)), message);
      }),
    );
  });
});
