/**
 * The running result of a pass over the logits, and how two of them join: the largest score with its lowest id, the
 * largest logit, and Σ exp(logit − that). Exponents are cut at −200, where f32 has only zeros, so that no difference
 * overflows.
 */
export const partialStructWgsl = /* wgsl */ `struct Partial { score: f32, id: u32, logit: f32, sum: f32 }`;
export const partialWgsl: string = /* wgsl */ `${partialStructWgsl}
const NONE = Partial(-0x1.fffffep+127f, 0xffffffffu, -0x1.fffffep+127f, 0.0);
fn join(a: Partial, b: Partial) -> Partial {
  var c = a;
  if (b.score > a.score || (b.score == a.score && b.id < a.id)) { c.score = b.score; c.id = b.id; }
  c.logit = max(a.logit, b.logit);
  c.sum = a.sum * exp(max(a.logit - c.logit, -200.0)) + b.sum * exp(max(b.logit - c.logit, -200.0));
  return c;
}`;

/** Workgroups of logits-partials, hence partials. */
export const PARTIALS = 64;
export const PARTIAL_BYTES = 16;
