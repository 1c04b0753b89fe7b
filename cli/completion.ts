/**
 * `gureum completion`: what a shell needs to complete gureum's words. It is made from the commands' own `--help`, so that it knows what that
 * says, and no second list has to be kept.
 */
import { printLine } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

export interface CommandName {
  readonly name: string;
  readonly summary: string;
  load(): Promise<Command>;
}

export interface HelpOption {
  /** "--model" */
  readonly name: string;
  readonly what: string;
  /** The word that stands for its value, "FILE", or "a|b"; null for a flag. */
  readonly value: string | null;
}

/** The options that a help text lists: lines of two blanks, options, two blanks, what they are. */
export function optionsOf(help: string): HelpOption[] {
  const options: HelpOption[] = [];
  for (const line of help.split("\n")) {
    const [, lead = "", what = ""] = /^ {2}(--\S.*?)(?: {2,}(.*))?$/.exec(line) ?? [];
    for (const [, name, value] of lead.matchAll(/(--[a-z][a-z-]*)(?: ([^-\s]\S*))?/g))
      if (!options.some((option) => option.name === name)) options.push({ name: name!, what, value: value ?? null });
  }
  return options;
}

/** Words that may follow a command at once, as its usage lines have them: "gureum bench device". */
export const partsOf = (name: string, help: string): string[] => [
  ...new Set([...help.matchAll(new RegExp(`^(?:usage:|      ) gureum ${name} ([a-z]+)\\b`, "gm"))].map(([, part]) => part!)),
];

/** The values that an option may have; null where it is a file, empty where nothing is known of it. */
function valuesOf({ value }: HelpOption): string[] | null {
  if (value === null) return [];
  if (/DIR|FILE|PATH/.test(value)) return null;
  return /^[a-z0-9]+(\|[a-z0-9]+)+$/.test(value) ? value.split("|") : [];
}

interface Known {
  readonly name: string;
  readonly summary: string;
  readonly parts: readonly string[];
  readonly options: readonly HelpOption[];
}

const everywhere: HelpOption = { name: "--help", what: "what the command does", value: null };

function bash(commands: readonly Known[]): string {
  const valued = commands.flatMap(({ name, options }) =>
    options.filter(({ value }) => value !== null).map((option) => ({ at: `"${name} ${option.name}"`, values: valuesOf(option) ?? [] })),
  );
  const free = valued.filter(({ values }) => values.length === 0).map(({ at }) => at);
  const chosen = valued.filter(({ values }) => values.length > 0).map(({ at, values }) => `    ${at}) words="${values.join(" ")}" ;;`);
  const parts = commands.filter(({ parts }) => parts.length > 0).map(({ name, parts }) => `    "${name} 2") words="${parts.join(" ")}" ;;`);
  const names = commands.map(({ name, options }) => `    ${name}) words="${[...options, everywhere].map((o) => o.name).join(" ")}" ;;`);
  return `# bash completion of gureum; in ~/.bashrc: source <(gureum completion bash)
_gureum() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} words=
  COMPREPLY=()
  # Where nothing is offered, bash offers the names of files.
  case "$command \${COMP_WORDS[COMP_CWORD-1]}" in
${chosen.join("\n")}
    ${free.join("|")}) return ;;
  esac
  if ((COMP_CWORD == 1)); then words="${commands.map(({ name }) => name).join(" ")} --help --version"
  elif [[ $cur == -* ]]; then
    case $command in
${names.join("\n")}
    esac
  elif [[ -z $words ]]; then
    case "$command $COMP_CWORD" in
${parts.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _gureum gureum`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** Text inside an argument of zsh's _arguments or _describe. */
const plain = (text: string): string => text.replace(/[[\]\\]/g, "").replaceAll(":", "\\:");

function zsh(commands: readonly Known[]): string {
  const argument = (option: HelpOption): string => {
    const known = valuesOf(option);
    const value =
      option.value === null ? "" : `:${plain(option.value)}:${known === null ? "_files" : known.length > 0 ? `(${known.join(" ")})` : " "}`;
    return quoted(`*${option.name}[${plain(option.what)}]${value}`);
  };
  return `#compdef gureum
# zsh completion of gureum; in ~/.zshrc, after compinit: source <(gureum completion zsh)
_gureum() {
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${plain(summary)}`)}`).join("\n")}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
${commands
  .map(({ name, options, parts }) => {
    const rest = parts.length > 0 ? quoted(`1:part:(${parts.join(" ")})`) : "";
    return `    ${name}) _arguments ${[...options, everywhere].map(argument).join(" ")} ${rest} '*:file:_files' ;;`;
  })
  .join("\n")}
  esac
}
compdef _gureum gureum`;
}

function fish(commands: readonly Known[]): string {
  const text = (what: string): string => `'${what.replace(/['\\]/g, "\\$&")}'`;
  const lines = commands.flatMap(({ name, summary, parts, options }) => [
    `complete -c gureum -n __fish_use_subcommand -f -a ${name} -d ${text(summary)}`,
    ...parts.map((part) => `complete -c gureum -n '__fish_seen_subcommand_from ${name}' -f -a ${part}`),
    ...[...options, everywhere].map((option) => {
      const known = valuesOf(option);
      const value = option.value === null ? "" : known === null ? " -r -F" : known.length > 0 ? ` -x -a ${text(known.join(" "))}` : " -x";
      return `complete -c gureum -n '__fish_seen_subcommand_from ${name}' -l ${option.name.slice(2)}${value} -d ${text(option.what)}`;
    }),
  ]);
  return ["# fish completion of gureum; gureum completion fish > ~/.config/fish/completions/gureum.fish", ...lines].join("\n");
}

const shells: Readonly<Record<string, (commands: readonly Known[]) => string>> = { bash, zsh, fish };

/** @param commands all of them, this one included */
export const completionOf = (commands: readonly CommandName[]): Command => ({
  help: `usage: gureum completion bash
       gureum completion zsh
       gureum completion fish

Prints what makes the shell complete gureum's commands, options and their values; its first line says where to put it.`,
  async run(args) {
    const [shell, ...more] = parseWords("completion", args, {}, 1).positionals;
    const script = Object.entries(shells).find(([name]) => name === shell)?.[1];
    if (!script || more.length > 0)
      throw usage(
        "completion",
        `the shell is ${Object.keys(shells).join(", ")}${shell === undefined ? "" : `, got ${JSON.stringify(shell)}`}`,
      );
    const known = await Promise.all(
      commands.map(async ({ name, summary, load }) => {
        const { help } = await load();
        return { name, summary, parts: partsOf(name, help), options: optionsOf(help) };
      }),
    );
    await printLine(script(known));
    return 0;
  },
});
