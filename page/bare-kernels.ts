/**
 * A module of kernels as the page has it: without their comments and indents, which no minifier takes out of a string, and where a statement stands in a text of
 * theirs without the spaces around its operators, statements in one line. Lines that declare something are read, line by line, spaces and all
 * (gpu/pipeline/kernel.ts), and so stay. Comments are whole lines, and ends of lines behind a statement. Lines and columns of a compiler's message are those of
 * what is left.
 */
export function bareKernels(code: string, texts: boolean): string {
  const bare = (line: string): string => (line.includes("`") ? line : line.replace(/^ *\/\/ .*|(?<=[;{}]) +\/\/ .*/, ""));
  const declares = /^(?:@|enable|diagnostic|struct|override|const|alias|var<)/;
  const lines: string[] = [];
  let inside = false;
  let joins = false;
  for (const whole of code.split("\n")) {
    const line = bare(whole)
      .trim()
      .replace(/"\\n +"/g, '"\\n"');
    // Strings but those that stand between lines are nobody's statements.
    const statement = texts && inside && !declares.test(line) && !/["']/.test(line.replace(/"(?:\\n|,? )"/g, ""));
    if (line.split("`").length % 2 === 0) inside = !inside;
    if (line === "") continue;
    const close = statement ? line.replace(/(?<=[\w)\]]) ([=<>!&|^*/%+-]+) (?=[\w(])|([,;{]) | (?=[{}])/g, "$1$2") : line;
    // What is put in may begin with a line that declares something.
    const own = statement && !/[`$]/.test(line);
    if (own && joins) lines[lines.length - 1] += close;
    else lines.push(close);
    joins = own && /[;{},(]$/.test(line);
  }
  return lines.join("\n");
}
