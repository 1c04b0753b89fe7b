/** "60s", "10m", "2h" in milliseconds. */
export function parseDuration(text: string): number {
  const [, count, unit] = /^(\d+)(s|m|h)$/.exec(text) ?? [];
  if (count === undefined) throw new Error(`fuzz: --time takes 60s, 10m or 2h, got ${text}`);
  return Number(count) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"];
}
