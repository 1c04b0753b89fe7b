/** Rows of an f16 cache [positions, G, HEAD] as attention by shuffles reads them: LANES lanes a row, eight components each. */

/** widened(eight components as they are stored); Four: those of four rows. */
export const octetWgsl = /* wgsl */ `struct Octet { a: vec4<f32>, b: vec4<f32> }
struct Four { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }
fn widened(x: vec4<u32>) -> Octet {
  return Octet(vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y)), vec4<f32>(unpack2x16float(x.z), unpack2x16float(x.w)));
}`;

/** Four rows of a group of lanes at once. Wants GROUPS, G, LANES and the bindings k_cache, v_cache, arrays of vec4<u32>. */
export const fourRowsWgsl = /* wgsl */ `// Where four rows of a group lie from key s on, GROUPS apart; past the last one, it.
fn rows(s: u32, position: u32, column: u32) -> vec4<u32> {
  return min(vec4<u32>(s, s + GROUPS, s + 2u * GROUPS, s + 3u * GROUPS), vec4<u32>(position)) * (G * LANES) + column;
}
fn load_keys(at: vec4<u32>) -> Four { return Four(k_cache[at.x], k_cache[at.y], k_cache[at.z], k_cache[at.w]); }
fn load_values(at: vec4<u32>) -> Four { return Four(v_cache[at.x], v_cache[at.y], v_cache[at.z], v_cache[at.w]); }`;
