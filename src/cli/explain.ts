/** throughtime explain */
import { Argument, type Command } from "commander";
import { type CellName, cellNamed, cellNames } from "../models/text-model.js";
import { whole } from "./options.js";

export function addExplain(program: Command): void {
  program
    .command("explain")
    .summary("a cell's equations, forward and backward")
    .description(
      "Prints a cell's equations, the backward equations derived from them, and what runs before, inside and after the " +
        "time loop, all read off the graph that runs.",
    )
    .addArgument(new Argument("<cell>", "the cell").choices(cellNames))
    .option("--hidden <n>", "H, features of the state", whole(1), 128)
    .option("--input <n>", "D, features of the input (default: any number)", whole(1))
    .addHelpText(
      "after",
      `
Examples:
  throughtime explain lstm
  throughtime explain gru --hidden 256 --input 64`,
    )
    .action(async (name: CellName, { hidden, input }: { hidden: number; input?: number }) => {
      const { explain } = await import("../explain/explain.js");
      process.stdout.write(
        `${explain(cellNamed(name, hidden), { input, width: Math.max(80, process.stdout.columns ?? 100) })}\n`,
      );
    });
}
