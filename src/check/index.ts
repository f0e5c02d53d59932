export {
  type GradientCheck,
  type GradientCheckOptions,
  type GradientCheckRow,
  gradientCheck,
} from "./gradient-check.js";
export { type GradientFlowOptions, gradientFlow, type LayerFlow } from "./gradient-flow.js";
