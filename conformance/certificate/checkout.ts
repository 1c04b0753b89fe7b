/** What only a host with files and processes can say of a run. Loaded when it is asked, so that browsers never are. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The CPU's name, and the system's release. */
export const machine = (): { readonly cpu: string; readonly release: string } => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  release: release(),
});

const git = (root: string, ...args: string[]): Promise<string | null> =>
  new Promise((done) => {
    execFile("git", ["-C", root, ...args], { timeout: 10_000 }, (error, stdout) => done(error ? null : stdout.trim()));
  });

/**
 * The checkout's commit, "-dirty" behind it where files differ: null where git is missing, or the repository is not the
 * package's own.
 */
export async function commitOfCheckout(): Promise<string | null> {
  const here = dirname(fileURLToPath(import.meta.url));
  // Two folders up in a checkout, three in a build.
  const root = [resolve(here, "../.."), resolve(here, "../../..")].find((folder) => existsSync(join(folder, "package.json")));
  if (root === undefined) return null;
  const top = await git(root, "rev-parse", "--show-toplevel");
  if (top === null || resolve(top) !== root) return null;
  return git(root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty");
}
