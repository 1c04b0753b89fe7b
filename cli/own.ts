/** Kernels of one's own that words name, as options of the rooms that take them. */
import { inFile, type OwnFile } from "../conformance/host/own-file.ts";
import type { OwnKernel } from "../conformance/own/kernel.ts";

export interface OwnOptions {
  readonly own?: readonly OwnKernel[];
  readonly ownError?: (own: OwnKernel, error: unknown) => unknown;
}

/** The kernels of files, and where each stands; nothing for no file. */
export const ownOptions = (files: readonly OwnFile[]): OwnOptions =>
  files.length === 0
    ? {}
    : {
        own: files.flatMap(({ kernels }) => kernels),
        ownError: (own, error) => inFile(files.find(({ kernels }) => kernels.includes(own))!, own, error),
      };
