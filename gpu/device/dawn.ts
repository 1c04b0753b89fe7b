/**
 * Dawn in Node, through the npm package `webgpu`: the only file that names it, and only when it is called, so that Deno
 * never loads it. `#dawn` in package.json names it under Node's condition, and no-dawn.ts elsewhere.
 */
import { GureumError } from "../../core/errors.ts";

/** Kept instances by the words they were started with. */
export interface Dawn {
  readonly instances: Map<string, GPU>;
}

/** What helps where no adapter answers. */
export const DRIVER =
  "install a GPU driver with Vulkan, Metal or Direct3D 12, or Mesa's software Vulkan (mesa-vulkan-drivers 24 or newer), or use the CPU backend";

/**
 * Every Dawn instance made here. Dawn's object must stay reachable as long as any of its devices lives: collected, it
 * takes the process down. A live exported object keeps it; every `Gpu` record holds its own as well.
 */
export const dawn: Dawn = { instances: new Map() };

export interface DawnOptions {
  /** "null" validates shaders and pipelines without any GPU and computes nothing; default: the platform's own. */
  readonly backend?: string;
  /** Dawn takes the first adapter whose name holds this. */
  readonly adapter?: string;
  /**
   * false: Dawn neither clamps indices nor zeroes workgroup memory. Faster; a faulty kernel may then crash the driver.
   * The engine runs so, since conformance holds every kernel to its bounds with junk around its buffers
   * (docs/decisions/005-kernels-without-bounds-checks.md).
   */
  readonly robustness?: boolean;
}

/** Dawn's toggles for the features this engine uses: matrices, f16 on NVIDIA, timestamps in nanoseconds. */
const enabled = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia", "use_vulkan_memory_model"];
const disabled = ["timestamp_quantization"];

/**
 * The `GPU` of Dawn with these options; the same object for the same options.
 * @throws GureumError "no-adapter" where the package or its native part cannot be loaded
 */
export async function openDawn(options: DawnOptions = {}): Promise<GPU> {
  const { backend, adapter, robustness = true } = options;
  const words = [
    ...(backend ? [`backend=${backend}`] : []),
    ...(adapter ? [`adapter=${adapter}`] : []),
    `enable-dawn-features=${[...enabled, ...(robustness ? [] : ["disable_robustness", "disable_workgroup_init"])].join(",")}`,
    `disable-dawn-features=${disabled.join(",")}`,
  ];
  const key = words.join(" ");
  const known = dawn.instances.get(key);
  if (known) return known;
  let create: (options: string[]) => GPU;
  try {
    ({ create } = await import("webgpu"));
  } catch (cause) {
    const missing = (cause as { code?: unknown } | null)?.code === "ERR_MODULE_NOT_FOUND";
    throw new GureumError(
      "no-adapter",
      {
        where: "webgpu",
        what: `the optional package \`webgpu\` (Dawn for Node) ${missing ? "is not installed" : "does not load"}`,
        ...(missing ? {} : { got: cause instanceof Error ? cause.message : String(cause) }),
        remedy: "install it with `npm install webgpu`, or use the CPU backend",
      },
      cause,
    );
  }
  const gpu = create(words);
  dawn.instances.set(key, gpu);
  return gpu;
}
