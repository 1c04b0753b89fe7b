export { columnsSubjects as subjects } from "./exact-awq-tile.ts";
