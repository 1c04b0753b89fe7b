/** A thread of training-crew.ts: it does its share of the parts of each kind of work. */
import { referenceOps } from "./core/model/ops.ts";
import { type Numbers, singles } from "./core/quant/train/numbers.ts";
import { partsOf, type Training } from "./core/quant/train/training.ts";
import { perform } from "./core/quant/train/work.ts";
import type { Order } from "./training-crew.ts";
import { openWasmCpu } from "./wasm/cpu.ts";

interface Port {
  listen(listener: (order: Order) => void): void;
}

/** Does what `port` hears, one after the other. */
export function serve(port: Port): void {
  let training: Training | undefined;
  const opened = openWasmCpu({ threads: 1 }).then((wasm) => ("refusal" in wasm ? referenceOps : wasm));
  let last: Promise<void> = Promise.resolve();
  port.listen((order) => {
    last = last.then(async () => {
      if (order.kind === "begin") {
        ({ training } = order);
        return;
      }
      const { control, text, me, threads, work } = order;
      let failed = 0;
      try {
        const ops = await opened;
        const numbers: Numbers = singles(ops);
        ops.pass(() => {
          for (let i = me; i < partsOf(training!, work); i += threads) perform(training!, numbers, work, i);
        });
      } catch (error) {
        failed = 1 << 16;
        control[1] = new TextEncoder().encodeInto(String(error), text).written;
      }
      Atomics.add(control, 0, 1 + failed);
      Atomics.notify(control, 0);
    });
  });
}
