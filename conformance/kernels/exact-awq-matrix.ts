export { matrixSubjects as subjects } from "./exact-awq-tile.ts";
