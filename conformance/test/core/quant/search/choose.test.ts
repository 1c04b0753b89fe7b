/** From a method and single choices to settings. */
import { describe, expect, it } from "vitest";
import { chooseSettings, TRAINED_UNASKED } from "../../../../../core/quant/search/choose.ts";
import { methods } from "../../../../../core/quant/search/stages.ts";

describe("the choices of a quantization", () => {
  it("are the method's where nothing is given and the model is small", () => {
    for (const method of ["rtn", "awq", "best"] as const)
      expect(chooseSettings(method, {}, TRAINED_UNASKED)).toEqual({ settings: methods[method], leftOut: false });
    expect(methods.best.modelSteps).toBeGreaterThan(0);
  });

  it("leave out best's training, and only that, for a larger model that is not asked for it", () => {
    const large = TRAINED_UNASKED + 1;
    const { settings, leftOut } = chooseSettings("best", {}, large);
    expect(leftOut).toBe(true);
    const { blockSteps, modelSteps, ownTokens, stepTokens, rate, scaleRate } = methods.awq;
    expect(settings).toEqual({ ...methods.best, blockSteps, modelSteps, ownTokens, stepTokens, rate, scaleRate });
    expect(settings.modelSteps + settings.ownTokens).toBe(0);
    expect(chooseSettings("best", { modelSteps: 0 }, 1)).toEqual({ settings, leftOut: false });
    expect(chooseSettings("best", { modelSteps: 7 }, large)).toEqual({ settings: { ...methods.best, modelSteps: 7 }, leftOut: false });
    for (const method of ["rtn", "awq"] as const) expect(chooseSettings(method, {}, large).leftOut).toBe(false);
  });

  it("are refused where one is part of something that is not done, and taken beside it", () => {
    const stages = [
      [{ ownTokens: 60 }, { modelSteps: 3 }],
      [{ rate: 0.003 }, { modelSteps: 3 }],
      [{ scaleRate: 0.001 }, { blockSteps: 3 }],
      [{ stepTokens: 40 }, { blockSteps: 3 }],
      [{ scaleBoth: true }, { scaleSteps: 4 }],
      [{ scaleLoss: "absolute" }, { scaleSteps: 4 }],
      [{ blockTexts: 32 }, { scaleSteps: 4 }],
      [{ order: "falling" }, { rounding: "compensate" }],
      [{ damping: 0.1 }, { rounding: "compensate" }],
    ] as const;
    for (const [part, stage] of stages) {
      const [[name, value]] = Object.entries(part) as [[string, unknown]];
      expect(() => chooseSettings("rtn", part, 1)).toThrow(`${name} without what it is part of`);
      expect(() => chooseSettings("rtn", part, 1)).toThrow(`got ${name}=${value} — give both, or leave ${name} out`);
      expect(chooseSettings("rtn", { ...part, ...stage }, 1).settings).toEqual({ ...methods.rtn, ...part, ...stage });
    }
    expect(() => chooseSettings("awq", { blockTexts: 32, scaleLoss: "absolute" }, 1)).toThrow("blockTexts without");
    expect(() => chooseSettings("best", { modelSteps: 0, ownTokens: 60 }, 1)).toThrow("ownTokens without");
    expect(() => chooseSettings("best", { ownTokens: 600_000 }, TRAINED_UNASKED + 1)).toThrow("ownTokens without");
  });
});
