/** What only a host with files and processes can say of a run. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The CPU's name, the system's release, and the checkout's commit. */
export const machine = async (): Promise<{ readonly cpu: string; readonly release: string; readonly commit: string | null }> => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  release: release(),
  commit: await commitOfCheckout(),
});

const git = (root: string, ...args: string[]): Promise<string | null> =>
  new Promise((done) => {
    execFile("git", ["-C", root, ...args], { timeout: 10_000 }, (error, stdout) => done(error ? null : stdout.trim()));
  });

/**
 * The checkout's commit, "-dirty" behind it where files differ: null where git is missing, or the repository is not the
 * package's own.
 */
async function commitOfCheckout(): Promise<string | null> {
  const here = dirname(fileURLToPath(import.meta.url));
  // One folder up in a checkout, two in a build.
  const root = [resolve(here, ".."), resolve(here, "../..")].find((folder) => existsSync(join(folder, "package.json")));
  if (root === undefined) return null;
  const top = await git(root, "rev-parse", "--show-toplevel");
  if (top === null || resolve(top) !== root) return null;
  return git(root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty");
}
