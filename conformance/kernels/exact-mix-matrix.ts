export { matrixSubjects as subjects } from "./exact-mix.ts";
