/**
 * Coefficients of the elementary functions in float32, for the backends that compute them themselves: minimax fits made for this
 * file (Lawson's iteration in float64), the error of each beside it. From the constant term upwards.
 */

/** ln 2 in two parts: the first has 9 bits, so that n·LN2_HIGH is exact. */
export const LN2_HIGH = 0.693359375;
export const LN2_LOW = Math.LN2 - LN2_HIGH;
/** e^r ≈ 1 + r + r²·(…), |r| ≤ ½ ln 2: 0.05 of a round-off. */
export const EXP = [
  1, 1, 0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.00836874544620514, 0.0013814539415761828,
];
/** (e^r − 1 − r)/r²: 0.22 of a round-off of e^r − 1. */
export const EXPM1 = [
  0.4999999701976776, 0.1666654348373413, 0.04166720062494278, 0.008366547524929047, 0.0013882516650483012,
];
