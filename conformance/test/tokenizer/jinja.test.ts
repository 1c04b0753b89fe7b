/** Jinja against jinja2 in transformers' environment (fixtures/data/jinja), and what bounds a rendering. A second in all, two at most a case. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { type ChatMessage, loadChatTemplates } from "../../../tokenizer/chat-template.ts";
import { strftime } from "../../../tokenizer/jinja/time.ts";
import { parseJinja } from "../../../tokenizer/jinja.ts";
import { dataFile } from "../fixtures/golden.ts";

interface Probes {
  readonly now: string;
  readonly context: Record<string, unknown>;
  readonly probes: readonly (readonly [string, string | { error: string }])[];
}

const { now, context, probes }: Probes = JSON.parse(readFileSync(dataFile("jinja/probes.json"), "utf8"));

/** What jinja2 lets pass and this layer calls an error: tags that do not end, and a tuple as an index. */
const stricter = ["{#", "{% raw %}", "{{ l[0, 1] }}"];

const render = (source: string, variables: Record<string, unknown> = {}): string => parseJinja(source)(variables);
function errorOf(run: () => unknown): GureumError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    expect((error as GureumError).code).toBe("template");
    return error as GureumError;
  }
  throw new Error("nothing was thrown");
}

describe("a template", () => {
  beforeAll(() => void vi.useFakeTimers({ now: new Date(now), toFake: ["Date"] }));
  afterAll(() => void vi.useRealTimers());

  it(`is rendered as jinja2 renders it, fails where that does, or is refused by name (${probes.length} probes)`, () => {
    const wrong: unknown[] = [];
    const count = { equal: 0, refused: 0 };
    for (const [source, expected] of probes) {
      let got: string | { error: string };
      try {
        got = render(source, context);
      } catch {
        got = { error: errorOf(() => render(source, context)).message };
      }
      if (typeof expected === "string" ? got === expected : typeof got !== "string") count.equal++;
      else if (typeof got !== "string" && / not supported$/.test(got.error)) count.refused++;
      else if (typeof got === "string" || !stricter.includes(source)) wrong.push({ source, expected, got });
    }
    expect(wrong).toEqual([]);
    expect(count).toEqual({ equal: 1123, refused: 97 });
  });

  it("writes dates in the C locale, and refuses what few use", () => {
    expect(strftime(new Date(2024, 6, 4, 15, 5, 9), "%d %b %Y|%A %B %j %H:%M:%S %I %p %y %%")).toBe(
      "04 Jul 2024|Thursday July 186 15:05:09 03 PM 24 %",
    );
    expect(strftime(new Date(2024, 11, 1), "%-d %e %j %F")).toBe("1  1 336 2024-12-01");
    expect(errorOf(() => strftime(new Date(), "%V")).message).toMatch(/%V is not supported/);
  });
});

