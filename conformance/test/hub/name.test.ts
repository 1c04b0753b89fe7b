/** Which words are names of models, and which are paths. */
import { describe, expect, it } from "vitest";
import { parseModelName } from "../../../hub/name.ts";

describe("what is a name", () => {
  it.each(["org/name", "org/name@main", "nlpai-lab/KULLM3", "Qwen/Qwen2.5-0.5B-Instruct-AWQ", "a/b@refs/pr/3"])("%s is one", (name) => {
    expect(parseModelName(name)).not.toBeNull();
  });
  it.each([
    "name",
    "./org/name",
    "/org/name",
    "../name/x",
    "org/name/",
    "org/name/more",
    "org\\name",
    "~/models",
    "org/name.git",
    "org/a..b",
    "",
    "org/na me",
  ])("%s is a path", (path) => {
    expect(parseModelName(path)).toBeNull();
  });
  it.each(["org/name@", "org/name@../x", "org/name@a b", "org/name@/x", "org/name@a//b", "org/name@.x", "org/name@x.lock"])(
    "%s has no revision",
    (name) => {
      expect(() => parseModelName(name)).toThrow(/not a revision/);
    },
  );
});
