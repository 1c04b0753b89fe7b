/** Numbers as the page shows them. */

export const seconds = (ms: number): string => (ms < 9950 ? (ms / 1000).toFixed(1) : `${Math.round(ms / 1000)}`);

/** Two digits; all of them from 100 on. */
export const speed = (perSecond: number): string => (perSecond >= 99.5 ? `${Math.round(perSecond)}` : perSecond.toPrecision(2));

/** Three digits, or a power of ten. */
export const short = (x: number | null | undefined): string =>
  x === null || x === undefined
    ? "–"
    : x === 0
      ? "0"
      : Math.abs(x) >= 0.01 && Math.abs(x) < 9999.5
        ? `${Number(x.toPrecision(3))}`
        : x.toExponential(1);
