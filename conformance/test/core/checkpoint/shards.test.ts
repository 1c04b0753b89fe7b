/** Weights in several files with an index. */
import { describe, expect, it } from "vitest";
import { encodeSafetensors } from "../../../../core/checkpoint/safetensors.ts";
import { openTensors } from "../../../../core/checkpoint/shards.ts";
import { GureumError } from "../../../../core/errors.ts";
import { load, refusal } from "./loading.ts";
import { editJson, type Files, readEntries, rewrite, smallShape, storeOf, writeSmall } from "./small-checkpoint.ts";

describe("a sharded checkpoint", () => {
  const index = "model.safetensors.index.json";
  const write = (): Promise<Files> => writeSmall({ ...smallShape, maxShardBytes: 1500 });
  const shardNames = (files: Files): string[] => [...files.keys()].filter((name) => name.endsWith(".safetensors")).sort();

  it("gives the same weights as one file", async () => {
    const files = await write();
    expect(shardNames(files).length).toBeGreaterThan(2);
    expect(await load(files)).toEqual(await load(await writeSmall()));
  });

  it("is refused with a shard missing, cut off, or disagreeing with the index", async () => {
    const files = await write();
    const [first, second] = shardNames(files) as [string, string];
    const [tensor] = await readEntries(files, first);
    const name = tensor!.name;

    const without = new Map(files);
    without.delete(second);
    expect(await refusal(without)).toBe(`not-found m/${second}: a shard is missing that ${index} lists — download it`);

    const cut = new Map([...files, [second, files.get(second)!.subarray(0, 100)]]);
    expect(await refusal(cut)).toMatch(new RegExp(`^format m/${second}: the file is cut off`));

    const lost = new Map(files);
    await rewrite(lost, first, (entry) => (entry.name === name ? null : entry));
    expect(await refusal(lost)).toBe(
      `missing-tensor m/${first} > ${JSON.stringify(name)}: not in the shard where ${index} has it — download index and shards again`,
    );

    const doubled = new Map(files);
    doubled.set(second, await encodeSafetensors([...(await readEntries(files, second)), tensor!]));
    expect(await refusal(doubled)).toMatch(/the tensor is in two shards/);

    const unlisted = new Map(files);
    editJson(unlisted, index, (value) => delete (value.weight_map as Record<string, unknown>)[name]);
    expect(await refusal(unlisted)).toMatch(
      /^format m\/.*the shard disagrees with model\.safetensors\.index\.json, expected no such tensor/,
    );

    const swapped = new Map(files);
    editJson(swapped, index, (value) => Object.assign(value.weight_map as object, { [name]: second }));
    expect(await refusal(swapped)).toMatch(new RegExp(`the shard disagrees with .*expected ${second}, got ${first}`));
  });

  it.each<[string, unknown, RegExp]>([
    ["no weight_map", {}, /format m\/model\.safetensors\.index\.json > weight_map: not a JSON object/],
    ["an empty weight_map", { weight_map: {} }, /weight_map: empty/],
    ["a path", { weight_map: { a: "../a.safetensors" } }, /not the name of a shard/],
    ["a number", { weight_map: { a: 1 } }, /not the name of a shard, .*got 1/],
    ["a wrong kind of file", { weight_map: { a: "model.bin" } }, /not the name of a shard/],
  ])("is refused with %s in its index", async (_, value, message) => {
    const files = await write();
    files.set(index, new TextEncoder().encode(JSON.stringify(value)));
    expect(await refusal(files)).toMatch(message);
  });

  it("of another format is refused, saying what is there", async () => {
    const files = await writeSmall();
    files.delete("model.safetensors");
    files.set("pytorch_model.bin", new Uint8Array(1));
    expect(await refusal(files)).toBe(
      "not-found m: no checkpoint, expected model.safetensors or model.safetensors.index.json, got pytorch_model.bin — take the safetensors release of the model",
    );
  });

  it("closes every file it opened, whether it ends well or not", async () => {
    const files = await write();
    let open = 0;
    const counting = (from: Files) => {
      const store = storeOf(from);
      return {
        ...store,
        async open(name: string) {
          const source = await store.open(name);
          open++;
          return {
            ...source,
            async close() {
              open--;
            },
          };
        },
      };
    };
    const table = await openTensors(counting(files));
    expect(open).toBe(shardNames(files).length);
    await table.close();
    expect(open).toBe(0);
    const last = shardNames(files).at(-1)!;
    const broken = new Map([...files, [last, new Uint8Array(9)]]);
    await expect(openTensors(counting(broken))).rejects.toThrow(GureumError);
    expect(open).toBe(0);
  });
});
