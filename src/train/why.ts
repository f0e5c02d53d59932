/** Why a trainer refuses: loaded when it does. */
export const why = () => import("./refusals.js");
