import { posix } from "node:path";
import { describe, expect, it } from "vitest";
import { sources, textOf } from "./tree.ts";

/** What package.json's `imports` may put in the place of a name. */
const named: Readonly<Record<string, readonly string[]>> = {
  "#host": ["host/node.ts", "host/web.ts"],
  "#dawn": ["gpu/device/dawn.ts", "gpu/device/no-dawn.ts"],
  "#quantize": ["quantize.ts", "no-quantize.ts"],
  "#subgroups": ["conformance/device/subgroups.ts", "conformance/device/no-subgroups.ts"],
};

/** What a file imports from the tree by any form: values, types, re-exports, `import(…)` as a type or as a call. */
function importsOf(name: string, text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  return [...code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"([.#][\w./-]*)"/g)].flatMap(
    ([, path]) => named[path!] ?? [posix.join(posix.dirname(name), path!)],
  );
}

/** Circles, each as the list of its files (strongly connected components of more than one file; Tarjan 1972). */
function circles(files: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const found: string[][] = [];
  const visit = (name: string): void => {
    order.set(name, order.size);
    lowest.set(name, order.get(name)!);
    open.push(name);
    for (const next of files.get(name) ?? []) {
      if (!files.has(next)) continue;
      if (!order.has(next)) visit(next);
      else if (!open.includes(next)) continue;
      lowest.set(name, Math.min(lowest.get(name)!, lowest.get(next)!));
    }
    if (lowest.get(name) !== order.get(name)) return;
    const circle = open.splice(open.indexOf(name));
    if (circle.length > 1 || (files.get(name) ?? []).includes(name)) found.push(circle.sort());
  };
  for (const name of files.keys()) if (!order.has(name)) visit(name);
  return found;
}

describe("the files of the tree", () => {
  const files = new Map(sources().map((name) => [name, importsOf(name, textOf(name))]));

  it("import files that exist", () => {
    const missing = [...files].flatMap(([name, all]) =>
      all.filter((path) => /\.tsx?$/.test(path) && !files.has(path)).map((p) => [name, p]),
    );
    expect(missing).toEqual([]);
    expect(files.get("index.ts")!.length).toBeGreaterThan(5);
  });

  it("import one another without a circle, types counted", () => {
    expect(circles(files)).toEqual([]);
  });
});

describe("a circle", () => {
  it.each<[string, Record<string, string>, string[][]]>([
    ["of values", { "a.ts": "import { b } from @./b.ts@;", "b.ts": "export * from @./a.ts@;" }, [["a.ts", "b.ts"]]],
    ["of types alone", { "a.ts": "import type { B } from @./b.ts@;", "b.ts": "import type { A } from @./a.ts@;" }, [["a.ts", "b.ts"]]],
    ["through a call and a folder", { "a.ts": "await import(@./x/b.ts@)", "x/b.ts": "import @../a.ts@;" }, [["a.ts", "x/b.ts"]]],
    ["of one type in passing", { "a.ts": "let b: import(@./b.ts@).B;", "b.ts": "import {\n  a,\n} from @./a.ts@;" }, [["a.ts", "b.ts"]]],
    ["that is not one", { "a.ts": "import @./b.ts@; import @./c.ts@;", "b.ts": "import @./c.ts@;", "c.ts": "// import @./a.ts@" }, []],
  ])("is found: %s", (_, texts, expected) => {
    expect(circles(new Map(Object.entries(texts).map(([name, text]) => [name, importsOf(name, text.replaceAll("@", '"'))])))).toEqual(
      expected,
    );
  });
});
