/**
 * Texts that tell one tokenizer from another: Korean, English, code, emoji, control characters, long runs, mixed scripts, letters in
 * pieces, broken bytes, and a tokenizer's own tokens. Deterministic: the same seed gives the same texts everywhere.
 */

/** Mulberry32: numbers from 0 up to below 1. */
export function createNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const korean =
  "구름 위를 걷는 사람은 안녕하세요 오늘 날씨가 좋네요 대한민국의 수도 서울특별시 모델을 양자화하면 메모리가 줄어든다 ㅋㅋㅋ ㅠㅠ 값어치 뷁";
const english = "The cloud's weight isn't measured; I'd say they've won. It's 3.14159 o'clock — DON'T shout, WE'RE here! naïve café Zürich";
const code = [
  "for (let i = 0; i < n; i++) {\n\treturn x[i] ?? 0;\n}\n",
  'def f(x):\n    """doc"""\n    return x**2  # ok\n\n',
  "SELECT * FROM t WHERE a='b' AND c>=1;--",
  '#include <stdio.h>\r\nint main(void){printf("%d\\n",1);}\r\n',
  '{"a": [1, 2.5e-3, null], "b": "\\u00e9"}',
  '<div class="x">&nbsp;</div>\n\n\n  <!-- -->',
];
const emoji = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🇰🇷", "❤️", "🏳️‍🌈", "1️⃣", "😀😀😀"];
const scripts = [
  "Привет мир",
  "你好，世界",
  "こんにちは カタカナ",
  "שלום עולם",
  "مرحبا ١٢٣",
  "สวัสดี",
  "नमस्ते ४५",
  "Ελλάδα Σ",
  "Ǆǅǆ",
  "ⅧⅫ",
  "①②",
  "𝔸𝕓𝟙",
  "ﬁﬂﬆ",
];
const spaces = [
  " ",
  "  ",
  "   ",
  "\n",
  "\n\n",
  "\r\n",
  "\t",
  "\t\t",
  "\u00a0",
  "\u3000",
  "\u2028",
  "\u0085",
  "\u200b",
  "\ufeff",
  "\v",
  "\f",
];
const contractions = ["'s", "'S", "'t", "'re", "'RE", "'ve", "'Ve", "'m", "'ll", "'LL", "'d", "'ſ", "’s", "'", "''", "'x"];
const marks = [
  "e\u0301",
  "\u0301",
  "가\u11a8",
  "\u1112\u1161\u11ab",
  "ñ",
  "n\u0303\u0323",
  "Å",
  "\u212b",
  "ｱﾞ",
  "\u0344",
  "각",
  "\u1100\u1161\u11a8",
];
const controls = ["\u0000", "\u0001", "\u001b[0m", "\u007f", "\u009f", "\ud7ff", "\ue000", "\uffff", "\u{10ffff}", "\ufffd"];

const symbols = [..."!?.,;:/\\|-_=+*&^%$#@~`\"'()[]{}<>"];

/** One random text of about `size` parts. `extra`: pieces of a tokenizer's own, mixed in. */
function mixed(random: () => number, size: number, extra: readonly string[]): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const words = [...korean.split(" "), ...english.split(" ")];
  const sources: (() => string)[] = [
    () => pick(words),
    () => `${pick(words)} `,
    () => ` ${pick(words)}`,
    () => pick(code),
    () => pick(emoji),
    () => pick(scripts),
    () => pick(spaces),
    () => pick(spaces).repeat(1 + Math.floor(random() * 8)),
    () => pick(contractions),
    () => pick(words) + pick(contractions),
    () => pick(marks),
    () => pick(controls),
    () => String(Math.floor(random() * 10 ** Math.floor(1 + random() * 12))),
    () => pick(symbols).repeat(1 + Math.floor(random() * 4)),
    () => String.fromCodePoint(Math.floor(random() * 0x3000)),
    () => randomPoint(random),
    () => pick([...pick(words)]).repeat(1 + Math.floor(random() * 40)),
    () => (extra.length > 0 ? pick(extra) : ""),
  ];
  let text = "";
  for (let i = 0; i < size; i++) text += pick(sources)();
  return text;
}

/** Any code point but a surrogate. */
function randomPoint(random: () => number): string {
  const point = Math.floor(random() * 0x10f800);
  return String.fromCodePoint(point < 0xd800 ? point : point + 0x800);
}

/** Random bytes as UTF-8 decoders show them. */
function randomBytes(random: () => number, length: number): string {
  const bytes = Uint8Array.from({ length }, () => Math.floor(random() * 256));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** `count` texts, most of them short, some of thousands of characters. */
export function tokenizerTexts(seed: number, count: number, extra: readonly string[]): string[] {
  const random = createNumbers(seed);
  const texts = ["", " ", "\n", korean, english, ...code, ...emoji, ...scripts, ...spaces, ...contractions, ...marks, ...controls];
  while (texts.length < count) {
    const kind = texts.length % 20;
    if (kind === 0) texts.push(randomBytes(random, 1 + Math.floor(random() * 60)));
    else if (kind === 1) texts.push(Array.from({ length: 1 + Math.floor(random() * 20) }, () => randomPoint(random)).join(""));
    else if (kind === 2 && texts.length % 200 === 2) texts.push(mixed(random, 300, extra));
    else texts.push(mixed(random, 1 + Math.floor(random() * 12), kind < 12 ? [] : extra));
  }
  return texts.slice(0, count);
}
