import { basename, extname } from "node:path";

/** "runs/play-lstm": where a run goes that was given no folder. */
export const folderFor = (file: string, what: string): string =>
  `runs/${plain(basename(file, extname(file)))}-${plain(what)}`;

const plain = (name: string): string => name.replace(/[^\p{L}\p{N}._-]+/gu, "-");
