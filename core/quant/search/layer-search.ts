/** A layer searched as a whole by something other than CpuOps: a device that keeps texts, weights and moments to itself. */
import type { LayerWeights } from "../../model/weights.ts";
import type { Streams } from "./capture.ts";
import type { QuantizedLayer } from "./quantize-layer.ts";
import type { Settings } from "./stages.ts";

/** Takes the layers one after the other. */
export interface LayerSearch {
  /** Texts as the first layer reads them. */
  begin(streams: Streams): Promise<void>;
  /** Moves the texts through a float layer. */
  move(layer: LayerWeights): Promise<void>;
  /** The same, and what `quantizeLayer` makes of the layer; `onStep` as there. @throws GureumError as there */
  quantize(layer: LayerWeights, onStep: () => void): Promise<QuantizedLayer>;
}

/** Whether settings ask for no more than a `LayerSearch` does: AutoAWQ's scales and cuts, plain rounding, float layers' inputs. */
export const isPlainSearch = ({ rounding, sweeps, refits, inputs, blockSteps, scaleLoss, scaleSteps }: Settings): boolean =>
  rounding === "nearest" &&
  sweeps === 0 &&
  refits === 0 &&
  inputs === "float" &&
  blockSteps === 0 &&
  (scaleSteps === 0 || scaleLoss === "block");
