export { firstRules as rules } from "../shared-proofs.ts";
