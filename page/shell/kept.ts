/** Small values that outlive a reload. A browser that keeps nothing is no error. */
const nameOf = (name: string): string => `gureum.${name}`;

/** "localStorage" is of all tabs, "sessionStorage" of this one. */
export type Where = "localStorage" | "sessionStorage";

export function kept<T>(name: string, where: Where, isValue: (value: unknown) => value is T): T | undefined {
  try {
    const value: unknown = JSON.parse(globalThis[where].getItem(nameOf(name)) ?? "null");
    return isValue(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function keep(name: string, where: Where, value: unknown): void {
  try {
    globalThis[where].setItem(nameOf(name), JSON.stringify(value));
  } catch {
    // Full, or switched off.
  }
}
