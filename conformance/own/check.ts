/** A kernel of one's own held to its laws in one call. */
import { checkOptionsObject } from "../../core/arguments.ts";
import { adoptDevice, closeDevice, type Gpu, openDevice } from "../../gpu/device/device.ts";
import { type CheckOptions, checkKernel, type Row } from "../check.ts";
import { kitOf } from "../laws.ts";
import { checkOwn, type OwnKernel } from "./kernel.ts";
import { ownSubjects } from "./subjects.ts";

/** How a kernel of one's own is held to its laws. */
export interface OwnCheckOptions extends CheckOptions {
  /** Where it runs: a device of the caller's, or the default one, opened and closed again. */
  readonly device?: GPUDevice | Gpu;
}

/**
 * `checkKernel` for each way that gureum's kernel is called for the op, with one's own in its place. Never throws for
 * what the kernel computes: that is a failure in a row.
 * @throws GureumError "no-adapter", and as `ownSubjects` and `checkKernel`
 */
export async function checkOwnKernel(own: OwnKernel, given: OwnCheckOptions): Promise<Row[]> {
  checkOptionsObject("checkOwnKernel", given ?? null);
  const { device, ...options } = given;
  const kernel = checkOwn("checkOwnKernel", own);
  const gpu = device === undefined ? await openDevice() : "capabilities" in device ? device : adoptDevice(device);
  try {
    const rows: Row[] = [];
    for (const subject of await ownSubjects(gpu, kernel)) rows.push(await checkKernel(kitOf(kernel.op), subject, options));
    return rows;
  } finally {
    if (device === undefined) closeDevice(gpu);
  }
}
