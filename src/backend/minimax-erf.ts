/** As `minimax.ts`, for erf, which few programs use: loaded with the first of them. */

/** erf(x)/x − 1 as a polynomial in x², |x| < 0.9: 0.2 of a round-off. */
export const ERF_NEAR = [
  0.12837915122509003, -0.3761252462863922, 0.11282140761613846, -0.02677890844643116, 0.005011962726712227,
  -0.0006090360111556947,
];
/** log(1 − erf(x)), 0.9 ≤ x ≤ 4: 0.03 of a round-off of erf(x). */
export const ERF_FAR = [
  -0.00016644717834424227, -1.127797245979309, -0.6369760632514954, -0.10411368310451508, 0.022315215319395065,
  -0.003065490862354636, 0.00019821972819045186,
];
