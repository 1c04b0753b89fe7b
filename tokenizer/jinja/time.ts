/** `strftime_now`: the local time, written as C's strftime does in the C locale. Source: glibc `strftime(3)`; Python `datetime.strftime`. */

import { refuse } from "./errors.ts";

const months = "January February March April May June July August September October November December".split(" ");
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const composed: Readonly<Record<string, string>> = {
  c: "%a %b %e %H:%M:%S %Y",
  D: "%m/%d/%y",
  F: "%Y-%m-%d",
  r: "%I:%M:%S %p",
  R: "%H:%M",
  T: "%H:%M:%S",
  x: "%m/%d/%y",
  X: "%H:%M:%S",
};

/** Days since 1 January. */
function dayOfYear(date: Date): number {
  const utc = (month: number, day: number): number => Date.UTC(date.getFullYear(), month, day) / 86_400_000;
  return utc(date.getMonth(), date.getDate()) - utc(0, 1);
}

/** A number, how wide it is and what fills it. */
type Field = readonly [value: number, width: number, fill?: string];

function fieldOf(date: Date, letter: string): string | Field | undefined {
  const weekday = date.getDay();
  switch (letter) {
    case "a":
      return days[weekday]!.slice(0, 3);
    case "A":
      return days[weekday]!;
    case "b":
    case "h":
      return months[date.getMonth()]!.slice(0, 3);
    case "B":
      return months[date.getMonth()]!;
    case "d":
      return [date.getDate(), 2];
    case "e":
      return [date.getDate(), 2, " "];
    case "f":
      return [date.getMilliseconds() * 1000, 6];
    case "H":
      return [date.getHours(), 2];
    case "I":
      return [date.getHours() % 12 || 12, 2];
    case "j":
      return [dayOfYear(date) + 1, 3];
    case "m":
      return [date.getMonth() + 1, 2];
    case "M":
      return [date.getMinutes(), 2];
    case "n":
      return "\n";
    case "p":
      return date.getHours() < 12 ? "AM" : "PM";
    case "S":
      return [date.getSeconds(), 2];
    case "t":
      return "\t";
    case "y":
      return [date.getFullYear() % 100, 2];
    case "Y":
      return [date.getFullYear(), 1];
    case "%":
      return "%";
    default:
      return undefined;
  }
}

/** `date.strftime(format)`; @throws GureumError "template" for directives that few use. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^#]*)(\w|%)/g, (directive, flags: string, letter: string) => {
    const inner = composed[letter];
    const field = inner === undefined ? fieldOf(date, letter) : strftime(date, inner);
    if (field === undefined) return refuse(`strftime's ${directive}`);
    if (typeof field === "string") return flags.includes("^") ? field.toUpperCase() : field;
    const [value, width, fill = "0"] = field;
    const flag = flags.replace(/[\^#]/g, "").at(-1);
    return flag === "-" ? `${value}` : `${value}`.padStart(width, flag === "_" ? " " : flag === "0" ? "0" : fill);
  });
}
