/** Numbers as the page shows them. */

export const seconds = (ms: number): string => (ms < 9950 ? (ms / 1000).toFixed(1) : `${Math.round(ms / 1000)}`);

export const speed = (perSecond: number): string => (perSecond >= 100 ? `${Math.round(perSecond)}` : perSecond.toPrecision(2));

/** Three digits, or a power of ten. */
export const short = (x: number | null | undefined): string =>
  x === null || x === undefined
    ? "–"
    : x === 0
      ? "0"
      : Math.abs(x) >= 0.01 && Math.abs(x) < 10_000
        ? `${Number(x.toPrecision(3))}`
        : x.toExponential(1);
