export { weightsSubjects as subjects } from "./exact-mix.ts";
