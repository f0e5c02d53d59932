import type { Cell } from "../cells/cell.js";
import type { Layer } from "../layers/layer.js";
import { recurrent } from "../layers/recurrent.js";

/** A cell is checked as a recurrent layer of its own. */
export const asLayer = (subject: Cell | Layer): Layer => ("apply" in subject ? subject : recurrent(subject));
