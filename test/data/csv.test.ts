import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CsvOptions, readSeries } from "../../src/data/series/csv.js";
import { refused } from "./refused.js";

const read = (csv: string, options: Partial<CsvOptions> = {}) =>
  readSeries(csv, { column: "Sales", name: "shop.csv", ...options });
const monthly = "Month,Sales\n1949-01,112\n1949-02,118.5\n1949-03,-1.3e2\n";

describe("readSeries", () => {
  test("takes the named column, and finds the dates", () => {
    const series = read(monthly);
    expect(series).toMatchObject({ name: "shop.csv", column: "Sales" });
    expect([...series.values]).toEqual([112, 118.5, -130]);
    expect(series.dates).toEqual(["1949-01", "1949-02", "1949-03"]);
    expect(series.calendar?.step).toEqual({ unit: "month", count: 1 });
    expect(series.calendar?.next(2)).toEqual(["1949-04", "1949-05"]);
    expect(series.covariates).toMatchObject({ names: [], rows: 3 });
  });

  test("understands a byte-order mark, Windows and old Mac line ends, quotes, blanks and a missing last line end", () => {
    const texts = [
      `\uFEFF${monthly}`,
      monthly.replaceAll("\n", "\r\n"),
      monthly.replaceAll("\n", "\r"),
      monthly.trimEnd(),
      `${monthly}\n \n`,
      `\n${monthly}`,
      monthly.replace("\n1949-02", "\n\n1949-02"),
      '"Month","Sales"\n"1949-01","112"\n"1949-02"," 118.5 "\n 1949-03 ,-130\n,\n',
      monthly.replaceAll(",", ";"),
      monthly.replaceAll(",", "\t"),
    ];
    for (const text of texts) {
      expect([...read(text).values], JSON.stringify(text)).toEqual([112, 118.5, -130]);
      expect(read(text).dates).toEqual(["1949-01", "1949-02", "1949-03"]);
    }
    expect([...read("Month~Sales\n1949-01~1\n1949-02~2", { delimiter: "~" }).values]).toEqual([1, 2]);
  });

  test("takes covariates in the order asked for, and a quoted name with a comma", () => {
    const csv = 'Date,"Rain, mm",Sales,2020\n2020-01-01,1,10,5\n2020-01-02,2,20,6\n';
    const series = read(csv, { covariates: ["2020", "Rain, mm"] });
    expect(series.covariates.names).toEqual(["2020", "Rain, mm"]);
    expect([...series.covariates.values]).toEqual([5, 1, 6, 2]);
    refused(() => read(csv, { covariates: ["2020", "2020"] }), 'Two covariates are called "2020".');
  });

  test("a column of dates is named, found by its name or its place, or done without", () => {
    const csv = "id,when,Date,Sales\n7,2020-01-01,x,1\n8,2020-01-02,y,2\n";
    expect(read(csv).dates).toBeUndefined();
    expect(read(csv, { dateColumn: "when" }).dates).toEqual(["2020-01-01", "2020-01-02"]);
    expect(read(csv, { dateColumn: "Date" })).toMatchObject({ dates: ["x", "y"], calendar: undefined });
    expect(read("Sales,Day\n1,2020-01-01\n2,2020-01-02").dates).toEqual(["2020-01-01", "2020-01-02"]);
    expect(read("x,Sales\n2020-01-01,1\n2020-01-02,2").dates).toEqual(["2020-01-01", "2020-01-02"]);
    expect(read(monthly, { dateColumn: null })).toMatchObject({ dates: undefined, calendar: undefined });
    // Numbers of four digits in the wanted column are values and no years.
    expect(read("Sales\n1950\n1900\n").dates).toBeUndefined();
  });

  test("reads back any finite numbers exactly", () => {
    const number = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(number, { minLength: 2, maxLength: 30 }), fc.boolean(), (numbers, quoted) => {
        const cells = numbers.map((value) => (quoted ? `"${value}"` : String(value)));
        const csv = `Sales,other\n${cells.map((cell) => `${cell},x`).join("\n")}`;
        expect([...read(csv).values]).toEqual(numbers.map((value) => Number(String(value))));
      }),
    );
  });

  test("refuses the column of values as that of the dates", () => {
    refused(
      () => read(monthly, { dateColumn: "Sales" }),
      'The column "Sales" holds the values, so it cannot hold the dates too.',
    );
  });

  test("says which table is sorted the wrong way round", () => {
    refused(
      () => read("Month,Sales\n1949-03,1\n1949-02,2\n1949-01,3\n"),
      'shop.csv, line 2: the dates run backwards, from "1949-03" to "1949-01": sort the rows, oldest first.',
    );
  });

  test("names a missing column and those there are", () => {
    refused(() => read(monthly, { column: "sales" }), 'shop.csv has no column "sales": it has "Month" and "Sales".');
    refused(() => read(monthly, { dateColumn: "Day" }), 'shop.csv has no column "Day"');
    refused(() => read(monthly, { covariates: ["Rain"] }), 'shop.csv has no column "Rain"');
    refused(() => read(",Sales\n1,2\n2,3", { column: "" }), 'has no column "": it has "Sales"');
    refused(() => read("1949-01,112\n1949-02,118\n"), "the first line looks like figures and must name the columns");
    refused(() => readSeries(monthly, { column: "X" }), 'The table has no column "X"');
  });

  test("names a duplicate header; unnamed columns do not count", () => {
    refused(() => read("a,Sales,b, Sales\n1,2,3,4\n"), 'two columns called "Sales", the second and the 4th');
    expect([...read(",Sales,\n0,2,x\n1,3,y\n").values]).toEqual([2, 3]);
  });

  const bad: [cell: string, message: string][] = [
    ["n.a. today", '"n.a. today" is not a number.'],
    ["12 apples", '"12 apples" is not a number.'],
    ["0x1F", '"0x1F" is not a number.'],
    ["$12", '"$12" is not a number.'],
    ["Infinity", '"Infinity" is not a number.'],
    ["1e999", '"1e999" is too large.'],
    ['"1,234"', '"1,234" has a thousands separator; write the number without.'],
    ["1 234 567.5", '"1 234 567.5" has a thousands separator'],
    ["1'234", '"1\'234" has a thousands separator'],
    ['"12,5"', '"12,5" has a decimal comma; write a point.'],
    ['"1.234,56"', '"1.234,56" has a decimal comma'],
    ["", "the cell is empty; fill the gap first."],
    ["  ", "the cell is empty"],
    ["NaN", '"NaN" is no value; fill the gap first.'],
    ["nan", '"nan" is no value'],
    ["NA", '"NA" is no value'],
    ["null", '"null" is no value'],
    ["-", '"-" is no value'],
    ["?", '"?" is no value'],
  ];
  test.each(bad)("refuses the cell %j", (cell, message) => {
    const csv = `Month,Sales,Rain\n1949-01,112,1\n1949-02,118,1\n1949-03,${cell},1\n1949-04,120,1\n`;
    refused(() => read(csv), `shop.csv, line 4, column "Sales": ${message}`);
    const covariate = `Rain,Sales\n1,1\n\n${cell},2`;
    refused(() => read(covariate, { covariates: ["Rain"] }), `shop.csv, line 4, column "Rain": ${message}`);
  });

  test("counts the lines of the file, quoted line breaks and blank lines too", () => {
    refused(
      () => read('"Sales",note\r\n1,"two\r\nlines"\r\n\r\n2,x\r\nbad,y\r\n'),
      'line 6, column "Sales": "bad" is not',
    );
  });

  test("a blank line in a table of one column is a missing value", () => {
    refused(() => read("Sales\n1\n\n2\n"), 'shop.csv, line 3, column "Sales": the cell is empty');
    expect([...read("Sales\n1\n2\n\n\n").values]).toEqual([1, 2]);
  });

  test("refuses a row of another width", () => {
    refused(
      () => read("Month,Sales\n1949-01,1\n1949-02,1,234\n"),
      "line 3: 3 cells, but the header has 2; a number may",
    );
    refused(() => read("Month,Sales\n1949-01,1\n1949-02\n"), "shop.csv, line 3: 1 cell, but the header has 2.");
  });

  test("refuses broken quotes", () => {
    refused(() => read('Month,Sales\n1949-01,"1\n1949-02,2\n'), "a quotation mark that opens a cell is never closed");
    refused(() => read('Month,Sales\n1949-01,"1"x\n'), "line 2: more text follows a cell's closing quotation mark");
    refused(
      () => read('Month,Sales\n1949-01,1"x\n'),
      "line 2: a quotation mark stands inside a cell that is not quoted",
    );
  });

  test("refuses too few rows, an empty file and a binary one", () => {
    refused(() => read("Sales\n1\n"), "shop.csv has 1 row of figures, but at least 2 are needed.");
    refused(() => read("Sales\n"), "shop.csv has 0 rows of figures");
    refused(() => read(monthly, { minimum: 48 }), "shop.csv has 3 rows of figures, but at least 48 are needed.");
    for (const empty of ["", "\n\n", "\uFEFF", ",,\n"]) {
      refused(() => read(empty), "shop.csv is empty: the first line must name the columns.");
    }
    refused(() => read("PK\u0003\u0004\u0000\u0000\u0000"), "shop.csv is not CSV text: it holds zero bytes");
  });

  test("names the first gap in the dates with its line, unless gaps are ignored", () => {
    const csv = `${monthly}1949-04,1\n1949-07,2\n1949-08,2\n1950-01,5\n`;
    refused(
      () => read(csv),
      'shop.csv, line 6: a gap of 2 missing dates between "1949-04" and "1949-07": the other dates step by 1 month;',
    );
    expect(read(csv, { gaps: "ignore" }).values.length).toBe(7);
    expect(read(csv, { gaps: "ignore" }).calendar?.next(1)).toEqual(["1950-02"]);
    refused(() => read("Month,Sales\n1949-01,1\n,2\n"), 'shop.csv, line 3, column "Month": the date is missing.');
  });
});
