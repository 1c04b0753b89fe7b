export { columns4Subjects as subjects } from "./exact-awq-tile.ts";
