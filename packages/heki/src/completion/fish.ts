import type { CommandWords, OptionWords } from './command-words.ts';

/** The script for fish: `heki completion fish | source`. */
export function fishCompletion(commands: readonly CommandWords[], options: readonly OptionWords[]): string {
  const first = '__fish_use_subcommand';
  const lines = [
    ...options.map((option) => `${optionLine(option)} -n ${first}`),
    ...commands.map(
      ({ name, meaning }) => `complete -c heki -f -n ${first} -a ${name} -d ${quoted(meaning)}`,
    ),
  ];
  for (const { name, options: own, values } of commands) {
    const inside = `-n '__fish_seen_subcommand_from ${name}'`;
    lines.push(...own.map((option) => `${optionLine(option)} ${inside}`));
    if (values !== 'file') lines.push(`complete -c heki -f ${inside} -a ${quoted(values.join(' '))}`);
  }
  return `# Completion of heki for fish: heki completion fish | source\n${lines.join('\n')}\n`;
}

function optionLine({ flags, meaning, value }: OptionWords): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const follows =
    typeof value === 'string'
      ? { none: '', file: ' -r -F', word: ' -x' }[value]
      : ` -x -a ${quoted(value.join(' '))}`;
  return `complete -c heki ${names.join(' ')} -d ${quoted(meaning)}${follows}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
