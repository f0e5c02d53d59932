/** throughtime explain */
import { Argument, type Command, Option } from "commander";
import { type CellName, cellNamed, cellNames } from "../models/text-model.js";
import { whole } from "./options.js";

interface ExplainFlags {
  readonly hidden: number;
  readonly input?: number;
  readonly backend?: "webgpu";
  readonly batch: number;
  readonly time: number;
}

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
    .addOption(
      new Option(
        "--backend <name>",
        "print instead how this backend carries out a layer of the cell: what is dispatched to a graphics processor",
      ).choices(["webgpu"]),
    )
    .option("--batch <n>", "N, rows of the batch, with --backend", whole(1), 32)
    .option("--time <n>", "T, time steps, with --backend", whole(1), 50)
    .addHelpText(
      "after",
      `
Examples:
  throughtime explain lstm
  throughtime explain gru --hidden 256 --input 64
  throughtime explain lstm --backend webgpu --batch 50`,
    )
    .action(async (name: CellName, { hidden, input, backend, batch, time }: ExplainFlags) => {
      const cell = cellNamed(name, hidden);
      if (backend) {
        const { explainDispatches } = await import("../explain/dispatches.js");
        process.stdout.write(await explainDispatches(cell, { ...(input ? { input } : {}), batch, time }));
        return;
      }
      const { explain } = await import("../explain/explain.js");
      process.stdout.write(`${explain(cell, { input, width: Math.max(80, process.stdout.columns ?? 100) })}\n`);
    });
}
