import type { CommandWords, OptionWords } from './command-words.ts';

/** The script for bash 3.2 and newer: `source <(heki completion bash)`. */
export function bashCompletion(commands: readonly CommandWords[], options: readonly OptionWords[]): string {
  const flags = (words: readonly OptionWords[]): string => words.flatMap((option) => option.flags).join(' ');
  const values = commands.flatMap(({ name, options: own }) =>
    own.flatMap((option) =>
      typeof option.value === 'string'
        ? []
        : [`    ${patterns(name, option)}) words='${option.value.join(' ')}' ;;`],
    ),
  );
  const anything = commands.flatMap(({ name, options: own }) =>
    own.filter(({ value }) => value === 'file' || value === 'word').map((option) => patterns(name, option)),
  );
  return `# Completion of heki for bash: source <(heki completion bash)
_heki() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} ${flags(options)}' -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]} $before" in
${values.join('\n')}
    ${anything.join('|')}) return ;;
    *) case "\${COMP_WORDS[1]} $word" in
${commands.map(({ name, options: own }) => `      ${quoted(`${name} -`)}*) words='${flags(own)}' ;;`).join('\n')}
${commands.flatMap(({ name, values: own }) => (own === 'file' ? [] : [`      ${quoted(`${name} `)}*) words='${own.join(' ')}' ;;`])).join('\n')}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _heki heki ./heki
`;
}

/** What stands before the word: the command and one of the option's flags. */
function patterns(command: string, { flags }: OptionWords): string {
  return flags.map((flag) => quoted(`${command} ${flag}`)).join('|');
}

function quoted(text: string): string {
  return `'${text}'`;
}
