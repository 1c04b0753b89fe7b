/**
 * Sets of code points, decided once per code point and remembered. Named classes are Oniguruma's (UTF-8), which differ from JavaScript's:
 * `\s` has no U+FEFF, `\h` is a hexadecimal digit, `\w` and the POSIX classes are Unicode's.
 * Source: kkos/oniguruma `doc/RE`, sections 3 and 6; every class compared with the reference over all code points.
 */
import { isWhiteSpace } from "../unicode.ts";
import { isAfterUnicode16 } from "../unicode-versions.ts";

export interface CharSet {
  has(point: number): boolean;
}

/** Remembers what `decide` says, a page of 256 code points at a time: 0 not asked yet, 1 no, 2 yes. */
export function charSet(decide: (point: number) => boolean): CharSet {
  const pages: (Uint8Array | undefined)[] = [];
  return {
    has(point) {
      let page = pages[point >> 8];
      if (page === undefined) {
        page = new Uint8Array(256);
        pages[point >> 8] = page;
      }
      const known = page[point & 255]!;
      if (known > 0) return known === 2;
      const answer = decide(point);
      page[point & 255] = answer ? 2 : 1;
      return answer;
    },
  };
}

type Decide = (point: number) => boolean;

/** U+0295 was a lowercase letter up to Unicode 16 and is a letter of no case since. */
const glottalStop = 0x295;
const glottalStopIn: Readonly<Record<string, boolean>> = { "\\p{Ll}": true, "\\p{Lowercase}": true, "\\p{Lo}": false };

/** A class of JavaScript's, of the characters that Oniguruma's tables have. */
function property(source: string): Decide {
  const pattern = new RegExp(`^[${source}]$`, "u");
  return (point) => {
    if (point === glottalStop && source in glottalStopIn) return glottalStopIn[source]!;
    return pattern.test(String.fromCodePoint(point)) && !isAfterUnicode16(point);
  };
}

const unassigned = /^\p{Cn}$/u;
const control: Decide = (point) => point < 0x20 || (point >= 0x7f && point <= 0x9f);
const absent: Decide = (point) => isAfterUnicode16(point) || unassigned.test(String.fromCodePoint(point));
const graphic: Decide = (point) => !isWhiteSpace(point) && !control(point) && !absent(point) && !(point >= 0xd800 && point <= 0xdfff);
const spaceSeparator = property("\\p{Zs}");
const wordProperty = property("\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}");
/** Oniguruma's `\w` alone counts the numerals of Latin-1 as well; `[\w]`, `\p{Word}` and `[[:word:]]` do not. */
const word: Decide = (point) => [0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe].includes(point) || wordProperty(point);
const hexDigit: Decide = (point) =>
  (point >= 0x30 && point <= 0x39) || (point >= 0x41 && point <= 0x46) || (point >= 0x61 && point <= 0x66);

/** The classes of `\d`, `\s`, `\w`, `\h`, by letter. */
export const escapeClasses: Readonly<Record<string, Decide>> = {
  d: property("\\p{Nd}"),
  s: isWhiteSpace,
  w: word,
  h: hexDigit,
};

/** The names in `[[:name:]]`. */
export const posixClasses: Readonly<Record<string, Decide>> = {
  alnum: property("\\p{Alphabetic}\\p{Nd}"),
  alpha: property("\\p{Alphabetic}"),
  ascii: (point) => point < 0x80,
  blank: (point) => point === 9 || spaceSeparator(point),
  cntrl: control,
  digit: property("\\p{Nd}"),
  graph: graphic,
  lower: property("\\p{Lowercase}"),
  print: (point) => graphic(point) || spaceSeparator(point),
  punct: property("\\p{P}\\p{S}"),
  space: isWhiteSpace,
  upper: property("\\p{Uppercase}"),
  xdigit: hexDigit,
  word: wordProperty,
};

const categories = new Set("l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po s sm sc sk so z zs zl zp cc cf co".split(" "));
const longNames: Readonly<Record<string, string>> = {
  letter: "l",
  uppercaseletter: "lu",
  lowercaseletter: "ll",
  titlecaseletter: "lt",
  modifierletter: "lm",
  otherletter: "lo",
  mark: "m",
  nonspacingmark: "mn",
  spacingmark: "mc",
  enclosingmark: "me",
  number: "n",
  decimalnumber: "nd",
  letternumber: "nl",
  othernumber: "no",
  punctuation: "p",
  connectorpunctuation: "pc",
  dashpunctuation: "pd",
  openpunctuation: "ps",
  closepunctuation: "pe",
  initialpunctuation: "pi",
  finalpunctuation: "pf",
  otherpunctuation: "po",
  symbol: "s",
  mathsymbol: "sm",
  currencysymbol: "sc",
  modifiersymbol: "sk",
  othersymbol: "so",
  separator: "z",
  spaceseparator: "zs",
  lineseparator: "zl",
  paragraphseparator: "zp",
  control: "cc",
  format: "cf",
  privateuse: "co",
};
const binary: Readonly<Record<string, string>> = {
  alphabetic: "Alphabetic",
  uppercase: "Uppercase",
  lowercase: "Lowercase",
  emoji: "Emoji",
};

/** The class of `\p{name}`; null for a name that is not known here. Case, spaces, `-` and `_` in a name do not count. */
export function propertyClass(name: string): Decide | null {
  const key = name.replace(/[ _-]/g, "").toLowerCase();
  if (key === "any") return () => true;
  if (key === "cn" || key === "unassigned") return absent;
  if (key === "assigned") return (point) => !absent(point);
  if (key === "c" || key === "other") {
    const other = property("\\p{C}");
    return (point) => absent(point) || other(point);
  }
  if (key === "punct") return property("\\p{P}");
  if (key === "whitespace") return isWhiteSpace;
  const category = longNames[key] ?? key;
  if (categories.has(category)) return property(`\\p{${category[0]!.toUpperCase()}${category.slice(1)}}`);
  if (Object.hasOwn(binary, key)) return property(`\\p{${binary[key]}}`);
  if (Object.hasOwn(posixClasses, key)) return posixClasses[key]!;
  const script = name
    .trim()
    .split(/[ _-]+/)
    .map((part) => part.slice(0, 1).toUpperCase() + part.slice(1).toLowerCase())
    .join("_");
  if (!/^[A-Za-z_]+$/.test(script)) return null;
  try {
    return property(`\\p{Script=${script}}`);
  } catch {
    return null;
  }
}
