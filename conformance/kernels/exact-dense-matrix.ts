export { matrixSubjects as subjects } from "./exact-dense.ts";
