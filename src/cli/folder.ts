/** Where a run goes. */
import { basename, extname } from "node:path";
import { UserError } from "../errors.js";
import { checkSavable, isDamagedRun, isRun } from "../files/run-folder-node.js";

/** "runs/play-lstm": where a run goes that was given no folder. */
export const folderFor = (file: string, what: string): string =>
  `runs/${plain(basename(file, extname(file)))}-${plain(what)}`;

const plain = (name: string): string => name.replace(/[^\p{L}\p{N}._-]+/gu, "-");

/**
 * Before any work: whether a run may be saved in `dir`. `remedies`: what to do about a run that is there, after a colon.
 * @throws UserError where one is there that is not to be overwritten, or nothing can be written
 */
export async function checkFolder(dir: string, overwrite: boolean, remedies: string): Promise<void> {
  if (!overwrite && (await isRun(dir))) throw new UserError(`${dir} holds a run already: ${remedies}.`);
  if (!overwrite && (await isDamagedRun(dir)))
    throw new UserError(
      `${dir} holds a run whose run.json is damaged: --overwrite replaces it, and --out names another folder.`,
    );
  await checkSavable(dir, { replaceDamaged: overwrite });
}
