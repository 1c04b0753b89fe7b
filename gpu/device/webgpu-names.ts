/**
 * The WebGPU interfaces that this package's declarations name, empty. A global interface merges with others of its
 * name: a consumer who has WebGPU's types (TypeScript's `dom`, `@webgpu/types`, Deno) sees those, and for one who has
 * none the declarations compile all the same. Only the declarations matter; the module holds no code.
 */
declare global {
  interface GPU {}
  interface GPUAdapterInfo {}
  interface GPUBindGroup {}
  interface GPUBindGroupLayout {}
  interface GPUBindGroupLayoutEntry {}
  interface GPUBuffer {}
  interface GPUBufferBinding {}
  interface GPUComputePassEncoder {}
  interface GPUComputePipeline {}
  interface GPUDevice {}
  interface GPUDeviceLostInfo {}
  interface GPURequestAdapterOptions {}
}

export {};
