export { tileSubjects as subjects } from "./exact-dense.ts";
