/** What looks into programs, by whoever asks for it: where their views end, where the time goes. */
export { checkBounds } from "./bounds.js";
export { createClock } from "./clock.js";