describe("an error", () => {
  it("names the line, of the text or of the step that failed", () => {
    const where = (run: () => unknown): string | undefined => errorOf(run).details.where;
    expect(where(() => parseJinja("a\n{% if %}"))).toBe("chat template, line 2");
    expect(where(() => parseJinja("{{ 1 }}\n\n{% for a in b %}\n{% endif %}"))).toBe("chat template, line 4");
    expect(where(() => parseJinja("a\n{% for a in b %}\n\n"))).toBe("chat template, line 2");
    expect(where(() => render("{{ 1 }}\n{%- if true %}\n\n{{ none + 1 }}{% endif %}"))).toBe("chat template, line 4");
    expect(where(() => render("{% macro m(x) %}\n{{ x.y.z }}{% endmacro %}\n{{ m({}) }}"))).toBe("chat template, line 2");
    expect(errorOf(() => parseJinja("{% for a in b %}{% macro m() %}\n{% break %}{% endmacro %}{% endfor %}")).message).toMatch(
      /line 2: 'break' outside a loop/,
    );
    expect(errorOf(() => render("\n{{ raise_exception('no\nsystem') }}")).message).toBe("chat template, line 2: no system");
  });

  it("is a template error for any source, or it renders", () => {
    const word = fc.constantFrom(
      ..."{{ }} {% %} {%- -%} if for x in messages [0] .role 'a' == |trim endif endfor {# #} - ( ) set = macro endmacro else \n ~ %".split(
        " ",
      ),
      " ",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 14 }), (words) => {
        try {
          expect(typeof render(words.join(""), { messages: [{ role: "user", content: "hi" }] })).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
          expect((error as GureumError).code).toBe("template");
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a rendering", () => {
  const doubling = (name: string, start: string, step: string): string =>
    `{% set ns = namespace(${name}=${start}) %}{% for i in range(1000) %}{% set ns.${name} = ${step} %}{% endfor %}`;
  // Two lists of 2^40 members, of forty lists each.
  const shared =
    "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  it.each([
    ["nested ranges", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", /more than \d+ steps/],
    [
      "a macro that calls itself twice",
      "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(99) }}",
      /more than \d+ steps/,
    ],
    ["a macro that calls itself for ever", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", /deeper than 250 levels/],
    ["a loop that calls itself for ever", "{% for i in [1] recursive %}{{ loop([i]) }}{% endfor %}", /a recursive loop is not supported/],
    ["a text that doubles", doubling("x", "'ab'", "ns.x ~ ns.x"), /a string of more than/],
    ["a list that doubles", doubling("x", "[1]", "ns.x + ns.x"), /more than \d+ steps/],
    ["a number that squares", doubling("x", "3", "ns.x * ns.x"), /too many digits/],
    ["a long repetition", "{{ 'a' * 10**12 }}", /a string of more than/],
    ["a long list", "{{ [0] * 10**12 }}", /more than \d+ items — give fewer/],
    ["a batch that is filled up", "{{ [0] | batch(10**12, 'x') | list }}", /more than \d+ items/],
    ...Object.entries({
      upper: "['a' * 9999999] * 9999",
      list: "['a' * 999999] * 9999",
      replace: "['a' * 999999] * 9999",
      indent: "['a\\n' * 1000] * 9999",
      join: "[['a' * 999999] * 9] * 9999",
      format: "['%9999999s'] * 9999",
      map: "[range(9999) | list] * 9999",
      batch: "[[1]] * 9999",
    }).map(([filter, of]): [string, string, RegExp] => [
      `map of the filter ${filter} over large members`,
      `{{ (${of}) | map('${filter}'${{ replace: ", 'a', 'bb'", indent: ", 9999", format: ", 1", map: ", 'string'", batch: ", 999999, 0" }[filter] ?? ""}) | list | length }}`,
      /more than \d+ values/,
    ]),
    ["tests of large members", "{{ (['a' * 9999999] * 9999) | select('lower') | list | length }}", /more than \d+ values/],
    [
      "a search in large members",
      "{{ (['a' * 9999999] * 9999) | select('in', 'a' * 9999999 ~ 'b') | list | length }}",
      /more than \d+ values/,
    ],
    ["a sum of lists", "{{ ([[1] * 1000] * 9999) | sum(start=[]) | length }}", /more than \d+ values/],
    ["large members joined", "{{ (['a' * 9999999] * 9) | join }}", /a string of more than/],
    ["large members joined by a method", "{{ ''.join(['a' * 9999999] * 9) }}", /a string of more than/],
    ["lists within lists, as JSON", `${shared}{{ ns.x | tojson }}`, /more than \d+ values/],
    ["lists within lists, as text", `${shared}{{ ns.x }}`, /more than \d+ values/],
    ["lists within lists, compared", `${shared}{{ ns.x == ns.y }}`, /more than \d+ values/],
    [
      "a long list that is searched for each of its members",
      "{% set l = range(100000) | list %}{% for i in l %}{{ -1 in l }}{% endfor %}",
      /more than \d+ values/,
    ],
    ["the distinct ones of many", "{{ range(100000) | unique | list | length }}", /more than \d+ values/],
    ["ten million digits", "{{ ('9' * 10000000) | int }}", /too many digits/],
    ["ten million digits as an attribute", "{{ [[1]] | map(attribute='9' * 10000000) | list }}", /too many digits/],
    ["a wide field", "{{ '%1000000000d' % 1 }}{{ '{:>1000000000}'.format(1) }}", /a string of more than/],
    ["a replacement that multiplies", "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}", /a string of more than/],
    [
      "slices of a long text of astral characters",
      "{% set x = ('a' * 9999999) ~ '😀' %}{% for i in range(99999) %}{{ x[i] }}{% endfor %}",
      /steps/,
    ],
    ["a range that is too long", "{% for i in range(1000000000) %}{% endfor %}", /range too big/],
    ["deep parentheses", `{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`, /nested too deeply/],
    ["deep blocks", "{% if 1 %}".repeat(100_000) + "{% endif %}".repeat(100_000), /nested too deeply/],
    ["a deep value", `${doubling("x", "[]", "[ns.x]").replace("1000", "99999")}{{ ns.x }}`, /nested too deeply/],
  ])("ends in one line for %s", (_, source, about) => {
    expect(errorOf(() => render(source)).message).toMatch(about);
  });

  it("reads runs of blanks, tags and braces in time that grows as the text does", () => {
    const sources = (n: number): string[] => [
      `a{% if 1 %}${" ".repeat(n)}{%- endif -%}${"\n ".repeat(n / 2)}x`,
      `${" ".repeat(n)}{{ 1 }}${" ".repeat(n)}{{- 2 -}}${" ".repeat(n)}`,
      `  {% generation${" ".repeat(n)}%}a{% endgeneration %}`,
      `{{${" ".repeat(n)}1${"\n".repeat(n)}}}`,
      "{".repeat(n / 8),
      `{{ ${"(".repeat(n / 50)}1${",)".repeat(n / 50)} }}`,
      `{{ ${"1 is in [".repeat(n / 50)}1${"]".repeat(n / 50)} }}`,
      `{% raw %}${"{% ".repeat(n / 8)}{% endraw %}`,
    ];
    const time = (n: number): number => {
      const started = performance.now();
      for (const source of sources(n))
        try {
          render(source);
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
        }
      return performance.now() - started;
    };
    time(50_000);
    // Quadratic time would be a hundred times as long; 100 kB of blanks alone took 11 s by backtracking.
    expect(time(1_000_000)).toBeLessThan(40 * Math.max(time(100_000), 5));
  });
});

const real = join(process.env.GUREUM_FIXTURES ?? "", "chat-templates", "real.json");
describe.skipIf(!process.env.GUREUM_FIXTURES || !existsSync(real))("166 templates of public models", () => {
  interface RealTemplates {
    readonly date: string;
    readonly conversations: Record<string, { messages: ChatMessage[]; tools: unknown[] | null }>;
    readonly templates: readonly { model: string; template: string; rendered: Record<string, unknown>; [token: string]: unknown }[];
  }
  it("are rendered as jinja2 renders them, from a folder's files", async () => {
    const { date, conversations, templates }: RealTemplates = JSON.parse(readFileSync(real, "utf8"));
    vi.useFakeTimers({ now: new Date(date), toFake: ["Date"] });
    const wrong: unknown[] = [];
    let right = 0;
    for (const { model, template, rendered, ...config } of templates) {
      const files = new Map([["tokenizer_config.json", encodeUtf8(JSON.stringify({ ...config, chat_template: template }))]]);
      const loaded = (await loadChatTemplates(memoryStore(model, files)))!;
      for (const [name, { messages, tools }] of Object.entries(conversations))
        for (const addGenerationPrompt of [false, true]) {
          const expected = rendered[addGenerationPrompt ? `${name} +prompt` : name];
          let got: string | undefined;
          try {
            got = loaded.pick("default").render(messages, { addGenerationPrompt, ...(tools ? { tools } : {}) });
          } catch (error) {
            expect(error).toBeInstanceOf(GureumError);
          }
          if (got === (typeof expected === "string" ? expected : undefined)) right++;
          else wrong.push({ model, name, addGenerationPrompt, expected, got });
        }
    }
    vi.useRealTimers();
    expect(wrong).toEqual([]);
    expect(right).toBe(templates.length * Object.keys(conversations).length * 2);
  });
});
