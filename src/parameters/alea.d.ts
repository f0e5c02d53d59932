// seedrandom's types know only its index, which brings six more generators and Node's crypto.
declare module "seedrandom/lib/alea.js" {
  import type seedrandom from "seedrandom";

  const alea: typeof seedrandom.alea;
  export default alea;
}
