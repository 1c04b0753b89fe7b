/** From a method's name and single choices to settings: what a model is too large for, and what would have no effect. */
import { GureumError } from "../../errors.ts";
import { type MethodName, methods, type Settings, untrained } from "./stages.ts";

/** The choices of a method, without the grid's own. */
export type Choices = Omit<Settings, "bits" | "groupSize">;

/**
 * Weights of the linears, at most, of a model that "best" trains as a whole without being asked: some 40 bytes each, so
 * 0.7 GB, and time in proportion.
 */
export const TRAINED_UNASKED: number = 2 ** 24;

const isTrained = ({ modelSteps, blockSteps }: Choices): boolean => modelSteps > 0 || blockSteps > 0;
const hasScales = ({ scaleSteps }: Choices): boolean => scaleSteps > 0;
const isCompensated = ({ rounding }: Choices): boolean => rounding === "compensate";

/** What a choice is part of, and how that is asked for. */
const parts: Partial<Record<keyof Choices, readonly [has: (settings: Choices) => boolean, asked: string]>> = {
  ownTokens: [({ modelSteps }) => modelSteps > 0, "modelSteps from 1"],
  stepTokens: [isTrained, "modelSteps or blockSteps from 1"],
  rate: [isTrained, "modelSteps or blockSteps from 1"],
  scaleRate: [isTrained, "modelSteps or blockSteps from 1"],
  scaleBoth: [hasScales, "scaleSteps from 1"],
  scaleLoss: [hasScales, "scaleSteps from 1"],
  blockTexts: [(settings) => hasScales(settings) && settings.scaleLoss === "block", "scaleSteps from 1 and scaleLoss=block"],
  order: [isCompensated, "rounding=compensate"],
  damping: [isCompensated, "rounding=compensate"],
};

/**
 * The method's choices with those given on top. `weights`: how many the model's linears have. `leftOut`: whether the
 * method's training was left out because of them.
 * @throws GureumError "usage" where a given choice is part of something that is not done
 */
export function chooseSettings(
  method: MethodName,
  given: Partial<Choices>,
  weights: number,
): { readonly settings: Choices; readonly leftOut: boolean } {
  const base = methods[method];
  const leftOut = base.modelSteps > 0 && given.modelSteps === undefined && weights > TRAINED_UNASKED;
  const start: Choices = { ...base, ...(leftOut || given.modelSteps === 0 ? untrained : {}) };
  const settings: Choices = { ...start, ...given };
  for (const [name, part] of Object.entries(parts)) {
    const value = given[name as keyof Choices];
    if (value === undefined || value === start[name as keyof Choices] || part[0](settings)) continue;
    throw new GureumError("usage", {
      where: "quantize",
      what: `${name} without what it is part of`,
      expected: `${part[1]} beside it`,
      got: `${name}=${value}`,
      remedy: `give both, or leave ${name} out`,
    });
  }
  return { settings, leftOut };
}
