/**
 * The random stream of docs/sampling.md. Source: Salmon et al. 2011, Threefry-2x32 with 20 rounds; twin of
 * core/sample/random.ts.
 */
export const threefryWgsl = /* wgsl */ `const ROTATIONS = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
  let keys = array<u32, 3>(key.x, key.y, 0x1bd11bdau ^ key.x ^ key.y);
  var rotations = ROTATIONS;
  var schedule = keys;
  var x = counter + key;
  for (var round = 0u; round < 20u; round++) {
    let r = rotations[round % 8u];
    x.x += x.y;
    x.y = ((x.y << r) | (x.y >> (32u - r))) ^ x.x;
    if (round % 4u == 3u) {
      let s = (round + 1u) / 4u;
      x += vec2(schedule[s % 3u], schedule[(s + 1u) % 3u] + s);
    }
  }
  return x;
}`;
