/** Every file of work/ by its name. Written by `npm run docs`: a static list, since browsers cannot read a folder. */
export { works as attention } from "./work/attention.ts";
export { works as batch } from "./work/batch.ts";
export { works as decode } from "./work/decode.ts";
export { works as elementwise } from "./work/elementwise.ts";
export { works as exact } from "./work/exact.ts";
export { works as linears } from "./work/linears.ts";
export { works as prefill } from "./work/prefill.ts";
export { works as sampling } from "./work/sampling.ts";
