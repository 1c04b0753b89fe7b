export { rowSubjects as subjects } from "./exact-mix.ts";
