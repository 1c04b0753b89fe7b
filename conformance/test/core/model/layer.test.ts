/** The list of a layer's parts, and that no program can skip one in silence. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { layerParts, makeLayer, makeLayerInTurn, partKey, plainParts, unlistedPart } from "../../../../core/model/layer.ts";
import { arbitraryConfig, randomModel } from "../../fixtures/random-model.ts";

describe("a layer", () => {
  it("is made part by part in the order of the computation, at once or in turn", async () => {
    const at: string[] = [];
    const made = makeLayer(
      ({ name }) => at.push(name),
      ({ name }) => at.push(name),
    );
    expect(at).toEqual(layerParts.map(({ name }) => name));
    let turn = 0;
    const inTurn = await makeLayerInTurn(
      async () => ++turn,
      async () => ++turn,
    );
    expect(inTurn).toEqual(made);
  });

  it("has a checkpoint key of its own for each part", () => {
    expect(new Set(layerParts.map((part) => partKey(3, part))).size).toBe(layerParts.length);
    expect(partKey(3, layerParts.find(({ name }) => name === "kNorm")!)).toBe("model.layers.3.self_attn.k_norm");
  });

  it("refuses, in the name of a program, the first part that the program does not list", () => {
    fc.assert(
      fc.property(arbitraryConfig, (config) => {
        const { layers } = randomModel(config, 1).weights;
        const expected = config.attentionBias
          ? "qProj.bias"
          : config.qkNorm
            ? "qNorm"
            : config.attentionOutputBias
              ? "oProj.bias"
              : config.mlpBias
                ? "gateProj.bias"
                : undefined;
        expect(unlistedPart(layers, plainParts)).toBe(expected);
        for (const name of plainParts)
          expect(
            unlistedPart(
              layers,
              plainParts.filter((other) => other !== name),
            ),
          ).toBeDefined();
      }),
    );
  });
});
