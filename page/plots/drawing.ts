/** What a plot shows, as data: two axes, lines, and points with names. figure.tsx draws it. */

export interface Axis {
  readonly label: string;
  readonly low: number;
  readonly high: number;
  /** "names": whole numbers from 0 on, each written as its name, the first on top. */
  readonly scale: "log" | "names";
  readonly names?: readonly string[];
  readonly format?: (value: number) => string;
}

export interface Line {
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Colour, by the page's name for it: "ink", "bad". */
  readonly colour: string;
  /** Written at its last point, or at its first. */
  readonly text?: string;
  readonly textAt?: "first" | "last";
}

export interface Dot {
  readonly x: number;
  readonly y: number;
  /** Shown where the pointer is near. */
  readonly title: string;
  /** Written beside it. */
  readonly text?: string;
  /** By the page's name for it: "sky", or "1" to "8" of the palette. */
  readonly colour: string;
  readonly hollow?: boolean;
}

export interface Drawing {
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  readonly dots: readonly Dot[];
  /** Pixels, for a width. */
  height(width: number): number;
}
